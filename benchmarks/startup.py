"""How long does a newcomer wait? Import, help, and the whole of `demo cancer` with empty caches.

    python -m benchmarks.startup [--runs 5] [--out benchmarks/results/startup.jsonl]

Each figure is the wall time of a whole process, so it holds the interpreter's own start (`bare`), and its
peak resident memory as the system counted it. One JSON line a question: the promise, the median, the spread,
the machine.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Question:
    """One thing that is timed.

    Attributes:
        name: what it is called.
        words: what Python is given.
        seconds: promised wall time; None where there is no promise.
        megabytes: promised peak memory.
        runs: at most this many runs.
    """

    name: str
    words: tuple[str, ...]
    seconds: float | None = None
    megabytes: float | None = None
    runs: int = 20


QUESTIONS = (
    Question("bare", ("-c", "pass")),
    Question("import", ("-c", "import trainwright"), seconds=0.15),
    Question("help", ("-m", "trainwright.cli.main", "--help"), seconds=0.3),
    Question(
        "demo cancer, cold",
        ("-m", "trainwright.cli.main", "demo", "cancer", "--json"),
        seconds=6.0,
        megabytes=700.0,
        runs=5,
    ),
)


def measure(words: tuple[str, ...]) -> tuple[float, float]:
    """Return wall seconds and peak megabytes of a process that has a folder and a cache of its own."""
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("wb") as nothing:
        env = {**os.environ, "TRAINWRIGHT_CACHE": f"{folder}/cache"}
        began = time.perf_counter()
        actions = [(os.POSIX_SPAWN_DUP2, nothing.fileno(), stream) for stream in (1, 2)]
        command = ["sh", "-c", 'cd "$0" && exec "$@"', folder, sys.executable, *words]
        process = os.posix_spawn("/bin/sh", command, env, file_actions=actions)
        _, status, usage = os.wait4(process, 0)
        seconds = time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status)
    assert code == 0, f"{words} ended with {code}"
    return seconds, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def ask(question: Question, runs: int) -> dict[str, Any]:
    """Return the figures of a question."""
    found = [measure(question.words) for _ in range(min(runs, question.runs))]
    seconds = [wall for wall, _ in found]
    peak = max(megabytes for _, megabytes in found)
    median = statistics.median(seconds)
    return {
        "question": question.name,
        "n": len(found),
        "seconds": {
            "median": round(median, 3),
            "least": round(min(seconds), 3),
            "most": round(max(seconds), 3),
        },
        "peak_mb": round(peak),
        "promise": {"seconds": question.seconds, "mb": question.megabytes},
        "kept": (question.seconds is None or median <= question.seconds)
        and (question.megabytes is None or peak <= question.megabytes),
    }


def machine() -> dict[str, Any]:
    """Return what the figures were taken on.

    Asked in another process: a child's peak memory begins at what its parent holds, and torch holds much.
    """
    code = (
        "import json; from trainwright.foundation.devices import environment; "
        "print(json.dumps(environment()))"
    )
    found = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    return {key: found[key] for key in ("python", "system", "processor", "cores", "memory_gb")}


def main() -> None:
    """Measure, and print one JSON line a question."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    about = {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": machine(),
        "load": round(os.getloadavg()[0], 1),
    }
    measure(QUESTIONS[1].words)  # bytecode is compiled once, when the package is installed
    for question in QUESTIONS:
        line = json.dumps(ask(question, options.runs) | about)
        print(line, flush=True)
        if options.out is not None:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            with options.out.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")


if __name__ == "__main__":
    main()

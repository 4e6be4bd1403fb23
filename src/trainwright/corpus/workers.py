"""Work shared out among processes, which are told what to do one task after the other."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainwright.corpus.pieces import Report
from trainwright.corpus.work import Work
from trainwright.foundation.errors import TrainwrightError, UserError

_CRASHES = {
    -number for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
}
"""How a process ends that a library crashes; for lack of memory it is killed otherwise."""


def do_all(
    work: Work, task: str, numbers: Sequence[int], *, workers: int, here: bool, report: Report
) -> None:
    """Make pieces or shards.

    A piece in which a process crashes is made again; the file that it crashes at twice is set aside. So even
    one piece has a process of its own, unless the user asked for none.

    Args:
        work: the folder of work.
        task: "piece" or "shard".
        numbers: which of them.
        workers: processes.
        here: make all of it in this process; what crashes then ends it.
        report: told of documents and bytes as they are done.

    Raises:
        UserError: what one of the processes found to be wrong; the others are stopped.
    """
    # One shard is written here: it is made of what pieces hold, and no file of the user is read for it.
    if here or (task == "shard" and len(numbers) <= 1):
        for number in numbers:
            work.do(task, number, report)
        return
    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    for number in numbers:
        waiting.put({"task": task, "number": number, "crashed": []})
    heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    processes: list[subprocess.Popen[str]] = []

    def start() -> None:
        processes.append(_start(work.path))
        threading.Thread(target=_drive, args=(processes[-1], waiting, heard), daemon=True).start()

    crashes: Counter[tuple[int, int]] = Counter()
    try:
        for _ in range(min(workers, len(numbers))):
            start()
        done = 0
        while done < len(numbers):
            said = heard.get()
            if "read" in said:
                report(*said["read"])
            elif "wrong" in said:
                what, where, fix = said["wrong"]
                raise UserError(what, where=where, fix=fix)
            elif said.get("died") in _CRASHES and "at" in said:
                job, place = said["job"], said["at"]
                crashes[job["number"], place] += 1
                if crashes[job["number"], place] > 1:
                    job["crashed"].append(place)
                waiting.put(job)
                start()
            elif "died" in said:
                raise TrainwrightError(
                    f"a process that prepared texts ended with status {said['died']}; "
                    "run the same command again to go on, with --workers 1 if memory ran out"
                )
            else:
                done += 1
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def _start(folder: Path) -> subprocess.Popen[str]:
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-m", "trainwright.corpus.worker", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # One thread each: the processes share the cores out already.
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "OMP_NUM_THREADS": "1",
            "ARROW_IO_THREADS": "1",
        },
        start_new_session=True,  # Ctrl-C reaches the process that started them, which stops them
    )


def _drive(
    process: subprocess.Popen[str],
    waiting: queue.SimpleQueue[dict[str, Any]],
    heard: queue.SimpleQueue[dict[str, Any]],
) -> None:
    """Give a process one task after the other, and pass on what it says; where it dies, what it was at."""
    assert process.stdin is not None
    assert process.stdout is not None
    place: dict[str, int] = {}
    job: dict[str, Any] = {}
    with suppress(BrokenPipeError, ValueError):
        while True:
            try:
                job, place = waiting.get_nowait(), {}
            except queue.Empty:
                return
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                said = json.loads(line)
                if "at" in said:
                    place = said
                    continue
                heard.put(said)
                if "read" not in said:
                    break
            else:
                break
    if process.poll() is None:
        process.kill()  # it said what nobody understands
    heard.put({"died": process.wait(), "job": job, **place})

"""Work shared out among processes, which are told what to do one task after the other."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainwright.corpus.pieces import Report
from trainwright.corpus.work import Work
from trainwright.foundation.errors import TrainwrightError, UserError


def do_all(work: Work, task: str, numbers: Sequence[int], *, workers: int, report: Report) -> None:
    """Make pieces or shards; in this process where one worker is enough.

    Args:
        work: the folder of work.
        task: "piece" or "shard".
        numbers: which of them.
        workers: processes.
        report: told of documents and bytes as they are done.

    Raises:
        UserError: what one of the processes found to be wrong; the others are stopped.
    """
    if min(workers, len(numbers)) <= 1:
        for number in numbers:
            work.do(task, number, report)
        return
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in numbers:
        waiting.put(number)
    heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    processes = [_start(work.path) for _ in range(min(workers, len(numbers)))]
    try:
        for process in processes:
            threading.Thread(target=_drive, args=(process, task, waiting, heard), daemon=True).start()
        done = 0
        while done < len(numbers):
            said = heard.get()
            if "read" in said:
                report(*said["read"])
            elif "wrong" in said:
                what, where, fix = said["wrong"]
                raise UserError(what, where=where, fix=fix)
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
    task: str,
    waiting: queue.SimpleQueue[int],
    heard: queue.SimpleQueue[dict[str, Any]],
) -> None:
    """Give a process one task after the other, and pass on what it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        while True:
            number = waiting.get_nowait()
            process.stdin.write(json.dumps({"task": task, "number": number}) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                said = json.loads(line)
                heard.put(said)
                if "read" not in said:
                    break
            else:
                heard.put({"died": process.wait()})
                return
    except queue.Empty:
        return
    except (BrokenPipeError, ValueError):
        heard.put({"died": process.wait()})

"""How much does recording cost? Events a second, and the time of one call.

    python -m benchmarks.events [--events 200_000]

The events are those of a training step. `p99_us` is the time that one call in a hundred exceeds, flushes
among them. `kept_after_kill` says whether a process killed with SIGKILL left every event older than a second.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from trainwright.training.events import EventLog, read_events

STEP = {
    "epoch": 1.25,
    "loss": 0.123456,
    "learning_rate": 3e-4,
    "gradient_norm": 1.5,
    "rows_per_second": 9_000.0,
}


def measure(path: Path, events: int) -> dict[str, Any]:
    """Return events a second and percentiles of the time of a call."""
    log, taken = EventLog(path), np.empty(events)
    began = time.perf_counter()
    for step in range(events):
        tick = time.perf_counter()
        log("step", step=step, **STEP)
        taken[step] = time.perf_counter() - tick
    rate = events / (time.perf_counter() - began)
    log.close()
    p50, p99 = np.percentile(taken, [50, 99]) * 1e6
    return {"events_per_second": round(rate), "p50_us": round(p50, 1), "p99_us": round(p99, 1)}


def kept_after_kill(path: Path) -> bool:
    """Kill a process that records; return whether all that was older than a second is in the file."""
    child = os.fork()
    if child == 0:
        log, step = EventLog(path), 0
        while True:
            log("step", step=step, **STEP)
            step += 1
            time.sleep(0.0005)
    time.sleep(4)
    killed = time.time()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = list(read_events(path))
    # Nothing is missing between the first and the last, and the last is at most a second old.
    whole = [event["step"] for event in found] == list(range(len(found)))
    return whole and killed - found[-1]["time"] <= 1.05


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=200_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        line = measure(Path(folder) / "events.jsonl", asked.events)
        line["kept_after_kill"] = kept_after_kill(Path(folder) / "killed.jsonl")
    print(json.dumps(line))


if __name__ == "__main__":
    main()

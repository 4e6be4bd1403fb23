"""How much faster are two processes than one, and does the arithmetic of docs/scale.md foretell it?

    python -m benchmarks.processes [--rounds 3] [--steps 40] [--out FILE]

A table of 200 numbers under an MLP of two sizes, 2,048 rows a step, one core a process. Foretold: a step of
one process, halved, and what adding up the gradients between two processes takes alone (of two, each sends
and receives every gradient once). Ratios are of the seconds of a step, with two processes in the first place.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import pairs, rows

ROWS, NUMBERS, BATCH = 20_000, 200, 2_048


def train(path: str, devices: int, size: str, steps: int, seed: int) -> dict[str, Any]:
    """Train some steps, and return what one takes."""
    import trainwright
    from trainwright.training.events import read_events

    with tempfile.TemporaryDirectory() as folder:
        run = trainwright.train(
            path,
            target="target",
            budget=f"{steps} steps",
            seed=seed,
            settings={
                "model.name": "mlp",
                "model.size": size,
                "training.batch": BATCH,
                "training.devices": devices,
                "training.early_stopping": 0,
                "evaluation.baselines": False,
            },
            run=Path(folder) / "run",
        )
        events = list(read_events(run.path / "events.jsonl"))
    (start,) = (event for event in events if event["kind"] == "start")
    (stop,) = (event for event in events if event["kind"] == "stop")
    return {
        "step_seconds": BATCH / stop["rows_per_second"],
        "parameters": start["parameters"],
        "threads": start["threads"],
    }


def add_up(rank: int, file: str, numbers: int) -> dict[str, Any]:
    """Return the seconds that adding up so many gradients takes between this process and another."""
    import torch
    import torch.distributed as dist

    from trainwright.foundation.ranks import Ranks

    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    weight = torch.nn.Parameter(torch.zeros(numbers))
    weight.grad = torch.ones(numbers)
    taken = []
    for _ in range(30):
        dist.barrier()
        began = time.perf_counter()
        Ranks(rank, 2).add_up_gradients([weight])
        taken.append(time.perf_counter() - began)
    dist.destroy_process_group()
    return {"add_up_seconds": statistics.median(taken[5:])}


def command(*words: object) -> list[str]:
    """Return the command line of this file in a process of its own."""
    return [sys.executable, "-m", "benchmarks.processes", *map(str, words)]


def measured(*words: object) -> dict[str, Any]:
    """Return what `command` prints."""
    done = subprocess.run(command(*words), check=True, cwd=pairs.ROOT, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def between_two(numbers: int) -> float:
    """Return the seconds of `add_up` in two processes."""
    with tempfile.TemporaryDirectory() as folder:
        words = ("--numbers", numbers, "--store", Path(folder) / "store")
        other = subprocess.Popen(
            command(*words, "--rank", 1), cwd=pairs.ROOT, stdout=subprocess.DEVNULL, env=os.environ
        )
        found = measured(*words, "--rank", 0)
        other.wait()
    return float(found["add_up_seconds"])


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--sizes", nargs="+", default=["small", "large"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ours", metavar="FILE", help="train in this process")
    parser.add_argument("--devices", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rank", type=int)
    parser.add_argument("--numbers", type=int)
    parser.add_argument("--store")
    words = parser.parse_args()
    if words.rank is not None:
        print(json.dumps(add_up(words.rank, words.store, words.numbers)))
        return
    if words.ours:
        print(json.dumps(train(words.ours, words.devices, *words.sizes, words.steps, words.seed)))
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        rows.write(path, ROWS, numbers=NUMBERS, categories=0, texts=0)

        def run(size: str, devices: int, seed: int) -> dict[str, Any]:
            more = ("--sizes", size, "--steps", words.steps, "--seed", seed)
            return measured("--ours", path, "--devices", devices, *more)

        for size in words.sizes:

            def foretold(seed: int, size: str = size) -> dict[str, Any]:
                one = run(size, 1, seed)
                link = between_two(one["parameters"])
                return {**one, "add_up_seconds": link, "step_seconds": one["step_seconds"] / 2 + link}

            pairs.compare(
                f"a step of a {size} MLP in two processes",
                {
                    "two processes": partial(run, size, 2),
                    "one process": partial(run, size, 1),
                    "foretold": foretold,
                },
                by="step_seconds",
                rounds=words.rounds,
                smaller=True,
                out=words.out,
            )


if __name__ == "__main__":
    main()

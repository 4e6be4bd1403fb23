"""How soon does a table model tell rows apart so well, beside fastai and Lightning?

    python -m benchmarks.adult [--auc 0.907] [--epochs N] [--rounds 5] [--only NAME …] [--out FILE]

Adult census income; the same training and validation rows for all (a fifth of the training part, drawn once).
`seconds` are from the CSV on the disk to the first evaluation, one an epoch, with a validation ROC-AUC of at
least 0.907: what fastai and Lightning end at, give or take 0.003, when they are used as their pages say.
Whoever never reaches it counts with all of its time. `preparation` is what of it passes before the first
step. `imports` come on top: from the start of the process until it opens the file. `auc` is the best of the
run.

Ours is `trainwright.train` with the defaults, a cold cache and a run folder; `whole` is until it has judged
the model and written the report. It goes on long after 0.907.

- fastai: `tabular_learner` with all defaults ([200, 100], 64 rows, a learning rate of 0.001), one cycle of 3
  epochs; with 2 it reaches 0.907 now and then. Tuned: 1,024 rows, a rate of 0.01.
- Lightning: an embedding net of the same widths, AdamW by one cycle, a data set that gives a row at a time
  and a loader without workers; 64 rows, a rate of 0.003 and 2 epochs, the best of the few that were tried.
  Tuned: 1,024 rows, a rate of 0.01, 3 epochs.

fastai asks for an older torch in its metadata; it runs on this one, and imports no torchvision for tables.
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
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import pairs, peers

OURS = "trainwright"
SPLIT = {"split.method": "column", "split.column": "split"}
COLUMNS = ("seconds", "preparation", "training", "imports", "rows_per_second", "auc")


@dataclass(frozen=True)
class Peer:
    """A peer and its settings.

    Attributes:
        environment: whose packages it has.
        module: what runs it, in `benchmarks.peers`.
        settings: its command line behind the file and the seed.
    """

    environment: str
    module: str
    settings: dict[str, float]


PEERS = {
    "fastai": Peer("fastai", "adult_fastai", {"epochs": 3, "batch": 64}),
    "fastai, tuned": Peer("fastai", "adult_fastai", {"epochs": 3, "batch": 1024, "learning-rate": 1e-2}),
    "Lightning": Peer("lightning", "adult_lightning", {"epochs": 2, "batch": 64, "learning-rate": 3e-3}),
    "Lightning, tuned": Peer(
        "lightning", "adult_lightning", {"epochs": 3, "batch": 1024, "learning-rate": 1e-2}
    ),
}


def write(path: Path) -> None:
    """Write the rows with their parts."""
    import numpy as np
    import polars as pl

    frame = pl.read_csv(pairs.DATA / "adult_census" / "data.csv")
    validation = np.random.default_rng(0).random(len(frame)) < 0.2
    split = pl.when((pl.col("split") == "train") & pl.Series(validation)).then(pl.lit("validation"))
    frame.with_columns(split.otherwise(pl.col("split")).alias("split")).write_csv(path)


def ours(path: str, seed: int) -> dict[str, Any]:
    """Train as a default recipe does; the times are those of its events."""
    import torch  # noqa: F401 (imports are told apart, as for the peers)

    import trainwright
    from trainwright.evaluation.simple_models import import_simple_models
    from trainwright.models.encoders import tabm  # noqa: F401
    from trainwright.training.events import read_events
    from trainwright.workshop import judging, prepare, train  # noqa: F401

    import_simple_models()
    with tempfile.TemporaryDirectory() as folder:
        began = time.time()
        trainwright.train(path, target="income", seed=seed, settings=SPLIT, run=Path(folder) / "run")
        ended = time.time()
        events = list(read_events(Path(folder) / "run" / "events.jsonl"))
    start, stop = (next(event for event in events if event["kind"] == kind) for kind in ("start", "stop"))
    judged = [event for event in events if event["kind"] == "evaluation"]
    return {
        "began": began,
        "preparation": start["time"] - began,
        "curve": [(event["time"] - began, next(iter(event["metrics"].values()))) for event in judged],
        "rows_per_second": stop["rows_per_second"],
        "whole": ended - began,
    }


def run_ours(path: Path, seed: int) -> dict[str, Any]:
    """Run `ours` in a process of its own, with a cold cache."""
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.adult", "--ours", path, "--seed", str(seed)],
            check=True,
            cwd=pairs.ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TRAINWRIGHT_CACHE": cache},
        )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def run_peer(peer: Peer, path: Path, epochs: int | None, seed: int) -> dict[str, Any]:
    """Run a peer in its environment, for its own number of epochs or another."""
    given = peer.settings | ({} if epochs is None else {"epochs": epochs})
    settings = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    return peers.run(peer.environment, peer.module, str(path), "--seed", str(seed), *settings)


def measured(run: Callable[[int], dict[str, Any]], auc: float, seed: int) -> dict[str, Any]:
    """Return a run's figures with the seconds until it reached the AUC."""
    launched = time.time()
    found = run(seed)
    found["imports"] = found.pop("began") - launched
    reached = [seconds for seconds, score in found["curve"] if score >= auc]
    seconds = reached[0] if reached else found["curve"][-1][0]
    return {
        "reached": bool(reached),
        "seconds": seconds,
        "training": seconds - found["preparation"],
        "auc": max(score for _, score in found["curve"]),
        **found,
    }


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--auc", type=float, default=0.907)
    parser.add_argument("--epochs", type=int, help="of the peers, in place of what is good for 0.907")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=PEERS, default=list(PEERS), metavar="NAME")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ours", metavar="FILE", help="train in this process")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    if words.ours:
        print(json.dumps(ours(words.ours, words.seed)))
        return
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (OURS, *words.only)}

    def keep(name: str, run: Callable[[int], dict[str, Any]], seed: int) -> dict[str, Any]:
        found[name].append(measured(run, words.auc, seed))
        return found[name][-1]

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adult.csv"
        write(path)
        runs = {OURS: partial(run_ours, path)}
        for name in words.only:
            peers.python(PEERS[name].environment)  # made before the clock runs
            runs[name] = partial(run_peer, PEERS[name], path, words.epochs)
        pairs.compare(
            f"adult to a validation ROC-AUC of {words.auc}",
            {name: partial(keep, name, run) for name, run in runs.items()},
            by="seconds",
            rounds=words.rounds,
            smaller=True,
            out=words.out,
        )
    print(" | ".join(("medians", "reached", *COLUMNS)))
    for name, lines in found.items():
        medians = [statistics.median(line[column] for line in lines) for column in COLUMNS]
        reached = sum(line["reached"] for line in lines)
        print(" | ".join((name, f"{reached} of {len(lines)}", *(f"{value:,.4g}" for value in medians))))
    whole = statistics.median(line["whole"] for line in found[OURS])
    print(f"{OURS}, until the report is written: {whole:,.1f} seconds")


if __name__ == "__main__":
    main()

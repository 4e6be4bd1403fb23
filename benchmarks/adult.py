"""How soon does a table model tell rows apart so well, beside fastai and Lightning?

    python -m benchmarks.adult [--auc 0.918] [--rounds 3] [--out FILE]

Adult census income, the same training and validation rows for all (a fifth of the training part, drawn once).
Seconds are from the CSV on the disk to the first evaluation, one an epoch, at which the validation ROC-AUC is
reached; imports are left out. Ours is a default recipe. fastai's learner is its tutorial's (64 rows a step,
one cycle of five epochs) and one with 512 rows; Lightning has the embedding net that its users write, a data
set of rows and a loader, with 64 and 512 rows. A run that never reaches it counts with all of its time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import pairs, peers


def write(path: Path) -> None:
    """Write the rows with their parts."""
    import numpy as np
    import polars as pl

    frame = pl.read_csv(pairs.DATA / "adult_census" / "data.csv")
    validation = np.random.default_rng(0).random(len(frame)) < 0.2
    split = pl.when((pl.col("split") == "train") & pl.Series(validation)).then(pl.lit("validation"))
    frame.with_columns(split.otherwise(pl.col("split")).alias("split")).write_csv(path)


def ours(path: str, auc: float, seed: int) -> dict[str, Any]:
    """Train as a default recipe does, until the AUC is reached."""
    import torch

    from trainwright.foundation.random import stream_seed
    from trainwright.workshop.ask import ask_recipe
    from trainwright.workshop.prepare import prepare
    from trainwright.workshop.threads import threads_for
    from trainwright.workshop.train import _make_job, _trainer

    began = time.perf_counter()
    split = {"split.method": "column", "split.column": "split"}
    asked, frame, base = ask_recipe(path, target="income", seed=seed, settings=split)
    prepared = prepare(asked, frame, base=base, cache=False)
    torch.manual_seed(stream_seed(seed, "model"))
    job = _make_job(prepared)
    ready = time.perf_counter()
    found: list[tuple[float, float]] = []

    def listen(kind: str, **event: Any) -> None:
        if kind == "evaluation":
            found.append((time.perf_counter(), next(iter(event["metrics"].values()))))

    with threads_for(job.network, job.recipe.training.batch or 1):
        _trainer(job, None, listen, lambda: bool(found) and found[-1][1] >= auc).run()
    reached = [when for when, score in found if score >= auc]
    ended = reached[0] if reached else time.perf_counter()
    return {
        "reached": bool(reached),
        "auc": max(score for _, score in found),
        "seconds": ended - began,
        "preparation": ready - began,
        "training": ended - ready,
    }


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--auc", type=float, default=0.918)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ours", metavar="FILE", help="train in this process")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    if words.ours:
        print(json.dumps(ours(words.ours, words.auc, words.seed)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adult.csv"
        write(path)
        goal = ("--auc", str(words.auc))

        def peer(name: str, batch: int, seed: int) -> dict[str, Any]:
            more = ("--batch", str(batch), "--seed", str(seed))
            return peers.run(name, f"adult_{name}", str(path), *goal, *more)

        def mine(seed: int) -> dict[str, Any]:
            return pairs.ours("benchmarks.adult", "--ours", str(path), *goal, "--seed", str(seed))

        pairs.compare(
            f"adult to a validation ROC-AUC of {words.auc}",
            {
                "trainwright": mine,
                "fastai": partial(peer, "fastai", 64),
                "fastai, 512 rows": partial(peer, "fastai", 512),
                "Lightning": partial(peer, "lightning", 64),
                "Lightning, 512 rows": partial(peer, "lightning", 512),
            },
            by="seconds",
            rounds=words.rounds,
            smaller=True,
            out=words.out,
        )


if __name__ == "__main__":
    main()

"""How fast are pictures trained on two cores, beside the usual PyTorch loop and Lightning?

    python -m benchmarks.cifar10 [--rounds 3] [--rows 10_000] [--epochs 2] [--size small] [--out FILE]

CIFAR-10 as a Parquet file of JPEG files. Everybody trains the same network on the same rows for as many
epochs, with AdamW, the same batch, learning rate and schedule, and looks at the validation rows after each
epoch. Ours is a default run with a cold cache. The peers are in `peers/pictures.py` (which says what they
do) and `peers/pictures_lightning.py`. Rows a second are training rows times epochs over all seconds from the
Parquet file to the last step: reading, decoding and looking at the validation rows are in them, imports are
not. `decode_seconds` is what of it passes before the first step. Accuracy is on test rows, of the last
weights for the peers and of the best by validation for ours.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import pairs, peers

VALIDATION, TEST = 1_000, 2_000
PEERS = {
    "the usual loop": ("pictures", "files"),
    "the usual loop, decoded once": ("pictures", "array"),
    "a tuned loop": ("pictures", "tuned"),
    "Lightning": ("pictures_lightning", "files"),
    "Lightning, decoded once": ("pictures_lightning", "array"),
}


def write_parts(folder: Path, rows: int) -> None:
    """Write the rows of each part."""
    import polars as pl

    frame = pl.read_parquet(pairs.DATA / "cifar10" / "train.parquet", n_rows=rows + VALIDATION)
    frame[:rows].write_parquet(folder / "train.parquet")
    frame[rows:].write_parquet(folder / "validation.parquet")
    test = pl.read_parquet(pairs.DATA / "cifar10" / "test.parquet", n_rows=TEST)
    test.write_parquet(folder / "test.parquet")


def settings(folder: Path, size: str) -> dict[str, Any]:
    """Return what a recipe is told: the parts, and a size."""
    return {
        "data.validation": str(folder / "validation.parquet"),
        "data.test": str(folder / "test.parquet"),
        "model.size": size,
        "evaluation.baselines": False,
    }


def train(folder: Path, place: Path, *, size: str, epochs: int, seed: int) -> dict[str, Any]:
    """Train a default recipe in this process."""
    import torch  # noqa: F401 (imports are not timed)

    import trainwright as tw
    from trainwright.features import image, stems  # noqa: F401
    from trainwright.training import loop  # noqa: F401
    from trainwright.workshop import judging, train  # noqa: F401

    run = tw.train(
        str(folder / "train.parquet"),
        target="label",
        budget=f"{epochs} epochs",
        seed=seed,
        settings=settings(folder, size),
        run=place,
    )
    taken = run.evaluation["timings"]
    before, data = taken["open"] + taken["encode"], json.loads((place / "data.json").read_text())
    start = next(
        json.loads(line) for line in (place / "events.jsonl").open() if '"start"' in line.partition(",")[0]
    )
    rows = data["split"]["rows"]["training"]
    return {
        "rows_per_second": epochs * rows / (before + taken["train"]),
        "seconds": before + taken["train"],
        "decode_seconds": before,
        "accuracy": run.metrics["test"]["accuracy"],
        "parameters": start["parameters"],
    }


def ours(folder: Path, words: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Train in a process of its own, with a cold cache."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "benchmarks.cifar10", "--ours", str(folder), place]
        command += ["--size", words.size, "--epochs", str(words.epochs), "--seed", str(seed)]
        done = subprocess.run(
            command,
            check=True,
            cwd=pairs.ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TRAINWRIGHT_CACHE": str(Path(place) / "cache")},
        )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def peer(name: str, folder: Path, given: list[str], seed: int) -> dict[str, Any]:
    """Train a peer in a process of its own."""
    module, way = PEERS[name]
    words = ("--folder", str(folder), "--way", way, *given, "--seed", str(seed))
    if module == "pictures":
        return pairs.ours(f"benchmarks.peers.{module}", *words)
    return peers.run("lightning", module, *words)


def resolved(folder: Path, words: argparse.Namespace) -> list[str]:
    """Return what the peers are told, from a recipe that was resolved and not run."""
    from trainwright.workshop.ask import ask_recipe
    from trainwright.workshop.prepare import prepare
    from trainwright.workshop.table_job import table_job

    asked, frame, base = ask_recipe(
        str(folder / "train.parquet"),
        target="label",
        recipe=None,
        budget=f"{words.epochs} epochs",
        seed=0,
        settings=settings(folder, words.size),
    )
    recipe = table_job(prepare(asked, frame, base=base, cache=False)).recipe
    widths = recipe.model.encoders["image"].options["channels"]
    training = recipe.training
    return [
        *("--widths", *map(str, widths), "--batch", str(training.batch), "--epochs", str(words.epochs)),
        *("--learning-rate", str(training.learning_rate), "--weight-decay", str(training.weight_decay)),
        *("--warmup", str(training.warmup)),
    ]


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--size", choices=["tiny", "small"], default="small")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ours", type=Path, nargs=2, help="train here, and print what was measured")
    words = parser.parse_args()
    if words.ours:
        folder, place = words.ours
        print(json.dumps(train(folder, place / "run", size=words.size, epochs=words.epochs, seed=words.seed)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_parts(folder, words.rows)
        given = resolved(folder, words)
        pairs.compare(
            f"CIFAR-10, {words.rows:,} rows, {words.epochs} epochs, {words.size} ResNet",
            {
                "trainwright": partial(ours, folder, words),
                **{name: partial(peer, name, folder, given) for name in words.peers},
            },
            by="rows_per_second",
            rounds=words.rounds,
            out=words.out,
        )


if __name__ == "__main__":
    main()

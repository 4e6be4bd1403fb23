"""One small run that all tests of the verbs look at, and the rows that it was made from."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import trainwright as tw

ROWS = 300

QUICK: dict[str, Any] = {
    "model.size": "tiny",
    "evaluation.baselines": False,
    "evaluation.bootstrap": 20,
}
"""Settings of runs whose result does not matter."""


def _holes(name: str, every: int) -> pl.Expr:
    return pl.when(pl.int_range(ROWS) % every != 0).then(pl.col(name)).alias(name)


@pytest.fixture(scope="session")
def rows() -> pl.DataFrame:
    """300 flats: numbers, categories, booleans, dates and text with holes, and a grade that follows."""
    draw = np.random.default_rng(0)
    words = np.array(["good", "bad", "fast", "slow", "fine", "red", "dog", "car", "house", "tree"])
    size = draw.normal(50, 20, ROWS)
    city = draw.choice(["Rome", "Oslo", "Lima"], ROWS)
    frame = pl.DataFrame(
        {
            "size": size,
            "city": city,
            "garden": draw.random(ROWS) > 0.5,
            "sold": [datetime.date(2024, 1, 1) + datetime.timedelta(days=int(day)) for day in range(ROWS)],
            "note": [" ".join(draw.choice(words, 6)) for _ in range(ROWS)],
            "grade": np.where(size + 20 * (city == "Rome") > 60, "high", "low"),
        }
    )
    return frame.with_columns(
        _holes("size", 11), _holes("city", 13), _holes("garden", 23), _holes("sold", 19), _holes("note", 17)
    )


@pytest.fixture(scope="session")
def run(rows: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tw.Run:
    """A finished run over the rows, in a folder called `runs/first`, from `flats.csv` beside `runs`."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINWRIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        rows.write_csv(home / "flats.csv")
        patch.chdir(home)
        tw.train("flats.csv", target="grade", budget="20 steps", settings=QUICK, run="runs/first")
    return tw.Run(home / "runs" / "first")


@pytest.fixture(scope="session")
def small_text_run(tmp_path_factory: pytest.TempPathFactory) -> tw.Run:
    """A finished run of a very small language model that knows what each animal says."""
    home = tmp_path_factory.mktemp("animals")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINWRIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        draw = np.random.default_rng(0)
        lines = [f"The {animal} says {animal}-{animal}\n" for animal in ("cat", "dog", "fox", "cow", "hen")]
        (home / "animals.txt").write_text("".join(draw.choice(lines, 2_000)))
        return tw.train(
            str(home / "animals.txt"),
            task="causal-lm",
            budget="150 steps",
            settings={
                "model.options": {"depth": 2, "width": 64, "heads": 4},
                "language.vocabulary": 320,
                "language.context": 32,
                "training.batch_tokens": 512,
                "training.early_stopping": 0,
                "training.learning_rate": 0.01,
                "training.optimizer": "adamw",
                "evaluation.sample_tokens": 4,
                "evaluation.bootstrap": 50,
            },
            run=home / "runs" / "animals",
        )


@pytest.fixture(scope="session")
def quick() -> dict[str, Any]:
    """Settings of runs whose result does not matter."""
    return QUICK


@pytest.fixture(scope="session")
def weights() -> Callable[[Any], str]:
    """What returns the hash of a run's weights."""

    def digest(run: tw.Run | Path | str) -> str:
        folder = run.path if isinstance(run, tw.Run) else Path(run)
        return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()

    return digest

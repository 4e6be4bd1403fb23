"""Equal seeds give equal weights, whether the machine is idle or busy: nothing is chosen by a clock."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

import trainwright as tw
from trainwright.foundation.devices import num_cpus

Weights = Callable[[Any], str]


@contextmanager
def busy_machine() -> Iterator[None]:
    """Keep every core busy with a process that never pauses."""
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(num_cpus())]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def _table(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    size, city = draw.normal(50, 20, 200), draw.choice(["Rome", "Oslo", "Lima"], 200)
    frame = pl.DataFrame({"size": size, "city": city, "label": np.where(size > 45, "high", "low")})
    frame.write_csv(folder / "table.csv")
    return folder / "table.csv"


def _texts(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    words = np.array(["good", "bad", "fast", "slow", "fine", "red", "dog", "car", "house", "tree"])
    texts = [" ".join(draw.choice(words, draw.integers(3, 12))) for _ in range(200)]
    labels = ["yes" if "good" in text else "no" for text in texts]
    pl.DataFrame({"text": texts, "label": labels}).write_csv(folder / "texts.csv")
    return folder / "texts.csv"


def _pictures(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    for label, level in (("dark", 60), ("light", 190)):
        (folder / "pictures" / label).mkdir(parents=True)
        for number in range(40):
            pixels = np.clip(draw.normal(level, 60, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / label / f"{number}.png")
    return folder / "pictures"


@pytest.mark.parametrize(
    ("make", "settings"),
    [(_table, {}), (_texts, {"inputs.text": "text"}), (_pictures, {})],
    ids=["table", "text", "pictures"],
)
def test_equal_seeds_give_equal_weights_on_a_busy_machine(
    make: Callable[[Path], Path],
    settings: dict[str, Any],
    weights: Weights,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = make(tmp_path)
    settings = {**settings, "evaluation.baselines": False, "evaluation.bootstrap": 0}

    def train(name: str) -> tw.Run:
        monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / f"cache {name}"))
        return tw.train(data, target="label", budget="5 steps", settings=settings, run=tmp_path / name)

    idle = train("idle")
    with busy_machine():
        busy = train("busy")
    assert (busy.path / "recipe.yaml").read_text() == (idle.path / "recipe.yaml").read_text()
    assert weights(busy) == weights(idle)
    assert busy.metrics == idle.metrics


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "target", "settings"),
    [
        ("titanic/data.csv", "Survived", {}),
        ("trec6/train.csv", "label", {"inputs.text": "text"}),
        ("cifar10_folder", "label", {"training.budget": "2 epochs"}),
    ],
)
def test_equal_seeds_give_equal_weights_on_a_busy_machine_with_real_data(
    name: str,
    target: str,
    settings: dict[str, Any],
    shared_data: Path,
    weights: Weights,
    tmp_path: Path,
) -> None:
    settings = {**settings, "evaluation.baselines": False, "evaluation.bootstrap": 0}

    def train(place: str) -> tw.Run:
        return tw.train(shared_data / name, target=target, settings=settings, run=tmp_path / place)

    idle = train("idle")
    with busy_machine():
        busy = train("busy")
    assert (busy.path / "recipe.yaml").read_text() == (idle.path / "recipe.yaml").read_text()
    assert weights(busy) == weights(idle)

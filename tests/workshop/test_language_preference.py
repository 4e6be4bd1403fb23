"""A run on pairs of answers begins undecided, in its own precision, and goes on where it was stopped."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trainwright as tw
from trainwright.foundation.devices import autocast
from trainwright.recipe.recipe import Recipe
from trainwright.training.events import read_events
from trainwright.workshop.language_job import LanguageJob, language_job
from trainwright.workshop.progress import Console
from trainwright.workshop.train import run_recipe

SETTINGS: dict[str, Any] = {
    "model": {"options": {"depth": 2, "width": 32, "heads": 2}},
    "language": {"vocabulary": 320, "context": 64},
    "training": {"budget": "12 steps", "batch_tokens": 400, "learning_rate": 0.003, "early_stopping": 0},
    "evaluation": {"sample_tokens": 0, "bootstrap": 0},
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    lines = [
        {
            "prompt": f"Do you like the {animal}?",
            "chosen": f"Yes, {animal}!",
            "rejected": f"No {animal} for me.",
        }
        for animal in ("cat", "dog", "fox", "cow", "hen") * 20
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def recipe(pairs: Path, **training: Any) -> Recipe:
    more = {"training": SETTINGS["training"] | training}
    return Recipe.model_validate({"data": str(pairs), "task": "preference"} | SETTINGS | more)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_begins_undecided_in_its_own_precision(precision: str, pairs: Path) -> None:
    job = language_job(recipe(pairs, precision=precision), None, None)
    assert isinstance(job, LanguageJob)
    batch = job.task.batches(job.data.indices["training"], budget=100_000, training=False)
    rows = batch.plan(0)[0]
    with torch.no_grad(), autocast(job.device, precision):
        margins = job.task.margins(job.network.eval(), batch.batch(rows))  # type: ignore[attr-defined]
    assert len(margins) == len(rows) > 80
    # Of sums of some ten tokens' nats, read in other company.
    assert float(margins.abs().max()) < 1e-4


def test_the_first_loss_is_that_of_a_coin_and_falls(pairs: Path, tmp_path: Path) -> None:
    run = tw.train(recipe=recipe(pairs), run=tmp_path / "run")
    losses = [event["loss"] for event in read_events(run.path / "events.jsonl") if event["kind"] == "step"]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)
    assert losses[-1] < 0.95 * losses[0]
    assert run.metrics["test"]["loss"] < 0.95 * math.log(2)


def test_a_stopped_run_goes_on_to_the_same_weights(pairs: Path, tmp_path: Path) -> None:
    """The reference is that of the beginning, not of the weights at which it goes on."""
    whole = run_recipe(recipe(pairs), folder=tmp_path / "whole", console=Console(quiet=True))
    asked = iter(range(100))
    stopped = run_recipe(recipe(pairs), folder=tmp_path / "stopped", stop=lambda: next(asked) >= 6)
    assert stopped.interrupted
    again = tw.resume(tmp_path / "stopped")
    digests = {
        hashlib.sha256((run.path / "model" / "model.safetensors").read_bytes()).hexdigest()
        for run in (whole, again)
    }
    assert len(digests) == 1
    assert np.isclose(again.metrics["test"]["loss"], whole.metrics["test"]["loss"], rtol=0)

"""A whole run whose model is shared out among processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import trainwright as tw
from trainwright.foundation.errors import UserError
from trainwright.foundation.ranks import Ranks
from trainwright.recipe.recipe import TrainingSettings
from trainwright.reporting.language import said
from trainwright.reporting.phrases import PHRASES
from trainwright.training.events import read_events
from trainwright.training.sharding import Need, need
from trainwright.workshop.shard import sharding_choice


def test_a_sharded_run_is_the_run_of_one_process(
    rows: pl.DataFrame, quick: dict[str, Any], tmp_path: Path
) -> None:
    rows.write_csv(tmp_path / "flats.csv")
    data = str(tmp_path / "flats.csv")
    plain = {**quick, "model.dropout": 0.0, "inputs.size": "number", "inputs.city": "category"}
    one = tw.train(data, target="grade", budget="20 steps", settings=plain, run=tmp_path / "one")
    settings = {**plain, "training.devices": 2, "training.sharding": "on", "training.graphs": "on"}
    two = tw.train(data, target="grade", budget="20 steps", settings=settings, run=tmp_path / "two")
    weights = [load_file(run.path / "model" / "model.safetensors") for run in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-5, atol=1e-6)
    assert (two.recipe.training.sharding, two.recipe.training.graphs) == ("on", "off")
    notes = [event["text"] for event in read_events(two.path / "events.jsonl") if event["kind"] == "note"]
    assert "training.graphs: off (this setting has no effect: the model is shared out)" in notes
    assert all(said(note, PHRASES).template in PHRASES for note in notes), "it cannot be read in Chinese"
    metric = two.metrics["test"]
    assert metric.keys() == one.metrics["test"].keys()
    with pytest.raises(UserError, match="muon does not go with a model that is shared out"):
        tw.train(
            data,
            target="grade",
            budget="20 steps",
            settings={**settings, "training.optimizer": "muon"},
            run=tmp_path / "three",
        )


def test_a_model_is_shared_out_where_it_does_not_fit() -> None:
    assert Need(replica=60, activations=10, free=100).fits
    assert not Need(replica=80, activations=10, free=100).fits
    net: Any = torch.nn.Linear(1000, 1000)
    found = need(net, torch.device("cpu"), ema=True, processes_here=2)
    assert found.replica == 6 * 4 * 1_001_000
    assert found.fits and found.free > 2**20
    settings = TrainingSettings()
    assert sharding_choice(settings, net, torch.device("cpu"), Ranks(0, 2)) == ("off", "")


def test_too_large_a_model_is_said_with_its_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwright.foundation.devices.free_memory", lambda: 20 * 2**20)
    net: Any = torch.nn.Linear(1000, 1000)
    choice, why = sharding_choice(TrainingSettings(), net, torch.device("cpu"), Ranks(0, 2))
    assert choice == "on"
    assert "are free: 2 processes hold" in why
    asked = TrainingSettings(sharding="on")
    assert sharding_choice(asked, net, torch.device("cpu"), Ranks()) == (
        "off",
        "this setting has no effect: there is one process",
    )

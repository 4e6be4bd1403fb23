"""Two processes learn what one learns: rows shared out unevenly, and the model too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pair_checkpoints import KINDS
from pair_checkpoints import checkpoint as pair_checkpoint
from safetensors.torch import load_file
from text_checkpoints import checkpoint

import trainwright as tw
from trainwright.foundation.errors import RecipeError, UserError
from trainwright.recipe.recipe import TrainingSettings
from trainwright.training.events import read_events
from trainwright.workshop.shard import check_shardable

SETTINGS: dict[str, Any] = {
    "language.context": 48,
    "training.batch_tokens": 96,
    "training.optimizer": "adamw",
    "training.early_stopping": 0,
    "evaluation.bootstrap": 0,
    "evaluation.baselines": False,
    "evaluation.sample_tokens": 0,
}
OURS = {"model.options": {"depth": 2, "width": 32, "heads": 2}, "language.vocabulary": 300}
WORDS = ["cat", "dog", "sat", "ran", "on", "under", "mat", "tree", "and", "old"]


def rows(task: str, number: int = 80) -> list[dict[str, str]]:
    """Return rows of very unequal length; the last batch of validation has one."""
    draw = np.random.default_rng(0)

    def words(most: int) -> str:
        return " ".join(draw.choice(WORDS, int(draw.integers(1, most))))

    if task == "preference":
        return [{"prompt": words(4), "chosen": words(6), "rejected": words(12)} for _ in range(number)]
    if task == "sequence-to-sequence":
        return [{"source": words(6), "target": words(8)} for _ in range(number)]
    if task == "chat":
        return [{"instruction": words(6), "output": words(8)} for _ in range(number)]
    return [{"text": words(30)} for _ in range(number)]


def trained(place: Path, task: str, settings: dict[str, Any], *, devices: int) -> tuple[tw.Run, list[float]]:
    """Return a run and its losses: of every step, and of every evaluation."""
    path = place / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(task)))
    more = {**SETTINGS, **settings, "training.devices": devices}
    run = tw.train(str(path), task=task, budget="6 steps", settings=more, run=place / str(devices))
    events = read_events(run.path / "events.jsonl")
    return run, [event["loss"] for event in events if event["kind"] in {"step", "evaluation"}]


def slow(*names: str) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("task", ["chat", *slow("causal-lm", "masked-lm", "preference")])
def test_unequal_rows_over_two_processes(task: str, tmp_path: Path) -> None:
    one, losses = trained(tmp_path, task, OURS, devices=1)
    two, found = trained(tmp_path, task, OURS, devices=2)
    np.testing.assert_allclose(found, losses, atol=1e-5, rtol=0)
    assert_same(one, two)


def assert_same(one: tw.Run, two: tw.Run) -> None:
    weights = [load_file(run.path / "model" / "model.safetensors") for run in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        # Adam makes much of a gradient that is nearly nothing.
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=1e-3)
    assert two.metrics["test"].keys() == one.metrics["test"].keys()
    for name, value in one.metrics["test"].items():
        assert two.metrics["test"][name] == pytest.approx(value, rel=1e-4)


SHARDED = {
    "gpt": ("causal-lm", None, {}),
    "bert": ("masked-lm", None, {}),
    "preference": ("preference", None, {}),
    "checkpoint": ("chat", "llama", {}),
    "read padded": ("causal-lm", "gpt2", {"tuning.method": "prompt", "tuning.tokens": 3}),
    "tied": ("causal-lm", "gpt2", {}),
    "masked": ("masked-lm", "roberta", {}),
    "lora": ("causal-lm", "llama", {"tuning.method": "lora", "tuning.rank": 4}),
    "16 bits": (
        "causal-lm",
        "llama",
        {"tuning.method": "lora", "tuning.rank": 4, "tuning.base": "bfloat16"},
    ),
    "encoder and decoder": ("sequence-to-sequence", "t5", {}),
    "adapter": ("causal-lm", "llama", {"tuning.method": "adapter", "tuning.rank": 4}),
}


@pytest.mark.parametrize("kind", ["lora", *slow(*sorted(SHARDED.keys() - {"lora"}))])
def test_a_sharded_run_is_the_run_of_one_process(kind: str, tmp_path: Path) -> None:
    task, base, more = SHARDED[kind]
    settings = {**OURS, **more}
    if base is not None:
        write = pair_checkpoint if base in KINDS else checkpoint
        settings = {**more, "model.checkpoint": write(tmp_path / "base", base)}
    one, losses = trained(tmp_path, task, settings, devices=1)
    two, found = trained(tmp_path, task, {**settings, "training.sharding": "on"}, devices=2)
    assert two.recipe.training.sharding == "on"
    np.testing.assert_allclose(found, losses, atol=1e-4, rtol=0)
    assert_same(one, two)


def test_what_needs_whole_matrices_is_refused(tmp_path: Path) -> None:
    settings = {**OURS, "training.sharding": "on", "training.optimizer": "muon"}
    with pytest.raises((RecipeError, UserError), match="muon does not go with a model that is shared out"):
        trained(tmp_path, "causal-lm", settings, devices=2)
    with pytest.raises(RecipeError, match=r"training.l1 does not go with a model that is shared out"):
        check_shardable(TrainingSettings(l1=0.1))

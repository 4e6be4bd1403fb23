"""What is saved of a language model is what was trained: folders, slivers and their base, exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_checkpoints import TEXTS, gpt2

import trainwright as tw

QUICK: dict[str, Any] = {
    "language.context": 48,
    "training.batch_tokens": 256,
    "training.learning_rate": 0.01,
    "evaluation.sample_tokens": 0,
    "evaluation.bootstrap": 0,
}


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two checkpoints of one shape, texts and conversations."""
    home = tmp_path_factory.mktemp("home")
    gpt2(home / "base")
    gpt2(home / "other", seed=1)
    draw = np.random.default_rng(0)
    write(home / "texts.jsonl", [{"text": " ".join(draw.choice(TEXTS, 3))} for _ in range(80)])
    talks = [{"prompt": f"Say {word}", "completion": word} for word in " ".join(TEXTS).split()] * 4
    write(home / "talks.jsonl", talks)
    return home


def train(home: Path, place: Path, task: str = "causal-lm", **settings: Any) -> tw.Run:
    given = QUICK | {"model.checkpoint": str(home / "base")} | settings
    data = home / ("texts.jsonl" if task == "causal-lm" else "talks.jsonl")
    return tw.train(str(data), task=task, budget="6 steps", settings=given, run=place)


def test_a_loaded_model_is_asked_as_it_was_trained(home: Path, tmp_path: Path) -> None:
    """Fine-tuned on plain text it does not chat; on conversations it does."""
    plain = train(home, tmp_path / "plain")
    model = plain.model
    assert not model.chats
    assert np.array_equal(model._question("the cat"), model._prompt("the cat"))
    talking = train(home, tmp_path / "talking", "chat")
    loaded = tw.load(talking.path)
    assert loaded.chats and loaded.tokenizer.has_own_template
    assert loaded.tokenizer.template.source == talking.model.tokenizer.template.source

"""A language model is judged on choices, on answers and on texts: the columns say how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainwright as tw
from trainwright.foundation.errors import DataError

ANIMALS = ["cat", "dog", "fox", "cow", "hen"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model that knows what each animal says, and nothing else."""
    home = tmp_path_factory.mktemp("animals")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINWRIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        lines = [
            {"prompt": f"What does the {animal} say?", "completion": f"{animal}-{animal}"}
            for animal in ANIMALS * 40
        ]
        (home / "talks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        settings = {
            "model.options": {"depth": 2, "width": 64, "heads": 4},
            "language.vocabulary": 400,
            "language.context": 128,
            "training.batch_tokens": 512,
            "training.learning_rate": 0.01,
            "training.optimizer": "adamw",
            "training.early_stopping": 0,
            "evaluation.sample_tokens": 0,
            "evaluation.bootstrap": 0,
        }
        return tw.train(
            str(home / "talks.jsonl"), task="chat", budget="200 steps", settings=settings, run=home / "run"
        ).model


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_answers(model: Any, tmp_path: Path) -> None:
    rows = [
        {"question": f"What does the {animal} say?", "answer": f"{animal}-{animal}"} for animal in ANIMALS
    ]
    found = tw.evaluate(model, write(tmp_path / "a.jsonl", rows))
    assert found["kind"] == "answers"
    assert found["metrics"]["exact_match"] == 1
    assert found["metrics"]["rouge_l"] == pytest.approx(1)
    wrong = [{**row, "answer": "moo"} for row in rows]
    assert tw.evaluate(model, write(tmp_path / "b.jsonl", wrong))["metrics"]["exact_match"] == 0


def test_choices_by_likelihood(model: Any, tmp_path: Path) -> None:
    choices = ["cat-cat", "zzz zzz", "dog-dog"]
    prompt = model.tokenizer.template.prompt([])  # a model of conversations is asked as plain text here
    rows = [
        {"prompt": f"What does the {animal} say?", "choices": choices, "answer": answer}
        for animal, answer in (("cat", 0), ("dog", "C"), ("cat", "cat-cat"))
    ]
    found = tw.evaluate(model, write(tmp_path / "c.jsonl", rows))
    assert found["kind"] == "choices"
    assert set(found["metrics"]) == {"accuracy", "accuracy_by_byte"}
    assert prompt
    with pytest.raises(DataError, match=r"answer is 7, which is none of its 3 choices"):
        tw.evaluate(model, write(tmp_path / "d.jsonl", [{**rows[0], "answer": 7}]))


def test_likelihoods_are_those_of_the_model(model: Any) -> None:
    import torch

    from trainwright.models.layers.packing import packing

    options = ["cat-cat", "a much longer choice of words", "x"]
    found = model.log_probabilities("What does the cat say?", options)
    for option, chance in zip(options, found, strict=True):
        before = model.tokenizer.encode(["What does the cat say?"])[0]
        whole = model.tokenizer.encode([f"What does the cat say? {option}"])[0]
        ids = torch.from_numpy(np.concatenate([[model.tokenizer.end], whole]).astype(np.int64))
        states = model.network.states(ids[:-1], packing(torch.tensor([len(ids) - 1])))
        told = model.network.logits(states).log_softmax(-1).gather(1, ids[1:, None])[:, 0]
        assert float(told[len(before) :].sum()) == pytest.approx(float(chance), rel=1e-4)


def test_texts_are_read_as_in_training(model: Any, tmp_path: Path) -> None:
    rows = [{"prompt": "What does the cat say?", "completion": "cat-cat", "note": "x"}] * 3
    path = write(
        tmp_path / "e.jsonl",
        [
            {
                "messages": [
                    {"role": "user", "content": row["prompt"]},
                    {"role": "assistant", "content": row["completion"]},
                ]
            }
            for row in rows
        ],
    )
    found = tw.evaluate(model, path)
    assert found["kind"] == "texts"
    assert found["metrics"]["perplexity"] < 1.2

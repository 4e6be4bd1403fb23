"""The benchmark of slivers: all sides learn the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks.sliver import rows_of
from trainwright.workshop.ask import ask_recipe
from trainwright.workshop.language_job import language_job


def test_trainer_is_given_the_tokens_that_ours_learns(tmp_path: Path) -> None:
    words = ["old", "red", "cat", "dog", "tree"]
    draw = np.random.default_rng(0)
    talks = [
        {"prompt": f"{number}?", "completion": " ".join(draw.choice(words, draw.integers(1, 12)))}
        for number in range(60)
    ]
    path = tmp_path / "talks.jsonl"
    path.write_text("".join(json.dumps(talk) + "\n" for talk in talks), encoding="utf-8")
    settings = {
        "model.options": {"depth": 1, "width": 16, "heads": 1},
        "language.vocabulary": 300,
        "language.context": 24,  # some are cut off
        "training.batch_tokens": 96,
    }
    job = language_job(*ask_recipe(str(path), target=None, task="chat", budget="9 steps", settings=settings))
    batches, steps = job.trainer().batches, range(1, 4)
    learned = [batches.plan(0)[step] for step in steps]
    rows = rows_of(batches, steps)
    assert len(rows) == sum(map(len, learned))
    assert sum(len(row["input_ids"]) - 1 for row in rows) == sum(map(batches.size, learned))
    # Trainer tells each token from those before it: the first is told by nobody.
    told = [label for row in rows for label in row["labels"][1:] if label >= 0]
    ours = np.concatenate([batches.batch(step).targets["labels"].numpy() for step in learned])
    assert sorted(told) == sorted(ours.tolist())

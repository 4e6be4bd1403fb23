"""What a run of a language model says of itself says also what it rests on."""

from __future__ import annotations

import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainwright as tw
from trainwright.evaluation.ngrams import DISCOUNT, NGrams
from trainwright.reporting.console import run_summary
from trainwright.workshop import language_judging

TINY: dict[str, Any] = {
    "model.options": {"depth": 2, "width": 32, "heads": 2},
    "language.vocabulary": 320,
    "language.context": 32,
    "training.batch_tokens": 256,
    "evaluation.bootstrap": 0,
    "evaluation.sample_tokens": 0,
}


def texts(number: int) -> dict[str, list[str]]:
    draw = np.random.default_rng(0)
    words = ["the", "cat", "dog", "sat", "ran", "on", "under", "tree", "old", "red"]
    return {"text": [" ".join(draw.choice(words, 12)) for _ in range(number)]}


def said(run: tw.Run) -> tuple[str, str, str]:
    """Return the report, the card and what the terminal shows."""
    from rich.console import Console

    console = Console(width=200, record=True, file=io.StringIO())
    console.print(run_summary(run.path))
    card = (run.path / "model" / "card.md").read_text(encoding="utf-8")
    return run.report.read_text(encoding="utf-8"), card, console.export_text()


@pytest.mark.parametrize("partly", [False, True])
def test_of_how_much_text_the_figures_are(
    partly: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if partly:
        monkeypatch.setattr(language_judging, "_MOST_TOKENS", 100)
        monkeypatch.setattr(language_judging, "_COUNTED_TOKENS", 500)
    run = tw.train(texts(200), task="causal-lm", budget="4 steps", settings=TINY, run=tmp_path / "run")
    judged = run.evaluation["language"]
    tokens = {
        name: each["tokens"]
        for name, each in json.loads((run.path / "data.json").read_text())["parts"].items()
    }
    assert judged["baseline"]["whole"] is not partly
    assert judged["parts"]["test"]["of"] == tokens["test"]
    assert (judged["baseline"]["read"] < tokens["training"]) is partly
    for words in said(run):
        assert ("The n-grams were counted in the first" in words) is partly
        assert ("The metrics are of the first" in words) is partly


def test_figures_of_validation_are_not_said_to_be_kept_away(tmp_path: Path) -> None:
    settings = TINY | {"split.test": 0}
    run = tw.train(texts(200), task="causal-lm", budget="4 steps", settings=settings, run=tmp_path / "run")
    page, card, _ = said(run)
    for words in (page, card):
        assert "kept away" not in words
        assert "On the validation texts, which also chose the weights" in words
        assert "No rows were kept for a test" in words
    assert "在同时用来选定权重的验证文本上" in page


def test_the_card_says_how_the_model_is_used(tmp_path: Path) -> None:
    lines = texts(120)["text"]
    pairs = {"source": lines, "target": lines[::-1]}
    for task, data, use in (
        ("causal-lm", {"text": lines}, "model.generate("),
        ("sequence-to-sequence", pairs, "model.generate("),
        ("chat", {"prompt": lines, "completion": lines[::-1]}, "model.chat("),
        ("masked-lm", {"text": lines}, "model.network"),
    ):
        settings = TINY | {"language.context": 64}
        run = tw.train(data, task=task, budget="1 steps", settings=settings, run=tmp_path / task)
        card = (run.path / "model" / "card.md").read_text(encoding="utf-8")
        uses = [word for word in ("model.generate(", "model.chat(", "model.network") if word in card]
        assert uses == [use]
        page = run.report.read_text(encoding="utf-8")
        learned = re.findall(r'<span class="learned">(.*?)</span>', page)
        assert bool(learned) is (task != "masked-lm") is ("so none is marked here" not in page)
        if task == "chat":
            answer = html.unescape("".join(learned)).split("<|im_end|>")[0]
            assert answer in data["completion"]


def test_ngrams_by_hand() -> None:
    """Two texts of three tokens: 0 1 2 and 0 1 1; absolute discounting, interpolated down to 1 in 4."""
    model = NGrams(np.array([0, 1, 2, 0, 1, 1]), np.array([0, 3, 6]), 4, order=2)
    found = np.exp(-model.nats(np.array([0, 1, 1, 3]), np.array([0, 4])))
    d, uniform = DISCOUNT, 1 / 4
    unseen = d * 3 / 6 * uniform  # three kinds of token among six
    zero, one, three = (2 - d) / 6 + unseen, (3 - d) / 6 + unseen, unseen
    expected = [
        zero,  # the first of a text is told from nothing
        (2 - d) / 2 + d * 1 / 2 * one,  # 1 follows 0 twice of twice
        (1 - d) / 2 + d * 2 / 2 * one,  # 1 follows 1 once of twice, and 2 does
        d * 2 / 2 * three,  # 3 never did
    ]
    np.testing.assert_allclose(found, expected)

"""What a run of a language model says of itself says also what it rests on."""

from __future__ import annotations

import html
import io
import json
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import trainwright as tw
from trainwright.data.token_batches import Cutting
from trainwright.data.token_store import Tokens
from trainwright.evaluation.ngrams import DISCOUNT, NGrams
from trainwright.features.language.formats import Sample
from trainwright.features.language.samples import tokenized
from trainwright.features.language.train import train_tokenizer
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
    # What a byte costs is known of any part that was read: by each tokenizer of the same text.
    for metrics in (judged["parts"]["test"]["metrics"], judged["baseline"]["metrics"]):
        value = {name: each["value"] if isinstance(each, dict) else each for name, each in metrics.items()}
        assert value["bits_per_byte"] == value["bits_per_character"]  # it is ASCII
        tokens_a_byte = value["bits_per_byte"] * np.log(2) / value["loss"]
        assert tokens_a_byte == pytest.approx(tokens["test"] / _bytes(run), rel=0.1)
    for words in said(run):
        assert ("The n-grams were counted in the first" in words) is partly
        assert ("The metrics are of the first" in words) is partly


def _bytes(run: tw.Run) -> int:
    """Return the bytes of the test texts."""
    with np.load(run.path / "split.npz") as split:
        return sum(len(texts(200)["text"][row]) for row in split["test"])


@pytest.mark.parametrize("long", ["split", "truncate"])
@pytest.mark.parametrize("pieces", [1, 2, 3, 4, None])
def test_bytes_are_those_of_the_tokens_that_are_told(
    long: Literal["split", "truncate"], pieces: int | None
) -> None:
    tokenizer = train_tokenizer(texts(50)["text"], kind="bpe", vocabulary=280, masked=False)
    some = ["the old cat sat under the red tree", "Katze übte 猫", "", "a dog ran"]
    made = tokenized(
        [Sample(text=text) for text in some], range(len(some)), tokenizer, task="causal-lm", where=str
    )
    offsets = np.concatenate([[0], np.cumsum(made.lengths)])
    tokens = Tokens(made.ids, None, offsets, made.rows, made.sizes, made.characters)
    cutting = Cutting(tokens, np.arange(len(some)), 8, long, 1, None)
    rows = cutting.plan(0, budget=8, shuffle=False).rows[:pieces]
    found = language_judging.text_read(tokens, tokenizer, cutting, rows)
    places = cutting.pieces(rows)
    told = [
        tokenizer.decode(made.ids[start + 1 : start + 1 + length])
        for start, length in zip(places.starts, places.lengths, strict=True)
    ]
    expected = sum(len(text.encode()) for text in told)
    assert found["byte"] == pytest.approx(expected, abs=6)  # a character may be cut in two
    if pieces is None and long == "split":
        assert found == {"byte": sum(len(one.encode()) for one in some), "character": sum(map(len, some))}


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

"""Doubles: planted in real texts, found with recall and precision, and the first of each stays."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from corpora import PROSE, left, make, write_jsonl

from trainwright.corpus.minhash import signatures, sorted_grams
from trainwright.corpus.tokens import tokens_of

THRESHOLD = 0.8
"""Share of n-grams in common from which two texts are doubles, where a recipe does not say otherwise."""


def grams(text: str) -> set[tuple[str, ...]]:
    """Return the n-grams by which two texts are compared, found in the slow and certain way."""
    tokens = tokens_of([text.lower().encode()])
    words = [tokens.data[start:end].decode() for start, end in zip(tokens.starts, tokens.ends, strict=True)]
    return {tuple(words[at : at + 5]) for at in range(max(1, len(words) - 4))}


def jaccard(first: str, second: str) -> float:
    one, other = grams(first), grams(second)
    return len(one & other) / max(1, len(one | other))


def english(shared_data: Path) -> list[str]:
    news = pl.read_csv(shared_data / "ag_news" / "data.csv")["text"].to_list()
    return [" ".join(news[at : at + 4]) for at in range(0, len(news) - 4, 4)]


def chinese(shared_data: Path) -> list[str]:
    lines = (shared_data / "chinese_poetry" / "tang_10k.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines[:4_000]]
    return ["\n".join(texts[at : at + 2]) for at in range(0, len(texts) - 2, 2)]


def changed(text: str, draw: random.Random) -> str:
    """Return a text with one part in a hundred changed, and another case and punctuation."""
    units = text.split(" ") if " " in text else list(text)
    for _ in range(max(1, len(units) // 100)):
        units[draw.randrange(len(units))] = draw.choice(["stone", "river", "河"])
    joined = (" " if " " in text else "").join(units)
    return joined.replace(",", " ,").upper() if draw.random() < 0.3 else joined


@pytest.mark.parametrize("texts_of", [english, chinese])
def test_planted_doubles_are_found(shared_data: Path, tmp_path: Path, texts_of: object) -> None:
    draw = random.Random(7)
    texts = list(dict.fromkeys(texts_of(shared_data)))  # type: ignore[operator]
    planted: dict[int, int] = {}
    stream = list(texts)
    for _ in range(300):
        original = draw.randrange(len(texts))
        copy = texts[original] if draw.random() < 0.3 else changed(texts[original], draw)
        if jaccard(texts[original], copy) >= THRESHOLD:
            planted[len(stream)] = original
            stream.append(copy)
    assert len(planted) > 150
    found, manifest = make(write_jsonl(tmp_path / "a.jsonl", stream), tmp_path / "out", quality="off")
    kept = {int(position.split()[1].replace(",", "")) - 1 for position in found["position"]}
    gone = set(range(len(stream))) - kept
    recall = len(gone & set(planted)) / len(planted)
    # What left and was not planted is right, too, where the text has a double in the data as it is.
    others = gone - set(planted)
    wrong = [
        number for number in others if max(jaccard(stream[number], stream[at]) for at in kept) < THRESHOLD
    ]
    precision = 1 - len(wrong) / len(gone)
    assert recall >= 0.95, recall
    assert precision >= 0.95, (precision, [stream[number] for number in wrong[:3]])
    assert sum(left(manifest, "duplicates").values()) == len(gone)


@pytest.mark.parametrize("similarity", [0.75, 0.85, 0.95])
def test_doubles_are_found_at_other_similarities(
    shared_data: Path, tmp_path: Path, similarity: float
) -> None:
    """Copies of every likeness: those well above the threshold leave, those well below stay."""
    draw = random.Random(11)
    texts = list(dict.fromkeys(english(shared_data)))[:1_500]
    words = [word for text in texts for word in text.split()]
    stream = list(texts)
    like: list[float] = []
    for original in draw.sample(range(len(texts)), 600):
        units = texts[original].split()
        for _ in range(draw.randrange(max(2, len(units) // 12))):
            units[draw.randrange(len(units))] = draw.choice(words)
        stream.append(" ".join(units))
        like.append(jaccard(texts[original], stream[-1]))
    path = write_jsonl(tmp_path / "a.jsonl", stream)
    found, _ = make(path, tmp_path / "out", quality="off", settings={"near_duplicates": similarity})
    kept = {int(position.split()[1].replace(",", "")) - 1 for position in found["position"]}
    gone = [len(texts) + number not in kept for number in range(len(like))]
    above = [left for left, share in zip(gone, like, strict=True) if share >= min(similarity + 0.08, 1)]
    below = [left for left, share in zip(gone, like, strict=True) if share < similarity - 0.1]
    assert min(len(above), len(below)) > 40, (len(above), len(below))
    assert np.mean(above) >= 0.95, np.mean(above)
    assert np.mean(below) <= 0.05, np.mean(below)


def test_short_texts_are_doubles_only_if_they_are(tmp_path: Path) -> None:
    words = [f"{first}{second}" for first in "abcdefghijklmnopqrst" for second in "abcdefghijklmnopqrst"]
    draw = random.Random(1)
    texts = list(dict.fromkeys(" ".join(draw.sample(words, draw.randint(1, 7))) for _ in range(8_000)))
    path = write_jsonl(tmp_path / "a.jsonl", texts)
    _, manifest = make(path, tmp_path / "out", quality="off")
    assert sum(left(manifest, "duplicates").values()) <= 8


def test_the_first_stays_and_the_sample_shows_both(tmp_path: Path) -> None:
    texts = [f"{PROSE} One.", "Something else is written here.", f"{PROSE} one.", f"{PROSE} ONE. Yes."]
    found, manifest = make(write_jsonl(tmp_path / "a.jsonl", texts), tmp_path / "out")
    assert found["text"].to_list() == texts[:2]
    assert left(manifest, "duplicates") == {"exact": 1, "near": 1}
    sample = manifest["samples"]["duplicates.near"][0]
    assert (sample["text"], sample["like_text"]) == (texts[3][:300], texts[0][:300])


def test_doubles_may_be_kept(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE, PROSE, PROSE + " Yes."])
    found, _ = make(path, tmp_path / "out", settings={"exact_duplicates": False, "near_duplicates": "off"})
    assert len(found) == 3


def test_signatures_estimate_the_share_of_n_grams_in_common() -> None:
    draw = np.random.default_rng(0)
    words = [f"w{number}" for number in range(5_000)]
    for size in (8, 40, 400):
        errors = []
        for _ in range(60):
            first = list(draw.choice(words, size))
            second = list(first)
            for place in draw.choice(size, max(1, size // 40), replace=False):
                second[place] = "other"
            texts = [" ".join(first), " ".join(second)]
            keys = sorted_grams(tokens_of([text.encode() for text in texts]))
            found, signed = signatures(keys, 2)
            assert signed.all()
            errors.append((found[0] == found[1]).mean() - jaccard(*texts))
        assert abs(np.mean(errors)) < 0.03
        assert np.std(errors) < 0.08

"""Texts are cut where the pattern says, and pieces that were met before keep their tokens."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.features import words
from trainwright.features.pieces import PATTERN, cut
from trainwright.features.words import KnownPieces, flat_tokens, train_tokenizer

ASCII = st.text(st.characters(max_codepoint=127), max_size=40)
PROSE = st.text(st.sampled_from("ab1 ,.\n\t  éß房间７́"), max_size=40)
TEXTS = st.lists(st.one_of(st.none(), ASCII, PROSE, st.text(max_size=40)), max_size=8)


@given(TEXTS)
@settings(max_examples=400, deadline=None)
def test_texts_are_cut_where_the_pattern_says(texts: list[str | None]) -> None:
    column = pl.Series(texts, dtype=pl.String)
    pieces = cut(column)
    found = pieces.different.gather(pieces.place).to_list()
    expected = column.fill_null("").str.extract_all(PATTERN).to_list()
    assert [
        found[start:end] for start, end in zip(pieces.offsets, pieces.offsets[1:], strict=False)
    ] == expected
    assert pieces.different.n_unique() == len(pieces.different)


def test_part_of_a_column_is_cut_like_a_whole_one() -> None:
    column = pl.Series(["left out", "some words, é", "more words", None, "left out"])
    whole, part = cut(pl.Series(column[1:4].to_list())), cut(column[1:4])
    assert whole.different.to_list() == part.different.to_list()
    assert np.array_equal(whole.place, part.place)
    assert np.array_equal(whole.offsets, part.offsets)


@pytest.mark.parametrize("most", [0, 50, 1_000_000])
def test_threads_that_ask_at_once_get_the_tokens_of_each_text(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(words, "_MOST_KNOWN", most)
    random = np.random.default_rng(0)
    texts = pl.Series([" ".join(map(str, random.integers(0, 300, 12))) for _ in range(400)])
    tokenizer = train_tokenizer(texts, vocabulary=400, min_frequency=2, lowercase=True)
    expected = flat_tokens(tokenizer, texts)
    known = KnownPieces(tokenizer)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(known.encode, [texts[start : start + 20] for start in range(0, 400, 20)]))
    assert np.array_equal(np.concatenate([part.values for part in parts]), expected.values)
    assert np.array_equal(np.concatenate([part.lengths for part in parts]), expected.lengths)

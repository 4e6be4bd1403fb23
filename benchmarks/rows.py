"""Rows made from a seed: numbers, categories, texts and a target, as a Parquet file.

A number in five has values missing. Categories have 3 to 1,000 levels, all of them as likely. A text is 30
words of a vocabulary of 200,000, drawn as often as in English: the k-th as 1 / (k + 2.7) up to 5,000, beyond
as k to the power of -1.8 (Ferrer i Cancho and Solé 2001, 'Two regimes in the frequency of words'), so that a
million words have 50,000 different ones, as the Brown corpus has. One in ten begins with a capital, one in
seven ends in a comma or a full stop, and one text in twenty has an accent. The target, yes or no, follows
from the numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

WORDS, VOCABULARY = 30, 200_000
_LEVELS = (3, 10, 50, 200, 1_000)
_CHUNK = 100_000
_COMMON = 5_000
"""Words that come again and again; the others thin out faster."""
_ACCENTED = 200
"""One word in so many has an accent: a text in twenty."""


def write(
    path: Path, rows: int, *, numbers: int = 10, categories: int = 5, texts: int = 1, seed: int = 0
) -> None:
    """Write a Parquet file, a row group of 100,000 rows at a time.

    Columns are `number 0` …, `category 0` …, `text 0` … and `target`.
    """
    import pyarrow.parquet as pq

    random = np.random.default_rng(seed)
    words, share = _vocabulary(random)
    slopes = random.normal(size=numbers)
    writer = None
    for start in range(0, rows, _CHUNK):
        n = min(_CHUNK, rows - start)
        values = random.normal(size=(n, numbers))
        told = values @ slopes + random.normal(size=n)
        values[random.random(values.shape) < 0.05 * (np.arange(numbers) % 5 == 0)] = np.nan
        columns: dict[str, Any] = {f"number {at}": values[:, at] for at in range(numbers)}
        for at in range(categories):
            levels = pl.Series(random.integers(0, _LEVELS[at % len(_LEVELS)], n))
            columns[f"category {at}"] = "level " + levels.cast(pl.String)
        for at in range(texts):
            columns[f"text {at}"] = _texts(random, words, share, n)
        columns["target"] = np.where(told > 0, "yes", "no")
        frame = pl.DataFrame(columns).with_columns(pl.col(pl.Float64).fill_nan(None))
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def _vocabulary(random: np.random.Generator) -> tuple[pl.Series, np.ndarray[Any, Any]]:
    """Return different words, those with a capital behind, and the cumulative share of each."""
    letters = np.array(list("etaoinshrdlucmfwypvbgkjxqz"))
    often = 1 / np.arange(3, 3 + len(letters))
    found: dict[str, None] = {}
    while len(found) < VOCABULARY:
        drawn = random.choice(letters, (VOCABULARY, 12), p=often / often.sum())
        lengths = 2 + random.binomial(10, 0.5, VOCABULARY)
        made = ("".join(word[:length]) for word, length in zip(drawn, lengths, strict=True))
        found |= dict.fromkeys(made)
    # Short ones first: what is said often is short.
    words = sorted(list(found)[:VOCABULARY], key=len)
    for at in range(_ACCENTED, VOCABULARY, _ACCENTED):
        words[at] = words[at][:-1] + "éèüñ"[at % 4]
    series = pl.Series(words)
    rank = np.arange(VOCABULARY)
    share = 1 / (rank + 2.7) * np.minimum(1, (_COMMON / (rank + 1)) ** 0.8)
    return pl.concat([series, series.str.to_titlecase()]), np.cumsum(share / share.sum())


def _texts(random: np.random.Generator, words: pl.Series, share: np.ndarray[Any, Any], n: int) -> pl.Series:
    place = np.searchsorted(share, random.random(n * WORDS)).clip(max=VOCABULARY - 1)
    place += VOCABULARY * (random.random(len(place)) < 0.1)
    ends = pl.Series([" "] * 12 + [", ", ". "]).gather(random.integers(0, 14, len(place)))
    lists = (words.gather(place) + ends).reshape((n, WORDS)).cast(pl.List(pl.String))
    return lists.list.join("").str.strip_chars_end()

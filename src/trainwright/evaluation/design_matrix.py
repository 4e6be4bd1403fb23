"""Columns of any type as matrices for simple models: one for linear models, one for trees.

Everything is learned from the first row set (training) and applied to all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from trainwright.data.encoded import Ragged
from trainwright.data.moments import as_moments, day_first_evidence
from trainwright.data.values import as_numbers, as_text, as_words
from trainwright.evaluation.media_summary import mel_statistics, pooled_pixels, sequence_statistics
from trainwright.evaluation.sample import Array
from trainwright.foundation.random import stream_seed

RAW_TYPES = ("number", "date", "text", "category", "boolean", "ordinal")
"""Feature types that are read from raw values."""
TREE_LEVELS = 254
"""Levels that trees split natively (scikit-learn's 255 bins, one for all others)."""
LINEAR_LEVELS = 2_000
"""Levels that a linear model gets a column for."""
TERMS = 50_000
"""Words and pairs of words that TF-IDF keeps, the most frequent ones."""
TOPICS = 32
"""Dimensions of the truncated SVD that trees see of a text."""

_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class BaselineRows:
    """Rows as simple models take them.

    Attributes:
        frame: raw values; columns of `RAW_TYPES` are read from here.
        arrays: column → what its feature made of it, for all other columns, and for any column whose raw
            values need the feature's parser: "pixels" of an image [rows, channels, height, width],
            "samples" of a recording (`Ragged` int16), "values" of a sequence (`Ragged` [total, d]), or
            numbers [rows, d] ("dense").
    """

    frame: pl.DataFrame
    arrays: Mapping[str, Array | Ragged] = field(default_factory=dict)


@dataclass(frozen=True)
class Matrices:
    """The rows of several row sets, as linear models and as trees take them.

    Attributes:
        linear: for each row set a sparse [rows, columns], scaled and without gaps.
        trees: for each row set float32 [rows, columns], NaN where missing.
        categorical: which tree columns are codes of levels, bool [columns].
        texts: how many columns are text.
        left_out: columns that simple models cannot take.
    """

    linear: list[Any]
    trees: list[Array]
    categorical: Array
    texts: int
    left_out: list[str]


@dataclass(frozen=True)
class _Block:
    linear: list[Any]
    trees: list[Array]
    categorical: bool = False


def build(
    types: Mapping[str, str],
    row_sets: Sequence[BaselineRows],
    *,
    sample_rates: Mapping[str, int],
    seed: int,
) -> Matrices:
    """Return the matrices of all row sets, the first being the training rows.

    Args:
        types: input column → feature type.
        row_sets: training rows first.
        sample_rates: audio column → samples a second.
        seed: for the SVD of texts.
    """
    blocks: list[_Block] = []
    left_out: list[str] = []
    texts = sum(kind == "text" for kind in types.values())
    for name, kind in types.items():
        given = [rows.arrays[name] for rows in row_sets if name in rows.arrays]
        raw = [rows.frame[name] for rows in row_sets if name in rows.frame.columns]
        if len(given) == len(row_sets):
            blocks.append(_numbers([_plain(array, kind, sample_rates.get(name, 16_000)) for array in given]))
        elif len(raw) < len(row_sets) or kind not in RAW_TYPES:
            left_out.append(name)
        elif kind == "number":
            blocks.append(_numbers([as_numbers(values).values[:, None] for values in raw]))
        elif kind == "date":
            blocks.append(_numbers(_date_parts(raw)))
        elif kind == "text":
            # Trees alone on a text are no better than the linear model and many times slower.
            blocks.append(_text(raw, trees=texts < len(types), seed=stream_seed(seed, "topics", name)))
        else:
            blocks.append(_levels(raw))
    sizes = [len(rows.frame) if rows.frame.width else _rows(rows.arrays) for rows in row_sets]
    flags = [np.full(block.trees[0].shape[1], block.categorical) for block in blocks]
    return Matrices(
        [_joined([block.linear[at] for block in blocks], rows) for at, rows in enumerate(sizes)],
        [
            np.concatenate([np.empty((rows, 0), np.float32), *(block.trees[at] for block in blocks)], axis=1)
            for at, rows in enumerate(sizes)
        ],
        np.concatenate(flags) if flags else np.zeros(0, dtype=bool),
        texts,
        left_out,
    )


def _joined(parts: list[Any], rows: int) -> Any:
    """Return sparse parts side by side, [rows, columns], with the 32-bit indices that liblinear wants."""
    from scipy.sparse import csr_array, hstack

    joined = hstack([csr_array((rows, 0)), *parts], format="csr")
    joined.indices, joined.indptr = joined.indices.astype(np.int32), joined.indptr.astype(np.int32)
    return joined


def _rows(arrays: Mapping[str, Array | Ragged]) -> int:
    array = next(iter(arrays.values()))
    return len(array.offsets) - 1 if isinstance(array, Ragged) else len(array)


def _plain(array: Array | Ragged, kind: str, sample_rate: int) -> Array:
    """Return what a feature made of a column as numbers [rows, columns]."""
    if isinstance(array, Ragged):
        return mel_statistics(array, sample_rate) if kind == "audio" else sequence_statistics(array)
    if array.ndim == 4:
        return pooled_pixels(array)
    return array.reshape(len(array), -1).astype(np.float32)


def _date_parts(parts: list[pl.Series]) -> list[Array]:
    """Return days since 1970, year, month, day of the week and hour of each row set, [rows, 5]."""
    day_first, month_first, _ = day_first_evidence(parts[0])
    found = []
    for values in parts:
        read = as_moments(values, day_first=day_first > month_first)
        moment = pl.Series(read.moments).cast(pl.Datetime("us")).dt
        columns = (moment.epoch("s") / 86_400, moment.year(), moment.month(), moment.weekday(), moment.hour())
        numbers = np.stack([column.cast(pl.Float64).to_numpy() for column in columns], axis=1)
        found.append(np.where((read.missing | read.strays)[:, None], np.nan, numbers))
    return found


def _numbers(parts: list[Array]) -> _Block:
    """Numbers [rows, d]: standardised, gaps at the median and marked; as they are for trees."""
    from scipy.sparse import csr_array

    first = parts[0].astype(np.float64)
    gaps = np.isnan(first)
    known = [column[~gap] for column, gap in zip(first.T, gaps.T, strict=True)]
    median = np.array([np.median(column) if len(column) else 0.0 for column in known])
    filled = np.where(gaps, median, first)
    mean, deviation = filled.mean(axis=0), filled.std(axis=0)
    varies = deviation > 1e-12 * np.maximum(np.abs(mean), 1e-300)
    marked = gaps.any(axis=0)
    linear = []
    for part in parts:
        missing = np.isnan(part)
        scaled = (np.where(missing, median, part) - mean)[:, varies] / deviation[varies]
        linear.append(csr_array(np.concatenate([scaled, missing[:, marked]], axis=1)))
    with np.errstate(over="ignore"):
        return _Block(linear, [part.astype(np.float32) for part in parts])


def _levels(parts: list[pl.Series]) -> _Block:
    """Levels: one column each for linear models, codes by frequency for trees; other levels are missing."""
    from scipy.sparse import csr_array

    words = [as_words(part).rename("level") for part in parts]
    counts = words[0].drop_nulls().value_counts().sort(["count", "level"], descending=[True, False])
    known = counts["level"].head(LINEAR_LEVELS)
    codes_of = pl.DataFrame({"level": known, "code": np.arange(len(known), dtype=np.int64)})
    linear, trees = [], []
    for part in words:
        joined = part.to_frame().join(codes_of, on="level", how="left", maintain_order="left")
        codes = joined["code"].fill_null(-1).to_numpy()
        row = np.flatnonzero(codes >= 0)
        linear.append(csr_array((np.ones(len(row)), (row, codes[row])), shape=(len(part), len(known))))
        capped = np.minimum(codes, TREE_LEVELS).astype(np.float32)
        trees.append(np.where(codes < 0, np.nan, capped).astype(np.float32)[:, None])
    return _Block(linear, trees, categorical=True)


def _text(parts: list[pl.Series], *, trees: bool, seed: int) -> _Block:
    """TF-IDF of words and pairs of words, or of characters and pairs for scripts without spaces; for trees
    a truncated SVD of it (latent semantic analysis: Deerwester et al. 1990)."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [as_text(part).fill_null("").to_list() for part in parts]
    options = {"analyzer": "char"} if _without_spaces(texts[0]) else {"token_pattern": r"(?u)\b\w+\b"}
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, max_features=TERMS, dtype=np.float64, **options
    )
    empty = [np.empty((len(part), 0), dtype=np.float32) for part in texts]
    try:
        linear = [vectorizer.fit_transform(texts[0]), *(vectorizer.transform(part) for part in texts[1:])]
    except ValueError:  # not a single word in the training rows
        from scipy.sparse import csr_array

        return _Block([csr_array((len(part), 0)) for part in texts], empty)
    width = min(TOPICS, linear[0].shape[1] - 1, linear[0].shape[0] - 1)
    if not trees or width < 1:
        return _Block(linear, empty)
    svd = TruncatedSVD(width, n_iter=2, random_state=seed % 2**32)
    topics = [svd.fit_transform(linear[0]), *(svd.transform(part) for part in linear[1:])]
    return _Block(linear, [part.astype(np.float32) for part in topics])


def _without_spaces(texts: Sequence[str]) -> bool:
    """Return whether a fifth or more of the letters are Chinese, Japanese or Korean."""
    some = "".join(text[:200] for text in texts[:: max(1, len(texts) // 500)])
    return len(_CJK.findall(some)) >= 0.2 * max(len(_LETTER.findall(some)), 1)

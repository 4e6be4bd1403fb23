"""Sets: several labels in one value, such as `Comedy|Drama` or a list of tags."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from pydantic import Field, field_validator

from trainwright.data.values import as_text, as_words, is_missing_word
from trainwright.features.base import FEATURES, Array, Context, Encoded, FeatureOptions, Ragged
from trainwright.features.learned import LearnedClasses, LearnedFeature, LearnedInput, reasons
from trainwright.features.levels import counted, index_of, natural_order
from trainwright.foundation.errors import DataError

DELIMITERS = ("|", ";", ",")
"""What may stand between labels, the clearest sign first."""


class SetOptions(FeatureOptions):
    """Options of a set."""

    delimiter: str | None = Field(
        None,
        min_length=1,
        max_length=8,
        description="What stands between labels; of | ; , the one that most values have.",
    )
    max_labels: int = Field(
        256,
        ge=1,
        le=10_000,
        description="Labels with a column of their own, the most frequent ones; the rest share one.",
    )
    min_count: int = Field(
        2, ge=1, description="Training rows a label needs for a column of its own, as an input."
    )
    max_classes: int = Field(10_000, ge=1, le=100_000, description="Labels at most, for a target.")


class LearnedSet(LearnedInput):
    """What a set learned as an input.

    Attributes:
        delimiter: what stands between labels.
        labels: labels with a column of their own, most frequent first.
        pooled: whether rarer labels share a column.
        indicator: whether training values were missing.
    """

    delimiter: str = Field(min_length=1)
    labels: tuple[str, ...]
    pooled: bool
    indicator: bool

    @field_validator("labels")
    @classmethod
    def _different(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) != len(labels):
            raise ValueError("labels must differ")
        return labels


class LearnedLabels(LearnedClasses):
    """What a set learned as a target."""

    delimiter: str = Field(min_length=1)


@FEATURES.register("set")
class SetFeature(LearnedFeature):
    """Labels → dense [rows, d]: 1 for each label, rare ones together, an indicator of missing values."""

    type = "set"
    modality = "table"
    Options = SetOptions
    Input = LearnedSet
    Target = LearnedLabels

    def fit(self, values: pl.Series, context: Context) -> None:
        """Learn the delimiter and the labels."""
        delimiter = self.options.delimiter or _delimiter(values)
        labels, _, missing = _labels(values, delimiter)
        counts = counted(labels)
        frequent = [label for label, count in counts.items() if count >= self.options.min_count]
        kept = frequent[: self.options.max_labels]
        pooled = len(counts) - len(kept)
        note = f"rare labels that share a column: {pooled:,} of {len(counts):,}"
        self.learned_ = LearnedSet(
            delimiter=delimiter,
            labels=tuple(kept),
            pooled=pooled > 0,
            indicator=bool(missing.any()),
            notes=(note,) if pooled else (),
        )

    def encode(self, values: pl.Series, context: Context) -> Encoded:
        """Return "dense"."""
        learned: LearnedSet = self.learned_
        labels, rows, missing = _labels(values, learned.delimiter)
        index = index_of(labels, learned.labels, first=0, unseen=len(learned.labels), missing=-1)
        other = index == len(learned.labels)
        dense = np.zeros((len(values), self.spec()["dense"]), dtype=np.float32)
        used = np.full(len(index), True) if learned.pooled else ~other
        dense[rows[used], index[used]] = 1
        counts = {"rare or unseen labels": int(other.sum())} if other.any() else {}
        if learned.indicator:
            dense[:, -1] = missing
        elif missing.any():
            counts["missing, though never in training"] = int(missing.sum())
        return Encoded({"dense": dense}, counts=counts)

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return lists of labels, most frequent first; rare and unseen ones are left out."""
        learned: LearnedSet = self.learned_
        dense = encoded.arrays["dense"]
        assert not isinstance(dense, Ragged)
        there = dense[:, : len(learned.labels)] > 0.5
        rows, columns = np.nonzero(there)
        names = pl.Series(learned.labels, dtype=pl.String).gather(columns)
        grouped = pl.DataFrame({"row": rows, "labels": names}).group_by("row").agg("labels")
        every = pl.DataFrame({"row": np.arange(len(dense))}).join(
            grouped, on="row", how="left", maintain_order="left"
        )
        lists = every["labels"].fill_null([]).alias(self.name)
        return lists.set(pl.Series(dense[:, -1] > 0.5), None) if learned.indicator else lists

    def spec(self) -> dict[str, Any]:
        """Return {"dense": d, "bins": [None, …]}."""
        width = len(self.learned_.labels) + self.learned_.pooled + self.learned_.indicator
        return {"dense": width, "bins": [None] * width}

    def fit_target(self, values: pl.Series, context: Context) -> None:
        """Learn the classes: every label.

        Raises:
            DataError: no label, or more than `max_classes`.
        """
        delimiter = self.options.delimiter or _delimiter(values)
        counts = counted(_labels(values, delimiter)[0])
        where = f"target '{self.name}'"
        if not counts:
            raise DataError("no training row has a label", where=where, fix="give a target that is not empty")
        if len(counts) > self.options.max_classes:
            raise DataError(
                f"there are {len(counts):,} labels in {len(values):,} training rows",
                where=where,
                fix=f"name another column, or raise max_classes above {self.options.max_classes:,}",
            )
        classes = natural_order(list(counts))
        self.learned_ = LearnedLabels(
            delimiter=delimiter, classes=tuple(classes), counts=tuple(counts[label] for label in classes)
        )

    def encode_target(self, values: pl.Series) -> tuple[Array, dict[int, str]]:
        """Return 0 and 1, float32 [rows, classes], a row of NaN where there is nothing, with the reasons."""
        learned: LearnedLabels = self.learned_
        labels, rows, missing = _labels(values, learned.delimiter)
        index = index_of(labels, learned.classes, first=0, unseen=-1, missing=-1)
        unseen = np.zeros(len(values), dtype=bool)
        unseen[rows[index < 0]] = True
        hot = np.zeros((len(values), len(learned.classes)), dtype=np.float32)
        hot[rows[index >= 0], index[index >= 0]] = 1
        hot[missing | unseen] = np.nan
        broken = reasons(values, missing, "the target is missing")
        broken |= reasons(values, unseen, "a label of {} was not seen in training")
        return hot, broken

    def target_spec(self) -> dict[str, Any]:
        """Return {"classes": labels in order, "counts": training rows of each}."""
        return {"classes": list(self.learned_.classes), "counts": list(self.learned_.counts)}


def _delimiter(values: pl.Series) -> str:
    """Return the delimiter that most values have; the clearer sign where two are equal."""
    if isinstance(values.dtype, pl.List | pl.Array):
        return DELIMITERS[0]
    text = as_text(values)
    having = [int(text.str.contains(mark, literal=True).sum()) for mark in DELIMITERS]
    return DELIMITERS[int(np.argmax(having))]


def _labels(values: pl.Series, delimiter: str) -> tuple[pl.Series, Array, Array]:
    """Return all rows' different labels one after another, the row of each, and the rows without a value."""
    if isinstance(values.dtype, pl.Array):
        values = values.cast(pl.List(values.dtype.inner))
    if isinstance(values.dtype, pl.List):
        missing = values.is_null()
        lists = values
    else:
        text = as_text(values).str.strip_chars()
        missing = is_missing_word(text).fill_null(True)
        # Lists written by programs: ["a", "b"] or ['a', 'b'].
        lists = text.set(missing, None).str.replace(r"^\[(.*)\]$", "$1")
        # Inside such brackets the comma divides, whatever the column's delimiter is.
        bracketed = text.str.starts_with("[").fill_null(False)
        pair = pl.DataFrame({"text": lists, "bracketed": bracketed})
        lists = pair.select(
            pl.when("bracketed")
            .then(pl.col("text").str.split(","))
            .otherwise(pl.col("text").str.split(delimiter))
        ).to_series()
    lengths = lists.list.len().fill_null(0).cast(pl.Int64).to_numpy()
    rows = np.repeat(np.arange(len(values)), lengths)
    flat = lists.explode(empty_as_null=False, keep_nulls=False)
    if flat.dtype == pl.String:
        flat = flat.str.strip_chars().str.strip_chars("'\"")
    pairs = pl.DataFrame({"row": rows, "label": as_words(flat)}).drop_nulls().unique(maintain_order=True)
    return pairs["label"], pairs["row"].to_numpy(), missing.to_numpy()

"""Sequences: numbers in order, as many in a row as there happen to be, such as a sensor's readings."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from trainwright.data.values import NumberLists, as_number_lists
from trainwright.features.base import FEATURES, Array, Context, Encoded, FeatureOptions, Ragged
from trainwright.features.learned import LearnedFeature, LearnedInput
from trainwright.features.scaling import mean_and_std

_AUTO_LENGTH = 1024
_REACH = 20.0
"""Standard deviations that a number is held within."""


class SequenceOptions(FeatureOptions):
    """Options of a sequence."""

    max_length: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Steps at most, the first ones; the longest in training, up to 1,024.",
    )


class LearnedSequence(LearnedInput):
    """What a sequence learned.

    Attributes:
        mean: mean of each figure of a step over all training steps; its length is the width of a step.
        std: standard deviation of each figure.
        max_length: steps at most.
    """

    mean: tuple[float, ...] = Field(min_length=1, max_length=65_536)
    std: tuple[float, ...]
    max_length: int = Field(ge=1)

    @model_validator(mode="after")
    def _deviations(self) -> LearnedSequence:
        if len(self.std) != len(self.mean) or min(self.std) <= 0:
            raise ValueError("every mean needs a deviation above 0")
        return self


@FEATURES.register("sequence")
class SequenceFeature(LearnedFeature):
    """A sequence → values: Ragged float32 [total, d], standardised by figure; missing has length 0.

    A step is one number (d = 1), or a list of d numbers in columns of lists of lists. A step without a
    number is 0, its mean. There is no stem: `encode` standardises.
    """

    type = "sequence"
    modality = "sequence"
    Options = SequenceOptions
    Input = LearnedSequence

    def fit(self, values: pl.Series, context: Context) -> None:
        """Learn the width of a step, the longest sequence, and mean and standard deviation."""
        width, steps = _steps(values, None)
        matrix = steps.values.reshape(-1, width)
        scales = [mean_and_std(column[~np.isnan(column)]) for column in matrix.T]
        longest = int(steps.lengths.max(initial=1)) // width
        self.learned_ = LearnedSequence(
            mean=tuple(mean for mean, _ in scales),
            std=tuple(std for _, std in scales),
            max_length=self.options.max_length or max(1, min(longest, _AUTO_LENGTH)),
        )

    def encode(self, values: pl.Series, context: Context) -> Encoded:
        """Return "values"; what is not a list of numbers is broken."""
        learned: LearnedSequence = self.learned_
        width, steps = _steps(values, len(learned.mean))
        lengths = steps.lengths // width
        kept = np.minimum(lengths, learned.max_length)
        position = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        matrix = steps.values.reshape(-1, width)[position < learned.max_length]
        with np.errstate(over="ignore"):
            scaled = np.clip((matrix - np.array(learned.mean)) / np.array(learned.std), -_REACH, _REACH)
        nothing = np.isnan(matrix)
        offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
        counts = {
            "truncated": int((lengths > kept).sum()),
            "numbers missing in sequences": int(nothing.sum()),
        }
        return Encoded(
            {"values": Ragged(np.where(nothing, 0.0, scaled).astype(np.float32), offsets)},
            {int(row): "this is not a list of numbers" for row in steps.strays.nonzero()[0]},
            {what: count for what, count in counts.items() if count},
        )

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return lists of numbers (of lists where a step has several); an empty one is null."""
        learned: LearnedSequence = self.learned_
        ragged = encoded.arrays["values"]
        assert isinstance(ragged, Ragged)
        matrix = ragged.values.astype(np.float64) * np.array(learned.std) + np.array(learned.mean)
        wide = len(learned.mean) > 1
        rows = [
            (matrix[start:end] if wide else matrix[start:end, 0]).tolist() if end > start else None
            for start, end in zip(ragged.offsets[:-1], ragged.offsets[1:], strict=True)
        ]
        inner = pl.List(pl.Float64) if wide else pl.Float64()
        return pl.Series(self.name, rows, dtype=pl.List(inner))

    def spec(self) -> dict[str, Any]:
        """Return {"width": numbers in a step, "max_length": steps at most}."""
        return {"width": len(self.learned_.mean), "max_length": self.learned_.max_length}


def _steps(values: pl.Series, width: int | None) -> tuple[int, NumberLists]:
    """Return the width of a step and all rows' numbers; lengths count numbers, not steps.

    Args:
        values: the column.
        width: numbers in a step; None takes what most steps have.
    """
    nested = _nested(values)
    if nested is None:
        flat = as_number_lists(values)
        count = _bracketed(values)
        if width is None:
            width = _most_common(flat.lengths[count > 0] // count[count > 0])
        return width, _without(
            flat, np.where(count > 0, count * width != flat.lengths, flat.lengths % width != 0)
        )
    steps = as_number_lists(nested.explode(empty_as_null=False, keep_nulls=False))
    count = nested.list.len().fill_null(0).cast(pl.Int64).to_numpy()
    width = width or _most_common(steps.lengths)
    row = np.repeat(np.arange(len(values)), count)
    wrong = np.bincount(row[steps.lengths != width], minlength=len(values)) > 0
    lengths = np.bincount(row, weights=steps.lengths, minlength=len(values)).astype(np.int64)
    missing = nested.is_null().to_numpy()
    return width, _without(
        NumberLists(steps.values, lengths, missing, np.zeros(len(values), dtype=bool)), wrong
    )


def _most_common(widths: Array) -> int:
    """Return the width above 0 that comes most often; 1 where there is none."""
    found, uses = np.unique(widths[widths > 0], return_counts=True)
    return int(found[np.argmax(uses)]) if len(found) else 1


def _bracketed(values: pl.Series) -> Array:
    """Return how many steps each text such as `[[1, 2], [3, 4]]` has, int64 [rows]; 0 for other values."""
    if values.dtype != pl.String:
        return np.zeros(len(values), dtype=np.int64)
    steps = values.str.count_matches(r"\]").cast(pl.Int64) - 1
    return steps.set(~values.str.contains(r"^\s*\[\s*\["), 0).fill_null(0).to_numpy()


def _nested(values: pl.Series) -> pl.Series | None:
    """Return the column as lists of steps when a step is a list itself, else None."""
    kind = values.dtype
    if isinstance(kind, pl.Array) and len(kind.shape) == 2:
        return values.arr.to_list()
    if isinstance(kind, pl.List) and isinstance(kind.inner, pl.List | pl.Array):
        return values
    return None


def _without(lists: NumberLists, wrong: Array) -> NumberLists:
    """Return the lists with those in `wrong` emptied and marked as strays."""
    kept = np.repeat(~wrong, lists.lengths)
    lengths = np.where(wrong, 0, lists.lengths)
    return NumberLists(lists.values[kept], lengths, lists.missing, lists.strays | wrong)

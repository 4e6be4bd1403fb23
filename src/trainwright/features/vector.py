"""Vectors: the same number of numbers in every row, such as an embedding made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from pydantic import Field

from trainwright.data.values import NumberLists, as_number_lists
from trainwright.features.base import FEATURES, Array, Context, Encoded, FeatureOptions, Ragged
from trainwright.features.learned import LearnedFeature, LearnedInput
from trainwright.foundation.errors import DataError

_MAX_WIDTH = 65_536
_REACH = 20.0
"""Standard deviations that a component is held within."""


class VectorOptions(FeatureOptions):
    """Options of a vector."""

    width: int | None = Field(
        None, ge=1, le=_MAX_WIDTH, description="Numbers in a vector; what most training rows have."
    )


class LearnedVector(LearnedInput):
    """What a vector learned, beside the mean and deviation of every component.

    Attributes:
        width: numbers in a vector.
        indicator: whether training values were missing.
    """

    width: int = Field(ge=0, le=_MAX_WIDTH)
    indicator: bool


@FEATURES.register("vector")
class VectorFeature(LearnedFeature):
    """A vector → dense [rows, d], each component standardised, and an indicator of missing vectors.

    A component without a number becomes 0, its mean.
    """

    type = "vector"
    modality = "table"
    Options = VectorOptions
    Input = LearnedVector

    mean_: Array
    std_: Array

    def fit(self, values: pl.Series, context: Context) -> None:
        """Learn the width, and mean and standard deviation of every component.

        Raises:
            DataError: the vectors are wider than 65,536 numbers.
        """
        lists = as_number_lists(values)
        width = self.options.width or _common_width(lists)
        if width > _MAX_WIDTH:
            raise DataError(
                f"its vectors have {width:,} numbers, and {_MAX_WIDTH:,} is the limit",
                where=f"column '{self.name}'",
                fix="give it the type sequence, or make the vectors shorter",
            )
        fitting = (lists.lengths == width) & ~lists.missing & ~lists.strays
        matrix = _matrix(lists, fitting, width)[fitting]
        known = ~np.isnan(matrix)
        count = np.maximum(known.sum(axis=0), 1)
        largest = np.where(known, np.abs(matrix), 0.0).max(axis=0, initial=0.0)
        unit = np.where(largest > 0, np.ldexp(1.0, np.frexp(largest)[1] - 1), 1.0)  # keeps squares in float64
        small = np.where(known, matrix / unit, 0.0)
        mean = small.sum(axis=0) / count
        std = np.sqrt((np.where(known, small - mean, 0.0) ** 2).sum(axis=0) / count)
        self.mean_ = mean * unit
        # Equal components differ by rounding alone.
        self.std_ = np.where(std > 1e-12 * np.abs(mean), std * unit, 1.0)
        self.learned_ = LearnedVector(width=width, indicator=bool(lists.missing.any()))

    def encode(self, values: pl.Series, context: Context) -> Encoded:
        """Return "dense"; vectors of another width are broken."""
        learned: LearnedVector = self.learned_
        lists = as_number_lists(values)
        wrong = (lists.lengths != learned.width) & ~lists.missing & ~lists.strays
        fitting = ~(wrong | lists.missing | lists.strays)
        matrix = _matrix(lists, fitting, learned.width)
        known = ~np.isnan(matrix)
        with np.errstate(over="ignore"):
            scaled = np.clip((matrix - self.mean_) / self.std_, -_REACH, _REACH)
        dense = np.where(known, scaled, 0.0).astype(np.float32)
        if learned.indicator:
            dense = np.concatenate([dense, ~fitting[:, None]], axis=1, dtype=np.float32)
        broken = {int(row): "this is not a list of numbers" for row in lists.strays.nonzero()[0]}
        for row in wrong.nonzero()[0]:
            broken[int(row)] = (
                f"a vector of {lists.lengths[row]:,} numbers where {learned.width:,} are expected"
            )
        counts = {"numbers missing in vectors": int((~known[fitting]).sum())}
        if not learned.indicator:
            counts["missing, though never in training"] = int(lists.missing.sum())
        return Encoded({"dense": dense}, broken, {what: count for what, count in counts.items() if count})

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return Array(Float64, width) values."""
        learned: LearnedVector = self.learned_
        dense = encoded.arrays["dense"]
        assert not isinstance(dense, Ragged)
        matrix = dense[:, : learned.width].astype(np.float64) * self.std_ + self.mean_
        values = pl.Series(self.name, matrix, dtype=pl.Array(pl.Float64, learned.width))
        return values.set(pl.Series(dense[:, -1] > 0.5), None) if learned.indicator else values

    def spec(self) -> dict[str, Any]:
        """Return {"dense": d, "bins": [None, …]}."""
        width = self.learned_.width + self.learned_.indicator
        return {"dense": width, "bins": [None] * width}

    def tensors(self) -> dict[str, Array]:
        """Return mean and standard deviation, float64 [width]."""
        return {"mean": self.mean_, "std": self.std_}

    def load(self, state: Mapping[str, Any], tensors: Mapping[str, Array]) -> None:
        """Take back what `state` and `tensors` gave.

        Raises:
            ModelFolderError: something is missing, unknown or impossible.
        """
        super().load(state, tensors)
        shape = (self.learned_.width,)
        for name in ("mean", "std"):
            tensor = tensors.get(name)
            if tensor is None or tensor.shape != shape or not np.issubdtype(tensor.dtype, np.floating):
                raise self.damaged(f"{name} must be {shape[0]} numbers")
            if not np.isfinite(tensor).all():
                raise self.damaged(f"{name} must be finite")
        if (tensors["std"] <= 0).any():
            raise self.damaged("std must be greater than 0")
        self.mean_, self.std_ = tensors["mean"], tensors["std"]


def _common_width(lists: NumberLists) -> int:
    lengths = lists.lengths[~(lists.missing | lists.strays)]
    found, counts = np.unique(lengths, return_counts=True)
    return int(found[np.argmax(counts)]) if len(found) else 0


def _matrix(lists: NumberLists, fitting: Array, width: int) -> Array:
    """Return the fitting rows' numbers in their rows, NaN elsewhere, float64 [rows, width]."""
    matrix = np.full((len(fitting), width), np.nan)
    matrix[fitting] = lists.values[np.repeat(fitting, lists.lengths)].reshape(-1, width) if width else 0.0
    return matrix

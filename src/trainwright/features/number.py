"""Numbers: scaled by what training values look like, with an indicator where some were missing."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import Field

from trainwright.data.values import Numbers, as_numbers
from trainwright.features.base import FEATURES, Array, Context, Encoded, FeatureOptions, Ragged
from trainwright.features.learned import LearnedFeature, LearnedInput, LearnedMean, examples, reasons
from trainwright.features.scaling import Scale, fit_scale, mean_and_std
from trainwright.foundation.errors import DataError

_LEAST_GAP = 1e-4
"""Narrowest bin as a share of the range: narrower ones would multiply noise."""


class NumberOptions(FeatureOptions):
    """Options of a number."""

    scaling: Literal["auto", "standard", "robust", "quantile", "none"] = Field(
        "auto", description="How values are scaled; auto: quantile where there are outliers, else standard."
    )
    embedding: Literal["auto", "none", "piecewise", "periodic"] = Field(
        "auto",
        description="How encoders widen the number; auto: piecewise where it has more than two values.",
    )
    bins: int = Field(
        48,
        ge=2,
        le=1024,
        description="Bins of the piecewise embedding at most; fewer for few rows or few values.",
    )


class LearnedNumber(LearnedInput):
    """What a number learned as an input.

    Attributes:
        scale: fitted scaling.
        median: training median, scaled: what a missing value becomes without an indicator.
        indicator: whether training values were missing.
        bins: edges of the piecewise embedding in scaled units, ascending; None without.
    """

    scale: Scale
    median: float
    indicator: bool
    bins: tuple[float, ...] | None


@FEATURES.register("number")
class NumberFeature(LearnedFeature):
    """A number → dense [rows, 1], or [rows, 2] with an indicator of missing values."""

    type = "number"
    modality = "table"
    Options = NumberOptions
    Input = LearnedNumber
    Target = LearnedMean

    def fit(self, values: pl.Series, context: Context) -> None:
        """Learn the scale, the bins, and whether values are missing."""
        numbers = as_numbers(values)
        known = numbers.values[~np.isnan(numbers.values)]
        scale = fit_scale(known, self.options.scaling)
        scaled = scale.apply(known)
        self.learned_ = LearnedNumber(
            scale=scale,
            median=float(np.median(scaled)) if len(scaled) else 0.0,
            indicator=len(known) < len(values),
            bins=self._bins(scaled),
            notes=(*scale.notes, *_stray_notes(values, numbers)),
        )

    def _bins(self, scaled: Array) -> tuple[float, ...] | None:
        """Return the edges of the piecewise embedding, √n rows to a bin."""
        if self.options.embedding in {"none", "periodic"} or not len(scaled):
            return None
        edges = _edges(scaled, max(2, min(self.options.bins, int(len(scaled) ** 0.5))))
        gap = _LEAST_GAP * (edges[-1] - edges[0])
        kept = [edges[0]]
        for edge in edges[1:].tolist():  # at most 1,025
            if edge - kept[-1] > gap:
                kept.append(edge)
        least = 2 if self.options.embedding == "piecewise" else 3
        return tuple(float(edge) for edge in kept) if len(kept) >= least else None

    def encode(self, values: pl.Series, context: Context) -> Encoded:
        """Return "dense"; strays and infinities count as missing."""
        learned: LearnedNumber = self.learned_
        numbers = as_numbers(values)
        missing = np.isnan(numbers.values)
        counts = {"not numbers": int(numbers.strays.sum()), "infinite": int(numbers.infinite.sum())}
        scaled = learned.scale.apply(numbers.values)
        if learned.indicator:
            dense = np.stack([np.where(missing, 0.0, scaled), missing], axis=1)
        else:
            dense = np.where(missing, learned.median, scaled)[:, None]
            counts["missing, though never in training"] = int(missing.sum())
        counts = {what: count for what, count in counts.items() if count}
        return Encoded({"dense": dense.astype(np.float32)}, counts=counts)

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return Float64 values; null where the indicator says so."""
        dense = encoded.arrays["dense"]
        assert not isinstance(dense, Ragged)
        values = pl.Series(self.name, self.learned_.scale.invert(dense[:, 0].astype(np.float64)))
        return values.set(pl.Series(dense[:, 1] > 0.5), None) if self.learned_.indicator else values

    def spec(self) -> dict[str, Any]:
        """Return {"dense": 1 or 2, "bins": [edges or None, None], "periodic": [bool, False]}."""
        learned: LearnedNumber = self.learned_
        bins = None if learned.bins is None else list(learned.bins)
        more = [None] if learned.indicator else []
        periodic = self.options.embedding == "periodic"
        return {"dense": 1 + len(more), "bins": [bins, *more], "periodic": [periodic, *([False] * len(more))]}

    def fit_target(self, values: pl.Series, context: Context) -> None:
        """Learn mean and standard deviation.

        Raises:
            DataError: fewer than two different numbers.
        """
        numbers = as_numbers(values)
        known = numbers.values[~np.isnan(numbers.values)]
        if not len(known) or known.min() == known.max():
            what = (
                f"every training value is {known[0]:g}"
                if len(known)
                else "there is no number in the training rows"
            )
            raise DataError(what, where=f"target '{self.name}'", fix="give a target whose values differ")
        mean, std = mean_and_std(known)
        self.learned_ = LearnedMean(mean=mean, std=std, notes=_stray_notes(values, numbers))

    def encode_target(self, values: pl.Series) -> tuple[Array, dict[int, str]]:
        """Return standardised float32 [rows], NaN where there is no number, with the reasons."""
        learned: LearnedMean = self.learned_
        numbers = as_numbers(values)
        with np.errstate(over="ignore"):
            scaled = (numbers.values - learned.mean) / learned.std
        largest = float(np.finfo(np.float32).max)
        nothing = np.isnan(numbers.values) & ~numbers.strays & ~numbers.infinite
        broken = reasons(values, nothing, "the target is missing")
        broken |= reasons(values, numbers.strays, "the target {} is not a number")
        broken |= reasons(values, numbers.infinite, "the target {} is infinite")
        return np.clip(scaled, -largest, largest).astype(np.float32), broken

    def target_spec(self) -> dict[str, Any]:
        """Return {"mean", "std"} of the training values."""
        return {"mean": self.learned_.mean, "std": self.learned_.std}


def _edges(scaled: Array, count: int) -> Array:
    """Return at most `count` + 1 ascending edges: quantiles of the training values (Gorishniy et al. 2022).

    A value that fills more than a bin alone (a column that is mostly 0) would take most quantiles for
    itself. It gets one edge at itself and one at the next value, and the quantiles are those of the others.
    """
    values, sizes = np.unique(scaled.astype(np.float32).astype(np.float64), return_counts=True)
    if len(values) <= count + 1:
        return values
    heavy = np.flatnonzero(sizes > len(scaled) / count)
    alone = np.concatenate([values[heavy], values[np.minimum(heavy + 1, len(values) - 1)]])
    rest = np.delete(sizes, heavy).cumsum()
    left = max(count - len(alone), 2)
    # Real values, not means of neighbours: a column of whole numbers needs no edge between two.
    places = np.searchsorted(rest, np.linspace(0, 1, left + 1) * rest[-1], side="left")
    quantiles = np.delete(values, heavy)[np.minimum(places, len(rest) - 1)]
    return np.unique(np.concatenate([quantiles, alone, values[[0, -1]]]))


def _stray_notes(values: pl.Series, numbers: Numbers) -> tuple[str, ...]:
    notes = []
    if numbers.strays.any():
        shown = examples(values, numbers.strays)
        notes.append(f"not numbers, counted as missing: {numbers.strays.sum():,}, such as {shown}")
    if numbers.infinite.any():
        notes.append(f"infinite, counted as missing: {numbers.infinite.sum():,}")
    return tuple(notes)

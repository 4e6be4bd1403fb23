"""How a number is brought to the scale of a network: near 0, mostly within ±3, never far outside."""

from __future__ import annotations

from statistics import NormalDist
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from trainwright.features.learned import Learned

Array = npt.NDArray[Any]

FAR = 5.0
"""Standard deviations from the mean beyond which a training value counts as an outlier."""
_MAX_KNOTS = 1000
_LARGEST = 8e307
"""Inputs are held within ± this, so that a difference of two is still a float64."""
_SMOOTH = 3.0
_STEEP = 1e100
"""Scaled values are held within ± this before they are bent: all beyond is the same number afterwards."""


class LinearScale(Learned):
    """(x - center) / scale, held within the training range and half as much again on each side.

    Attributes:
        kind: "standard" (mean and standard deviation), "robust" or "none".
        center: what becomes 0.
        scale: what becomes 1.
        low: least scaled value.
        high: largest scaled value.
    """

    kind: Literal["standard", "robust", "none"]
    center: float
    scale: float = Field(gt=0)
    low: float
    high: float

    def apply(self, values: Array) -> Array:
        """Return scaled values, float64; NaN stays."""
        with np.errstate(over="ignore"):
            scaled = (_held(values) - self.center) / self.scale
        if self.kind == "robust":
            scaled = np.clip(scaled, -_STEEP, _STEEP)  # a quotient of two infinities is no number
            scaled = scaled / np.hypot(1.0, scaled / _SMOOTH)
        return np.clip(scaled, self.low, self.high)

    def invert(self, scaled: Array) -> Array:
        """Return the values that `apply` scaled."""
        if self.kind == "robust":
            share = np.clip(scaled / _SMOOTH, -1 + 1e-7, 1 - 1e-7)
            scaled = scaled / np.sqrt(1 - share**2)
        return scaled * self.scale + self.center


class QuantileScale(Learned):
    """Rank among the training values, as a normal deviate; straight lines between the knots.

    Equal values take the middle of their ranks, so a column that is mostly zeros keeps its zeros near 0.
    Values outside the training range become its ends.

    Attributes:
        kind: "quantile".
        knots: training values, ascending.
        normal: what each knot becomes, ascending.
    """

    kind: Literal["quantile"] = "quantile"
    knots: tuple[float, ...] = Field(min_length=1, max_length=_MAX_KNOTS)
    normal: tuple[float, ...]

    @model_validator(mode="after")
    def _ascending(self) -> QuantileScale:
        if len(self.knots) != len(self.normal):
            raise ValueError("every knot needs a normal deviate")
        if np.any(np.diff(self.knots) <= 0) or np.any(np.diff(self.normal) <= 0):
            raise ValueError("knots and their deviates must ascend")
        return self

    def apply(self, values: Array) -> Array:
        """Return scaled values, float64; NaN stays."""
        values = _held(values)
        scaled: Array = np.interp(values, self.knots, self.normal)
        # Rounding within a wide gap may step over its end; the order of values must not change.
        above = np.searchsorted(self.knots, values, side="right")
        normal = np.asarray(self.normal)
        low, high = normal[np.maximum(above - 1, 0)], normal[np.minimum(above, len(normal) - 1)]
        return np.where(np.isnan(values), scaled, np.clip(scaled, low, high))

    def invert(self, scaled: Array) -> Array:
        """Return the values that `apply` scaled."""
        values: Array = np.interp(scaled, self.normal, self.knots)
        return values


Scale = Annotated[LinearScale | QuantileScale, Field(discriminator="kind")]


def fit_scale(values: Array, kind: str) -> LinearScale | QuantileScale:
    """Return the scale learned from finite training values.

    Args:
        values: float64 [n], finite; n may be 0.
        kind: "auto", "standard", "robust", "quantile" or "none". "auto" takes ranks where a value lies
            further than `FAR` standard deviations from the mean, because one such value would rule the
            gradient, and distances elsewhere, because they are simpler. Sources: the quantile
            transformation that Gorishniy et al. 2021 use ('Revisiting Deep Learning Models for Tabular
            Data'), here without noise; robust scaling with smooth clipping by Holzmüller et al. 2024
            ('Better by Default').
    """
    values = _held(values)
    center, std = mean_and_std(values)
    farthest = float(np.abs(values - center).max(initial=0.0) / std)
    if kind == "quantile" or (kind == "auto" and farthest > FAR):
        return _fit_quantile(values, f"{farthest:.3g}" if kind == "auto" else None)
    if kind == "robust" and len(values):
        center = float(np.median(values))
        first, third = np.quantile(values, [0.25, 0.75])
        # 1.349: the quartiles of a normal distribution lie that many standard deviations apart.
        std = float((third - first) / 1.349) or std
    elif kind == "none":
        center, std = 0.0, 1.0
    note = f"standard scaling: no training value lies more than {FAR:g} standard deviations from the mean"
    scale = LinearScale(
        kind="standard" if kind == "auto" else kind,  # type: ignore[arg-type]
        center=center,
        scale=std,
        low=-_LARGEST,
        high=_LARGEST,
        notes=(note,) if kind == "auto" and len(values) else (),
    )
    scaled = scale.apply(values)
    low, high = (float(scaled.min()), float(scaled.max())) if len(scaled) else (0.0, 0.0)
    reach = (high - low) / 2
    largest = float(np.finfo(np.float32).max)
    ends = np.clip([low - reach, high + reach], -largest, largest).tolist()
    return scale.model_copy(update={"low": ends[0], "high": ends[1]})


def mean_and_std(values: Array) -> tuple[float, float]:
    """Return mean and deviation without overflow; 0 and 1 for no values, a deviation of 1 for equal ones."""
    if not len(values):
        return 0.0, 1.0
    lowest, highest = float(values.min()), float(values.max())
    if lowest == highest:
        return lowest, 1.0
    # Dividing by a power of two is exact and keeps the squares within float64.
    exponent = int(np.frexp(max(abs(lowest), abs(highest)))[1])
    small = np.ldexp(values, -exponent)
    std = float(np.ldexp(small.std(), exponent))
    return float(np.ldexp(small.mean(), exponent)), std if std > 0 else 1.0


def _fit_quantile(values: Array, farthest: str | None) -> QuantileScale:
    if not len(values):
        return QuantileScale(knots=(0.0,), normal=(0.0,))
    unique, counts = np.unique(values, return_counts=True)
    rank = (np.cumsum(counts) - counts / 2) / len(values)
    if len(unique) > _MAX_KNOTS:
        chosen = np.searchsorted(rank, np.linspace(rank[0], rank[-1], _MAX_KNOTS))
        unique, rank = unique[np.unique(chosen)], rank[np.unique(chosen)]
    normal = NormalDist()
    note = f"quantile scaling: the farthest training value lies {farthest} standard deviations from the mean"
    return QuantileScale(
        knots=tuple(unique.tolist()),
        normal=tuple(normal.inv_cdf(share) for share in rank.tolist()),
        notes=(note,) if farthest else (),
    )


def _held(values: Array) -> Array:
    held: Array = np.clip(values, -_LARGEST, _LARGEST)
    return held

"""A number, with an interval that it lies in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
import torch
from torch.nn import functional as F

from trainwright.tasks.base import TASKS, Array, Loss, Task
from trainwright.tasks.calibration import conformal_quantile
from trainwright.tasks.classes import finite
from trainwright.tasks.shares import fit_shares, squared

_LEARNED_COVERAGE = 0.9
_PINBALL_WEIGHT = 0.3
"""Weight of the interval's loss beside that of the value. From 0 to 1 it did not move the RMSE on
california_housing and insurance_charges (four seeds each); intervals were 7 to 20 % narrower than at 0."""
_LEAST_SPREAD = 1e-3
"""Least half-width before conformal scaling, in standard deviations of the target."""


@TASKS.register("regression")
class Regression(Task):
    """A number: outputs are the value and how far the truth may lie below and above it.

    The value is learned by squared error (or Huber's loss) on the standardised target. Below and above are
    learned by the pinball loss (Koenker & Bassett 1978) as distances from a value that gets no gradient
    from them, so that the interval adapts to each row and always holds the value. On validation rows one
    factor is found that both distances are stretched by, so that the interval contains new values as often
    as asked: conformalised quantile regression (Romano, Patterson & Candès 2019) in its relative form
    (Sesia & Candès 2020). RMSE comes first: it is what the value is trained for.

    Args:
        target: target column.
        spec: {"mean", "std"} of the training rows, in the units of the data; and optionally "loss": "mse"
            or "huber" (less moved by outliers).
        class_weights: has no meaning here; must be None.
    """

    name = "regression"
    metrics = ("rmse", "mae", "r2", "mse", "mape", "pinball", "coverage")

    def __init__(
        self, target: str, spec: Mapping[str, Any], *, class_weights: Sequence[float] | None = None
    ) -> None:
        assert class_weights is None, "a number has no classes to weigh"
        self.target = target
        self.outputs = 3
        self.mean, self.std = float(spec["mean"]), float(spec["std"])
        self.huber = spec.get("loss", "mse") == "huber"
        self.stretch_ = 1.0

    def initial_bias(self) -> Array:
        """Return a bias that starts at the mean, with the interval of a normal distribution, float32 [3]."""
        z = NormalDist().inv_cdf((1 + _LEARNED_COVERAGE) / 2)
        spread = math.log(math.expm1(z))  # softplus of it is z
        return np.array([0.0, spread, spread], dtype=np.float32)

    def loss(self, outputs: torch.Tensor, target: torch.Tensor, *, smoothing: float = 0.0) -> Loss:
        """Return squared error (or Huber's loss) plus the pinball loss of both ends, in standard deviations.

        `target` is the standardised number [batch]; NaN is missing. There is nothing to smooth.
        """
        value, below, above = _parts(outputs)  # each [batch, members]
        known = ~target.isnan()
        wanted = torch.where(known, target, 0.0).to(value.dtype).unsqueeze(1).expand_as(value)
        loss_of = F.huber_loss if self.huber else F.mse_loss
        losses = loss_of(value, wanted, reduction="none")
        tail = (1 - _LEARNED_COVERAGE) / 2
        beyond = wanted - value.detach()
        ends = _pinball(beyond + below, tail) + _pinball(beyond - above, 1 - tail)
        rows = (losses + _PINBALL_WEIGHT * ends).mean(dim=1)
        weights = known.to(rows.dtype)
        return Loss((weights * rows).sum(), weights.sum())

    def count(self, target: torch.Tensor) -> torch.Tensor:
        """Return the number of rows that have a target, scalar."""
        return (~target.isnan()).float().sum()

    def scores(self, outputs: torch.Tensor, *, shares: Sequence[float] | None = None) -> torch.Tensor:
        """Return value, low and high in the units of the data [batch, 3]."""
        weights = self.member_weights(outputs, shares)
        value, below, above = ((part * weights).sum(dim=1) for part in _parts(outputs))
        ends = torch.stack([value, value - self.stretch_ * below, value + self.stretch_ * above], dim=-1)
        return ends * self.std + self.mean

    def fit_shares(self, scores: Array, target: Array) -> None:
        """Choose the shares by the squared error of the averaged value."""
        known = np.flatnonzero(~np.isnan(target))
        errors = (scores[known, :, 0] - self.truth(target[known])[:, None]) / self.std
        self.shares_ = fit_shares(errors, squared)

    def skill(self, scores: Array, target: Array) -> float:
        """Return 1 less the squared error over the variance of the training values."""
        known = ~np.isnan(target)
        errors = (scores[known, 0] - self.truth(target[known])) / self.std
        return 1 - squared(errors) if known.any() else 0.0

    def truth(self, target: Array) -> Array:
        """Return targets in the units of the data, float64 [rows]."""
        return target.astype(np.float64) * self.std + self.mean

    def decide(self, scores: Array) -> Array:
        """Return the values [rows]."""
        return scores[:, 0]

    def frame(self, scores: Array) -> Mapping[str, pl.Series]:
        """Return the value and the ends of its interval."""
        names = (self.target, f"{self.target}: low", f"{self.target}: high")
        return {name: pl.Series(name, scores[:, index]) for index, name in enumerate(names)}

    def calibrate(
        self, scores: Array, target: Array, coverage: float, *, threshold: str | None = None
    ) -> None:
        """Fit the factor by which intervals are stretched so that they contain `coverage` of new values."""
        known = ~np.isnan(target)
        value, low, high = scores[known].astype(np.float64).T
        error = self.truth(target[known]) - value
        side = np.where(error < 0, value - low, high - value) / self.stretch_
        # float32 scores of a target far from 0 may have lost a small distance.
        ratios = np.abs(error) / np.maximum(side, _LEAST_SPREAD * self.std)
        self.stretch_ = max(conformal_quantile(ratios, coverage), 1e-6)

    def state(self) -> dict[str, Any]:
        """Return shares and the factor."""
        return super().state() | {"stretch": self.stretch_}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back shares and the factor."""
        super().load(state)
        self.stretch_ = finite(state, "stretch", self.target)


def _parts(outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return value, distance below and distance above, each [batch, members], in standard deviations."""
    value, below, above = outputs.to(torch.promote_types(outputs.dtype, torch.float32)).unbind(dim=-1)
    return value, F.softplus(below) + _LEAST_SPREAD, F.softplus(above) + _LEAST_SPREAD


def _pinball(error: torch.Tensor, quantile: float) -> torch.Tensor:
    return torch.maximum(quantile * error, (quantile - 1) * error)

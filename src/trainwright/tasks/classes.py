"""What the tasks of one class a row share: log-probabilities in; loss, scores and predictions out."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import polars as pl
import torch

from trainwright.foundation.errors import ModelFolderError
from trainwright.tasks.base import Array, Loss, Task
from trainwright.tasks.calibration import calibrated_log_loss, fit_temperature
from trainwright.tasks.shares import fit_shares, log_loss

_LEAST = 1e-30
"""Probabilities are kept above this in logarithms: float32 still holds it."""


class ClassTask(Task):
    """A target with one class a row.

    A subclass says how raw outputs become log-probabilities; with that, the loss is the cross-entropy
    whatever the outputs mean. Calibration divides the logarithm of the averaged probabilities by a
    temperature (Guo et al. 2017); with one member that is dividing the logits, with several it is
    calibrating after pooling, which keeps an ensemble's probabilities honest (Rahaman & Thiery 2021).

    Args:
        target: target column.
        spec: {"classes": names in order, "counts": training rows of each}.
        class_weights: weight of each class in the loss; 1 without.
    """

    classes: Sequence[str]

    def __init__(
        self, target: str, spec: Mapping[str, Any], *, class_weights: Sequence[float] | None = None
    ) -> None:
        self.target = target
        self.classes = tuple(str(name) for name in spec["classes"])
        self.counts = np.asarray(spec.get("counts", np.ones(len(self.classes))), dtype=np.float64)
        self.temperature_ = 1.0
        self._weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)

    @abstractmethod
    def log_probabilities(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return log-probabilities [batch, members, classes] from outputs [batch, members, outputs]."""

    @property
    def prior(self) -> Array:
        """Share of each class that the loss sees, float64 [classes]: weighted, and above 0."""
        counts = self.counts + 1.0
        if self._weights is not None:
            counts = counts * self._weights.cpu().numpy()
        return cast(Array, np.maximum(counts, _LEAST) / counts.sum())

    def loss(self, outputs: torch.Tensor, target: torch.Tensor, *, smoothing: float = 0.0) -> Loss:
        """Return the cross-entropy in nats.

        `target` holds class indices [batch], or a share of each class [batch, classes] (mixup). A row
        weighs as its class; a mixed row weighs as the mixture.
        """
        # The loss of a row is the mean over members, and linear in the log-probabilities.
        log_p = self.log_probabilities(_precise(outputs)).mean(dim=1)
        if target.ndim == 1:
            losses = -log_p.gather(1, target.clamp(min=0).unsqueeze(1)).squeeze(1)
        else:
            losses = -(target.nan_to_num(0.0) * log_p).sum(dim=1)
        if smoothing:
            losses = (1 - smoothing) * losses - smoothing * log_p.mean(dim=1)
        weights = self._row_weights(target).to(losses.dtype)
        return Loss((weights * losses).sum(), weights.sum())

    def count(self, target: torch.Tensor) -> torch.Tensor:
        """Return the weight of some targets, scalar."""
        return self._row_weights(target).sum()

    def _row_weights(self, target: torch.Tensor) -> torch.Tensor:
        """Return the weight of each row [batch]; 0 where the target is missing."""
        if self._weights is not None and self._weights.device != target.device:
            self._weights = self._weights.to(target.device)
        if target.ndim == 1:
            known = (target >= 0).float()
            return known if self._weights is None else known * self._weights[target.clamp(min=0)]
        known = (~target.isnan().any(dim=1)).float()
        return known if self._weights is None else target.nan_to_num(0.0).float() @ self._weights

    def scores(self, outputs: torch.Tensor, *, shares: Sequence[float] | None = None) -> torch.Tensor:
        """Return calibrated probabilities [batch, classes]."""
        log_p = self.log_probabilities(_precise(outputs))
        pooled = torch.logsumexp(log_p + self.member_weights(outputs, shares).log()[:, None], dim=1)
        return torch.softmax(pooled / self.temperature_, dim=-1)

    def fit_shares(self, scores: Array, target: Array) -> None:
        """Choose the shares by the log loss of the averaged probabilities."""
        known = np.flatnonzero(target >= 0)
        self.shares_ = fit_shares(scores[known, :, target[known]], log_loss)

    def skill(self, scores: Array, target: Array) -> float:
        """Return 1 less the log loss over that of the class frequencies, after calibration: what overfitting
        does to the sureness of probabilities will be undone.
        """
        known = target >= 0
        truth = target[known]
        own = calibrated_log_loss(np.log(np.maximum(scores[known], _LEAST)), truth)
        shares = (self.counts + 1.0) / (self.counts + 1.0).sum()
        return 1 - own / max(-float(np.log(shares[truth]).mean()), _LEAST) if len(truth) else 0.0

    def decide(self, scores: Array) -> Array:
        """Return the index of the most probable class [rows]."""
        return cast(Array, scores.argmax(axis=1))

    def frame(self, scores: Array) -> Mapping[str, pl.Series]:
        """Return the predicted class and the probability of every class."""
        decided = pl.Series(self.target, self.classes, dtype=pl.String).gather(self.decide(scores))
        columns = {self.target: decided}
        for index, name in enumerate(self.classes):
            column = f"{self.target}: probability of {name}"
            columns[column] = pl.Series(column, scores[:, index])
        return columns

    def calibrate(
        self, scores: Array, target: Array, coverage: float, *, threshold: str | None = None
    ) -> None:
        """Fit the temperature. Scores may be calibrated already: calling it twice changes nothing."""
        known = target >= 0
        log_p = self.temperature_ * np.log(np.maximum(scores[known], _LEAST))
        self.temperature_ = fit_temperature(log_p, target[known])

    def state(self) -> dict[str, Any]:
        """Return shares and temperature."""
        return super().state() | {"temperature": self.temperature_}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back shares and temperature."""
        super().load(state)
        self.temperature_ = finite(state, "temperature", self.target)


def finite(state: Mapping[str, Any], name: str, target: str) -> float:
    """Return a positive finite number of a saved state.

    Raises:
        ModelFolderError: it is something else.
    """
    value = state.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ModelFolderError(
            f"the {name} of '{target}' is {value!r}, not a number above 0",
            fix="use an undamaged copy of the folder",
        )
    return float(value)


def _precise(outputs: torch.Tensor) -> torch.Tensor:
    """Return outputs in at least float32: half precision has too few digits for logarithms."""
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))

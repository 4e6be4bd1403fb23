"""Several labels a row: any number of them, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import polars as pl
import torch
from torch.nn import functional as F

from trainwright.foundation.errors import RecipeError
from trainwright.tasks.base import TASKS, Array, Loss, Task
from trainwright.tasks.calibration import best_threshold, calibrated_log_loss, fit_temperature
from trainwright.tasks.classes import finite
from trainwright.tasks.shares import fit_shares, log_loss

_LEAST = 1e-7  # the resolution of a float32 near 1


@TASKS.register("multilabel")
class Multilabel(Task):
    """A yes or no for every label: a logit for each, one temperature and one threshold for all.

    F1 over all decisions comes first: accuracy would mostly count the labels that nobody expected.

    Args:
        target: target column.
        spec: {"classes": labels in order, "counts": training rows of each, "rows": training rows (optional)}.
        class_weights: weight of each label in the loss; 1 without.
    """

    name = "multilabel"
    metrics = (
        "f1_micro",
        "f1_macro",
        "f1_weighted",
        "precision",
        "recall",
        "roc_auc",
        "pr_auc",
        "accuracy",
        "log_loss",
        "brier",
        "ece",
    )

    classes: Sequence[str]

    def __init__(
        self, target: str, spec: Mapping[str, Any], *, class_weights: Sequence[float] | None = None
    ) -> None:
        self.target = target
        self.classes = tuple(str(name) for name in spec["classes"])
        self.outputs = len(self.classes)
        self.temperature_ = 1.0
        self.threshold_ = 0.5
        self._weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self._counts, self._rows = spec.get("counts"), spec.get("rows")

    def initial_bias(self) -> Array | None:
        """Return the log-odds of each label, float32 [labels]; None where the number of rows is not known."""
        if self._counts is None or self._rows is None:
            return None
        yes = np.asarray(self._counts, dtype=np.float64) + 1.0
        no = np.maximum(self._rows - yes, 0.0) + 1.0
        return cast(Array, np.log(yes / no).astype(np.float32))

    def loss(self, outputs: torch.Tensor, target: torch.Tensor, *, smoothing: float = 0.0) -> Loss:
        """Return the binary cross-entropy in nats; a row's loss is the mean over its labels.

        `target` is multi-hot or a share of each label [batch, labels]; a missing row is NaN.
        """
        logits = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
        known = ~target.isnan().any(dim=1)
        wanted = torch.where(known.unsqueeze(1), target, 0.0).to(logits.dtype)
        if smoothing:
            wanted = wanted * (1 - smoothing) + smoothing / 2
        wanted = wanted.unsqueeze(1).expand_as(logits)  # [batch, members, labels]
        losses = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(dim=1)
        if self._weights is None:
            rows = losses.mean(dim=1)
        else:
            if self._weights.device != losses.device:
                self._weights = self._weights.to(losses.device)
            rows = losses @ (self._weights / self._weights.sum()).to(losses.dtype)
        weights = known.to(losses.dtype)
        return Loss((weights * rows).sum(), weights.sum())

    def count(self, target: torch.Tensor) -> torch.Tensor:
        """Return the number of rows that have a target, scalar."""
        return (~target.isnan().any(dim=1)).float().sum()

    def scores(self, outputs: torch.Tensor, *, shares: Sequence[float] | None = None) -> torch.Tensor:
        """Return the calibrated probability of every label [batch, labels]."""
        logits = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
        weights = self.member_weights(outputs, shares).log()[:, None]
        yes = torch.logsumexp(F.logsigmoid(logits) + weights, dim=1)
        no = torch.logsumexp(F.logsigmoid(-logits) + weights, dim=1)
        return torch.sigmoid((yes - no) / self.temperature_)

    def fit_shares(self, scores: Array, target: Array) -> None:
        """Choose the shares by the log loss of the averaged probabilities, over all labels."""
        known = np.flatnonzero(~np.isnan(target).any(axis=1))
        right = np.where(target[known, None] > 0.5, scores[known], 1 - scores[known])
        self.shares_ = fit_shares(right.transpose(0, 2, 1).reshape(-1, scores.shape[1]), log_loss)

    def skill(self, scores: Array, target: Array) -> float:
        """Return 1 less the calibrated log loss over that of the labels' frequencies among these rows."""
        known = ~np.isnan(target).any(axis=1)
        yes = target[known] > 0.5
        if not yes.any():
            return 0.0
        own = calibrated_log_loss(self._pairs(scores[known]), yes.ravel().astype(np.int64))
        shares = np.clip(yes.mean(axis=0), _LEAST, 1 - _LEAST)
        return 1 - own / -float((shares * np.log(shares) + (1 - shares) * np.log1p(-shares)).mean())

    def _pairs(self, scores: Array) -> Array:
        """Return the uncalibrated logits of no and yes of every decision, [rows * labels, 2]."""
        probability = np.clip(scores.astype(np.float64).ravel(), _LEAST, 1 - _LEAST)
        logits = self.temperature_ * (np.log(probability) - np.log1p(-probability))
        return np.stack([np.zeros_like(logits), logits], axis=1)

    def decide(self, scores: Array) -> Array:
        """Return which labels reach the threshold, bool [rows, labels]."""
        return cast(Array, scores >= self.threshold_)

    def frame(self, scores: Array) -> Mapping[str, pl.Series]:
        """Return the list of predicted labels and the probability of every label."""
        rows, labels = np.nonzero(self.decide(scores))
        named = pl.Series("label", self.classes, dtype=pl.String).gather(labels)
        found = (
            pl.DataFrame({"row": pl.Series(rows, dtype=pl.Int64), "label": named})
            .group_by("row", maintain_order=True)
            .agg("label")
        )
        every = pl.DataFrame({"row": pl.Series(np.arange(len(scores)), dtype=pl.Int64)})
        lists = every.join(found, on="row", how="left", maintain_order="left")["label"]
        columns = {self.target: lists.fill_null(pl.Series([[]], dtype=pl.List(pl.String))).alias(self.target)}
        for index, name in enumerate(self.classes):
            column = f"{self.target}: probability of {name}"
            columns[column] = pl.Series(column, scores[:, index])
        return columns

    def calibrate(
        self, scores: Array, target: Array, coverage: float, *, threshold: str | None = None
    ) -> None:
        """Fit one temperature over all decisions, then one threshold.

        Raises:
            RecipeError: a threshold is chosen for another metric than "f1_micro".
        """
        if threshold not in {None, "f1_micro"}:
            raise RecipeError(
                f"no threshold can be chosen for '{threshold}' of several labels",
                where="evaluation.threshold",
                fix="choose f1_micro",
            )
        known = ~np.isnan(target).any(axis=1)
        positive = target[known].ravel() > 0.5
        pairs = self._pairs(scores[known])
        self.temperature_ = fit_temperature(pairs, positive.astype(np.int64))
        self.threshold_ = 0.5
        if threshold is not None:
            calibrated = 1 / (1 + np.exp(-pairs[:, 1] / self.temperature_))
            self.threshold_ = best_threshold(calibrated, positive, "f1")  # of all decisions: F1 micro

    def state(self) -> dict[str, Any]:
        """Return shares, temperature and threshold."""
        return super().state() | {"temperature": self.temperature_, "threshold": self.threshold_}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back shares, temperature and threshold."""
        super().load(state)
        self.temperature_ = finite(state, "temperature", self.target)
        self.threshold_ = finite(state, "threshold", self.target)

"""Two classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from trainwright.tasks.base import TASKS, Array
from trainwright.tasks.calibration import best_threshold
from trainwright.tasks.classes import ClassTask, finite


@TASKS.register("binary")
class Binary(ClassTask):
    """Yes or no: one logit, that of the second class.

    ROC-AUC comes first because it needs no threshold and does not flatter the larger class. The second
    class is predicted where its probability reaches the threshold.
    """

    name = "binary"
    metrics = (
        "roc_auc",
        "pr_auc",
        "accuracy",
        "balanced_accuracy",
        "f1",
        "precision",
        "recall",
        "f1_macro",
        "f1_micro",
        "f1_weighted",
        "mcc",
        "kappa",
        "log_loss",
        "brier",
        "ece",
    )

    def __init__(
        self, target: str, spec: Mapping[str, Any], *, class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__(target, spec, class_weights=class_weights)
        assert len(self.classes) == 2, self.classes
        self.outputs = 1
        self.threshold_ = 0.5

    def initial_bias(self) -> Array:
        """Return the log-odds of the second class, float32 [1]."""
        no, yes = self.prior
        return np.array([np.log(yes / no)], dtype=np.float32)

    def log_probabilities(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return log-probabilities of both classes [batch, members, 2]."""
        return torch.cat([F.logsigmoid(-outputs), F.logsigmoid(outputs)], dim=-1)

    def decide(self, scores: Array) -> Array:
        """Return 1 where the second class reaches the threshold, else 0, int64 [rows]."""
        return (scores[:, 1] >= self.threshold_).astype(np.int64)

    def calibrate(
        self, scores: Array, target: Array, coverage: float, *, threshold: str | None = None
    ) -> None:
        """Fit the temperature, then the threshold on the calibrated probabilities.

        Raises:
            RecipeError: no threshold can be chosen for this metric.
        """
        before = self.temperature_
        super().calibrate(scores, target, coverage)
        self.threshold_ = 0.5
        if threshold is not None:
            known = target >= 0
            calibrated = scores[known].astype(np.float64) ** (before / self.temperature_)
            calibrated /= calibrated.sum(axis=1, keepdims=True)
            self.threshold_ = best_threshold(calibrated[:, 1], target[known] == 1, threshold)

    def state(self) -> dict[str, Any]:
        """Return temperature and threshold."""
        return super().state() | {"threshold": self.threshold_}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back temperature and threshold."""
        super().load(state)
        self.threshold_ = finite(state, "threshold", self.target)

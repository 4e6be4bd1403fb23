"""Several classes, one a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch

from trainwright.tasks.base import TASKS, Array
from trainwright.tasks.classes import ClassTask


@TASKS.register("multiclass")
class Multiclass(ClassTask):
    """One of several classes: a logit for each.

    Accuracy comes first because it is what people ask for; balanced accuracy beside it shows when a large
    class carries it.
    """

    name = "multiclass"
    metrics = (
        "accuracy",
        "balanced_accuracy",
        "f1_macro",
        "f1_micro",
        "f1_weighted",
        "precision",
        "recall",
        "roc_auc",
        "pr_auc",
        "mcc",
        "kappa",
        "quadratic_kappa",
        "top_5",
        "log_loss",
        "brier",
        "ece",
    )

    def __init__(
        self, target: str, spec: Mapping[str, Any], *, class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__(target, spec, class_weights=class_weights)
        self.outputs = len(self.classes)

    def initial_bias(self) -> Array:
        """Return the logarithms of the class shares, centred, float32 [classes]."""
        log_prior = np.log(self.prior)
        return cast(Array, (log_prior - log_prior.mean()).astype(np.float32))

    def log_probabilities(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return log-probabilities [batch, members, classes]."""
        return torch.log_softmax(outputs, dim=-1)

"""Classes in an order, such as 1 to 5 stars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional as F

from trainwright.tasks.base import TASKS, Array
from trainwright.tasks.classes import ClassTask


@TASKS.register("ordinal")
class Ordinal(ClassTask):
    """One of several ordered classes, as a chain of questions: beyond the first? if so, beyond the second? …

    Output k is the logit of P(class > k | class ≥ k): the continuation-ratio model (Fienberg 1980), which
    CORN (Shi, Cao & Raschka 2023) brought to networks. Class probabilities follow by the chain rule, so
    they are in order and sum to 1 by construction, and the loss is their exact log-likelihood. The median
    of the distribution is predicted: it is right about the order where the most probable class may not be.
    Quadratic kappa comes first because it charges a mistake by its distance.
    """

    name = "ordinal"
    metrics = (
        "quadratic_kappa",
        "accuracy",
        "balanced_accuracy",
        "mae",
        "f1_macro",
        "f1_micro",
        "f1_weighted",
        "precision",
        "recall",
        "roc_auc",
        "pr_auc",
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
        self.outputs = len(self.classes) - 1

    def initial_bias(self) -> Array:
        """Return the log-odds of going on at each class, float32 [classes - 1]."""
        prior = self.prior
        beyond = prior[::-1].cumsum()[::-1][1:]
        log_odds: Array = np.log(beyond / prior[:-1]).astype(np.float32)
        return log_odds

    def log_probabilities(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return log-probabilities [batch, members, classes]."""
        reached = F.logsigmoid(outputs).cumsum(dim=-1)  # log P(class > k)
        nothing = torch.zeros_like(outputs[..., :1])
        return torch.cat([nothing, reached], dim=-1) + torch.cat([F.logsigmoid(-outputs), nothing], dim=-1)

    def decide(self, scores: Array) -> Array:
        """Return the index of the median class [rows]."""
        below = scores.cumsum(axis=1)[:, :-1]
        return cast(Array, (below < 0.5).sum(axis=1))

"""What a task is: a loss that is a sum and a count, predictions from outputs, and how they are judged.

A new task is one new file in this folder with a subclass under `@TASKS.register("name")`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from trainwright.foundation.errors import ModelFolderError
from trainwright.foundation.registry import Registry

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Loss:
    """A loss over some rows as sum and count, so that it adds up over any partition of them.

    Attributes:
        sum: scalar tensor, with gradient.
        count: scalar tensor: the weight of the rows behind the sum.
    """

    sum: torch.Tensor
    count: torch.Tensor


class Task(ABC):
    """What one target asks for.

    Class attributes:
        name: name in the registry.
        metrics: names of the metrics that judge it, most telling first; the first is the default headline.

    Attributes:
        target: target column.
        classes: class names in order, where there are classes.
        outputs: width of the head.
        shares_: weight of each view of the inputs in a prediction, adding up to 1 (see `Fusion`); empty where
            all members weigh the same.
    """

    name: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]

    target: str
    outputs: int
    classes: Sequence[str] | None = None
    shares_: tuple[float, ...] = ()

    @abstractmethod
    def __init__(
        self, target: str, spec: Mapping[str, Any], *, class_weights: Sequence[float] | None = None
    ) -> None:
        """Make the task.

        Args:
            target: target column.
            spec: what the target's feature says of it (see `Feature.target_spec`).
            class_weights: weight of each class in the loss; regression has none.
        """

    def initial_bias(self) -> Array | None:
        """Return the head's bias, float32 [outputs], that makes a model start at the base rate."""
        return None

    @abstractmethod
    def loss(self, outputs: torch.Tensor, target: torch.Tensor, *, smoothing: float = 0.0) -> Loss:
        """Return the loss.

        Args:
            outputs: raw outputs [batch, members, outputs]; the loss of a row is the mean over members.
            target: encoded targets [batch] or [batch, classes]; NaN / -1 marks a missing one, which has
                no weight.
            smoothing: label smoothing, for classes.
        """

    def count(self, target: torch.Tensor) -> torch.Tensor:
        """Return the weight of some targets without a forward pass: `loss(...).count`, scalar."""
        outputs = torch.zeros((len(target), 1, self.outputs), device=target.device)
        return self.loss(outputs, target).count

    @abstractmethod
    def scores(self, outputs: torch.Tensor, *, shares: Sequence[float] | None = None) -> torch.Tensor:
        """Return what metrics take, averaged over members: probabilities [batch, classes]; for regression
        [batch, 3] = value, low, high in the units of the data.

        Args:
            outputs: raw outputs [batch, members, outputs]; members of a view are neighbours.
            shares: weight of each view; those that were fitted, without.
        """

    def view_scores(self, outputs: torch.Tensor, views: int) -> torch.Tensor:
        """Return the scores of every view alone, [batch, views, scores]."""
        alone = np.eye(views).tolist()
        return torch.stack([self.scores(outputs, shares=shares) for shares in alone], dim=1)

    def member_weights(self, outputs: torch.Tensor, shares: Sequence[float] | None) -> torch.Tensor:
        """Return the weight of each member, [members], adding up to 1."""
        members = outputs.shape[1]
        given = torch.tensor(shares or self.shares_ or (1.0,), dtype=torch.float64)
        weights = given.repeat_interleave(members // len(given)) * (len(given) / members)
        return weights.to(device=outputs.device, dtype=torch.promote_types(outputs.dtype, torch.float32))

    @abstractmethod
    def fit_shares(self, scores: Array, target: Array) -> None:
        """Choose how much each view of the inputs counts: a view that learned nothing shall not be heard.

        Args:
            scores: scores of every view alone, [rows, views, scores], not calibrated.
            target: encoded targets of these rows, which the model was not trained on.
        """

    @abstractmethod
    def skill(self, scores: Array, target: Array) -> float:
        """Return the share of a constant prediction's loss that the scores save: 1 is perfect, 0 useless.

        Chooses the best weights where no metric was asked for. It sees every row's score: on few rows, or
        near the top, an accuracy or an area under a curve hardly tells one model from another.

        Args:
            scores: uncalibrated scores [rows, scores].
            target: encoded targets of these rows.
        """

    def truth(self, target: Array) -> Array:
        """Return encoded targets as metrics compare them with scores: in the units of the data."""
        return target

    @abstractmethod
    def decide(self, scores: Array) -> Array:
        """Return what is predicted: class index [rows], multi-hot bool [rows, classes], or value [rows]."""

    @abstractmethod
    def frame(self, scores: Array) -> Mapping[str, Any]:
        """Return prediction columns from scores: `stars`, `stars: probability of 5`, `price: low`, …"""

    @abstractmethod
    def calibrate(
        self, scores: Array, target: Array, coverage: float, *, threshold: str | None = None
    ) -> None:
        """Fit what is learned on validation (temperature, threshold, interval widths).

        Args:
            scores: what `scores` gives for validation rows.
            target: their encoded targets.
            coverage: share of rows that an interval shall contain.
            threshold: metric whose best threshold turns probabilities into yes or no; 0.5 without.
        """

    def state(self) -> dict[str, Any]:
        """Return what `fit_shares` and `calibrate` learned, JSON-able."""
        return {"shares": list(self.shares_)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave.

        Raises:
            ModelFolderError: it is damaged.
        """
        shares = state.get("shares", [])
        numbers = isinstance(shares, list) and all(isinstance(share, float) for share in shares)
        if not numbers or (shares and not (min(shares) >= 0 and abs(sum(shares) - 1) < 1e-6)):
            raise ModelFolderError(
                f"the shares of '{self.target}' are {shares!r}, not numbers that add up to 1",
                fix="use an undamaged copy of the folder",
            )
        self.shares_ = tuple(shares)


TASKS: Registry[type[Task]] = Registry("task", package="trainwright.tasks")
__all__ = ["TASKS", "Array", "Loss", "Task", "np"]

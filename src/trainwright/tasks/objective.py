"""The objective: what the loop minimises, one entry for every target learned together."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trainwright.data.encoded import Batch
from trainwright.tasks.base import Loss, Task


class Objective:
    """Loss of a model on a batch.

    Args:
        tasks: task of each target.
        smoothing: label smoothing.
        mixup: Beta parameter of mixup on image inputs (0: off).
        cutmix: Beta parameter of CutMix on image inputs (0: off).
    """

    def __init__(
        self, tasks: Mapping[str, Task], *, smoothing: float = 0.0, mixup: float = 0.0, cutmix: float = 0.0
    ) -> None:
        self.tasks = dict(tasks)
        self.smoothing = smoothing
        self.mixup = mixup
        self.cutmix = cutmix

    def count(self, batch: Batch) -> Tensor:
        """Return the weight of the batch's rows for each target, [targets]."""
        return torch.stack([task.count(batch.targets[name]) for name, task in self.tasks.items()])

    def __call__(self, model: nn.Module, batch: Batch) -> Loss:
        """Return sum and count for each target, [targets]; what is minimised is their quotients' sum."""
        return self.of_outputs(model(batch.inputs), batch)

    def of_outputs(self, outputs: Mapping[str, Tensor], batch: Batch) -> Loss:
        """Return sum and count for each target, [targets], from what a model gave for the batch."""
        losses = [
            task.loss(outputs[name], batch.targets[name], smoothing=self.smoothing)
            for name, task in self.tasks.items()
        ]
        return Loss(torch.stack([loss.sum for loss in losses]), torch.stack([loss.count for loss in losses]))

"""The objective: what the loop minimises, one entry for every target learned together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from trainwright.data.encoded import Batch
from trainwright.features.image_augment import mix
from trainwright.foundation.errors import RecipeError
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
        if model.training and (self.mixup or self.cutmix):
            batch = self._mixed(batch)
        return self.of_outputs(model(batch.inputs), batch)

    def _mixed(self, batch: Batch) -> Batch:
        """Return the batch with every picture, and every target, mixed with another row's.

        Rows with several pictures share one draw. Mixup and CutMix take turns where both are on.
        """
        kind: Literal["mixup", "cutmix"] = "mixup" if self.mixup else "cutmix"
        if self.mixup and self.cutmix and float(torch.rand(())) < 0.5:
            kind = "cutmix"
        inputs = dict(batch.inputs)
        shared: tuple[Tensor, Tensor] | None = None
        for name, pixels in batch.inputs.items():
            if name.endswith(".pixels"):
                alpha = self.mixup if kind == "mixup" else self.cutmix
                inputs[name], permutation, weight = mix(pixels, alpha, kind=kind, shared=shared)
                shared = (permutation, weight)
                # A pair is there when both of its pictures are.
                present = f"{name.removesuffix('pixels')}present"
                inputs[present] = batch.inputs[present] & batch.inputs[present][permutation]
        if shared is None:
            raise RecipeError(
                "mixup and cutmix mix pictures, and no input is an image",
                where="training",
                fix="set training.mixup and training.cutmix to 0",
            )
        targets = {
            name: _mixed_target(task, batch.targets[name], *shared) for name, task in self.tasks.items()
        }
        return Batch(inputs, targets, batch.rows)

    def of_outputs(self, outputs: Mapping[str, Tensor], batch: Batch) -> Loss:
        """Return sum and count for each target, [targets], from what a model gave for the batch."""
        losses = [
            task.loss(outputs[name], batch.targets[name], smoothing=self.smoothing)
            for name, task in self.tasks.items()
        ]
        return Loss(torch.stack([loss.sum for loss in losses]), torch.stack([loss.count for loss in losses]))


def _mixed_target(task: Task, target: Tensor, permutation: Tensor, weight: Tensor) -> Tensor:
    """Return targets in the pictures' proportions: shares of the classes, or a value between the two."""
    if task.classes is not None and target.ndim == 1:
        shares = torch.nn.functional.one_hot(target.clamp(min=0), len(task.classes)).to(weight.dtype)
        target = shares.masked_fill((target < 0)[:, None], torch.nan)
    share = weight if target.ndim == 1 else weight[:, None]
    return share * target + (1 - share) * target[permutation]

"""Muon: momentum whose matrix is made orthogonal, for hidden matrices; AdamW for all else.

Sources: Jordan et al. 2024, 'Muon: An optimizer for hidden layers in neural networks' (the iteration and its
coefficients); Liu et al. 2025, 'Muon is Scalable for LLM Training' (the scale at which its steps are as long
as AdamW's in a long training of a large model; `workshop/choices.py` has what fits short ones of small
models).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from trainwright.training.optimizers import OPTIMIZERS, AdamW, ParameterGroup

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_ADAMW_STEP = 0.2
"""Root mean square of AdamW's steps, over the learning rate."""


@OPTIMIZERS.register("muon")
class Muon(AdamW):
    """Nesterov momentum, made orthogonal, for the hidden matrices of each group; AdamW for its others.

    Kernels of convolutions are matrices of [outputs, inputs · kernel]. Embeddings, heads, norms and biases
    are no hidden matrices: a row of an embedding has a gradient of its own, with nothing to be orthogonal to.
    """

    slots = ("steps", "mean", "square", "velocity")

    def step(self, learning_rate: float, *, skip: Tensor | None = None) -> None:
        """Update every parameter that has a gradient (see `Optimizer.step`)."""
        with torch.no_grad():
            for group in self.groups:
                live = {name: param for name, param in group.params.items() if param.grad is not None}
                hidden = {name: param for name, param in live.items() if name in group.hidden}
                self._orthogonal(hidden, group, learning_rate * group.scale, skip)
                others = {name: param for name, param in live.items() if name not in group.hidden}
                self.apply(others, group, learning_rate, skip, slots=AdamW.slots)

    def _orthogonal(
        self, params: Mapping[str, Tensor], group: ParameterGroup, learning_rate: float, skip: Tensor | None
    ) -> None:
        by_shape: dict[torch.Size, list[str]] = {}
        for name, param in params.items():
            by_shape.setdefault(param.flatten(1).shape, []).append(name)
        for shape, names in by_shape.items():
            # A step that must be skipped counts for nothing, without the host having to know.
            keep = torch.ones((), device=params[names[0]].device) if skip is None else 1 - skip
            updates = []
            for name in names:
                gradient = params[name].grad
                assert gradient is not None
                gradient = torch.where(keep > 0, gradient, 0.0)
                velocity = self._slot("velocity", name, params[name])
                velocity.lerp_(gradient, keep * (1 - self.momentum))
                updates.append(gradient.lerp(velocity, self.momentum).flatten(1))
            step = -learning_rate * _ADAMW_STEP * math.sqrt(max(shape)) * keep
            for name, update in zip(names, orthogonal(torch.stack(updates)), strict=True):
                params[name].mul_(1 - learning_rate * group.weight_decay * keep)
                params[name].add_((update * step).view_as(params[name]))


def orthogonal(matrices: Tensor) -> Tensor:
    """Return matrices with about the same singular vectors, and singular values between 0.7 and 1.2.

    Five steps of a Newton-Schulz iteration, in bfloat16 on a GPU, of which it takes no harm.

    Args:
        matrices: [number, rows, columns].
    """
    a, b, c = _COEFFICIENTS
    wide = matrices.bfloat16() if matrices.device.type == "cuda" else matrices
    tall = matrices.shape[1] > matrices.shape[2]
    wide = wide.mT if tall else wide
    wide = wide / wide.flatten(1).norm(dim=1).clamp(min=1e-7).view(-1, 1, 1)
    for _ in range(_ITERATIONS):
        gram = wide @ wide.mT
        wide = torch.baddbmm(wide, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return (wide.mT if tall else wide).to(matrices.dtype)

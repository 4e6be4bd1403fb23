"""Optimisers as update rules over parameter groups, with their state as plain named tensors.

The arithmetic is torch's own functional update rules. The classes of `torch.optim` are not used, because
constructing one imports the compiler (1.5 s of a short run) and their state is a pickle.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from trainwright.foundation.registry import Registry


@dataclass
class ParameterGroup:
    """Parameters that are updated alike.

    Attributes:
        params: name → parameter.
        weight_decay: L2 pull towards 0.
        scale: multiplies the learning rate (layer-wise rates of a pretrained encoder).
        hidden: names of the matrices between layers, for the rules that treat them by themselves.
    """

    params: dict[str, nn.Parameter]
    weight_decay: float = 0.0
    scale: float = 1.0
    hidden: frozenset[str] = frozenset()


def local(tensor: Tensor) -> Tensor:
    """Return this process's part of a sharded tensor, or the tensor itself."""
    part = getattr(tensor, "to_local", None)
    return tensor if part is None else part().detach()


class Optimizer(ABC):
    """An update rule.

    Args:
        groups: what to update.
        momentum: momentum, for the rules that have it.
    """

    slots: Sequence[str]
    """Names of the tensors kept for every parameter."""

    skips_on_device = True
    """Whether the rule itself can leave everything as it was; what a GPU did is undone there otherwise."""

    def __init__(self, groups: Iterable[ParameterGroup], *, momentum: float = 0.9) -> None:
        self.groups = list(groups)
        self.momentum = momentum
        self.state: dict[str, dict[str, Tensor]] = {slot: {} for slot in self.slots}

    def step(self, learning_rate: float, *, skip: Tensor | None = None) -> None:
        """Update every parameter that has a gradient.

        Args:
            learning_rate: before the scale of each group.
            skip: scalar; 1 leaves parameters and state as they are, because the gradient is not finite.
        """
        if skip is not None and skip.device.type == "cpu" and not self.skips_on_device:
            if bool(skip):
                return
            skip = None
        with torch.no_grad():
            for group in self.groups:
                live = {name: param for name, param in group.params.items() if param.grad is not None}
                self.apply(live, group, learning_rate, skip, slots=self.slots)

    def apply(
        self,
        live: Mapping[str, nn.Parameter],
        group: ParameterGroup,
        learning_rate: float,
        skip: Tensor | None,
        *,
        slots: Sequence[str],
    ) -> None:
        """Apply the rule to those parameters of a group that have a gradient."""
        if not live:
            return
        grads = [local(param.grad) for param in live.values() if param.grad is not None]
        state = {slot: [self._slot(slot, name, local(live[name])) for name in live] for slot in slots}
        params: list[Tensor] = [local(param) for param in live.values()]
        rate, decay = learning_rate * group.scale, group.weight_decay
        if skip is None or self.skips_on_device:
            self.update(params, grads, state, rate, decay, skip)
            return
        moved = [*params, *itertools.chain(*state.values())]
        kept = [tensor.clone() for tensor in moved]
        self.update(params, grads, state, rate, decay, None)
        for tensor, before in zip(moved, kept, strict=True):
            torch.where(skip > 0, before, tensor, out=tensor)

    def _slot(self, slot: str, name: str, param: Tensor) -> Tensor:
        if name not in self.state[slot]:
            empty = torch.zeros((), device=param.device) if slot == "steps" else torch.zeros_like(param)
            self.state[slot][name] = empty
        return self.state[slot][name]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.groups:
            for param in group.params.values():
                param.grad = None

    def gradients(self) -> list[Tensor]:
        """Return the gradients that there are; of sharded parameters this process's parts."""
        return [
            local(param.grad)
            for group in self.groups
            for param in group.params.values()
            if param.grad is not None
        ]

    def tensors(self) -> dict[str, Tensor]:
        """Return the whole state as named tensors."""
        return {
            f"{slot}/{name}": tensor for slot, named in self.state.items() for name, tensor in named.items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `tensors` gave."""
        for path, tensor in tensors.items():
            slot, name = path.split("/", 1)
            self.state[slot][name] = tensor.clone()

    @abstractmethod
    def update(
        self,
        params: list[Tensor],
        grads: list[Tensor],
        state: dict[str, list[Tensor]],
        learning_rate: float,
        weight_decay: float,
        skip: Tensor | None,
    ) -> None:
        """Apply the rule to some parameters in place."""


OPTIMIZERS: Registry[type[Optimizer]] = Registry("optimizer", package="trainwright.training")


@OPTIMIZERS.register("adamw")
class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    slots: Sequence[str] = ("steps", "mean", "square")
    rule = staticmethod(adamw)

    def update(
        self,
        params: list[Tensor],
        grads: list[Tensor],
        state: dict[str, list[Tensor]],
        learning_rate: float,
        weight_decay: float,
        skip: Tensor | None,
    ) -> None:
        """Apply the rule; betas 0.9 and 0.999."""
        self.rule(
            params,
            grads,
            state["mean"],
            state["square"],
            [],
            state["steps"],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=learning_rate,
            weight_decay=weight_decay,
            eps=1e-8,
            maximize=False,
            found_inf=skip,
        )


@OPTIMIZERS.register("adam")
class Adam(AdamW):
    """Adam with L2 in the gradient (Kingma & Ba 2015)."""

    rule = staticmethod(adam)


@OPTIMIZERS.register("sgd")
class SGD(Optimizer):
    """Stochastic gradient descent with Nesterov momentum (Sutskever et al. 2013)."""

    slots = ("velocity",)

    def update(
        self,
        params: list[Tensor],
        grads: list[Tensor],
        state: dict[str, list[Tensor]],
        learning_rate: float,
        weight_decay: float,
        skip: Tensor | None,
    ) -> None:
        """Apply the rule."""
        sgd(
            params,
            grads,
            list[Tensor | None](state["velocity"]),
            fused=True,
            weight_decay=weight_decay,
            momentum=self.momentum,
            lr=learning_rate,
            dampening=0.0,
            nesterov=self.momentum > 0,
            maximize=False,
            found_inf=skip,
        )


@OPTIMIZERS.register("rmsprop")
class RMSprop(Optimizer):
    """RMSprop with momentum (Tieleman & Hinton 2012)."""

    slots = ("steps", "square", "velocity")
    skips_on_device = False

    def update(
        self,
        params: list[Tensor],
        grads: list[Tensor],
        state: dict[str, list[Tensor]],
        learning_rate: float,
        weight_decay: float,
        skip: Tensor | None,
    ) -> None:
        """Apply the rule; smoothing 0.99."""
        rmsprop(
            params,
            grads,
            state["square"],
            [],
            state["velocity"],
            state["steps"],
            foreach=True,
            lr=learning_rate,
            alpha=0.99,
            eps=1e-8,
            weight_decay=weight_decay,
            momentum=self.momentum,
            centered=False,
        )

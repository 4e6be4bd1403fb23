"""Sharding: every process holds a part of weights, gradients and optimiser state, for models that do not fit.

It is FSDP2 (`torch.distributed.fsdp.fully_shard`; Zhao et al. 2023, 'PyTorch FSDP'), applied from outside the
model, block by block. Gradients are added up, not averaged: the loss is already a share of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.foundation.ranks import Ranks
from trainwright.training.compilation import repeated_blocks

_FITS = 0.8
"""Share of the free memory that a replica and its activations may be planned to take."""
_COPIES = 5
"""Weights, their gradients, two moments of Adam, and the best weights so far."""


@dataclass(frozen=True)
class Need:
    """What a replica takes, and what there is, in bytes.

    Attributes:
        replica: weights, gradients, optimiser state and best weights, without activations.
        activations: what a micro-batch is allowed beside them.
        free: free memory of the device, or this process's share of the machine's.
    """

    replica: int
    activations: int
    free: int

    @property
    def fits(self) -> bool:
        """Whether every process can hold the whole model."""
        return self.replica + self.activations <= _FITS * self.free

    def said(self, size: int) -> str:
        """Return the arithmetic in a sentence."""
        return (
            f"a replica takes {_gigabytes(self.replica)} and {_gigabytes(self.activations)} for activations, "
            f"{_gigabytes(self.free)} are free: {size} processes hold {_gigabytes(self.replica // size)} each"
        )


def need(model: nn.Module, device: torch.device, *, ema: bool, processes_here: int) -> Need:
    """Return what a replica of a model takes in training, beside what there is.

    Args:
        model: float32 weights.
        device: where it trains.
        ema: whether an average of the weights is kept.
        processes_here: processes that share the memory of this machine.
    """
    learned = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() * p.element_size() for p in model.parameters() if not p.requires_grad)
    replica = (_COPIES + ema) * learned + (2 + ema) * frozen
    return Need(replica, replica // 4, _free(device, processes_here))


def _free(device: torch.device, processes_here: int) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    from trainwright.foundation.devices import free_memory

    return free_memory() // max(processes_here, 1)


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:,.1f} GB"


def shard(model: nn.Module, device: torch.device) -> nn.Module:
    """Shard a model in place over all processes; they must have joined. Its names stay what they are.

    Args:
        model: its weights are equal in all processes.
        device: where it trains; the model is moved there part by part.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    size = torch.distributed.get_world_size()
    mesh = init_device_mesh(device.type, (size,))
    for block in repeated_blocks([model]):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for part in model.modules():
        if isinstance(part, FSDPModule):
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)  # gloo knows no sum with a factor
    return model


def reshard(model: nn.Module) -> None:
    """Let each process hold its parts alone again after a sharded model was only asked.

    What does not belong to a block stays whole until a backward pass: an optimiser would take
    it for the parameter.
    """
    from torch.distributed.fsdp import FSDPModule

    for part in model.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


def is_sharded(model: nn.Module) -> bool:
    """Return whether `shard` was applied to a model."""
    return any(hasattr(parameter, "device_mesh") for parameter in model.parameters())


def whole_state(model: nn.Module, ranks: Ranks) -> dict[str, Tensor]:
    """Return the state of a sharded model as whole tensors on the CPU: in the first process; else nothing."""
    found = {}
    for name, tensor in model.state_dict().items():
        full: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # all take part
        if ranks.is_first:
            found[name] = full.detach().cpu()
    return found


def like(parameter: Any, part: Tensor) -> Tensor:
    """Return the local part of what belongs to a sharded parameter (a moment of Adam) as a DTensor."""
    if not hasattr(parameter, "device_mesh") or part.dim() == 0:
        return part
    from torch.distributed.tensor import DTensor

    made: Tensor = DTensor.from_local(
        part,
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=parameter.shape,
        stride=parameter.stride(),
    )
    return made


def on_host(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies in host memory; parts of sharded tensors stay parts."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor

    mesh: Any = None
    copies: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if isinstance(tensor, DTensor):
            mesh = mesh or init_device_mesh("cpu", (torch.distributed.get_world_size(),))
            copies[name] = DTensor.from_local(
                tensor.to_local().detach().to("cpu", copy=True),
                mesh,
                tensor.placements,
                run_check=False,
                shape=tensor.shape,
                stride=tensor.stride(),
            )
        else:
            copies[name] = tensor.detach().to("cpu", copy=True)
    return copies

"""Several processes that train one model together, as torchrun starts them; for one alone it does nothing.

Every process has the whole model and takes its share of each micro-batch. Gradients are added up, so that a
step is the step of one process over the same rows. What the host decides (to stop, to save) travels through
gloo on the CPU, so that no device is waited for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import numpy.typing as npt

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Value = TypeVar("Value")

_LONGEST_WAIT = timedelta(hours=2)
"""For a process that reads a large table or judges; torchrun notices at once when one dies."""
_BUCKET_BYTES = 32 * 2**20
"""Gradients are sent together up to this size: few messages, and little memory beside them."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: number of this process, from 0; the first one writes what there is to write.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def share(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return this process's rows of a micro-batch: as even as can be, none twice, perhaps none."""
        ends = [len(rows) * place // self.size for place in (self.rank, self.rank + 1)]
        return rows[ends[0] : ends[1]]

    def add_up(self, tensor: Tensor) -> Tensor:
        """Add a tensor up over all processes, in place, and return it."""
        if self.size > 1:
            import torch.distributed as dist

            dist.all_reduce(tensor)
        return tensor

    def add_up_array(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Add an array up over all processes, in place, and return it."""
        if self.size > 1:
            import torch

            self.add_up(torch.from_numpy(array))
        return array

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether it is set in any process: all of them decide alike."""
        if self.size == 1:
            return flags
        import torch

        return tuple(bool(count) for count in self.add_up(torch.tensor(flags, dtype=torch.int32)).tolist())

    def from_first(self, value: Value) -> Value:
        """Return what the first process gave."""
        if self.size == 1:
            return value
        import torch.distributed as dist

        held: list[Any] = [value]
        dist.broadcast_object_list(held, src=0, device=_host())
        return held[0]  # type: ignore[no-any-return]

    def add_up_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Add up gradients over all processes. A parameter that no process has one of keeps none."""
        if self.size == 1:
            return
        import torch

        learning = [parameter for parameter in parameters if parameter.requires_grad]
        there = torch.tensor([parameter.grad is not None for parameter in learning], dtype=torch.int32)
        moved = [p for p, count in zip(learning, self.add_up(there).tolist(), strict=True) if count]
        for parameter in moved:
            if parameter.grad is None:  # no row of this process's share needed it
                parameter.grad = torch.zeros_like(parameter)
        for bucket in _buckets(moved):
            gradients = [parameter.grad for parameter in bucket if parameter.grad is not None]
            flat = self.add_up(torch.cat([gradient.flatten() for gradient in gradients]))
            parts = torch.split(flat, [gradient.numel() for gradient in gradients])
            shaped = [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)]
            torch._foreach_copy_(gradients, shaped)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their means over all processes (running statistics of batch norm)."""
        if self.size > 1:
            for tensor in tensors:
                self.add_up(tensor).div_(self.size)


ALONE = Ranks()
"""The one process of a run that is not shared out."""


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    size = 0
    for parameter in parameters:
        grows = parameter.numel() * parameter.element_size()
        if bucket and (size + grows > _BUCKET_BYTES or parameter.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += grows
    if bucket:
        yield bucket


def _host() -> torch.device:
    import torch

    return torch.device("cpu")


def launched() -> Ranks:
    """Return this process's place as torchrun gave it, before it has joined the others."""
    return Ranks(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


RESTARTED = "TRAINWRIGHT_RESTARTED"
"""Variable of the environment by which other launchers than torchrun say that this is not the first start."""


def is_restart() -> bool:
    """Return whether these processes were started again after one of them died."""
    return _restarts() > 0 or os.environ.get(RESTARTED) == "1"


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun started beside this one; leave them at the end.

    Where whoever started them has joined them already, as Ray does, it also parts them.
    """
    ranks = launched()
    if ranks.size == 1:
        yield ALONE
        return
    import torch
    import torch.distributed as dist

    if dist.is_initialized():
        yield ranks
        return
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    # torchrun keeps its store over restarts: without a name of its own for each start, processes would find
    # the addresses of those that are gone, and wait for them.
    store, rank, size = next(rendezvous("env://"))
    store = PrefixStore(f"start {_restarts()}", store)
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_LONGEST_WAIT)
    try:
        yield ranks
    finally:
        dist.destroy_process_group()

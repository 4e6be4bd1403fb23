"""How many threads a model is worth: small steps are done before a second thread is awake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from trainwright.models.multimodal import MultimodalModel

_WORTH_SHARING = 2e8
"""Floating-point operations of a step above which threads share it: about 4 ms of one core."""


@contextmanager
def threads_for(network: MultimodalModel, batch: int) -> Iterator[int]:
    """Let torch use one thread for a small table model, and all of its own for any other.

    The choice follows from shapes alone, never from a clock, because the number of threads decides in which
    order sums are taken and so the last bits of the weights.

    Args:
        network: the model.
        batch: rows a step.
    """
    before = torch.get_num_threads()
    number = 1 if _operations(network, batch) < _WORTH_SHARING else before
    torch.set_num_threads(number)
    try:
        yield number
    finally:
        torch.set_num_threads(before)


def _operations(network: MultimodalModel, batch: int) -> float:
    """Return the operations of a step forward and back; without end for anything but a table."""
    if any(group.modality != "table" for group in network.groups):
        return float("inf")
    tables = {id(part.weight) for part in network.modules() if isinstance(part, nn.Embedding)}
    matrices = sum(p.numel() for p in network.parameters() if p.dim() >= 2 and id(p) not in tables)
    # A multiplication and an addition for each weight and row, once forward and twice back.
    return 6.0 * batch * network.members * matrices

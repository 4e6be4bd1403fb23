"""Encoded rows that lie on a device: a batch is gathered there, and only which rows it has is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainwright.data.encoded import TARGET, TOTAL, Array, Batch, EncodedRows, Ragged

if TYPE_CHECKING:
    import torch

SHARE = 0.25
"""Share of a device's free memory that rows may take: weights, optimiser and activations need the rest."""
_PIECE_BYTES = 64 * 2**20
"""Sent at a time: memory-mapped arrays are read no faster than they are sent."""


@dataclass(frozen=True)
class RaggedOnDevice:
    """A ragged array on a device.

    Attributes:
        values: [total, ...], at least one.
        offsets: int64 [rows + 1].
        lengths: int64 [rows], on the host, which needs them for shapes.
    """

    values: torch.Tensor
    offsets: torch.Tensor
    lengths: Array

    def padded(self, rows: Array, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what `Ragged.padded` does, on the device; `index` are the rows there."""
        import torch

        longest = max(int(self.lengths[rows].max(initial=0)), 1)
        starts = self.offsets.index_select(0, index)
        lengths = self.offsets.index_select(0, index + 1) - starts
        steps = torch.arange(longest, device=index.device)
        inside = steps < lengths.unsqueeze(1)
        place = (starts.unsqueeze(1) + steps).clamp(max=len(self.values) - 1)
        values = self.values.index_select(0, place.flatten())
        values = values.view(len(rows), longest, *values.shape[1:])
        outside = ~inside.view(*inside.shape, *[1] * (values.dim() - 2))
        return values.masked_fill(outside, 0), lengths


@dataclass(frozen=True)
class ResidentRows:
    """`EncodedRows` on a device.

    Attributes:
        num_rows: number of rows.
        device: where they are.
        arrays: name → [rows, ...] tensor or ragged array there.
    """

    num_rows: int
    device: torch.device
    arrays: Mapping[str, torch.Tensor | RaggedOnDevice]

    def batch(self, rows: Array) -> Batch:
        """Return the tensors of some rows, on the device; what `EncodedRows.batch` gives. The host waits for
        nothing.
        """
        import torch

        index = sent(np.ascontiguousarray(rows, dtype=np.int64), self.device)
        inputs: dict[str, torch.Tensor] = {}
        targets: dict[str, torch.Tensor] = {}
        for name, array in self.arrays.items():
            if isinstance(array, RaggedOnDevice):
                inputs[name], inputs[f"{name}.lengths"] = array.padded(rows, index)
                inputs[f"{name}{TOTAL}"] = torch.tensor(int(array.lengths[rows].sum()))
            elif name.startswith(TARGET):
                targets[name[len(TARGET) :]] = array.index_select(0, index)
            else:
                inputs[name] = array.index_select(0, index)
        for name, tensor in inputs.items():
            if tensor.dtype == torch.int32:
                inputs[name] = tensor.long()
        return Batch(inputs, targets, rows)


def sent(array: Array, device: torch.device) -> torch.Tensor:
    """Return an array on a device, without waiting until it is there."""
    import torch

    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def resident(rows: EncodedRows, device: torch.device, *, share: float = SHARE) -> EncodedRows | ResidentRows:
    """Return rows on the device where they take at most a share of its free memory, else as they are.

    On a CPU, and where how much is free cannot be known, they stay as they are. Batches are equal either way.
    """
    if device.type != "cuda":
        return rows
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return on_device(rows, device) if num_bytes(rows) <= share * free else rows


def num_bytes(rows: EncodedRows) -> int:
    """Return how many bytes the arrays have."""
    return sum(
        array.values.nbytes + array.offsets.nbytes if isinstance(array, Ragged) else array.nbytes
        for array in rows.arrays.values()
    )


def on_device(rows: EncodedRows, device: torch.device) -> ResidentRows:
    """Return rows whose arrays have been copied to a device, a piece at a time."""
    arrays: dict[str, torch.Tensor | RaggedOnDevice] = {}
    for name, array in rows.arrays.items():
        if isinstance(array, Ragged):
            values, offsets = _copied(array.values, device), _copied(array.offsets, device)
            arrays[name] = RaggedOnDevice(values, offsets, array.lengths)
        else:
            arrays[name] = _copied(array, device)
    return ResidentRows(rows.num_rows, device, arrays)


def _copied(array: Array, device: torch.device) -> torch.Tensor:
    import torch

    kind = torch.from_numpy(np.zeros(0, dtype=array.dtype)).dtype
    # One more than none: a gather from nothing is an error even where nothing of it is looked at.
    out = torch.zeros((max(len(array), 1), *array.shape[1:]), dtype=kind, device=device)
    for start, stop in _pieces(array):
        out[start:stop].copy_(torch.from_numpy(np.array(array[start:stop])))
    return out


def _pieces(array: Array) -> Iterator[tuple[int, int]]:
    step = max(1, _PIECE_BYTES // max(array[:1].nbytes, 1))
    for start in range(0, len(array), step):
        yield start, min(start + step, len(array))

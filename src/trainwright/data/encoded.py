"""Encoded rows: the arrays that batches are cut from, in memory or memory-mapped from the cache.

On disk an encoded table is a folder: `encoded.json` names the arrays; each lies in its own file as raw
little-endian values, a ragged one beside a file of offsets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from trainwright.foundation.paths import write_json, writing

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths in one flat array.

    Attributes:
        values: [total, ...] the rows one after another.
        offsets: int64 [rows + 1]; row i is `values[offsets[i]:offsets[i + 1]]`.
    """

    values: Array
    offsets: Array

    @property
    def lengths(self) -> Array:
        """Length of every row, int64 [rows]."""
        return np.diff(self.offsets)

    def take(self, rows: Array) -> Ragged:
        """Return the rows at the given positions, in that order."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        gather = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Ragged(self.values[gather], offsets)

    def padded(self, rows: Array) -> tuple[Array, Array]:
        """Return the given rows side by side, padded with 0: [rows, longest, ...] and lengths [rows]."""
        lengths = self.lengths[rows]
        longest = max(int(lengths.max(initial=0)), 1)
        steps = np.arange(longest)
        inside = steps < lengths[:, None]
        out = np.zeros((len(rows), longest, *self.values.shape[1:]), dtype=self.values.dtype)
        out[inside] = self.values[(self.offsets[rows][:, None] + steps)[inside]]
        return out, lengths


@dataclass
class Batch:
    """The tensors of one step.

    Attributes:
        inputs: input tensors by name (`table.dense`, `body.tokens`, `body.tokens.lengths`, `photo.pixels`).
            `body.tokens.total` is the sum of the lengths and stays on the host, as shapes follow from it.
        targets: encoded targets by column.
        rows: positions in the table, int64 [batch], on the host.
    """

    inputs: dict[str, torch.Tensor]
    targets: dict[str, torch.Tensor]
    rows: Array

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        if device.type == "cpu":
            return self
        move = {
            name: tensor if name.endswith(TOTAL) else tensor.to(device, non_blocking=True)
            for name, tensor in self.inputs.items()
        }
        targets = {name: tensor.to(device, non_blocking=True) for name, tensor in self.targets.items()}
        return Batch(move, targets, self.rows)


TOTAL = ".total"
"""End of the names of tensors that stay on the host: how many steps a ragged input of the batch has."""
TARGET = "target."
"""Arrays whose name starts so are targets; the rest of the name is the column."""


@dataclass
class EncodedRows:
    """Encoded rows of a table.

    Attributes:
        num_rows: number of rows.
        arrays: name → [rows, ...] array or `Ragged`.
        broken: row → (column, reason) for rows that cannot be used.
        counts: column → what happened to how many values, to be said once.
    """

    num_rows: int
    arrays: Mapping[str, Array | Ragged]
    broken: dict[int, tuple[str, str]] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def batch(self, rows: Array) -> Batch:
        """Return the tensors of some rows, on the CPU."""
        import torch

        inputs: dict[str, torch.Tensor] = {}
        targets: dict[str, torch.Tensor] = {}
        for name, array in self.arrays.items():
            if isinstance(array, Ragged):
                values, lengths = array.padded(rows)
                inputs[name] = torch.from_numpy(values)
                inputs[f"{name}.lengths"] = torch.from_numpy(lengths)
                inputs[f"{name}{TOTAL}"] = torch.tensor(int(lengths.sum()))
                continue
            taken = torch.from_numpy(np.ascontiguousarray(array[rows]))
            if name.startswith(TARGET):
                targets[name[len(TARGET) :]] = taken
            else:
                inputs[name] = taken
        for name, tensor in inputs.items():
            if tensor.dtype == torch.int32:
                inputs[name] = tensor.long()
        return Batch(inputs, targets, rows)

    def lengths(self) -> Array | None:
        """Return the longest ragged input of every row, int64 [rows]; None where nothing is ragged."""
        ragged = [array.lengths for array in self.arrays.values() if isinstance(array, Ragged)]
        return np.maximum.reduce(ragged) if ragged else None

    def in_memory(self, limit_bytes: int) -> EncodedRows:
        """Return the same rows read into memory when they take at most `limit_bytes`, else themselves."""
        size = sum(
            array.values.nbytes + array.offsets.nbytes if isinstance(array, Ragged) else array.nbytes
            for array in self.arrays.values()
        )
        if size > limit_bytes:
            return self
        loaded: dict[str, Array | Ragged] = {}
        for name, array in self.arrays.items():
            if isinstance(array, Ragged):
                loaded[name] = Ragged(_read(array.values), array.offsets)
            else:
                loaded[name] = _read(array)
        return EncodedRows(self.num_rows, loaded, self.broken, self.counts)


def joined(chunks: Sequence[EncodedRows]) -> EncodedRows:
    """Return encoded chunks one behind another, in memory; at least one chunk."""
    starts = np.cumsum([0, *(chunk.num_rows for chunk in chunks)]).tolist()
    broken = {
        start + row: reason
        for start, chunk in zip(starts, chunks, strict=False)
        for row, reason in chunk.broken.items()
    }
    counts: dict[str, dict[str, int]] = {}
    for chunk in chunks:
        add_counts(counts, chunk.counts)
    arrays = {name: _end_to_end([chunk.arrays[name] for chunk in chunks]) for name in chunks[0].arrays}
    return EncodedRows(starts[-1], arrays, broken, counts)


def _end_to_end(parts: Sequence[Array | Ragged]) -> Array | Ragged:
    plain = [part for part in parts if not isinstance(part, Ragged)]
    if plain:
        return np.concatenate(plain)
    ragged = [part for part in parts if isinstance(part, Ragged)]
    lengths = np.concatenate([part.lengths for part in ragged])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(np.concatenate([part.values for part in ragged]), offsets)


def add_counts(total: dict[str, dict[str, int]], counts: Mapping[str, Mapping[str, int]]) -> None:
    """Add what happened to the values of a chunk, by column, to what happened before."""
    for column, what in counts.items():
        mine = total.setdefault(column, {})
        for word, count in what.items():
            mine[word] = mine.get(word, 0) + count


class EncodedWriter:
    """Writes encoded chunks one after another into a folder; bounded memory whatever the number of rows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}
        self._meta: dict[str, dict[str, Any]] = {}
        self._ends: dict[str, list[Array]] = {}
        self._broken: dict[int, tuple[str, str]] = {}
        self._counts: dict[str, dict[str, int]] = {}
        self._rows = 0

    def append(self, chunk: EncodedRows) -> None:
        """Write a chunk behind what was written before."""
        with writing(self._folder):
            for name, array in chunk.arrays.items():
                values = array.values if isinstance(array, Ragged) else array
                values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
                if name not in self._files:
                    file = f"{len(self._files)}.bin"
                    self._meta[name] = {
                        "file": file,
                        "dtype": values.dtype.str,
                        "shape": list(values.shape[1:]),
                        "ragged": isinstance(array, Ragged),
                    }
                    self._files[name] = (self._folder / file).open("wb")
                meta = self._meta[name]
                assert (meta["dtype"], meta["shape"]) == (values.dtype.str, list(values.shape[1:])), name
                self._files[name].write(values.data)  # tofile() would hide why a write failed
                if isinstance(array, Ragged):
                    self._ends.setdefault(name, []).append(array.lengths)
        for row, reason in chunk.broken.items():
            self._broken[self._rows + row] = reason
        add_counts(self._counts, chunk.counts)
        self._rows += chunk.num_rows

    def close(self) -> None:
        """Write offsets and the index; the folder is complete afterwards."""
        with writing(self._folder):
            for stream in self._files.values():
                stream.close()
            for name, lengths in self._ends.items():
                offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype("<i8")
                (self._folder / f"{self._meta[name]['file']}.offsets").write_bytes(offsets.data)
            write_json(
                self._folder / "encoded.json",
                {
                    "rows": self._rows,
                    "arrays": self._meta,
                    "broken": [[row, *reason] for row, reason in self._broken.items()],
                    "counts": self._counts,
                },
            )


def open_encoded(folder: Path) -> EncodedRows:
    """Return the encoded rows of a folder, memory-mapped."""
    index = json.loads((folder / "encoded.json").read_text(encoding="utf-8"))
    num_rows = index["rows"]
    arrays: dict[str, Array | Ragged] = {}
    for name, meta in index["arrays"].items():
        path, dtype, shape = folder / meta["file"], np.dtype(meta["dtype"]), tuple(meta["shape"])
        if meta["ragged"]:
            offsets = np.fromfile(f"{path}.offsets", dtype="<i8")
            arrays[name] = Ragged(_mapped(path, dtype, (int(offsets[-1]), *shape)), offsets)
        else:
            arrays[name] = _mapped(path, dtype, (num_rows, *shape))
    broken = {row: (column, reason) for row, column, reason in index["broken"]}
    return EncodedRows(num_rows, arrays, broken, index["counts"])


def _read(array: Array) -> Array:
    """Return an array's values in memory, read from its file and not through its mapping, whose pages would
    count beside them.
    """
    if isinstance(array, np.memmap) and array.filename is not None:
        return np.fromfile(array.filename, dtype=array.dtype).reshape(array.shape)
    return np.array(array)


def _mapped(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    if 0 in shape:  # an empty file cannot be mapped
        return np.zeros(shape, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=shape)

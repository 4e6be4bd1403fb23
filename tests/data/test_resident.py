"""Rows on a device give the batches that rows on the host give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from trainwright.data.encoded import Batch, EncodedRows, Ragged
from trainwright.data.resident import num_bytes, on_device, resident

CPU = torch.device("cpu")


def rows_of(lengths: list[int]) -> EncodedRows:
    draw, num = np.random.default_rng(0), len(lengths)
    offsets = np.cumsum([0, *lengths]).astype(np.int64)
    arrays: dict[str, Any] = {
        "table.dense": draw.normal(size=(num, 3)).astype(np.float32),
        "table.index": draw.integers(0, 9, (num, 2), dtype=np.int32),
        "photo.pixels": draw.integers(0, 256, (num, 3, 4, 5), dtype=np.uint8),
        "photo.present": draw.random(num) > 0.5,
        "nothing.dense": np.zeros((num, 0), dtype=np.float32),
        "text.tokens": Ragged(draw.integers(1, 99, offsets[-1], dtype=np.int32), offsets),
        "pulse.values": Ragged(draw.normal(size=(offsets[-1], 2)).astype(np.float32), offsets),
        "target.y": draw.integers(0, 3, num),
        "target.z": draw.normal(size=num).astype(np.float32),
    }
    return EncodedRows(num, arrays)


def assert_same(mine: Batch, other: Batch) -> None:
    for found, expected in ((mine.inputs, other.inputs), (mine.targets, other.targets)):
        assert list(found) == list(expected)
        for name, tensor in expected.items():
            assert found[name].dtype == tensor.dtype, name
            assert torch.equal(found[name], tensor), name
    assert np.array_equal(mine.rows, other.rows)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=9), st.data())
def test_batches_are_those_of_the_host(lengths: list[int], data: st.DataObject) -> None:
    rows = rows_of(lengths)
    picked = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=12))
    chosen = np.array(picked, dtype=np.int64)
    assert_same(on_device(rows, CPU).batch(chosen), rows.batch(chosen))


def test_arrays_longer_than_a_piece_arrive_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwright.data.resident._PIECE_BYTES", 100)
    rows = rows_of([5, 0, 7, 30])
    every = np.arange(4)
    assert_same(on_device(rows, CPU).batch(every), rows.batch(every))


class HostWaits(TorchDispatchMode):
    """Refuses what makes the host wait for a device: reading a number, or a shape that values decide."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func._overloadpacket.__name__ not in {"_local_scalar_dense", "nonzero", "masked_select"}, func
        return func(*args, **(kwargs or {}))


def test_a_batch_is_not_waited_for() -> None:
    rows = on_device(rows_of([5, 0, 7]), CPU)
    with HostWaits():
        rows.batch(np.array([2, 0, 2]))


def test_on_a_cpu_rows_stay_where_they_are() -> None:
    rows = rows_of([1, 2])
    assert resident(rows, CPU) is rows
    assert num_bytes(rows) == sum(
        part.nbytes
        for array in rows.arrays.values()
        for part in ((array.values, array.offsets) if isinstance(array, Ragged) else (array,))
    )

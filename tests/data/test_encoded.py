"""Encoded rows: what is written chunk by chunk is what batches are cut from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainwright.data.encoded import EncodedRows, EncodedWriter, Ragged, joined, open_encoded


def ragged(rows: list[list[int]]) -> Ragged:
    values = np.array([value for row in rows for value in row], dtype=np.int32)
    return Ragged(values, np.cumsum([0, *map(len, rows)]).astype(np.int64))


def chunk(numbers: list[float], words: list[list[int]], **more: object) -> EncodedRows:
    arrays = {
        "table.dense": np.array(numbers, dtype=np.float32).reshape(-1, 1),
        "text.tokens": ragged(words),
        "target.y": np.arange(len(numbers)),
    }
    return EncodedRows(len(numbers), arrays, **more)  # type: ignore[arg-type]


CHUNKS = [
    chunk([1, 2], [[5], []], broken={1: ("text", "gone")}, counts={"text": {"truncated": 2}}),
    chunk([3], [[7, 8, 9]], broken={0: ("y", "bad")}, counts={"text": {"truncated": 1}}),
]


def written(folder: Path) -> EncodedRows:
    writer = EncodedWriter(folder)
    for part in CHUNKS:
        writer.append(part)
    writer.close()
    return open_encoded(folder)


def test_chunks_come_back_as_one_table(tmp_path: Path) -> None:
    rows = written(tmp_path)
    for opened in (rows, rows.in_memory(1 << 20), joined(CHUNKS)):
        assert opened.num_rows == 3
        assert opened.broken == {1: ("text", "gone"), 2: ("y", "bad")}
        assert opened.counts == {"text": {"truncated": 3}}
        batch = opened.batch(np.array([2, 0]))
        assert batch.inputs["table.dense"].tolist() == [[3], [1]]
        assert batch.inputs["text.tokens"].tolist() == [[7, 8, 9], [5, 0, 0]]
        assert batch.inputs["text.tokens.lengths"].tolist() == [3, 1]
        assert batch.inputs["text.tokens"].dtype == torch.int64
        assert set(batch.targets) == {"y"}
        assert batch.to(torch.device("cpu")) is batch


def test_a_table_without_rows_or_tokens_opens(tmp_path: Path) -> None:
    writer = EncodedWriter(tmp_path)
    writer.append(chunk([1], [[]]))
    writer.close()
    assert open_encoded(tmp_path).batch(np.array([0])).inputs["text.tokens"].shape == (1, 1)


@given(st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=30), st.randoms())
def test_padding_and_taking_agree(rows: list[list[int]], random: object) -> None:
    array = ragged(rows)
    wanted = np.array(random.choices(range(len(rows)), k=5))  # type: ignore[attr-defined]
    padded, lengths = array.padded(wanted)
    taken = array.take(wanted)
    for place, row in enumerate(wanted):
        assert padded[place, : lengths[place]].tolist() == rows[row]
        assert not padded[place, lengths[place] :].any()
        assert taken.values[taken.offsets[place] : taken.offsets[place + 1]].tolist() == rows[row]

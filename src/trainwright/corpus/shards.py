"""The second pass: the documents that stay, in Parquet files of about the same size."""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainwright.corpus.features import Indices
from trainwright.corpus.pieces import REPEATED, TEXTS, Report, schema
from trainwright.corpus.resolve import KEEP
from trainwright.foundation.hashing import file_sha256
from trainwright.foundation.paths import write_json, writing

_GROUP_BYTES = 16 << 20
"""Text of a row group: what a reader holds at a time."""


def shard_name(number: int) -> str:
    """Return the name of a shard."""
    return f"part-{number:05}.parquet"


def make_shard(
    output: Path,
    marker: Path,
    number: int,
    shard: dict[str, Any],
    *,
    resolved: Path,
    pieces: Sequence[Path],
    starts: Indices,
    report: Report,
) -> None:
    """Write a shard, then the file that says what is in it.

    Args:
        output: folder of the corpus.
        marker: what says that the shard is whole.
        number: number of the shard.
        shard: which documents it holds, see `resolve`.
        resolved: folder with the decision on all documents.
        pieces: folders of the first pass, in order.
        starts: number of each piece's first document, and of all documents.
        report: told of rows that were written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    keep = np.load(resolved / KEEP, mmap_mode="r")
    path = output / shard_name(number)
    # On the same disk, and its own: a process whose parent was killed may still write for a moment.
    scratch = marker.with_name(f".{marker.stem}.{secrets.token_hex(6)}.parquet")
    languages: Counter[str] = Counter()
    num_characters = 0
    with writing(path):
        with pq.ParquetWriter(scratch, schema(), compression="zstd", use_dictionary=REPEATED) as writer:
            held: list[Any] = []
            held_bytes = 0
            for table in _kept(pieces, starts, keep, shard["first"], shard["last"]):
                held.append(table)
                held_bytes += table.column("text").nbytes
                num_characters += int(table.column("characters").to_numpy().sum())
                languages.update(table.column("language").to_pylist())
                report(table.num_rows, 0)
                if held_bytes >= _GROUP_BYTES:
                    writer.write_table(pa.concat_tables(held))
                    held, held_bytes = [], 0
            if held:
                writer.write_table(pa.concat_tables(held))
        with scratch.open("rb") as stream:
            os.fsync(stream.fileno())  # not even a power cut leaves a shard that the manifest is wrong about
        num_bytes = scratch.stat().st_size
        digest = file_sha256(scratch)
        scratch.replace(path)
    write_json(
        marker,
        {
            "file": path.name,
            "rows": shard["rows"],
            "characters": num_characters,
            "bytes": num_bytes,
            "sha256": digest,
            "languages": dict(sorted(languages.items())),
        },
    )


def _kept(pieces: Sequence[Path], starts: Indices, keep: Any, first: int, last: int) -> Iterator[Any]:
    """Yield tables of the documents from `first` to `last` that stay."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    begin = int(np.searchsorted(starts, first, side="right")) - 1
    end = int(np.searchsorted(starts, last, side="left"))
    at = int(starts[begin])
    for piece in pieces[begin:end]:
        with pq.ParquetFile(piece / TEXTS, pre_buffer=False) as file:
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                low, high = max(first, at), min(last, at + size)
                if low < high and keep[low:high].any():
                    table = file.read_row_group(group, use_threads=False).slice(low - at, high - low)
                    yield table.filter(pa.array(np.asarray(keep[low:high])))
                at += size


def read_marker(marker: Path) -> dict[str, Any]:
    """Return what is in a shard."""
    found: dict[str, Any] = json.loads(marker.read_text(encoding="utf-8"))
    return found

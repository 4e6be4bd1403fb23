"""Parquet: one document a row, read a few row groups at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trainwright.corpus.columns import all_texts, as_text, text_column, url_of
from trainwright.corpus.document import Document
from trainwright.corpus.ledger import Ledger
from trainwright.corpus.reader import READERS, SLICE_BYTES, Asked, Reader, Slice, whole
from trainwright.corpus.streams import bomb
from trainwright.data.archive import MAX_RATIO, RATIO_FROM_BYTES
from trainwright.foundation.errors import DataError

_ROWS = 512
_BATCH_BYTES = 4 << 20
_LOOKED_AT = 100
_BUFFER_BYTES = 1 << 20
"""A column of a row group is streamed through this much memory, however large the row group is."""


def read_parquet(part: Slice, asked: Asked, ledger: Ledger) -> Iterator[Document]:
    """Yield the documents of some row groups.

    Raises:
        DataError: the file is cut off or damaged, or no column holds text.
    """
    import pyarrow as pa

    try:
        with _open(part.path) as file:
            yield from _read(file, part, asked, ledger)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            "the Parquet file is cut off or damaged", where=part.name, fix="copy or download it again"
        ) from error


def _read(file: Any, part: Slice, asked: Asked, ledger: Ledger) -> Iterator[Document]:
    size = sum(file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups))
    if size > max(RATIO_FROM_BYTES, MAX_RATIO * part.path.stat().st_size):
        raise bomb(part.name)
    columns = _text_columns(file)
    if asked.all_texts:
        column = ""
    else:
        if asked.text_column is not None:
            columns = file.schema_arrow.names
        looked_at = min(_LOOKED_AT, _rows(file, range(file.num_row_groups)))
        first = next(file.iter_batches(looked_at, columns=columns), None) if columns else None
        rows = first.to_pylist() if first is not None else []
        column = text_column(
            rows or [dict.fromkeys(file.schema_arrow.names)], asked=asked.text_column, name=part.name
        )
        columns = [column, *(name for name in ("url", "uri") if name in columns and name != column)]
    end = file.num_row_groups if part.end is None else part.end
    number = sum(file.metadata.row_group(group).num_rows for group in range(part.start))
    groups = list(range(part.start, end))
    given, most = 0, max(RATIO_FROM_BYTES, MAX_RATIO * part.path.stat().st_size)
    for batch in file.iter_batches(_rows(file, groups), row_groups=groups, columns=columns):
        for row in batch.to_pylist():
            texts = [as_text(row[column])] if column else list(all_texts(row))
            for text in texts:
                if text:
                    given += len(text)
                    if given > most:
                        raise bomb(part.name)
                    yield Document(text, part.name, f"row {number:,}", part.kind, url_of(row))
                else:
                    ledger.leave("read", "no text", 0, where=f"{part.name} row {number:,}", text="")
            number += 1


def _rows(file: Any, groups: Sequence[int]) -> int:
    """Return how many rows are read at a time: they take about 4 MB, one where it is longer.

    A text that stands in many rows is in the file once, in a dictionary, and takes its room in each.
    """
    largest = 1
    for number in groups:
        group = file.metadata.row_group(number)
        dictionaries = [_dictionary_bytes(group.column(column)) for column in range(group.num_columns)]
        largest = max(largest, group.total_byte_size // max(group.num_rows, 1), *dictionaries)
    return max(1, min(_ROWS, _BATCH_BYTES // largest))


def _dictionary_bytes(chunk: Any) -> int:
    """Return about how large the dictionary of a column is, unpacked."""
    if not chunk.has_dictionary_page or chunk.dictionary_page_offset is None:
        return 0
    packed = chunk.data_page_offset - chunk.dictionary_page_offset
    return int(packed * chunk.total_uncompressed_size // max(chunk.total_compressed_size, 1))


def _open(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES)


def _text_columns(file: Any) -> list[str]:
    import pyarrow as pa

    def holds_text(kind: Any) -> bool:
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return holds_text(kind.value_type)
        if pa.types.is_dictionary(kind):
            return holds_text(kind.value_type)
        return _is_text(kind) or bool(pa.types.is_string_view(kind))

    return [field.name for field in file.schema_arrow if holds_text(field.type)]


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _slices(path: Path, name: str, kind: str) -> list[Slice]:
    """Cut a file between its row groups; a damaged one stays whole, and its reader says so."""
    import pyarrow as pa

    try:
        with _open(path) as file:
            sizes = [file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups)]
    except (pa.ArrowException, OSError):
        return whole(path, name, kind)
    made: list[Slice] = []
    start = held = 0
    for group, size in enumerate(sizes):
        held += size
        if held >= SLICE_BYTES or group == len(sizes) - 1:
            made.append(Slice(path, name, kind, start, group + 1, held))
            start, held = group + 1, 0
    return made or whole(path, name, kind)


READERS.register("parquet")(
    Reader(read_parquet, (".parquet", ".pq"), lambda head: head.startswith(b"PAR1"), slices=_slices)
)

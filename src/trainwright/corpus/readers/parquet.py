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
    columns = _text_columns(file)
    if asked.all_texts:
        column = ""
    else:
        if asked.text_column is not None:
            columns = file.schema_arrow.names
        looked_at = min(_LOOKED_AT, _rows(file, _first_groups(file)))
        first = next(file.iter_batches(looked_at, columns=columns), None) if columns else None
        rows = first.to_pylist() if first is not None else []
        column = text_column(
            rows or [dict.fromkeys(file.schema_arrow.names)], asked=asked.text_column, name=part.name
        )
        columns = [column, *(name for name in ("url", "uri") if name in columns and name != column)]
    end = file.num_row_groups if part.end is None else part.end
    number = part.first_row
    groups = list(range(part.start, end))
    given, most = 0, _most_bytes(part.path)
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


def _most_bytes(path: Path) -> int:
    """Return how much a file may unpack to."""
    return max(RATIO_FROM_BYTES, MAX_RATIO * path.stat().st_size)


def _first_groups(file: Any) -> list[int]:
    """Return the row groups that hold the rows by which the column of the text is told."""
    groups: list[int] = []
    rows = 0
    while rows < _LOOKED_AT and len(groups) < file.num_row_groups:
        rows += file.metadata.row_group(len(groups)).num_rows
        groups.append(len(groups))
    return groups


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
    """Cut a file between its row groups; a damaged one stays whole, and its reader says so.

    Raises:
        DataError: by its own account it unpacks to far more than it is.
    """
    import pyarrow as pa

    try:
        with _open(path) as file:
            groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
            counts = [(group.total_byte_size, group.num_rows) for group in groups]
    except (pa.ArrowException, OSError):
        return whole(path, name, kind)
    if sum(size for size, _ in counts) > _most_bytes(path):
        raise bomb(name)
    made: list[Slice] = []
    start = held = row = first_row = 0
    for group, (size, rows) in enumerate(counts):
        held += size
        row += rows
        if held >= SLICE_BYTES or group == len(counts) - 1:
            made.append(Slice(path, name, kind, start, group + 1, held, first_row=first_row))
            start, held, first_row = group + 1, 0, row
    return made or whole(path, name, kind)


READERS.register("parquet")(
    Reader(read_parquet, (".parquet", ".pq"), lambda head: head.startswith(b"PAR1"), slices=_slices)
)

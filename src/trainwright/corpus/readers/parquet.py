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
        rows = list(_one_by_one(first.slice(0, _few(first)))) if first is not None else []
        column = text_column(
            rows or [dict.fromkeys(file.schema_arrow.names)], asked=asked.text_column, name=part.name
        )
        columns = [column, *(name for name in ("url", "uri") if name in columns and name != column)]
    end = file.num_row_groups if part.end is None else part.end
    number = sum(file.metadata.row_group(group).num_rows for group in range(part.start))
    groups = list(range(part.start, end))
    given, most = 0, max(RATIO_FROM_BYTES, MAX_RATIO * part.path.stat().st_size)
    for batch in file.iter_batches(_rows(file, groups), row_groups=groups, columns=columns):
        for row in _one_by_one(batch):
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
    """Return how many rows are read at a time: they take about 4 MB, one where it is longer."""
    found = [file.metadata.row_group(group) for group in groups]
    largest = max((group.total_byte_size // max(group.num_rows, 1) for group in found), default=0)
    return max(1, min(_ROWS, _BATCH_BYTES // max(largest, 1)))


def _few(batch: Any) -> int:
    """Return how many rows of a batch take a few megabytes at most once they are texts."""
    total = 0
    for number, row in enumerate(_one_by_one(batch), start=1):
        total += sum(len(value) for value in row.values() if isinstance(value, str))
        if total > _BATCH_BYTES:
            return number
    return int(batch.num_rows)


def _one_by_one(batch: Any) -> Iterator[dict[str, Any]]:
    names = batch.schema.names
    columns = [_values(column) for column in batch.columns]
    for row in zip(*columns, strict=True):
        yield dict(zip(names, row, strict=True))


def _values(column: Any) -> list[Any]:
    """Return the values of a column; a text that stands in many rows is there once."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        return list(column.to_pylist())
    used = column.indices.drop_null().unique()
    values = dict(zip(used.to_pylist(), column.dictionary.take(used).to_pylist(), strict=True))
    return [values.get(number) for number in column.indices.to_pylist()]


def _open(path: Path) -> Any:
    """Open a file; texts that come again stay in dictionaries, however often that is."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False) as file:
        names = [field.name for field in file.schema_arrow if _is_text(field.type)]
    return pq.ParquetFile(path, pre_buffer=False, read_dictionary=names)


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

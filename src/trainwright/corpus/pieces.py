"""The first pass: pieces of the sources become folders of cleaned texts, each whole or absent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trainwright.corpus.batch import Cleaned, clean
from trainwright.corpus.contamination import Contamination
from trainwright.corpus.document import Document, whole_characters
from trainwright.corpus.features import HEAVY_FILE, LIGHT_FILE
from trainwright.corpus.ledger import Ledger
from trainwright.corpus.minhash import MOST_TEXTS
from trainwright.corpus.reader import READERS, Slice
from trainwright.corpus.readers.text import cut_at
from trainwright.corpus.settings import CorpusSettings
from trainwright.corpus.streams import cannot_be_read
from trainwright.foundation.errors import DataError, UserError
from trainwright.foundation.paths import whole_folder, write_json

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS, LEDGER = "texts.parquet", "ledger.json"

_BATCH_CHARACTERS = 1 << 19
_BATCH_TEXTS = 8192
assert _BATCH_TEXTS <= MOST_TEXTS

Report = Callable[[int, int], None]
"""Told of documents and bytes that were read."""

At = Callable[[int], None]
"""Told the number of the slice that is read."""


def nowhere(number: int) -> None:
    """Tell nobody which slice is read."""


def make_piece(
    folder: Path,
    slices: Sequence[Slice],
    settings: CorpusSettings,
    *,
    contamination: Contamination | None,
    report: Report,
    crashed: Collection[int] = (),
    at: At = nowhere,
) -> None:
    """Read and clean a piece of the sources.

    Args:
        folder: what to make.
        slices: what to read.
        settings: what to do.
        contamination: n-grams of evaluation sets.
        report: told how it goes on.
        crashed: numbers of the slices that are set aside, for their readers killed the process.
        at: told the number of the slice that comes now.

    Raises:
        UserError: a package that is needed is not installed, a file has changed, or the disk is full.
    """
    import pyarrow.parquet as pq

    ledger = Ledger()
    with whole_folder(folder, durable=False) as scratch:
        with (
            pq.ParquetWriter(
                scratch / TEXTS, schema(), compression="lz4", use_dictionary=REPEATED, write_statistics=False
            ) as writer,
            (scratch / LIGHT_FILE).open("wb") as light,
            (scratch / HEAVY_FILE).open("wb") as heavy,
        ):
            for batch in _batches(
                _documents(slices, settings, ledger, report=report, crashed=crashed, at=at), report
            ):
                cleaned = clean(batch, settings, contamination=contamination, ledger=ledger)
                if cleaned.texts:
                    writer.write_table(_table(cleaned))
                    light.write(cleaned.light.tobytes())
                    if settings.near_duplicates is not None:
                        heavy.write(cleaned.heavy.tobytes())
        write_json(scratch / LEDGER, ledger.to_json())


REPEATED = ["source", "kind", "language"]


def schema() -> pa.Schema:
    """Return the columns of the corpus."""
    import pyarrow as pa

    names = ("text", "id", "document", "source", "position", "kind", "url", "language")
    return pa.schema([*((name, pa.large_string()) for name in names), ("characters", pa.int64())])


def _table(cleaned: Cleaned) -> pa.Table:
    import pyarrow as pa

    columns = (
        pa.array(cleaned.texts, pa.large_binary()).cast(pa.large_string()),
        [_id(document, document.position) for document in cleaned.documents],
        [
            _id(document, document.position if document.part_of is None else document.part_of)
            for document in cleaned.documents
        ],
        [whole_characters(document.source) for document in cleaned.documents],
        [document.position for document in cleaned.documents],
        [document.kind for document in cleaned.documents],
        [document.url and whole_characters(document.url) for document in cleaned.documents],
        cleaned.languages,
        cleaned.light["characters"].astype("int64"),
    )
    wanted = schema()
    return pa.table(
        [
            column if isinstance(column, pa.Array) else pa.array(column, field.type)
            for column, field in zip(columns, wanted, strict=True)
        ],
        schema=wanted,
    )


def _id(document: Document, position: str) -> str:
    """Return 16 hexadecimal digits that name a place of a document's source."""
    place = f"{document.source}\0{position}"
    return hashlib.blake2b(place.encode(errors="replace"), digest_size=8).hexdigest()


def _documents(
    slices: Sequence[Slice],
    settings: CorpusSettings,
    ledger: Ledger,
    *,
    report: Report,
    crashed: Collection[int],
    at: At,
) -> Iterator[Document]:
    for number, part in enumerate(slices):
        at(number)
        if number in crashed:
            what = "the process that read this file crashed twice"
            ledger.set_aside(str(DataError(what, where=part.name, fix="leave it out")))
            continue
        try:
            for document in READERS[part.kind].read(part, settings.asked, ledger):
                yield from _cut(document, settings.document_characters, ledger)
        except DataError as error:
            ledger.set_aside(str(error))
        except (UserError, MemoryError):
            raise
        except Exception as error:  # a damaged file ends in whatever its parts are read by
            ledger.set_aside(str(cannot_be_read(part.name, error)))
        _check_unchanged(part)
        report(0, part.num_bytes)


def _check_unchanged(part: Slice) -> None:
    """Refuse a file that was written to since it was found: its slices would be of two files."""
    with suppress(OSError):
        state = part.path.stat()
        if (state.st_size, state.st_mtime_ns) == (part.file_bytes, part.modified_ns):
            return
    raise UserError(
        "the file has changed since this corpus was begun",
        where=part.name,
        fix="begin again with --force, when nothing writes to it",
    )


def _cut(document: Document, most: int, ledger: Ledger) -> Iterator[Document]:
    """Yield a document, in parts where it is long."""
    if len(document.text) <= most:
        yield document
        return
    text, begin, number = document.text, 0, 0
    part_of = document.position if document.part_of is None else document.part_of
    while begin < len(text):
        end = len(text) if len(text) - begin <= most else cut_at(text, most, begin=begin)
        number += 1
        position = f"{document.position} part {number}".strip()
        yield replace(document, text=text[begin:end], position=position, part_of=part_of)
        begin = end
        while text.startswith("\n", begin):
            begin += 1
    ledger.note("parts of long documents", number)


def _batches(documents: Iterator[Document], report: Report) -> Iterator[list[Document]]:
    held: list[Document] = []
    size = 0
    for document in documents:
        held.append(document)
        size += len(document.text)
        if size >= _BATCH_CHARACTERS or len(held) == _BATCH_TEXTS:
            yield held
            report(len(held), 0)
            held, size = [], 0
    if held:
        yield held
        report(len(held), 0)

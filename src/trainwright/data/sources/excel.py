"""Excel and OpenDocument sheets."""

from __future__ import annotations

import zipfile
from typing import Any

import polars as pl

from trainwright.data.archive import check_zip
from trainwright.data.collect import Reading, collect, file_key
from trainwright.data.plain import column_names
from trainwright.data.source import SOURCES, Memory, Place, Source
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError, did_you_mean
from trainwright.recipe.recipe import DataSettings

_OLD_EXCEL = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def open_excel(place: Place, settings: DataSettings, memory: Memory) -> Table:
    """Open a sheet of a workbook: the one named in `data.sheet`, else the first.

    Raises:
        DataError: it is no workbook, has no such sheet, or the sheet has no row.
    """
    reading = Reading(place, first=2)  # row 1 of the sheet is the header
    key = file_key(place, "excel", settings.sheet)
    return collect(reading, (_frame(reading, settings.sheet) for _ in range(1)), key=key, memory=memory)


def _frame(reading: Reading, wanted: str | None) -> pl.DataFrame:
    place = reading.place
    book = _book(place)
    sheets = list(book.sheet_names)
    if wanted is not None and wanted not in sheets:
        raise DataError(f"there is no sheet '{wanted}'", where=place.name, fix=did_you_mean(wanted, sheets))
    sheet = wanted if wanted is not None else sheets[0]
    if wanted is None and len(sheets) > 1:
        reading.notes.append(
            f"Of {len(sheets)} sheets the first, '{sheet}', was read; data.sheet names another."
        )
    header = book.load_sheet(sheet, header_row=None, n_rows=1, dtypes="string").to_polars()
    if header.is_empty():
        raise DataError(
            f"the sheet '{sheet}' is empty", where=place.name, fix="set data.sheet to another one"
        )
    frame: pl.DataFrame = book.load_sheet(sheet).to_polars()
    # The library renames columns that share a name; the first row says what they are really called.
    frame.columns = column_names(header.row(0), where=place.name, notes=reading.notes)
    return frame


def _book(place: Place) -> Any:
    import fastexcel

    if zipfile.is_zipfile(place.path):
        with zipfile.ZipFile(place.path) as archive:
            check_zip(archive, place.name)
    try:
        return fastexcel.read_excel(str(place.path))
    except fastexcel.FastExcelError as error:
        raise DataError(
            "this is no workbook that can be read: it is damaged, protected by a password or of another kind",
            where=place.name,
            fix="save it again as .xlsx without a password",
        ) from error


def _is_workbook(head: bytes) -> bool:
    if head.startswith(_OLD_EXCEL):
        return True
    return head.startswith(b"PK\x03\x04") and any(
        mark in head for mark in (b"[Content_Types].xml", b"xl/", b"opendocument.spreadsheet")
    )


SOURCES.register("excel")(
    Source(
        open_excel,
        suffixes=(".xlsx", ".xls", ".xlsm", ".xlsb", ".ods"),
        told_by=_is_workbook,
        called="an Excel workbook",
    )
)

from __future__ import annotations

import datetime
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter

from trainwright.data.open import open_table
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings


def write(path: Path, **sheets: list[list[Any]]) -> Path:
    with xlsxwriter.Workbook(str(path)) as book:
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for y, row in enumerate(rows):
                for x, value in enumerate(row):
                    if isinstance(value, datetime.datetime):
                        sheet.write_datetime(y, x, value, day)
                    elif value is not None:
                        sheet.write(y, x, value)
    return path


def read(path: Path, **options: Any) -> Table:
    return open_table(DataSettings(path=str(path), **options))


def test_values_have_types(tmp_path: Path) -> None:
    day = datetime.datetime(2024, 5, 6)
    path = write(
        tmp_path / "d.xlsx", One=[["n", " t ", None, "day"], [1, "x", 2.5, day], [None, "中", "z", None]]
    )
    table = read(path)
    frame = pl.concat(list(table.chunks()))
    assert frame.columns == ["n", "t", "column_3", "day"]
    assert frame["n"].to_list() == [1.0, None]
    assert frame["column_3"].to_list() == ["2.5", "z"]
    assert frame["day"].to_list() == [day, None]
    assert table.where(0) == f"{path} row 2"


def test_a_sheet_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "d.xlsx", Prices=[["a"], [1]], Costs=[["b"], [2], [3]], Blank=[], Head=[["a"]])
    assert read(path).notes == ["Of 4 sheets the first, 'Prices', was read; data.sheet names another."]
    table = read(path, sheet="Costs")
    assert (table.num_rows, table.notes) == (2, [])
    with pytest.raises(DataError, match="there is no sheet 'Cost'; did you mean 'Costs'"):
        read(path, sheet="Cost")
    with pytest.raises(DataError, match="the sheet 'Blank' is empty"):
        read(path, sheet="Blank")
    with pytest.raises(DataError, match="there is a header but no row"):
        read(path, sheet="Head")


def test_equal_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two columns are called 'a'"):
        read(write(tmp_path / "d.xlsx", One=[["a", "a"], [1, 2]]))


def test_a_workbook_called_csv_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d.xlsx", One=[["a"], [1]]).rename(tmp_path / "d.csv")
    with pytest.raises(
        DataError, match=r"this is an Excel workbook, not a \.csv file; rename it, or set data.format"
    ):
        read(path)
    assert read(path, format="excel").num_rows == 1


def test_no_workbook(tmp_path: Path) -> None:
    path = tmp_path / "d.xlsx"
    path.write_bytes(b"word" * 100)
    with pytest.raises(DataError, match="this is no workbook that can be read"):
        read(path)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d.xlsx", One=[["a"], [1]])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/bomb.xml", bytes(80 << 20))
    with pytest.raises(DataError, match="looks like a zip bomb"):
        read(path)

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from trainwright.data.open import open_table
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings


def read(path: Path, content: str) -> Table:
    path.write_text(content, encoding="utf-8")
    return open_table(DataSettings(path=str(path)))


def frame(table: Table) -> pl.DataFrame:
    return pl.concat(list(table.chunks()))


def test_types_are_kept_and_missing_keys_are_null(tmp_path: Path) -> None:
    table = read(tmp_path / "d.jsonl", '{"a": 1, "t": "x", "v": [1, 2.5]}\n{"t": "中", "v": [], "b": true}\n')
    assert frame(table).to_dicts() == [
        {"a": 1, "t": "x", "v": [1.0, 2.5], "b": None},
        {"a": None, "t": "中", "v": [], "b": True},
    ]


def test_objects_become_json_text(tmp_path: Path) -> None:
    table = read(tmp_path / "d.jsonl", '{"o": {"x": 1}, "l": [{"y": 2}]}\n{"o": null, "l": []}\n')
    assert table.schema == {"o": pl.String, "l": pl.String}
    assert frame(table).rows() == [('{"x":1}', '[{"y":2}]'), (None, "[]")]


def test_broken_lines_go_to_the_quarantine_with_their_number(tmp_path: Path) -> None:
    lines = ['{"a": 1}', "", '{"a": 2', '{"a": NaN}', "[1, 2]", "null", '{"a": 5}', "[" * 100_000, '{"a": 6}']
    table = read(tmp_path / "d.jsonl", "\n".join(lines))
    assert frame(table)["a"].fill_nan(None).to_list() == [1, None, 5, 6]
    assert [row.position for row in table.quarantined] == [3, 5, 6, 8]
    assert table.quarantined[0].reason.startswith("the line is not JSON (expecting ',' delimiter")
    assert table.quarantined[1].reason == "the line is JSON, but not an object"
    assert [table.where(row) for row in range(4)] == [f"{table.name} line {line}" for line in (1, 4, 7, 9)]


HALF = '"\\ud83d"'


def test_what_python_cannot_hold_goes_to_the_quarantine(tmp_path: Path) -> None:
    lines = [
        f'{{"a": {value}}}' for value in ('"\\ud83d\\ude00"', HALF, f'["x", {HALF}]', "9" * 5_000, '"z"')
    ]
    table = read(tmp_path / "d.jsonl", "\n".join([*lines, '{"\\ude00": 1}']))
    assert frame(table)["a"].to_list() == ["\U0001f600", "z"]
    half, digits = "half a surrogate pair, which is no text", "a number of thousands of digits"
    found = [(row.position, row.reason) for row in table.quarantined]
    assert found == [
        (n, f"the line holds {what}") for n, what in ((2, half), (3, half), (4, digits), (6, half))
    ]
    table = read(tmp_path / "d.json", f'[{{"a": {HALF}}}, {{"a": "z"}}]')
    assert [(row.position, row.reason) for row in table.quarantined] == [(0, f"the item holds {half}")]
    assert table.where(0) == f"{table.name} row 1"


def test_another_encoding_is_said(tmp_path: Path) -> None:
    line = '{"a": "中文文本"}\n'
    for encoding in ("gb18030", "utf-16"):
        (tmp_path / "d.jsonl").write_text(line * 20, encoding=encoding)
        table = open_table(DataSettings(path=str(tmp_path / "d.jsonl")))
        assert table.notes == [f"The text was read as {encoding}; if it looks wrong, set data.encoding."]
        asked = open_table(DataSettings(path=str(tmp_path / "d.jsonl"), encoding=encoding))
        assert not asked.notes
        assert frame(table).equals(frame(asked))
    assert not read(tmp_path / "d.jsonl", "\ufeff" + line).notes


def test_mixed_values_become_text(tmp_path: Path) -> None:
    table = read(tmp_path / "d.jsonl", '{"a": 1}\n{"a": true}\n{"a": "x"}\n{"a": [1]}\n{"a": {"k": 2}}\n')
    assert frame(table)["a"].to_list() == ["1", "true", "x", "[1]", '{"k": 2}']


def test_a_list_of_objects_is_read_too(tmp_path: Path) -> None:
    table = read(tmp_path / "d.json", json.dumps([{"a": 1}, 7, {"a": 2}], indent=2))
    assert frame(table)["a"].to_list() == [1, 2]
    assert [(row.position, row.reason) for row in table.quarantined] == [(1, "the item is not an object")]
    assert table.where(1) == f"{table.name} row 2"


def test_rows_under_a_key(tmp_path: Path) -> None:
    table = read(tmp_path / "d.json", json.dumps({"version": "1", "data": [{"a": 1}, {"a": 2}]}, indent=1))
    assert frame(table)["a"].to_list() == [1, 2]
    assert table.notes == ["The rows are the list under the key 'data'."]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("d.jsonl", "", "the file is empty"),
        ("d.jsonl", "\n\n", "the file is empty"),
        (
            "d.json",
            '[{"a": ' + "9" * 5_000 + "}]",
            "this holds a number of thousands of digits; mend the file",
        ),
        ("d.jsonl", "word\nword\n", "none of its 2 rows can be read (the first: the line is not JSON"),
        ("d.json", '{"a": [1, 2], "b": 3}', "there"),
        ("d.json", '{\n"a": 1\n}', "this is one JSON object, not a list of rows"),
        ("d.json", "[1, 2]", "this JSON holds no objects"),
        ("d.json", "[{", "this is not JSON; mend the file"),
        ("d.json", "[]", "there is"),
        ("d.jsonl", '{"a": 1, " a": 2}\n', "two columns are called 'a'"),
    ],
)
def test_what_holds_no_rows_is_refused(tmp_path: Path, name: str, content: str, expected: str) -> None:
    if expected == "there":  # an object on one line is one row
        assert read(tmp_path / name, content).num_rows == 1
        return
    with pytest.raises(DataError) as caught:
        read(tmp_path / name, content)
    assert expected in str(caught.value)


def test_blocks_of_different_types_fit_together(tmp_path: Path) -> None:
    text = "x" * 4000
    lines = [json.dumps({"a": i, "t": text}) for i in range(3000)]
    lines += [json.dumps({"a": i + 0.5, "t": text, "late": "yes"}) for i in range(3000)]
    table = read(tmp_path / "d.jsonl", "\n".join(lines))
    assert table.schema == {"a": pl.Float64, "t": pl.String, "late": pl.String}
    assert table.column("a").sum() == sum(range(3000)) * 2 + 1500
    assert table.column("late").null_count() == 3000
    assert table.where(5999) == f"{table.name} line 6000"

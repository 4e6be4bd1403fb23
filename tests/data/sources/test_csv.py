from __future__ import annotations

import csv
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainwright.data.open import open_table
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings


def read(path: Path, content: str | bytes, **options: object) -> Table:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_table(DataSettings(path=str(path), **options))


def rows(table: Table) -> list[tuple[object, ...]]:
    return [row for chunk in table.chunks() for row in chunk.rows()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data.csv"


def test_values_are_strings_and_empty_ones_missing(file: Path) -> None:
    table = read(file, 'name,age\nAda,36\n"",7\nBob,\n')
    assert table.schema == {"name": pl.String, "age": pl.String}
    assert rows(table) == [("Ada", "36"), (None, "7"), ("Bob", None)]
    assert table.name == str(file)
    assert table.root == str(file.parent)
    assert table.notes == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a;b\n1,5;2\n3,5;4\n", "semicolons"),
        ("a\tb\n1,5\t2\n3,5\t4\n", "tabs"),
        ("a|b\n1,5|2\n3,5|4\n", "bars"),
    ],
)
def test_delimiters_are_found_and_said(file: Path, text: str, named: str) -> None:
    table = read(file, text)
    assert rows(table) == [("1,5", "2"), ("3,5", "4")]
    assert table.notes == [f"Values are divided by {named}."]


def test_a_delimiter_can_be_set(file: Path) -> None:
    assert rows(read(file, "a:b\n1:2\n", delimiter=":")) == [("1", "2")]
    with pytest.raises(DataError, match=r"the delimiter '::' is not one ASCII character; set it to"):
        read(file, "a::b\n1::2\n", delimiter="::")


def test_text_with_commas_in_one_column_stays_one_column(file: Path) -> None:
    table = read(file, "text\nHello, world\nOne, two, three\nplain\n")
    assert rows(table) == [("Hello, world",), ("One, two, three",), ("plain",)]


CHINESE = "标题,类别\n房间很干净，服务也好,正面\n早餐不好吃,负面\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030", "gbk"]
)
def test_chinese_in_any_usual_encoding(file: Path, encoding: str) -> None:
    table = read(file, CHINESE.encode(encoding))
    assert list(table.schema) == ["标题", "类别"]
    assert rows(table) == [("房间很干净，服务也好", "正面"), ("早餐不好吃", "负面")]
    if encoding.startswith("gb"):
        assert table.notes == ["The text was read as gb18030; if it looks wrong, set data.encoding."]


def test_western_text_is_not_taken_for_chinese(file: Path) -> None:
    text = "name,city\nMüller,München\nGarçon,Besançon\nNuñez,Málaga\n"
    table = read(file, text.encode("cp1252"))
    assert rows(table) == [("Müller", "München"), ("Garçon", "Besançon"), ("Nuñez", "Málaga")]
    assert "cp1252" in table.notes[0]


def test_an_encoding_can_be_set(file: Path) -> None:
    table = read(file, "a,b\nひらがな,カタカナ\n".encode("shift_jis"), encoding="shift_jis")
    assert rows(table) == [("ひらがな", "カタカナ")]


@pytest.mark.parametrize(
    ("content", "encoding", "expected"),
    [
        (CHINESE.encode("gb18030"), "utf-8", "data.csv line 1: the text is not utf-8; set data.encoding"),
        (CHINESE.encode(), "latin-1", "the text is UTF-8, not latin-1; leave data.encoding out"),
        (b"a,b\n1,2\n", "utf-16", "the text is not utf-16"),
        (b"a,b\n1,2\n", "gb18303", "there is no encoding called 'gb18303'; did you mean 'gb18030'"),
        (b"a,b\n\x81\x20,2\n", None, "in none of the encodings UTF-8, GB18030 and cp1252; set data.encoding"),
        (b"a,b\n" + "ä,ö\n".encode() * 50 + b"\xff,1\n", None, "data.csv line 52: the line is not UTF-8"),
    ],
)
def test_wrong_encodings_are_refused(file: Path, content: bytes, encoding: str | None, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        read(file, content, encoding=encoding)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b"  \n\r\n", "the file is empty"),
        (b"a,b\n", "there is a header but no row"),
        (b"a,b\n\n\n", "there is a header but no row"),
        (b"a,b,a\n1,2,3\n", "two columns are called 'a'; rename one of them"),
        (b"a, a \n1,2\n", "two columns are called 'a'"),
        (b"a,b\n1,\x002\n" + b"x,y\n" * 9, "it holds zero bytes"),
        (bytes(range(256)) * 8, "this is not a text file"),
        (
            b"PAR1" + bytes(64),
            "this is a Parquet file, not a .csv file; rename it, or set data.format to parquet",
        ),
        (
            b"a,b\n1,2,3\n4,5,6\n",
            "none of its 2 rows can be read (the first: 3 values where the header names 2)",
        ),
        (
            b"5.1,3.5,setosa\n4.9,3.0,setosa\n6.2,2.9,virginica\n",
            "the first line holds values, not column names",
        ),
        (
            b"yes,male,3\nno,female,3\nyes,female,1\nno,male,3\n",
            "the first line holds values, not column names",
        ),
    ],
)
def test_what_cannot_be_read_is_one_sentence(file: Path, content: bytes, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        read(file, content)
    assert expected in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_whole_numbers_may_be_column_names(file: Path) -> None:
    table = read(file, "0,1,label\n1,0,yes\n0,1,no\n1,1,yes\n")
    assert list(table.schema) == ["0", "1", "label"]


def test_short_and_long_rows_go_to_the_quarantine_with_their_line(file: Path) -> None:
    table = read(file, '\na,b\n1,2\n3,4,5\n"x\ny",6\n\n7\n8,9\n10,11')
    assert rows(table) == [("1", "2"), ("x\ny", "6"), ("8", "9"), ("10", "11")]
    assert [(row.position, row.reason, row.row) for row in table.quarantined] == [
        (4, "3 values where the header names 2", None),
        (8, "1 value where the header names 2", None),
    ]
    assert {row.source for row in table.quarantined} == {str(file)}
    assert [table.where(row) for row in range(4)] == [f"{file} line {line}" for line in (3, 5, 9, 10)]
    assert table.notes == ["Left out: 2 lines without any value."]


def test_a_quote_that_never_closes_loses_no_line_unsaid(file: Path) -> None:
    table = read(file, 'a,b\n1,"2,0"\n3,"4,0"\n"open,6\n7,8\n9,10\n')
    assert rows(table) == [("1", "2,0"), ("3", "4,0")]
    assert [row.position for row in table.quarantined][:3] == [4, 5, 6]
    assert table.quarantined[1].reason == "part of the row from line 4, which is broken"


def test_a_row_longer_than_a_block_is_refused(file: Path) -> None:
    with pytest.raises(DataError, match="a row is longer than 16 MB: a quote may be opened and never closed"):
        read(file, 'a,b\n1,2\n"' + "x,y\n" * 9_000_000)


def test_stray_quotes_in_tab_separated_text_swallow_nothing(tmp_path: Path) -> None:
    lines = [f"{i}\tsome words" for i in range(5000)]
    lines[4000] = '4000\t"a quote that nobody closes'
    table = read(tmp_path / "data.tsv", "id\ttext\n" + "\n".join(lines) + "\n")
    assert table.num_rows == 5000
    assert table.take([4000], ["text"]).item() == '"a quote that nobody closes'


def test_backslashes_before_quotes(file: Path) -> None:
    text = 'id,text\n1,"he said \\"yes, I do\\" twice"\n2,"plain, though"\n'
    assert rows(read(file, text)) == [("1", 'he said "yes, I do" twice'), ("2", "plain, though")]


def test_single_quotes_around_everything(file: Path) -> None:
    assert rows(read(file, "'a','b'\n'1, 2','3'\n'4','5'\n")) == [("1, 2", "3"), ("4", "5")]


def test_names_are_trimmed_and_made_up(file: Path) -> None:
    table = read(file, " a , ,column_2\n1,2,3\n")
    assert list(table.schema) == ["a", "column_2_", "column_2"]
    assert table.notes == [
        "Spaces around column names were cut off.",
        "Columns without a name were called column_2_.",
    ]


def test_repeated_headers_are_left_out(file: Path) -> None:
    table = read(file, "a,b\n1,2\na,b\n3,4\n")
    assert rows(table) == [("1", "2"), ("3", "4")]
    assert table.notes == ["Left out: 1 repeated header line."]
    assert table.where(1) == f"{file} line 4"


def test_line_numbers_hold_over_many_blocks(file: Path) -> None:
    records = ["a,b"]
    for i in range(40_000):
        records.append(f'{i},"{"x" * 500}\n{i}"' if i % 3 else f"{i},{'y' * 500}")
        if i % 1000 == 17:
            records.append("broken")
    table = read(file, "\n".join(records) + "\n")
    content = file.read_text().split("\n")
    assert table.num_rows == 40_000
    for row in (0, 17, 18, 19, 20_000, 39_999):
        line = int(table.where(row).rsplit(" ", 1)[1])
        assert content[line - 1].startswith(f"{row},")
    assert len(table.quarantined) == 40
    assert all(content[row.position - 1] == "broken" for row in table.quarantined)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_endings(file: Path, ending: str) -> None:
    assert rows(read(file, ending.join(["a,b", "1,2", "3,4", ""]))) == [("1", "2"), ("3", "4")]


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=8).filter(
    lambda name: name.strip() == name and "\ufeff" not in name
)
CELLS = st.one_of(
    st.text(st.sampled_from("ab ,;\t|\"'\n\\é中"), max_size=6),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=6),
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    names = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
    body = draw(
        st.lists(
            st.tuples(st.just("a filled one"), *[CELLS] * (len(names) - 1)).map(list), min_size=1, max_size=6
        )
    )
    return names, body


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables(), st.sampled_from(["utf-8", "utf-16", "gb18030"]))
def test_what_is_written_is_read(
    tmp_path: Path, table: tuple[list[str], list[list[str]]], encoding: str
) -> None:
    names, body = table
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([names, *body])
    found = read(tmp_path / "t.csv", text.getvalue().encode(encoding), delimiter=",", encoding=encoding)
    assert list(found.schema) == names
    kept = [row for row in body if row != names]
    assert rows(found) == [tuple(value or None for value in row) for row in kept]

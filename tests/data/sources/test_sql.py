from __future__ import annotations

import decimal
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from trainwright.data.open import open_table
from trainwright.data.plain import series_of
from trainwright.data.sources import sql
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE sales (id INTEGER, price REAL, note TEXT, photo BLOB, any)")
        rows = [(1, 2.5, "a", b"x", 7), (2, None, None, None, "seven"), (3, 4.0, "中", b"", None)]
        connection.executemany("INSERT INTO sales VALUES (?, ?, ?, ?, ?)", rows)
        connection.commit()
    return path


def read(location: str, **options: Any) -> Table:
    return open_table(DataSettings(path=location, **options))


def test_the_only_table_needs_no_query(shop: Path) -> None:
    table = read(f"sqlite:///{shop}")
    frame = pl.concat(list(table.chunks()))
    assert frame.rows() == [
        (1, 2.5, "a", b"x", "7"),
        (2, None, None, None, "seven"),
        (3, 4.0, "中", b"", None),
    ]
    assert table.schema["id"] == pl.Int64
    assert table.root == str(shop.parent)


def test_a_path_and_a_relative_url_do_too(shop: Path) -> None:
    assert read(str(shop)).num_rows == 3
    assert open_table(DataSettings(path="sqlite:///shop.db"), base=shop.parent).num_rows == 3


@pytest.mark.parametrize(
    "query", ["sales", "SELECT * FROM sales", "-- all\nWITH s AS (SELECT * FROM sales) SELECT * FROM s"]
)
def test_queries(shop: Path, query: str) -> None:
    assert read(f"sqlite:///{shop}", query=query).num_rows == 3


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sale", "there is no table 'sale'; did you mean 'sales'"),
        (
            "DELETE FROM sales",
            "the query does not read rows; set data.query (--query of predict and evaluate)",
        ),
        ("SELECT price FROM missing", "the database cannot be read (no such table: missing)"),
        ("SELECT 1; DROP TABLE sales", "the database cannot be read"),
        (
            "WITH x AS (SELECT 1) DELETE FROM sales",
            "the database cannot be read (attempt to write a readonly database)",
        ),
        ("SELECT id, id FROM sales", "two columns are called 'id'"),
        ("SELECT * FROM sales WHERE id > 9", "there is a header but no row"),
    ],
)
def test_what_cannot_be_run(shop: Path, query: str, expected: str) -> None:
    before = shop.read_bytes()
    with pytest.raises(DataError) as caught:
        read(f"sqlite:///{shop}", query=query)
    assert expected in str(caught.value)
    assert shop.read_bytes() == before


def test_several_tables_are_named(shop: Path) -> None:
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute('CREATE TABLE "odd ""name" (x)')
        connection.execute('INSERT INTO "odd ""name" VALUES (1)')
        connection.commit()
    with pytest.raises(
        DataError, match=r'it is not said which rows to read \(its tables: odd "name, sales\)'
    ):
        read(f"sqlite:///{shop}")
    assert read(f"sqlite:///{shop}", query='odd "name').num_rows == 1


def test_a_missing_database_is_not_made(tmp_path: Path, shop: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file or folder 'shp.db'.*did you mean 'shop.db'"):
        read(f"sqlite:///{tmp_path / 'shp.db'}")
    assert not (tmp_path / "shp.db").exists()


def test_a_damaged_database(shop: Path) -> None:
    shop.write_bytes(shop.read_bytes()[:100] + b"\xff" * 5000)
    with pytest.raises(DataError, match="the database cannot be read"):
        read(str(shop))


def test_servers_are_read_through_sqlalchemy(shop: Path) -> None:
    pytest.importorskip("sqlalchemy")
    table = read(f"sqlite+pysqlite:///{shop}", query="SELECT id, note FROM sales WHERE note LIKE '%a%'")
    assert pl.concat(list(table.chunks())).rows() == [(1, "a")]
    assert read(f"sqlite+pysqlite:///{shop}").num_rows == 3
    with pytest.raises(DataError, match="there is no table 'sale'; did you mean 'sales'"):
        read(f"sqlite+pysqlite:///{shop}", query="sale")


def test_views_and_tables_of_a_schema_are_tables(shop: Path) -> None:
    pytest.importorskip("sqlalchemy")
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute("CREATE VIEW cheap AS SELECT * FROM sales WHERE price < 3")
        connection.commit()
    assert read(f"sqlite+pysqlite:///{shop}", query="cheap").num_rows == 1
    assert read(f"sqlite+pysqlite:///{shop}", query="main.sales").num_rows == 3
    with pytest.raises(DataError, match=r"there is no table 'main\.sale'"):
        read(f"sqlite+pysqlite:///{shop}", query="main.sale")


@pytest.mark.parametrize(
    ("url", "installed", "expected"),
    [
        ("postgresql://host/shop", True, "postgresql+psycopg://host/shop"),
        ("postgres://host/shop", True, "postgresql+psycopg://host/shop"),
        ("postgres://host/shop", False, "postgresql://host/shop"),
        ("postgresql+psycopg2://host/shop", True, "postgresql+psycopg2://host/shop"),
        ("mysql://host/shop", True, "mysql://host/shop"),
    ],
)
def test_the_driver_that_is_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, url: str, installed: bool, expected: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if installed else None)
    assert sql._with_driver(url) == expected


def test_what_databases_have_and_tables_of_ours_have_not() -> None:
    key = uuid.UUID(int=1)
    assert series_of("x", [key, None]).to_list() == [str(key), None]
    assert series_of("x", [decimal.Decimal("NaN"), decimal.Decimal("1.5"), None])[1:].to_list() == [1.5, None]
    assert series_of("x", [decimal.Decimal("2.5"), 1]).to_list() == [2.5, 1.0]


def test_a_port_that_is_no_number_may_be_a_part_of_the_password() -> None:
    pytest.importorskip("sqlalchemy")
    with pytest.raises(DataError, match=r"its port is not a number; .*%40 for @") as caught:
        read("postgresql://me:s3c/ret@host:port/shop", query="sales")
    assert "s3c" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("postgresql://me:***@host/shop", "postgresql://me@host/shop"),
        ("postgresql+psycopg2://me@host/shop?password=***&sslmode=require", "sslmode=require"),
        ("postgresql://me@host/shop?sslmode=require&sslpassword=***", "shop?sslmode=require"),
    ],
)
def test_a_password_that_was_left_out_is_looked_for_by_the_client(
    monkeypatch: pytest.MonkeyPatch, url: str, asked: str
) -> None:
    def frames(reading: Any, url: str, query: str | None) -> Iterator[pl.DataFrame]:
        assert url.endswith(asked.removeprefix("postgresql"))
        assert "***" not in url
        yield pl.DataFrame({"x": [1]})

    monkeypatch.setattr(sql, "_server_frames", frames)
    table = read(url, query="sales")
    assert table.num_rows == 1
    assert "without its password" in table.notes[0]


def test_where_no_client_looks_for_it_the_sentence_says_what_to_do() -> None:
    for url in ("mysql://me:***@host/shop", "postgresql+pg8000://me:***@host/shop"):
        with pytest.raises(
            DataError, match=r"host/shop: the password was left out of the recipe.*\$NAME for a variable"
        ):
            read(url, query="sales")


def test_a_server_that_wants_the_password_that_was_left_out() -> None:
    pytest.importorskip("sqlalchemy")
    pytest.importorskip("psycopg")
    with pytest.raises(
        DataError, match=r"cannot be read \(.*\), and the password was left out of the recipe; set PGPASSWORD"
    ):
        read("postgresql://me:***@127.0.0.1:1/shop", query="sales")


@pytest.mark.parametrize("password", ["s3cret", "p%40ss", "we?ird/p#ss"])
def test_passwords_are_never_shown(password: str) -> None:
    pytest.importorskip("sqlalchemy")
    with pytest.raises(DataError) as caught:
        read(f"postgresql://me:{password}@127.0.0.1:1/shop", query="sales")
    assert password not in str(caught.value)
    assert "me:" not in str(caught.value)
    assert "postgresql://127.0.0.1:1/shop" in str(caught.value)


def test_without_sqlalchemy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sqlalchemy", None)
    with pytest.raises(
        DataError, match=r"needs SQLAlchemy; install it with pip install 'trainwright\[sql\]'"
    ):
        read("postgresql://host/shop", query="sales")

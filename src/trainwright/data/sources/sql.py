"""SQL databases: a query's rows, streamed. SQLite needs nothing else; other databases need SQLAlchemy."""

from __future__ import annotations

import importlib.util
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from trainwright.data.collect import Reading, collect, file_key
from trainwright.data.plain import column_names, series_of
from trainwright.data.source import SOURCES, Memory, Place, Source, begins
from trainwright.data.table import Table
from trainwright.data.urls import is_left_out, without_mark, without_password
from trainwright.foundation.errors import DataError, did_you_mean
from trainwright.foundation.hashing import json_hash
from trainwright.recipe.recipe import DataSettings

_ROWS = 20_000
_CONNECT_SECONDS = 10

_READS = re.compile(
    r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*\(*\s*(select|with|values|table|from)\b", re.IGNORECASE | re.DOTALL
)
_NAME = re.compile(r"[\w.$]+", re.UNICODE)
_SAY_QUERY = "set data.query (--query of predict and evaluate) to a table or to a SELECT"
_SQLITE_FILE = b"SQLite format 3\0"


def open_sql(place: Place, settings: DataSettings, memory: Memory) -> Table:
    """Open the rows of a query (`data.query`), or of a table that it names.

    A database with a single table needs no query. Nothing is ever written: SQLite files are opened
    read-only, other databases see a SELECT that is rolled back. `$NAME` in a URL is taken from the
    environment, so that no password need stand in a recipe.

    Raises:
        DataError: the database cannot be reached, or the query cannot be run.
    """
    reading = Reading(place)
    if "://" not in place.location:
        log = Path(f"{place.location}-wal")  # where SQLite keeps the newest changes
        key = file_key(place, "sql", settings.query, log.stat().st_mtime_ns if log.exists() else None)
        return collect(reading, _sqlite_frames(reading, settings.query), key=key, memory=memory)
    # A server cannot say when its rows last changed: nothing cached is used again.
    key = json_hash(["sql", place.name, settings.query, time.time_ns()])
    url = os.path.expandvars(place.location)
    url = _with_driver(without_mark(url) if is_left_out(url) else url)
    return collect(reading, _server_frames(reading, url, settings.query), key=key, memory=memory)


def _sqlite_frames(reading: Reading, query: str | None) -> Iterator[pl.DataFrame]:
    place = reading.place
    uri = f"file:{quote(str(Path(place.location).resolve()))}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=_CONNECT_SECONDS)) as connection:
            connection.execute("PRAGMA query_only = ON")
            names = connection.execute(
                "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
            )
            tables = sorted(name for (name,) in names)
            statement = _statement(query, tables, place, _quoted)
            cursor = connection.execute(statement)
            columns = [entry[0] for entry in cursor.description]
            yield from _frames(reading, columns, iter(lambda: cursor.fetchmany(_ROWS), []))
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise _failed(place, str(error)) from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _statement(query: str | None, tables: list[str], place: Place, quoted: Callable[[str], str]) -> str:
    """Return the SELECT for a query, the name of a table, or nothing."""
    if query is None:
        if len(tables) != 1:
            shown = ", ".join(tables[:12]) or "none"
            raise DataError(
                f"it is not said which rows to read (its tables: {shown})",
                where=place.name,
                fix=_SAY_QUERY,
            )
        query = tables[0]
    if query in tables:
        return f"SELECT * FROM {quoted(query)}"
    if _READS.match(query):
        return query
    if _NAME.fullmatch(query.strip()):
        raise DataError(
            f"there is no table '{query}'", where=place.name, fix=did_you_mean(query, tables or ["a SELECT"])
        )
    raise DataError("the query does not read rows", where=place.name, fix=_SAY_QUERY)


def _frames(reading: Reading, columns: list[str], batches: Iterator[Any]) -> Iterator[pl.DataFrame]:
    names = column_names(columns, where=reading.place.name, notes=reading.notes)
    for rows in batches:
        values = zip(*rows, strict=True)
        yield pl.DataFrame([series_of(name, column) for name, column in zip(names, values, strict=True)])


def _server_frames(reading: Reading, url: str, query: str | None) -> Iterator[pl.DataFrame]:
    place = reading.place
    try:
        import sqlalchemy
    except ImportError as error:
        raise DataError(
            "reading this database needs SQLAlchemy",
            where=place.name,
            fix="install it with pip install 'trainwright[sql]'",
        ) from error
    try:
        engine = sqlalchemy.create_engine(url, connect_args=_connect_args(url))
    except ImportError as error:
        raise DataError(
            f"the driver of this database is not installed ({error})",
            where=place.name,
            fix="install it with pip",
        ) from error
    except ValueError as error:  # its words would show what may be a part of the password
        raise DataError(
            "its port is not a number",
            where=place.name,
            fix="check the URL; special characters of a password are written as %2F for / and %40 for @",
        ) from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise _failed(place, without_password(str(error), url)) from error
    connected = False
    try:
        with engine.connect() as connection:  # leaving it rolls back
            connected = True
            if engine.dialect.name == "postgresql":
                connection.execution_options(postgresql_readonly=True)
            statement = _server_statement(sqlalchemy.inspect(connection), query, place)
            # Without parameters a driver takes the % of LIKE '%a%' for what it is.
            streaming = connection.execution_options(
                stream_results=True, max_row_buffer=_ROWS, no_parameters=True
            )
            result = streaming.exec_driver_sql(statement)
            yield from _frames(reading, list(result.keys()), result.partitions(_ROWS))
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = without_password(str(getattr(error, "orig", None) or error), url)
        if not connected and is_left_out(place.location):
            raise DataError(
                f"the database cannot be read ({_first_line(reason)}), and the password was left out of the"
                " recipe",
                where=place.name,
                fix="set PGPASSWORD, or write it into ~/.pgpass",
            ) from error
        raise _failed(place, reason) from error
    finally:
        engine.dispose()


def _server_statement(inspector: Any, query: str | None, place: Place) -> str:
    quoted = inspector.dialect.identifier_preparer.quote
    tables = sorted({*inspector.get_table_names(), *inspector.get_view_names()})
    if query is not None and query not in tables and _NAME.fullmatch(query):
        # Not all are listed: those of other schemas, materialized views.
        schema, dot, name = query.rpartition(".")
        if inspector.has_table(name, schema=schema or None):
            return f"SELECT * FROM {quoted(schema) + dot if dot else ''}{quoted(name)}"
    return _statement(query, tables, place, quoted)


def _with_driver(url: str) -> str:
    """Return a URL that names the driver of PostgreSQL that comes with the extra `sql`, where none is named.

    SQLAlchemy 2.0 would look for the one before it, and does not know `postgres://`.
    """
    word, found, rest = url.partition("://")
    if word.lower() in {"postgres", "postgresql"}:
        word = "postgresql+psycopg" if importlib.util.find_spec("psycopg") else "postgresql"
    return f"{word}{found}{rest}"


def _connect_args(url: str) -> dict[str, int]:
    """Return what keeps a driver from waiting for minutes."""
    word = url.partition("://")[0].split("+")[0]
    known = {"postgresql", "mysql", "mariadb", "redshift", "cockroachdb"}
    return {"connect_timeout": _CONNECT_SECONDS} if word in known else {}


def _failed(place: Place, reason: str) -> DataError:
    return DataError(
        f"the database cannot be read ({_first_line(reason)})",
        where=place.name,
        fix="check its address and the query",
    )


def _first_line(reason: str) -> str:
    first = " ".join(reason.strip().splitlines()[0].split()) if reason.strip() else "no reason given"
    return first.rstrip(".")


SOURCES.register("sql")(
    Source(
        open_sql,
        suffixes=(".sqlite", ".sqlite3", ".db"),
        told_by=begins(_SQLITE_FILE),
        called="an SQLite database",
    )
)

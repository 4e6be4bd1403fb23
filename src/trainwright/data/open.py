"""The door to data: whatever the user names or holds becomes a `Table`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainwright.data.frames import frame_table
from trainwright.data.joined_table import JoinedTable
from trainwright.data.locate import database, locate, source_of
from trainwright.data.part_names import given_parts, part_of_path
from trainwright.data.source import SOURCES, Memory, Place, open_place
from trainwright.data.table import Table
from trainwright.data.urls import public_name
from trainwright.recipe.recipe import DataSettings

_VALIDATION, _TEST = 1, 2


def open_table(data: DataSettings | Any, *, base: Path | None = None) -> Table:
    """Open data.

    Args:
        data: settings that say where rows are; or rows in memory: a polars or pandas frame, an Arrow
            table, a mapping of columns (see `frames.frame_table`).
        base: folder that relative paths start from; the working folder by default.

    Raises:
        DataError: it cannot be read, in one sentence that says why.
    """
    if not isinstance(data, DataSettings):
        return frame_table(data, root=None if base is None else str(base))
    paths = (data.path,) if isinstance(data.path, str) else data.path
    base = base or Path()
    memory = Memory()
    tables = [table for path in paths for table in _open(path, data, base, memory)]
    main = tables[0]
    if len(tables) > 1:
        parts = given_parts([part_of_path(table.name) for table in tables])
        main = JoinedTable(tables, name=_called(paths), parts=parts)
    given = [(data.validation, _VALIDATION), (data.test, _TEST)]
    others = [
        (table, part) for path, part in given if path is not None for table in _open(path, data, base, memory)
    ]
    if not others:
        return main
    return JoinedTable(
        [main, *(table for table, _ in others)], name=main.name, parts=[None, *(part for _, part in others)]
    )


def _open(location: str, settings: DataSettings, base: Path, memory: Memory) -> list[Table]:
    """Return the tables of one path, glob or URL."""
    word = source_of(location) or (settings.format if settings.format == "hub" else None)
    if word == "hub":
        return [SOURCES["hub"].open(Place(location, public_name(location), None), settings, memory)]
    if word == "sql":
        return [SOURCES["sql"].open(database(location, base), settings, memory)]
    return [open_place(place, settings, memory) for place in locate(location, base)]


def _called(paths: tuple[str, ...]) -> str:
    first = public_name(paths[0]) if "://" in paths[0] else paths[0]
    return first if len(paths) == 1 else f"{first} and {len(paths) - 1} more"

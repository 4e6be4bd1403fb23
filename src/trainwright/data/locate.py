"""From what the user wrote (a path, a glob, a URL) to places on this machine."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from trainwright.data.archive import is_archive, unpack
from trainwright.data.below import tables_below
from trainwright.data.patterns import fixed_part, has_range, spread
from trainwright.data.remote import fetch
from trainwright.data.samples import holds_samples
from trainwright.data.source import Place
from trainwright.data.urls import LEFT_OUT, has_password, is_database, is_left_out, public_name, scheme_of
from trainwright.foundation.errors import DataError, nearest

_SQLITE_URL = re.compile(r"(sqlite:///?)([^?]*)(.*)", re.IGNORECASE | re.DOTALL)

_HUB = "hf://datasets/"

_PASSWORD_NOTE = (
    f"The run, its model and its report hold the URL of the data without its password: {LEFT_OUT} stands in"
    " its place."
)


def source_of(location: str) -> str | None:
    """Return "sql" or "hub" for locations that are no files, else None."""
    if "://" not in location:
        return None
    if is_database(scheme_of(location)):
        return "sql"
    if location.startswith(_HUB) and "." not in location.rsplit("/", 1)[-1]:
        return "hub"
    return None


def database(location: str, base: Path) -> Place:
    """Return the place of a database URL; an SQLite one becomes a path.

    Raises:
        DataError: there is no such SQLite file, or the password is left out and can come from nowhere else.
    """
    name = public_name(location)
    if scheme_of(location) != "sqlite":
        if is_left_out(location) and not _finds_password(location):
            raise _left_out(name, "write it in that place, or $NAME for a variable of the environment")
        return Place(location, name, None, _notes(location))
    path = _under(base, unquote(location.partition("://")[2].removeprefix("/").partition("?")[0]))
    if not path.is_file():
        raise _missing(path, name)
    return Place(str(path), name, str(path.parent))


def locate(location: str, base: Path) -> list[Place]:
    """Return the files and folders of a path, a glob or a URL; archives are unpacked.

    Raises:
        DataError: there is nothing there, or the password of the URL is left out.
    """
    if "://" in location:
        name = public_name(location)
        if is_left_out(location):
            raise _left_out(name, "write it in that place again")
        path = fetch(location)
        if path.is_dir():
            is_pattern = glob.has_magic(location) or has_range(location)
            whole = Place(str(path), fixed_part(name) if is_pattern else name, str(path), _notes(location))
            return [_unpacked(place) for place in tables_below(whole, is_pattern=is_pattern)]
        root = location.partition("?")[0].rpartition("/")[0]
        return [_unpacked(Place(str(path), name, root, _notes(location)))]
    path = _under(base, location)
    if not path.exists() and glob.has_magic(location):
        found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 (absolute patterns)
        places = [_local(Path(one), _named(location, base, Path(one))) for one in found]
        if not places:
            raise DataError("no file is called so", where=location, fix="check the pattern")
        return [_unpacked(place) for place in places]
    if not path.exists() and has_range(location):
        return [place for one in spread(location) for place in locate(one, base)]
    if not path.exists():
        raise _missing(path, location)
    return [_unpacked(_local(path, location))]


def seen_from(folder: Path, location: str, base: Path) -> str:
    """Return a location relative to `base` as one relative to `folder`; what is not relative stays.

    SQLite URLs hold paths too. Links in either folder are followed, as the system does for "..".
    """
    sqlite = _SQLITE_URL.fullmatch(location)
    if sqlite is None and "://" in location:
        return location
    before, path, after = sqlite.groups() if sqlite else ("", location, "")
    written = Path(unquote(path) if sqlite else path).expanduser()
    if written.is_absolute():
        return location
    try:
        seen = Path(os.path.relpath(base.resolve() / written, folder.resolve())).as_posix()
    except ValueError:  # another drive on Windows
        seen = str(base.resolve() / written)
    return f"{before}{quote(seen) if sqlite else seen}{after}"


def _finds_password(location: str) -> bool:
    """Return whether the client of a database looks for a password in PGPASSWORD and ~/.pgpass."""
    kind, _, driver = scheme_of(location).partition("+")
    return kind in {"postgresql", "postgres", "cockroachdb"} and driver in {"", "psycopg", "psycopg2"}


def _notes(location: str) -> tuple[str, ...]:
    return (_PASSWORD_NOTE,) if has_password(location) else ()


def _left_out(name: str, fix: str) -> DataError:
    return DataError(
        f"the password was left out of the recipe, where {LEFT_OUT} stands for it", where=name, fix=fix
    )


def _under(base: Path, location: str) -> Path:
    return base / Path(location).expanduser()


def _named(location: str, base: Path, path: Path) -> str:
    written = Path(location).expanduser()
    return str(path) if written.is_absolute() else os.path.relpath(path, base)


def _local(path: Path, name: str) -> Place:
    return Place(str(path), name, str(path if path.is_dir() else path.parent))


def _unpacked(place: Place) -> Place:
    if not place.path.is_dir() and is_archive(place.path) and not holds_samples(place.path):
        return unpack(place)
    return place


def _missing(path: Path, location: str) -> DataError:
    """Name the first part of the path that is not there, and what is called nearly so."""
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        path, folder = folder, folder.parent
    try:
        near = nearest(path.name, [entry.name for entry in folder.iterdir()] if folder.is_dir() else [])
    except PermissionError:
        near = None
    kind = "file or folder"
    return DataError(
        f"there is no {kind} '{path.name}' in '{folder}'",
        where=location,
        fix=f"did you mean '{near}'?" if near else "check the path",
    )

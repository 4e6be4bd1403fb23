"""From what the user wrote to files, and from files to pieces of work of about the same size."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainwright.corpus.document import whole_characters
from trainwright.corpus.reader import READERS, SLICE_BYTES, Slice, kind_of
from trainwright.corpus.streams import cannot_be_read, inner_suffix, is_compressed
from trainwright.data.archive import is_archive, unpack
from trainwright.data.locate import locate
from trainwright.data.patterns import has_range, spread
from trainwright.data.remote import fetch
from trainwright.data.source import Place
from trainwright.data.urls import public_name
from trainwright.foundation.errors import DataError

_MOST_FILES = 4_096
"""Of a piece of work, however small the files are."""

_TAR_STEMS = (".tar",)


@dataclass(frozen=True)
class Inputs:
    """The files of a corpus.

    Attributes:
        slices: what is to be read, in order.
        files: name, bytes and time of each file: who comes again must find the same.
        wrong: sentences about files that cannot be read.
        others: ending → files that no reader is for.
    """

    slices: list[Slice] = field(default_factory=list)
    files: list[tuple[str, int, int]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def find(sources: Sequence[str], base: Path, *, skip: Path | None = None) -> Inputs:
    """Find the files of sources: files, folders, globs, archives and URLs.

    Args:
        sources: what the user wrote.
        base: folder that relative paths start from.
        skip: folder that is not read, though it may lie in one that is: that of the corpus.

    Raises:
        DataError: there is nothing there, or no file can be read.
    """
    found = Inputs()
    left_out = None if skip is None else skip.resolve()
    for source in sources:
        for path, called, chosen in _files(source, base, found.wrong):
            if left_out is not None and path.resolve().is_relative_to(left_out):
                continue
            name = whole_characters(called)
            try:
                kind = kind_of(path, name)
                if kind is None:
                    if chosen:
                        found.wrong.append(str(_unknown(name)))
                    found.others[whole_characters(_ending(path))] += 1
                    continue
                state = path.stat()
                slices = [
                    replace(part, file_bytes=state.st_size, modified_ns=state.st_mtime_ns)
                    for part in READERS[kind].slices(path, name, kind)
                ]
            except DataError as error:
                found.wrong.append(str(error))
                continue
            except OSError as error:
                found.wrong.append(str(cannot_be_read(name, error)))
                continue
            found.slices.extend(slices)
            found.files.append((name, state.st_size, state.st_mtime_ns))
    if not found.slices:
        _refuse(found, sources)
    return found


def _ending(path: Path) -> str:
    """Return the ending of a file, with that below compression: `.csv.gz`."""
    inner = inner_suffix(path) if is_compressed(path) else ""
    return inner + path.suffix.lower()


def _unknown(name: str) -> DataError:
    return DataError(
        "no reader is for this kind of file",
        where=name,
        fix=f"give files of these kinds: {', '.join(READERS)}",
    )


def _refuse(found: Inputs, sources: Sequence[str]) -> None:
    where = ", ".join(map(public_name, sources[:3]))
    if len(found.wrong) == 1:
        raise DataError(found.wrong[0].removesuffix("."))
    endings = ", ".join(sorted(found.others)) or "none"
    raise DataError(
        f"no file can be read ({len(found.wrong)} damaged or empty, endings of others: {endings})",
        where=where,
        fix=f"give files of these kinds: {', '.join(READERS)}",
    )


def pieces_of(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Return slices in pieces of work; a long slice is one of its own."""
    pieces: list[list[Slice]] = []
    held: list[Slice] = []
    size = 0
    for part in slices:
        if held and (size + part.num_bytes > SLICE_BYTES + SLICE_BYTES // 2 or len(held) >= _MOST_FILES):
            pieces.append(held)
            held, size = [], 0
        held.append(part)
        size += part.num_bytes
    if held:
        pieces.append(held)
    return pieces


def _files(source: str, base: Path, wrong: list[str]) -> Iterator[tuple[Path, str, bool]]:
    """Yield path and name of each file, and whether it was named itself and not only its folder."""
    if "://" in source:
        path, name = fetch(source), public_name(source)
        if path.is_dir() and (glob.has_magic(source) or has_range(source)):
            for inner, called, _ in _below(path, name, wrong):  # each is meant by the pattern
                yield from _unpacked(inner, called, wrong)
        else:
            yield from _unpacked(path, name, wrong)
        return
    path = base / Path(source).expanduser()
    if path.exists():
        yield from _unpacked(path, source, wrong)
    elif glob.has_magic(source):
        yield from _matching(source, base, wrong)
    elif has_range(source):
        for one in spread(source):
            yield from _files(one, base, wrong)
    else:
        for place in locate(source, base):
            yield from _below(place.path, place.name, wrong)


def _matching(pattern: str, base: Path, wrong: list[str]) -> Iterator[tuple[Path, str, bool]]:
    """Yield the files that a pattern means, those of folders too."""
    written = Path(pattern).expanduser()
    matches = sorted(glob.glob(str(base / written), recursive=True))  # noqa: PTH207 (absolute patterns)
    if not matches:
        raise DataError("no file is called so", where=pattern, fix="check the pattern")
    walked: set[Path] = set()
    for match in map(Path, matches):
        if walked.isdisjoint(match.parents):  # `**` means a folder and all that is in it
            name = str(match) if written.is_absolute() else os.path.relpath(match, base)
            yield from _unpacked(match, name, wrong)
        if match.is_dir():
            walked.add(match)


def _unpacked(path: Path, name: str, wrong: list[str]) -> Iterator[tuple[Path, str, bool]]:
    """Yield a file, or those of a folder or of an archive; what is damaged is told to `wrong`."""
    if path.is_dir() or not is_archive(path) or _is_stream(path):
        yield from _below(path, name, wrong)
        return
    try:
        place = unpack(Place(str(path), name, str(path.parent)))
    except DataError as error:
        wrong.append(str(error))
        return
    yield from _below(place.path, name, wrong)


def _is_stream(path: Path) -> bool:
    """Return whether a compressed file is one text, and not an archive of several."""
    return is_compressed(path) and Path(path.stem).suffix.lower() not in _TAR_STEMS


def _below(path: Path, name: str, wrong: list[str]) -> Iterator[tuple[Path, str, bool]]:
    """Yield a file, or those of a folder; of folders that cannot be read a sentence goes to `wrong`."""

    def refused(error: OSError) -> None:
        inner = Path(os.fsdecode(error.filename or path)).relative_to(path).as_posix()
        where = whole_characters(name if inner == "." else f"{name.rstrip('/')}/{inner}")
        wrong.append(str(DataError("the folder cannot be read", where=where, fix="check its permissions")))

    if not path.is_dir():
        yield path, name, True
        return
    for folder, folders, files in os.walk(path, onerror=refused):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        links = [each for each in folders if (Path(folder) / each).is_symlink()]
        for file in sorted([*links, *(each for each in files if not each.startswith("."))]):
            inner = Path(folder) / file
            called = f"{name.rstrip('/')}/{inner.relative_to(path).as_posix()}"
            if inner.is_file():
                yield inner, called, False
            else:
                what = "links to folders are not followed" if inner.is_dir() else "this is no file to read"
                where, fix = whole_characters(called), "name what it leads to, or leave it out"
                wrong.append(str(DataError(what, where=where, fix=fix)))

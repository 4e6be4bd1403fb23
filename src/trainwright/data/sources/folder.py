"""Folders: of tables, or of images or sounds by class; `train`, `val` and `test` in names say the part."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from trainwright.data.frame_table import FrameTable
from trainwright.data.joined_table import JoinedTable
from trainwright.data.part_names import given_parts, part_of_name
from trainwright.data.samples import holds_samples
from trainwright.data.source import SOURCES, Memory, Place, Source, open_place, table_suffixes
from trainwright.data.splits.parts import PART_WORDS
from trainwright.data.table import Part, Table
from trainwright.data.wording import counted
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings

MEDIA = {
    "image": frozenset(
        {".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
        | {".pgm", ".ppm", ".pbm", ".pnm", ".jp2", ".avif"}
    ),
    "audio": frozenset(
        {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64"}
    ),
}
"""Endings of files that are one value each."""

TEXT_ENDINGS = {".txt", ".data", ".dat"}
"""In a folder such files are more often notes than tables."""

_HASHED_BYTES = 256 * 2**20


def open_folder(place: Place, settings: DataSettings, memory: Memory) -> Table:
    """Open a folder.

    Files with rows in it (`train.csv`, `test.csv`, `part-0.parquet` …), or in folders called `train`,
    `val` and `test`, are read in turn. Else it is a folder of media: `CLASS/photo.jpg` or
    `train/CLASS/photo.jpg`; its columns are `image` or `audio` (the path) and `label` (the class).

    Raises:
        DataError: there is neither; or the tables differ in their columns.
    """
    tables = _table_files(place, settings)
    if tables:
        return _joined([place.within(path) for path in tables], place, settings, memory)
    return _media(place)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    shown = (entry for entry in os.scandir(folder) if not entry.name.startswith("."))
    return sorted(shown, key=lambda entry: entry.name)


def _table_files(place: Place, settings: DataSettings) -> list[Path]:
    """Return the files with rows, those of training first."""
    wanted = SOURCES[settings.format].suffixes if settings.format not in {"auto", "folder"} else None
    endings = set(wanted) if wanted else table_suffixes() - TEXT_ENDINGS
    found: list[tuple[int, Path]] = []
    for entry in _entries(place.path):
        path = Path(entry.path)
        if entry.is_file() and _holds_rows(path, endings):
            found.append((part_of_name(path.stem) or 0, path))
        elif entry.is_dir() and entry.name.lower() in PART_WORDS:
            part = PART_WORDS[entry.name.lower()]
            inner = (Path(one.path) for one in _entries(path) if one.is_file())
            found.extend((part, one) for one in inner if _holds_rows(one, endings))
    return [path for _, path in sorted(found)]


def _holds_rows(path: Path, endings: set[str]) -> bool:
    suffix = path.suffix.lower()
    return suffix in endings and (suffix != ".tar" or holds_samples(path))


def _joined(places: list[Place], folder: Place, settings: DataSettings, memory: Memory) -> Table:
    names = [
        place.path.parent.name if place.path.parent != folder.path else place.path.stem for place in places
    ]
    parts = given_parts([part_of_name(name) for name in names])
    tables = [open_place(place, settings, memory) for place in places]
    return tables[0] if len(tables) == 1 else JoinedTable(tables, name=folder.name, parts=parts)


@dataclass(frozen=True)
class _File:
    """A file under the folder: its path relative to it, and its size in bytes."""

    path: str
    size: int
    changed: int

    @property
    def ending(self) -> str:
        return os.path.splitext(self.path)[1].lower()  # noqa: PTH122 (there may be a million of them)


def _files(root: Path) -> Iterator[_File]:
    """Yield all files below a folder, ordered by name; hidden ones and links to folders are left out."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        folders = []
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
            elif entry.is_file():
                status = entry.stat()
                yield _File(os.path.relpath(entry.path, root), status.st_size, status.st_mtime_ns)
        waiting.extend(reversed(folders))


def _media(place: Place) -> Table:
    root = _class_root(place.path)
    files = list(_files(root))
    counts = {kind: sum(file.ending in endings for file in files) for kind, endings in MEDIA.items()}
    if not any(counts.values()):
        held = Counter(file.ending or "no ending" for file in files).most_common(3)
        shown = ", ".join(f"{count} x {ending}" for ending, count in held)
        raise DataError(
            "there are no tables, images or sounds in this folder" + (f" (but {shown})" if shown else ""),
            where=place.name,
            fix="give a file, or a folder with one folder for each class",
        )
    if all(counts.values()):
        raise DataError(
            f"the folder holds {counted(counts['image'], 'image')} and {counted(counts['audio'], 'sound')}",
            where=place.name,
            fix="keep one kind in it, or write a table with a column for each",
        )
    kind = "image" if counts["image"] else "audio"
    media = [file for file in files if file.ending in MEDIA[kind]]
    notes = list(place.notes)
    if len(media) < len(files):
        others = [file.path for file in files if file.ending not in MEDIA[kind]]
        shown = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
        notes.append(f"Left out: {counted(len(others), 'file')} of other kinds ({shown}).")
    labels, part = _classes([file.path for file in media], notes)
    columns = [pl.Series(kind, [file.path for file in media], dtype=pl.String)]
    if any(labels):
        columns.append(pl.Series("label", labels, dtype=pl.String))
        unlabelled = labels.count(None)
        if unlabelled:
            notes.append(f"No label: {counted(unlabelled, 'file')} outside of class folders.")
    return FrameTable(
        pl.DataFrame(columns),
        name=place.name,
        root=str(root),
        part=part,
        notes=notes,
        named_by=kind,
        salt=_content_hash(root, media),
    )


def _class_root(root: Path) -> Path:
    """Go down through folders that hold nothing but one folder of folders, as archives often do."""
    while True:
        entries = _entries(root)
        if len(entries) != 1 or not entries[0].is_dir() or entries[0].name.lower() in PART_WORDS:
            return root
        if not any(entry.is_dir() for entry in _entries(Path(entries[0].path))):
            return root
        root = Path(entries[0].path)


def _classes(paths: Sequence[str], notes: list[str]) -> tuple[list[str | None], Part | None]:
    """Return each file's class, the first folder below the part's, and its part.

    Folders are parts only where each top folder is called like one: a class may be called `test` too.
    """
    split = [path.split(os.sep) for path in paths]  # noqa: PTH206 (there may be a million of them)
    tops = {folders[0] for folders in split}
    has_parts = all(top.lower() in PART_WORDS for top in tops)
    depth = 1 if has_parts else 0
    labels = [folders[depth] if len(folders) > depth + 1 else None for folders in split]
    if any(len(folders) > depth + 2 for folders in split):
        notes.append("Folders within class folders do not count: the class is the outer folder.")
    if not has_parts:
        return labels, None
    part = np.array([PART_WORDS[folders[0].lower()] for folders in split], dtype=np.int8)
    return labels, part if len(tops) > 1 else None


def _content_hash(root: Path, files: Sequence[_File]) -> str:
    """Return a hash of what the files hold: of all bytes up to 256 MB, else of sizes and times of change."""
    digest = hashlib.blake2b(digest_size=8)
    whole = sum(file.size for file in files) <= _HASHED_BYTES
    for file in files:
        if whole:
            try:
                digest.update((root / file.path).read_bytes())
            except OSError:  # said when the file is to be used
                digest.update(b"unreadable")
        else:
            digest.update(repr((file.size, file.changed)).encode())
    return digest.hexdigest()


SOURCES.register("folder")(Source(open_folder))

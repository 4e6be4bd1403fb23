"""Archives, unpacked safely into the user's cache: nothing outside the folder, no links, no bombs."""

from __future__ import annotations

import bz2
import errno
import gzip
import json
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from trainwright.data.cache import prune
from trainwright.data.collect import file_key
from trainwright.data.source import Place
from trainwright.foundation.errors import DataError
from trainwright.foundation.leases import use
from trainwright.foundation.paths import cache_folder, whole_folder, write_json

MAX_BYTES = 64 * 2**30
"""Most that an archive may unpack to."""

MAX_FILES = 1_000_000
MAX_RATIO = 200
"""Most bytes out of one byte in. Text and tables stay below 50; a bomb reaches 1,000 and more."""

RATIO_FROM_BYTES = 64 * 2**20
"""Up to this size no ratio is suspicious: little harm can be done."""

_BLOCK = 1 << 20
_ENCRYPTED_FLAG, _UTF8_FLAG = 0x1, 0x800
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile)
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS}
_TAR_ENDINGS = (".tar", ".tgz", ".tbz", ".tbz2", ".txz")
_ENDINGS = (".zip", *_TAR_ENDINGS, ".gz", ".bz2", ".xz")
_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_JUNK = {"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"}


@dataclass
class _Counter:
    """Counts what comes out of an archive and stops at the limits."""

    name: str
    packed: int
    num_bytes: int = 0
    num_files: int = 0
    left_out: int = 0

    def file(self) -> None:
        self.num_files += 1
        if self.num_files > MAX_FILES:
            raise _bomb(self.name, f"it holds more than {MAX_FILES:,} files")

    def add(self, num_bytes: int) -> None:
        self.num_bytes += num_bytes
        _check_size(self.name, self.packed, self.num_bytes)


def _check_size(name: str, packed: int, unpacked: int) -> None:
    if unpacked > MAX_BYTES:
        raise _bomb(name, f"it unpacks to more than {MAX_BYTES >> 30} GB")
    if unpacked > RATIO_FROM_BYTES and unpacked > MAX_RATIO * max(packed, 1):
        raise _bomb(name, f"it unpacks to more than {MAX_RATIO} times its size")


def _bomb(name: str, why: str) -> DataError:
    return DataError(
        f"the archive looks like a zip bomb: {why}",
        where=name,
        fix="unpack it yourself if you trust it, and give the folder",
    )


def check_zip(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse a zip file that declares more files or bytes than any honest one.

    Raises:
        DataError: it looks like a bomb.
    """
    entries = archive.infolist()
    if len(entries) > MAX_FILES:
        raise _bomb(name, f"it holds more than {MAX_FILES:,} files")
    _check_size(
        name, sum(entry.compress_size for entry in entries), sum(entry.file_size for entry in entries)
    )


def is_archive(path: Path) -> bool:
    """Return whether a file's ending is that of an archive or a compressed file."""
    return path.suffix.lower() in _ENDINGS


def unpack(place: Place) -> Place:
    """Unpack an archive, or a single compressed file, into the cache and return where its content is.

    The second time the cached copy is returned. Links and devices are left out, which a note says.

    Raises:
        DataError: it is damaged, needs a password, holds a path that leaves the folder, or looks like a
            bomb.
    """
    folder = cache_folder("archives") / file_key(place, "archive")
    marker = folder / "unpacked.json"
    use(folder)
    if not marker.exists():
        with whole_folder(folder) as scratch:
            counter = _Counter(place.name, place.path.stat().st_size)
            content = scratch / "content"
            content.mkdir()
            try:
                _unpack_into(content, place, counter)
            except (
                zipfile.BadZipFile,
                tarfile.TarError,
                EOFError,
                lzma.LZMAError,
                zlib.error,
                gzip.BadGzipFile,
            ) as error:
                raise _damaged(place) from error
            except OSError as error:
                if error.errno in _DISK_ERRORS:
                    raise
                raise _damaged(place) from error  # bz2 reports damage so; names too long or taken twice
            write_json(scratch / marker.name, {"left_out": counter.left_out})
        prune(folder)
    folder.touch()
    return _content(place, folder)


def _content(place: Place, folder: Path) -> Place:
    left_out = json.loads((folder / "unpacked.json").read_text(encoding="utf-8"))["left_out"]
    notes = place.notes
    if left_out:
        notes = (*notes, f"Links and devices left out of {place.name}: {left_out:,}.")
    content = folder / "content"
    inner = list(content.iterdir())
    while len(inner) == 1 and inner[0].is_dir():
        content = inner[0]
        inner = list(content.iterdir())
    where = inner[0] if len(inner) == 1 else content
    return Place(str(where), place.name, str(content), notes)


def _damaged(place: Place) -> DataError:
    return DataError("the archive is cut off or damaged", where=place.name, fix="copy or download it again")


def _unpack_into(folder: Path, place: Place, counter: _Counter) -> None:
    path = place.path
    if zipfile.is_zipfile(path):
        _unpack_zip(folder, place, counter)
    elif path.suffix.lower() in _TAR_ENDINGS or path.stem.lower().endswith(".tar"):
        with tarfile.open(path, "r:*") as archive:
            _unpack_tar(folder, archive, counter)
    elif path.suffix.lower() in _OPENERS:
        counter.file()
        with _OPENERS[path.suffix.lower()](path, "rb") as stream:
            _copy(stream, folder / path.stem, counter)
    else:
        raise _damaged(place)


def _unpack_zip(folder: Path, place: Place, counter: _Counter) -> None:
    with zipfile.ZipFile(place.path) as archive:
        check_zip(archive, place.name)
        entries = archive.infolist()
        for entry, name in zip(entries, _zip_names(entries), strict=True):
            target = _target(folder, name, counter)
            if target is None or entry.is_dir():
                continue
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in {0, stat.S_IFREG}:
                counter.left_out += 1
                continue
            if entry.flag_bits & _ENCRYPTED_FLAG:
                raise DataError("the archive needs a password", where=place.name, fix="unpack it yourself")
            counter.file()
            with _opened(archive, entry, place) as stream:
                _copy(stream, target, counter)


def _opened(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, place: Place) -> IO[bytes]:
    try:
        return archive.open(entry)
    except NotImplementedError as error:
        raise DataError(
            "the archive is packed in a way that cannot be read", where=place.name, fix="unpack it yourself"
        ) from error


def _zip_names(entries: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Return the names of entries; those without the UTF-8 flag are in whatever encoding the packer used."""
    raw = {
        entry.filename: entry.filename.encode("cp437")
        for entry in entries
        if not entry.flag_bits & _UTF8_FLAG and not entry.filename.isascii()
    }
    for encoding in ("utf-8", "gb18030"):
        try:
            decoded = {name: code.decode(encoding) for name, code in raw.items()}
        except UnicodeDecodeError:
            continue
        return [decoded.get(entry.filename, entry.filename) for entry in entries]
    return [entry.filename for entry in entries]


def _unpack_tar(folder: Path, archive: tarfile.TarFile, counter: _Counter) -> None:
    for member in _members(archive):
        target = _target(folder, member.name, counter)
        if target is None or member.isdir():
            continue
        stream = archive.extractfile(member) if member.isreg() and not member.issparse() else None
        if stream is None:
            counter.left_out += 1
            continue
        counter.file()
        with stream:
            _copy(stream, target, counter)


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := archive.next()) is not None:
        yield member
        archive.members = []  # type: ignore[attr-defined] # else they pile up, however many there are


def _target(folder: Path, name: str, counter: _Counter) -> Path | None:
    """Return where an entry goes; None for what other systems leave behind.

    Raises:
        DataError: the name is absolute or leaves the folder.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if (
        path.is_absolute()
        or ".." in path.parts
        or (path.parts and path.parts[0].endswith(":"))
        or "\0" in name
    ):
        raise DataError(
            f"the archive holds a path that leaves the folder: '{name}'",
            where=counter.name,
            fix="do not trust this archive, or pack it again with relative paths",
        )
    if not path.parts or _JUNK & set(path.parts) or path.name.startswith("._"):
        return None
    return folder / path


def _copy(stream: IO[bytes], target: Path, counter: _Counter) -> None:
    if target.is_dir():
        raise DataError(
            f"the archive holds '{target.name}' as a file and as a folder",
            where=counter.name,
            fix="pack it again",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        while block := stream.read(_BLOCK):
            counter.add(len(block))
            out.write(block)

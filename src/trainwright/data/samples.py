"""Tar files of samples (the WebDataset convention): files that share a stem are one row.

`0001.jpg`, `0001.cls` and `0001.json` are a picture, a word and an object's members. A tar file is read from
front to back, once, and never unpacked.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from trainwright.data.media import MAX_BYTES

_LOOKED_AT = 64
"""Files at the head of a tar file that tell whether it holds samples."""
_TEXTS = frozenset({"txt", "text", "cls", "cls2", "caption", "label", "transcript", "id", "index"})

Sample = dict[str, Any]


def holds_samples(path: Path) -> bool:
    """Return whether a file is a tar file in which neighbours share a stem and differ in their endings."""
    if path.suffix.lower() != ".tar":
        return False
    try:
        with tarfile.open(path, "r|", errors="replace") as archive:
            names = [member.name for member in islice(archive, _LOOKED_AT) if member.isreg()]
    except (tarfile.TarError, OSError, EOFError):
        return False
    split = [_split(name) for name in names]
    pairs = [one[0] == other[0] and one[1] != other[1] for one, other in pairwise(split)]
    # Of two files a row every second pair is one; pictures in folders of classes share no stem.
    return sum(pairs) * 3 >= len(pairs) > 0


def read_samples(path: Path) -> Iterator[tuple[str, Sample | str, int]]:
    """Yield (stem, column → value, bytes) of each sample, in order; or a reason in place of the values.

    Raises:
        tarfile.TarError, EOFError, OSError: the file is cut off or damaged.
    """
    with tarfile.open(path, "r|", errors="replace") as archive:
        stem: str | None = None
        sample: Sample | str = {}
        size = 0
        for member in archive:
            archive.members = []  # type: ignore[attr-defined] # else they pile up, however many there are
            if not member.isreg():
                continue
            key, ending = _split(member.name)
            if key != stem:
                if stem is not None:
                    yield stem, sample, size
                stem, sample, size = key, {}, 0
            if isinstance(sample, str):
                continue
            if member.size > MAX_BYTES:
                sample = f"'{member.name}' is larger than {MAX_BYTES >> 20} MB"
                continue
            stream = archive.extractfile(member)
            content = b"" if stream is None else stream.read()
            if len(content) != member.size:
                raise EOFError
            size += member.size
            sample = _with(sample, ending, content)
        with path.open("rb") as raw:
            raw.seek(archive.offset)
            # tarfile takes a damaged header for the end; at the true one there is a block of zeros.
            if raw.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise EOFError
        if stem is not None:
            yield stem, sample, size


def _with(sample: Sample, ending: str, content: bytes) -> Sample | str:
    """Return the sample with one more file, or why it cannot be read."""
    values = _values(ending, content)
    if isinstance(values, str):
        return values
    twice = next((name for name in values if name in sample), None)
    if twice is not None:
        return f"two of its files hold '{twice}'; names like 0001.left.jpg and 0001.right.jpg keep them apart"
    return sample | values


def _values(ending: str, content: bytes) -> Sample | str:
    """Return column → value of a file, or why it cannot be read."""
    kind = ending.rpartition(".")[2]
    try:
        if kind == "json":
            value = json.loads(content)
            text = json.dumps(value, ensure_ascii=False)
            text.encode()  # half a surrogate pair is no text
            return value if isinstance(value, dict) else {ending: text}
        if kind in _TEXTS:
            return {ending: content.decode("utf-8").strip()}
    except (ValueError, RecursionError):
        return f"its '.{ending}' is no {'JSON' if kind == 'json' else 'UTF-8 text'}"
    return {_media_name(ending): content}


def _media_name(ending: str) -> str:
    """Return what the column of a medium is called: its kind, or what stands before its ending."""
    from trainwright.data.sources.folder import MEDIA

    before, _, kind = ending.rpartition(".")
    return before or next((name for name, endings in MEDIA.items() if f".{kind}" in endings), ending)


def _split(name: str) -> tuple[str, str]:
    """Return stem and ending: all up to the first dot of the last part of the path, and what is behind it."""
    path = PurePosixPath(name)
    first, _, ending = path.name.partition(".")
    return str(path.parent / first), ending.lower()

"""Rules for images and audio: paths to files, bytes of files, and arrays of pixels."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from trainwright.data.inference.profile import Guess, Profile

_EXTENSIONS = {
    "image": r"(?i)\.(jpe?g|png|gif|bmp|webp|tiff?|pgm|ppm)$",
    "audio": r"(?i)\.(wav|flac|ogg|oga|opus|mp3|aiff?|au)$",
}
_MOSTLY = 0.95
_LOOKED_FOR = 8
_MEANT_FOR_FILES = 0.5
"""Paths that differ in more than this share of the rows are no categories."""

_BEGINNINGS = {
    "image": (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\x00", b"MM\x00*", b"P5", b"P6"),
    "audio": (b"fLaC", b"OggS", b"ID3", b"FORM", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"),
}
_SMALLEST_PICTURE = 8
"""Sides of an array of floats that is taken for a picture."""


def from_paths(profile: Profile, root: str | None) -> Guess | None:
    """Paths or URLs of media files.

    Paths of which none can be found are what they look like otherwise; but a different one in most rows can
    only have been meant for a file.
    """
    for kind, pattern in _EXTENSIONS.items():
        share = profile.share_matching(pattern)
        if share < _MOSTLY:
            continue
        found = f"{share:.0%} of the values end like {kind} files"
        paths = profile.values.filter(profile.values.str.contains(pattern))
        paths = paths.gather_every(max(1, len(paths) // _LOOKED_FOR)).head(_LOOKED_FOR)
        local = [path for path in paths.to_list() if "://" not in path]
        if not local or (root is not None and "://" in root):
            return Guess(kind, found)
        there = sum((Path(root or ".") / path).is_file() for path in local)
        if there:
            return Guess(kind, f"{found}; {there} of {len(local)} looked for are there")
        if profile.distinct > _MEANT_FOR_FILES:
            where = f"in '{root}'" if root else "there"
            why = f"{found}, but none of the {len(local)} looked for is {where} (such as '{local[0]}')"
            return Guess("unknown", why, ((kind, "if the files are put there"),))
        return None
    return None


def from_bytes(profile: Profile, root: str | None) -> Guess | None:
    """Bytes that begin as media files do, structs of bytes and path, and arrays of pixels."""
    values = profile.values
    dtype = values.dtype
    if isinstance(dtype, pl.Struct):
        names = {part.name: part.dtype for part in dtype.fields}
        if names.get("bytes") == pl.Binary and values.struct.field("bytes").null_count() < len(values):
            return _from_beginnings(values.struct.field("bytes").drop_nulls())
        if names.get("path") == pl.String:
            return from_paths(Profile.of(values.struct.field("path").alias(profile.name)), root)
        return None
    if dtype == pl.Binary:
        return _from_beginnings(values)
    if isinstance(dtype, pl.Array) and len(dtype.shape) in {2, 3}:
        sides = " x ".join(str(side) for side in dtype.shape)
        leaf = pl.select(values.head(1).reshape((-1,))).to_series().dtype
        if leaf == pl.UInt8:
            return Guess("image", f"{sides} bytes in every row")
        if min(sorted(dtype.shape)[-2:]) >= _SMALLEST_PICTURE and leaf.is_numeric():
            otherwise = (("sequence", "if they are steps of several numbers"),)
            return Guess("image", f"{sides} numbers in every row", otherwise)
    return None


def _from_beginnings(values: pl.Series) -> Guess | None:
    firsts = values.head(_LOOKED_FOR).to_list()
    for kind in _BEGINNINGS:
        if sum(_kind_of(first) == kind for first in firsts) > len(firsts) / 2:
            return Guess(kind, f"bytes that begin as {kind} files do")
    return None


def _kind_of(data: bytes) -> str | None:
    if data[:4] == b"RIFF":  # WebP and WAV share a container
        return {b"WEBP": "image", b"WAVE": "audio"}.get(data[8:12])
    for kind, beginnings in _BEGINNINGS.items():
        if data.startswith(beginnings):
            return kind
    return None

"""A digest of a checkpoint's weights: whether a base is the one that it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from trainwright.foundation.checkpoints import language_checkpoint

_SAFETENSORS, _GGUF = ".safetensors", ".gguf"
_PIECES, _PIECE = 256, 1 << 16
"""Pieces of a file of weights that its digest is of, and the bytes of each."""
_END = 1 << 14
"""Bytes at either end of each tensor that the digest is of, too: all of a bias or a norm."""


def weights_digest(name: str) -> str:
    """Return a digest of a checkpoint's weights: of pieces all over its files, and of each tensor's ends.

    To read all of a large model would take as long as to load it. Of a GGUF file it is of the pieces alone.

    Args:
        name: as for `language_checkpoint`.

    Returns:
        Two hashes with a colon between: of sizes and pieces; of headers and tensors.
    """
    path = Path(name).expanduser()
    place = path if path.exists() else language_checkpoint(name)
    files = [place]
    if place.is_dir():
        files = sorted(place.glob("*.safetensors")) or sorted(place.glob(f"*{_GGUF}"))
    pieces, tensors = hashlib.sha256(), hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        pieces.update(f"{size}\n".encode())
        with file.open("rb") as stream:
            for start in range(0, size, max(size // _PIECES, _PIECE)):
                stream.seek(start)
                pieces.update(stream.read(_PIECE))
            if file.suffix == _SAFETENSORS:
                for part in _ends(stream):
                    tensors.update(part)
    return f"{pieces.hexdigest()}:{tensors.hexdigest()}"


def _ends(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the header of a file of safetensors, and the first and last bytes of each tensor."""
    stream.seek(0)
    length = int.from_bytes(stream.read(8), "little")
    header = stream.read(length)
    yield header
    entries = [entry for name, entry in json.loads(header).items() if name != "__metadata__"]
    for begin, end in sorted(entry["data_offsets"] for entry in entries):
        for start in (begin, max(begin, end - _END)):
            stream.seek(8 + length + start)
            yield stream.read(min(_END, end - start))


def same_weights(kept: str, found: str) -> bool:
    """Return whether two digests are of the same weights.

    Args:
        kept: from a folder; one that was made before tensors counted is of sizes and pieces alone.
        found: from `weights_digest`.
    """
    return kept == (found if ":" in kept else found.partition(":")[0])

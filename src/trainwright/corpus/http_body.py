"""The body of an HTTP answer as it was before it was packed for the way (RFC 9110, RFC 9112)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping

from trainwright.corpus.readers.html import is_html

_CODECS = {"gzip": "gzip", "x-gzip": "gzip", "br": "brotli", "zstd": "zstd"}
_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]{0,1000})?\r\n")


def http_body(content: bytes, headers: Mapping[str, str], *, most: int) -> bytes | None:
    """Return a body, unpacked; None where that fails.

    Crawlers may have unpacked it and left the headers that say how it was packed: a body that is not in
    chunks, or is a page of HTML as it is, stays so.

    Args:
        content: the body as the server sent it.
        headers: of the answer.
        most: bytes to unpack; what is longer is cut there.
    """
    said = {name.lower(): value.lower() for name, value in headers.items()}
    if "chunked" in said.get("transfer-encoding", ""):
        content = _unchunked(content)
    for coding in reversed(said.get("content-encoding", "").replace(",", " ").split()):
        if coding in {"identity", "none"}:
            continue
        unpacked = _unpacked(content, coding, most)
        if unpacked is None:
            return content if is_html(content[:1024]) else None
        content = unpacked
    return content


def _unchunked(content: bytes) -> bytes:
    """Return the content of chunks, those that are there."""
    chunks: list[bytes] = []
    at = 0
    while head := _CHUNK.match(content, at):
        size = int(head[1], 16)
        chunks.append(content[head.end() : head.end() + size])
        at = head.end() + size + len(b"\r\n")
        if size == 0:
            break
    return b"".join(chunks) if chunks else content


def _unpacked(content: bytes, coding: str, most: int) -> bytes | None:
    import pyarrow as pa

    try:
        if coding == "deflate":
            # With the head of zlib, as it ought to be, or without, as some servers send it.
            bits = zlib.MAX_WBITS if content[:1] == b"x" else -zlib.MAX_WBITS
            return zlib.decompressobj(bits).decompress(content, most)
        if coding in _CODECS:
            with pa.CompressedInputStream(pa.BufferReader(content), _CODECS[coding]) as stream:
                return bytes(stream.read(most))
    except (zlib.error, OSError, pa.ArrowException):
        pass
    return None

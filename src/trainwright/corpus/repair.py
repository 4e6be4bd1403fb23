"""Unicode repair: one form for each character (NFC), line ends, controls, UTF-8 read as something else."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt

from trainwright.corpus.extras import extra
from trainwright.corpus.ledger import Ledger
from trainwright.corpus.tokens import runs

_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x7f\ufeff\u200b\u2060]")
_CONTROL_BYTES = bytes([*range(9), 11, 12, *range(14, 32), 127])
_SEPARATORS = {**dict.fromkeys(map(ord, "\x0b\x0c\x1c\x1d\x1e"), "\n"), ord("\x1f"): " "}
_LINE_ENDS = {ord("\u2028"): "\n", ord("\u2029"): "\n\n"}
"""Line, paragraph and page ends of other kinds: what stands on either side is no one word.

U+0085 is none of them: in files it is the ellipsis of cp1252, which ftfy makes of it.
"""

_INVISIBLE = ("\ufeff".encode(), "\u200b".encode(), "\u2060".encode())

_MOJIBAKE = re.compile(rb"\xc3[\x82-\xb4](?:[\xc2\xc3\xc5\xc6\xcb]|\xe2[\x80-\x84])|\xc2[\x80-\x9f]")
"""UTF-8 that was read as Latin-1 or cp1252: Ã or â with another odd character behind, or C1 controls.

Asking ftfy takes half a microsecond for each character, and nearly all texts are innocent.
"""


_MOST_MARKS = 30


@cache
def _marks() -> npt.NDArray[np.bool_]:
    """Return whether each character is a mark that others are sorted around."""
    return np.array([unicodedata.combining(chr(code)) > 0 for code in range(0x1E94C)])


def _with_short_runs(text: str) -> str:
    """Return a text with U+034F behind each 30 marks in a row (UAX #15, Stream-Safe Text Format).

    Sorting a run of marks takes time by the square of its length.
    """
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    flags = np.append(_marks()[np.minimum(codes, len(_marks()) - 1)], [False])
    begins, ends = runs(flags)
    long = ends - begins > _MOST_MARKS
    if not long.any():
        return text
    pieces, behind = [], 0
    for begin, end in zip(begins[long].tolist(), ends[long].tolist(), strict=True):
        pieces.append(text[behind:begin])
        pieces += [
            text[at : at + _MOST_MARKS] + "\u034f" for at in range(begin, end - _MOST_MARKS, _MOST_MARKS)
        ]
        behind = begin + (end - begin - 1) // _MOST_MARKS * _MOST_MARKS
    return "".join([*pieces, text[behind:]])


def repaired(text: str, ledger: Ledger) -> bytes:
    """Return a text in UTF-8 with what is broken mended, and count what was done.

    Raises:
        UserError: the package for it is not installed.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        data = text.encode()
    except UnicodeEncodeError:  # half of a pair of UTF-16, as JSON may write it
        ledger.note("texts with halves of characters")
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        data = text.encode()
    if _has_controls(data):
        text = _CONTROLS.sub("", text.translate(_SEPARATORS))
        data = text.encode()
        ledger.note("texts with control characters taken out")
    if data.isascii():
        return data
    if (b"\xc3" in data or b"\xc2" in data) and _MOJIBAKE.search(data):
        badness = extra("ftfy.badness", need="texts with broken characters")
        if badness.is_bad(text):
            mended = extra("ftfy", need="texts with broken characters").fix_encoding(text)
            if mended != text:
                ledger.note("texts with broken characters mended")
                text = mended
    if "\u2028" in text or "\u2029" in text:
        text = text.translate(_LINE_ENDS)
    text = _with_short_runs(text)
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
        ledger.note("texts brought to one form of characters (NFC)")
    if "\ufffd" in text:
        ledger.note("texts with bytes that could not be read")
    return text.encode()


def _has_controls(data: bytes) -> bool:
    # Each of these looks at every byte, and all of them together take less time than one regular expression.
    return len(data.translate(None, _CONTROL_BYTES)) < len(data) or (
        not data.isascii() and any(sign in data for sign in _INVISIBLE)
    )

"""Where words begin in a text that is tokens: what a masked model hides together.

A word is what Unicode takes for letters, marks and digits in a row; each sign is one, and each character of
scripts that write no spaces between words, such as Chinese. It is told from two tokens: from how one begins
and from how the one before it ends.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Flags = npt.NDArray[np.bool_]

_GOES_ON = "##"
_SPACE = "▁"
_BYTE = len("<0x00>")
_IDEOGRAPHS = (
    (0x2E80, 0x31FF),  # radicals, kana, bopomofo
    (0x3400, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF00, 0xFF9F),  # of full and half width
    (0x1B000, 0x1B2FF),
    (0x20000, 0x3FFFF),
)


def word_ends(backend: Tokenizer, vocabulary: int, special: Iterable[int]) -> tuple[Flags, Flags]:
    """Return whether a token begins a word, and whether what follows it does, bool [vocabulary] each.

    Args:
        backend: the tokenizer.
        vocabulary: number of ids.
        special: ids of special tokens, which stand by themselves.
    """
    begins, ends = np.ones(vocabulary, dtype=bool), np.zeros(vocabulary, dtype=bool)
    state = backend.to_str()
    pieces = json.loads(state)["model"].get("type") == "WordPiece"
    letters = byte_letters() if '"ByteLevel"' in state else None
    for text, token in backend.get_vocab(with_added_tokens=True).items():
        if pieces:  # its pre-tokeniser has cut words and ideographs apart
            begins[token] = not text.startswith(_GOES_ON)
        else:
            begins[token], ends[token] = _ends(_bytes(text, letters))
    alone = np.fromiter(special, dtype=np.int64)
    begins[alone] = ends[alone] = True
    return begins, ends


def _ends(content: bytes) -> tuple[bool, bool]:
    """Return whether bytes of a text begin a word, and whether what follows them does."""
    if not content:
        return True, True
    size = len(content)
    within = next((n for n, byte in enumerate(content) if not _continues(byte)), size)
    last = next((n for n in range(size - 1, -1, -1) if not _continues(content[n])), None)
    begins = not within and not _goes_on(_character(content))
    # A character that is not whole at the end goes on in what follows.
    ends = (
        last is not None and _width(content[last]) == size - last and not _goes_on(_character(content[last:]))
    )
    return begins, ends


def _goes_on(character: str) -> bool:
    """Return whether a character is a part of a word: a letter, mark or digit of a script with spaces."""
    if not character:
        return False
    place = ord(character)
    ideograph = any(first <= place <= last for first, last in _IDEOGRAPHS)
    # Half a character can look like one that nobody has assigned.
    return (not ideograph and unicodedata.category(character)[0] in "LMN") or unicodedata.category(
        character
    ) == "Cn"


def _character(content: bytes) -> str:
    """Return the character that bytes begin with; of one that is not whole another of its script."""
    width = _width(content[0])
    for filling in (b"\x80", b"\xa0"):
        whole = content[:width].ljust(width, filling)
        try:
            return whole.decode("utf-8")[0]
        except UnicodeDecodeError:
            continue
    return ""


def _continues(byte: int) -> bool:
    return byte & 0xC0 == 0x80


def _width(byte: int) -> int:
    """Return how many bytes the character has that begins with this one."""
    return 1 + (byte >= 0xC0) + (byte >= 0xE0) + (byte >= 0xF0)


def _bytes(text: str, letters: dict[str, int] | None) -> bytes:
    """Return what a token stands for, in UTF-8.

    Args:
        text: as the vocabulary has it.
        letters: letter → byte of a byte-level vocabulary; None for one of characters.
    """
    if letters is not None:
        return bytes(letters[letter] for letter in text if letter in letters)
    if len(text) == _BYTE and text.startswith("<0x") and text.endswith(">"):
        return bytes.fromhex(text[3:5])
    return text.replace(_SPACE, " ").encode()


@cache
def byte_letters() -> dict[str, int]:
    """Return letter → byte, as GPT-2 writes bytes that are no letters."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + n): byte for n, byte in enumerate(others)}

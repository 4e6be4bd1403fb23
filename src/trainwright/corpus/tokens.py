"""Words of a batch of texts, found and hashed with array operations over its bytes.

A token is a run of letters and digits; of Chinese and Japanese, which have no spaces, each character is one.
Punctuation separates and is no token, so that it counts in no comparison. Case does not count in ASCII.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

_SEPARATOR, _WORD, _WIDE = 0, 1, 2

_MULTIPLIER = 0x9E3779B97F4A7C15 | 1
_TOKEN_MULTIPLIER = 0xD6E8FEB86659FD93 | 1


def _classes() -> bytes:
    table = np.zeros(256, dtype=np.uint8)
    for first, last in ("09", "AZ", "az"):
        table[ord(first) : ord(last) + 1] = _WORD
    table[0xC3:0xF5] = _WORD
    table[0xE3:0xEA] = _WIDE  # kana and Chinese characters
    table[0xF0] = _WIDE  # rarer Chinese characters, emoji
    # General punctuation, signs (E2), full-width forms (EF), and the signs of Latin-1 (C2).
    table[[0xC2, 0xE2, 0xEF]] = _SEPARATOR
    return table.tobytes()


def _byte_hashes() -> Hashes:
    table = np.random.Generator(np.random.PCG64(0x5EED)).integers(0, 2**64, 256, dtype=np.uint64)
    table[ord("A") : ord("Z") + 1] = table[ord("a") : ord("z") + 1]
    return table


_CLASSES, _BYTE_HASHES = _classes(), _byte_hashes()


class _Powers:
    """Powers of an odd number modulo 2^64, and of its inverse; kept, and made longer when needed."""

    def __init__(self, base: int) -> None:
        self._bases = (base, pow(base, -1, 2**64))
        self._made: tuple[Hashes, Hashes] = (np.ones(1, np.uint64), np.ones(1, np.uint64))

    def up_to(self, size: int) -> tuple[Hashes, Hashes]:
        if len(self._made[0]) < size:
            room = max(size, 1 << 21)
            self._made = tuple(self._powers(base, room) for base in self._bases)  # type: ignore[assignment]
        return self._made

    @staticmethod
    def _powers(base: int, size: int) -> Hashes:
        factors = np.full(size, base, dtype=np.uint64)
        factors[0] = 1
        return np.cumprod(factors, dtype=np.uint64)


_BYTE_POWERS, _TOKEN_POWERS = _Powers(_MULTIPLIER), _Powers(_TOKEN_MULTIPLIER)


def mixed(values: Hashes) -> Hashes:
    """Return hashes of whole numbers in which every bit depends on all bits (MurmurHash3's finaliser)."""
    values = values ^ (values >> np.uint64(33))
    values *= np.uint64(0xFF51AFD7ED558CCD)
    values ^= values >> np.uint64(33)
    values *= np.uint64(0xC4CEB9FE1A85EC53)
    values ^= values >> np.uint64(33)
    return values


@dataclass(frozen=True)
class Tokens:
    """The tokens of a batch.

    Attributes:
        data: all texts in UTF-8, a line end behind each.
        bounds: where each text begins in `data`, and the length of `data`, int64 [texts + 1].
        codes: `data` as numbers, uint8 [bytes].
        starts: where each token begins, int64 [tokens].
        ends: where it ends.
        wide: whether it is one character of Chinese or Japanese, bool [tokens].
        first: number of each text's first token, and of all tokens, int64 [texts + 1].
    """

    data: bytes
    bounds: Places
    codes: Bytes
    starts: Places
    ends: Places
    wide: npt.NDArray[np.bool_]
    first: Places

    @property
    def num_texts(self) -> int:
        """How many texts there are."""
        return len(self.bounds) - 1

    @cached_property
    def characters(self) -> Places:
        """Characters of each text."""
        begins = ((self.codes & 0xC0) != 0x80).view(np.uint8)
        return np.add.reduceat(begins, self.bounds[:-1], dtype=np.int64) - 1

    @cached_property
    def counts(self) -> Places:
        """Tokens of each text."""
        return np.diff(self.first)

    @cached_property
    def text_of(self) -> Places:
        """The text that each token is of."""
        return np.repeat(np.arange(self.num_texts), self.counts)

    @cached_property
    def _sums(self) -> Hashes:
        powers, _ = _BYTE_POWERS.up_to(len(self.codes))
        sums = np.zeros(len(self.codes) + 1, dtype=np.uint64)
        np.take(_BYTE_HASHES, self.codes, out=sums[1:], mode="clip")
        sums[1:] *= powers[: len(self.codes)]
        np.cumsum(sums, out=sums)
        return sums

    def hashes_of(self, starts: Places, ends: Places) -> Hashes:
        """Return hashes of stretches of bytes, in which ASCII has no case.

        A stretch's hash is a polynomial in its bytes: the difference of two sums over all bytes before.
        """
        _, inverses = _BYTE_POWERS.up_to(len(self.codes))
        return mixed((self._sums[ends] - self._sums[starts]) * inverses[starts])

    @cached_property
    def hashes(self) -> Hashes:
        """Hash of each token."""
        return self.hashes_of(self.starts, self.ends)

    @cached_property
    def _token_sums(self) -> Hashes:
        powers, _ = _TOKEN_POWERS.up_to(len(self.hashes) + 1)
        sums = np.zeros(len(self.hashes) + 1, dtype=np.uint64)
        np.multiply(self.hashes, powers[: len(self.hashes)], out=sums[1:])
        np.cumsum(sums, out=sums)
        return sums

    def grams(self, size: int, *, of: npt.NDArray[np.bool_] | None = None) -> tuple[Places, Hashes]:
        """Return the n-grams of tokens that lie within one text: number of the first token, and hash.

        Args:
            size: tokens of an n-gram.
            of: texts to look at, bool [texts]; all by default.
        """
        room = np.maximum(self.counts - size + 1, 0)
        if of is not None:
            room = np.where(of, room, 0)
        begins = np.repeat(self.first[:-1] - np.cumsum(room) + room, room) + np.arange(room.sum())
        return begins, self.stretches(begins, begins + size)

    def stretches(self, begins: Places, ends: Places) -> Hashes:
        """Return hashes of stretches of tokens."""
        _, inverses = _TOKEN_POWERS.up_to(len(self.hashes) + 1)
        return mixed((self._token_sums[ends] - self._token_sums[begins]) * inverses[begins])

    @cached_property
    def cjk(self) -> npt.NDArray[np.bool_]:
        """Whether each text is mostly without spaces: more of its tokens are characters than words."""
        return 2 * self.total(self.wide) > self.counts

    def total(self, of_tokens: npt.NDArray[np.bool_]) -> Places:
        """Return how many of each text's tokens are true."""
        return np.bincount(self.text_of[of_tokens], minlength=self.num_texts)

    def texts_at(self, places: Places) -> Places:
        """Return the text that each place of `data` is in."""
        return np.searchsorted(self.bounds, places, side="right") - 1


def runs(flags: npt.NDArray[Any]) -> tuple[Places, Places]:
    """Return where runs of what is not 0 begin and end; the last must be 0."""
    edges = np.flatnonzero(flags[1:] != flags[:-1]) + 1
    if len(flags) and flags[0]:
        edges = np.concatenate([[0], edges])
    return edges[0::2], edges[1::2]


def tokens_of(texts: Sequence[bytes]) -> Tokens:
    """Find the tokens of texts in UTF-8."""
    data = b"\n".join([*texts, b""])
    bounds = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(text) + 1 for text in texts], out=bounds[1:])
    codes = np.frombuffer(data, dtype=np.uint8)
    kinds = np.frombuffer(data.translate(_CLASSES), dtype=np.uint8)  # six times as fast as taking by index
    if data.isascii():
        starts, ends = runs(kinds)
        wide = np.zeros(len(starts), dtype=bool)
    else:
        inner = (codes & 0xC0) == 0x80
        begins = ~inner
        kinds = kinds.copy()
        marks = np.flatnonzero(codes == 0xE3)
        kinds[marks[codes[marks + 1] == 0x80]] = _SEPARATOR  # 、。「」 and the wide space
        behind = np.flatnonzero(inner)
        for _ in range(3):  # a character has at most three bytes behind its first
            kinds[behind] = kinds[behind - 1]
        word, single = kinds == _WORD, kinds == _WIDE
        before, after = np.roll(word, 1), np.roll(word, -1)
        next_begins = np.roll(begins, -1)
        starts = np.flatnonzero((word & ~before) | (single & begins))
        ends = np.flatnonzero((word & ~after) | (single & next_begins)) + 1
        wide = single[starts]
    return Tokens(data, bounds, codes, starts, ends, wide, np.searchsorted(starts, bounds))

"""Lines, paragraphs and words between spaces of a batch of texts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from trainwright.corpus.tokens import Places, Tokens, runs

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]

_LETTERS = bytes(code >= 128 or chr(code).isalpha() for code in range(256))
_VISIBLE = bytes(code > 32 for code in range(256))


def _codes(signs: str) -> npt.NDArray[np.uint32]:
    """Return the last three bytes of signs as one number each, those of ASCII alone."""
    return np.array([int.from_bytes(sign.encode()[-3:], "big") for sign in signs], dtype=np.uint32)


_TERMINAL = _codes(".!?\"'”’“»«›‹。！？…」』）)；;।॥۔؟؛།༎။។៕։՜՞።")
"""Latin, Chinese, Hindi (। ॥), Urdu and Arabic (۔ ؟ ؛), Tibetan, Burmese, Khmer, Armenian, Amharic."""
_ELLIPSES = _codes("…")
_CODE_ENDS = _codes("{};)")
_BULLETS = _codes("-*•‣●◦▪·")


@dataclass(frozen=True)
class Lines:
    """Lines that are not blank, without the spaces around them.

    Attributes:
        tokens: the batch.
        starts: where each line begins, int64 [lines].
        ends: where it ends.
        text: the text it is in.
        words: words between spaces of each text, int64 [texts].
        word_bytes: bytes of these words.
        alphabetic: words among them that hold a letter.
    """

    tokens: Tokens
    starts: Places
    ends: Places
    text: Places
    words: Places
    word_bytes: Places
    alphabetic: Places

    @cached_property
    def count(self) -> Places:
        """Lines of each text."""
        return np.bincount(self.text, minlength=self.tokens.num_texts)

    def share(self, flags: Flags) -> Numbers:
        """Return the share of each text's lines for which something holds."""
        found = np.bincount(self.text[flags], minlength=self.tokens.num_texts)
        return np.divide(found, self.count, out=np.zeros(len(found)), where=self.count > 0)

    def _byte(self, back: int) -> npt.NDArray[np.uint32]:
        return self.tokens.codes[np.maximum(self.ends - back, self.starts)].astype(np.uint32)

    @cached_property
    def _last(self) -> npt.NDArray[np.uint32]:
        last, before = self._byte(1), self._byte(2)
        pair = (before << 8) | last
        return np.where(last < 128, last, np.where(before >= 0xC0, pair, (self._byte(3) << 16) | pair))

    @cached_property
    def terminal(self) -> Flags:
        """Whether a line ends as a sentence does."""
        return np.isin(self._last, _TERMINAL)

    @cached_property
    def ends_like_code(self) -> Flags:
        """Whether a line ends as lines of programs do."""
        return np.isin(self._last, _CODE_ENDS)

    @cached_property
    def ellipsis(self) -> Flags:
        """Whether a line ends in an ellipsis."""
        dots = (self._byte(1) == 46) & (self._byte(2) == 46) & (self._byte(3) == 46)
        found = dots & (self.ends - self.starts >= 3) | np.isin(self._last, _ELLIPSES)
        return np.asarray(found)

    @cached_property
    def bullet(self) -> Flags:
        """Whether a line begins as an item of a list does."""
        codes, most = self.tokens.codes, len(self.tokens.codes) - 1
        first = codes[self.starts].astype(np.uint32)
        second = codes[np.minimum(self.starts + 1, most)].astype(np.uint32)
        third = codes[np.minimum(self.starts + 2, most)].astype(np.uint32)
        pair, triple = (first << 8) | second, (first << 16) | (second << 8) | third
        return np.isin(np.where(first < 128, first, np.where(first < 0xE0, pair, triple)), _BULLETS)

    @cached_property
    def duplicate(self) -> tuple[Numbers, Numbers]:
        """Share of each text's lines that have come before in it, and of its characters in them."""
        return self._again(self.starts, self.ends, self.text)

    @cached_property
    def duplicate_paragraphs(self) -> tuple[Numbers, Numbers]:
        """The same of paragraphs: lines between blank ones."""
        starts, ends, text = self.paragraphs
        return self._again(starts, ends, text)

    @cached_property
    def paragraphs(self) -> tuple[Places, Places, Places]:
        """Where paragraphs begin and end, and the text that they are in."""
        if not len(self.starts):
            return self.starts, self.ends, self.text
        newlines = np.flatnonzero(self.tokens.codes == 10)
        row = np.searchsorted(newlines, self.starts)
        new = np.ones(len(self.starts), dtype=bool)
        new[1:] = (np.diff(row) > 1) | (np.diff(self.text) > 0)
        heads = np.flatnonzero(new)
        lasts = np.append(heads[1:], len(new)) - 1
        return self.starts[heads], self.ends[lasts], self.text[heads]

    def _again(self, starts: Places, ends: Places, text: Places) -> tuple[Numbers, Numbers]:
        number = self.tokens.num_texts
        if not len(starts):
            return np.zeros(number), np.zeros(number)
        hashes = self.tokens.hashes_of(starts, ends)
        order = np.lexsort((hashes, text))
        same = (np.diff(hashes[order]) == 0) & (np.diff(text[order]) == 0)
        again = order[1:][same]
        counts = np.bincount(text, minlength=number)
        sizes = np.maximum(np.diff(self.tokens.bounds) - 1, 1)
        covered = np.bincount(text[again], weights=(ends - starts)[again], minlength=number)
        share = np.bincount(text[again], minlength=number) / np.maximum(counts, 1)
        return share, covered / sizes


def lines_of(tokens: Tokens) -> Lines:
    """Find the lines and the words between spaces of a batch."""
    codes = tokens.codes
    begins, ends = runs(np.frombuffer(tokens.data.translate(_VISIBLE), dtype=np.uint8))
    letters = np.zeros(len(codes) + 1, dtype=np.int32)
    np.cumsum(np.frombuffer(tokens.data.translate(_LETTERS), dtype=np.uint8), out=letters[1:])
    has_letter = np.concatenate([[0], np.cumsum(letters[ends] > letters[begins])])
    lengths = np.concatenate([[0], np.cumsum(ends - begins)])
    owner = np.searchsorted(begins, tokens.bounds)
    newlines = np.flatnonzero(codes == 10)
    first = np.searchsorted(begins, np.concatenate([[0], newlines[:-1] + 1]))
    behind = np.searchsorted(begins, newlines)
    full = behind > first
    starts, line_ends = begins[first[full]], ends[behind[full] - 1]
    return Lines(
        tokens,
        starts,
        line_ends,
        tokens.texts_at(starts),
        np.diff(owner),
        np.diff(lengths[owner]),
        np.diff(has_letter[owner]),
    )

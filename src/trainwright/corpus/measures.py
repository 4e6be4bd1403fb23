"""What the rules of quality judge by: counts and shares of each text of a batch.

Fractions of repetition follow Rae et al. 2021, 'Scaling language models: methods, analysis & insights from
training Gopher', A1.1. All are computed over the bytes of the batch; only texts in which n-grams come again
so often that a rule could speak are looked at once more, n-gram by n-gram.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from trainwright.corpus.lines import Lines, lines_of
from trainwright.corpus.minhash import GRAM, repeated
from trainwright.corpus.tokens import Hashes, Places, Tokens

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher's: English text of 50 words without two of them is no text."""

CHARACTERS_PER_WORD = 1.5
"""Of Chinese and Japanese: so that "50 words" means about as much text."""

JOINED_CHARACTERS_PER_WORD = 5
"""Of Thai and other scripts without spaces, with their marks."""

_AGAIN = 1 / 200
"""Where fewer n-grams come again, they cannot cover a tenth of the text."""

_LEAST = 0.05

_LEAST_TOP = 0.16
"""The smallest share of a top n-gram that a rule speaks of."""

_TERMINAL = np.zeros(256, dtype=bool)
_TERMINAL[[ord(sign) for sign in ".!?"]] = True
_CLOSES = np.zeros(256, dtype=bool)
_CLOSES[[*range(33), *(ord(sign) for sign in "\"')]*_"), 0xE2]] = True


@dataclass(frozen=True)
class Measures:
    """Measures of each text of a batch; arrays are [texts].

    Attributes:
        tokens: the words of the batch.
        keys: their sorted n-grams (`minhash.sorted_grams`).
        markdown: whether it is Markdown, in which marks of structure mean no harm.
        english: whether it is English.
    """

    tokens: Tokens
    keys: Hashes
    markdown: Flags
    english: Flags

    @cached_property
    def lines(self) -> Lines:
        """The lines that are not blank."""
        return lines_of(self.tokens)

    @cached_property
    def words(self) -> Numbers:
        """Words between spaces; of scripts without spaces, characters by those of a word."""
        spaced = self.lines.words.astype(np.float64)
        unspaced = np.where(self.joined, self.tokens.characters / JOINED_CHARACTERS_PER_WORD, spaced)
        return np.where(self.tokens.cjk, self.tokens.counts / CHARACTERS_PER_WORD, unspaced)

    @cached_property
    def joined(self) -> Flags:
        """Whether a text is mostly Thai, Lao, Tibetan, Burmese or Khmer: words without spaces between."""
        data, codes = self.tokens.data, self.tokens.codes
        if b"\xe0" not in data and b"\xe1" not in data:
            return np.zeros(self.tokens.num_texts, dtype=bool)
        second = np.append(codes[1:], np.uint8(0))
        thai_to_tibetan = (codes == 0xE0) & (second >= 0xB8)
        burmese = (codes == 0xE1) & (second >= 0x80) & (second <= 0x82)
        khmer = (codes == 0xE1) & ((second == 0x9E) | (second == 0x9F))
        found = self._counted(np.flatnonzero(thai_to_tibetan | burmese | khmer))
        return np.asarray(2 * found > self.tokens.characters)

    @cached_property
    def line_length(self) -> Numbers:
        """Mean bytes of a line that is not blank."""
        sizes = np.bincount(
            self.lines.text, weights=self.lines.ends - self.lines.starts, minlength=self.tokens.num_texts
        )
        return _share(sizes, self.lines.count)

    @cached_property
    def word_length(self) -> Numbers:
        """Mean characters of a word."""
        num_bytes = np.diff(self.tokens.bounds) - 1
        spaces = num_bytes - self.lines.word_bytes
        return _share(self.tokens.characters - spaces, self.lines.words)

    @cached_property
    def alphabetic(self) -> Numbers:
        """Share of words that hold a letter."""
        return _share(self.lines.alphabetic, self.lines.words)

    @cached_property
    def code(self) -> Flags:
        """Whether it looks like a program: three lines in ten end as lines of programs do."""
        return (self.lines.count >= 3) & (self.lines.share(self.lines.ends_like_code) >= 0.3)

    @cached_property
    def prose(self) -> Flags:
        """Whether it is neither Markdown nor a program."""
        return ~self.markdown & ~self.code

    @cached_property
    def symbols(self) -> Numbers:
        """Number signs and ellipses for each word; in Markdown `#` is a heading."""
        hashes = np.where(self.markdown, 0, self.count(b"#"))
        return _share(hashes + self.count(b"...") + self.count("…".encode()), self.words)

    @cached_property
    def stop_words(self) -> Places:
        """Different stop words of English."""
        present = np.zeros(self.tokens.num_texts, dtype=np.int64)
        for word in _STOP_HASHES:
            places = np.flatnonzero(self.tokens.hashes == word)
            present[np.unique(self.tokens.text_of[places])] += 1
        return present

    @cached_property
    def sentences(self) -> Places:
        """Signs that end a sentence, with a space or a closing sign behind them."""
        codes = self.tokens.codes
        marks = np.flatnonzero(_TERMINAL[codes[:-1]])
        marks = marks[_CLOSES[codes[marks + 1]]]
        counts = np.bincount(self.tokens.texts_at(marks), minlength=self.tokens.num_texts)
        return np.asarray(counts + sum(self.count(sign.encode()) for sign in "。！？"))

    @cached_property
    def braces(self) -> Numbers:
        """Share of characters that are curly brackets."""
        return _share(self.count(b"{") + self.count(b"}"), self.tokens.characters)

    @cached_property
    def lower(self) -> bytes:
        """The batch in lower case, in ASCII."""
        return self.tokens.data.lower()

    def count(self, pattern: bytes) -> Places:
        """Return how often bytes stand in each text."""
        return self._counted(places(self.tokens.data, pattern))

    def says(self, *phrases: bytes) -> Places:
        """Return how many places of each text hold one of some phrases, in whatever case."""
        return self._counted(np.concatenate([places(self.lower, phrase) for phrase in phrases]))

    def lines_that_say(self, *phrases: bytes) -> Numbers:
        """Return the share of lines that hold one of some phrases."""
        found = np.concatenate([places(self.lower, phrase) for phrase in phrases])
        said = np.zeros(len(self.lines.starts), dtype=bool)
        said[np.searchsorted(self.lines.starts, found, side="right") - 1] = True
        return self.lines.share(said) if len(found) else np.zeros(self.tokens.num_texts)

    def _counted(self, found: Places) -> Places:
        if not len(found):
            return np.zeros(self.tokens.num_texts, dtype=np.int64)
        return np.asarray(np.bincount(self.tokens.texts_at(found), minlength=self.tokens.num_texts))

    @cached_property
    def _content_bytes(self) -> Places:
        return np.asarray(np.maximum(np.diff(self.tokens.bounds) - 1, 1))

    @cached_property
    def _repeats(self) -> Flags:
        """Texts of which n-grams come again often enough to look closer."""
        again = repeated(self.keys, self.tokens.num_texts)
        return (again >= _AGAIN * self.tokens.counts) & (self.tokens.counts > GRAM) & (again > 0)

    def _size(self, size: int, texts: Flags) -> list[tuple[int, Flags]]:
        # n words say about as much as 2n characters.
        cjk = self.tokens.cjk
        return [(size, texts & ~cjk), (2 * size, texts & cjk)]

    def top_gram(self, size: int) -> Numbers:
        """Return the share of each text that its most frequent n-gram covers, where it comes again."""
        result = np.zeros(self.tokens.num_texts)
        for n, texts in self._size(size, self._most_of_a_pair > 1):
            begins, hashes = self.tokens.grams(n, of=texts & self._may_cover(n))
            if not len(begins):
                continue
            owner = self.tokens.text_of[begins]
            order, same = _sorted(owner, hashes)
            heads = np.flatnonzero(np.concatenate([[True], ~same]))
            counts = np.diff(np.append(heads, len(order)))
            first = begins[order][heads]
            covered = counts * (self.tokens.ends[first + n - 1] - self.tokens.starts[first])
            shares = np.where(counts > 1, covered, 0) / self._content_bytes[owner[order][heads]]
            np.maximum.at(result, owner[order][heads], shares)
        return result

    def _may_cover(self, n: int) -> Flags:
        """Return the texts of which one n-gram could cover as much as a rule speaks of.

        It comes no more often than the most frequent pair, and is no longer than the longest n-gram.
        """
        starts, ends = self.tokens.starts, self.tokens.ends
        longest = np.zeros(self.tokens.num_texts, dtype=np.int64)
        if len(starts) >= n:
            spans = np.zeros(len(starts), dtype=np.int64)
            # The last ones of a text reach into the next: longer than any of its own at worst.
            spans[: len(starts) - n + 1] = ends[n - 1 :] - starts[: len(starts) - n + 1]
            has_any = self.tokens.counts > 0
            longest[has_any] = np.maximum.reduceat(spans, self.tokens.first[:-1][has_any])
        return np.asarray(self._most_of_a_pair * longest >= _LEAST_TOP * self._content_bytes)

    @cached_property
    def _most_of_a_pair(self) -> Places:
        """How often the most frequent pair of words, or of characters, comes in each text."""
        begins, hashes = self.tokens.grams(2)
        keys = _keys(self.tokens.text_of[begins], hashes)
        keys.sort()
        heads = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))
        counts = np.diff(np.append(heads, len(keys)))
        most = np.zeros(self.tokens.num_texts, dtype=np.int64)
        np.maximum.at(most, (keys[heads] >> np.uint64(48)).astype(np.int64), counts)
        return most

    def repeated_grams(self, size: int) -> Numbers:
        """Return the share of each text that n-grams cover which came before in it.

        Longer n-grams cover no more than 5-grams do, and are looked for only where these cover a twentieth.
        """
        if size == GRAM:
            return self._repeated_shortest
        return self._repeated(size, self._repeated_shortest >= _LEAST)

    @cached_property
    def _repeated_shortest(self) -> Numbers:
        return self._repeated(GRAM, self._repeats)

    def _repeated(self, size: int, looked_at: Flags) -> Numbers:
        result = np.zeros(self.tokens.num_texts)
        for n, texts in self._size(size, looked_at):
            begins, hashes = self.tokens.grams(n, of=texts)
            if not len(begins):
                continue
            owner = self.tokens.text_of[begins]
            order, same = _sorted(owner, hashes)
            repeats = np.sort(begins[order][1:][same])  # the first of each stays out
            if not len(repeats):
                continue
            # Stretches overlap: each token counts once, with the space behind it.
            edges = np.zeros(len(self.tokens.starts) + 1, dtype=np.int64)
            np.add.at(edges, repeats, 1)
            np.add.at(edges, repeats + n, -1)
            covered = np.flatnonzero(np.cumsum(edges[:-1]) > 0)
            following = np.append(self.tokens.starts[1:], len(self.tokens.codes))
            last = np.flatnonzero(np.diff(self.tokens.text_of, append=-1))
            following[last] = self.tokens.ends[last]
            lengths = following[covered] - self.tokens.starts[covered]
            owners = self.tokens.text_of[covered]
            result += np.bincount(owners, weights=lengths, minlength=len(result)) / self._content_bytes
        return result


def places(data: bytes, pattern: bytes) -> Places:
    """Return where bytes stand in others."""
    found: list[int] = []
    place = data.find(pattern)
    while place >= 0:
        found.append(place)
        place = data.find(pattern, place + len(pattern))
    return np.array(found, dtype=np.int64)


def _keys(texts: Places, hashes: Hashes) -> Hashes:
    """Return text and 48 bits of hash in one number: sorting that is many times as fast as sorting both."""
    return (texts.astype(np.uint64) << np.uint64(48)) | (hashes >> np.uint64(16))


def _sorted(texts: Places, hashes: Hashes) -> tuple[Places, Flags]:
    """Return an order in which equal n-grams of a text stand together, and which are like the one before."""
    keys = _keys(texts, hashes)
    order = np.argsort(keys, kind="stable")
    return order, keys[order][1:] == keys[order][:-1]


def _share(part: Places | Numbers, whole: Places | Numbers) -> Numbers:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=np.asarray(whole) > 0)


def word_hashes(words: Sequence[str]) -> Hashes:
    """Return the hashes that words have as tokens."""
    from trainwright.corpus.tokens import tokens_of

    return tokens_of([" ".join(words).encode()]).hashes


_STOP_HASHES = word_hashes(STOP_WORDS)

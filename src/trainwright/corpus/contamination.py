"""Texts of evaluation sets in a corpus, found by n-grams (Brown et al. 2020, GPT-3, appendix C).

An evaluation set becomes the hashes of its n-grams: 13 words, or 20 characters where more of them are of
Chinese and Japanese. A text that holds one of them has met the set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainwright.corpus.document import Document
from trainwright.corpus.ledger import Ledger
from trainwright.corpus.repair import repaired
from trainwright.corpus.tokens import Hashes, Places, Tokens, tokens_of

_TABLE_BITS = 22
_BATCH_BYTES = 1 << 20
_FEW = 1 << 20
"""Hashes that are not worth to be sorted alone."""
MOST_SETS = 250


@dataclass(frozen=True)
class Found:
    """Where a batch meets evaluation sets.

    Attributes:
        texts: the text of each place.
        begins: byte of `Tokens.data` at which the n-gram begins.
        ends: byte at which it ends.
        sets: number of the set.
    """

    texts: Places
    begins: Places
    ends: Places
    sets: npt.NDArray[np.uint8]


class Contamination:
    """n-grams of evaluation sets.

    Args:
        hashes: sorted, uint64 [n-grams].
        sets: number of the set of each, uint8 [n-grams].
        names: what the sets are called.
        words: words of an n-gram.
        characters: characters of an n-gram of Chinese and Japanese.
    """

    def __init__(
        self,
        hashes: Hashes,
        sets: npt.NDArray[np.uint8],
        *,
        names: tuple[str, ...],
        words: int,
        characters: int,
    ) -> None:
        self.hashes, self.sets, self.names = hashes, sets, names
        self.words, self.characters = words, characters
        # Most n-grams of a corpus are in no set: a look at one bit spares the search.
        self._table = np.zeros(1 << _TABLE_BITS, dtype=bool)
        self._table[hashes >> np.uint64(64 - _TABLE_BITS)] = True

    def find(self, tokens: Tokens) -> Found:
        """Return the n-grams of a batch that are in a set."""
        found = []
        for size, wide in ((self.words, False), (self.characters, True)):
            begins, hashes = tokens.grams(size, of=_may_hold(tokens, size, wide=wide))
            maybe = np.flatnonzero(self._table[hashes >> np.uint64(64 - _TABLE_BITS)])
            begins, hashes = begins[maybe], hashes[maybe]
            at = np.minimum(np.searchsorted(self.hashes, hashes), max(len(self.hashes) - 1, 0))
            hit = self.hashes[at] == hashes if len(self.hashes) else np.zeros(0, dtype=bool)
            hit &= _is_wide(tokens, begins, size) == wide
            begins, at = begins[hit], at[hit]
            found.append(
                (tokens.text_of[begins], tokens.starts[begins], tokens.ends[begins + size - 1], self.sets[at])
            )
        texts_at, starts, ends, sets = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return Found(texts_at, starts, ends, sets)

    def save(self, path: Path) -> None:
        """Write it for other processes to read."""
        with path.open("wb") as stream:
            np.savez(
                stream,
                hashes=self.hashes,
                sets=self.sets,
                names=np.array(self.names, dtype=np.str_),
                sizes=np.array([self.words, self.characters]),
            )

    @classmethod
    def load(cls, path: Path) -> Contamination:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            words, characters = map(int, stored["sizes"])
            names = tuple(map(str, stored["names"]))
            return cls(stored["hashes"], stored["sets"], names=names, words=words, characters=characters)


def learn(
    sets: Mapping[str, Iterable[Document]], *, words: int, characters: int
) -> tuple[Contamination, dict[str, dict[str, int]]]:
    """Take the n-grams of evaluation sets.

    Args:
        sets: name → its texts.
        words: words of an n-gram.
        characters: characters of an n-gram of Chinese and Japanese.

    Returns:
        The n-grams, and for each set how many texts and n-grams it has and how many texts are too short to
        have one.
    """
    hashes: list[Hashes] = []
    owners: list[npt.NDArray[np.uint8]] = []
    told: dict[str, dict[str, int]] = {}
    for number, (name, documents) in enumerate(sets.items()):
        found = _Different()
        num_texts = num_short = 0
        for batch in _batches(documents):
            tokens = tokens_of(batch)
            has_any = np.zeros(len(batch), dtype=bool)
            for size, wide in ((words, False), (characters, True)):
                begins, grams = tokens.grams(size, of=_may_hold(tokens, size, wide=wide))
                own = _is_wide(tokens, begins, size) == wide
                has_any[tokens.text_of[begins[own]]] = True
                found.add(grams[own])
            num_texts += len(batch)
            num_short += int((~has_any).sum())
        different = found.all()
        told[name] = {"texts": num_texts, "too_short": num_short, "n_grams": len(different)}
        hashes.append(different)
        owners.append(np.full(len(different), number, dtype=np.uint8))
    every = np.concatenate(hashes) if hashes else np.zeros(0, dtype=np.uint64)
    sets_of = np.concatenate(owners) if owners else np.zeros(0, dtype=np.uint8)
    order = np.argsort(every, kind="stable")
    made = Contamination(every[order], sets_of[order], names=tuple(sets), words=words, characters=characters)
    return made, told


class _Different:
    """Hashes that are collected, each kept once.

    Those that are new are sorted in when they are more than those that are there: so all are sorted a few
    times, however many there are, and what is held is at most twice what is kept.
    """

    def __init__(self) -> None:
        self._sorted = np.zeros(0, dtype=np.uint64)
        self._new: list[Hashes] = []
        self._num_new = 0

    def add(self, hashes: Hashes) -> None:
        self._new.append(hashes)
        self._num_new += len(hashes)
        if self._num_new > max(len(self._sorted), _FEW):
            self.all()

    def all(self) -> Hashes:
        """Return all hashes, sorted."""
        self._sorted = np.unique(np.concatenate([self._sorted, *self._new]))
        self._new, self._num_new = [], 0
        return self._sorted


def _may_hold(tokens: Tokens, size: int, *, wide: bool) -> npt.NDArray[np.bool_]:
    """Return the texts with enough words, or characters of Chinese and Japanese, for an n-gram of them."""
    characters = tokens.total(tokens.wide)
    return np.asarray(2 * (characters if wide else tokens.counts - characters) >= size)


def _is_wide(tokens: Tokens, begins: Places, size: int) -> npt.NDArray[np.bool_]:
    """Return whether more of each n-gram's tokens are characters of Chinese and Japanese than words.

    It is the n-gram that tells how long it must be, and not the text around it: a question in English may
    stand in a page in Chinese.
    """
    sums = np.concatenate([[0], np.cumsum(tokens.wide)])
    return np.asarray(2 * (sums[begins + size] - sums[begins]) > size)


def without(data: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    """Return bytes without some stretches; those that overlap go together, and a line end stands for each."""
    kept, behind = [], 0
    for begin, end in sorted(spans):
        if begin > behind:
            kept.append(data[behind:begin].strip())
        behind = max(behind, end)
    kept.append(data[behind:].strip())
    # A question mark alone is nothing that stays.
    return b"\n".join(part for part in kept if any(map(str.isalnum, part.decode(errors="ignore"))))


def _batches(documents: Iterable[Document]) -> Iterable[list[bytes]]:
    held: list[bytes] = []
    size = 0
    for document in documents:
        held.append(repaired(document.text, Ledger()))
        size += len(held[-1])
        if size >= _BATCH_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held

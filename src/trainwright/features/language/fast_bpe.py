"""The ids of a byte-level BPE several times as soon, by tiktoken.

`tokenizers` joins listed pairs of neighbours, tiktoken any whose union is a token, both in the order of
the list. They agree where every token, cut by itself, is itself: which neighbours a span comes to does not
depend on what stands around it, so two whose union is a token are those of which the list makes it. This is
checked for each vocabulary. Which characters are letters and digits is settled for those that are cut here;
texts with others, whose ids might depend on a library's version of Unicode, are left to `tokenizers`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trainwright.features.language.words import byte_letters
from trainwright.foundation.devices import num_cpus

if TYPE_CHECKING:
    from tiktoken import Encoding
    from tokenizers import Tokenizer

Ids = npt.NDArray[np.int32]

WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""GPT-4's words, but no more than three digits together, so that numbers are read alike; also Llama 3's."""
_QWEN = WORDS.replace(r"\p{N}{1,3}", r"\p{N}")
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# Digits are cut out first: white space before one stands at the end of its piece.
_DIGITS_APART = _GPT2.replace(r" ?\p{N}+", r"\p{N}").replace(r"(?!\S)", r"(?![^\s\p{N}])")

_UNSETTLED = (
    r"[^\x{0}-\x{52F}\x{2000}-\x{2BFF}\x{3000}-\x{30FF}\x{3400}-\x{4DB5}\x{4E00}-\x{9FEF}\x{AC00}-\x{D7A3}"
    r"\x{FF00}-\x{FFEF}\x{1F300}-\x{1FAFF}]"
)
"""No letter or digit was added to these blocks since Unicode 12 (2019)."""
_LONGEST = 1 << 17
"""Characters of a text: tiktoken gives up on a run of white space of a million."""
_AT_ONCE = 64


class FastBPE:
    """A byte-level BPE by tiktoken.

    Args:
        backend: gives the ids of texts that tiktoken is not trusted with.
        encoding: gives the ranks of tokens.
        ids: rank → id, int32; -1 for bytes that the vocabulary lacks.
    """

    def __init__(self, backend: Tokenizer, encoding: Encoding, ids: Ids) -> None:
        self._backend = backend
        self._encoding = encoding
        self._ids = ids

    @classmethod
    def of(cls, backend: Tokenizer) -> FastBPE | None:
        """Return what gives the same ids as a tokenizer, or None where that is not certain."""
        from tiktoken import Encoding

        state = json.loads(backend.to_str())
        words = _words(state)
        found = None if words is None else _ranks(backend, state["model"], state["added_tokens"])
        if words is None or found is None:
            return None
        ranks, ids = found
        return cls(backend, Encoding("bpe", pat_str=words, mergeable_ranks=ranks, special_tokens={}), ids)

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Return the ids of some texts; what looks like a special token is text."""
        covered = np.flatnonzero(self.covers(texts)).tolist()
        groups = [covered[first : first + _AT_ONCE] for first in range(0, len(covered), _AT_ONCE)]
        found: list[Ids | None] = [None] * len(texts)
        with ThreadPoolExecutor(num_cpus()) as pool:
            for numbers, some in zip(
                groups, pool.map(lambda group: self._some(texts, group), groups), strict=True
            ):
                for number, ids in zip(numbers, some, strict=True):
                    found[number] = ids
        self._backend.encode_special_tokens = True
        left = [text for text, ids in zip(texts, found, strict=True) if ids is None]
        others = iter(self._backend.encode_batch_fast(left, add_special_tokens=False))
        return [np.asarray(next(others).ids, dtype=np.int32) if ids is None else ids for ids in found]

    def covers(self, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which texts tiktoken is trusted with, bool [texts]."""
        import polars as pl

        series = pl.Series(texts, dtype=pl.String)
        short = series.str.len_chars() <= _LONGEST
        return (short & ~series.str.contains(_UNSETTLED)).to_numpy()

    def _some(self, texts: Sequence[str], numbers: Sequence[int]) -> list[Ids | None]:
        """Return the ids of some of the texts; None for one with a byte that the vocabulary lacks."""
        cut = self._encoding.encode_to_numpy
        made = [self._ids[cut(texts[number], disallowed_special=())] for number in numbers]
        return [None if len(ids) and ids.min() < 0 else ids for ids in made]


def _words(state: Mapping[str, Any]) -> str | None:
    """Return the pattern by which a tokenizer cuts words, where it is one that both libraries read alike."""
    before = state.get("pre_tokenizer") or {}
    steps = before["pretokenizers"] if before.get("type") == "Sequence" else [before]
    *first, level = steps
    if state.get("normalizer") or level.get("type") != "ByteLevel" or level.get("add_prefix_space"):
        return None
    match first, level.get("use_regex", True):
        case [], True:
            return _GPT2
        case [{"type": "Digits", "individual_digits": True}], True:
            return _DIGITS_APART
        case [{"type": "Split", "pattern": {"Regex": words}, "behavior": "Isolated", "invert": False}], False:
            return words if words in {WORDS, _QWEN, _GPT2} else None
        case _:
            return None


def _ranks(
    backend: Tokenizer, model: Mapping[str, Any], added: Sequence[Mapping[str, Any]]
) -> tuple[dict[bytes, int], Ids] | None:
    """Return bytes → rank and rank → id of a byte-level BPE; None where tiktoken might join others."""
    odd = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges")
    if model.get("type") != "BPE" or any(model.get(name) for name in (*odd, "byte_fallback")):
        return None
    if not all(token["special"] for token in added):  # what is added and not special is found in plain text
        return None
    letters, vocabulary = byte_letters(), model["vocab"]
    single = sorted(letters, key=letters.__getitem__)
    joined = ["".join(pair) for pair in model["merges"]]
    if len({*joined}) < len(joined) or not letters.keys() >= {*"".join(joined)}:
        return None
    cut = backend.model.tokenize
    if any(len(cut(token)) != 1 for token in joined):
        return None
    tokens = single + joined
    ranks = {bytes(letters[letter] for letter in token): rank for rank, token in enumerate(tokens)}
    return ranks, np.array([vocabulary.get(token, -1) for token in tokens], dtype=np.int32)

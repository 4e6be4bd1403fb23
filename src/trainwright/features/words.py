"""Byte-level BPE over words: trained from counts, applied to each different word once.

Natural text repeats its words, so tokenising each different piece once and gathering the rest is many times
as fast as tokenising every row.
"""

from __future__ import annotations

import threading
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from trainwright.data.encoded import Ragged
from trainwright.features.pieces import PATTERN, cut

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Array = npt.NDArray[Any]

PAD = 0
"""Id of the padding token."""
LONGEST_TOKEN = 32
"""Bytes of a token at most, so that the tokens of a text can be bounded by its length."""
_COUNTED = 256
"""Uses of a piece beyond which it counts no more in training: it has long become a token by then."""
_BATCH_CHARACTERS = 8_000_000
_MOST_KNOWN = 500_000
"""Pieces whose tokens are kept: some 30 MB."""


def normalised(texts: pl.Series, *, lowercase: bool) -> pl.Series:
    """Return texts in NFC, in lower case if asked."""
    beyond_ascii = (texts.str.len_chars() != texts.str.len_bytes()).arg_true()
    if len(beyond_ascii):
        # scatter changes a column in place, and this one is the caller's.
        texts = texts.clone().scatter(beyond_ascii, texts.gather(beyond_ascii).str.normalize("NFC"))
    return texts.str.to_lowercase() if lowercase else texts


def train_tokenizer(texts: pl.Series, *, vocabulary: int, min_frequency: int, lowercase: bool) -> Tokenizer:
    """Return a byte-level BPE tokenizer trained on normalised texts; the same texts give the same tokenizer.

    Args:
        texts: strings, nulls left out.
        vocabulary: tokens at most, 257 at least: padding and one for every byte.
        min_frequency: times a pair of tokens must come to become one.
        lowercase: whether the tokenizer itself lowers case; `texts` are so already.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    frame = _counted(texts)
    times = frame["len"].clip(upper_bound=_COUNTED)
    repeated = frame.select(pl.col("piece").repeat_by(times)).to_series().explode(empty_as_null=False)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = byte_level
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=min_frequency,
        special_tokens=["[PAD]"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=LONGEST_TOKEN,
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        (part["piece"].to_list() for part in repeated.to_frame().iter_slices(10_000)), trainer
    )
    lower = [normalizers.Lowercase()] if lowercase else []
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), *lower])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), "isolated"), byte_level]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _counted(texts: pl.Series) -> pl.DataFrame:
    """Return how often each piece comes, by alphabet: columns "piece" and "len"."""
    parts = []
    for part in in_batches(texts):
        pieces = cut(part)
        counts = np.bincount(pieces.place, minlength=len(pieces.different))
        parts.append(pl.DataFrame({"piece": pieces.different, "len": counts}))
    empty = pl.DataFrame(schema={"piece": pl.String, "len": pl.Int64})
    return pl.concat([empty, *parts]).group_by("piece").agg(pl.col("len").sum()).sort("piece")


class KnownPieces:
    """The tokens of pieces that were met before; several threads may ask.

    Args:
        tokenizer: gives the tokens of a piece that is new.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._pieces = pl.DataFrame(schema={"piece": pl.String, "at": pl.Int64})
        self._tokens = _NONE
        self._lock = threading.Lock()

    def encode(self, texts: pl.Series) -> Ragged:
        """Return the tokens of texts, int32; null has none."""
        return _end_to_end([self._encode(part) for part in in_batches(texts)])

    def _encode(self, texts: pl.Series) -> Ragged:
        pieces = cut(texts)
        tokens = self._tokens_of(pieces.different).take(pieces.place)
        return Ragged(tokens.values, tokens.offsets[pieces.offsets])

    def _tokens_of(self, different: pl.Series) -> Ragged:
        wanted = different.alias("piece").to_frame()
        with self._lock:  # what two threads miss is tokenised once, by as many threads as there are
            at = wanted.join(self._pieces, on="piece", how="left", maintain_order="left")["at"]
            new = different.filter(at.is_null())
            tokens = self._tokens
            if len(new):
                tokens = _end_to_end([tokens, flat_tokens(self._tokenizer, new)])
                places = pl.int_range(len(self._tokens.offsets) - 1, len(tokens.offsets) - 1, eager=True)
                at = at.scatter(at.is_null().arg_true(), places)
                if len(tokens.offsets) <= _MOST_KNOWN and len(tokens.values) <= 4 * _MOST_KNOWN:
                    self._pieces = pl.concat([self._pieces, pl.DataFrame({"piece": new, "at": places})])
                    self._tokens = tokens
        return tokens.take(at.to_numpy())


def encode_by_rows(tokenizer: Tokenizer, texts: pl.Series) -> Ragged:
    """Return the tokens of texts, int32, by a tokenizer that cuts words in its own way; null has none."""
    return _end_to_end([flat_tokens(tokenizer, part.fill_null("")) for part in in_batches(texts)])


def flat_tokens(tokenizer: Tokenizer, texts: pl.Series) -> Ragged:
    """Return the tokens of texts without null, int32."""
    encodings = tokenizer.encode_batch_fast(texts.to_list(), add_special_tokens=False)
    ids = [encoding.ids for encoding in encodings]
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    values = np.fromiter(chain.from_iterable(ids), np.int32, int(lengths.sum()))
    return Ragged(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def in_batches(texts: pl.Series) -> list[pl.Series]:
    """Return some million characters at a time, so that memory does not follow the length of the texts."""
    if not len(texts):
        return []
    characters = texts.str.len_chars().fill_null(0).cast(pl.Int64).cum_sum().to_numpy()
    batch = characters // _BATCH_CHARACTERS
    starts = np.flatnonzero(np.diff(batch, prepend=-1))
    return [texts[start:end] for start, end in zip(starts, [*starts[1:], len(texts)], strict=True)]


_NONE = Ragged(np.zeros(0, dtype=np.int32), np.zeros(1, dtype=np.int64))


def _end_to_end(parts: list[Ragged]) -> Ragged:
    parts = [_NONE, *parts]
    lengths = np.concatenate([part.lengths for part in parts])
    return Ragged(
        np.concatenate([part.values for part in parts]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )

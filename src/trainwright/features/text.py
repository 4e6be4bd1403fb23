"""Text: byte-level BPE trained on the training rows, or the tokenizer of a pretrained model."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pydantic import Field

from trainwright.data.values import as_text
from trainwright.features.base import FEATURES, Array, Context, Encoded, FeatureOptions, Ragged
from trainwright.features.learned import LearnedFeature, LearnedInput
from trainwright.features.pretrained_tokenizer import load_tokenizer
from trainwright.features.words import (
    LONGEST_TOKEN,
    PAD,
    KnownPieces,
    encode_by_rows,
    normalised,
    train_tokenizer,
)
from trainwright.foundation.errors import RecipeError
from trainwright.foundation.random import numpy_stream

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_AUTO_VOCABULARY = 16_384
_AUTO_TOKENS = 512
_FIT_CHARACTERS = 30_000_000
"""Characters a tokenizer is trained on at most, some ten seconds: its tokens hardly change beyond."""
_LENGTH_ROWS = 20_000
_PRETRAINED_CHARACTERS = 64
"""Characters of a text that are read for each token a pretrained tokenizer may give."""


class TextOptions(FeatureOptions):
    """Options of a text."""

    vocabulary: int | None = Field(
        None,
        ge=300,
        le=1_000_000,
        description="Tokens at most; as many as come min_frequency times, up to 16,384.",
    )
    min_frequency: int = Field(2, ge=1, description="Times that two tokens must meet to become one.")
    lowercase: bool = Field(
        True, description="Lower case first: fewer words to learn; set false where case tells something."
    )
    max_tokens: int | None = Field(
        None,
        ge=4,
        le=65_536,
        description="Tokens of a text at most, the first ones; what 99 % of training rows have, up to 512.",
    )
    tokenizer: str | None = Field(
        None,
        description="Hugging Face name or local folder of a pretrained tokenizer, in place of training one.",
    )


class LearnedText(LearnedInput):
    """What a text learned.

    Attributes:
        tokenizer: the tokenizer as JSON text.
        checkpoint: where a pretrained one came from; None for one of our own.
        vocabulary: number of token ids.
        max_tokens: tokens of a text at most, prefix and suffix counted.
        pad: id of the padding token.
        prefix: ids before every text.
        suffix: ids behind every text.
    """

    tokenizer: str
    checkpoint: str | None
    vocabulary: int = Field(ge=1)
    max_tokens: int = Field(ge=1)
    pad: int = Field(ge=0)
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]


@FEATURES.register("text")
class TextFeature(LearnedFeature):
    """A text → tokens: Ragged int32; missing has length 0. Only null is missing, "none" is a word."""

    type = "text"
    modality = "text"
    Options = TextOptions
    Input = LearnedText

    tokenizer_: Tokenizer
    _known: KnownPieces

    def fit(self, values: pl.Series, context: Context) -> None:
        """Train the tokenizer, or load the one named, and measure how long texts are.

        Raises:
            RecipeError: the pretrained tokenizer cannot be had, or reads fewer than `max_tokens`.
        """
        texts = self._sample(as_text(values).drop_nulls(), context)
        if self.options.tokenizer is not None:
            self._load_pretrained(self.options.tokenizer)
        else:
            texts = normalised(texts, lowercase=self.options.lowercase)
            self.tokenizer_ = train_tokenizer(
                texts,
                vocabulary=self.options.vocabulary or _AUTO_VOCABULARY,
                min_frequency=self.options.min_frequency,
                lowercase=self.options.lowercase,
            )
            self._known = KnownPieces(self.tokenizer_)
            self.learned_ = LearnedText(
                tokenizer=self.tokenizer_.to_str(),
                checkpoint=None,
                vocabulary=self.tokenizer_.get_vocab_size(),
                max_tokens=self.options.max_tokens or _AUTO_TOKENS,
                pad=PAD,
                prefix=(),
                suffix=(),
            )
        if self.options.max_tokens is None:
            self._measure(texts)

    def _sample(self, texts: pl.Series, context: Context) -> pl.Series:
        """Return the texts in a seeded order, as many as `_FIT_CHARACTERS` allow."""
        if not len(texts):
            return texts
        texts = texts.gather(numpy_stream(context.seed, "text", self.name).permutation(len(texts)))
        texts = texts.str.slice(0, LONGEST_TOKEN * (self.options.max_tokens or _AUTO_TOKENS))
        before = texts.str.len_chars().cast(pl.Int64).cum_sum().shift(1, fill_value=0)
        return texts.filter(before < _FIT_CHARACTERS)

    def _load_pretrained(self, name: str) -> None:
        found = load_tokenizer(name)
        most = self.options.max_tokens or min(_AUTO_TOKENS, found.limit or _AUTO_TOKENS)
        if found.limit is not None and most > found.limit:
            raise RecipeError(
                f"'{name}' reads at most {found.limit:,} tokens",
                where=f"column '{self.name}'",
                fix=f"set max_tokens to {found.limit} or less",
            )
        self.tokenizer_ = found.tokenizer
        self.learned_ = LearnedText(
            tokenizer=found.tokenizer.to_str(),
            checkpoint=name,
            vocabulary=found.tokenizer.get_vocab_size(with_added_tokens=True),
            max_tokens=most,
            pad=found.pad,
            prefix=found.prefix,
            suffix=found.suffix,
        )

    def _measure(self, texts: pl.Series) -> None:
        """Set `max_tokens` to what 99 % of texts have, rounded up to a multiple of 8."""
        learned: LearnedText = self.learned_
        lengths = self._tokens(texts.head(_LENGTH_ROWS)).lengths + len(learned.prefix) + len(learned.suffix)
        wanted = float(np.quantile(lengths, 0.99)) if len(lengths) else 1.0
        most = min(max(8, int(np.ceil(wanted / 8)) * 8), learned.max_tokens)
        self.learned_ = learned.model_copy(update={"max_tokens": most})

    def _tokens(self, texts: pl.Series) -> Ragged:
        """Return tokens without prefix and suffix; what cannot be in the result is already cut."""
        learned: LearnedText = self.learned_
        if learned.checkpoint is not None:
            return encode_by_rows(
                self.tokenizer_, texts.str.slice(0, _PRETRAINED_CHARACTERS * learned.max_tokens)
            )
        # A text of n characters has at least n / LONGEST_TOKEN tokens; the cut leaves one too many.
        texts = texts.str.slice(0, LONGEST_TOKEN * (learned.max_tokens + 1))
        return self._known.encode(normalised(texts, lowercase=self.options.lowercase))

    def encode(self, values: pl.Series, context: Context) -> Encoded:
        """Return "tokens"; texts of more than `max_tokens` are cut at the end, and counted."""
        learned: LearnedText = self.learned_
        texts = as_text(values)
        tokens = self._tokens(texts)
        room = max(learned.max_tokens - len(learned.prefix) - len(learned.suffix), 0)
        lengths = tokens.lengths
        truncated = int((lengths > room).sum())
        if truncated:
            position = np.arange(len(tokens.values)) - np.repeat(tokens.offsets[:-1], lengths)
            lengths = np.minimum(lengths, room)
            tokens = Ragged(tokens.values[position < room], np.concatenate([[0], np.cumsum(lengths)]))
        if learned.prefix or learned.suffix:
            tokens = _framed(tokens, texts.is_not_null().to_numpy(), learned.prefix, learned.suffix)
        return Encoded({"tokens": tokens}, counts={"truncated": truncated} if truncated else {})

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return texts, byte for byte where case was kept and nothing cut; an empty one is null."""
        tokens = encoded.arrays["tokens"]
        assert isinstance(tokens, Ragged)
        flat, offsets = tokens.values.tolist(), tokens.offsets.tolist()
        rows = [flat[start:end] for start, end in pairwise(offsets)]
        texts = pl.Series(
            self.name, self.tokenizer_.decode_batch(rows, skip_special_tokens=True), dtype=pl.String
        )
        return texts.set(pl.Series(tokens.lengths == 0), None)

    def spec(self) -> dict[str, Any]:
        """Return {"vocabulary", "max_tokens", "pad", "cls", "sep", "checkpoint"}; ours has no last three."""
        learned: LearnedText = self.learned_
        return {
            "vocabulary": learned.vocabulary,
            "max_tokens": learned.max_tokens,
            "pad": learned.pad,
            "cls": learned.prefix[0] if learned.prefix else None,
            "sep": learned.suffix[-1] if learned.suffix else None,
            "checkpoint": learned.checkpoint,
        }

    def load(self, state: Mapping[str, Any], tensors: Mapping[str, Array]) -> None:
        """Take back what `state` gave.

        Raises:
            ModelFolderError: something is missing, unknown or impossible.
        """
        from tokenizers import Tokenizer

        super().load(state, tensors)
        learned: LearnedText = self.learned_
        try:
            self.tokenizer_ = Tokenizer.from_str(learned.tokenizer)
        except Exception as error:  # tokenizers raises plain Exception
            raise self.damaged("the tokenizer cannot be read") from error
        self._known = KnownPieces(self.tokenizer_)
        ids = self.tokenizer_.get_vocab(with_added_tokens=True).values()
        if max([*ids, learned.pad, *learned.prefix, *learned.suffix], default=0) >= learned.vocabulary:
            raise self.damaged("a token has an id beyond the vocabulary")


def _framed(tokens: Ragged, there: Array, prefix: tuple[int, ...], suffix: tuple[int, ...]) -> Ragged:
    """Return the rows that are `there` between prefix and suffix."""
    lengths = tokens.lengths
    ends = np.cumsum(lengths + there * (len(prefix) + len(suffix)))
    offsets = np.concatenate([[0], ends]).astype(np.int64)
    values = np.empty(int(offsets[-1]), dtype=np.int32)
    for place, token in enumerate(prefix):
        values[offsets[:-1][there] + place] = token
    for place, token in enumerate(reversed(suffix), start=1):
        values[offsets[1:][there] - place] = token
    position = np.arange(len(tokens.values)) - np.repeat(tokens.offsets[:-1], lengths)
    values[position + np.repeat(offsets[:-1] + there * len(prefix), lengths)] = tokens.values
    return Ragged(values, offsets)

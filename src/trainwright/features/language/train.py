"""Training a tokenizer on a sample of the texts: byte-level BPE, WordPiece or Unigram, by `tokenizers`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from trainwright.features.language.fast_bpe import WORDS
from trainwright.features.language.tokenizer import LanguageTokenizer
from trainwright.foundation.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Kind = Literal["bpe", "wordpiece", "unigram"]
KINDS: tuple[Kind, ...] = ("bpe", "wordpiece", "unigram")

SAMPLE_CHARACTERS = 1 << 25
"""Text that a tokenizer is trained on: 32 million characters; more changes little, and Unigram holds all."""

CAUSAL = {"eos_token": "<|endoftext|>", "pad_token": "<|pad|>"}
CHAT_TOKENS = ("<|im_start|>", "<|im_end|>")
MASKED = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}

_LEAST, _MOST = 512, 49_152


def vocabulary_for(characters: int) -> int:
    """Return how many tokens suit an amount of text: 1.5 · √characters as a power of two, 512 to 49,152.

    So that each is met often enough to be learned: a million characters give 1,024 tokens, a hundred million
    16,384.
    """
    wanted: int = 1 << round(math.log2(1.5 * math.sqrt(max(characters, 1))))
    return min(max(wanted, _LEAST), _MOST)


def train_tokenizer(texts: Iterable[str], *, kind: Kind, vocabulary: int, masked: bool) -> LanguageTokenizer:
    """Return a tokenizer that was trained on some texts.

    Args:
        texts: a sample; see `sampled`.
        kind: "bpe" (bytes: any text comes back exactly), "wordpiece" or "unigram".
        vocabulary: tokens, special ones counted.
        masked: for a masked model, which marks beginning and end of a text and hides tokens; else for one
            that writes.

    Raises:
        DataError: the vocabulary has no room for the alphabet, or text could not be written with it.
    """
    if kind == "wordpiece" and not masked:
        raise DataError(
            "WordPiece does not give back line ends, emoji and rare characters, and this model writes",
            where="language.tokenizer",
            fix="set it to bpe or unigram",
        )
    special = MASKED if masked else CAUSAL
    if kind == "unigram" and not masked:
        special = {**special, "unk_token": "<|unk|>"}
    tokens = [*special.values(), *(() if masked else CHAT_TOKENS)]
    backend, trainer = _MAKERS[kind](vocabulary, tokens, special.get("unk_token"))
    smallest = len(tokens) + (1 if kind == "wordpiece" else 256)
    if vocabulary < smallest:
        raise DataError(
            f"a vocabulary of {vocabulary} has no room for {smallest} tokens that there must be",
            where="language.vocabulary",
            fix=f"set it to {smallest} or more",
        )
    backend.train_from_iterator(texts, trainer)
    if masked:
        _frame(backend)
    return LanguageTokenizer(backend, special)


def sampled(texts: Iterable[str], characters: int) -> Iterator[str]:
    """Yield texts of at most 32 million characters, evenly from all of them.

    Args:
        texts: all texts.
        characters: how many they have together, near enough.
    """
    share = min(1.0, SAMPLE_CHARACTERS / max(characters, 1))
    due = 0.0
    for text in texts:
        if share >= 1.0:
            yield text
            continue
        due += len(text) * share
        if due >= min(len(text), 10_000):
            piece = text[: int(due)]
            due -= len(piece)
            yield piece


def _bpe(vocabulary: int, tokens: list[str], unknown: str | None) -> tuple[Tokenizer, Any]:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return backend, trainer


def _wordpiece(vocabulary: int, tokens: list[str], unknown: str | None) -> tuple[Tokenizer, Any]:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    backend = Tokenizer(models.WordPiece(unk_token=unknown))
    backend.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return backend, trainers.WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=tokens, show_progress=False, limit_alphabet=vocabulary // 2
    )


def _unigram(vocabulary: int, tokens: list[str], unknown: str | None) -> tuple[Tokenizer, Any]:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    # Bytes underneath, so that any text comes back exactly, as with BPE.
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    return backend, trainers.UnigramTrainer(
        vocab_size=vocabulary,
        special_tokens=tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        unk_token=unknown,
        show_progress=False,
    )


def _regex(pattern: str) -> Any:
    from tokenizers import Regex

    return Regex(pattern)


_MAKERS = {"bpe": _bpe, "wordpiece": _wordpiece, "unigram": _unigram}


def _frame(backend: Tokenizer) -> None:
    """Let the tokenizer put [CLS] and [SEP] around a text, as transformers' masked models expect."""
    from tokenizers import processors

    cls, sep = (backend.token_to_id(text) for text in (MASKED["cls_token"], MASKED["sep_token"]))
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", cls), ("[SEP]", sep)],
    )

"""What is hidden together is a word, in every script and by every kind of tokenizer."""

from __future__ import annotations

import numpy as np
import pytest
from text_checkpoints import byte_fallback, wrapped

from trainwright.data.token_store import Tokens
from trainwright.features.language.tokenizer import LanguageTokenizer
from trainwright.features.language.train import train_tokenizer
from trainwright.tasks.language import LANGUAGE_TASKS, WHERE, Reading

MIXED = [
    "the old cat sat, on 3 mats.\nIt's new",
    "今天天气很好。我们去公园。",
    "สวัสดีครับยินดีต้อนรับ",
    "Ещё раз",
] * 20


def sentencepiece() -> LanguageTokenizer:
    """Return a tokenizer as XLM-R's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    special = ["<s>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(MIXED, trainer)
    return LanguageTokenizer(backend, {"eos_token": "</s>", "mask_token": "<mask>", "unk_token": "<unk>"})


TOKENIZERS = {
    "bpe": train_tokenizer(MIXED, kind="bpe", vocabulary=420, masked=True),
    "unigram": train_tokenizer(MIXED, kind="unigram", vocabulary=330, masked=True),
    "wordpiece": train_tokenizer(MIXED, kind="wordpiece", vocabulary=200, masked=True),
    "sentencepiece": sentencepiece(),
    "byte fallback": wrapped(byte_fallback()),
}


def words(tokenizer: LanguageTokenizer, text: str) -> list[str]:
    """Return the words of a text as they would be hidden."""
    (ids,) = tokenizer.encode([text])
    begins, ends = tokenizer.word_ends
    first = begins[ids].copy()
    first[1:] |= ends[ids[:-1]]
    first[:1] = True
    found = [tokenizer.decode(part).strip(" ") for part in np.split(ids, np.flatnonzero(first)[1:])]
    return [word for word in found if word]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_words_have_their_letters_and_signs_stand_alone(kind: str) -> None:
    found = words(TOKENIZERS[kind], "the old cat sat, on 3 mats. Ещё")
    assert found == ["the", "old", "cat", "sat", ",", "on", "3", "mats", ".", "Ещё"]


@pytest.mark.parametrize("kind", [kind for kind in TOKENIZERS if kind != "wordpiece"])
def test_a_line_ends_a_word(kind: str) -> None:
    found = words(TOKENIZERS[kind], "the cat\nIt's")
    assert [word for word in found if word.strip()][:3] == ["the", "cat", "It"] or kind == "sentencepiece"
    assert not any("\n" in word.strip() for word in found)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_ideographs_are_words_or_parts_of_a_token(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    (ids,) = tokenizer.encode(["今天天气很好。我们去"])
    pieces = [piece for piece in tokenizer.pieces(ids) if "\ufffd" not in piece and piece.strip()]
    found = words(tokenizer, "今天天气很好。我们去")
    assert len(found) >= len(pieces)
    # A token can hold the last byte of one and the first of the next.
    assert max(map(len, found)) <= max([2, *map(len, pieces)])
    assert not any("\ufffd" in word for word in found)


def test_bytes_of_a_character_are_no_words() -> None:
    made = train_tokenizer(["今天天气很好"] * 20, kind="bpe", vocabulary=262, masked=True)
    assert words(made, "今天天气 hi 😀 é") == ["今", "天", "天", "气", "hi", "😀", "é"]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_no_text_is_hidden_whole(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    (ids,) = tokenizer.encode(["สวัสดีครับยินดีต้อนรับ" * 200])
    offsets = np.array([0, len(ids)])
    reading = Reading(
        context=512,
        long="split",
        seed=3,
        vocabulary=tokenizer.vocabulary,
        mask_token=0,
        word_ends=tokenizer.word_ends,
        special=tokenizer.special_ids,
    )
    nothing = np.zeros(1, dtype=np.int64)
    task = LANGUAGE_TASKS["masked-lm"](Tokens(ids, None, offsets, nothing, nothing, nothing), reading)
    batches = task.batches(np.arange(1), budget=512, training=True)
    plan = batches.plan(0)
    shares = [len(batches.batch(plan[n]).inputs[WHERE]) / batches.size(plan[n]) for n in range(len(plan))]
    known = len(ids) - int(np.isin(ids, list(tokenizer.special_ids)).sum())
    if known > 0.5 * len(ids):
        assert np.mean(shares) == pytest.approx(0.15, abs=0.05)
        assert max(shares) < 0.5

"""tiktoken gives the ids of `tokenizers`, wherever it is asked."""

from __future__ import annotations

import json
import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from trainwright.features.language import fast_bpe
from trainwright.features.language.fast_bpe import WORDS, FastBPE
from trainwright.features.language.tokenizer import LanguageTokenizer

TEXTS = [
    "The quick brown fox jumps over the lazy dog; it's the dog's day, THEY'LL say.\n\n",
    "def f(x: int) -> int:\n    return x ** 2  # squares 12345 and 1 22 333\n",
    "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。２０２６年",
    "Zażółć gęślą jaźń 12345 😀👩‍👩‍👧\r\n\ttabs  and   spaces <|endoftext|>",
] * 10
LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False)
BARE = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
STEPS = {
    "gpt2": [LEVEL],
    "smollm": [pre_tokenizers.Digits(individual_digits=True), LEVEL],
    "llama": [pre_tokenizers.Split(Regex(WORDS), behavior="isolated"), BARE],
    "qwen": [pre_tokenizers.Split(Regex(WORDS.replace("{1,3}", "")), behavior="isolated"), BARE],
}


def trained(kind: str) -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.decoder = decoders.ByteLevel()
    steps = STEPS[kind]
    backend.pre_tokenizer = steps[0] if len(steps) == 1 else pre_tokenizers.Sequence(steps)
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS, trainer)
    backend.encode_special_tokens = True
    return backend


@cache
def both(kind: str) -> tuple[Tokenizer, FastBPE]:
    backend = trained(kind)
    fast = FastBPE.of(backend)
    assert fast is not None
    return backend, fast


def assert_same(kind: str, texts: list[str]) -> None:
    backend, fast = both(kind)
    backend.encode_special_tokens = True
    expected = [encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]
    assert [ids.tolist() for ids in fast.encode(texts)] == expected


def settled() -> list[str]:
    """Return every character that is cut by tiktoken."""
    everything = [chr(point) for point in range(0x20000) if not 0xD800 <= point < 0xE000]
    unsettled = re.compile(re.sub(r"\\x\{(\w+)\}", lambda m: f"\\U{int(m[1], 16):08x}", fast_bpe._UNSETTLED))
    return [character for character in everything if not unsettled.match(character)]


@pytest.mark.parametrize("kind", STEPS)
@given(st.data())
def test_ids_are_the_same(kind: str, data: st.DataObject) -> None:
    pieces = st.sampled_from(
        [*"abstl'ſİ 1９\t\r\n\x85\xa0.,<|>'", "'s", "'LL", "dog", "白", "日依", "😀", *TEXTS]
    )
    drawn = "".join(data.draw(st.lists(pieces, max_size=30)))
    assert_same(kind, [drawn, data.draw(st.text(max_size=30))])


@pytest.mark.parametrize("kind", STEPS)
def test_both_take_each_settled_character_for_the_same(kind: str) -> None:
    characters = settled()
    assert len(characters) > 40_000
    if kind != "llama":  # their classes are the same ones
        characters = characters[:8_000]
    around = [f"a{one}b {one}1{one}{one}' {one}\n{one}x" for one in characters]
    assert_same(kind, ["".join(around[first : first + 500]) for first in range(0, len(around), 500)])


def test_a_byte_that_the_vocabulary_lacks_is_left_to_tokenizers() -> None:
    state = json.loads(trained("llama").to_str())
    del state["model"]["vocab"]["Ą"]
    backend = Tokenizer.from_str(json.dumps(state))
    fast = FastBPE.of(backend)
    assert fast is not None
    texts = ["dog\x04dog", "dog"]
    backend.encode_special_tokens = True
    assert [ids.tolist() for ids in fast.encode(texts)] == [each.ids for each in backend.encode_batch(texts)]


def test_unsettled_characters_and_long_texts_are_left_out() -> None:
    _, fast = both("llama")
    texts = ["plain", "", "白日", "ไทย", "\u1c80", "a" * (1 << 18)]
    assert fast.covers(texts).tolist() == [True, True, True, False, False, False]


def test_texts_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwright.features.language.tokenizer._MANY", 100)
    made = LanguageTokenizer(trained("llama"), {"eos_token": "<|endoftext|>"})
    texts = ["one ไทย", "<|endoftext|>", "two " * 50, "ไทย", "three 白"]
    before = made.encode(texts[:2])
    assert "_fast" not in vars(made)
    found = made.encode(texts)
    assert vars(made)["_fast"] is not None
    assert [made.decode(ids, special=True) for ids in found] == texts
    for old, new in zip(before, found, strict=False):
        np.testing.assert_array_equal(old, new)


def changed(**model: object) -> Tokenizer:
    state = json.loads(trained("llama").to_str())
    state["model"] |= model
    return Tokenizer.from_str(json.dumps(state))


def test_other_tokenizers_are_left_alone() -> None:
    lower = trained("llama")
    lower.normalizer = normalizers.Lowercase()
    worded = trained("llama")
    worded.add_tokens([AddedToken("</think>", special=False)])
    prefixed = trained("gpt2")
    prefixed.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    split = trained("llama")
    split.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\w+"), "isolated"), BARE])
    others = [lower, worded, prefixed, split, changed(dropout=0.1), changed(ignore_merges=True)]
    assert [FastBPE.of(backend) for backend in (*others, Tokenizer(models.WordPiece()))] == [None] * 7


def test_a_token_that_is_not_cut_as_itself_is_noticed() -> None:
    """Of "abcd" the first list makes "ab" and "cd", and tiktoken would join the two."""
    state = json.loads(trained("llama").to_str())
    made = [("c", "d"), ("a", "b"), ("ab", "c"), ("abc", "d")]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *("".join(pair) for pair in made)]
    state["model"] |= {"vocab": {t: n for n, t in enumerate(tokens)}, "merges": [list(pair) for pair in made]}
    state["added_tokens"] = []
    assert FastBPE.of(Tokenizer.from_str(json.dumps(state))) is None
    state["model"]["merges"] = [["a", "b"], ["c", "d"], ["ab", "c"], ["ab", "cd"]]
    assert FastBPE.of(Tokenizer.from_str(json.dumps(state))) is not None

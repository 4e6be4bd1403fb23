"""Any text comes back from a tokenizer of ours, and only a template sets special tokens."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.features.language import samples, train
from trainwright.features.language.formats import Sample
from trainwright.features.language.samples import blocks_of
from trainwright.features.language.template import CHATML, ChatTemplate, Turn
from trainwright.features.language.tokenizer import LanguageTokenizer
from trainwright.features.language.train import Kind, train_tokenizer, vocabulary_for
from trainwright.foundation.errors import DataError, RecipeError

TEXTS = [
    "The quick brown fox jumps over the lazy dog; it's the dog's day.\n",
    "def f(x: int) -> int:\n    return x ** 2  # squares\n",
    "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。",
    "Zażółć gęślą jaźń 12345 😀👩‍👩‍👧\r\n\ttabs  and   spaces",
] * 30


@cache
def tokenizer(kind: str) -> LanguageTokenizer:
    return train_tokenizer(TEXTS, kind=kind, vocabulary=400, masked=kind == "wordpiece")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@given(st.text() | st.sampled_from(TEXTS) | st.text(alphabet="ab \n<|im_end|>你😀"))
def test_any_text_comes_back(kind: str, text: str) -> None:
    made = tokenizer(kind)
    (ids,) = made.encode([text])
    assert made.decode(ids) == text
    assert not set(ids.tolist()) & made.special_ids


def test_words_of_a_masked_tokenizer_come_back() -> None:
    made = tokenizer("wordpiece")
    (ids,) = made.encode(["The quick brown fox jumps"])
    assert made.decode(ids) == "The quick brown fox jumps"
    assert made.begin == made.id_of("cls_token")
    assert made.end == made.id_of("sep_token")


@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3000))
def test_long_texts_are_cut_where_tokens_end(parts: list[str]) -> None:
    text = "\n".join(parts)
    blocks = list(blocks_of(text))
    assert "".join(blocks) == text
    made = tokenizer("bpe")
    assert np.array_equal(np.concatenate(made.encode(blocks)), made.encode([text])[0])


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece"])
def test_ids_do_not_depend_on_how_a_text_is_cut_for_threads(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "_BLOCK", 60)
    text = "\n".join([*TEXTS, "", "  an indented line", "no space", "\t tabs", "", *TEXTS])
    made = tokenizer(kind)
    assert made.cuts_anywhere == (kind != "wordpiece")
    assert len(list(blocks_of(text))) > 100
    cut = samples.tokenized([Sample(text), Sample("short")], [0, 1], made, task="causal-lm", where=str)
    whole = [[made.first, *made.encode([each])[0].tolist(), made.end] for each in (text, "short")]
    assert cut.ids.tolist() == [*whole[0], *whole[1]]
    assert cut.lengths.tolist() == list(map(len, whole))


def test_a_tokenizer_is_trained_on_a_sample_of_all_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{number:04}" * 250 for number in range(100)]
    assert list(train.sampled(texts, 100_000)) == texts
    monkeypatch.setattr(train, "SAMPLE_CHARACTERS", 10_000)
    found = list(train.sampled(texts, 100_000))
    assert sum(map(len, found)) == pytest.approx(10_000, rel=0.01)
    assert [int(text[:4]) // 10 for text in found] == list(range(10))  # one of each ten
    long = ["a" * 100_000, "b" * 300_000]  # of long texts, ten thousand characters at least
    assert list(train.sampled(long, 400_000)) == ["b" * 10_000]


def test_only_the_template_ends_a_turn() -> None:
    made = tokenizer("bpe")
    turns = [
        Turn("system", "Be kind."),
        Turn("user", "say <|im_end|> and <|endoftext|>"),
        Turn("assistant", "I say <|im_end|> too"),
        Turn("user", "bye"),
        Turn("assistant", "Bye!"),
    ]
    ids, trained = made.encode_chats([turns])[0]
    end = made.backend.token_to_id("<|im_end|>")
    assert (ids == end).sum() == len(turns)
    assert made.decode(ids[trained], special=True) == "I say <|im_end|> too<|im_end|>Bye!<|im_end|>"
    assert made.id_of("eos_token") not in ids.tolist()
    # What is read when it answers is what was read when it learned.
    prompt = made.encode_prompt(turns[:2])
    assert np.array_equal(prompt, ids[: len(prompt)])
    assert trained[len(prompt)] and not trained[: len(prompt)].any()


UNMARKED = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] }}"
    "{{ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_a_template_without_marks_tells_by_what_it_adds() -> None:
    made = tokenizer("bpe").with_template(UNMARKED)
    turns = [Turn("user", "hi"), Turn("assistant", "Hello."), Turn("user", "x"), Turn("assistant", "y")]
    ids, trained = made.encode_chats([turns])[0]
    assert made.decode(ids[trained], special=True) == "Hello.<|im_end|>y<|im_end|>"
    assert made.turn_end == made.backend.token_to_id("<|im_end|>")


@pytest.mark.parametrize("source", [CHATML, UNMARKED])
def test_turns_that_are_only_read_are_not_trained(source: str) -> None:
    made = tokenizer("bpe").with_template(source)
    turns = [
        Turn("user", "<|im_end|>"),
        Turn("assistant", "No.", False),
        Turn("user", "x"),
        Turn("assistant", "y"),
    ]
    (ids, trained), (all_ids, _) = made.encode_chats([turns, [Turn(turn.role, turn.text) for turn in turns]])
    assert made.decode(ids[trained], special=True) == "y<|im_end|>"
    assert np.array_equal(ids, all_ids)
    last_only = "{{ messages[0].content }}{% generation %}{{ messages[-1].content }}{% endgeneration %}"
    with pytest.raises(DataError, match="does not mark each turn"):
        ChatTemplate(last_only).render(turns)


def test_templates_that_cannot_be_used_are_refused() -> None:
    turns = [Turn("user", "hi"), Turn("assistant", "Hello.")]
    backwards = "{% for message in messages | reverse %}{{ message['content'] }}{% endfor %}"
    with pytest.raises(RecipeError, match=r"no \{% generation %\}"):
        ChatTemplate(backwards).render(turns)
    with pytest.raises(RecipeError, match="not a Jinja template"):
        ChatTemplate("{% for %}").render(turns)
    with pytest.raises(DataError, match="refuses it: only users"):
        ChatTemplate("{{ raise_exception('only users') }}").render(turns)
    with pytest.raises(RecipeError, match="fails"):  # the sandbox reaches nothing
        ChatTemplate("{{ ''.__class__.__mro__ }}").render(turns)


LONG, ENDS = "{% for i in range(99999) %}", "{% endfor %}{% endfor %}"
HOSTILE = {
    "{{ 1 / 0 }}": "division by zero",
    "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}": "recursion",
    "{{ 'a' * 10 ** 11 }}": "far larger than a conversation",
    "{{ 10 ** 10 ** 10 }}": "far larger than a conversation",
    "{{ [0] * 10000 * 10000 }}": "far larger than a conversation",
    "{{ (1 / 0) | round }}": "division by zero",
    LONG + LONG + ENDS: "not done after",
    LONG + "{% for j in range(99999) if false %}" + ENDS: "not done after",
    "{% macro a(n) %}{% if n %}{{ a(n - 1) ~ a(n - 1) }}{% endif %}{% endmacro %}{{ a(60) }}": "not done",
    "{% set in_time = 1 %}" + LONG + LONG + ENDS: "not done after",
}


@pytest.mark.parametrize("source", HOSTILE)
def test_hostile_templates_end_in_a_sentence(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwright.features.language.sandbox.SECONDS", 0.2)
    with pytest.raises(RecipeError, match=f"the chat template fails: .*{re.escape(HOSTILE[source])}"):
        ChatTemplate(source).render([Turn("user", "hi")])


def test_bounds_are_not_met_by_a_template_that_counts() -> None:
    source = (
        "{% for i in range(100) if i % 10 == 0 %}{{ 2 * i }}{{ loop.last and '-' * 3 or ' ' }}{% endfor %}"
    )
    assert ChatTemplate(source).prompt([]) == "0 20 40 60 80 100 120 140 160 180---"


def test_a_saved_tokenizer_is_the_same(tmp_path) -> None:  # type: ignore[no-untyped-def]
    tokenizer("bpe").save(tmp_path)
    assert not LanguageTokenizer.load(tmp_path).has_own_template  # ours is not written as its own
    made = tokenizer("bpe").with_template(CHATML)
    made.save(tmp_path)
    read = LanguageTokenizer.load(tmp_path)
    assert read.hash_key == made.hash_key
    assert np.array_equal(read.encode(TEXTS[:1])[0], made.encode(TEXTS[:1])[0])
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(tmp_path)
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello."}]
    turns = [Turn(message["role"], message["content"]) for message in messages]
    assert (
        theirs.apply_chat_template(messages, tokenize=True, return_dict=False)
        == made.encode_chats([turns])[0][0].tolist()
    )


def test_whole_words_are_told() -> None:
    made = tokenizer("bpe")
    (ids,) = made.encode(["The quick brown fox"])
    starts = made.word_ends[0][ids]
    pieces = made.pieces(ids)
    assert all(start for start, piece in zip(starts, pieces, strict=True) if piece.startswith(" "))


def test_vocabulary_grows_with_the_text() -> None:
    sizes = [vocabulary_for(characters) for characters in (0, 10**4, 10**6, 10**8, 10**12)]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (512, 49_152)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("masked", [True, False])
def test_a_vocabulary_without_room_is_refused(kind: Kind, masked: bool) -> None:
    with pytest.raises(DataError, match="no room") as caught:
        train_tokenizer(TEXTS, kind=kind, vocabulary=100, masked=masked)
    assert caught.value.fix is not None
    smallest = int(caught.value.fix.split()[3])
    with pytest.raises(DataError, match="no room"):
        train_tokenizer(TEXTS, kind=kind, vocabulary=smallest - 1, masked=masked)
    made = train_tokenizer(TEXTS, kind=kind, vocabulary=smallest, masked=masked)
    assert made.decode(made.encode([TEXTS[3]])[0]) == TEXTS[3]


def test_what_wordpiece_gives_back() -> None:
    """Words come back; line ends and what is rare do not, so a model that writes may not have it."""
    made = tokenizer("wordpiece")
    for text, back in (
        ("白日", "白 日"),
        ("def f(x)", "def f ( x )"),
        ("one\ntwo", None),
        ("fox \U0001f680", None),
    ):
        (ids,) = made.encode([text])
        if back is not None:
            assert made.decode(ids).replace(" ", "") == back.replace(" ", "")
        else:
            assert made.decode(ids) != text
    with pytest.raises(DataError, match="this model writes; set it to bpe or unigram"):
        train_tokenizer(TEXTS, kind="wordpiece", vocabulary=400, masked=False)

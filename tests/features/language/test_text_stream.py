"""Tokens become the text that they make together, and each piece of it as soon as it is sure."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_checkpoints import byte_fallback, byte_level, wrapped

from trainwright.features.language.text_stream import TextStream
from trainwright.features.language.tokenizer import LanguageTokenizer
from trainwright.features.language.train import train_tokenizer

TOKENIZERS = {
    "byte-level": wrapped(byte_level()),
    "byte fallback": wrapped(byte_fallback()),
    "unigram": train_tokenizer(["the cat sat on the mat"] * 20, kind="unigram", vocabulary=300, masked=False),
    "wordpiece": train_tokenizer(
        ["the cat sat on the mat"] * 20, kind="wordpiece", vocabulary=60, masked=True
    ),
}
EXACT = ["byte-level", "byte fallback", "unigram"]
LETTERS = st.text(st.sampled_from("ab \n你好世😀é\u0301ไ▁."), max_size=12)


def pieces(
    tokenizer: LanguageTokenizer, ids: Sequence[int], *, stop: Sequence[str] = (), before: Sequence[int] = ()
) -> list[str]:
    text = TextStream(tokenizer, stop=stop, before=before)
    found = []
    for token in ids:
        found.append(text.add(token))
        if text.ended:
            break
    return [*found, text.rest()]


@pytest.mark.parametrize("kind", EXACT)
def test_characters_of_several_tokens_appear_when_they_are_whole(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    (ids,) = tokenizer.encode(["hi你😀 you"])
    found = pieces(tokenizer, ids.tolist())
    assert "".join(found) == "hi你😀 you"
    assert not any("\ufffd" in piece for piece in found)
    assert any(piece.startswith("你") for piece in found), "it waits too long"


@pytest.mark.parametrize("kind", EXACT)
@given(before=LETTERS, behind=LETTERS)
def test_a_text_goes_on_as_it_is(kind: str, before: str, behind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    (start,), (whole,) = tokenizer.encode([before]), tokenizer.encode([before + behind])
    if whole[: len(start)].tolist() != start.tolist():
        return  # cut otherwise together
    found = pieces(tokenizer, whole[len(start) :].tolist(), before=start.tolist())
    # "▁" is a space to some tokenizers.
    assert tokenizer.decode(start) + "".join(found) == tokenizer.decode(whole)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_word_that_goes_on_keeps_its_space(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    start, whole = (tokenizer.encode([text])[0].tolist() for text in ("the cat", "the cat sat on the mat"))
    assert "".join(pieces(tokenizer, whole[len(start) :], before=start)) == " sat on the mat"
    # A text of its own begins without.
    assert "".join(pieces(tokenizer, tokenizer.encode(["sat"])[0].tolist())) == "sat"


@pytest.mark.parametrize("kind", EXACT)
def test_bytes_that_are_no_character_are_shown_and_take_nothing_with_them(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    face = tokenizer.encode(["a😀"])[0].tolist()
    found = "".join(pieces(tokenizer, [*face[:-1], *tokenizer.encode(["b c"])[0].tolist()]))
    assert found.startswith("a\ufffd") and found.endswith("b c")
    assert len("".join(pieces(tokenizer, face[:-1]))) > 1
    assert len("".join(pieces(tokenizer, face[-1:] * 200))) >= 190


@pytest.mark.parametrize("stop", [["\n\n", "."], [".", "\n\n"]])
def test_the_stop_that_begins_first_counts(stop: list[str]) -> None:
    tokenizer = TOKENIZERS["byte-level"]
    ids = tokenizer.encode(["one.\n\ntwo"])[0].tolist()
    assert "".join(pieces(tokenizer, ids, stop=stop)) == "one"

    class OneToken(LanguageTokenizer):
        def decode(self, ids: Sequence[int], *, special: bool = False) -> str:  # type: ignore[override]
            return "".join(["one", ".\n\n", "two"][number] for number in ids)

    whole = OneToken(tokenizer.backend, tokenizer.special)
    assert "".join(pieces(whole, [0, 1, 2], stop=stop)) == "one"


@given(LETTERS, st.lists(st.text(st.sampled_from("ab \n你😀."), min_size=1, max_size=3), max_size=3))
def test_what_is_shown_ends_before_the_first_stop(text: str, stop: list[str]) -> None:
    tokenizer = TOKENIZERS["byte-level"]
    ids = tokenizer.encode([text])[0].tolist()
    found = "".join(pieces(tokenizer, ids, stop=stop))
    assert text.startswith(found)
    assert not any(each in found for each in stop)
    assert found == text or any(text.startswith(each, len(found)) for each in stop)


def test_the_beginning_of_a_stop_waits() -> None:
    tokenizer = TOKENIZERS["byte-level"]
    ids = [tokenizer.encode([letter])[0].tolist()[0] for letter in "aEbEND"]
    assert pieces(tokenizer, ids, stop=["END"]) == ["a", "", "Eb", "", "", "", ""]


def test_a_token_takes_no_longer_in_a_long_text() -> None:
    tokenizer = TOKENIZERS["byte-level"]
    ids = tokenizer.encode(["the cat sat on the mat. " * 1000])[0].tolist()

    def seconds(number: int) -> float:
        began = time.perf_counter()
        pieces(tokenizer, ids[:number])
        return time.perf_counter() - began

    assert len(ids) > 8000
    assert seconds(8000) < 40 * seconds(800)  # it was a hundred times as long

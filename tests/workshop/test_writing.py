"""Language models that write: `generate` and `chat`, from Python and from the command line."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import trainwright as tw
from trainwright.cli.main import main
from trainwright.features.language.template import Turn
from trainwright.workshop.text_model import LongPrompt, TextModel

ANIMALS = ["cat", "dog", "fox", "cow", "hen"]
GREEDY = ("--temperature", "0", "--max-tokens", "12")
HOT: dict[str, Any] = {"max_tokens": 8, "temperature": 2.0, "top_p": 1.0}
"""Draws that depend on all that was read."""
ASKED_HOT = ("--max-tokens=8", "--temperature=2", "--top-p=1")

Type = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> tw.Run:
    """A run that has hardly learned to chat, and reads 64 tokens."""
    home = tmp_path_factory.mktemp("chatty")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINWRIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        talks = [{"prompt": f"Say {animal}", "completion": f"{animal} it is"} for animal in ANIMALS * 20]
        (home / "talks.jsonl").write_text("".join(json.dumps(talk) + "\n" for talk in talks))
        settings: dict[str, Any] = {
            "model.options": {"depth": 2, "width": 32, "heads": 2},
            "language.vocabulary": 320,
            "language.context": 64,
            "training.batch_tokens": 512,
            "training.learning_rate": 0.01,
            "training.optimizer": "adamw",
            "evaluation.sample_tokens": 0,
            "evaluation.bootstrap": 0,
        }
        return tw.train(
            str(home / "talks.jsonl"), task="chat", budget="2 steps", settings=settings, run=home / "run"
        )


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """What runs a verb with some bytes piped in, and returns what it says on output and error."""

    def run(*words: object, piped: bytes = b"", code: int = 0) -> tuple[str, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(piped), encoding="ascii"))
        assert main([str(word) for word in words]) == code
        found = capsys.readouterr()
        return found.out, found.err

    return run


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def test_generate_in_python(small_text_run: tw.Run) -> None:
    found = tw.generate(small_text_run, "The cat says", max_tokens=12, stop=["\n"])
    assert found == " cat-cat"
    both = tw.generate(str(small_text_run.path), ["The cow says", "The hen says"], max_tokens=12, stop=["\n"])
    assert both == [" cow-cow", " hen-hen"]


def test_generate_on_the_command_line(small_text_run: tw.Run, typed: Type) -> None:
    place = small_text_run.path
    assert typed("generate", place, "The cat says", *GREEDY, "--stop", "\n") == (" cat-cat\n", "")
    several = typed("generate", place, "The cat says", "The dog says", *GREEDY, "--stop", "\n")
    assert several == (" cat-cat\n dog-dog\n", "")
    # Of several stop texts that which comes first.
    assert typed("generate", place, "The cat says", *GREEDY, "--stop", "t-", "--stop", "-c")[0] == " ca\n"
    shown, _ = typed("generate", place, "The fox says", "The", *GREEDY, "--stop", "\n", "--json")
    found = json.loads(shown)
    assert found[0] == {"prompt": "The fox says", "text": " fox-fox"}
    assert [one["prompt"] for one in found] == ["The fox says", "The"]


@pytest.mark.parametrize("dash", [[], ["-"]])
def test_a_prompt_is_piped_in(small_text_run: tw.Run, typed: Type, dash: list[str]) -> None:
    found = typed("generate", small_text_run.path, *dash, *GREEDY, "--stop", "\n", piped=b"The hen says")
    assert found == (" hen-hen\n", "")
    model = small_text_run.model
    piped = typed("generate", small_text_run.path, *dash, *GREEDY, piped="猫".encode())[0]
    assert piped == f"{model.generate('猫', max_tokens=12)}\n"


def test_how_tokens_are_drawn_is_told_on_the_command_line(small_text_run: tw.Run, typed: Type) -> None:
    model, prompt = small_text_run.model, "The"
    hot: dict[str, Any] = {"max_tokens": 12, "temperature": 3.0, "top_p": 1.0, "seed": 1}
    drawn = []
    for more in ({}, {"seed": 2}, {"top_k": 2}, {"top_p": 0.3}, {"repetition_penalty": 5.0}):
        asked = hot | more
        drawn.append(model.generate(prompt, **asked))
        words = [f"--{name.replace('_', '-')}={value}" for name, value in asked.items()]
        assert typed("generate", small_text_run.path, prompt, *words)[0] == f"{drawn[-1]}\n"
    assert len(set(drawn)) == 5


def test_what_is_no_utf8_is_one_sentence(small_text_run: tw.Run, chatty: tw.Run, typed: Type) -> None:
    for verb, run in (("generate", small_text_run), ("chat", chatty)):
        out, error = typed(verb, run.path, piped="café\n".encode("latin1"), code=2)
        assert out == ""
        assert error == (
            "standard input: what is piped in is not UTF-8 (byte 0xe9); "
            "convert it, as with: iconv -f latin1 -t utf-8.\n"
        )


def test_a_prompt_that_is_too_long_is_said_to_be(small_text_run: tw.Run, typed: Type) -> None:
    long = "The cat says cat-cat\n" * 9 + "The dog says"
    model = small_text_run.model
    with pytest.warns(LongPrompt, match=r"The prompt is longer than the model reads \(32 tokens\)"):
        found = model.generate(long, max_tokens=12, stop=["\n"])
    assert found == " dog-dog"
    out, error = typed("generate", small_text_run.path, long, *GREEDY, "--stop", "\n")
    assert out == " dog-dog\n"
    assert error == (
        "The prompt is longer than the model reads (32 tokens): of such a text the beginning is left out.\n"
    )
    out, error = typed("generate", small_text_run.path, long, "The", *GREEDY)
    assert error.startswith("1 of 2 prompts are longer than the model reads (32 tokens)")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.generate("The dog says", max_tokens=12)


def test_chat_in_python(chatty: tw.Run) -> None:
    model = chatty.model
    talk = [user("Say cat")]
    answer = tw.chat(chatty, talk, **HOT)
    assert answer == model.chat(talk, **HOT) != tw.chat(chatty, [user("Say dog")], **HOT)
    stop = answer[2:4]
    assert tw.chat(chatty, talk, stop=[stop], **HOT) == answer[: answer.index(stop)]
    with pytest.raises(tw.UserError, match="this is no message"):
        tw.chat(chatty, [{"role": "nobody", "content": "?"}])


def test_an_answer_appears_piece_by_piece(chatty: tw.Run) -> None:
    pieces = list(chatty.model.stream([user("Say cat")], **HOT))
    assert len(pieces) > 2 and all(pieces)
    assert "".join(pieces) == chatty.model.chat([user("Say cat")], **HOT)


def test_a_conversation_goes_on_and_begins_again(chatty: tw.Run, typed: Type) -> None:
    model = chatty.model
    # Each answer is drawn anew.
    one = model.chat([user("Say cat")], seed=5, **HOT)
    two = model.chat([user("Say cat"), assistant(one), user("Say cat")], seed=6, **HOT)
    fresh = model.chat([user("Say cat")], seed=7, **HOT)
    assert len({one, two, fresh}) == 3
    piped = b"Say cat\n\nSay cat\n/new\nSay cat\n/quit\nSay hen\n"
    out, error = typed("chat", chatty.path, *ASKED_HOT, "--seed=5", piped=piped)
    assert (out, error) == (f"{one}\n{two}\n{fresh}\n", "")
    # Without /quit it ends where the input does.
    assert typed("chat", chatty.path, *ASKED_HOT, "--seed=5", piped=b"Say cat")[0] == f"{one}\n"


def test_what_the_system_says_and_where_an_answer_ends(chatty: tw.Run, typed: Type) -> None:
    model, system = chatty.model, {"role": "system", "content": "Be a hen."}
    said = [model.chat([system, user("Say cat")], seed=seed, **HOT) for seed in (0, 1)]
    assert said[0] != model.chat([user("Say cat")], **HOT)
    words = (*ASKED_HOT, "--system", "Be a hen.")
    out, _ = typed("chat", chatty.path, *words, piped=b"Say cat\n/new\nSay cat\n")
    assert out == f"{said[0]}\n{said[1]}\n"
    stop = said[0][2:4]
    out, _ = typed("chat", chatty.path, *words, "--stop", stop, piped=b"Say cat\n")
    assert out == said[0][: said[0].index(stop)] + "\n"


def test_an_interrupt_ends_the_answer_and_not_the_conversation(
    chatty: tw.Run, typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []

    def stream(self: TextModel, messages: Any, **_: Any) -> Iterator[str]:
        read.append(list(messages))
        yield "well,"
        if len(read) == 1:
            raise KeyboardInterrupt
        yield " yes"

    monkeypatch.setattr(TextModel, "stream", stream)
    out, _ = typed("chat", chatty.path, "--max-tokens=8", piped=b"Say cat\nSay dog\n")
    assert out == "well, …\nwell, yes\n"
    assert read[1] == [user("Say cat"), assistant("well,"), user("Say dog")]


def test_of_a_long_conversation_the_oldest_turns_are_left_out(chatty: tw.Run, typed: Type) -> None:
    """64 tokens are read, of which 8 are kept for the answer."""
    model, system = chatty.model, {"role": "system", "content": "Be a hen."}
    talk = [system]
    for animal in ANIMALS * 2:
        talk += [user(f"Say {animal}"), assistant(f"{animal} it is")]
    talk.append(user("Say cow"))
    with pytest.warns(LongPrompt, match=r"The conversation is longer than the model reads \(64 tokens\)"):
        kept = list(model.fitting(talk, max_tokens=8))
    assert kept[0] == system and kept[1]["role"] == "user" and kept[-1] == talk[-1]
    assert kept[1:] == talk[len(talk) - len(kept) + 1 :]

    def size(messages: list[dict[str, str]]) -> int:
        return len(model.tokenizer.encode_prompt([Turn(one["role"], one["content"]) for one in messages]))

    more = [system, *talk[len(talk) - len(kept) - 1 :]]
    assert size(kept) <= 64 + 1 - 8 < size(more)
    with pytest.warns(LongPrompt):
        assert model.chat(talk, max_tokens=8) == model.chat(kept, max_tokens=8)
    # The last message stays, whatever its length, and only then is there a part of a turn.
    with pytest.warns(LongPrompt):
        assert model.fitting([*talk[:-1], user("cat " * 90)], max_tokens=8) == [system, user("cat " * 90)]
    with pytest.warns(LongPrompt, match="The prompt is longer"):
        model.chat([system, user("cat " * 90)], max_tokens=8)
    piped = b"".join(b"Say %s, please\n" % animal.encode() for animal in ANIMALS * 2)
    out, error = typed("chat", chatty.path, "--max-tokens=8", "--temperature=0", piped=piped)
    assert error == (
        "The conversation is longer than the model reads (64 tokens): its oldest turns are left out.\n"
    )
    assert out.count("\n") >= 10

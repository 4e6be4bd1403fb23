"""Each format that people use is told by its columns; what nothing can be learned from is named."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from trainwright.features.language.formats import choose_format
from trainwright.features.language.samples import read_samples
from trainwright.features.language.template import Turn
from trainwright.foundation.errors import DataError

ASKED, SAID = Turn("user", "hi"), Turn("assistant", "Hello.")
MESSAGES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello."}]


def read(rows: list[dict[str, Any]], task: str, **words: Any) -> tuple[str, list[Any], dict[int, str]]:
    frame = pl.DataFrame(
        [{k: v if isinstance(v, str) or v is None else json.dumps(v) for k, v in row.items()} for row in rows]
    )
    word, form, names = choose_format(
        frame.columns, task=task, asked=words.get("asked", "auto"), called=words.get("called", {}), where="x"
    )
    samples, _, broken = read_samples(frame, form, names, 0)
    return word, samples, broken


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({"messages": MESSAGES}, "messages"),
        (
            {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "Hello."}]},
            "sharegpt",
        ),
        ({"instruction": "hi", "input": "", "output": "Hello."}, "alpaca"),
        ({"prompt": "hi", "completion": "Hello."}, "prompt"),
        ({"question": "hi", "answer": "Hello."}, "prompt"),
    ],
)
def test_conversations_of_every_format(row: dict[str, Any], word: str) -> None:
    found, samples, broken = read([row], "chat")
    assert found == word
    assert not broken
    assert samples[0].turns == (ASKED, SAID)


def test_more_of_alpaca() -> None:
    row = {
        "instruction": "Add",
        "input": "1 and 2",
        "output": "3",
        "system": "Be brief.",
        "history": [["a", "b"]],
    }
    _, samples, _ = read([row], "chat")
    turns = [
        ("system", "Be brief."),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "Add\n1 and 2"),
        ("assistant", "3"),
    ]
    assert [(turn.role, turn.text) for turn in samples[0].turns] == turns


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "hi", "chosen": "Hello.", "rejected": "No."},
        {
            "prompt": MESSAGES[:1],
            "chosen": MESSAGES[1:],
            "rejected": [{"role": "assistant", "content": "No."}],
        },
        {"chosen": MESSAGES, "rejected": [MESSAGES[0], {"role": "assistant", "content": "No."}]},
        {
            "conversations": [{"from": "human", "value": "hi"}],
            "chosen": {"from": "gpt", "value": "Hello."},
            "rejected": {"from": "gpt", "value": "No."},
        },
    ],
)
def test_preferences_of_every_format(row: dict[str, Any]) -> None:
    word, samples, broken = read([row], "preference")
    assert (word, broken) == ("preference", {})
    assert samples[0].turns == (ASKED,)
    assert (samples[0].chosen, samples[0].rejected) == ("Hello.", "No.")


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([], "no list of messages"),
        (MESSAGES[:1], "the assistant says nothing"),
        ([MESSAGES[0], MESSAGES[0], MESSAGES[1]], "messages 1 and 2 are both of the user"),
        ([{"role": "wizard", "content": "x"}, MESSAGES[1]], "unknown role 'wizard'"),
        (MESSAGES[1:], "the assistant speaks first"),
        ([MESSAGES[0], {"role": "assistant", "content": " "}], "answer is empty"),
        ([MESSAGES[0], {"role": "assistant"}], "message 2 has no content"),
        ([MESSAGES[0], {"content": "Hello."}], "message 2 has no role"),
        ([{"role": "user", "content": " "}, MESSAGES[1]], "message 1, of the user, is empty"),
        ([MESSAGES[0], {**MESSAGES[1], "weight": 0}], "none of the assistant's answers is to be learned"),
        ([MESSAGES[0], {**MESSAGES[1], "weight": 0.5}], "message 2 has the weight 0.5"),
        (["hi"], "no object with role and content"),
        ([MESSAGES[0], {"role": "system", "content": "x"}, MESSAGES[1]], "speaks first or not at all"),
    ],
)
def test_conversations_that_teach_nothing_are_named(messages: list[Any], why: str) -> None:
    _, samples, broken = read([{"messages": messages}], "chat")
    assert not samples
    assert why in broken[0]


CALL = [{"type": "function", "function": {"name": "clock", "arguments": "{}"}}]
NO_CALL = [{"type": None, "function": {"name": None, "arguments": None}}]


@pytest.mark.parametrize(
    ("second", "learned", "remarks"),
    [
        ({"content": "Hm."}, True, ()),
        ({"content": "Hm.", "weight": 1, "tool_calls": None}, True, ()),
        ({"content": "Hm.", "tool_calls": NO_CALL}, True, ()),  # a table's place for those of other rows
        ({"content": "Hm.", "weight": 0}, False, ("weightless",)),
        ({"content": "Hm.", "tool_calls": CALL}, False, ("calls",)),
        ({"content": None, "tool_calls": CALL}, False, ("calls",)),
        ({"content": "", "tool_calls": []}, False, ("silent",)),
    ],
)
def test_turns_that_are_only_read(second: dict[str, Any], learned: bool, remarks: tuple[str, ...]) -> None:
    messages = [
        MESSAGES[0],
        {"role": "assistant", **second},
        {"role": "tool", "content": "12:00"},
        MESSAGES[1],
    ]
    _, samples, broken = read([{"messages": messages}], "chat")
    assert not broken
    assert [turn.learned for turn in samples[0].turns] == [True, learned, True, True]
    assert samples[0].remarks == remarks


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([{"type": "text", "text": "Hello."}], "Hello."),
        ('[{"type": "text", "text": "Hello."}]', "Hello."),  # beside rows of plain text
        ('[{"type": "dog", "name": "Rex"}]', '[{"type": "dog", "name": "Rex"}]'),
        ("[]", "[]"),
    ],
)
def test_content_in_parts(content: Any, said: str) -> None:
    messages = [MESSAGES[0], {"role": "assistant", "content": content}]
    _, samples, broken = read([{"messages": messages}], "chat")
    assert not broken
    assert samples[0].turns[1].text == said


def test_pictures_are_no_text() -> None:
    parts = json.dumps([{"type": "image_url", "image_url": {"url": "x"}}])
    _, samples, broken = read([{"messages": [{"role": "user", "content": parts}, MESSAGES[1]]}], "chat")
    assert not samples
    assert "message 1 holds something that is no text" in broken[0]


def test_what_nobody_answers_is_counted() -> None:
    messages = [*MESSAGES, MESSAGES[0]]
    (sample,) = read([{"messages": messages}], "chat")[1]
    assert (sample.turns, sample.remarks) == ((ASKED, SAID), ("unanswered",))


def test_words_of_several_kinds_in_one_table() -> None:
    """Tables give each message the names of all, without a value."""
    empty = dict.fromkeys(("role", "content", "from", "value", "weight"))
    openai = [
        {**empty, "role": "developer", "content": "Be kind."},
        *({**empty, **each} for each in MESSAGES),
    ]
    words = [("human", "hi"), ("function_call", "clock()"), ("observation", "12:00"), ("gpt", "Hello.")]
    sharegpt = [{**empty, "from": role, "value": text} for role, text in words]
    parts = [MESSAGES[0], {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]}]
    _, samples, broken = read([{"messages": each} for each in (openai, sharegpt, parts)], "chat")
    assert not broken
    assert [[turn.role for turn in sample.turns] for sample in samples] == [
        ["system", "user", "assistant"],
        ["user", "assistant", "tool", "assistant"],
        ["user", "assistant"],
    ]
    assert samples[0].turns[1:] == samples[2].turns == (ASKED, SAID)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"prompt": "", "completion": "x"}, "the prompt is empty"),
        ({"prompt": None, "completion": "x"}, "the prompt is empty"),
        ({"prompt": "x", "completion": None}, "the assistant's answer is empty"),
        ({"instruction": " ", "input": "", "output": "x"}, "the instruction is empty"),
    ],
)
def test_nothing_is_learned_as_an_answer_to_nothing(row: dict[str, Any], why: str) -> None:
    _, samples, broken = read([row], "chat")
    assert not samples
    assert broken[0] == why


MORE = [{"role": "assistant", "content": "Hm."}, {"role": "user", "content": "and?"}]


@pytest.mark.parametrize(
    ("prompt", "before"),
    [
        (None, [MESSAGES[0], *MORE]),
        ("hi", [MESSAGES[0], *MORE]),  # the first question alone
        ("and?", [MESSAGES[0], *MORE]),  # the last one
        ([MESSAGES[0], *MORE], [MESSAGES[0], *MORE]),
        ([MESSAGES[0], *MORE], []),
        ([MESSAGES[0], *MORE], MORE[1:]),
        ("hi", MORE),  # what went on behind it
    ],
)
def test_preferences_keep_what_was_said_before(prompt: Any, before: list[Any]) -> None:
    row = {"prompt": prompt, "chosen": [*before, MESSAGES[1]]}
    row["rejected"] = [*before, {"role": "assistant", "content": "No."}]
    _, samples, broken = read([row], "preference")
    assert not broken
    assert [turn.text for turn in samples[0].turns] == ["hi", "Hm.", "and?"]
    assert (samples[0].chosen, samples[0].rejected) == ("Hello.", "No.")


def test_answers_to_different_conversations_are_no_preference() -> None:
    other = [{"role": "user", "content": "what?"}, {"role": "assistant", "content": "No."}]
    row = {"prompt": "hi", "chosen": MESSAGES, "rejected": other}
    _, samples, broken = read([row], "preference")
    assert not samples
    assert "chosen and rejected answer different conversations" in broken[0]


def test_columns_that_fit_no_format() -> None:
    with pytest.raises(DataError, match="no format of chat fits the columns a, b"):
        read([{"a": "x", "b": "y"}], "chat")
    with pytest.raises(
        DataError, match="chat does not learn from data in the format text; set task to causal-lm"
    ):
        read([{"text": "x"}], "chat")
    with pytest.raises(DataError, match="the format alpaca needs the columns instruction, output"):
        read([{"text": "x"}], "chat", asked="alpaca")
    with pytest.raises(DataError, match=r"there is no column 'boddy'.*did you mean 'body'"):
        read([{"body": "x", "y": "z"}], "causal-lm", called={"text": "boddy"})


def test_columns_may_have_other_names() -> None:
    word, samples, _ = read([{"q": "hi", "a": "Hello."}], "chat", called={"prompt": "q", "completion": "a"})
    assert word == "prompt"
    assert samples[0].turns == (ASKED, SAID)
    assert read([{"verse": "x"}], "causal-lm")[0] == "text"  # the only column there is


@pytest.mark.parametrize("answer", ['{"a": 1}', "[1, 2]", "[]", "{}", '[{"a": 1}]', '"x"', "[broken"])
def test_json_that_is_no_message_is_what_was_said(answer: str) -> None:
    row = {"prompt": answer, "chosen": answer, "rejected": "No."}
    _, samples, broken = read([row], "preference")
    assert not broken
    assert (samples[0].turns, samples[0].chosen) == ((Turn("user", answer),), answer)
    _, samples, broken = read([{"prompt": "x", "chosen": "No.", "rejected": answer}], "preference")
    assert samples[0].rejected == answer


def test_the_system_is_nobody_that_could_be_answered() -> None:
    messages = [{"role": "system", "content": "Be kind."}, MESSAGES[1]]
    _, samples, broken = read([{"messages": messages}], "chat")
    assert not samples
    assert "the assistant speaks first" in broken[0]


def test_names_of_columns_without_effect_are_refused() -> None:
    with pytest.raises(DataError, match=r"no format has a column 'txt' .*did you mean 'text'"):
        read([{"body": "x", "text": "y"}], "causal-lm", called={"txt": "body"})
    with pytest.raises(DataError, match="names 'prompt', which has no effect: the format is text"):
        read([{"body": "x", "text": "y"}], "causal-lm", called={"prompt": "body"})
    assert read([{"body": "x", "text": "y"}], "causal-lm", called={"text": "body"})[1][0].text == "x"
    asked = read([{"q": "hi", "a": "Hello."}], "chat", called={"question": "q", "answer": "a"})
    assert asked[1][0].turns == (ASKED, SAID)

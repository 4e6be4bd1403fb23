"""The formats in which people keep what a language model learns from, told by their columns.

A row becomes a `Sample`: a text, a conversation, a pair, or a conversation with a better and a worse answer.
A new format is one entry of `FORMATS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, TypeAlias

from trainwright.features.language.template import ROLES, Turn
from trainwright.foundation.errors import DataError, did_you_mean

Kind = Literal["text", "chat", "preference", "pair"]
Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Sample:
    """What one row says; which fields are set depends on its kind.

    Attributes:
        text: of a text; or the source of a pair.
        turns: of a conversation; of a preference those before the answers.
        chosen: better answer; or the target of a pair.
        rejected: worse answer.
        remarks: what of a conversation is left out or not learned, a word of `REMARKS` for each time.
    """

    text: str = ""
    turns: tuple[Turn, ...] = ()
    chosen: str = ""
    rejected: str = ""
    remarks: tuple[str, ...] = ()


UNANSWERED, CALLS, SILENT, WEIGHTLESS = "unanswered", "calls", "silent", "weightless"
REMARKS: Mapping[str, str] = {
    UNANSWERED: "Conversations that end with what nobody answers, which is left out: {count}.",
    CALLS: "Turns in which the assistant calls a tool, which are read and not learned: {count}.",
    SILENT: "Turns in which the assistant says nothing, which are read and not learned: {count}.",
    WEIGHTLESS: "Turns of the assistant with weight 0, which are read and not learned: {count}.",
}
"""Word → note of how often it was said of a sample."""


class Unusable(ValueError):  # noqa: N818 (it becomes a quarantined row)
    """A row that nothing can be learned from, and why."""


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        kind: what its rows are.
        columns: names that there must be; of alternatives, any.
        optional: names that there may be.
        read: row, by these names → sample. Raises `Unusable`.
    """

    kind: Kind
    columns: tuple[tuple[str, ...], ...]
    read: Callable[[Row], Sample]
    optional: tuple[str, ...] = field(default=())

    @property
    def known(self) -> list[str]:
        """All names that its columns may have."""
        return [*(name for alternatives in self.columns for name in alternatives), *self.optional]

    def names(self, columns: Iterable[str], called: Mapping[str, str]) -> dict[str, str] | None:
        """Return the format's names → columns of the data; None where one is missing.

        Args:
            columns: those of the data.
            called: columns that the user named.
        """
        there = set(columns)
        found: dict[str, str] = {}
        for alternatives in self.columns:
            name = next((name for name in alternatives if called.get(name, name) in there), None)
            if name is None:
                return None
            found[alternatives[0]] = called.get(name, name)
        for name in self.optional:
            if called.get(name, name) in there:
                found[name] = called.get(name, name)
        return found


_SPEAKERS = {
    "human": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",  # LLaMA-Factory: what the assistant writes to call a tool
    "observation": "tool",
    "function": "tool",
    "developer": "system",  # OpenAI's newer word
}


def _text(row: Row) -> Sample:
    text = _string(row, "text")
    if not text.strip():
        raise Unusable("the text is empty")
    return Sample(text=text)


def _prompt(row: Row) -> Sample:
    asked = _string(row, "prompt")
    if not asked.strip():
        raise Unusable("the prompt is empty")
    turns = [Turn("user", asked), Turn("assistant", _string(row, "completion"))]
    return _conversation([*_system(row), *turns])


def _alpaca(row: Row) -> Sample:
    asked = "\n".join(part for name in ("instruction", "input") if (part := _string(row, name)).strip())
    if not asked:
        raise Unusable("the instruction is empty")
    turns = [Turn("user", asked), Turn("assistant", _string(row, "output"))]
    before = []
    for pair in _json(row.get("history")) or ():
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise Unusable("its history is no list of pairs of texts")
        before += [Turn("user", pair[0]), Turn("assistant", pair[1])]
    return _conversation([*_system(row), *before, *turns])


def _conversations(row: Row) -> Sample:
    remarks: list[str] = []
    return _conversation([*_system(row), *_turns(row["messages"], remarks)], remarks)


def _preference(row: Row) -> Sample:
    before: list[Turn] = []
    if row.get("messages") is not None:
        before = _turns(row["messages"])
    elif row.get("prompt") is not None:
        messages = _messages(row["prompt"])
        before = [Turn("user", str(row["prompt"]))] if messages is None else _turns(messages)
    chosen, rejected = _answer(row["chosen"], "chosen"), _answer(row["rejected"], "rejected")
    if _said(chosen[:-1]) != _said(rejected[:-1]):
        raise Unusable("chosen and rejected answer different conversations")
    before = _joined(before, chosen[:-1])
    turns = _checked([*_system(row), *before, chosen[-1]])
    if chosen[-1].text == rejected[-1].text:
        raise Unusable("the chosen and the rejected answer are the same")
    return Sample(turns=turns[:-1], chosen=chosen[-1].text, rejected=rejected[-1].text)


def _joined(before: list[Turn], context: list[Turn]) -> list[Turn]:
    """Return the conversation that a prompt and the turns before an answer make together.

    Some data repeat the prompt before each answer, some keep only the last question as the prompt, and some
    go on behind it.
    """
    prompt, told = _said(before), _said(context)
    if prompt in (told[: len(prompt)], told[len(told) - len(prompt) :]):
        return context
    return before if told == prompt[len(prompt) - len(told) :] else before + context


def _said(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    return [(turn.role, turn.text.strip()) for turn in turns]


def _answer(value: Any, name: str) -> list[Turn]:
    """Return the turns of an answer: a text, a message, or a conversation that ends with it."""
    messages = _messages(value)
    if messages is not None:
        turns = _turns(messages)
    elif isinstance(value, str):
        turns = [Turn("assistant", value)]
    else:
        turns = []
    if not turns or turns[-1].role != "assistant" or not turns[-1].text.strip():
        raise Unusable(f"{name} does not end with an answer of the assistant")
    return turns


def _messages(value: Any) -> list[Any] | None:
    """Return the messages that a value is, in a list or one alone; None where it is something else.

    JSON that no message is made of is text: an answer may well be an object or a list.
    """
    parsed = _json(value)
    listed = [parsed] if isinstance(parsed, dict) else parsed
    if not isinstance(listed, list) or not listed:
        return None
    are_messages = all(isinstance(one, dict) and ("role" in one or "from" in one) for one in listed)
    return listed if are_messages or not isinstance(value, str) else None


def _pair(row: Row) -> Sample:
    source, target = _string(row, "source"), _string(row, "target")
    for name, text in (("source", source), ("target", target)):
        if not text.strip():
            raise Unusable(f"the {name} is empty")
    return Sample(text=source, chosen=target)


FORMATS: Mapping[str, Format] = {
    "preference": Format(
        "preference", (("chosen",), ("rejected",)), _preference, ("messages", "prompt", "system")
    ),
    "messages": Format("chat", (("messages",),), _conversations, ("system",)),
    "sharegpt": Format("chat", (("messages", "conversations", "conversation"),), _conversations, ("system",)),
    "alpaca": Format("chat", (("instruction",), ("output",)), _alpaca, ("input", "system", "history")),
    "prompt": Format(
        "chat",
        (("prompt", "question", "query"), ("completion", "answer", "response")),
        _prompt,
        ("system",),
    ),
    "pairs": Format("pair", (("source",), ("target",)), _pair),
    "text": Format("text", (("text", "content", "document", "body"),), _text),
}
"""Word → format, those with more telling columns first."""

_CONVERSATION_COLUMNS = ("conversations", "conversation")

KINDS_OF_TASK: Mapping[str, tuple[Kind, ...]] = {
    "causal-lm": ("text", "chat"),
    "masked-lm": ("text", "chat"),
    "chat": ("chat",),
    "sequence-to-sequence": ("pair", "chat"),
    "preference": ("preference",),
}
"""Task → kinds of samples that it learns from, the best first."""


def choose_format(
    columns: Sequence[str],
    *,
    task: str,
    asked: str,
    called: Mapping[str, str],
    where: str,
) -> tuple[str, Format, dict[str, str]]:
    """Return the word of the data's format, the format, and its names → columns.

    Args:
        columns: those of the data.
        task: what is to be learned.
        asked: the recipe's format; "auto" to be told by the columns.
        called: columns that the recipe names.
        where: what messages call the data.

    Raises:
        DataError: the columns fit no format, or none that the task learns from; or a name of `called` has no
            effect.
    """
    kinds = KINDS_OF_TASK[task]
    known = dict.fromkeys(name for form in FORMATS.values() for name in form.known)
    for name in called:
        if name not in known:
            raise DataError(
                f"no format has a column '{name}' (language.columns)",
                where=where,
                fix=did_you_mean(name, known),
            )
    for column in called.values():
        if column not in columns:
            raise DataError(
                f"there is no column '{column}' (language.columns)",
                where=where,
                fix=did_you_mean(column, columns),
            )
    if asked != "auto":
        names = _names(FORMATS[asked], columns, called)
        if names is None:
            wanted = ", ".join(" or ".join(alternatives) for alternatives in FORMATS[asked].columns)
            raise DataError(
                f"the format {asked} needs the columns {wanted}, and there are {', '.join(columns[:12])}",
                where=where,
                fix="rename them, or say which is which with language.columns",
            )
        found = {asked: (FORMATS[asked], names)}
    else:
        found = {
            word: (form, names)
            for word, form in FORMATS.items()
            if (names := _names(form, columns, called)) is not None
        }
    for kind in kinds:
        for word, (form, names) in found.items():
            if form.kind == kind:
                _check_used(called, word, names, where)
                return word, form, names
    if found:
        has = next(iter(found))
        raise DataError(
            f"{task} does not learn from data in the format {has}",
            where=where,
            fix=f"set task to {_task_for(found[has][0].kind)}, or give other data",
        )
    if len(columns) == 1 and "text" in kinds:
        return "text", FORMATS["text"], {"text": columns[0]}
    wanted = "; ".join(
        f"{word}: {', '.join(name[0] for name in form.columns)}"
        for word, form in FORMATS.items()
        if form.kind in kinds
    )
    raise DataError(
        f"no format of {task} fits the columns {', '.join(columns[:12])}",
        where=where,
        fix=f"rename them or set language.columns; there are {wanted}",
    )


def _check_used(called: Mapping[str, str], word: str, names: Mapping[str, str], where: str) -> None:
    """Refuse names of columns that the chosen format does not read."""
    form = FORMATS[word]
    for name, column in called.items():
        if name not in form.known or column not in names.values():
            raise DataError(
                f"language.columns names '{name}', which has no effect: the format is {word}",
                where=where,
                fix=f"leave it out, or name columns of {word}: {', '.join(form.known)}",
            )


def task_of_columns(columns: Sequence[str]) -> str | None:
    """Return the task that data with these columns is made for; None where they tell of none.

    A column of texts tells of a language model only where there is no other.

    Args:
        columns: those of the data.
    """
    for form in FORMATS.values():
        if _names(form, columns, {}) is not None and (form.kind != "text" or len(columns) == 1):
            return _task_for(form.kind)
    return None


def _names(form: Format, columns: Sequence[str], called: Mapping[str, str]) -> dict[str, str] | None:
    names = form.names(columns, called)
    if names is not None and form.kind == "preference" and "messages" not in names:
        other = next((name for name in _CONVERSATION_COLUMNS if name in columns), None)
        if other is not None:
            names["messages"] = other
    return names


def _task_for(kind: Kind) -> str:
    return next(task for task, kinds in KINDS_OF_TASK.items() if kinds[0] == kind)


def _turns(value: Any, remarks: list[str] | None = None) -> list[Turn]:
    """Return the turns of a list of messages, in OpenAI's words or ShareGPT's.

    Args:
        value: the list, perhaps as JSON.
        remarks: why turns of the assistant are not learned is added.
    """
    messages = _json(value)
    if not isinstance(messages, list) or not messages:
        raise Unusable("it has no list of messages")
    turns = []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict):
            raise Unusable(f"message {number} is no object with role and content")
        role, text = _either(message, "role", "from"), _either(message, "content", "value")
        calls = _is_said([message.get("tool_calls"), message.get("function_call")])
        if text is None and calls:
            text = ""
        text = _parts(text)
        if isinstance(text, list):
            if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in text):
                raise Unusable(f"message {number} holds something that is no text")
            text = "".join(part["text"] for part in text)
        if not isinstance(role, str):
            raise Unusable(f"message {number} has no role")
        known = _SPEAKERS.get(role, role)
        if known not in ROLES:
            raise Unusable(f"message {number} has the unknown role '{role}' (known: {', '.join(ROLES)})")
        if not isinstance(text, str):
            raise Unusable(f"message {number} has no content")
        if known == "user" and not text.strip():
            raise Unusable(f"message {number}, of the user, is empty")
        why = _why_unlearned(message, text, calls, number) if known == "assistant" else None
        if why is not None and remarks is not None:
            remarks.append(why)
        turns.append(Turn(known, text, why is None))
    return turns


def _parts(content: Any) -> Any:
    """Return the parts of a message, as OpenAI's with pictures have; anything else as it is.

    Tables write a list as JSON where other rows hold plain text. Other JSON is what was said.
    """
    parsed = _json(content)
    are_parts = isinstance(parsed, list) and all(
        isinstance(part, dict) and isinstance(kind := part.get("type"), str) and kind in part
        for part in parsed
    )
    return parsed if are_parts and parsed else content


def _either(message: Mapping[str, Any], *names: str) -> Any:
    """Return what a message holds by one of some names: tables give each row the names of all, some empty."""
    return next((message[name] for name in names if message.get(name) is not None), None)


def _is_said(value: Any) -> bool:
    """Return whether a value holds anything; an object that a table has made of nothing does not."""
    if isinstance(value, dict | list):
        return any(map(_is_said, value.values() if isinstance(value, dict) else value))
    return value not in (None, "")


def _why_unlearned(message: Mapping[str, Any], text: str, calls: bool, number: int) -> str | None:
    """Return why a turn of the assistant is only read; None where it is learned.

    Templates are given no calls: whoever learned such a turn would learn to end it where the call begins.
    """
    weight = message.get("weight")  # OpenAI's
    if weight not in (None, 0, 1):
        raise Unusable(f"message {number} has the weight {weight} (known: 0, not learned, and 1)")
    if weight == 0:
        return WEIGHTLESS
    if calls:
        return CALLS
    return None if text.strip() else SILENT


def _conversation(turns: list[Turn], remarks: Sequence[str] = ()) -> Sample:
    """Return a conversation as a sample.

    Raises:
        Unusable: nothing can be learned from it.
    """
    checked = _checked(turns)
    if not any(turn.learned for turn in checked if turn.role == "assistant"):
        raise Unusable("none of the assistant's answers is to be learned")
    ends = (UNANSWERED,) if len(checked) < len(turns) else ()
    return Sample(turns=checked, remarks=(*remarks, *ends))


def _checked(turns: list[Turn]) -> tuple[Turn, ...]:
    """Return turns that make a conversation, up to the last answer.

    Raises:
        Unusable: they do not.
    """
    for number, (turn, following) in enumerate(pairwise(turns), 1):
        if turn.role == following.role != "tool":
            raise Unusable(f"messages {number} and {number + 1} are both of the {turn.role}")
        if following.role == "system":
            raise Unusable(f"message {number + 1} is of the system, which speaks first or not at all")
    answers = [turn for turn in turns if turn.role == "assistant"]
    if not answers:
        raise Unusable("the assistant says nothing")
    if not any(turn.text.strip() for turn in answers):
        raise Unusable("the assistant's answer is empty")
    if next(turn.role for turn in turns if turn.role != "system") == "assistant":
        raise Unusable("the assistant speaks first, to nobody")
    while turns[-1].role != "assistant":  # what nobody answers teaches nothing
        turns = turns[:-1]
    return tuple(turns)


def _system(row: Row) -> list[Turn]:
    text = row.get("system")
    return [Turn("system", text)] if isinstance(text, str) and text.strip() else []


def _string(row: Row, name: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "\n".join(value)
    if not isinstance(value, str):
        raise Unusable(f"{name} is no text")
    return value


def _json(value: Any) -> Any:
    """Return the value of JSON text, as tables keep nested objects; anything else as it is."""
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value

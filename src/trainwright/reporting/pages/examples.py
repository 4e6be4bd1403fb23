"""Rows of the test to look at: what went in, what the model said, what was right."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainwright.reporting.language import Message, both, verbatim
from trainwright.reporting.numbers import clip, number, percent, plain

_MOST_EXAMPLES = 12
_MOST_FIELDS = 8
_CELL = 120  # characters of a value
_TEXT = 1500  # characters of a text
# Pictures and sounds of all examples together; what comes after is left out.
_MEDIA_BYTES = 6_000_000
_MEDIA = re.compile(
    r"data:(?:image/(?:png|jpeg|webp|gif)|audio/(?:wav|x-wav|ogg|flac|mpeg|mp4));base64,[A-Za-z0-9+/]+={0,2}"
)


@dataclass(frozen=True)
class Input:
    """One input of an example; `media` is a checked data URI."""

    name: str
    kind: str
    text: str
    media: str | None


@dataclass(frozen=True)
class Example:
    """A test row: what it is, what the model said, what was right."""

    where: Message
    true: str
    predicted: str
    probability: str
    right: bool
    loss: str
    media: Sequence[Input]
    texts: Sequence[Input]
    fields: Sequence[Input]
    more: Sequence[Input]


class MediaBudget:
    """Counts the bytes of pictures and sounds, so that a report stays small enough for a mail."""

    def __init__(self, left: int = _MEDIA_BYTES) -> None:
        self._left = left

    def take(self, uri: str | None) -> str | None:
        """Return the URI when it is one of a picture or a sound and there is room for it."""
        if not uri or len(uri) > self._left or not _MEDIA.fullmatch(uri):
            return None
        self._left -= len(uri)
        return uri


def are_rows(examples: Sequence[Example]) -> bool:
    """Return whether the examples are mere rows of figures and words, which a table suits better."""
    return bool(examples) and not any(example.media or example.texts for example in examples)


def example_cards(examples: Sequence[Mapping[str, Any]], budget: MediaBudget) -> list[Example]:
    """Return the examples as the page shows them, at most a dozen."""
    return [_example(item, budget) for item in examples[:_MOST_EXAMPLES]]


def _example(item: Mapping[str, Any], budget: MediaBudget) -> Example:
    inputs = [_input(name, value, budget) for name, value in item["inputs"].items()]
    fields = [one for one in inputs if not one.media and one.kind != "text"]
    return Example(
        where=verbatim(clip(item["where"], _CELL))
        if item.get("where")
        else both("row {row}", row=item["row"]),
        true=clip(plain(item["true"]), _CELL),
        predicted=clip(plain(item["predicted"]), _CELL),
        probability="" if item.get("probability") is None else percent(item["probability"]),
        right=item["true"] == item["predicted"],
        loss=number(item.get("loss")),
        media=[one for one in inputs if one.media],
        texts=[one for one in inputs if not one.media and one.kind == "text" and one.text],
        fields=fields[:_MOST_FIELDS],
        more=fields[_MOST_FIELDS:],
    )


def _input(name: str, value: Mapping[str, Any], budget: MediaBudget) -> Input:
    longest = _TEXT if value["type"] == "text" else _CELL
    text = "" if value.get("value") is None else clip(plain(value["value"]), longest)
    return Input(clip(name, 60), value["type"], text, budget.take(value.get("data")))

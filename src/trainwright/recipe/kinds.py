"""What a setting may be, in words: for errors, for the reference page, and to find a setting by its path."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trainwright.recipe.budget import Budget
from trainwright.recipe.shorthand import Shorthand

_WORDS: dict[Any, tuple[str, str]] = {  # one, several
    str: ("text", "texts"),
    Path: ("text", "texts"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "true or false"),
    Budget: ("a budget", "budgets"),
    dict: ("a mapping", "mappings"),
    list: ("a list", "lists"),
    tuple: ("a list", "lists"),
    type(None): ("null", "null"),
    None: ("null", "null"),
    Any: ("any value", "any values"),
}


LISTS = (list, tuple, set, frozenset, Sequence)
MAPPINGS = (dict, Mapping)


@dataclass(frozen=True)
class Kind:
    """The type of a setting.

    Attributes:
        annotation: the type, without `Annotated`.
        metadata: constraints and markers, pydantic's and ours.
    """

    annotation: Any
    metadata: tuple[Any, ...] = ()

    @classmethod
    def of(cls, annotation: Any, metadata: Sequence[Any] = ()) -> Kind:
        """Return the kind of an annotation, `Annotated` taken apart."""
        found = tuple(metadata)
        while get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            found = (*more, *found)
        flat: list[Any] = []
        for entry in found:
            flat.extend(entry.metadata if isinstance(entry, FieldInfo) else [entry])
        return cls(annotation, tuple(flat))

    @property
    def branches(self) -> tuple[Kind, ...]:
        """The kinds of a union; the kind itself where it is none."""
        if get_origin(self.annotation) in (Union, types.UnionType):
            return tuple(Kind.of(branch) for branch in get_args(self.annotation))
        return (self,)

    @property
    def num_branches(self) -> int:
        """How many kinds there are besides null."""
        return sum(branch.annotation not in (None, type(None)) for branch in self.branches)

    @property
    def model(self) -> type[BaseModel] | None:
        """The section, where the setting is one."""
        annotation = self.annotation
        return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that the setting may be, where it is text from a list."""
        return tuple(
            str(word)
            for branch in self.branches
            if get_origin(branch.annotation) is Literal
            for word in get_args(branch.annotation)
        )

    @property
    def shorthand(self) -> Shorthand | None:
        """The short form, where the setting has one."""
        return next((entry for entry in self.metadata if isinstance(entry, Shorthand)), None)

    def step(self, key: str | int) -> Kind | None:
        """Return the kind of what is at `key` inside the setting; None where there is no such place."""
        for branch in self.branches:
            model, origin, inner = branch.model, get_origin(branch.annotation), get_args(branch.annotation)
            if model is not None:
                field = model.model_fields.get(key) if isinstance(key, str) else None
                if field is not None:
                    return Kind.of(field.annotation, field.metadata)
            elif isinstance(key, str) and origin in MAPPINGS:
                return Kind.of(inner[1])
            elif isinstance(key, int) and origin in LISTS:
                variadic = origin is not tuple or inner[-1] is Ellipsis
                if variadic or key < len(inner):
                    return Kind.of(inner[0] if variadic else inner[key])
        return None

    def describe(self, *, null: bool = False, several: bool = False) -> str:
        """Return what the setting may be: "a whole number of at least 1", "adamw, adam, sgd or rmsprop".

        Args:
            null: name null too, where it is among the values.
            several: speak of more than one: "whole numbers of at least 1".
        """
        joined, bounds = _either(self._all_words(null, several)), _bounds(self.metadata)
        return f"{joined} {bounds}" if bounds else joined

    def _all_words(self, null: bool, several: bool) -> list[str]:
        words: list[str] = []
        for branch in self.branches:
            if branch.annotation in (None, type(None)) and not null:
                continue
            bounds = _bounds(branch.metadata) if branch is not self else ""
            words += [f"{word} {bounds}" if bounds else word for word in branch._words(several)]
        return list(dict.fromkeys(words))

    def _words(self, several: bool) -> list[str]:
        origin, inner = get_origin(self.annotation), get_args(self.annotation)
        if origin is Literal:
            return [str(word) for word in inner]
        if origin in LISTS:
            return [f"{'lists' if several else 'a list'} of {Kind.of(inner[0]).describe(several=True)}"]
        if origin in MAPPINGS:
            values = Kind.of(inner[1])
            each = "their settings" if values.model else values.describe(several=True)
            return [f"{'mappings' if several else 'a mapping'} of names to {each}"]
        if self.model is not None:
            section = "sections" if several else "a section"
            short = self.shorthand
            if short is None or short.key is None:
                return [section]
            inside = self.step(short.key)
            assert inside is not None
            return [*inside._all_words(False, several), section]
        name = getattr(self.annotation, "__name__", str(self.annotation))
        return [_WORDS.get(self.annotation, (name, name))[several]]


def kind_at(model: type[BaseModel], path: Sequence[str | int]) -> Kind | None:
    """Return the kind of the setting at a path from a model; None where there is no such setting."""
    kind: Kind | None = Kind.of(model)
    for key in path:
        kind = kind.step(key) if kind is not None else None
    return kind


def _either(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1] if words else ""]))


def _bounds(metadata: Sequence[Any]) -> str:
    """Return the limits in a constraint list in words: "above 0 and below 1", "of at least 1"."""
    limits: dict[str, Any] = {}
    for entry in metadata:
        parts = entry if isinstance(entry, annotated_types.GroupedMetadata) else [entry]
        for part in parts:
            for name in ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern"):
                value = getattr(part, name, None)
                if value is not None:
                    limits[name] = _power(value) if name in ("gt", "ge", "lt", "le") else value
    words: list[str] = []
    if "ge" in limits and ("le" in limits or "lt" in limits):
        words.append(f"from {limits['ge']} to {limits['le']}" if "le" in limits else _from_to_below(limits))
    else:
        texts = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}
        if "gt" in limits:
            texts["le"] = "at most"
        words += [f"{text} {limits[name]}" for name, text in texts.items() if name in limits]
    if "multiple_of" in limits:
        words.append(f"divisible by {limits['multiple_of']}")
    if limits.get("min_length", 0) > 1:
        words.append(f"of length {limits['min_length']} or more")
    if "max_length" in limits:
        words.append(f"of length {limits['max_length']} or less")
    if "pattern" in limits:
        words.append(f"like {limits['pattern']}")
    return " and ".join(words)


def _power(value: Any) -> Any:
    """Return 2**63 as "2**63": nobody knows its digits."""
    large = isinstance(value, int) and value > 2**31 and value.bit_count() == 1
    return f"2**{value.bit_length() - 1}" if large else value


def _from_to_below(limits: Mapping[str, Any]) -> str:
    return f"from {limits['ge']} to below {limits['lt']}"

"""YAML to plain values with the position of each: the part of YAML 1.2 that settings need, and no more.

Anchors, aliases, tags, merge keys and several documents are refused: a recipe says a thing in one way, and
each of them is a way for a file from elsewhere to grow without bound or to name Python objects.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from trainwright.foundation.errors import RecipeError
from trainwright.recipe.mistakes import Mistake
from trainwright.recipe.positions import KeyPath, Mark, Positions, dotted

if TYPE_CHECKING:
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.events import Event, ScalarEvent

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 100_000
"""Keys and values of one recipe: some tens of thousands of columns with options."""

_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+")
_REAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}
_WORDS.update(dict.fromkeys(("", "~", "null", "Null", "NULL")))
_WORDS.update(dict.fromkeys(("true", "True", "TRUE"), True))
_WORDS.update(dict.fromkeys(("false", "False", "FALSE"), False))
_MAX_DIGITS = 400  # beyond it a number is a text: Python refuses to read very long ones

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_QUOTE = "put quotes around the text"
_FIX = "write 'key: value' lines, two spaces a level"
_FIXES = {  # part of the parser's words → what to do
    "'\\t'": "indent with spaces, not with tabs",
    "mapping values are not allowed": f"{_QUOTE} if the colon belongs to it, or check the indentation",
    "could not find expected ':'": "write 'key: value'",
    "cannot start any token": f"{_QUOTE}: this character means something else at the start",
    "expected alphabetic or numeric character": f"{_QUOTE}: * and & mean something else at the start",
    "<block end>": "give the keys of one section the same indentation",
    "<stream end>": "close the bracket or the quote",
    "unexpected end of stream": "close the quote",
    "expected ',' or": "close the bracket, or put a comma between the values",
    "escape": "write \\\\ for a backslash, or use single quotes",
}


def parse_yaml(text: str, source: str) -> tuple[Any, Positions, list[Mistake]]:
    """Return the plain value of a YAML text, where its parts stand, and the keys that were written twice.

    Keys are texts exactly as written, so that a column called 2024 or `yes` needs no quotes. Of a key that
    is written twice the first value is kept.

    Args:
        text: one YAML document.
        source: what messages call it.

    Raises:
        RecipeError: the text is not YAML, or uses more of YAML than settings need; with its position.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    found = _UNPRINTABLE.search(text)
    if found is not None:
        raise RecipeError(
            f"there is a control character (U+{ord(found.group()):04X})",
            where=_at(source, mark_of(text, found.start())),
            fix="remove it",
        )
    try:
        return _Builder(YAML(typ="safe", pure=True).parse(text), source).document()
    except MarkedYAMLError as error:
        raise _syntax_error(error, source) from error
    except YAMLError as error:
        raise RecipeError(f"this is not YAML ({error})", where=source, fix=_FIX) from error


def mark_of(text: str, index: int) -> Mark:
    """Return the line and column of a character, both from 1."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def scalar(text: str) -> Any:
    """Return the value of an unquoted YAML word: null, true or false, a number, or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= _MAX_DIGITS:
        if _INTEGER.fullmatch(text):
            return int(text.replace("_", ""), {"0o": 8, "0x": 16}.get(text[:2], 10))
        if _REAL.fullmatch(text):
            return float(text.replace("_", ""))
    return text


class _Builder:
    """Builds values from parser events as they come, so that limits hold before anything has grown."""

    def __init__(self, events: Iterator[Event], source: str) -> None:
        self.events, self.source = events, source
        self.keys: dict[KeyPath, Mark] = {}
        self.values: dict[KeyPath, Mark] = {}
        self.repeated: list[Mistake] = []
        self.count = 0

    def document(self) -> tuple[Any, Positions, list[Mistake]]:
        from ruamel.yaml.events import DocumentStartEvent

        value: Any = None
        num_documents = 0
        for event in self.events:  # but for documents, only the ends of things come here
            if isinstance(event, DocumentStartEvent):
                num_documents += 1
                if num_documents > 1:
                    raise self.error(event, "a second document starts here", "keep one recipe in a file")
                value = self.value(next(self.events), ())
        return value, Positions(self.source, self.keys, self.values), self.repeated

    def value(self, event: Event, path: KeyPath) -> Any:
        from ruamel.yaml.events import MappingStartEvent, ScalarEvent, SequenceStartEvent

        self.check(event, path)
        self.values[path] = _mark(event)
        if isinstance(event, ScalarEvent):
            if event.implicit[0] and not event.value:  # which the parser takes to stand on the next line
                self.values[path] = self.keys.get(path, self.values[path])
            return scalar(event.value) if event.implicit[0] else event.value
        if isinstance(event, MappingStartEvent):
            return self.mapping(path)
        assert isinstance(event, SequenceStartEvent)
        return self.sequence(path)

    def mapping(self, path: KeyPath) -> dict[str, Any]:
        from ruamel.yaml.events import MappingEndEvent, ScalarEvent

        built: dict[str, Any] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            self.check(event, path)
            if not isinstance(event, ScalarEvent):
                raise self.error(event, "a key must be a text", "put quotes around it")
            key = self.key(event)
            if key in built:
                line = self.keys[(*path, key)][0]
                # Its value is read beside, under an index that no list has, to find where it ends.
                aside: KeyPath = (*path, key, -1 - len(self.repeated))
                what = f"{dotted((*path, key))} is written twice, first in line {line}"
                self.repeated.append(Mistake(aside, what, "keep one of them", at_key=True))
                self.keys[aside] = _mark(event)
                self.value(next(self.events), aside)
                continue
            self.keys[(*path, key)] = _mark(event)
            built[key] = self.value(next(self.events), (*path, key))
        return built

    def sequence(self, path: KeyPath) -> list[Any]:
        from ruamel.yaml.events import SequenceEndEvent

        built: list[Any] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            built.append(self.value(event, (*path, len(built))))
        return built

    def key(self, event: ScalarEvent) -> str:
        if event.value == "<<" and event.implicit[0]:
            raise self.error(event, "a recipe has no merge keys (<<)", "write the keys out")
        return str(event.value)

    def check(self, event: Any, path: KeyPath) -> None:
        """Refuse what settings do not need, and what has no end."""
        from ruamel.yaml.events import AliasEvent

        self.count += 1
        if self.count > MAX_VALUES:
            raise self.error(event, f"this recipe holds more than {MAX_VALUES} values", "shorten it")
        if len(path) > MAX_DEPTH:
            raise self.error(event, f"this is nested deeper than {MAX_DEPTH} levels", "take some away")
        if isinstance(event, AliasEvent):
            what = f"a recipe has no aliases (*{event.anchor})"
            fix = "write the value out, or put quotes around a text that starts with *"
            raise self.error(event, what, fix)
        if getattr(event, "anchor", None) is not None:
            what = f"a recipe has no anchors (&{event.anchor})"
            raise self.error(event, what, "remove it, or put quotes around a text that starts with &")
        if getattr(event, "tag", None) is not None:
            what = f"a recipe has no tags ({event.tag})"
            raise self.error(event, what, "remove it, or put quotes around a text that starts with !")

    def error(self, event: Event, what: str, fix: str) -> RecipeError:
        return RecipeError(what, where=_at(self.source, _mark(event)), fix=fix)


def _mark(event: Event) -> Mark:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _at(source: str, mark: Mark) -> str:
    return f"{source}:{mark[0]}:{mark[1]}"


def _syntax_error(error: MarkedYAMLError, source: str) -> RecipeError:
    problem = str(error.problem or error.context or "this is not YAML")
    place = error.problem_mark or error.context_mark
    if (
        "stream" in problem or "expected ':'" in problem
    ) and error.context_mark is not None:  # what is open, not where it was given up
        place = error.context_mark
    fix = next((fix for words, fix in _FIXES.items() if words in problem), _FIX)
    where = _at(source, (place.line + 1, place.column + 1)) if place is not None else source
    return RecipeError(f"this is not YAML: {problem}", where=where, fix=fix)

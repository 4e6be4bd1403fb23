"""Two languages in one page: a message knows its words in both, and is written into the page in both.

Messages are gettext ids in English; `catalogs.py` collects them, and the translations stand under
`locale/<language>/LC_MESSAGES/report.po`. A message is rendered late, so that the same object can become
HTML (both languages, of which the page shows one), plain text of one language, or JSON for a chart.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

LANGUAGES = ("en", "zh")
LOCALE = Path(__file__).parent / "locale"

# Longer text is no sentence of ours, and matching it could take long.
_LONGEST_SENTENCE = 400

# Right-to-left scripts, and the control characters that turn the direction of what follows.
_TURNS = re.compile(
    "[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufeff"
    "\U00010800-\U00010fff\U0001e800-\U0001efff]"
)


@cache
def _catalog(language: str) -> gettext.NullTranslations:
    # English is what the ids are written in; a missing catalog of any other language is our fault.
    return (
        gettext.NullTranslations()
        if language == "en"
        else gettext.translation("report", LOCALE, languages=[language])
    )


@dataclass(frozen=True)
class Message:
    """Words for a person, in every language.

    Attributes:
        template: gettext id in English, with `{fields}`.
        values: what the fields are filled with: text from the data (escaped in HTML), or other messages.
        plural: gettext id for several, chosen by `values["count"]`.
        english: the English words, where someone has written them already.
    """

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    plural: str | None = None
    english: str | None = None

    def _template(self, language: str) -> str:
        catalog = _catalog(language)
        if self.plural is None:
            return catalog.gettext(self.template)
        return catalog.ngettext(self.template, self.plural, int(self.values["count"]))

    def text(self, language: str) -> str:
        """Return the message as plain text of one language."""
        if language == "en" and self.english is not None:
            return self.english
        filled = {
            name: value.text(language) if isinstance(value, Message) else value
            for name, value in self.values.items()
        }
        return self._template(language).format(**filled)

    def markup(self, language: str) -> Markup:
        """Return the message as HTML of one language; its values are escaped and isolated."""
        if language == "en" and self.english is not None:
            return isolated(self.english)
        filled = {
            name: value.markup(language) if isinstance(value, Message) else isolated(value)
            for name, value in self.values.items()
        }
        return Markup(escape(self._template(language))).format(**filled)

    @property
    def en(self) -> str:
        """The message in English."""
        return self.text("en")

    @property
    def zh(self) -> str:
        """The message in Chinese."""
        return self.text("zh")

    def __html__(self) -> Markup:
        words = {language: self.markup(language) for language in LANGUAGES}
        if len(set(words.values())) == 1:
            return words["en"]
        return Markup("").join(
            Markup('<span lang="{}">{}</span>').format(language, text) for language, text in words.items()
        )


def both(template: str, /, **values: Any) -> Message:
    """Return a message: a gettext id in English, and what its `{fields}` are filled with."""
    return Message(template, values)


def many(one: str, several: str, /, *, count: int, **values: Any) -> Message:
    """Return a message whose words depend on a number, `{count}`."""
    return Message(one, {"count": count, **values}, plural=several)


def mark(template: str, /) -> str:
    """Mark a gettext id for collection where it is only a constant; `both` renders it later."""
    return template


def said(sentence: str, phrases: tuple[str, ...]) -> Message:
    """Return a message for an English sentence that a lower layer wrote.

    Args:
        sentence: the finished sentence; several parts may be joined by semicolons.
        phrases: the templates that such sentences are made from; of those that fit, the one with the most
            words of its own gives the words in other languages. A sentence that none fits is shown as it is.
    """
    if len(sentence) > _LONGEST_SENTENCE:
        return verbatim(sentence)
    # Parts that are each known come before a phrase whose field would swallow what is before a semicolon.
    first, semicolon, rest = sentence.partition("; ")
    if semicolon and _match(first, phrases) and _match(rest.partition("; ")[0], phrases):
        return both("{first}; {rest}", first=said(first, phrases), rest=said(rest, phrases))
    # A sentence may stand alone or in a list: it counts as the same with a capital letter and a full stop.
    bare = sentence[:1].lower() + sentence[1:].removesuffix(".")
    for phrase, pattern in _patterns(phrases):
        match = pattern.fullmatch(sentence) or pattern.fullmatch(bare)
        if match is not None:
            return Message(phrase, match.groupdict(), english=sentence)
    first, semicolon, rest = sentence.partition("; ")
    if semicolon:
        return both("{first}; {rest}", first=said(first, phrases), rest=said(rest, phrases))
    return verbatim(sentence)


def _match(sentence: str, phrases: tuple[str, ...]) -> bool:
    return any(pattern.fullmatch(sentence) for _, pattern in _patterns(phrases))


@cache
def _patterns(phrases: tuple[str, ...]) -> list[tuple[str, re.Pattern[str]]]:
    found = []
    for phrase in phrases:
        parts = re.split(r"\{(\w+)\}", phrase)
        pieces = [
            re.escape(part) if index % 2 == 0 else f"(?P<{part}>.+?)" for index, part in enumerate(parts)
        ]
        found.append((sum(map(len, parts[::2])), phrase, re.compile("".join(pieces), re.DOTALL)))
    return [(phrase, pattern) for _, phrase, pattern in sorted(found, key=lambda each: -each[0])]


def verbatim(text: object) -> Message:
    """Return text from the data as a message that reads the same in every language."""
    return Message("{text}", {"text": text})


def isolated(value: object) -> Markup:
    """Return a value as HTML; text from the data cannot change the direction of the words around it."""
    if isinstance(value, Message):
        return value.__html__()
    text = escape(value)
    return Markup("<bdi>{}</bdi>").format(text) if _TURNS.search(text) else text

"""What a corpus is made with: every choice, with a default that can be explained."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainwright.corpus.encodings import is_encoding
from trainwright.corpus.languages import CODES
from trainwright.corpus.personal import KINDS
from trainwright.corpus.reader import Asked
from trainwright.corpus.rule import thresholds
from trainwright.foundation.errors import UserError, did_you_mean

SPLITS = ("file", "paragraph", "line")
CONTAMINATED = ("drop", "cut")

_LEAST_SIMILARITY = 0.75
"""Texts with that much in common share a band with probability 0.984; at 0.6 it would be 0.63."""


@dataclass(frozen=True)
class CorpusSettings:
    """Settings of a corpus.

    Attributes:
        text_column: column of JSONL and Parquet files that holds the text; found where it is not given.
        encoding: encoding of text files; found where it is not given.
        split: what is a document of a plain text: "file", "paragraph" or "line".
        document_characters: longer texts are cut into several documents.
        repair: mend broken Unicode.
        languages: languages to keep, as codes of ISO 639; all by default.
        quality: "off", "gentle" or "strict".
        rules: rule → threshold in place of that of the quality; None turns it off.
        exact_duplicates: drop texts that differ in case and spaces only.
        near_duplicates: similarity from which a text is dropped as nearly the same, 0.75 to 1; None keeps
            them.
        personal: kinds of personal data that are masked.
        contaminated: "drop" texts that hold a part of an evaluation set, or "cut" that part out.
        ngram_words: words in a row that count as a part of an evaluation set.
        ngram_characters: the same for Chinese and Japanese.
        shard_megabytes: text in one file of the corpus.
    """

    text_column: str | None = None
    encoding: str | None = None
    split: str = "file"
    document_characters: int = 500_000
    repair: bool = True
    languages: tuple[str, ...] = ()
    quality: str = "gentle"
    rules: Mapping[str, float | None] = field(default_factory=dict)
    exact_duplicates: bool = True
    near_duplicates: float | None = 0.8
    personal: tuple[str, ...] = KINDS
    contaminated: str = "drop"
    ngram_words: int = 13
    ngram_characters: int = 20
    shard_megabytes: int = 256

    def __post_init__(self) -> None:
        for name, words in (("split", SPLITS), ("contaminated", CONTAMINATED)):
            if getattr(self, name) not in words:
                raise UserError(
                    f"{name} cannot be '{getattr(self, name)}'", fix=did_you_mean(getattr(self, name), words)
                )
        for code in self.languages:
            if code not in CODES:
                raise UserError(
                    f"there is no language '{code}' among those that are told apart",
                    fix="give codes of ISO 639, such as en, zh or de; und is what no language was found for",
                )
        for kind in self.personal:
            if kind not in KINDS:
                raise UserError(f"there is no kind of personal data '{kind}'", fix=did_you_mean(kind, KINDS))
        for name, least, most in (
            ("document_characters", 1_000, 2_000_000),
            ("ngram_words", 3, 100),
            ("ngram_characters", 5, 200),
            ("shard_megabytes", 1, 4_096),
        ):
            if not least <= getattr(self, name) <= most:
                raise UserError(
                    f"{name} is {getattr(self, name)}", fix=f"give a number from {least:,} to {most:,}"
                )
        if self.near_duplicates is not None and not _LEAST_SIMILARITY <= self.near_duplicates <= 1:
            raise UserError(
                f"near_duplicates is {self.near_duplicates}",
                fix=f"give off, or a similarity from {_LEAST_SIMILARITY} to 1: below, many would be missed",
            )
        if self.encoding is not None and not is_encoding(self.encoding):
            raise UserError(
                f"there is no encoding called '{self.encoding}'",
                fix="give one such as utf-8, gb18030 or cp1252",
            )
        _ = self.thresholds

    @property
    def thresholds(self) -> dict[str, float]:
        """Rule → threshold, of the rules in force."""
        return thresholds(self.quality, self.rules)

    @property
    def asked(self) -> Asked:
        """What concerns readers."""
        return Asked(self.text_column, self.encoding, self.split, self.document_characters)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON-able values."""
        return {
            **dataclasses.asdict(self),
            "languages": list(self.languages),
            "personal": list(self.personal),
            "rules": dict(self.rules),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CorpusSettings:
        """Take back what `to_json` gave."""
        lists = {name: tuple(value[name]) for name in ("languages", "personal")}
        return cls(**{**value, **lists})


def with_changes(settings: CorpusSettings, changes: Mapping[str, Any] | Sequence[str]) -> CorpusSettings:
    """Return settings with some changed: `{"shard_megabytes": 64}` or `["shard_megabytes=64"]`.

    `rules.NAME` is the threshold of a rule; `off` turns a rule or a step off. A list may be written as one
    word with commas.

    Raises:
        UserError: there is no such setting, or it cannot have that value.
    """
    if isinstance(changes, str):
        changes = [changes]
    pairs = list(changes.items()) if isinstance(changes, Mapping) else [_pair(str(text)) for text in changes]
    fields = {each.name: each for each in dataclasses.fields(CorpusSettings)}
    changed: dict[str, Any] = {}
    rules = dict(settings.rules)
    for name, value in pairs:
        if name == "rules":
            if not isinstance(value, Mapping):
                raise UserError(
                    f"rules is '{value}'",
                    fix="give quality=off for none, or rules.NAME=NUMBER for one of them",
                )
            rules.update({rule: _number(f"rules.{rule}", each) for rule, each in value.items()})
        elif name.startswith("rules."):
            rules[name.removeprefix("rules.")] = _number(name, value)
        elif name in fields:
            changed[name] = _as(name, str(fields[name].type), value)
        else:
            known = [*fields, "rules.NAME"]
            raise UserError(f"there is no setting '{name}'", fix=did_you_mean(name, known, limit=20))
    return dataclasses.replace(settings, **changed, rules=rules)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"'{text}' is no FIELD=VALUE", fix="write for example shard_megabytes=64")
    return name.strip(), value.strip()


def _as(name: str, kind: str, value: Any) -> Any:
    """Return a value of the type that a setting has."""
    is_off = value is None or (isinstance(value, str) and value in {"off", "none", "null", ""})
    if is_off and "None" in kind:
        return None
    if is_off and kind.startswith("tuple"):
        return ()
    if kind == "bool":
        words = {"true": True, "on": True, "false": False, "off": False}
        found = words.get(str(value).lower())
        if found is None:
            raise UserError(f"{name} is '{value}'", fix="say true or false")
        return found
    if kind.startswith("tuple"):
        return _words(name, value)
    if kind == "int":
        number = _number(name, value)
        if number is None or number != int(number):
            raise UserError(f"{name} is '{value}'", fix="give a whole number")
        return int(number)
    if kind.startswith("float"):
        return _number(name, value)
    if not isinstance(value, str):
        raise UserError(f"{name} is '{value}'", fix="give a word")
    return value


def _words(name: str, value: Any) -> tuple[str, ...]:
    given = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if not all(isinstance(each, str) for each in given):
        raise UserError(f"{name} is '{value}'", fix="give a word, or a list of words")
    return tuple(word.strip() for each in given for word in each.split(","))


def _number(name: str, value: Any) -> float | None:
    if value is None or value == "off":
        return None
    try:
        number = float(str(value).replace("_", ""))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{name} is '{value}'", fix="give a number, or off")
    return number

"""What a corpus is made with: every choice, with a default that can be explained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainwright.corpus.encodings import is_encoding
from trainwright.corpus.personal import KINDS
from trainwright.corpus.reader import Asked
from trainwright.corpus.rule import thresholds
from trainwright.foundation.errors import UserError, did_you_mean

SPLITS = ("file", "paragraph", "line")
CONTAMINATED = ("drop", "cut")


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
        near_duplicates: similarity from which a text is dropped as nearly the same; None keeps them.
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
        if self.near_duplicates is not None and not 0.5 <= self.near_duplicates <= 1:
            raise UserError(
                f"near_duplicates is {self.near_duplicates}", fix="give a similarity from 0.5 to 1, or off"
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

    `rules.NAME` is the threshold of a rule; `off` turns a rule or a step off.

    Raises:
        UserError: there is no such setting, or it cannot have that value.
    """
    pairs = list(changes.items()) if isinstance(changes, Mapping) else [_pair(text) for text in changes]
    fields = {each.name: each for each in dataclasses.fields(CorpusSettings)}
    changed: dict[str, Any] = {}
    rules = dict(settings.rules)
    for name, value in pairs:
        if name == "rules" and isinstance(value, Mapping):
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
    if value in {"off", "none", "null", ""} and ("None" in kind or kind.startswith("tuple")):
        return None if "None" in kind else ()
    if kind == "bool":
        words = {"true": True, "on": True, "false": False, "off": False}
        found = words.get(str(value).lower())
        if found is None:
            raise UserError(f"{name} is '{value}'", fix="say true or false")
        return found
    if kind.startswith("tuple"):
        return tuple(value.split(",")) if isinstance(value, str) else tuple(value)
    if kind == "int":
        number = _number(name, value)
        if number is None or number != int(number):
            raise UserError(f"{name} is '{value}'", fix="give a whole number")
        return int(number)
    return _number(name, value) if kind.startswith("float") else value


def _number(name: str, value: Any) -> float | None:
    if value is None or value == "off":
        return None
    try:
        return float(str(value).replace("_", ""))
    except ValueError:
        raise UserError(f"{name} is '{value}'", fix="give a number, or off") from None

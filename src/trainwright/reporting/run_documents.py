"""The documents of a run folder, read once: all that a report, a card or the terminal is made from."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from trainwright.foundation.errors import UserError
from trainwright.training.events import read_events

# Rows of the quarantine that a page shows; the file holds them all.
_QUARANTINE_SHOWN = 20

# Half of a surrogate pair cannot be written as UTF-8, and control characters have no place in a page.
_DIRECTION = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SPACE = re.compile(r"\s+")
_UNPRINTABLE = re.compile("[\ud800-\udfff\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class RunDocuments:
    """What a run folder says about itself.

    Attributes:
        folder: the run folder.
        recipe: text of the resolved recipe (YAML).
        data: data.json: columns, split, quarantine, notes of the table and of its columns.
        events: events.jsonl; steps that a resumed run did again appear once, as they went last.
        evaluation: evaluation.json, or None when the run has not been judged.
        environment: environment.json, or nothing.
        quarantined: the first rows of quarantine.jsonl.
    """

    folder: Path
    recipe: str
    data: dict[str, Any]
    events: list[dict[str, Any]]
    evaluation: dict[str, Any] | None
    environment: dict[str, Any]
    quarantined: list[dict[str, Any]]

    @property
    def name(self) -> str:
        """Name of the run: that of its folder."""
        return self.folder.resolve().name

    @property
    def targets(self) -> dict[str, dict[str, Any]]:
        """Target column to its evaluation; empty when the run has not been judged."""
        return dict(self.evaluation["targets"]) if self.evaluation else {}

    @property
    def judged_part(self) -> str:
        """The rows that the figures come from: "test", or "validation" in a run that kept none for a test."""
        return str((self.evaluation or {}).get("part", "test"))

    def events_of(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of one kind, in order."""
        return [event for event in self.events if event["kind"] == kind]


def read_run(run: Path, *, evaluation: Mapping[str, Any] | None = None) -> RunDocuments:
    """Read the documents of a run folder.

    Args:
        run: the run folder.
        evaluation: what judging found, taken instead of evaluation.json while that is not written yet.

    Raises:
        UserError: it is not a run folder, or one of its documents is damaged.
    """
    if not (run / "recipe.yaml").is_file() or not (run / "data.json").is_file():
        raise UserError(
            "this is not a run folder: it has no recipe.yaml or no data.json",
            where=str(run),
            fix="name a folder that 'trainwright runs' lists",
        )
    if evaluation is not None:
        # As it will be read: lists where there are tuples.
        judged = clean(json.loads(json.dumps(evaluation, allow_nan=False)))
    else:
        judged = _read_json(run / "evaluation.json") if (run / "evaluation.json").is_file() else None
    environment = run / "environment.json"
    return RunDocuments(
        folder=run,
        recipe=clean((run / "recipe.yaml").read_text(encoding="utf-8", errors="replace")),
        data=_read_json(run / "data.json"),
        events=_settled(_damage_named(run / "events.jsonl", read_events(run / "events.jsonl"))),
        evaluation=judged,
        environment=_read_json(environment) if environment.is_file() else {},
        quarantined=list(
            islice(
                _damage_named(run / "quarantine.jsonl", read_events(run / "quarantine.jsonl")),
                _QUARANTINE_SHOWN,
            )
        ),
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(value, dict):
        raise _damaged(path)
    return {key: clean(inner) for key, inner in value.items()}


def _damage_named(path: Path, lines: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    try:
        for line in lines:
            yield clean(line)
    except ValueError as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> UserError:
    return UserError(
        "this document of the run is damaged",
        where=str(path),
        fix="train again, or take the file from a backup",
    )


def clean(value: Any) -> Any:
    """Return a JSON value with text that a page or a terminal can show, and None for NaN and infinity."""
    match value:
        case str():
            return _UNPRINTABLE.sub("\ufffd", value)
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {clean(key): clean(inner) for key, inner in value.items()}
        case list():
            return [clean(inner) for inner in value]
        case _:
            return value


def one_line(value: object) -> str:
    """Return text on one line, with nothing in it that moves or turns what stands around it."""
    return _DIRECTION.sub("", _SPACE.sub(" ", clean(str(value))))


def _settled(events: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the events without the steps that a resumed run took back and did again."""
    kept: list[dict[str, Any]] = []
    first = {"step": math.inf, "evaluation": math.inf}
    # Read backwards: what was written later holds, and whatever stands before it must lie at earlier steps.
    for event in reversed(list(events)):
        kind = event["kind"]
        if kind in first:
            if event["step"] >= first[kind] or event["step"] > min(first.values()):
                continue
            first[kind] = event["step"]
        kept.append(event)
    return kept[::-1]

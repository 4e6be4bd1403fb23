"""What was learned from what: columns, splits, and the rows that were set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainwright.reporting.language import Message, both, many, said
from trainwright.reporting.numbers import clip, count, percent, plain
from trainwright.reporting.phrases import PHRASES
from trainwright.reporting.run_documents import RunDocuments
from trainwright.reporting.words import part_title, role_title, split_title, type_title

_MOST_COLUMNS = 200
_MOST_NOTES = 50
_CELL = 120  # characters of a value
_ROLES = ("target", "input", "left out")


@dataclass(frozen=True)
class Column:
    """A line of the schema table."""

    name: str
    type: Message
    role: Message
    used: bool
    missing: str
    examples: Sequence[str]
    reason: Message
    alternatives: Sequence[tuple[Message, Message]]
    notes: Sequence[Message]
    counts: Sequence[Message]


@dataclass(frozen=True)
class Part:
    """One of training, validation and test: its rows or tokens, and its place on a bar of all."""

    title: Message
    size: Message | str
    share: str
    start: float
    width: float


@dataclass(frozen=True)
class DataPage:
    """What data.json and the quarantine say.

    Attributes:
        reasons: why rows were set aside, and how many rows each reason took.
        quarantine_rows: where, column and reason of the first rows set aside.
    """

    source: str
    fingerprint: str
    rows: str
    columns: Sequence[Column]
    columns_left_out: int
    split: Message
    split_column: str | None
    parts: Sequence[Part]
    quarantined: int
    quarantined_text: Message
    reasons: Sequence[tuple[Message, str]]
    quarantine_rows: Sequence[tuple[str, str, Message]]
    notes: Sequence[Message]


def data_page(run: RunDocuments) -> DataPage:
    """Return what data.json and the quarantine say."""
    data = run.data
    split, quarantined = data["split"], data.get("quarantined") or {"count": 0, "reasons": []}
    counts = data.get("counts") or {}
    column_notes = data.get("column_notes") or {}  # runs of earlier versions have none
    notes = [*(split.get("notes") or []), *(data.get("notes") or [])]
    columns = sorted(data["columns"], key=lambda item: _ROLES.index(item["role"]))
    return DataPage(
        source=str(data["name"]),
        fingerprint=str(data["fingerprint"]),
        rows=count(data["rows"]),
        columns=[
            _column(item, column_notes.get(item["name"]) or [], counts.get(item["name"]) or {})
            for item in columns[:_MOST_COLUMNS]
        ],
        columns_left_out=max(0, len(columns) - _MOST_COLUMNS),
        split=split_title(split["method"]),
        split_column=split.get("column"),
        parts=_parts_of_texts(data["parts"]) if data.get("kind") == "language" else _parts(split["rows"]),
        quarantined=quarantined["count"],
        quarantined_text=many(
            "{count} row could not be used and was set aside.",
            "{count} rows could not be used and were set aside.",
            count=quarantined["count"],
        ),
        reasons=[
            (said(each["reason"], PHRASES), count(each["count"])) for each in quarantined["reasons"][:10]
        ],
        quarantine_rows=[_set_aside(row) for row in run.quarantined],
        notes=[said(note, PHRASES) for note in notes[:_MOST_NOTES]],
    )


def _parts(sizes: Mapping[str, int]) -> list[Part]:
    total = sum(sizes.values()) or 1
    parts, start = [], 0.0
    for name, number in sizes.items():
        parts.append(Part(part_title(name), count(number), percent(number / total), start, number / total))
        start += number / total
    return parts


def _parts_of_texts(parts: Mapping[str, Mapping[str, int]]) -> list[Part]:
    """Return the parts by their tokens: a text may be a line or a book, or lie in all three."""
    return [
        replace(part, size=both("{count} tokens", count=part.size))
        for part in _parts({name: each["tokens"] for name, each in parts.items()})
    ]


def _set_aside(row: Mapping[str, Any]) -> tuple[str, str, Message]:
    place = [str(part) for part in (row.get("source"), row.get("position")) if part is not None]
    reason = said(clip(row.get("reason") or "", 300), PHRASES)
    return clip(":".join(place), _CELL), clip(row.get("column") or "", _CELL), reason


def _column(item: Mapping[str, Any], notes: Sequence[str], counts: Mapping[str, Any]) -> Column:
    return Column(
        name=clip(item["name"], _CELL),
        type=type_title(item["type"]),
        role=role_title(item["role"]),
        used=item["role"] != "left out",
        missing=percent(item.get("missing") or 0.0),
        examples=[clip(plain(each), 40) for each in (item.get("examples") or [])[:3]],
        reason=said(item.get("reason") or "", PHRASES),
        alternatives=[
            (type_title(other["type"]), said(other.get("reason") or "", PHRASES))
            for other in item.get("alternatives") or []
        ],
        notes=[said(note, PHRASES) for note in notes],
        counts=[
            both("{what}: {count}", what=said(what, PHRASES), count=count(number))
            for what, number in counts.items()
            if number
        ],
    )


def judged_on_validation() -> Message:
    """Return the warning of a run that kept no rows for a test."""
    return both(
        "No rows were kept for a test: these figures come from the validation rows, which also chose the"
        " weights that were kept. Expect a little less on new data."
    )

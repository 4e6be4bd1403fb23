"""Which column of a table, or member of an object, holds the text."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainwright.foundation.errors import DataError, did_you_mean

NAMES = ("text", "content", "document", "body", "raw_content", "article", "passage", "story", "context")
"""Names under which corpora keep their texts, the most usual first."""

_NO_TEXT = frozenset({"id", "url", "uri", "link", "title", "date", "timestamp", "hash", "source", "name"})


def as_text(value: Any) -> str | None:
    """Return a value as a text: itself, or the lines of a list of texts; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    return None


def text_column(rows: Sequence[Mapping[str, Any]], *, asked: str | None, name: str) -> str:
    """Return the name of the text column: the one asked for, a usual name, or the longest texts.

    Args:
        rows: the first rows.
        asked: the name that the user gave.
        name: what messages call the file.

    Raises:
        DataError: there is none.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    texts = [column for column in columns if any(as_text(row.get(column)) for row in rows)]
    if asked is not None:
        if asked in columns:
            return asked
        raise DataError(f"there is no column '{asked}'", where=name, fix=did_you_mean(asked, columns))
    lower = {column.lower(): column for column in reversed(texts)}
    usual = next((lower[word] for word in NAMES if word in lower), None)
    if usual is not None:
        return usual
    others = [column for column in texts if column.lower() not in _NO_TEXT] or texts
    if not others:
        shown = ", ".join(columns[:8]) or "none"
        raise DataError(
            f"no column holds text (columns: {shown})", where=name, fix="name it with text_column"
        )
    return max(others, key=lambda column: _length(row.get(column) for row in rows))


def all_texts(row: Mapping[str, Any]) -> list[str]:
    """Return every text of a row, those within lists and objects too."""
    found: list[str] = []
    waiting: deque[Any] = deque([row])
    while waiting:
        value = waiting.popleft()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return found


def url_of(row: Mapping[str, Any]) -> str | None:
    """Return where a row says that its text came from."""
    value = row.get("url") or row.get("uri")
    return value if isinstance(value, str) else None


def _length(values: Iterable[Any]) -> int:
    return sum(len(as_text(value) or "") for value in values)

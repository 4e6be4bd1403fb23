"""What a chart is: a Vega-Lite document in two languages, and the same data as a table.

Colours are the page's own CSS variables, so that one drawing suits light, dark and paper. Field names are
ours and fixed: text from the data only ever stands in values. The page sets width, height and fonts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trainwright.reporting.language import Message

ACCENT = "var(--accent)"
SECOND = "var(--second)"
MUTED = "var(--muted)"
INK = "var(--ink)"
SERIES = [f"var(--series-{index})" for index in range(1, 9)]

# Rows that the table under a chart shows; more would be read by nobody and heard for an hour.
TABLE_ROWS = 60


@dataclass(frozen=True)
class Chart:
    """A chart of the page.

    Attributes:
        name: id within the page; ASCII letters, digits and hyphens.
        title: what it shows, in a few words.
        about: how to read it, in one sentence; also what a screen reader says.
        spec: Vega-Lite document without size and data-dependent field names; messages stand where words do.
        columns: headers of its data table.
        rows: cells of its data table, already written out.
        aspect: height as a share of the width, before the limits.
        height: largest height in pixels.
        wide: takes a whole row of the page.
    """

    name: str
    title: Message
    about: Message
    spec: dict[str, Any]
    columns: Sequence[Message]
    rows: Sequence[Sequence[Any]]
    aspect: float = 0.62
    height: int = 340
    wide: bool = False
    thinned: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        if len(self.rows) > TABLE_ROWS:
            object.__setattr__(self, "rows", thin(self.rows, TABLE_ROWS))
            object.__setattr__(self, "thinned", True)


def thin(values: Sequence[Any], most: int) -> list[Any]:
    """Return at most `most` of the values, evenly spaced, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    last = len(values) - 1
    return [values[round(index * last / (most - 1))] for index in range(most)]


def axis(field_name: str, title: Message, *, kind: str = "quantitative", **options: Any) -> dict[str, Any]:
    """Return a position channel; `scale`, `sort`, `axis` and the like go through."""
    return {"field": field_name, "type": kind, "title": title, **options}


def labels_of(labels: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the parameter from which `LABEL_OF_VALUE` takes the text of the n-th category.

    Categories are numbered, since two of them may read alike once their names are cut; and the names are
    values of a parameter, never part of an expression.
    """
    return [{"name": "labels", "value": list(labels)}]


LABEL_OF_VALUE = "labels[datum.value]"
SHARE = {"domain": [0, 1], "nice": False}
DIAGONAL = {
    "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
    "mark": {"type": "line", "color": MUTED, "strokeDash": [4, 4], "strokeWidth": 1},
    "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}},
}

"""Where a row came from, so that a person finds it again: a file and a line or row number in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]

_NONE: Positions = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Origin:
    """The numbering of rows in their source.

    Attributes:
        source: file or other source, as the user calls it.
        unit: what a number counts.
        first: number of the first row, before any jump.
        at: rows of the table, ascending, at which the numbering jumps, int64 [jumps].
        by: what is added to the number of that row and all later ones, int64 [jumps].
    """

    source: str
    unit: Literal["line", "row"] = "row"
    first: int = 0
    at: Positions = field(default_factory=lambda: _NONE)
    by: Positions = field(default_factory=lambda: _NONE)

    def position(self, row: int) -> int:
        """Return the number of a table row in the source."""
        return self.first + row + int(self.by[: int(np.searchsorted(self.at, row, side="right"))].sum())

    def where(self, row: int) -> str:
        """Return `reviews.csv line 17`."""
        return f"{self.source} {self.unit} {self.position(row)}"

    def to_json(self) -> dict[str, Any]:
        """Return the origin as JSON-able values."""
        return {
            "source": self.source,
            "unit": self.unit,
            "first": self.first,
            "at": self.at.tolist(),
            "by": self.by.tolist(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Origin:
        """Take back what `to_json` gave."""
        jumps = {name: np.asarray(value[name], dtype=np.int64) for name in ("at", "by")}
        return cls(value["source"], value["unit"], value["first"], **jumps)

"""The schema: what each column is, why, and what else it could be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["input", "target", "left out"]


@dataclass(frozen=True)
class Column:
    """What one column is.

    Attributes:
        name: column.
        type: feature type; "id-like", "constant" or "unknown" for a column that nothing can be learned
            from.
        role: what it is for.
        reason: why it has this type (or is left out), in words.
        options: options of the feature type.
        missing: share of the values looked at that are missing.
        num_unique: different values among those looked at.
        examples: a few values as text.
        alternatives: (type, reason) of what else it could be.
    """

    name: str
    type: str
    role: Role
    reason: str
    options: Mapping[str, Any] = field(default_factory=dict)
    missing: float = 0.0
    num_unique: int = 0
    examples: tuple[str, ...] = ()
    alternatives: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the column as JSON-able values."""
        return {
            "name": self.name,
            "type": self.type,
            "role": self.role,
            "reason": self.reason,
            "options": dict(self.options),
            "missing": self.missing,
            "unique": self.num_unique,
            "examples": list(self.examples),
            "alternatives": [{"type": kind, "reason": reason} for kind, reason in self.alternatives],
        }


@dataclass(frozen=True)
class Schema:
    """What a table's columns are.

    Attributes:
        columns: in the order of the table.
        num_rows: rows of the table.
        num_sampled: rows that were looked at; all of them in small tables.
        split_column: column that says which rows are for training, validation and test, if there is one.
    """

    columns: tuple[Column, ...]
    num_rows: int
    num_sampled: int
    split_column: str | None = None

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def of_role(self, role: Role) -> tuple[Column, ...]:
        """Return the columns of a role, in order."""
        return tuple(column for column in self.columns if column.role == role)

    def table(self) -> list[tuple[str, str, str, str, str]]:
        """Return a line for each column for display: name, type, missing, examples and reason.

        Targets come first, then inputs, then what is left out.
        """
        lines = []
        for role in ("target", "input", "left out"):
            for column in self.columns:
                if column.role == role:
                    kind = column.type if role == "input" else f"{column.type} ({role})"
                    missing = f"{column.missing:.1%}" if column.missing else ""
                    lines.append((column.name, kind, missing, ", ".join(column.examples), column.reason))
        return lines

    def to_json(self) -> list[dict[str, Any]]:
        """Return the columns as JSON-able values."""
        return [column.to_json() for column in self.columns]

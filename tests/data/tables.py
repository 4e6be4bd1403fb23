"""A table in memory for tests of what lies above the readers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from trainwright.data.table import CHUNK_ROWS, Quarantined


@dataclass
class FrameTable:
    """The rows of a polars frame (see `data.table.Table`)."""

    frame: pl.DataFrame
    root: str | None = None
    part: np.ndarray[Any, np.dtype[np.int8]] | None = None
    name: str = "rows.csv"
    fingerprint: str = "0"
    quarantined: Sequence[Quarantined] = ()
    notes: Sequence[str] = ()
    passes: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def schema(self) -> Mapping[str, pl.DataType]:
        return self.frame.schema

    @property
    def num_rows(self) -> int:
        return len(self.frame)

    def chunks(
        self, columns: Sequence[str] | None = None, *, size: int = CHUNK_ROWS
    ) -> Iterator[pl.DataFrame]:
        self.passes.append(tuple(columns or ()))
        frame = self.frame if columns is None else self.frame.select(columns)
        for start in range(0, len(frame), size):
            yield frame.slice(start, size)

    def column(self, name: str, rows: np.ndarray[Any, Any] | None = None) -> pl.Series:
        return self.frame[name] if rows is None else self.frame[name].gather(rows)

    def take(self, rows: np.ndarray[Any, Any], columns: Sequence[str] | None = None) -> pl.DataFrame:
        return (self.frame if columns is None else self.frame.select(columns))[rows]

    def where(self, row: int) -> str:
        return f"{self.name} line {row + 2}"

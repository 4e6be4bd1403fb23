"""What a run folder holds before training: all that it takes to repeat the run, or to go on after a kill."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trainwright.data.encoded import Array
from trainwright.data.locate import seen_from
from trainwright.data.splits.parts import PARTS
from trainwright.data.table import Quarantined, Table
from trainwright.data.urls import redacted_settings
from trainwright.foundation.devices import environment
from trainwright.foundation.paths import write_atomic, write_json
from trainwright.recipe.recipe import DataSettings, Recipe
from trainwright.recipe.writer import dump_recipe
from trainwright.workshop.ask import FRAME
from trainwright.workshop.prepare import quarantine_lines


def write_start(
    place: Path,
    recipe: Recipe,
    *,
    table: Table,
    document: Mapping[str, Any],
    quarantined: list[Quarantined],
    indices: Mapping[str, Array],
    in_memory: bool,
    base: Path | None,
) -> None:
    """Write what is known before training; the recipe last: a folder with one has all the rest.

    No password is written: this process has read the data, and whoever reads it again gives it again.

    Args:
        place: the run folder.
        recipe: with every setting resolved.
        table: the raw rows.
        document: what data.json holds.
        quarantined: rows set aside.
        indices: part of the split → rows.
        in_memory: the rows are a frame, which is gone when the process ends: they are written too.
        base: folder that the relative paths of the recipe start from; the working folder without.
    """
    if in_memory:
        if not (place / FRAME).exists():
            column = _part_column(table)
            _write(place / FRAME, _kept(table, column).write_parquet)
            if column is not None:
                by_column = {"method": "column", "column": column}
                recipe = recipe.model_copy(update={"split": recipe.split.model_copy(update=by_column)})
    else:
        recipe = recipe.model_copy(update={"data": _seen_from(place, recipe.data, base or Path())})
    write_json(place / "data.json", document)
    write_json(place / "environment.json", environment())
    write_atomic(place / "quarantine.jsonl", quarantine_lines(quarantined))
    training, validation, test = (indices[part] for part in PARTS)
    _write(
        place / "split.npz",
        lambda stream: np.savez_compressed(stream, training=training, validation=validation, test=test),
    )
    shown = recipe.model_copy(update={"data": redacted_settings(recipe.data)})
    write_atomic(place / "recipe.yaml", dump_recipe(shown, full=True))


def _write(path: Path, write: Callable[[io.BytesIO], object]) -> None:
    stream = io.BytesIO()
    write(stream)
    write_atomic(path, stream.getvalue())


def _seen_from(place: Path, data: DataSettings, base: Path) -> DataSettings:
    """Return the settings with paths that are relative to the run folder, so that both can be moved."""
    if data.format == "hub":
        return data

    def seen(location: str) -> str:
        return seen_from(place, location, base)

    return data.model_copy(
        update={
            "path": seen(data.path) if isinstance(data.path, str) else tuple(map(seen, data.path)),
            "validation": data.validation and seen(data.validation),
            "test": data.test and seen(data.test),
        }
    )


def _part_column(table: Table) -> str | None:
    """Return a free name for a column of parts, where the frames were given by part."""
    if table.part is None:
        return None
    name = "split"
    while name in table.schema:
        name += "_"
    return name


def _kept(table: Table, part_column: str | None) -> pl.DataFrame:
    frame = pl.concat(list(table.chunks()))
    if part_column is None or table.part is None:
        return frame
    return frame.with_columns(pl.Series(part_column, list(PARTS)).gather(table.part).alias(part_column))

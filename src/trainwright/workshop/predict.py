"""`predict`: a model and new rows in; a frame or a file of predictions out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs

from trainwright.data.plain import as_json
from trainwright.data.table import Table
from trainwright.features.set import DELIMITERS
from trainwright.foundation.errors import DataError, UserError, did_you_mean
from trainwright.foundation.paths import make_folder, writing
from trainwright.workshop.load import load
from trainwright.workshop.model import UNREAD, Model, handed_back, open_data
from trainwright.workshop.progress import Console
from trainwright.workshop.run import Run

FORMATS = (".csv", ".jsonl", ".parquet")


def predict(
    model: Model | Run | str | Path,
    data: Any,
    output: str | Path | None = None,
    *,
    query: str | None = None,
    probabilities: bool = True,
    keep: Sequence[str] = (),
    quiet: bool = True,
) -> Any:
    """Predict for new rows.

    Args:
        model: a model, a run, or the folder of either.
        data: file, folder, glob, URL or frame with at least the columns that the model was trained on.
        output: file to write, .csv, .jsonl or .parquet; it is written chunk by chunk, whatever its size.
        query: table or SELECT, where the data is a database.
        probabilities: also give a probability for each class, and an interval for each number.
        keep: columns of the data to copy in front of the predictions; a target comes as `stars: true`.
        quiet: do not say on standard error what was noticed.

    Returns:
        A frame with one row for each row of the data, in order: a pandas frame for a pandas frame, else a
        polars one. With `output`, the path written; the file always has the column `not predicted`, which
        says why a row has no prediction. In CSV, labels of a set stand between `|`.

    Raises:
        UserError: the data lacks a column, the output has an unknown ending, would replace the data or
            cannot hold a column, the model is damaged.
    """
    if output is not None:
        _check_output(Path(output), data)
    loaded = load_model(model)
    if output is None and not keep:
        return loaded.predict(data, query=query, probabilities=probabilities)
    table = open_data(data, query)
    loaded.check_columns(table)
    keep = list(dict.fromkeys(keep))
    _check_kept(keep, table, None if output is None else Path(output))
    console = Console(quiet=quiet)
    frames = _frames(loaded, table, keep, probabilities, console)
    if output is None:
        return handed_back(pl.concat(list(frames)), data)
    return write_frames(frames, Path(output))


def _check_kept(keep: Sequence[str], table: Table, output: Path | None) -> None:
    """Refuse columns that are not there, and bytes where the output is text."""
    for name in keep:
        if name not in table.schema:
            raise DataError(
                f"there is no column '{name}' to keep",
                where=table.name,
                fix=did_you_mean(name, list(table.schema)),
            )
        if output is not None and output.suffix.lower() != ".parquet" and _holds_bytes(table.schema[name]):
            raise DataError(
                f"the column '{name}' holds bytes, which text cannot",
                where=str(output),
                fix="do not keep it, or write .parquet",
            )


def _holds_bytes(kind: object) -> bool:
    if isinstance(kind, pl.Struct):
        return any(_holds_bytes(field.dtype) for field in kind.fields)
    if isinstance(kind, pl.List | pl.Array):
        return _holds_bytes(kind.inner)
    return isinstance(kind, pl.Binary)


def _check_output(path: Path, data: Any) -> None:
    """Refuse a file of unknown format, and one that holds the rows to predict for."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(
            "predictions cannot be written in a format of this ending",
            where=str(path),
            fix=f"use one of: {', '.join(FORMATS)}",
        )
    sources = [data] if isinstance(data, str | Path) else data if isinstance(data, list | tuple) else []
    files = [Path(source) for source in sources if isinstance(source, str | Path)]
    if path.exists() and any(file.exists() and path.samefile(file) for file in files):
        raise UserError(
            "the predictions would replace the data", where=str(path), fix="write to another file"
        )


def load_model(model: Model | Run | str | Path) -> Model:
    """Return a model of tables from whatever names one.

    Raises:
        UserError: it is a language model.
    """
    found = load(model)
    if not isinstance(found, Model):
        raise UserError(
            "this is a language model, which writes text",
            where=str(found.path or "the model"),
            fix="use `trainwright generate` or `trainwright chat`",
        )
    return found


def _frames(
    model: Model, table: Table, keep: Sequence[str], probabilities: bool, console: Console
) -> Iterator[pl.DataFrame]:
    start, failed = 0, 0
    counts: dict[tuple[str, str], int] = {}
    for frame, noted in model.predict_chunks(table, probabilities=probabilities):
        for column, what in noted.items():
            for word, count in what.items():
                counts[column, word] = counts.get((column, word), 0) + count
        failed += len(frame) - frame[UNREAD].null_count()
        rows = np.arange(start, start + len(frame))
        start += len(frame)
        yield _beside(table.take(rows, keep), frame, model) if keep else frame
    for (column, word), count in counts.items():
        console.say(f"{count:,} values in column '{column}': {word}.")
    if failed:
        console.say(f"{failed:,} of {start:,} rows could not be predicted; column '{UNREAD}' says why.")
    if table.quarantined:
        console.say(
            f"{len(table.quarantined):,} lines of {table.name} could not be read and are not in the output."
        )


def _beside(kept: pl.DataFrame, predictions: pl.DataFrame, model: Model) -> pl.DataFrame:
    kept = kept.rename({name: f"{name}: true" for name in model.tasks}, strict=False)
    both = [name for name in kept.columns if name in predictions.columns]
    if both:
        raise DataError(
            f"the column '{both[0]}' to keep is called like one of the predictions",
            fix="rename it in the data",
        )
    return pl.concat([kept, predictions], how="horizontal")


def write_frames(frames: Iterator[pl.DataFrame], path: Path) -> Path:
    """Write frames one behind another into one file, whole or not at all.

    Raises:
        UserError: the place cannot be written to.
    """
    ending = path.suffix.lower()
    make_folder(path.parent)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with writing(path):
            with _writer(scratch, ending) as write:
                for frame in frames:
                    write(frame)
            scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return path


@contextmanager
def _writer(path: Path, ending: str) -> Iterator[Any]:
    if ending == ".parquet":
        import pyarrow.parquet as pq

        writer: Any = None
        try:

            def write(frame: pl.DataFrame) -> None:
                nonlocal writer
                arrow = frame.to_arrow()
                if writer is None:
                    writer = pq.ParquetWriter(path, arrow.schema)
                writer.write_table(arrow)

            yield write
        finally:
            if writer is not None:
                writer.close()
        return
    with path.open("wb") as stream:
        first = True

        def write_text(frame: pl.DataFrame) -> None:
            nonlocal first
            if ending == ".csv":
                _flat(frame).write_csv(stream, include_header=first)
            else:
                frame.write_ndjson(stream)
            first = False

        yield write_text


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with lists as text, for CSV: labels as the set type reads them, others as JSON."""
    return frame.with_columns(
        cs.by_name(name).list.join(DELIMITERS[0]) if kind == pl.List(pl.String) else as_json(name)
        for name, kind in frame.schema.items()
        if kind.is_nested()
    )

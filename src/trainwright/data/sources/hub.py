"""Data sets of the Hugging Face hub, through the `datasets` package where it is installed."""

from __future__ import annotations

import importlib.util
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from trainwright.data.collect import Reading, collect
from trainwright.data.joined_table import JoinedTable
from trainwright.data.plain import column_names
from trainwright.data.source import SOURCES, Memory, Place, Source
from trainwright.data.splits.parts import PART_WORDS
from trainwright.data.table import CHUNK_ROWS, Table
from trainwright.data.wording import counted
from trainwright.foundation.errors import DataError
from trainwright.foundation.hashing import json_hash
from trainwright.recipe.recipe import DataSettings

_PREFIX = "hf://datasets/"
_REACH_SECONDS = 5.0


def open_hub(place: Place, settings: DataSettings, memory: Memory) -> Table:
    """Open a data set by name: `hf://datasets/OWNER/NAME`, with `/CONFIG` behind it where there are several.

    Its splits `train`, `validation` and `test` say the parts; images and sounds stay as their bytes, or as
    files in the hub's cache, which no path may leave. No code of the data set is ever run.

    Raises:
        DataError: `datasets` is not installed, the hub cannot be reached, or there is no such data set.
    """
    name, config = _name(place.location)
    if importlib.util.find_spec("datasets") is None:
        raise DataError(
            "reading from the hub needs the package 'datasets'",
            where=place.name,
            fix="install it with pip install 'trainwright[hub]'",
        )
    local = Path(name)  # the package reads a folder of that name rather than the hub
    if not local.is_dir():
        _reach(place)
    import datasets

    try:
        found = datasets.load_dataset(name, config)
    except Exception as error:  # the package raises errors of many libraries
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(
            f"the data set cannot be read ({reason})",
            where=place.name,
            fix="check its name and configuration",
        ) from error
    root = str(local.resolve()) if local.is_dir() else _cache_folder()
    tables: list[Table] = []
    parts: list[int | None] = []
    for split, rows in sorted(found.items(), key=lambda item: PART_WORDS.get(item[0].lower(), 3)):
        part = PART_WORDS.get(split.lower())
        if part is None and len(found) > 1:
            continue
        reading = Reading(Place(place.location, f"{place.name} {split}", root))
        key = json_hash(["hub", getattr(rows, "_fingerprint", split), name, config, split])
        tables.append(collect(reading, _frames(reading, rows), key=key, memory=memory))
        parts.append(part)
    if not tables:
        raise DataError(
            f"none of its splits ({', '.join(found)}) is called train, validation or test",
            where=place.name,
            fix="download the split you want as Parquet, and give the file",
        )
    left_out = len(found) - len(tables)
    notes = [f"Left out: {counted(left_out, 'split')} of other names."] if left_out else []
    if local.is_dir():
        notes.insert(0, f"The folder '{name}' was read, and not the hub.")
    return JoinedTable(tables, name=place.name, parts=parts if len(tables) > 1 else None, notes=notes)


def _name(location: str) -> tuple[str, str | None]:
    words = location.removeprefix(_PREFIX).strip("/").split("/")
    return "/".join(words[:2]), "/".join(words[2:]) or None


def _reach(place: Place) -> None:
    """Ask the hub for a sign of life, or say within seconds that there is none.

    Its client would try again for minutes. HF_HUB_OFFLINE and HF_DATASETS_OFFLINE mean the local cache.
    """
    if any(
        os.environ.get(name, "0").lower() in {"1", "true", "yes", "on"}
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    ):
        return
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_REACH_SECONDS):
            return
    except urllib.error.HTTPError as error:
        if error.code < 500:  # an answer, whatever it says
            return
        raise DataError(
            f"the hub at {address} has a fault ({error.code} {error.reason})",
            where=place.name,
            fix="try again later, or give a local file",
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(
            f"the hub at {address} cannot be reached ({getattr(error, 'reason', error)})",
            where=place.name,
            fix="check the network, or give a local file",
        ) from error


def _cache_folder() -> str:
    """Return the folder below which the files of data sets lie."""
    from datasets import config
    from huggingface_hub import constants

    home, hub = Path(config.HF_CACHE_HOME).resolve(), Path(constants.HF_HUB_CACHE).resolve()
    both = all(folder.is_relative_to(home) for folder in (hub, Path(config.HF_DATASETS_CACHE).resolve()))
    return str(home if both else hub)


def _frames(reading: Reading, rows: Any) -> Iterator[pl.DataFrame]:
    """Yield the rows; the class numbers of the hub become the names of the classes, in lists too."""
    names: list[str] | None = None
    for start in range(0, len(rows), CHUNK_ROWS):
        frame = pl.from_arrow(rows.with_format("arrow")[start : start + CHUNK_ROWS])
        assert isinstance(frame, pl.DataFrame)
        frame = frame.with_columns(
            _named(frame.schema[column], column, feature)
            for column, feature in rows.features.items()
            if hasattr(feature, "names") or hasattr(getattr(feature, "feature", None), "names")
        )
        names = names or column_names(frame.columns, where=reading.place.name, notes=reading.notes)
        frame.columns = names
        yield frame


def _named(kind: pl.DataType, column: str, feature: Any) -> pl.Expr:
    """Return the column with the names of its classes; a number below 0 says that there is none."""
    if isinstance(kind, pl.List):
        labels = pl.element().pipe(_words, feature.feature.names)
        return pl.col(column).list.eval(labels)
    return pl.col(column).pipe(_words, feature.names) if kind.is_integer() else pl.col(column)


def _words(numbers: pl.Expr, names: Sequence[str]) -> pl.Expr:
    return numbers.replace_strict(range(len(names)), list(names), default=None, return_dtype=pl.String)


SOURCES.register("hub")(Source(open_hub))

"""Data sets of the Hugging Face hub, through the `datasets` package where it is installed."""

from __future__ import annotations

import importlib.util
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
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

    Its splits `train`, `validation` and `test` say the parts; images and sounds stay as their bytes. No
    code of the data set is ever run.

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
    tables: list[Table] = []
    parts: list[int | None] = []
    for split, rows in sorted(found.items(), key=lambda item: PART_WORDS.get(item[0].lower(), 3)):
        part = PART_WORDS.get(split.lower())
        if part is None and len(found) > 1:
            continue
        reading = Reading(Place(place.location, f"{place.name} {split}", None))
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
    except urllib.error.HTTPError:
        return  # an answer, whatever it says
    except (OSError, ValueError) as error:
        raise DataError(
            f"the hub at {address} cannot be reached ({getattr(error, 'reason', error)})",
            where=place.name,
            fix="check the network, or give a local file",
        ) from error


def _frames(reading: Reading, rows: Any) -> Iterator[pl.DataFrame]:
    """Yield the rows; the class numbers of the hub become the names of the classes."""
    names: list[str] | None = None
    classes = {
        name: list(feature.names) for name, feature in rows.features.items() if hasattr(feature, "names")
    }
    for start in range(0, len(rows), CHUNK_ROWS):
        frame = pl.from_arrow(rows.with_format("arrow")[start : start + CHUNK_ROWS])
        assert isinstance(frame, pl.DataFrame)
        for column, words in classes.items():
            if frame.schema[column].is_integer():
                numbers = frame.get_column(column)
                named = pl.Series(words, dtype=pl.String).gather(numbers.set(numbers < 0, None))
                frame = frame.with_columns(named.alias(column))
        names = names or column_names(frame.columns, where=reading.place.name, notes=reading.notes)
        frame.columns = names
        yield frame


SOURCES.register("hub")(Source(open_hub))

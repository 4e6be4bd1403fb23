"""From a recipe to tensors: open, look, split, fit, encode; everything before the model."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import ValidationError

from trainwright.data.cache import prune
from trainwright.data.encoded import Array, EncodedRows, joined, open_encoded
from trainwright.data.infer import infer_schema
from trainwright.data.open import open_table
from trainwright.data.schema import Schema
from trainwright.data.split import PARTS, Split, make_split
from trainwright.data.table import Quarantined, Table
from trainwright.features.base import FEATURES, Context, Feature, check_options
from trainwright.features.encoding import Encoding
from trainwright.foundation.devices import num_cpus
from trainwright.foundation.errors import DataError, ModelFolderError
from trainwright.foundation.hashing import json_hash
from trainwright.foundation.leases import use
from trainwright.foundation.locks import locked
from trainwright.foundation.paths import cache_folder, whole_folder, write_atomic
from trainwright.recipe.explain import explain
from trainwright.recipe.recipe import FeatureSettings, Recipe
from trainwright.workshop.checkpoints import with_tokenizers
from trainwright.workshop.words import check_fit

_FORMAT = 4
"""Version of the encoded cache; raised when encoding changes."""

_IN_MEMORY_BYTES = 768 * 2**20
"""Encoded rows up to this size are read into memory: gathering a batch from there is the fastest."""


@dataclass
class Prepared:
    """Data that is ready for training.

    Attributes:
        recipe: with the feature type of every column filled in.
        table: the raw rows.
        schema: what each column is and why.
        split: which rows are for what, broken ones taken out.
        encoding: fitted transforms.
        rows: encoded rows.
        context: root, seed and threads for encoding.
        quarantined: rows set aside, by reading and by encoding.
        seconds: step → time it took.
        cached: the encoded rows came from an earlier run.
    """

    recipe: Recipe
    table: Table
    schema: Schema
    split: Split
    encoding: Encoding
    rows: EncodedRows
    context: Context
    quarantined: list[Quarantined]
    seconds: dict[str, float] = field(default_factory=dict)
    cached: bool = False


def prepare(recipe: Recipe, source: Any = None, *, base: Path | None = None, cache: bool = True) -> Prepared:
    """Open the data of a recipe and make it ready.

    Args:
        recipe: what the user asked for.
        source: a frame in memory, instead of `recipe.data`.
        base: folder that relative paths of the recipe start from.
        cache: keep the encoded rows on disk for the next run; without, they are in memory alone.

    Raises:
        DataError: nothing can be learned from this data, and why.
    """
    began = time.monotonic()
    table = open_table(recipe.data if source is None else source, base=base)
    schema = infer_schema(
        table, inputs=recipe.inputs, targets=recipe.targets, seed=recipe.seed, split=recipe.split
    )
    schema = with_tokenizers(schema, recipe.model)
    check_fit(recipe, schema, table)
    seconds = {"open": time.monotonic() - began}
    began = time.monotonic()
    split = make_split(table, schema, recipe.split, recipe.seed, usable=_with_targets(table, schema))
    context = Context(root=table.root, seed=recipe.seed, workers=num_cpus())
    if cache:
        encoding, rows, cached = encode(table, schema, split, context)
    else:
        encoding, rows = encode_in_memory(table, schema, split, context)
        cached = False
    quarantined = [*table.quarantined, *_set_aside(table, rows)]
    _check_quarantine(quarantined, table, recipe.data.quarantine_limit)
    split = split.without(np.fromiter(rows.broken, dtype=np.int64, count=len(rows.broken)))
    for part in ("training", "validation"):
        if len(split.indices[part]) == 0:
            raise DataError(
                f"no usable rows are left for {part}", where=table.name, fix="give more rows or another split"
            )
    seconds["encode"] = time.monotonic() - began
    filled = recipe.model_copy(
        update={
            "inputs": _settings(encoding.inputs),
            "targets": _settings(encoding.targets),
            "split": recipe.split.model_copy(update=dict(zip(PARTS[1:], recipe.split.shares(), strict=True))),
        }
    )
    return Prepared(filled, table, schema, split, encoding, rows, context, quarantined, seconds, cached)


def encode(
    table: Table, schema: Schema, split: Split, context: Context
) -> tuple[Encoding, EncodedRows, bool]:
    """Fit the transforms and encode the table, or take both from the cache of an earlier run."""
    encoding = Encoding(_features(schema, "input"), _features(schema, "target"))
    training = split.indices["training"]
    rows = hashlib.blake2b(training.tobytes(), digest_size=16).hexdigest()
    media = _media_stamp(table, schema)
    key = json_hash([_FORMAT, table.fingerprint, media, encoding.hash(), rows, context.seed])
    folder = cache_folder("encoded") / key
    lock = folder.with_name(f".{key}.lock")
    # Two runs on the same data: the second waits and finds it done.
    use(folder)
    with locked(lock, busy="the same data is being encoded", fix="wait for it", wait=lambda _: None):
        known = _known(folder)
        cached = known is not None
        if known is not None:
            encoding = known
        else:
            encoding.fit(table, training, context)
            with whole_folder(folder, durable=False) as scratch:
                encoding.save(scratch)
                encoding.encode_to(scratch, table, context)
                write_atomic(scratch / "complete", "")
            prune(folder)
        folder.touch()
        return encoding, open_encoded(folder).in_memory(_IN_MEMORY_BYTES), cached


def _known(folder: Path) -> Encoding | None:
    """Return the transforms of an earlier run; None where there are none, or a power cut has damaged them."""
    if (folder / "complete").exists():
        with suppress(ModelFolderError):
            return Encoding.load(folder)
    return None


def _media_stamp(table: Table, schema: Schema) -> str:
    """Return a hash of size and time of the files that media columns point to: a table's own content does
    not change when a picture is replaced.
    """
    stamp = hashlib.blake2b(digest_size=16)
    for column in schema.columns:
        local = table.root is not None and "://" not in table.root
        if column.role == "input" and column.type in {"image", "audio"} and local:
            assert table.root is not None
            if table.schema[column.name] == pl.String:
                for path in table.column(column.name).drop_nulls().to_list():
                    try:
                        found = Path(table.root, path).stat()
                    except (OSError, ValueError):
                        continue  # encoding will say what is wrong with it
                    stamp.update(f"{found.st_size}/{found.st_mtime_ns}\n".encode())
    return stamp.hexdigest()


def encode_in_memory(
    table: Table, schema: Schema, split: Split, context: Context
) -> tuple[Encoding, EncodedRows]:
    """Fit the transforms and encode the table without a file, for frames too small to be worth one."""
    encoding = Encoding(_features(schema, "input"), _features(schema, "target"))
    encoding.fit(table, split.indices["training"], context)
    return encoding, joined(list(encoding.chunks(table, context)))


def describe(prepared: Prepared) -> dict[str, Any]:
    """Return what `data.json` holds."""
    table, schema, split = prepared.table, prepared.schema, prepared.split
    reasons = Counter(row.reason for row in prepared.quarantined)
    return {
        "name": table.name,
        "fingerprint": table.fingerprint,
        "rows": table.num_rows,
        "columns": schema.to_json(),
        "split": {
            "method": split.method,
            "column": split.column,
            "rows": {part: len(split.indices[part]) for part in PARTS},
            "notes": list(split.notes),
        },
        "quarantined": {
            "count": len(prepared.quarantined),
            "reasons": [{"reason": reason, "count": count} for reason, count in reasons.most_common(20)],
        },
        "notes": list(table.notes),
        "column_notes": prepared.encoding.notes(),
        "counts": prepared.rows.counts,
    }


def quarantine_lines(quarantined: list[Quarantined]) -> str:
    """Return the text of `quarantine.jsonl`."""
    return "".join(json.dumps(vars(row), ensure_ascii=False) + "\n" for row in quarantined)


def _features(schema: Schema, role: str) -> dict[str, Feature]:
    features: dict[str, Feature] = {}
    for column in schema.columns:
        if column.role == role:
            kind = FEATURES[column.type]
            try:
                options = check_options(kind, column.options)
            except ValidationError as error:  # options beside "auto": only now is it known whose they are
                raise explain(error, kind.Options, None, (f"{role}s", column.name)) from error
            features[column.name] = kind(column.name, options)
    return features


def _settings(features: Mapping[str, Feature]) -> dict[str, FeatureSettings]:
    """Return what a recipe says of the columns: what was asked for and what was inferred."""
    return {
        name: FeatureSettings(
            type=feature.type, **feature.options.model_dump(mode="json", exclude_defaults=True)
        )
        for name, feature in features.items()
    }


def _with_targets(table: Table, schema: Schema) -> Array:
    """Return which rows have at least one target, bool [rows]."""
    usable = np.zeros(table.num_rows, dtype=bool)
    for column in schema.columns:
        if column.role == "target":
            usable |= table.column(column.name).is_not_null().to_numpy()
    return usable


def _set_aside(table: Table, rows: EncodedRows) -> list[Quarantined]:
    return [
        Quarantined(source=table.where(row), position=None, reason=reason, column=column, row=row)
        for row, (column, reason) in sorted(rows.broken.items())
    ]


def _check_quarantine(quarantined: list[Quarantined], table: Table, limit: float) -> None:
    total = table.num_rows + sum(row.row is None for row in quarantined)
    if len(quarantined) <= limit * total:
        return
    reasons = Counter(
        f"column '{row.column}': {row.reason}" if row.column else row.reason for row in quarantined
    )
    shown = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
    raise DataError(
        f"{len(quarantined)} of {total} rows cannot be used ({shown})",
        where=table.name,
        fix=f"mend them, or raise data.quarantine_limit above {limit:g}",
    )

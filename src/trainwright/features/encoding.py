"""The transforms of all columns together: fitted on training rows, applied to any rows, saved and loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from trainwright.data.encoded import TARGET, EncodedRows, EncodedWriter, Ragged
from trainwright.data.table import CHUNK_ROWS, Table
from trainwright.features.base import (
    FEATURES,
    FIT_ROWS,
    Array,
    Context,
    Encoded,
    Feature,
    Modality,
    check_options,
)
from trainwright.foundation.errors import ModelFolderError, RecipeError
from trainwright.foundation.hashing import json_hash
from trainwright.foundation.paths import write_json
from trainwright.foundation.random import numpy_stream
from trainwright.foundation.threads import in_order

if TYPE_CHECKING:
    from torch import nn

TABLE = "table"
"""Name of the group that all columns of modality "table" form."""

_MEDIA_CHUNK_ROWS = {"image": 2_048, "audio": 256}
"""Rows encoded at a time: 256 recordings of 30 s at 16 kHz are 250 MB."""
_CHUNKS_AT_ONCE = 4
"""Chunks that threads encode side by side; more would take more memory than they save time."""


@dataclass(frozen=True)
class Group:
    """What one encoder takes: a column of its own, or all table columns together.

    Attributes:
        name: the column, or "table".
        modality: kind of encoder.
        spec: what the model must know of it (see `Feature.spec`; for "table" the columns' specs joined,
            with `columns`: column → {"dense": [from, to], "index": [from, to]}).
        columns: the columns behind it.
    """

    name: str
    modality: Modality
    spec: dict[str, Any]
    columns: tuple[str, ...]


class Encoding:
    """The transforms of every input and target.

    Args:
        inputs: transform of each input column.
        targets: transform of each target column.

    Raises:
        RecipeError: a column is called as all table columns together are.
    """

    def __init__(self, inputs: Mapping[str, Feature], targets: Mapping[str, Feature]) -> None:
        if TABLE in inputs and inputs[TABLE].modality != TABLE:
            raise RecipeError(
                f"a column of type {inputs[TABLE].type} cannot be called '{TABLE}', as all numbers and "
                "categories together are",
                where="inputs",
                fix="rename it in the data",
            )
        self.inputs = dict(inputs)
        self.targets = dict(targets)

    def fit(self, table: Table, rows: Array, context: Context) -> None:
        """Fit every transform on training rows, a column at a time, so that memory holds one column.

        Args:
            table: the rows.
            rows: training rows, ascending; a seeded sample of `FIT_ROWS` of them is used when there are more.
            context: see `Context`.
        """
        if len(rows) > FIT_ROWS:
            rows = np.sort(numpy_stream(context.seed, "fit").choice(rows, FIT_ROWS, replace=False))
        for name, feature in self.inputs.items():
            feature.fit(table.column(name, rows), context)
        for name, feature in self.targets.items():
            feature.fit_target(table.column(name, rows), context)

    def groups(self) -> dict[str, Group]:
        """Return what the model's encoders take, table first."""
        groups: dict[str, Group] = {}
        table = [feature for feature in self.inputs.values() if feature.modality == TABLE]
        if table:
            groups[TABLE] = Group(
                TABLE, "table", _joined_spec(table), tuple(feature.name for feature in table)
            )
        for name, feature in self.inputs.items():
            if feature.modality != TABLE:
                groups[name] = Group(name, feature.modality, feature.spec(), (name,))
        return groups

    def stems(self) -> dict[str, nn.Module | None]:
        """Return each group's module that prepares batch tensors on the device."""
        return {name: None if name == TABLE else self.inputs[name].stem() for name in self.groups()}

    def notes(self) -> dict[str, list[str]]:
        """Return column → what its transform decided or noticed when it was fitted, one sentence each."""
        fitted = {name: list(feature.notes()) for name, feature in (self.inputs | self.targets).items()}
        return {name: notes for name, notes in fitted.items() if notes}

    @property
    def columns(self) -> list[str]:
        """Input columns in order."""
        return list(self.inputs)

    def encode(self, frame: pl.DataFrame, context: Context, *, targets: bool = True) -> EncodedRows:
        """Encode a chunk of rows.

        Args:
            frame: rows with at least the input columns.
            context: see `Context`.
            targets: also encode the targets, which the frame must then hold.
        """
        arrays: dict[str, Array | Ragged] = {}
        broken: dict[int, tuple[str, str]] = {}
        counts: dict[str, dict[str, int]] = {}
        dense: list[Array] = []
        index: list[Array] = []
        for name, feature in self.inputs.items():
            encoded = feature.encode(frame[name], context)
            _note(encoded, name, broken, counts)
            if feature.modality == TABLE:
                if "dense" in encoded.arrays:
                    dense.append(_plain(encoded.arrays["dense"]))
                if "index" in encoded.arrays:
                    index.append(_plain(encoded.arrays["index"]))
            else:
                arrays |= {f"{name}.{part}": array for part, array in encoded.arrays.items()}
        if any(feature.modality == TABLE for feature in self.inputs.values()):
            empty = np.zeros((len(frame), 0), dtype=np.float32)
            arrays[f"{TABLE}.dense"] = np.concatenate(dense, axis=1) if dense else empty
            arrays[f"{TABLE}.index"] = np.concatenate(index, axis=1) if index else empty.astype(np.int32)
        if targets:
            self._encode_targets(frame, arrays, broken, counts)
        return EncodedRows(len(frame), arrays, broken, counts)

    def _encode_targets(
        self,
        frame: pl.DataFrame,
        arrays: dict[str, Array | Ragged],
        broken: dict[int, tuple[str, str]],
        counts: dict[str, dict[str, int]],
    ) -> None:
        """Add encoded targets; a row is set aside when none of its targets can be used."""
        wrong: dict[str, dict[int, str]] = {}
        for name, feature in self.targets.items():
            arrays[TARGET + name], wrong[name] = feature.encode_target(frame[name])
        unusable = set.intersection(*(set(rows) for rows in wrong.values()))
        for name, rows in wrong.items():
            for row in unusable:
                broken.setdefault(row, (name, rows[row]))
            if len(rows) > len(unusable):
                others = {"rows without this target, learned from for the others": len(rows) - len(unusable)}
                counts[name] = {**counts.get(name, {}), **others}

    def chunks(self, table: Table, context: Context, *, targets: bool = True) -> Iterator[EncodedRows]:
        """Yield the encoded rows of a whole table, chunk after chunk."""
        columns = [*self.inputs, *(self.targets if targets else ())]
        size = min(
            (_MEDIA_CHUNK_ROWS.get(feature.modality, CHUNK_ROWS) for feature in self.inputs.values()),
            default=CHUNK_ROWS,
        )
        # Media have threads of their own within a chunk.
        threads = min(context.workers, _CHUNKS_AT_ONCE) if size == CHUNK_ROWS else 1
        encode = partial(self.encode, context=replace(context, root=table.root), targets=targets)
        yield from in_order(encode, table.chunks(columns, size=size), threads=threads)

    def encode_to(self, folder: Path, table: Table, context: Context) -> None:
        """Encode a whole table into a folder, chunk by chunk (see `data.encoded.open_encoded`)."""
        writer = EncodedWriter(folder)
        for chunk in self.chunks(table, context):
            writer.append(chunk)
        writer.close()

    def save(self, folder: Path) -> None:
        """Write `transforms.json` and `transforms.safetensors`."""
        from safetensors.numpy import save_file

        tensors: dict[str, Array] = {}
        document: dict[str, Any] = {"inputs": [], "targets": []}
        for role, features in (("inputs", self.inputs), ("targets", self.targets)):
            for name, feature in features.items():
                document[role].append(
                    {
                        "name": name,
                        "type": feature.type,
                        "options": feature.options.model_dump(mode="json"),
                        "state": feature.state(),
                    }
                )
                for key, tensor in feature.tensors().items():
                    tensors[f"{role}/{key}/{name}"] = np.ascontiguousarray(tensor)
        write_json(folder / "transforms.json", document)
        save_file(tensors, folder / "transforms.safetensors")
        (folder / "transforms.safetensors").chmod(0o644)

    @classmethod
    def load(cls, folder: Path) -> Encoding:
        """Read what `save` wrote.

        Raises:
            ModelFolderError: a file is missing, damaged or names an unknown feature type.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            document = json.loads((folder / "transforms.json").read_text(encoding="utf-8"))
            tensors = load_file(folder / "transforms.safetensors")
            loaded: dict[str, dict[str, Feature]] = {}
            for role in ("inputs", "targets"):
                loaded[role] = {}
                for entry in document[role]:
                    kind = FEATURES[entry["type"]]
                    feature = kind(entry["name"], check_options(kind, entry["options"]))
                    mine = {
                        key: tensor
                        for path, tensor in tensors.items()
                        for (where, key, name) in [path.split("/", 2)]
                        if where == role and name == entry["name"]
                    }
                    feature.load(entry["state"], mine)
                    loaded[role][entry["name"]] = feature
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ModelFolderError(
                f"the transforms cannot be read ({error})",
                where=str(folder),
                fix="use an undamaged copy of the folder",
            ) from error
        return cls(loaded["inputs"], loaded["targets"])

    def hash(self) -> str:
        """Return a hash of the types and options (not of what was learned): part of the cache key."""
        return json_hash(
            [
                [name, feature.type, feature.options.model_dump(mode="json")]
                for features in (self.inputs, self.targets)
                for name, feature in features.items()
            ]
        )


def _plain(array: Array | Ragged) -> Array:
    assert not isinstance(array, Ragged)
    return array


def _note(
    encoded: Encoded, name: str, broken: dict[int, tuple[str, str]], counts: dict[str, dict[str, int]]
) -> None:
    for row, reason in encoded.broken.items():
        broken.setdefault(row, (name, reason))
    if encoded.counts:
        counts[name] = dict(encoded.counts)


def _joined_spec(features: list[Feature]) -> dict[str, Any]:
    """Join the specs of table columns and say which columns of the matrices each one fills."""
    dense, index, bins = 0, list[int](), list[Any]()
    periodic = list[bool]()
    columns: dict[str, dict[str, list[int]]] = {}
    for feature in features:
        spec = feature.spec()
        width, cardinalities = int(spec.get("dense", 0)), list(spec.get("index", ()))
        columns[feature.name] = {
            "dense": [dense, dense + width],
            "index": [len(index), len(index) + len(cardinalities)],
        }
        dense += width
        index += cardinalities
        bins += list(spec.get("bins") or [None] * width)
        periodic += list(spec.get("periodic") or [False] * width)
    return {"dense": dense, "index": index, "bins": bins, "periodic": periodic, "columns": columns}

"""What a feature type is: a fitted transform from the values of one column to arrays, and back.

A new type is one new file in this folder: a subclass of `Feature` under `@FEATURES.register(...)`.
"""

from __future__ import annotations

import builtins
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict

from trainwright.data.encoded import Ragged
from trainwright.foundation.errors import DataError
from trainwright.foundation.registry import Registry

if TYPE_CHECKING:
    from torch import nn

Array = npt.NDArray[Any]
Modality = Literal["table", "text", "image", "audio", "sequence"]
FIT_ROWS = 1_000_000
"""Training rows a transform is fitted on at most (a seeded sample): statistics do not move beyond."""


class FeatureOptions(BaseModel):
    """The options of a feature type; every field has a default and a description."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass
class Encoded:
    """One chunk of a column as arrays.

    Attributes:
        arrays: field name → array with one entry a row ([rows, ...]) or `Ragged`. The names, types and
            trailing shapes are the same for every chunk.
        broken: row offset in the chunk → reason, for values that cannot be used at all (an unreadable
            photo, a target that is not a number). Their array entries are those of a missing value.
        counts: what happened to usable values, to be said once: {"truncated": 3, "unseen": 12}.
    """

    arrays: dict[str, Array | Ragged]
    broken: dict[int, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """What a transform may need beside the values.

    Attributes:
        root: folder or URL that relative media paths start from.
        seed: the run's seed, for named random streams.
        workers: threads for decoding.
    """

    root: str | None = None
    seed: int = 0
    workers: int = 2


class Feature(ABC):
    """A column's transform.

    Life: `Feature(name, options)` → `fit(training values)` once → `encode(chunk)` many times. A fitted
    feature goes to disk as `state()` + `tensors()` and comes back through `load`. Learned attributes end
    in an underscore.

    Class attributes:
        type: name in the registry and in recipes.
        modality: which kind of encoder takes it. All "table" columns go to one encoder together.
        Options: the options model.
    """

    type: ClassVar[str]
    modality: ClassVar[Modality]
    Options: ClassVar[builtins.type[FeatureOptions]] = FeatureOptions

    def __init__(self, name: str, options: FeatureOptions | None = None) -> None:
        self.name = name
        self.options: Any = options if options is not None else self.Options()

    @abstractmethod
    def fit(self, values: pl.Series, context: Context) -> None:
        """Learn from the values of training rows (at most `FIT_ROWS`, a seeded sample, nulls included)."""

    @abstractmethod
    def encode(self, values: pl.Series, context: Context) -> Encoded:
        """Turn a chunk of raw values into arrays; vectorised, the same whatever else is in the chunk.

        Table features give "dense" (float32 [rows, d], missing → 0 beside an indicator column) and/or
        "index" (int32 [rows, c], 0 = missing, 1 = unseen). Text gives "tokens" (Ragged int32; missing →
        length 0). Images give "pixels" (uint8 [rows, channels, height, width]) and "present" (bool
        [rows]). Audio gives "samples" (Ragged int16; missing → length 0). Sequences give "values"
        (Ragged float32 [total, d]).
        """

    @abstractmethod
    def decode(self, encoded: Encoded) -> pl.Series:
        """Return values from arrays: the round trip that tests and displays use."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Return what a model must know to be built for this feature (JSON-able).

        Table: {"dense": d, "index": [cardinality, ...], "bins": [[edges of a dense column] or None, ...]}.
        Text: {"vocabulary": n, "max_tokens": n, "pad": id}. Image: {"channels", "height", "width", "mean",
        "std", "augment": {...}}. Audio: {"sample_rate", "mels", ...}. Sequence: {"width", "max_length"}.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return the learned state as JSON-able values (without options, which are saved beside it)."""

    def tensors(self) -> dict[str, Array]:
        """Return the learned state that is too large for JSON; saved as safetensors."""
        return {}

    @abstractmethod
    def load(self, state: Mapping[str, Any], tensors: Mapping[str, Array]) -> None:
        """Take back what `state` and `tensors` gave; everything is checked before use."""

    def fit_target(self, values: pl.Series, context: Context) -> None:
        """Learn from the target values of training rows; the same as `fit` unless a type says otherwise."""
        self.fit(values, context)

    def encode_target(self, values: pl.Series) -> tuple[Array, dict[int, str]]:
        """Return targets as the task takes them, and the offsets that cannot be used with the reason.

        Numbers: float32 [rows], standardised. Classes: int64 [rows], -1 where missing. Sets: float32
        [rows, classes]. A missing target is broken too: nothing can be learned from it.

        Raises:
            DataError: this type cannot be a target.
        """
        raise DataError(
            f"a column of type {self.type} cannot be a target",
            where=f"column '{self.name}'",
            fix="give the target the type number, category, ordinal, boolean or set",
        )

    def target_spec(self) -> dict[str, Any]:
        """Return what a task must know of its target: {"mean", "std"} or {"classes", "counts"}."""
        raise AssertionError(f"{self.type} is no target type")

    def notes(self) -> tuple[str, ...]:
        """Return what fitting decided or noticed, one sentence each; readers show them beside the column."""
        return ()

    def stem(self) -> nn.Module | None:
        """Return the module that turns batch tensors into what encoders take, on the device.

        It normalises, and augments while `training` is true. Table and text features need none.
        Image stem: ({"pixels": uint8 [b, c, h, w]}) → float [b, c, h, w]. Audio stem: ({"samples": int16
        [b, time], "samples.lengths": int64 [b]}) → (float [b, frames, mels], lengths int64 [b]).
        Sequence stem: values and lengths pass through normalised.
        """
        return None


FEATURES: Registry[type[Feature]] = Registry("feature type", package="trainwright.features")


__all__ = [
    "FEATURES",
    "FIT_ROWS",
    "Array",
    "Context",
    "Encoded",
    "Feature",
    "FeatureOptions",
    "Ragged",
    "check_options",
]


def check_options(cls: type[Feature], options: Mapping[str, Any]) -> FeatureOptions:
    """Return the checked options of a feature type.

    Raises:
        pydantic.ValidationError: the recipe layer turns it into file:line:column.
    """
    return cls.Options.model_validate(dict(options))

"""What every feature type promises: the cases that `test_contract` tries each promise on.

A new type registers its cases in a file `cases_<type>.py` beside this one:

    register(Case("photo", "image", values=photos))

where `photos(folder)` returns (training values, other values); it may write files into `folder`, which is
the root of relative paths. Other values hold missing, unseen and broken ones.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trainwright.features.base import FEATURES, Array, Context, Encoded, Feature, Ragged, check_options

Values = tuple[pl.Series, pl.Series]


@dataclass(frozen=True)
class Case:
    """One way to use a feature type as an input.

    Attributes:
        name: name of the case in test ids.
        type: feature type.
        values: folder → (training values, other values).
        options: options of the type.
        known: training values whose decoded values encode to the same arrays again; all of them without.
        same: (value, decoded value) → whether they are the same; not asked without.
        tolerance: largest difference of floats after a round trip.
    """

    name: str
    type: str
    values: Callable[[Path], Values]
    options: Mapping[str, Any] = field(default_factory=dict)
    known: Callable[[pl.Series], pl.Series] = lambda values: values
    same: Callable[[Any, Any], bool] | None = None
    tolerance: float = 1e-4


@dataclass(frozen=True)
class TargetCase:
    """One way to use a feature type as a target.

    Attributes:
        name: name of the case in test ids.
        type: feature type.
        train: training values.
        fresh: other values.
        broken: offsets in `fresh` that cannot be used.
        options: options of the type.
    """

    name: str
    type: str
    train: pl.Series
    fresh: pl.Series
    broken: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


CASES: list[Case] = []
TARGETS: list[TargetCase] = []


def register(case: Case | TargetCase) -> None:
    """Add a case to the suite."""
    CASES.append(case) if isinstance(case, Case) else TARGETS.append(case)


def load_cases() -> None:
    """Import every `cases_*.py` of this folder."""
    for file in sorted(Path(__file__).parent.glob("cases_*.py")):
        importlib.import_module(file.stem)


def constant(train: pl.Series, fresh: pl.Series) -> Callable[[Path], Values]:
    """Return `values` of a case that needs no files."""
    return lambda folder: (train, fresh)


class Fitted:
    """A feature fitted on a case, with the case's values.

    Attributes:
        feature: the fitted feature.
        train: training values.
        fresh: other values.
        context: context with the case's folder as root.
    """

    def __init__(self, case: Case, folder: Path, name: str = "column") -> None:
        self.case = case
        self.context = Context(root=str(folder), seed=3)
        self.train, self.fresh = case.values(folder)
        self.feature = self.new(name)
        self.feature.fit(self.train, self.context)

    def new(self, name: str = "column") -> Feature:
        """Return an unfitted feature of the case."""
        return new_feature(self.case.type, self.case.options, name)

    def encode(self, values: pl.Series, feature: Feature | None = None, **context: Any) -> Encoded:
        """Encode values by the fitted feature, or by another one."""
        return (feature or self.feature).encode(values, replace(self.context, **context))


def new_feature(kind: str, options: Mapping[str, Any], name: str = "column") -> Feature:
    """Return an unfitted feature."""
    cls = FEATURES[kind]
    return cls(name, check_options(cls, options))


def through_disk(feature: Feature, target: Feature) -> Feature:
    """Load what a feature learned into an unfitted one, through JSON text and safetensors bytes."""
    from safetensors.numpy import load, save

    state = json.loads(json.dumps(feature.state(), allow_nan=False))
    target.load(
        state, load(save({name: np.ascontiguousarray(array) for name, array in feature.tensors().items()}))
    )
    return target


def joined(parts: list[Encoded], sizes: list[int]) -> Encoded:
    """Return chunks encoded one by one as one chunk."""
    arrays: dict[str, Array | Ragged] = {}
    for name, first in parts[0].arrays.items():
        pieces: list[Any] = [part.arrays[name] for part in parts]
        if isinstance(first, Ragged):
            lengths = np.concatenate([piece.lengths for piece in pieces])
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            arrays[name] = Ragged(np.concatenate([piece.values for piece in pieces]), offsets)
        else:
            arrays[name] = np.concatenate(pieces)
    broken, counts, start = dict[int, str](), dict[str, int](), 0
    for part, size in zip(parts, sizes, strict=True):
        broken |= {start + row: reason for row, reason in part.broken.items()}
        for what, count in part.counts.items():
            counts[what] = counts.get(what, 0) + count
        start += size
    return Encoded(arrays, broken, counts)


def assert_same(left: Encoded, right: Encoded, *, tolerance: float = 0.0) -> None:
    """Assert that two chunks hold the same arrays, broken rows and counts."""
    assert_same_arrays(left, right, tolerance=tolerance)
    assert left.broken == right.broken
    assert left.counts == right.counts


def assert_same_arrays(left: Encoded, right: Encoded, *, tolerance: float = 0.0) -> None:
    """Assert that two chunks hold the same arrays."""
    assert list(left.arrays) == list(right.arrays)
    for name, one in left.arrays.items():
        other = right.arrays[name]
        if isinstance(one, Ragged):
            assert isinstance(other, Ragged)
            np.testing.assert_array_equal(one.offsets, other.offsets)
            _assert_close(one.values, other.values, tolerance)
        else:
            assert isinstance(other, np.ndarray)
            _assert_close(one, other, tolerance)


def _assert_close(one: Array, other: Array, tolerance: float) -> None:
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    if np.issubdtype(one.dtype, np.floating):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)
    else:
        np.testing.assert_array_equal(one, other)

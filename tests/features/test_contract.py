"""The promises that every feature type keeps, tried on every registered case."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from contract import (
    CASES,
    TARGETS,
    Case,
    Fitted,
    TargetCase,
    assert_same,
    assert_same_arrays,
    joined,
    load_cases,
    new_feature,
    through_disk,
)

from trainwright.data.encoded import EncodedRows
from trainwright.features.base import FEATURES, Context, Encoded, Feature, Ragged
from trainwright.features.encoding import Encoding
from trainwright.foundation.errors import DataError, ModelFolderError

load_cases()
ODD_NAME = 'Preis in €/m²: "a/b" \\ ../数\n{x}'
WRONG: list[Any] = [None, "wrong", -1e400, {"x": [1]}, [[["x"]]], [float("nan")]]
OPTIONAL = {"notes"}


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def fitted(request: pytest.FixtureRequest, tmp_path: Path) -> Fitted:
    case: Case = request.param
    return Fitted(case, tmp_path)


def assert_sound(feature: Feature, encoded: Encoded, rows: int) -> None:
    """The arrays are what the base class documents for the modality, and what `spec` announced."""
    spec = feature.spec()
    arrays: dict[str, Any] = encoded.arrays
    for array in arrays.values():
        assert len(array.lengths if isinstance(array, Ragged) else array) == rows
        values = array.values if isinstance(array, Ragged) else array
        assert np.isfinite(values).all()
        if isinstance(array, Ragged):
            assert array.offsets[0] == 0
            assert array.offsets[-1] == len(values)
    assert all(0 <= row < rows for row in encoded.broken)
    assert all(count > 0 for count in encoded.counts.values())
    if feature.modality == "table":
        if spec["dense"]:
            assert arrays["dense"].dtype == np.float32
            assert arrays["dense"].shape == (rows, spec["dense"])
            assert len(spec["bins"]) == spec["dense"]
        if spec.get("index"):
            assert arrays["index"].dtype == np.int32
            assert arrays["index"].shape == (rows, len(spec["index"]))
            assert ((arrays["index"] >= 0) & (arrays["index"] < np.array(spec["index"]))).all()
        assert set(arrays) == {name for name in ("dense", "index") if spec.get(name)}
    elif feature.modality == "text":
        tokens = arrays["tokens"]
        assert tokens.values.dtype == np.int32
        assert tokens.lengths.max(initial=0) <= spec["max_tokens"]
        assert (tokens.values >= 0).all()
        assert tokens.values.max(initial=0) < spec["vocabulary"]
    elif feature.modality == "sequence":
        assert arrays["values"].values.dtype == np.float32
        assert arrays["values"].values.shape[1:] == (spec["width"],)
        assert arrays["values"].lengths.max(initial=0) <= spec["max_length"]
    elif feature.modality == "image":
        assert arrays["pixels"].dtype == np.uint8
        assert arrays["pixels"].shape[1:] == (spec["channels"], spec["height"], spec["width"])
        assert arrays["present"].dtype == bool
    else:
        assert arrays["samples"].values.dtype == np.int16


def test_every_type_is_covered() -> None:
    assert {case.type for case in CASES} >= {
        *("number", "category", "ordinal", "boolean", "date", "text", "set", "sequence", "vector")
    }
    assert {case.type for case in TARGETS} == {
        name for name, kind in FEATURES.items() if kind.encode_target is not Feature.encode_target
    }


def test_arrays_are_as_documented(fitted: Fitted) -> None:
    for values in (fitted.train, fitted.fresh):
        assert_sound(fitted.feature, fitted.encode(values), len(values))


def test_training_values_are_usable(fitted: Fitted) -> None:
    assert fitted.encode(fitted.train).broken == {}


def test_round_trip(fitted: Fitted) -> None:
    known = fitted.case.known(fitted.train)
    assert len(known) > 0
    encoded = fitted.encode(known)
    decoded = fitted.feature.decode(encoded)
    assert len(decoded) == len(known)
    assert decoded.is_null().any()
    assert not decoded.is_null().all()
    assert_same_arrays(fitted.encode(decoded), encoded, tolerance=fitted.case.tolerance)
    if fitted.case.same is not None:
        for value, again in zip(known.to_list(), decoded.to_list(), strict=True):
            assert fitted.case.same(value, again), (value, again)


def test_missing_values_are_usable(fitted: Fitted) -> None:
    missing = pl.Series([None] * 3, dtype=fitted.train.dtype)
    encoded = fitted.encode(missing)
    assert_sound(fitted.feature, encoded, 3)
    assert encoded.broken == {}
    assert fitted.feature.decode(encoded).is_null().all()


def test_missing_values_that_training_did_not_have(fitted: Fitted) -> None:
    feature = fitted.new()
    feature.fit(fitted.train.drop_nulls(), fitted.context)
    encoded = fitted.encode(pl.Series([None, None], dtype=fitted.train.dtype), feature)
    assert_sound(feature, encoded, 2)
    assert encoded.broken == {}


def test_a_chunk_is_the_sum_of_its_rows(fitted: Fitted) -> None:
    values = fitted.fresh
    whole = fitted.encode(values)
    rows = [fitted.encode(values.slice(row, 1), workers=1) for row in range(len(values))]
    assert_same(joined(rows, [1] * len(rows)), whole)
    middle = len(values) // 2
    halves = [fitted.encode(values[:middle]), fitted.encode(values[middle:])]
    assert_same(joined(halves, [middle, len(values) - middle]), whole)


def test_an_empty_chunk(fitted: Fitted) -> None:
    empty = fitted.encode(fitted.fresh.head(0))
    assert_sound(fitted.feature, empty, 0)
    some = fitted.encode(fitted.fresh)
    assert_same(joined([empty, some], [0, len(fitted.fresh)]), some)
    assert len(fitted.feature.decode(empty)) == 0


def test_saved_and_loaded_is_the_same(fitted: Fitted) -> None:
    copy = through_disk(fitted.feature, fitted.new())
    assert copy.spec() == fitted.feature.spec()
    assert copy.state() == fitted.feature.state()
    assert copy.notes() == fitted.feature.notes()
    assert_same(fitted.encode(fitted.fresh, copy), fitted.encode(fitted.fresh))
    assert json.loads(json.dumps(copy.spec(), allow_nan=False)) == copy.spec()


def test_fitting_twice_gives_the_same(fitted: Fitted) -> None:
    again = fitted.new()
    again.fit(fitted.train, fitted.context)
    assert again.state() == fitted.feature.state()
    assert {name: array.tolist() for name, array in again.tensors().items()} == {
        name: array.tolist() for name, array in fitted.feature.tensors().items()
    }


def test_a_column_without_values(fitted: Fitted) -> None:
    feature = fitted.new()
    nothing = pl.Series([None] * 4, dtype=fitted.train.dtype)
    try:
        feature.fit(nothing, fitted.context)
    except DataError:
        return  # a type may refuse, in one sentence
    for values in (nothing, fitted.fresh):
        assert_sound(feature, fitted.encode(values, feature), len(values))
    assert_same(fitted.encode(nothing, through_disk(feature, fitted.new())), fitted.encode(nothing, feature))


def test_odd_names_survive_the_model_folder(fitted: Fitted, tmp_path: Path) -> None:
    encoding = Encoding({ODD_NAME: Fitted(fitted.case, tmp_path, ODD_NAME).feature}, {})
    folder = tmp_path / "model"
    folder.mkdir()
    encoding.save(folder)
    frame = pl.DataFrame({ODD_NAME: fitted.fresh})

    def rows(transforms: Encoding) -> EncodedRows:
        return transforms.encode(frame, fitted.context, targets=False)

    before, after = rows(encoding), rows(Encoding.load(folder))
    assert after.broken == before.broken
    assert list(after.arrays) == list(before.arrays)
    assert_same_arrays(Encoded(dict(after.arrays)), Encoded(dict(before.arrays)))


def changed(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {}
    yield {**state, "surprise": 1}
    for key in state.keys() - OPTIONAL:
        yield {name: value for name, value in state.items() if name != key}
        for wrong in WRONG:
            if not (wrong is None and state[key] is None):
                yield {**state, key: wrong}


def accepted_honestly(feature: Feature, state: dict[str, Any]) -> bool:
    """A changed state may be accepted only as what it says, such as another checkpoint name."""
    return feature.state() == state


def test_a_hostile_state_is_refused(fitted: Fitted) -> None:
    refused = 0
    for state in changed(fitted.feature.state()):
        feature = fitted.new()
        try:
            feature.load(state, fitted.feature.tensors())
        except ModelFolderError:
            refused += 1
        else:
            assert accepted_honestly(feature, state)
    assert refused > len(fitted.feature.state())
    if fitted.feature.tensors():
        with pytest.raises(ModelFolderError):
            fitted.new().load(fitted.feature.state(), {})


def test_a_stem_moves_whole(fitted: Fitted) -> None:
    import torch

    stem = fitted.feature.stem()
    if fitted.feature.modality not in {"image", "audio"}:
        assert stem is None
        return
    assert stem is not None
    stem.to("meta")
    tensors = [*stem.parameters(), *stem.buffers()]
    held = [
        value
        for module in stem.modules()
        for value in vars(module).values()
        if isinstance(value, torch.Tensor)
    ]
    assert all(tensor.is_meta for tensor in (*tensors, *held))


# Targets


@pytest.fixture(params=TARGETS, ids=lambda case: case.name)
def target(request: pytest.FixtureRequest) -> tuple[TargetCase, Feature]:
    case: TargetCase = request.param
    feature = new_feature(case.type, case.options)
    feature.fit_target(case.train, Context())
    return case, feature


def test_targets_are_as_documented(target: tuple[TargetCase, Feature]) -> None:
    case, feature = target
    encoded, broken = feature.encode_target(case.fresh)
    assert sorted(broken) == list(case.broken)
    assert all(reason for reason in broken.values())
    spec = feature.target_spec()
    assert json.loads(json.dumps(spec, allow_nan=False)) == spec
    assert len(encoded) == len(case.fresh)
    usable = np.setdiff1d(np.arange(len(case.fresh)), case.broken)
    assert len(usable) > 0
    if "mean" in spec:
        assert encoded.dtype == np.float32
        assert np.isnan(encoded[list(case.broken)]).all()
        assert np.isfinite(encoded[usable]).all()
    elif encoded.ndim == 1:
        assert encoded.dtype == np.int64
        assert (encoded[list(case.broken)] == -1).all()
        assert ((encoded[usable] >= 0) & (encoded[usable] < len(spec["classes"]))).all()
    else:
        assert encoded.dtype == np.float32
        assert encoded.shape == (len(case.fresh), len(spec["classes"]))
        assert np.isnan(encoded[list(case.broken)]).all()
        assert np.isin(encoded[usable], [0, 1]).all()
    if "classes" in spec:
        assert len(spec["counts"]) == len(spec["classes"])


def test_training_targets_are_usable_but_for_missing_ones(target: tuple[TargetCase, Feature]) -> None:
    case, feature = target
    _, broken = feature.encode_target(case.train)
    assert set(broken.values()) == {"the target is missing"}


def test_a_chunk_of_targets_is_the_sum_of_its_rows(target: tuple[TargetCase, Feature]) -> None:
    case, feature = target
    encoded, broken = feature.encode_target(case.fresh)
    rows = [feature.encode_target(case.fresh.slice(row, 1)) for row in range(len(case.fresh))]
    np.testing.assert_array_equal(np.concatenate([row for row, _ in rows]), encoded)
    assert {at: reason for at, (_, wrong) in enumerate(rows) for reason in wrong.values()} == broken
    empty, none = feature.encode_target(case.fresh.head(0))
    assert (empty.shape, empty.dtype, none) == ((0, *encoded.shape[1:]), encoded.dtype, {})


def test_saved_and_loaded_targets_are_the_same(target: tuple[TargetCase, Feature]) -> None:
    case, feature = target
    copy = through_disk(feature, new_feature(case.type, case.options))
    assert copy.target_spec() == feature.target_spec()
    np.testing.assert_array_equal(copy.encode_target(case.fresh)[0], feature.encode_target(case.fresh)[0])


def test_a_hostile_target_state_is_refused(target: tuple[TargetCase, Feature]) -> None:
    case, feature = target
    refused = 0
    for state in changed(feature.state()):
        copy = new_feature(case.type, case.options)
        try:
            copy.load(state, {})
        except ModelFolderError:
            refused += 1
        else:
            assert accepted_honestly(copy, state)
    assert refused > len(feature.state())


def test_a_target_without_values_is_refused(target: tuple[TargetCase, Feature]) -> None:
    case, _ = target
    with pytest.raises(DataError, match="column"):
        new_feature(case.type, case.options).fit_target(case.train.head(0), Context())


def test_other_types_refuse_to_be_targets(tmp_path: Path) -> None:
    others = [case for case in CASES if case.type not in {target.type for target in TARGETS}]
    assert others
    for case in others:
        fitted = Fitted(replace(case), tmp_path)
        with pytest.raises(DataError, match="cannot be a target"):
            fitted.feature.encode_target(fitted.train)

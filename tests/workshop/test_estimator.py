"""The scikit-learn estimators: the contract of scikit-learn, and frames as people have them."""

from __future__ import annotations

import copy
import inspect
import pickle
import pickletools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import trainwright as tw
from trainwright.foundation.errors import DataError, ModelFolderError

ROWS = 120
TINY: dict[str, Any] = {"size": "tiny", "budget": "15 steps"}


@parametrize_with_checks([tw.TrainwrightClassifier(**TINY), tw.TrainwrightRegressor(**TINY)])
def test_keeps_the_contract_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


def _rows(seed: int = 0) -> pd.DataFrame:
    """Return rows of every type that an estimator takes, with gaps; "target" and "split" are inputs too."""
    draw = np.random.default_rng(seed)
    words = np.array(["good", "bad", "fast", "slow", "fine", "red", "dog", "car", "house", "tree"])
    frame = pd.DataFrame(
        {
            "size": draw.normal(size=ROWS),
            "rooms": draw.integers(1, 6, ROWS),
            "garden": draw.random(ROWS) > 0.5,
            "city": draw.choice(["Rome", "Oslo", "Lima"], ROWS),
            "zone": pd.Categorical(draw.integers(0, 3, ROWS)),
            "note": [" ".join(draw.choice(words, 12)) for _ in range(ROWS)],
            "sold": pd.date_range("2024-01-01", periods=ROWS),
            "target": draw.normal(size=ROWS),
            "split": draw.choice(["train", "test"], ROWS),
        }
    )
    frame.loc[::7, "size"] = np.nan
    frame.loc[::9, "note"] = None
    return frame


TYPES = {
    "size": "number",
    "rooms": "number",
    "garden": "boolean",
    "city": "category",
    "zone": "category",
    "note": "text",
    "sold": "date",
    "target": "number",
    "split": "category",
}


def _as_polars(frame: pd.DataFrame) -> pl.DataFrame:
    # polars keeps a category of whole numbers as numbers; its own categories are words.
    return pl.from_pandas(frame.assign(zone=frame["zone"].astype(str))).with_columns(
        pl.col("zone").cast(pl.Categorical)
    )


@pytest.mark.parametrize("convert", [lambda frame: frame, _as_polars], ids=["pandas", "polars"])
def test_a_frame_keeps_the_types_of_its_columns(convert: Any) -> None:
    rows = convert(_rows())
    labels = np.where(_rows()["city"] == "Rome", "here", "there")
    model = tw.TrainwrightClassifier(**TINY).fit(rows, labels)
    assert {name: feature.type for name, feature in model.model_.encoding.inputs.items()} == TYPES
    assert list(model.feature_names_in_) == list(TYPES)
    assert list(model.classes_) == ["here", "there"]
    probabilities = model.predict_proba(rows)
    assert probabilities.shape == (ROWS, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert (model.predict(rows) == model.classes_[probabilities.argmax(axis=1)]).all()
    np.testing.assert_allclose(model.predict_proba(rows[5:9]), probabilities[5:9], atol=1e-6)


def test_learns_from_categories_and_from_text() -> None:
    draw = np.random.default_rng(0)
    labels = draw.choice(["Rome", "Oslo"], ROWS)
    words = {"Rome": ["sun", "warm", "old", "wine"], "Oslo": ["snow", "cold", "new", "fish"]}
    rows = pd.DataFrame(
        {"city": labels, "note": [" ".join(draw.choice([*words[label], "the"], 12)) for label in labels]}
    )
    estimator = tw.TrainwrightClassifier(size="tiny", budget="60 steps")
    for column in rows:
        assert clone(estimator).fit(rows[[column]], labels).score(rows[[column]], labels) > 0.95


def test_takes_arrays_of_mixed_objects() -> None:
    rows = np.array([[1.5, "red", None], [2, "blue", 3.0]] * 20, dtype=object)
    model = tw.TrainwrightClassifier(**TINY).fit(rows, ["a", "b"] * 20)
    types = {name: feature.type for name, feature in model.model_.encoding.inputs.items()}
    assert types == {"x0": "number", "x1": "category", "x2": "number"}
    assert set(model.predict(rows)) <= {"a", "b"}


@pytest.mark.parametrize("wrap", [pl.Series, pd.Series, list, lambda y: pd.Series(y).astype("category")])
def test_targets_come_in_any_column_of_labels(wrap: Any) -> None:
    rows = _rows()[["city"]]
    labels = rows["city"].to_numpy()
    fitted = tw.TrainwrightClassifier(**TINY).fit(rows, wrap(labels))
    assert list(fitted.classes_) == ["Lima", "Oslo", "Rome"]
    assert set(fitted.predict(rows)) <= set(labels)


def test_a_missing_target_is_refused() -> None:
    rows = _rows()[["size"]]
    with pytest.raises(ValueError, match="contains NaN"):
        tw.TrainwrightRegressor(**TINY).fit(rows, [np.nan, *range(1, ROWS)])
    with pytest.raises(ValueError, match="contains NaN"):
        tw.TrainwrightClassifier(**TINY).fit(rows, pd.Series([None, *["a", "b"] * 59, "a"]))


def test_what_is_left_out_is_warned_of() -> None:
    rows = _rows()[["size"]].assign(wait=pd.to_timedelta(range(ROWS), unit="h"), same="x")
    with pytest.warns(UserWarning, match="left out") as caught:
        tw.TrainwrightRegressor(**TINY).fit(rows, range(ROWS))
    assert sorted(str(one.message).split()[1] for one in caught) == ["'same'", "'wait'"]
    assert {one.filename for one in caught} == {__file__}


def test_a_class_that_only_validation_rows_had_gets_no_probability() -> None:
    inputs = np.arange(40.0)[:, None]
    labels = np.array(["common", "other"] * 19 + ["late"] * 2)
    by_part = {"split.method": "column", "split.column": "part"}
    rows = pd.DataFrame({"x": inputs[:, 0], "part": ["train"] * 30 + ["validation"] * 10})
    with pytest.warns(UserWarning, match="2 of 40 rows were set aside"):
        model = tw.TrainwrightClassifier(**TINY, settings=by_part).fit(rows, labels)
    probabilities = model.predict_proba(rows)
    assert list(model.classes_) == ["common", "late", "other"]
    assert (probabilities[:, 1] == 0).all()
    assert (probabilities[:, [0, 2]] > 0).all()


def test_rare_classes_stay_in_training() -> None:
    inputs = np.random.default_rng(0).normal(size=(60, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = tw.TrainwrightClassifier(**TINY).fit(inputs, ["a"] * 30 + ["b"] * 29 + ["c"])
    assert (model.predict_proba(inputs) > 0).all()


def test_a_row_that_cannot_be_read_is_named() -> None:
    rows = pl.DataFrame({"spectrum": np.random.default_rng(0).normal(size=(40, 8))})
    model = tw.TrainwrightRegressor(**TINY).fit(rows, range(40))
    other = pl.DataFrame({"spectrum": [[1.0] * 8, [1.0] * 5]})
    with pytest.raises(DataError, match="row 1 cannot be read"):
        model.predict(other)


def _same(first: Any, second: Any, rows: Any) -> None:
    np.testing.assert_array_equal(first.predict(rows), second.predict(rows))


def test_pickles_and_copies_hold_the_files_of_the_model_folder() -> None:
    rows = _rows()
    model = tw.TrainwrightRegressor(**TINY).fit(rows, rows["size"].fillna(0))
    content = pickle.dumps(model)
    _same(model, pickle.loads(content), rows)
    _same(model, copy.deepcopy(model), rows)
    # Nothing of torch is pickled: only our own class, plain values and what NumPy needs for names.
    modules = {
        str(argument).split()[0].partition(".")[0]
        for code, argument, _ in pickletools.genops(content)
        if code.name == "GLOBAL"
    }
    strings = [argument for _, argument, _ in pickletools.genops(content) if isinstance(argument, str)]
    assert not modules
    assert not any(text.startswith(("torch", "polars", "pydantic")) for text in strings)
    state = model.__getstate__()["model_"]
    assert "model.safetensors" in state
    assert all(type(file) is bytes for file in state.values())


def test_a_pickle_with_a_changed_byte_is_refused() -> None:
    model = tw.TrainwrightRegressor(**TINY).fit(np.arange(40.0)[:, None], np.arange(40.0))
    state = model.__getstate__()
    weights = bytearray(state["model_"]["model.safetensors"])
    weights[-1] ^= 1
    state["model_"]["model.safetensors"] = bytes(weights)
    with pytest.raises(ModelFolderError, match="hash differs"):
        clone(model).__setstate__(state)


def test_an_unfitted_estimator_pickles_too() -> None:
    model = pickle.loads(pickle.dumps(tw.TrainwrightClassifier(size="tiny", settings={"model.dropout": 0.1})))
    assert model.get_params() == {
        "size": "tiny",
        "budget": None,
        "random_state": 0,
        "settings": {"model.dropout": 0.1},
    }


def test_leaves_nothing_behind_and_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    model = tw.TrainwrightClassifier(**TINY).fit(np.arange(40.0)[:, None], [0, 1] * 20)
    model.predict(np.arange(3.0)[:, None])
    pickle.loads(pickle.dumps(model))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.rand(3), expected)  # the caller's random numbers were not touched


def test_the_seed_decides() -> None:
    rows, values = np.random.default_rng(0).normal(size=(50, 3)), np.arange(50.0)

    def predict(random_state: Any) -> Any:
        return tw.TrainwrightRegressor(**TINY, random_state=random_state).fit(rows, values).predict(rows)

    np.testing.assert_array_equal(predict(1), predict(np.int64(1)))
    np.testing.assert_array_equal(predict(np.random.RandomState(2)), predict(np.random.RandomState(2)))
    assert (predict(1) != predict(2)).any()


def test_settings_reach_the_recipe_and_wrong_ones_are_explained() -> None:
    rows = np.arange(40.0)[:, None]
    model = tw.TrainwrightRegressor(**TINY, settings={"training.batch": 7}).fit(rows, rows[:, 0])
    assert model.model_.recipe.training.batch == 7
    with pytest.raises(ValueError, match=r"did you mean 'dropout'"):
        tw.TrainwrightRegressor(**TINY, settings={"model.dropuot": 0.1}).fit(rows, rows[:, 0])


def test_a_threshold_that_was_asked_for_decides() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(200, 2))
    labels = draw.random(200) < 0.1 + 0.2 * (rows[:, 0] > 0)
    settings = {"evaluation.threshold": "balanced_accuracy"}
    model = tw.TrainwrightClassifier(**TINY, settings=settings).fit(rows, labels)
    (task,) = model.model_.tasks.values()
    threshold = task.state()["threshold"]
    assert threshold < 0.5
    np.testing.assert_array_equal(model.predict(rows), model.predict_proba(rows)[:, 1] >= threshold)


def test_works_in_a_pipeline_under_a_grid_search() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(80, 3))
    pipeline = make_pipeline(StandardScaler(), tw.TrainwrightClassifier(**TINY))
    search = GridSearchCV(
        pipeline, {"trainwrightclassifier__settings": [{"model.dropout": 0.1}, {"training.batch": 16}]}, cv=2
    ).fit(rows, rows[:, 0] > 0)
    assert search.best_score_ > 0.7
    assert set(search.best_params_) == {"trainwrightclassifier__settings"}


def test_both_take_the_same_words() -> None:
    first, second = (inspect.signature(kind) for kind in (tw.TrainwrightClassifier, tw.TrainwrightRegressor))
    assert first == second

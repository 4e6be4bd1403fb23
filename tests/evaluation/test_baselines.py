"""Simple models: that they are good yardsticks, take any column, and keep within their time."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from trainwright.data.encoded import Ragged
from trainwright.evaluation.baselines import Baseline, fit_baselines
from trainwright.evaluation.design_matrix import BaselineRows
from trainwright.evaluation.metrics.base import METRICS
from trainwright.evaluation.sample import Sample


def by_name(baselines: list[Baseline]) -> dict[str, Baseline]:
    return {baseline.name: baseline for baseline in baselines}


def fit(
    kind: str,
    types: Mapping[str, str],
    frame: pl.DataFrame,
    target: np.ndarray,
    *,
    arrays: Mapping[str, Any] | None = None,
    **options: Any,
) -> tuple[dict[str, Baseline], np.ndarray]:
    """Train on the first four fifths, test on the rest."""
    rows = len(target)
    first, rest = np.arange(rows * 4 // 5), np.arange(rows * 4 // 5, rows)

    def part(rows: np.ndarray) -> BaselineRows:
        taken = {
            name: array.take(rows) if isinstance(array, Ragged) else array[rows]
            for name, array in (arrays or {}).items()
        }
        return BaselineRows(frame[rows] if frame.width else frame, taken)

    found = fit_baselines(kind, types, part(first), target[first], part(rest), **options)
    return by_name(found), target[rest]


def score(kind: str, metric: str, baseline: Baseline, target: np.ndarray) -> float:
    assert baseline.scores is not None, baseline.note
    return METRICS[metric](Sample.of(kind, target, baseline.scores))


def test_breast_cancer_is_solved_quickly() -> None:
    import sklearn.ensemble
    import sklearn.linear_model
    from sklearn.datasets import load_breast_cancer

    assert sklearn.ensemble and sklearn.linear_model  # imported before the clock starts
    inputs, target = load_breast_cancer(return_X_y=True)
    frame = pl.DataFrame(inputs, schema=[f"c{i}" for i in range(30)])
    start = time.process_time()
    found, truth = fit("binary", dict.fromkeys(frame.columns, "number"), frame, target, classes=2)
    assert time.process_time() - start < 3
    assert score("binary", "roc_auc", found["logistic"], truth) > 0.98
    assert score("binary", "roc_auc", found["boosting"], truth) > 0.97
    assert score("binary", "roc_auc", found["majority"], truth) == 0.5
    assert found["logistic"].note == found["boosting"].note == ""


def test_digits_as_pictures() -> None:
    from sklearn.datasets import load_digits

    pixels, target = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 1, 8, 8) * 15).astype(np.uint8)
    found, truth = fit(
        "multiclass", {"photo": "image"}, pl.DataFrame(), target, arrays={"photo": images}, classes=10
    )
    assert score("multiclass", "accuracy", found["logistic"], truth) > 0.85
    assert score("multiclass", "accuracy", found["boosting"], truth) > 0.85


def test_numbers_written_as_text_with_gaps_and_categories_unseen_in_training() -> None:
    random = np.random.default_rng(0)
    size, kind = random.normal(size=600), random.integers(4, size=600)
    target = 3 * size + np.array([0.0, 5.0, -5.0, 2.0])[kind] + random.normal(scale=0.1, size=600)
    written = [f" {value} " if place % 10 else "?" for place, value in enumerate(size)]
    names = np.array(["a", "b", "c", "d"])[kind].tolist()
    names[-1], names[-2] = "never seen", None
    frame = pl.DataFrame({"size": written, "kind": names})
    found, truth = fit("regression", {"size": "number", "kind": "category"}, frame, target)
    assert score("regression", "r2", found["ridge"], truth) > 0.8
    assert score("regression", "r2", found["boosting"], truth) > 0.8
    assert found["mean"].scores is not None and np.ptp(found["mean"].scores) == 0


def test_more_levels_than_trees_can_split() -> None:
    random = np.random.default_rng(0)
    level = random.integers(1000, size=4000)
    target = (level % 2).astype(np.int64)
    frame = pl.DataFrame({"level": [f"level {number}" for number in level]})
    found, truth = fit("binary", {"level": "category"}, frame, target, classes=2)
    assert score("binary", "accuracy", found["logistic"], truth) > 0.9
    assert found["boosting"].scores is not None


def test_dates_in_the_order_that_training_shows() -> None:
    days = [date(2024, 1, 1) + timedelta(days=place) for place in range(400)]
    target = np.array([float(day.month in {6, 7, 8}) * 10 for day in days])
    order = np.random.default_rng(0).permutation(400)
    frame = pl.DataFrame({"day": [days[place].strftime("%d/%m/%Y") for place in order]})
    found, truth = fit("regression", {"day": "date"}, frame, target[order])
    assert score("regression", "r2", found["boosting"], truth) > 0.8


@pytest.mark.parametrize(
    ("yes", "no", "noise"), [("good", "awful", "film the of plot"), ("好", "差", "电影院的片子")]
)
def test_words_in_english_and_characters_in_chinese(yes: str, no: str, noise: str) -> None:
    random = np.random.default_rng(0)
    target = random.integers(2, size=300)
    spaced = " " in noise
    words = noise.split() if spaced else list(noise)
    texts = []
    for label in target:
        parts = [*random.choice(words, 6).tolist(), yes if label else no]
        random.shuffle(parts)
        texts.append((" " if spaced else "").join(parts))
    found, truth = fit("binary", {"body": "text"}, pl.DataFrame({"body": texts}), target, classes=2)
    assert score("binary", "accuracy", found["logistic"], truth) == 1
    assert "boosting" not in found  # trees have no column here


def test_text_beside_numbers_reaches_the_trees() -> None:
    random = np.random.default_rng(0)
    target = random.integers(2, size=400)
    texts = [random.choice(["cat", "dog"]) + (" red" if label else " blue") for label in target]
    frame = pl.DataFrame({"body": texts, "noise": random.normal(size=400)})
    found, truth = fit("binary", {"body": "text", "noise": "number"}, frame, target, classes=2)
    assert score("binary", "roc_auc", found["boosting"], truth) > 0.95


def test_recordings_of_two_pitches_and_silence() -> None:
    random = np.random.default_rng(0)
    target = random.integers(2, size=80)
    waves = [
        (8000 * np.sin(2 * np.pi * (500, 1500)[label] / 8000 * np.arange(random.integers(50, 3000)))).astype(
            np.int16
        )
        for label in target
    ]
    waves[0] = waves[79] = np.empty(0, dtype=np.int16)
    ragged = Ragged(np.concatenate(waves), np.cumsum([0, *map(len, waves)]))
    found, truth = fit(
        "binary",
        {"sound": "audio"},
        pl.DataFrame(),
        target,
        arrays={"sound": ragged},
        classes=2,
        sample_rates={"sound": 8000},
    )
    assert score("binary", "accuracy", found["logistic"], truth) >= 14 / 16


def test_sequences_by_their_statistics() -> None:
    random = np.random.default_rng(0)
    target = random.integers(2, size=200)
    rows = [random.normal(scale=1 + 2 * label, size=(random.integers(0, 30), 2)) for label in target]
    ragged = Ragged(np.concatenate(rows), np.cumsum([0, *map(len, rows)]))
    found, truth = fit(
        "binary", {"steps": "sequence"}, pl.DataFrame(), target, arrays={"steps": ragged}, classes=2
    )
    assert score("binary", "roc_auc", found["boosting"], truth) > 0.85


def test_several_labels_and_one_that_never_varies() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(300, 3))
    target = (inputs > 0).astype(float)
    target[:, 2] = 0
    frame = pl.DataFrame(inputs, schema=["a", "b", "c"])
    found, truth = fit("multilabel", dict.fromkeys("abc", "number"), frame, target, classes=3)
    for name in ("logistic", "boosting"):
        scores = found[name].scores
        assert scores is not None and scores.shape == (60, 3) and (scores[:, 2] == 0).all()
        assert score("multilabel", "f1_micro", found[name], truth) > 0.9


def test_a_class_that_only_the_test_has_gets_probability_0() -> None:
    random = np.random.default_rng(0)
    target = np.concatenate([random.integers(2, size=80), np.full(20, 2)])
    frame = pl.DataFrame({"x": target + random.normal(scale=0.1, size=100)})
    found, _ = fit("multiclass", {"x": "number"}, frame, target, classes=3)
    for baseline in found.values():
        assert baseline.scores is not None and baseline.scores.shape == (20, 3)
        assert (baseline.scores[:, 2] == 0).all()


def test_one_class_in_training_leaves_the_frequencies_and_says_why() -> None:
    frame = pl.DataFrame({"x": np.arange(50.0)})
    found, _ = fit("binary", {"x": "number"}, frame, np.ones(50, dtype=int), classes=2)
    assert found["majority"].scores is not None
    assert found["logistic"].scores is None and "one class" in found["logistic"].note
    assert found["boosting"].scores is None


def test_rows_without_a_target_are_not_trained_on() -> None:
    target = np.array([1.0, np.nan, 3.0, np.nan, 2.0] * 20)
    found, _ = fit("regression", {"x": "number"}, pl.DataFrame({"x": np.arange(100.0)}), target)
    assert found["mean"].scores is not None and found["mean"].scores[0] == 2.0


def test_no_time_leaves_the_frequencies_and_says_so() -> None:
    frame = pl.DataFrame({"x": np.arange(50.0)})
    found, _ = fit("binary", {"x": "number"}, frame, np.arange(50) % 2, classes=2, seconds=0)
    assert found["majority"].scores is not None
    assert {found[name].note for name in ("logistic", "boosting")} == {"skipped: no time was left"}


def test_little_time_means_less_work_and_a_note() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(30_000, 20))
    target = (inputs[:, 0] + inputs[:, 1] > 0).astype(int)
    frame = pl.DataFrame(inputs, schema=[f"c{i}" for i in range(20)])
    types = dict.fromkeys(frame.columns, "number")
    found, _ = fit("binary", types, frame, target, classes=2, seconds=0.4)
    assert re.search("to save time|no time was left", found["boosting"].note)
    assert found["boosting"].seconds < 2


def test_columns_that_simple_models_cannot_take_are_named() -> None:
    frame = pl.DataFrame({"x": np.arange(50.0), "tags": [["a"]] * 50})
    found, _ = fit("binary", {"x": "number", "tags": "set"}, frame, np.arange(50) % 2, classes=2)
    assert found["logistic"].note == "without tags"


def test_the_same_seed_gives_the_same_scores() -> None:
    random = np.random.default_rng(0)
    frame = pl.DataFrame({"body": random.choice(["a b", "b c", "c d"], 100), "x": random.normal(size=100)})
    once, again = (
        fit("binary", {"body": "text", "x": "number"}, frame, np.arange(100) % 2, classes=2, seed=5)[0]
        for _ in range(2)
    )
    for name in once:
        assert np.array_equal(once[name].scores, again[name].scores)


@pytest.mark.slow
def test_adult_census_takes_under_fifteen_seconds(shared_data: Any) -> None:
    frame = pl.read_csv(shared_data / "adult_census" / "data.csv", infer_schema_length=0)
    numbers = {"age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week"}
    types = {name: "number" if name in numbers else "category" for name in frame.columns}
    del types["income"], types["split"]
    target = frame["income"].str.contains(">50K").cast(pl.Int64).to_numpy()
    start = time.process_time()
    found, truth = fit("binary", types, frame, target, classes=2)
    assert time.process_time() - start < 15
    assert score("binary", "roc_auc", found["boosting"], truth) > 0.92

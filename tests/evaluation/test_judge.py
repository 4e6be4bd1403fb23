"""The whole document of a target: JSON without NaN, and a verdict that the figures support."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from trainwright.evaluation.baselines import Baseline
from trainwright.evaluation.judge import judge
from trainwright.evaluation.sample import Sample
from trainwright.foundation.errors import RecipeError, UserError
from trainwright.recipe.recipe import EvaluationSettings

BINARY = ("roc_auc", "pr_auc", "accuracy", "f1", "log_loss", "brier", "ece", "mcc", "kappa")
SETTINGS = EvaluationSettings(bootstrap=200)


def two(yes: np.ndarray) -> np.ndarray:
    return np.stack([1 - yes, yes], axis=1)


def skilled(target: np.ndarray, skill: float, seed: int = 0) -> np.ndarray:
    """Probabilities that know the target the better the greater `skill` is."""
    logit = skill * (2 * target - 1) + np.random.default_rng(seed).normal(size=len(target))
    return two(1 / (1 + np.exp(-logit)))


def document(test: Sample, **options: Any) -> dict[str, Any]:
    found = judge(test, settings=options.pop("settings", SETTINGS), **options)
    loaded: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))
    return loaded


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome"), [(2.0, 0.5, "better"), (0.5, 2.0, "worse"), (1.0, 1.0, "as good")]
)
def test_the_verdict_follows_the_paired_interval(ours: float, theirs: float, outcome: str) -> None:
    target = np.random.default_rng(1).integers(2, size=600)
    baselines = [
        Baseline("majority", "class frequencies", two(np.full(600, 0.5))),
        Baseline("logistic", "logistic regression", skilled(target, theirs, seed=2), seconds=0.1),
        Baseline("boosting", "gradient-boosted trees", None, note="skipped: no time was left"),
    ]
    test = Sample.of("binary", target, skilled(target, ours))
    found = document(test, metrics=BINARY, classes=["no", "yes"], baselines=baselines)
    verdict = found["verdict"]
    assert (verdict["outcome"], verdict["baseline"]) == (outcome, "logistic")
    assert len(verdict["sentences"]) == 2 and "logistic regression" in verdict["sentences"][1]
    line = found["baselines"][1]
    assert line["difference"]["value"] == pytest.approx(
        found["metrics"]["roc_auc"]["value"] - line["metrics"]["roc_auc"]["value"]
    )
    assert found["baselines"][2]["metrics"] == {} and found["baselines"][2]["difference"] is None


def test_less_is_better_for_a_loss() -> None:
    random = np.random.default_rng(0)
    target = random.normal(size=300)
    ours, theirs = target + 0.1 * random.normal(size=300), target + random.normal(size=300)
    test = Sample.of("regression", target, ours, low=ours - 0.2, high=ours + 0.2)
    found = document(
        test,
        metrics=("rmse", "mae", "r2", "pinball", "coverage"),
        baselines=[Baseline("ridge", "ridge regression", theirs)],
    )
    assert found["verdict"]["outcome"] == "better"
    assert found["baselines"][0]["difference"]["low"] > 0
    assert "pinball" in found["metrics"] and "pinball" not in found["baselines"][0]["metrics"]
    assert found["residuals"]["interval"]["coverage"] == found["metrics"]["coverage"]["value"]
    assert sum(bin["count"] for bin in found["residuals"]["histogram"]) == 300
    assert len(found["residuals"]["points"]) == 300
    assert found["classes"] is None and found["roc"] == []


def test_no_baseline_and_no_resamples() -> None:
    target = np.arange(40) % 2
    test = Sample.of("binary", target, skilled(target, 1))
    assert document(test, metrics=BINARY)["verdict"]["outcome"] == "no baseline"
    found = document(
        test,
        metrics=BINARY,
        settings=EvaluationSettings(bootstrap=0),
        baselines=[Baseline("logistic", "logistic regression", skilled(target, 1, seed=3))],
    )
    assert found["verdict"]["outcome"] == "undecided"
    assert found["metrics"]["roc_auc"]["low"] is None


def test_one_class_in_the_test_leaves_gaps_with_reasons() -> None:
    test = Sample.of("binary", np.zeros(10, dtype=int), two(np.full(10, 0.2)))
    found = document(
        test, metrics=BINARY, baselines=[Baseline("majority", "class frequencies", two(np.full(10, 0.3)))]
    )
    assert found["metrics"]["roc_auc"]["value"] is None
    assert found["metrics"]["roc_auc"]["why"] == "all rows have the same class"
    assert found["metrics"]["accuracy"]["value"] == 1.0 and found["metrics"]["accuracy"]["low"] < 1
    assert found["verdict"]["outcome"] == "undecided"
    assert "not defined" in found["verdict"]["sentences"][0]
    assert found["roc"] == [] and found["pr"] == []
    assert found["per_class"][1]["recall"] is None


@pytest.mark.parametrize("kind", ["multiclass", "ordinal"])
def test_several_classes(kind: str) -> None:
    random = np.random.default_rng(0)
    target = random.integers(4, size=300)
    scores = random.dirichlet(np.ones(4), 300)
    scores[np.arange(300), target] += 0.5
    scores /= scores.sum(axis=1, keepdims=True)
    names = ["a", "b", "c", "d"]
    found = document(
        Sample.of(kind, target, scores),
        metrics=("accuracy", "quadratic_kappa", "roc_auc", "top_5"),
        classes=names,
    )
    assert np.sum(found["confusion"]) == 300
    assert np.trace(found["confusion"]) / 300 == pytest.approx(found["metrics"]["accuracy"]["value"])
    assert sum(line["support"] for line in found["per_class"]) == 300
    assert [curve["class"] for curve in found["roc"]] == names
    assert sum(bin["count"] for bin in found["calibration"]) == 300
    assert found["confused"][0]["count"] == max(
        count for row, line in enumerate(found["confusion"]) for col, count in enumerate(line) if row != col
    )
    assert "top_5" not in found["metrics"]  # with four classes it says nothing


def test_several_labels_are_named_in_examples() -> None:
    random = np.random.default_rng(0)
    target = random.integers(2, size=(100, 3))
    found = document(
        Sample.of("multilabel", target, random.random((100, 3))),
        metrics=("f1_micro", "roc_auc"),
        classes=list("xyz"),
    )
    worst = found["examples"]["worst"][0]
    assert worst["true"] == [name for name, there in zip("xyz", target[worst["row"]], strict=True) if there]
    assert found["confusion"] is None


def test_curves_agree_with_their_areas() -> None:
    target = np.random.default_rng(0).integers(2, size=5000)
    test = Sample.of("binary", target, skilled(target, 0.8))
    found = document(test, metrics=BINARY, settings=EvaluationSettings(bootstrap=0))
    roc, pr = np.array(found["roc"][0]["points"]), np.array(found["pr"][0]["points"])
    assert len(roc) <= 200 and len(pr) <= 201
    assert np.trapezoid(roc[:, 1], roc[:, 0]) == pytest.approx(
        found["metrics"]["roc_auc"]["value"], abs=0.005
    )
    assert np.trapezoid(pr[:, 1], pr[:, 0]) == pytest.approx(found["metrics"]["pr_auc"]["value"], abs=0.01)
    assert roc[0].tolist() == [0, 0] and roc[-1].tolist() == [1, 1]


def test_examples_are_the_dearest_and_the_least_sure_rows() -> None:
    yes = np.array([0.9, 0.02, 0.51, 0.8])
    test = Sample.of("binary", np.array([1, 1, 0, 1]), two(yes))

    def show(rows: np.ndarray) -> list[dict[str, Any]]:
        return [{"where": f"line {row}", "inputs": {}} for row in rows]

    found = document(test, metrics=BINARY, classes=["no", "yes"], rows=np.array([7, 8, 9, 11]), show=show)
    worst, doubtful = (found["examples"][kind][0] for kind in ("worst", "doubtful"))
    assert (worst["row"], worst["where"], worst["true"], worst["predicted"]) == (8, "line 8", "yes", "no")
    assert worst["probability"] == pytest.approx(0.98)
    assert worst["loss"] == pytest.approx(-np.log(0.02))
    assert doubtful["row"] == 9


def test_rows_without_a_target_do_not_shift_the_others() -> None:
    target = np.array([0, -1, 1, 1, -1, 0] * 30)
    scores = skilled(np.maximum(target, 0), 3.0)
    kinds = np.array(["a", "gone", "b", "b", "gone", "a"] * 30)
    found = document(
        Sample.of("binary", target, scores),
        metrics=BINARY,
        baselines=[Baseline("logistic", "logistic regression", scores)],
        values=pl.DataFrame({"kind": kinds}).get_column,
        types={"kind": "category"},
        rows=np.arange(180) + 1000,
    )
    assert found["baselines"][0]["difference"] == {"value": 0, "low": 0, "high": 0}
    assert {line["value"] for line in found["slices"]} == {"a", "b"}
    assert all(target[example["row"] - 1000] >= 0 for example in found["examples"]["worst"])
    part = document(
        Sample.of("binary", target, scores),
        metrics=BINARY,
        baselines=[Baseline("logistic", "logistic regression", scores[30:90])],
        baseline_rows=np.arange(30, 90),
    )
    assert part["baselines"][0]["difference"] == {"value": 0, "low": 0, "high": 0}
    assert part["baselines"][0]["rows"] == 40 and part["rows"]["test"] == 120


def test_a_threshold_is_chosen_for_simple_models_too() -> None:
    random = np.random.default_rng(0)
    target = (random.random(1000) < 0.1).astype(int)
    scores = two(np.clip(0.1 * target + 0.1 + 0.02 * random.normal(size=1000), 0.01, 0.99))
    test = Sample.of("binary", target, scores, threshold=0.15)
    simple = Baseline("logistic", "logistic regression", scores, validation_scores=scores)
    found = document(
        test,
        metrics=BINARY,
        settings=EvaluationSettings(bootstrap=50, threshold="f1", metric="f1"),
        validation=test,
        baselines=[simple],
    )
    assert found["baselines"][0]["metrics"]["f1"]["value"] > 0.9
    assert found["validation"]["f1"]["value"] == found["metrics"]["f1"]["value"]


def test_bad_requests_are_told_in_a_sentence() -> None:
    test = Sample.of("binary", np.array([0, 1]), two(np.array([0.2, 0.7])))
    with pytest.raises(RecipeError, match="does not judge a binary target"):
        judge(test, settings=EvaluationSettings(metric="rmse"), metrics=BINARY)
    with pytest.raises(UserError, match="no test row has a target"):
        judge(test.take(np.zeros(0, dtype=int)), settings=SETTINGS, metrics=BINARY)


def test_equal_input_gives_an_equal_document() -> None:
    target = np.random.default_rng(0).integers(2, size=200)
    test = Sample.of("binary", target, skilled(target, 1))
    assert document(test, metrics=BINARY, seed=3) == document(test, metrics=BINARY, seed=3)

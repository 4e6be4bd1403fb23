"""Every metric against scikit-learn, and its behaviour where it is not defined."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from trainwright.evaluation.metrics.base import METRICS
from trainwright.evaluation.sample import Sample
from trainwright.evaluation.weighted import Weighted
from trainwright.foundation.errors import RecipeError


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@st.composite
def classified(draw: st.DrawFn, *, fewest: int = 2, most: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Class indices and probabilities, with ties and with classes that do not occur."""
    classes, rows = draw(st.integers(fewest, most)), draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    target = random.integers(draw(st.integers(1, classes)), size=rows)
    shares = random.integers(1, draw(st.integers(2, 30)), size=(rows, classes)).astype(float)
    return target, shares / shares.sum(axis=1, keepdims=True)


QUICK = settings(max_examples=40, deadline=None)  # a busy machine is no failure
Reference = Callable[[np.ndarray, np.ndarray, np.ndarray], float]

LABELS: dict[str, Reference] = {
    "accuracy": lambda t, p, _: sk.accuracy_score(t, p),
    "balanced_accuracy": lambda t, p, _: sk.balanced_accuracy_score(t, p),
    "f1_macro": lambda t, p, _: sk.f1_score(t, p, average="macro"),
    "f1_micro": lambda t, p, _: sk.f1_score(t, p, average="micro"),
    "f1_weighted": lambda t, p, _: sk.f1_score(t, p, average="weighted"),
    "precision": lambda t, p, _: sk.precision_score(t, p, average="macro"),
    "recall": lambda t, p, _: sk.recall_score(t, p, average="macro"),
    "mcc": lambda t, p, _: sk.matthews_corrcoef(t, p),
}
BINARY: dict[str, Reference] = {
    "f1": lambda t, p, _: sk.f1_score(t, p),
    "precision": lambda t, p, _: sk.precision_score(t, p),
    "recall": lambda t, p, _: sk.recall_score(t, p),
    "log_loss": lambda t, _, s: sk.log_loss(t, s, labels=[0, 1]),
    "brier": lambda t, _, s: sk.brier_score_loss(t, s[:, 1], labels=[0, 1]),
}


@QUICK
@given(classified())
def test_metrics_of_labels_are_those_of_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    target, scores = data
    sample = Sample.of("multiclass", target, scores)
    for name, reference in LABELS.items():
        assert METRICS[name](sample) == pytest.approx(reference(target, sample.labels, scores), abs=1e-9), (
            name
        )


@QUICK
@given(classified(most=2))
def test_metrics_of_two_classes_are_those_of_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    target, scores = data
    sample = Sample.of("binary", target, scores)
    for name, reference in BINARY.items():
        assert METRICS[name](sample) == pytest.approx(reference(target, sample.labels, scores), abs=1e-9), (
            name
        )
    if 0 < target.sum() < len(target):
        assert METRICS["roc_auc"](sample) == pytest.approx(sk.roc_auc_score(target, scores[:, 1]))
        assert METRICS["pr_auc"](sample) == pytest.approx(sk.average_precision_score(target, scores[:, 1]))
    else:
        assert np.isnan(METRICS["roc_auc"](sample)) and np.isnan(METRICS["pr_auc"](sample))


@QUICK
@given(classified(fewest=3))
def test_probabilities_of_several_classes(data: tuple[np.ndarray, np.ndarray]) -> None:
    target, scores = data
    every = np.arange(scores.shape[1])
    sample = Sample.of("multiclass", target, scores)
    assert METRICS["log_loss"](sample) == pytest.approx(sk.log_loss(target, scores, labels=every))
    assert METRICS["brier"](sample) == pytest.approx(
        ((scores - np.eye(len(every))[target]) ** 2).sum(axis=1).mean()
    )
    if len(np.unique(target)) == len(every):  # else scikit-learn has no value
        assert METRICS["roc_auc"](sample) == pytest.approx(
            sk.roc_auc_score(target, scores, multi_class="ovr")
        )
        precision = sk.average_precision_score(np.eye(len(every))[target], scores)
        assert METRICS["pr_auc"](sample) == pytest.approx(precision)


@QUICK
@given(classified(most=5))
def test_kappas_are_those_of_scikit_learn_or_undefined(data: tuple[np.ndarray, np.ndarray]) -> None:
    target, scores = data
    sample = Sample.of("multiclass", target, scores)
    seen = np.union1d(target, sample.labels)
    for name, weights in (("kappa", None), ("quadratic_kappa", "quadratic")):
        value = METRICS[name](sample)
        if len(seen) == 1:
            assert np.isnan(value)
        else:
            every = np.arange(scores.shape[1])
            wanted = sk.cohen_kappa_score(target, sample.labels, weights=weights, labels=every)
            assert value == pytest.approx(wanted, abs=1e-9), name


@QUICK
@given(st.integers(2, 6), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_several_labels(classes: int, rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    target, scores = random.integers(2, size=(rows, classes)), random.random((rows, classes)).round(1)
    sample = Sample.of("multilabel", target, scores)
    chosen = scores >= 0.5
    assert METRICS["accuracy"](sample) == pytest.approx(sk.accuracy_score(target, chosen))
    for average in ("macro", "micro", "weighted"):
        wanted = sk.f1_score(target, chosen, average=average, zero_division=0)
        assert METRICS[f"f1_{average}"](sample) == pytest.approx(wanted)
    both = target.any(axis=0) & ~target.all(axis=0)
    if both.any():
        roc_auc = sk.roc_auc_score(target[:, both], scores[:, both])
        assert METRICS["roc_auc"](sample) == pytest.approx(roc_auc)
        precision = sk.average_precision_score(target[:, both], scores[:, both])
        assert METRICS["pr_auc"](sample) == pytest.approx(precision)
    else:
        assert np.isnan(METRICS["roc_auc"](sample))


@QUICK
@given(st.integers(2, 60), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e6]))
def test_numbers(rows: int, seed: int, offset: float) -> None:
    random = np.random.default_rng(seed)
    target = random.normal(size=rows) + offset
    predicted = target + random.normal(size=rows)
    low, high = predicted - random.random(rows), predicted + random.random(rows)
    sample = Sample.of("regression", target, predicted, low=low, high=high, coverage=0.8)
    assert METRICS["mse"](sample) == pytest.approx(sk.mean_squared_error(target, predicted))
    assert METRICS["rmse"](sample) == pytest.approx(sk.root_mean_squared_error(target, predicted))
    assert METRICS["mae"](sample) == pytest.approx(sk.mean_absolute_error(target, predicted))
    assert METRICS["r2"](sample) == pytest.approx(sk.r2_score(target, predicted), rel=1e-5)
    assert METRICS["mape"](sample) == pytest.approx(sk.mean_absolute_percentage_error(target, predicted))
    below = sk.mean_pinball_loss(target, low, alpha=0.1)
    above = sk.mean_pinball_loss(target, high, alpha=0.9)
    assert METRICS["pinball"](sample) == pytest.approx((below + above) / 2)
    assert METRICS["coverage"](sample) == pytest.approx(np.mean((low <= target) & (target <= high)))


def test_calibration_error_of_known_bins() -> None:
    # Eight rows at 0.75, of which four came true, and two at 0.25, of which none did.
    scores = np.array([0.75] * 8 + [0.25] * 2)
    target = np.array([1] * 4 + [0] * 6)
    sample = Sample.of("binary", target, np.stack([1 - scores, scores], axis=1))
    assert METRICS["ece"](sample) == pytest.approx(0.8 * 0.25 + 0.2 * 0.25)


def test_top_5_counts_a_class_among_the_five_most_probable() -> None:
    scores = np.tile(np.array([0.3, 0.2, 0.15, 0.14, 0.11, 0.1]), (4, 1))
    sample = Sample.of("multiclass", np.array([0, 4, 5, 5]), scores)
    assert METRICS["top_5"](sample) == 0.5
    assert not METRICS["top_5"].fits(Sample.of("multiclass", np.array([0]), np.full((1, 5), 0.2)))


@QUICK
@given(classified(), st.integers(0, 2**32 - 1))
def test_a_weight_is_a_repetition(data: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    """What the bootstrap rests on: counting a row k times is the same as holding it k times."""
    target, scores = data
    kind = "binary" if scores.shape[1] == 2 else "multiclass"
    sample = Sample.of(kind, target, scores)
    random = np.random.default_rng(seed)
    counts = random.multinomial(len(target), np.full(len(target), 1 / len(target)), size=3)
    weighted = Weighted(sample, counts.T.astype(float))
    for name, metric in METRICS.items():
        if metric.fits(sample):
            repeated = [metric(sample.take(np.repeat(np.arange(len(target)), count))) for count in counts]
            assert metric.draws(weighted) == pytest.approx(repeated, abs=1e-9, nan_ok=True), name


@QUICK
@given(st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_a_weight_is_a_repetition_for_numbers(rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    target = random.normal(size=rows) + 3
    predicted = target + random.normal(size=rows)
    sample = Sample.of("regression", target, predicted, low=predicted - 1, high=predicted + 1)
    counts = random.multinomial(rows, np.full(rows, 1 / rows), size=3)
    weighted = Weighted(sample, counts.T.astype(float))
    for name, metric in METRICS.items():
        if metric.fits(sample):
            repeated = [metric(sample.take(np.repeat(np.arange(rows), count))) for count in counts]
            assert metric.draws(weighted) == pytest.approx(repeated, rel=1e-6, abs=1e-9, nan_ok=True), name


def test_what_is_not_defined_is_nan() -> None:
    one_class = Sample.of("binary", np.ones(5, dtype=int), np.tile([0.4, 0.6], (5, 1)))
    assert np.isnan(METRICS["roc_auc"](one_class)) and np.isnan(METRICS["pr_auc"](one_class))
    assert METRICS["accuracy"](one_class) == 1
    flat = Sample.of("regression", np.full(4, 0.1), np.arange(4.0))
    assert np.isnan(METRICS["r2"](flat))
    assert np.isnan(METRICS["mape"](Sample.of("regression", np.array([0.0, 1.0]), np.ones(2))))
    empty = one_class.take(np.zeros(0, dtype=int))
    assert all(np.isnan(metric(empty)) for _, metric in METRICS.items() if metric.fits(empty))


def test_constant_scores_rank_nothing() -> None:
    target = np.array([0, 1] * 10)
    sample = Sample.of("binary", target, np.full((20, 2), 0.5))
    assert METRICS["roc_auc"](sample) == 0.5
    assert METRICS["pr_auc"](sample) == 0.5


def test_rows_without_a_target_are_left_out() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    sample = Sample.of("binary", np.array([0, -1, 1]), scores)
    assert sample.rows == 2 and sample.kept is not None and sample.kept.tolist() == [0, 2]
    assert METRICS["accuracy"](sample) == 1
    numbers = Sample.of("regression", np.array([1.0, np.nan]), np.array([1.5, 2.0]))
    assert METRICS["mae"](numbers) == 0.5
    labels = Sample.of(
        "multilabel", np.array([[1.0, 0.0], [np.nan, np.nan]]), np.array([[0.9, 0.2], [0.1, 0.1]])
    )
    assert labels.rows == 1


def test_a_threshold_decides_what_is_a_yes() -> None:
    scores = np.array([[0.8, 0.2], [0.6, 0.4]])
    assert Sample.of("binary", np.array([0, 1]), scores, threshold=0.3).labels.tolist() == [0, 1]
    assert Sample.of("binary", np.array([0, 1]), scores).labels.tolist() == [0, 0]


def test_ordered_classes_are_predicted_by_the_median() -> None:
    sample = Sample.of("ordinal", np.array([1]), np.array([[0.4, 0.3, 0.3]]))
    assert sample.labels.tolist() == [1]
    assert METRICS["mae"](sample) == 0


def test_an_unknown_metric_suggests_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'roc_auc'"):
        METRICS["roc_acu"]

"""Scores, decisions, frames and what is learned on validation."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, f1_score, matthews_corrcoef

from trainwright.foundation.errors import ModelFolderError, RecipeError
from trainwright.tasks.base import TASKS, Task
from trainwright.tasks.calibration import (
    THRESHOLD_METRICS,
    best_threshold,
    conformal_quantile,
    fit_temperature,
)

CLASSES = ("ham", "spam", "eggs", "beans")


def classes(name: str) -> Task:
    count = 2 if name == "binary" else 4
    return TASKS[name]("y", {"classes": list(CLASSES[:count]), "counts": [1] * count})


def outputs_of(task: Task, rows: int = 50, members: int = 1, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(rows, members, task.outputs, generator=torch.Generator().manual_seed(seed))


# Scores.


@pytest.mark.parametrize("name", ["binary", "multiclass", "ordinal"])
def test_scores_are_the_mean_of_the_members_probabilities(name: str) -> None:
    task = classes(name)
    outputs = outputs_of(task, members=5)
    scores = task.scores(outputs)
    assert scores.shape == (50, len(task.classes or ()))
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(50))
    single = torch.stack([task.scores(outputs[:, [member]]) for member in range(5)])
    torch.testing.assert_close(scores, single.mean(dim=0))


def test_label_scores_are_the_mean_of_the_members_probabilities() -> None:
    task = classes("multilabel")
    outputs = outputs_of(task, members=5)
    torch.testing.assert_close(task.scores(outputs), torch.sigmoid(outputs).mean(dim=1))


@pytest.mark.parametrize("name", sorted(TASKS))
def test_no_rows_give_no_scores(name: str) -> None:
    task = TASKS[name]("y", {"classes": ["a", "b"], "counts": [1, 1], "mean": 0.0, "std": 1.0})
    scores = task.scores(torch.zeros(0, 1, task.outputs)).numpy()
    assert len(scores) == 0
    assert all(len(column) == 0 for column in task.frame(scores).values())


def test_regression_speaks_in_the_units_of_the_data() -> None:
    task = TASKS["regression"]("price", {"mean": 1000.0, "std": 50.0})
    scores = task.scores(torch.tensor([[[2.0, 0.0, 1.0]]])).numpy()
    value, low, high = scores[0]
    assert value == pytest.approx(1100.0)
    assert low == pytest.approx(1100 - 50 * (np.log(2) + 1e-3), abs=1e-3)
    assert low < value < high
    assert task.truth(np.array([2.0], dtype=np.float32))[0] == pytest.approx(1100.0)


# Frames.


@pytest.mark.parametrize("name", ["binary", "multiclass", "ordinal"])
def test_a_frame_of_classes_names_them(name: str) -> None:
    task = classes(name)
    scores = task.scores(outputs_of(task)).numpy()
    frame = pl.DataFrame(task.frame(scores))
    names = task.classes or ()
    assert frame.columns == ["y", *(f"y: probability of {label}" for label in names)]
    assert frame["y"].to_list() == [names[index] for index in task.decide(scores)]
    np.testing.assert_allclose(frame.drop("y").to_numpy(), scores)


def test_a_frame_of_numbers_has_an_interval() -> None:
    task = TASKS["regression"]("price", {"mean": 0.0, "std": 1.0})
    frame = pl.DataFrame(task.frame(np.array([[2.0, 1.0, 4.0]], dtype=np.float32)))
    assert frame.to_dicts() == [{"price": 2.0, "price: low": 1.0, "price: high": 4.0}]


def test_a_frame_of_labels_lists_them() -> None:
    task = classes("multilabel")
    scores = np.array([[0.9, 0.1, 0.6, 0.2], [0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.5, 0.5]], dtype=np.float32)
    frame = pl.DataFrame(task.frame(scores))
    assert frame["y"].to_list() == [["ham", "eggs"], [], list(CLASSES)]
    assert frame["y: probability of eggs"].to_list() == pytest.approx([0.6, 0.3, 0.5])
    assert frame.schema["y"] == pl.List(pl.String)


def test_the_ordinal_prediction_is_the_median() -> None:
    task = classes("ordinal")
    scores = np.array([[0.4, 0.05, 0.3, 0.25], [0.6, 0.2, 0.1, 0.1], [0.0, 0.0, 0.1, 0.9]])
    assert task.decide(scores).tolist() == [2, 0, 3]


# Temperature.


def overconfident(
    rows: int = 4000, width: int = 4, sharpness: float = 3.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = 1.5 * generator.normal(size=(rows, width))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    target = (generator.random((rows, 1)) > p.cumsum(axis=1)).sum(axis=1)
    return 3 * logits, target


def test_the_temperature_undoes_overconfidence() -> None:
    logits, target = overconfident(20_000)
    assert fit_temperature(logits, target) == pytest.approx(3.0, rel=0.05)
    assert fit_temperature(logits / 9, target) == pytest.approx(1 / 3, rel=0.05)


@pytest.mark.parametrize("name", ["binary", "multiclass", "ordinal"])
def test_calibration_lowers_the_log_loss_on_new_rows(name: str) -> None:
    task = classes(name)
    width = len(task.classes or ())
    logits, target = overconfident(width=width)
    if name == "multiclass":
        outputs = torch.tensor(logits, dtype=torch.float32)[:, None]
    else:  # outputs that give the same probabilities
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        reached = p[:, ::-1].cumsum(axis=1)[:, ::-1]
        outputs = torch.tensor(np.log(reached[:, 1:] / p[:, :-1]), dtype=torch.float32)[:, None]
    before = task.scores(outputs).numpy()
    fit, new = slice(2000), slice(2000, None)
    task.calibrate(before[fit], target[fit], 0.9)
    after = task.scores(outputs).numpy()
    old, found = (-np.log(scores[new][np.arange(2000), target[new]]).mean() for scores in (before, after))
    assert found < old - 0.1
    assert task.state()["temperature"] == pytest.approx(3.0, rel=0.2)
    np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
    task.calibrate(after[fit], target[fit], 0.9)  # again, from calibrated scores: nothing changes
    np.testing.assert_allclose(task.scores(outputs).numpy(), after, atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 60), width=st.integers(2, 5), scale=st.floats(0.01, 30), seed=st.integers(0, 10_000)
)
def test_the_log_loss_never_gets_worse_on_the_rows_it_was_fitted_on(
    rows: int, width: int, scale: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    logits = scale * generator.normal(size=(rows, width))
    target = generator.integers(0, width, rows)

    def loss(temperature: float) -> float:
        log_p = logits / temperature - np.logaddexp.reduce(logits / temperature, axis=1, keepdims=True)
        return float(-log_p[np.arange(rows), target].mean())

    temperature = fit_temperature(logits, target)
    assert 0.04 < temperature < 21
    assert loss(temperature) <= loss(1.0) + 1e-9


def test_rows_that_are_all_right_do_not_make_it_boundlessly_sure() -> None:
    logits = np.tile([2.0, 0.0], (40, 1))  # 88 % sure, and always right
    temperature = fit_temperature(logits, np.zeros(40, dtype=int))
    assert 0.3 < temperature < 1.0


def test_missing_targets_do_not_count_in_calibration() -> None:
    task, other = classes("multiclass"), classes("multiclass")
    logits, target = overconfident(500)
    scores = task.scores(torch.tensor(logits, dtype=torch.float32)[:, None]).numpy()
    task.calibrate(scores, target, 0.9)
    other.calibrate(np.concatenate([scores, scores]), np.concatenate([target, np.full(500, -1)]), 0.9)
    assert other.state() == task.state()


def test_labels_are_calibrated_together() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(3000, 4))
    target = (generator.random((3000, 4)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    target[:10] = np.nan
    task = classes("multilabel")
    outputs = torch.tensor(4 * logits, dtype=torch.float32)[:, None]
    task.calibrate(task.scores(outputs).numpy(), target, 0.9, threshold="f1_micro")
    assert task.state()["temperature"] == pytest.approx(4.0, rel=0.1)
    scores = task.scores(outputs).numpy()[10:]
    best = max(f1_score(target[10:], scores >= cut, average="micro") for cut in np.linspace(0.05, 0.95, 91))
    assert f1_score(target[10:], task.decide(scores), average="micro") >= best - 1e-9
    with pytest.raises(RecipeError, match="f1_micro"):
        task.calibrate(scores, target[10:], 0.9, threshold="roc_auc")


# Thresholds.

SKLEARN = {
    "accuracy": lambda true, said: float((true == said).mean()),
    "balanced_accuracy": balanced_accuracy_score,
    "f1": lambda true, said: f1_score(true, said, zero_division=0),
    "f1_macro": lambda true, said: f1_score(true, said, average="macro", zero_division=0),
    "f1_micro": lambda true, said: f1_score(true, said, average="micro"),
    "f1_weighted": lambda true, said: f1_score(true, said, average="weighted", zero_division=0),
    "mcc": matthews_corrcoef,
    "kappa": cohen_kappa_score,
}


@pytest.mark.parametrize("metric", sorted(THRESHOLD_METRICS))
@pytest.mark.parametrize("seed", range(3))
def test_no_threshold_is_better_than_the_one_chosen(metric: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    positive = generator.random(120) < 0.25
    probability = np.round(np.clip(0.3 * positive + 0.6 * generator.random(120), 0, 1), 2)  # with ties
    threshold = best_threshold(probability, positive, metric)
    value = SKLEARN[metric](positive, probability >= threshold)
    cuts = np.concatenate([np.unique(probability), [1.01]])
    assert value == pytest.approx(max(SKLEARN[metric](positive, probability >= cut) for cut in cuts))


def test_of_equal_thresholds_the_one_nearest_one_half_is_taken() -> None:
    probability, positive = np.array([0.05, 0.1, 0.45, 0.5, 0.95]), np.array([False] * 4 + [True])
    assert best_threshold(probability, positive, "accuracy") == pytest.approx((0.5 + 0.95) / 2)


def test_a_metric_without_a_threshold_is_refused_with_the_ones_there_are() -> None:
    task = classes("binary")
    scores = task.scores(outputs_of(task)).numpy()
    with pytest.raises(RecipeError, match=r"no threshold can be chosen for 'roc_auc'.*accuracy"):
        task.calibrate(scores, np.arange(50) % 2, 0.9, threshold="roc_auc")


def test_the_threshold_decides() -> None:
    generator = np.random.default_rng(0)
    target = (generator.random(2000) < 0.05).astype(int)
    outputs = torch.tensor(generator.normal(size=2000) + 2 * target - 3, dtype=torch.float32)[:, None, None]
    task = classes("binary")
    plain = task.decide(task.scores(outputs).numpy())
    task.calibrate(task.scores(outputs).numpy(), target, 0.9, threshold="balanced_accuracy")
    chosen = task.decide(task.scores(outputs).numpy())
    assert balanced_accuracy_score(target, chosen) > balanced_accuracy_score(target, plain) + 0.1
    labels = task.frame(task.scores(outputs).numpy())["y"].to_numpy()
    assert ((labels == "spam") == chosen).all()


# Intervals.


def uneven(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values whose spread grows with x, the upper side twice as wide."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(-1, 1, rows)
    noise = generator.normal(size=rows) * (0.1 + 0.5 * (x + 1))
    return x, 2 * x + np.where(noise > 0, 2 * noise, noise)


def trained_outputs(x: np.ndarray) -> torch.Tensor:
    """What a good but overconfident model would say: intervals of the right shape and half the width."""
    spread = 0.5 * 1.645 * (0.1 + 0.5 * (x + 1))
    inverse = [np.log(np.expm1(side)) for side in (spread, 2 * spread)]
    return torch.tensor(np.stack([2 * x, *inverse], axis=1), dtype=torch.float32)[:, None]


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_intervals_contain_as_many_new_values_as_asked(coverage: float) -> None:
    found, widths = [], []
    for seed in range(5):
        task = TASKS["regression"]("y", {"mean": 5.0, "std": 3.0})
        x, y = uneven(1000, seed)
        outputs = trained_outputs(x)
        task.calibrate(task.scores(outputs).numpy(), y.astype(np.float32), coverage)
        new_x, new_y = uneven(5000, 100 + seed)
        scores = task.scores(trained_outputs(new_x)).numpy()
        value, low, high = scores.T
        truth = task.truth(new_y)
        assert ((low < value) & (value < high)).all()
        found.append(((low <= truth) & (truth <= high)).mean())
        wide, narrow = new_x > 0.5, new_x < -0.5
        widths.append((high - low)[wide].mean() / (high - low)[narrow].mean())
        for side in (wide, narrow):  # adaptive: it holds where the noise is large and where it is small
            assert abs(((low <= truth) & (truth <= high))[side].mean() - coverage) < 0.06
    assert np.mean(found) == pytest.approx(coverage, abs=0.015)
    assert min(widths) > 2.5


def test_calibrating_intervals_twice_changes_nothing() -> None:
    task = TASKS["regression"]("y", {"mean": 0.0, "std": 1.0})
    x, y = uneven(500, 0)
    task.calibrate(task.scores(trained_outputs(x)).numpy(), y.astype(np.float32), 0.9)
    stretch = task.state()["stretch"]
    y[:5] = np.nan
    task.calibrate(task.scores(trained_outputs(x)).numpy(), y.astype(np.float32), 0.9)
    assert stretch > 1.5
    assert task.state()["stretch"] == pytest.approx(stretch, rel=0.05)


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(20, 200), coverage=st.floats(0.55, 0.95), seed=st.integers(0, 1000))
def test_the_conformal_quantile_covers_enough_of_its_own_rows(rows: int, coverage: float, seed: int) -> None:
    ratios = np.random.default_rng(seed).random(rows)
    quantile = conformal_quantile(ratios, coverage)
    assert (ratios <= quantile).mean() >= coverage
    assert (ratios < quantile).sum() < (rows + 1) * coverage + 1


# What is kept.


@pytest.mark.parametrize("name", sorted(TASKS))
def test_state_goes_through_json(name: str) -> None:
    spec = {"classes": ["a", "b"], "counts": [1, 1], "mean": 0.0, "std": 1.0}
    task, other = TASKS[name]("y", spec), TASKS[name]("y", spec)
    outputs = outputs_of(task, rows=200)
    generator = np.random.default_rng(1)
    target: np.ndarray = generator.integers(0, 2, 200)
    if name == "multilabel":
        target = generator.integers(0, 2, (200, 2)).astype(np.float32)
    if name == "regression":
        target = generator.normal(size=200).astype(np.float32)
    task.calibrate(task.scores(outputs).numpy(), target, 0.8)
    before = other.scores(outputs)
    other.load(json.loads(json.dumps(task.state())))
    torch.testing.assert_close(other.scores(outputs), task.scores(outputs), rtol=0, atol=0)
    assert not torch.equal(other.scores(outputs), before)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "1", None, True])
@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_damaged_state_is_refused(name: str, value: object) -> None:
    task = TASKS[name]("y", {"classes": ["a", "b"], "counts": [1, 1], "mean": 0.0, "std": 1.0})
    for key in task.state():
        with pytest.raises(ModelFolderError, match=f"the {key} of 'y'"):
            task.load({**task.state(), key: value})


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_metric_of_a_task_exists_and_judges_it(name: str) -> None:
    from trainwright.evaluation.metrics.base import METRICS

    metrics = TASKS[name].metrics
    assert len(set(metrics)) == len(metrics)
    for metric in metrics:
        assert name in METRICS[metric].kinds, metric

"""Intervals: that they contain the truth as often as they say, and that pairing makes them narrow."""

from __future__ import annotations

import time

import numpy as np
import pytest

from trainwright.evaluation.bootstrap import LARGE, Bootstrap, Draws, bootstrap, interval_of, wilson
from trainwright.evaluation.metrics.base import METRICS, Metric
from trainwright.evaluation.sample import Sample


def binary(rows: int, seed: int, *, shift: float = 1.5) -> Sample:
    random = np.random.default_rng(seed)
    target = random.integers(2, size=rows)
    logit = random.normal(size=rows) + shift * (target - 0.5)
    yes = 1 / (1 + np.exp(-logit))
    return Sample.of("binary", target, np.stack([1 - yes, yes], axis=1))


def interval(sample: Sample, metric: Metric, *, resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
    draws = bootstrap({"a": sample}, [metric], Bootstrap(sample.rows, resamples=resamples, seed=seed))
    found = interval_of(metric, draws["a"][metric.name], sample.rows, 0.95)
    assert found.low is not None and found.high is not None
    return found.low, found.high


@pytest.mark.parametrize("name", ["accuracy", "roc_auc", "pr_auc", "log_loss", "f1", "mcc"])
def test_intervals_contain_the_truth_about_as_often_as_they_say(name: str) -> None:
    metric = METRICS[name]
    truth = metric(binary(200_000, 99))
    inside = 0
    for seed in range(150):
        low, high = interval(binary(200, seed), metric, resamples=300, seed=seed)
        inside += low <= truth <= high
    assert inside / 150 > 0.89  # 0.95 less 3 standard errors


def test_resamples_are_the_same_every_time_and_differ_by_seed() -> None:
    one = [some.weights for some in Bootstrap(50, resamples=20, seed=1)]
    again = [some.weights for some in Bootstrap(50, resamples=20, seed=1)]
    other = [some.weights for some in Bootstrap(50, resamples=20, seed=2)]
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0], other[0])
    assert (one[0].sum(axis=0) == 50).all()


def test_a_paired_difference_is_narrower_than_an_unpaired_one() -> None:
    ours = binary(500, 0)
    noise = np.random.default_rng(1).normal(scale=0.02, size=500)
    theirs = np.clip(ours.scores[:, 1] + noise, 0.01, 0.99)
    other = Sample.of("binary", ours.target, np.stack([1 - theirs, theirs], axis=1))
    metric = METRICS["roc_auc"]
    drawn = bootstrap({"ours": ours, "theirs": other}, [metric], Bootstrap(500, resamples=500, seed=0))
    mine, yours = drawn["ours"]["roc_auc"], drawn["theirs"]["roc_auc"]
    unpaired = Draws(mine.value - yours.value, mine.draws - np.roll(yours.draws, 1))
    assert mine.minus(yours).deviation < 0.3 * unpaired.deviation


def test_equal_models_differ_by_exactly_nothing() -> None:
    sample = binary(300, 3)
    drawn = bootstrap(
        {"a": sample, "b": sample.take(np.arange(300))},
        [METRICS["log_loss"]],
        Bootstrap(300, resamples=100, seed=0),
    )
    gain = drawn["a"]["log_loss"].minus(drawn["b"]["log_loss"]).interval(0.95)
    assert (gain.value, gain.low, gain.high) == (0, 0, 0)


def test_an_interval_contains_its_own_value_even_where_resamples_are_biased() -> None:
    random = np.random.default_rng(0)
    target = random.integers(40, size=800)  # rare classes: repeated rows raise average precision
    scores = random.dirichlet(np.ones(40), 800)
    sample = Sample.of("multiclass", target, scores)
    for name in ("pr_auc", "ece"):
        low, high = interval(sample, METRICS[name], resamples=200)
        assert low < METRICS[name](sample) < high


def test_all_right_is_not_sure_to_be_right_always() -> None:
    scores = np.tile([0.1, 0.9], (20, 1))
    low, high = interval(Sample.of("binary", np.ones(20, dtype=int), scores), METRICS["accuracy"])
    assert high == 1.0
    assert low == pytest.approx(0.8389, abs=1e-4)  # Wilson, 20 of 20
    assert wilson(0.0, 20, 0.95)[1] == pytest.approx(1 - low)


def test_without_resamples_there_is_a_value_and_no_interval() -> None:
    metric = METRICS["accuracy"]
    drawn = bootstrap({"a": binary(50, 0)}, [metric], Bootstrap(50, resamples=0, seed=0))
    found = drawn["a"]["accuracy"].interval(0.95)
    assert found.value is not None and found.low is None and found.high is None


def test_one_row_has_no_interval() -> None:
    drawn = bootstrap({"a": binary(1, 0)}, [METRICS["accuracy"]], Bootstrap(1, resamples=100, seed=0))
    assert drawn["a"]["accuracy"].interval(0.95).low is None


def test_subsets_of_many_rows_give_the_interval_of_all_rows() -> None:
    rows = LARGE + 20_000
    sample, metric = binary(rows, 0), METRICS["accuracy"]
    low, high = interval(sample, metric, resamples=1000)
    share = metric(sample)
    wanted = 2 * 1.96 * np.sqrt(share * (1 - share) / rows)
    assert high - low == pytest.approx(wanted, rel=0.15)
    assert low < share < high


def test_time_does_not_grow_with_rows_beyond_the_limit() -> None:
    weights = [some.weights.size for some in Bootstrap(10 * LARGE, resamples=100, seed=0)]
    assert sum(weights) <= 20_000 * 100
    assert max(some.weights.nbytes for some in Bootstrap(40_000, resamples=200, seed=0)) <= 16_000_000


@pytest.mark.slow
def test_a_thousand_resamples_of_sixteen_thousand_rows_take_under_ten_seconds() -> None:
    sample = binary(16_000, 0)
    metrics = [metric for _, metric in METRICS.items() if metric.fits(sample)]
    start = time.process_time()
    bootstrap({"a": sample}, metrics, Bootstrap(16_000, resamples=1000, seed=0))
    assert time.process_time() - start < 10

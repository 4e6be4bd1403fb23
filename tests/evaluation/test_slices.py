"""Slices: the weak one is flagged, chance is not; and what each input contributes."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from trainwright.evaluation.importance import contributions
from trainwright.evaluation.metrics.base import METRICS
from trainwright.evaluation.sample import Sample
from trainwright.evaluation.slices import LEVELS, MISSING, cut, judge_slices


def right_with(chance: np.ndarray, seed: int) -> Sample:
    """Rows that are predicted right with the given chances."""
    random = np.random.default_rng(seed)
    target = random.integers(2, size=len(chance))
    said = np.where(random.random(len(chance)) < chance, target, 1 - target)
    yes = np.where(said == 1, 0.8, 0.2)
    return Sample.of("binary", target, np.stack([1 - yes, yes], axis=1))


def flags(sample: Sample, frame: pl.DataFrame, types: dict[str, str], seed: int = 0) -> set[str]:
    lines = judge_slices(
        sample, cut(frame.get_column, types), METRICS["accuracy"], confidence=0.95, seed=seed, resamples=200
    )
    return {f"{line['column']}={line['value']}" for line in lines if line["flag"]}


def test_the_weak_slice_is_flagged_and_only_it() -> None:
    kind = np.random.default_rng(0).integers(5, size=2000)
    sample = right_with(np.where(kind == 3, 0.6, 0.9), 1)
    frame = pl.DataFrame({"kind": [f"k{value}" for value in kind]})
    assert flags(sample, frame, {"kind": "category"}) == {"kind=k3"}


def test_chance_is_rarely_flagged() -> None:
    flagged = 0
    for seed in range(40):
        kind = np.random.default_rng(seed).integers(10, size=600)
        sample = right_with(np.full(600, 0.8), seed + 100)
        flagged += bool(flags(sample, pl.DataFrame({"kind": kind}), {"kind": "category"}, seed))
    assert flagged <= 6  # 5 % of the runs are 2; more than 6 have a chance of 1 in 300


def test_large_tests_flag_too() -> None:
    kind = np.random.default_rng(0).integers(3, size=60_000)
    sample = right_with(np.where(kind == 1, 0.85, 0.9), 1)
    assert flags(sample, pl.DataFrame({"kind": kind}), {"kind": "category"}) == {"kind=1"}


def test_numbers_are_cut_into_quarters_and_gaps_are_a_slice() -> None:
    values: list[float | None] = [float(value) for value in range(100)]
    values[0] = None
    slices = cut(pl.DataFrame({"x": values}).get_column, {"x": "number"})
    assert [len(part.rows) for part in slices] == [25, 25, 24, 25, 1]
    assert slices[-1].value == MISSING
    covered = np.sort(np.concatenate([part.rows for part in slices]))
    assert covered.tolist() == list(range(100))


def test_texts_are_not_cut_and_many_levels_only_when_asked_for() -> None:
    frame = pl.DataFrame({"body": ["a"] * 50, "city": [f"c{value % 25}" for value in range(50)]})
    types = {"body": "text", "city": "category"}
    assert cut(frame.get_column, types) == []
    assert len(cut(frame.get_column, types, ["city"])) == LEVELS


def test_a_constant_column_is_not_cut() -> None:
    frame = pl.DataFrame({"x": [1.0] * 9, "k": ["a"] * 9})
    assert cut(frame.get_column, {"x": "number", "k": "category"}) == []


def test_few_rows_have_a_value_without_an_interval_and_no_flag() -> None:
    kind = ["rare"] * 5 + ["common"] * 200
    sample = right_with(np.array([0.0] * 5 + [0.95] * 200), 0)
    lines = judge_slices(
        sample,
        cut(pl.DataFrame({"kind": kind}).get_column, {"kind": "category"}),
        METRICS["accuracy"],
        confidence=0.95,
        seed=0,
        resamples=100,
    )
    rare = next(line for line in lines if line["value"] == "rare")
    assert rare["metric"] == {"value": 0.0, "low": None, "high": None} and not rare["flag"]


def test_a_slice_of_one_class_has_no_auc() -> None:
    target = np.array([0, 1] * 20 + [1] * 40)
    yes = np.random.default_rng(0).random(80)
    sample = Sample.of("binary", target, np.stack([1 - yes, yes], axis=1))
    frame = pl.DataFrame({"kind": ["both"] * 40 + ["one"] * 40})
    lines = judge_slices(
        sample,
        cut(frame.get_column, {"kind": "category"}),
        METRICS["roc_auc"],
        confidence=0.95,
        seed=0,
        resamples=100,
    )
    one = next(line for line in lines if line["value"] == "one")
    assert one["metric"]["value"] is None and not one["flag"]


def test_contributions_find_the_input_that_matters() -> None:
    random = np.random.default_rng(0)
    inputs = {"useful": random.normal(size=500), "useless": random.normal(size=500)}
    target = (inputs["useful"] + 0.3 * random.normal(size=500) > 0).astype(int)

    def score(shuffled: str | None, seed: int) -> Sample:
        shown = dict(inputs)
        if shuffled:
            shown[shuffled] = np.random.default_rng(seed).permutation(inputs[shuffled])
        yes = 1 / (1 + np.exp(-3 * shown["useful"] - 0.001 * shown["useless"]))
        return Sample.of("binary", target, np.stack([1 - yes, yes], axis=1))

    for name in ("roc_auc", "log_loss"):
        table = contributions(
            ["useless", "useful"], score, METRICS[name], confidence=0.95, resamples=200, seed=0
        )
        assert [line["input"] for line in table] == ["useful", "useless"]
        assert table[0]["low"] > 0.1
        assert abs(table[1]["value"]) < 0.01


def test_contributions_stop_when_the_time_is_over() -> None:
    sample = right_with(np.full(50, 0.9), 0)
    table = contributions(
        ["a", "b"], lambda *_: sample, METRICS["accuracy"], confidence=0.95, resamples=10, seed=0, seconds=-1
    )
    assert table == []


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_shuffling_that_changes_nothing_contributes_nothing(metric: str) -> None:
    sample = right_with(np.full(50, 0.9), 0)
    [line] = contributions(["a"], lambda *_: sample, METRICS[metric], confidence=0.95, resamples=50, seed=0)
    assert (line["value"], line["low"], line["high"]) == (0, 0, 0)

"""Simple models on the same rows: what a result has to beat before it means anything.

Always the class frequencies (or the mean); then logistic or ridge regression, and gradient-boosted trees on
histograms (Ke et al. 2017, as in scikit-learn), within seconds that the caller grants.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainwright.evaluation.design_matrix import BaselineRows, Matrices, build
from trainwright.evaluation.sample import Array, known_targets, typed_target
from trainwright.evaluation.simple_models import Problem, Scorer, boosting, linear, naive

TRAINING_ROWS = 100_000
"""Training rows that a caller need give at most: simple models gain little from more."""
TEST_ROWS = 100_000
"""Test rows that a caller need give at most: a random part, whose positions `judge` is told."""

TITLES = {
    "majority": "class frequencies",
    "mean": "the mean",
    "logistic": "logistic regression",
    "ridge": "ridge regression",
    "boosting": "gradient-boosted trees",
}


@dataclass(frozen=True)
class Baseline:
    """What a simple model said.

    Attributes:
        name: "majority", "mean", "logistic", "ridge" or "boosting".
        title: what a reader calls it.
        scores: of the test rows, like a task's: probabilities [rows, classes] or values [rows]; None where
            it was not trained, and `note` says why.
        validation_scores: of the validation rows, where they were given.
        seconds: spent on it.
        note: what was done differently to keep within the time; empty if nothing.
    """

    name: str
    title: str
    scores: Array | None
    validation_scores: Array | None = None
    seconds: float = 0.0
    note: str = ""


def fit_baselines(
    kind: str,
    types: Mapping[str, str],
    train: BaselineRows,
    target: Array,
    test: BaselineRows,
    *,
    classes: int = 0,
    validation: BaselineRows | None = None,
    sample_rates: Mapping[str, int] | None = None,
    seconds: float = 60.0,
    seed: int = 0,
) -> list[Baseline]:
    """Train the simple models on the training rows and score the test rows.

    Args:
        kind: the task: binary, multiclass, ordinal, multilabel or regression.
        types: input column → feature type.
        train: training rows, at most `TRAINING_ROWS`.
        target: their targets as for `Sample.of`; rows without one are left out.
        test: test rows, at most `TEST_ROWS`.
        classes: number of classes.
        validation: validation rows, for thresholds.
        sample_rates: audio column → samples a second (16,000 without).
        seconds: for everything together.
        seed: the run's seed.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    began = time.monotonic()
    sets = [train, test, *([validation] if validation is not None else [])]
    # One thread: the trees' threads wait for one another after every node. On two cores that others use too,
    # two took 22 s where one takes 0.6 s (37,000 rows); on idle ones 1.8 s against 2.1 s (digits).
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # a solver that stops early is still a fair yardstick
        matrices = build(types, sets, sample_rates=sample_rates or {}, seed=seed)
        rows = np.flatnonzero(known_targets(target))
        truth = typed_target(kind, target[rows])
        problem = Problem(kind, classes, truth, matrices.texts > 0, matrices.categorical, seed)
        return _fit_all(problem, matrices, rows, began + seconds)


def _fit_all(problem: Problem, matrices: Matrices, rows: Array, until: float) -> list[Baseline]:
    """Fit every simple model on the given training rows; share what time is left among them."""
    numeric = problem.kind == "regression"
    left_out = f"without {', '.join(matrices.left_out)}" if matrices.left_out else ""
    found = [_score("mean" if numeric else "majority", naive(problem), matrices.linear, time.monotonic(), "")]
    plans = [
        ("ridge" if numeric else "logistic", linear, matrices.linear),
        ("boosting", boosting, matrices.trees),
    ]
    plans = [plan for plan in plans if plan[2][0].shape[1]]
    for place, (name, fit, inputs) in enumerate(plans):
        start = time.monotonic()
        model, note = fit(problem, inputs[0][rows], (until - start) / (len(plans) - place))
        note = "; ".join(part for part in (note, left_out) if part)
        found.append(_score(name, model, inputs, start, note))
    return found


def _score(name: str, model: Scorer | None, inputs: Sequence[Any], start: float, note: str) -> Baseline:
    """Score test and validation rows."""
    scores = [model(rows) for rows in inputs[1:]] if model else [None]
    validation = scores[1] if len(scores) > 1 else None
    return Baseline(name, TITLES[name], scores[0], validation, time.monotonic() - start, note)

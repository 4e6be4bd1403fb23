"""Linear models and boosted trees that keep within the seconds they are given.

What does not fit is trained on fewer rows or in fewer rounds, or skipped; the note says which.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainwright.evaluation.sample import Array
from trainwright.foundation.random import numpy_stream

Scorer = Callable[[Any], Array]
"""Matrix of rows → probabilities [rows, classes] or values [rows]."""

ITERATIONS = 100
"""Boosting rounds, and steps of the logistic solver: scikit-learn's defaults."""

_PROBE_ROWS = 2_000
_PROBE_ROUNDS = 2
_FEWEST_ROUNDS = 20
_TREE_CLASSES = {"multilabel": 20}
_TREE_CLASSES_ELSE = 100
_CHEAP_CELLS = 2_000_000  # rows * columns * classes that take under half a second: not worth a probe
_DENSE_COLUMNS = 512  # ridge chooses its strength by leave-one-out up to here
_TEXT_C, _TABLE_C = 10.0, 1.0  # on trec6, sst2 and banking77 10 beats 1 by 2 to 3 points of accuracy


@dataclass(frozen=True)
class Problem:
    """What simple models learn.

    Attributes:
        kind: the task.
        classes: number of classes.
        target: class index int64 [rows], bool [rows, classes] for several labels, or values [rows].
        texts: whether words are among the columns.
        categorical: which columns of the trees' matrix are codes of levels, bool [columns].
        seed: the run's seed.
    """

    kind: str
    classes: int
    target: Array
    texts: bool
    categorical: Array
    seed: int

    @property
    def one_class(self) -> bool:
        """Whether there is nothing to tell apart."""
        return self.kind not in {"multilabel", "regression"} and len(np.unique(self.target)) < 2

    def some(self, count: int) -> Array:
        """Return `count` random rows, ascending; a larger draw contains a smaller one."""
        order = numpy_stream(self.seed, "baselines").permutation(len(self.target))
        return np.sort(order[:count])


def naive(problem: Problem) -> Scorer:
    """Return the mean, or the share of each class, for every row."""
    if problem.kind == "regression":
        mean = float(problem.target.mean())
        return lambda rows: np.full(rows.shape[0], mean)
    if problem.kind == "multilabel":
        share = problem.target.mean(axis=0)
    else:
        share = np.bincount(problem.target, minlength=problem.classes) / len(problem.target)
    return lambda rows: np.tile(share, (rows.shape[0], 1))


def linear(problem: Problem, inputs: Any, seconds: float) -> tuple[Scorer | None, str]:
    """Fit ridge or logistic regression on a sparse matrix [rows, columns] → (model or None, note).

    Logistic regression is multinomial on tables; on texts and for several labels it is one class against
    the rest, which is several times faster there and as accurate (banking77: 3.8 s against 26 s, accuracy
    0.898 against 0.894).
    """
    if problem.one_class:
        return None, "skipped: the training rows have one class only"
    if seconds <= 0:
        return None, "skipped: no time was left"
    if problem.kind == "regression":
        fit = _ridge
    else:
        fit = _one_vs_rest if problem.texts or problem.kind == "multilabel" else _multinomial
    total = inputs.shape[0]
    if total <= _PROBE_ROWS:
        return fit(problem, inputs, problem.target), ""
    began = time.monotonic()
    few = problem.some(_PROBE_ROWS)
    model = fit(problem, inputs[few], problem.target[few])
    spent = time.monotonic() - began
    affordable = int(_PROBE_ROWS * (seconds - spent) / max(spent, 1e-4))
    if affordable >= total:
        return fit(problem, inputs, problem.target), ""
    if affordable > _PROBE_ROWS:
        more = problem.some(affordable)
        model = fit(problem, inputs[more], problem.target[more])
    return model, f"trained on {max(affordable, _PROBE_ROWS):,} of {total:,} rows to save time"


def boosting(problem: Problem, inputs: Array, seconds: float) -> tuple[Scorer | None, str]:
    """Fit gradient-boosted trees on histograms to float32 [rows, columns] → (model or None, note)."""
    ensembles = 1 if problem.kind in {"regression", "binary"} else problem.classes
    limit = _TREE_CLASSES.get(problem.kind, _TREE_CLASSES_ELSE)
    if problem.one_class:
        return None, "skipped: the training rows have one class only"
    if ensembles > limit:
        return None, f"skipped: more than {limit} classes would take too long"
    if seconds <= 0:
        return None, "skipped: no time was left"
    total = rows = len(inputs)
    rounds = ITERATIONS
    if total * inputs.shape[1] * ensembles > _CHEAP_CELLS or seconds < 2 * ensembles:
        began = time.monotonic()
        probe = _boosted(problem, inputs, problem.target, _PROBE_ROUNDS)
        spent = time.monotonic() - began
        affordable = (seconds - spent) / max(spent / _PROBE_ROUNDS, 1e-4)  # rounds over all rows
        if affordable < _FEWEST_ROUNDS * min(_PROBE_ROWS / total, 1):
            return probe, f"{_PROBE_ROUNDS} rounds instead of {ITERATIONS} to save time"
        if affordable < ITERATIONS:
            rows = min(total, max(int(total * affordable / ITERATIONS), _PROBE_ROWS))
            rounds = max(_FEWEST_ROUNDS, min(ITERATIONS, int(affordable * total / rows)))
    said = [f"trained on {rows:,} of {total:,} rows"] if rows < total else []
    said += [f"{rounds} rounds instead of {ITERATIONS}"] if rounds < ITERATIONS else []
    note = " and ".join(said) + " to save time" if said else ""
    if rows == total:
        return _boosted(problem, inputs, problem.target, rounds), note
    some = problem.some(rows)
    return _boosted(problem, inputs[some], problem.target[some], rounds), note


def _ridge(problem: Problem, inputs: Any, target: Array) -> Scorer:
    from sklearn.linear_model import Ridge, RidgeCV

    if problem.texts or inputs.shape[1] > _DENSE_COLUMNS:
        wide = Ridge(alpha=1.0, solver="sparse_cg").fit(inputs, target)
        return lambda rows: np.asarray(wide.predict(rows))
    model = RidgeCV(alphas=np.logspace(-2, 3, 6)).fit(inputs.toarray(), target)
    return lambda rows: np.asarray(model.predict(rows.toarray()))


def _multinomial(problem: Problem, inputs: Any, target: Array) -> Scorer:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=_TABLE_C, max_iter=ITERATIONS).fit(inputs, target)
    return lambda rows: _aligned(model.predict_proba(rows), model.classes_, problem.classes)


def _one_vs_rest(problem: Problem, inputs: Any, target: Array) -> Scorer:
    from sklearn.linear_model import LogisticRegression

    def make() -> Any:
        return LogisticRegression(C=_TEXT_C if problem.texts else _TABLE_C, solver="liblinear")

    if problem.kind == "multilabel":
        return _each_class(make, inputs, target)
    if problem.classes == 2:
        second = _each_class(make, inputs, target[:, None] == 1)
        return lambda rows: np.concatenate([1 - (yes := second(rows)), yes], axis=1)
    every = _each_class(make, inputs, target[:, None] == np.arange(problem.classes))
    return lambda rows: (scores := every(rows)) / np.maximum(scores.sum(axis=1, keepdims=True), 1e-12)


def _boosted(problem: Problem, inputs: Array, target: Array, rounds: int) -> Scorer:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    numeric = problem.kind == "regression"
    estimator = HistGradientBoostingRegressor if numeric else HistGradientBoostingClassifier

    def make() -> Any:
        return estimator(
            max_iter=rounds,
            early_stopping=False,
            categorical_features=problem.categorical if problem.categorical.any() else None,
            random_state=0,
        )

    if problem.kind == "multilabel":
        return _each_class(make, inputs, target)
    model = make().fit(inputs, target)
    if numeric:
        return lambda rows: np.asarray(model.predict(rows))
    return lambda rows: _aligned(model.predict_proba(rows), model.classes_, problem.classes)


def _each_class(make: Callable[[], Any], inputs: Any, members: Array) -> Scorer:
    """Fit one model for each column of `members` [rows, classes]; one that never varies is its share."""
    models: list[Any] = []
    for member in members.T.astype(np.int64):
        share = float(member.mean())
        models.append(share if share in {0.0, 1.0} else make().fit(inputs, member))

    def score(rows: Any) -> Array:
        columns = [
            np.full(rows.shape[0], model) if isinstance(model, float) else model.predict_proba(rows)[:, 1]
            for model in models
        ]
        return np.stack(columns, axis=1)

    return score


def _aligned(probabilities: Array, known: Array, classes: int) -> Array:
    """Return [rows, classes] from the columns of the classes that training rows had."""
    out = np.zeros((len(probabilities), classes))
    out[:, known.astype(np.int64)] = probabilities
    return out


def import_simple_models() -> None:
    """Import what the simple models need; a caller may do so in a thread while something else runs."""
    import sklearn.ensemble
    import sklearn.linear_model  # noqa: F401

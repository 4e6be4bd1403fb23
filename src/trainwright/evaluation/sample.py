"""What metrics look at: the truth and a model's scores for the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeGuard, get_args

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Kind = Literal["binary", "multiclass", "multilabel", "regression", "ordinal"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def _is_kind(name: str) -> TypeGuard[Kind]:
    return name in KINDS


SMALLEST_PROBABILITY = 1e-7
"""Probabilities are kept this far from 0 and 1 in logarithms: the resolution of a float32 near 1, so that
float32 models and float64 baselines stand under one rule."""

_KEPT_CELLS = 4_000_000  # rows times classes up to which orders are kept: about 30 bytes each

CALIBRATION_BINS = 15
"""Bins of equal width for calibration (Guo et al. 2017)."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Truth and predictions of some rows for one target. Build it with `Sample.of`.

    Attributes:
        kind: the task.
        target: class index int64 [rows]; bool [rows, classes] for multilabel; float64 [rows] for regression.
        scores: probabilities [rows, classes] (binary: two columns), or values [rows].
        labels: predicted class int64 [rows]; bool [rows, classes] for multilabel; values for regression.
        low: lower end of each row's interval [rows], for regression.
        high: upper end [rows].
        coverage: share of rows that the interval was made to contain.
        kept: positions of the rows among those that `Sample.of` was given, where some had no target.
    """

    kind: Kind
    target: Array
    scores: Array
    labels: Array
    low: Array | None = None
    high: Array | None = None
    coverage: float = 0.9
    kept: Array | None = None

    @classmethod
    def of(
        cls,
        kind: str,
        target: Array,
        scores: Array,
        *,
        threshold: float | Array | None = None,
        labels: Array | None = None,
        low: Array | None = None,
        high: Array | None = None,
        coverage: float = 0.9,
    ) -> Sample:
        """Return a sample; rows without a target are left out.

        Args:
            kind: the task's name.
            target: class index [rows] (-1: missing), multi-hot [rows, classes] (NaN or -1: missing) or
                values [rows] (NaN: missing).
            scores: probabilities [rows, classes] or values [rows].
            threshold: least probability of a yes, for binary (the second class) and multilabel (one, or one
                a class); 0.5 without.
            labels: predicted classes [rows]; without, the most probable one, and the median class where
                classes are ordered.
            low, high: interval of each row, for regression.
            coverage: share of rows that the interval was made to contain.
        """
        assert _is_kind(kind), f"no metric knows the task {kind!r}"
        classes = 0 if kind == "regression" else scores.shape[1]
        expected = target.shape if kind in {"multilabel", "regression"} else (len(target), classes)
        assert scores.shape == expected and (kind != "binary" or classes == 2), (
            kind,
            target.shape,
            scores.shape,
        )
        known = known_targets(target)
        kept = None if known.all() else np.flatnonzero(known)
        if kept is not None:
            target, scores = target[kept], scores[kept]
            labels, low, high = (None if part is None else part[kept] for part in (labels, low, high))
        target = typed_target(kind, target)
        if labels is None:
            labels = _decided(kind, scores, threshold)
        return cls(kind, target, scores, labels, low, high, coverage, kept)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.target)

    @property
    def classes(self) -> int:
        """Number of classes; 0 for regression."""
        return 0 if self.kind == "regression" else self.scores.shape[1]

    def take(self, rows: Array) -> Sample:
        """Return the sample of some rows, given as positions or as a mask."""
        low, high = (None if part is None else part[rows] for part in (self.low, self.high))
        return Sample(
            self.kind, self.target[rows], self.scores[rows], self.labels[rows], low, high, self.coverage
        )

    def membership(self, of_class: int) -> Array:
        """Return whether each row belongs to a class, bool [rows]."""
        return self.target[:, of_class] if self.kind == "multilabel" else self.target == of_class

    @cached_property
    def log_losses(self) -> Array:
        """Minus the logarithm of the probability given to the truth, float64 [rows]; multilabel: mean over
        classes."""
        if self.kind == "multilabel":
            right = np.where(self.target, self.scores, 1 - self.scores).astype(np.float64)
            return np.asarray(-np.log(np.clip(right, SMALLEST_PROBABILITY, 1)).mean(axis=1))
        right = self.scores[np.arange(self.rows), self.target].astype(np.float64)
        return np.asarray(-np.log(np.clip(right, SMALLEST_PROBABILITY, 1)))

    @cached_property
    def squared_losses(self) -> Array:
        """Brier's loss, float64 [rows]: squared error of the second class's probability (binary), its mean
        over classes (multilabel), or its sum over classes."""
        scores = self.scores.astype(np.float64)
        if self.kind == "binary":
            return np.asarray((scores[:, 1] - self.target) ** 2)
        if self.kind == "multilabel":
            return np.asarray(((scores - self.target) ** 2).mean(axis=1))
        right = scores[np.arange(self.rows), self.target]
        return np.asarray((scores**2).sum(axis=1) - 2 * right + 1)

    @cached_property
    def confidence(self) -> tuple[Array, Array, Array]:
        """What calibration compares: (confidence, whether it came true, row), each [cells].

        Binary: the probability of the second class; multilabel: the probability of every class; else the
        probability of the most probable class, with one cell a row.
        """
        rows = np.arange(self.rows)
        if self.kind == "multilabel":
            return self.scores.ravel(), self.target.ravel(), rows.repeat(self.classes)
        if self.kind == "binary":
            return self.scores[:, 1], self.target == 1, rows
        top = self.scores.argmax(axis=1)
        return self.scores[rows, top], self.target == top, rows

    @cached_property
    def calibration_bins(self) -> Array:
        """Bin of every cell of `confidence`, int64 [cells]; bins are open on the left."""
        bins = np.ceil(self.confidence[0].astype(np.float64) * CALIBRATION_BINS).astype(np.int64) - 1
        return np.asarray(np.clip(bins, 0, CALIBRATION_BINS - 1))

    @cached_property
    def indicators(self) -> Any:
        """Sparse [3 * classes, rows] of 0 and 1: whether a row is a hit, a member and predicted a member of
        each class."""
        from scipy.sparse import csr_array

        if self.kind == "multilabel":
            parts = (self.target & self.labels, self.target, self.labels)
            which, row = np.nonzero(np.concatenate(parts, axis=1).T)
        else:
            hit = np.flatnonzero(self.target == self.labels)
            rows = np.arange(self.rows)
            row = np.concatenate([hit, rows, rows])
            offsets = np.repeat([0, self.classes, 2 * self.classes], [len(hit), self.rows, self.rows])
            which = np.concatenate([self.target[hit], self.target, self.labels]) + offsets
        return csr_array((np.ones(len(row)), (which, row)), shape=(3 * self.classes, self.rows))

    @cached_property
    def _rankings(self) -> dict[int, Ranking]:
        return {}

    def ranking(self, of_class: int) -> Ranking:
        """Return how a class's members and others are ordered by its score."""
        if of_class in self._rankings:
            return self._rankings[of_class]
        ranking = Ranking.of(self.scores[:, of_class], self.membership(of_class))
        if self.rows * self.classes <= _KEPT_CELLS:
            self._rankings[of_class] = ranking
        return ranking


@dataclass(frozen=True)
class Ranking:
    """The members of a class and the other rows, ordered by score, at the places that matter: where a member
    stands among the others.

    Attributes:
        members: row of each member, in ascending order of score [members].
        steps: sparse [places, rows] of 0 and 1: which others lie between one place and the next. Running
            sums of `steps @ weights` give the weight of all others below each place; the last is that of
            all others.
        below: the place under which the others score lower than each member [members].
        up_to: the place under which they score lower or the same.
        tied_from: position among `members` of the first with the same score.
    """

    members: Array
    steps: Any
    below: Array
    up_to: Array
    tied_from: Array

    @classmethod
    def of(cls, scores: Array, member: Array) -> Ranking:
        """Return the ranking of rows by `scores` [rows], `member` being bool [rows]."""
        from scipy.sparse import csr_array

        members, others = np.flatnonzero(member), np.flatnonzero(~member)
        members = members[np.argsort(scores[members], kind="stable")]
        others = others[np.argsort(scores[others], kind="stable")]
        high, low = scores[members], scores[others]
        below, up_to = np.searchsorted(low, high, side="left"), np.searchsorted(low, high, side="right")
        places = np.unique(np.concatenate([below, up_to]))
        step = np.searchsorted(places, np.arange(len(others)), side="right")
        steps = csr_array((np.ones(len(others)), (step, others)), shape=(len(places) + 1, len(scores)))
        return cls(
            members,
            steps,
            np.searchsorted(places, below),
            np.searchsorted(places, up_to),
            np.searchsorted(high, high, side="left"),
        )


def _decided(kind: Kind, scores: Array, threshold: float | Array | None) -> Array:
    """Return what is predicted: see `Sample.labels`."""
    if kind == "regression":
        return scores
    if kind == "multilabel":
        return np.asarray(scores >= (0.5 if threshold is None else threshold))
    if kind == "binary" and threshold is not None:
        return (scores[:, 1] >= threshold).astype(np.int64)
    if kind == "ordinal":
        return np.asarray((scores.cumsum(axis=1)[:, :-1] < 0.5).sum(axis=1))
    return np.asarray(scores.argmax(axis=1))


def typed_target(kind: str, target: Array) -> Array:
    """Return targets in the type that `Sample.target` has; none may be missing."""
    dtype: Any = {"regression": np.float64, "multilabel": np.bool_}.get(kind, np.int64)
    return target.astype(dtype)


def known_targets(target: Array) -> Array:
    """Return which rows have a target, bool [rows]; see `Sample.of` for what marks a missing one."""
    if target.dtype.kind == "f":
        missing = np.isnan(target)
        if target.ndim == 2:
            missing |= target < 0
    elif target.dtype.kind == "b":
        return np.ones(len(target), dtype=bool)
    else:
        missing = target < 0
    return np.asarray(~(missing.any(axis=1) if target.ndim == 2 else missing))

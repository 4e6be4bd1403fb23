"""How much each view of the inputs counts in a prediction, learned on validation rows.

Source: Caruana, Niculescu-Mizil, Crew & Ksikes 2004, 'Ensemble Selection from Libraries of Models'.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_ROUNDS = 20
"""Views that are added up at most: finer shares would be fitted to the luck of the validation rows."""
_MOST_CELLS = 2_000_000
_LEAST = 1e-7


def log_loss(probability: Array) -> float:
    """Return the mean log loss from the probability that was given to the truth, [rows]."""
    return -float(np.log(np.maximum(probability, _LEAST)).mean())


def squared(error: Array) -> float:
    """Return the mean squared error from the errors, [rows]."""
    return float(np.square(error).mean())


def fit_shares(terms: Array, loss: Callable[[Array], float]) -> tuple[float, ...]:
    """Return a share for each view so that the loss of the weighted mean is small; they add up to 1.

    Starting with none, the view that helps most is added again and again, and the best of the means on the
    way is taken: it is never worse than the best view. The first of equals is taken, and where there are no
    rows all views share alike.

    Args:
        terms: what is averaged over views, [rows, views]: probabilities of the truth, or errors.
        loss: mean loss of what the average is, [rows] → number.
    """
    rows, views = int(terms.shape[0]), int(terms.shape[1])
    if not rows:
        return (1 / views,) * views
    terms = terms[:: -(-terms.size // _MOST_CELLS)].astype(np.float64)
    total = np.zeros(len(terms))
    taken: list[int] = []
    losses: list[float] = []
    for _ in range(_ROUNDS):
        candidates = [loss((total + terms[:, view]) / (len(taken) + 1)) for view in range(views)]
        taken.append(min(range(views), key=candidates.__getitem__))
        losses.append(candidates[taken[-1]])
        total += terms[:, taken[-1]]
    chosen = taken[: losses.index(min(losses)) + 1]
    return tuple(chosen.count(view) / len(chosen) for view in range(views))

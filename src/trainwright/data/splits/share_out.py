"""Sharing groups of rows out between training, validation and test: seeded, and no group broken up."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_TRIES = 100
"""Random orders that few, unequal groups are tried in."""
_FEW_GROUPS = 10_000


def share_out(
    sizes: Array,
    strata: Array,
    shares: tuple[float, float],
    generator: np.random.Generator,
) -> Array:
    """Return the part of each group: 0 training, 1 validation, 2 test, int8 [groups].

    In every stratum groups come in a random order: training takes rows until it has its share, then
    validation, then test. A stratum with enough groups has one in every part that has a share; one with
    fewer groups than parts is for training. Groups larger than the smallest part go first, to training.

    Args:
        sizes: rows of each group, ≥ 1 [groups].
        strata: stratum of each group, 0 … n - 1 [groups].
        shares: share of the rows for validation and for test.
        generator: where the order comes from.
    """
    groups = len(sizes)
    num_strata = int(strata.max(initial=-1)) + 1
    rows = np.bincount(strata, weights=sizes, minlength=num_strata)
    count = np.bincount(strata, minlength=num_strata)
    enough = count >= 1 + sum(share > 0 for share in shares)
    validation, test = (_quotas(np.where(enough, rows, 0), share) for share in shares)
    smallest = np.minimum(np.where(validation > 0, validation, test), np.where(test > 0, test, validation))
    large = enough[strata] & (sizes > np.maximum(smallest[strata], 1))
    order = generator.permutation(groups)
    order = order[np.argsort((2 * strata + ~large)[order], kind="stable")]
    ordered, sized = strata[order], sizes[order]
    first = np.searchsorted(ordered, np.arange(num_strata))
    before = np.cumsum(sized) - sized
    before = before - before[np.minimum(first, max(groups - 1, 0))][ordered]
    train_rows = (rows - validation - test)[ordered]
    part = (before >= train_rows).astype(np.int8) + (before >= train_rows + validation[ordered])
    # A part that large groups stepped over gets one group from the end; training keeps the first.
    from_end = (first + count)[ordered] - 1 - np.arange(groups)
    for index, quota, after in ((2, test, np.zeros_like(test)), (1, validation, test)):
        empty = (quota > 0) & (np.bincount(ordered[part == index], minlength=num_strata) == 0)
        part[empty[ordered] & (from_end == (after > 0)[ordered])] = index
    part[(np.arange(groups) == first[ordered]) | ~enough[ordered]] = 0
    shared = np.empty(groups, dtype=np.int8)
    shared[order] = part
    return shared


def _quotas(rows: Array, share: float) -> Array:
    """Return how many rows of each stratum make a share: whole numbers, at least 1, that add up to it."""
    if share == 0:
        return np.zeros(len(rows))
    quotas = np.diff(np.rint(np.cumsum(rows) * share), prepend=0.0)
    return np.where(rows > 0, np.maximum(quotas, 1), 0)


def share_out_evenly(
    sizes: Array, classes: Array | None, shares: tuple[float, float], generator: np.random.Generator
) -> Array:
    """Share groups out so that parts come near their shares of rows, and of each class, int8 [groups].

    The best of many random orders is taken where there are few groups; many come out even by themselves.

    Args:
        sizes: rows of each group [groups].
        classes: rows of each class in each group [groups, classes], where there are classes.
        shares: share of the rows for validation and for test.
        generator: where the orders come from.
    """
    alike = np.zeros(len(sizes), dtype=np.int64)
    wanted = np.array([1 - sum(shares), *shares])
    amounts = sizes[:, None] if classes is None else np.concatenate([sizes[:, None], classes], axis=1)
    best, least = None, np.inf
    for _ in range(_TRIES if len(sizes) <= _FEW_GROUPS else 1):
        part = share_out(sizes, alike, shares, generator)
        held = np.stack([amounts[part == index].sum(axis=0) for index in range(3)])
        away = np.abs(held / np.maximum(amounts.sum(axis=0), 1) - wanted[:, None])
        # The size of the parts counts as much as all classes together.
        distance = away[:, 0].sum() + (away[:, 1:].sum(axis=0).mean() if classes is not None else 0.0)
        if distance < least:
            best, least = part, distance
    assert best is not None
    return best

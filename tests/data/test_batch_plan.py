"""The batch plan: every row once, the budget respected, the same on every call."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.data.batch_plan import plan_batches

LENGTHS = st.lists(st.integers(0, 200), min_size=1, max_size=400)


@given(st.integers(1, 500), st.integers(1, 64), st.integers(0, 3), st.booleans())
def test_every_row_once_within_the_batch_size(num_rows: int, batch: int, epoch: int, shuffle: bool) -> None:
    plan = plan_batches(num_rows, batch=batch, seed=1, epoch=epoch, shuffle=shuffle)
    assert sorted(plan.rows.tolist()) == list(range(num_rows))
    sizes = np.diff(plan.offsets)
    assert sizes.max() <= batch
    assert sizes.max() - sizes.min() <= 1  # no small batch is left over


@given(LENGTHS, st.integers(1, 32), st.integers(1, 600), st.booleans())
@settings(max_examples=200)
def test_token_budget_counts_padding(lengths: list[int], batch: int, tokens: int, shuffle: bool) -> None:
    array = np.array(lengths)
    plan = plan_batches(len(array), batch=batch, lengths=array, tokens=tokens, shuffle=shuffle)
    assert sorted(plan.rows.tolist()) == list(range(len(array)))
    for number in range(len(plan)):
        rows = plan[number]
        assert 1 <= len(rows) <= batch
        assert len(rows) == 1 or len(rows) * array[rows].max() <= tokens


@given(LENGTHS, st.integers(0, 5), st.integers(0, 5))
def test_a_pure_function_of_its_arguments(lengths: list[int], seed: int, epoch: int) -> None:
    array = np.array(lengths)
    first = plan_batches(len(array), batch=8, seed=seed, epoch=epoch, lengths=array)
    np.random.default_rng().random(7)  # other draws do not matter
    again = plan_batches(len(array), batch=8, seed=seed, epoch=epoch, lengths=array)
    assert np.array_equal(first.rows, again.rows)
    assert np.array_equal(first.offsets, again.offsets)


def test_epochs_and_seeds_differ() -> None:
    plans = {plan_batches(100, batch=10, seed=s, epoch=e).rows.tobytes() for s in range(3) for e in range(3)}
    assert len(plans) == 9


def test_lengths_leave_little_padding() -> None:
    lengths = np.random.default_rng(0).lognormal(4, 1, 20_000).astype(int) + 1
    plan = plan_batches(len(lengths), batch=32, lengths=lengths)
    padded = sum(len(plan[i]) * lengths[plan[i]].max() for i in range(len(plan)))
    shuffled = plan_batches(len(lengths), batch=32)
    without = sum(len(shuffled[i]) * lengths[shuffled[i]].max() for i in range(len(shuffled)))
    assert padded < 1.25 * lengths.sum()
    assert padded < 0.5 * without


def test_weights_balance_what_is_drawn() -> None:
    target = np.array([0] * 900 + [1] * 100)
    plan = plan_batches(1000, batch=50, weights=np.where(target == 1, 9.0, 1.0))
    assert 0.4 < target[plan.rows].mean() < 0.6

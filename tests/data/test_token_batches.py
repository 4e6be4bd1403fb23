"""Every token is learned once a pass, whatever the context, and a piece can be made again from its number."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainwright.data.token_batches import Cutting, hashed, uniform
from trainwright.data.token_store import Tokens


def tokens_of(lengths: list[int]) -> Tokens:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.arange(offsets[-1]) % 50_000
    nothing = np.zeros(len(lengths), dtype=np.int64)
    return Tokens(ids.astype(np.uint16), None, offsets, nothing, nothing, nothing)


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=20),
    st.integers(1, 12),
    st.integers(1, 40),
    st.integers(0, 1),
    st.integers(0, 5),
    st.booleans(),
)
def test_each_token_once(
    lengths: list[int], context: int, budget: int, spare: int, epoch: int, shuffle: bool
) -> None:
    tokens = tokens_of(lengths)
    index = np.flatnonzero(np.arange(len(lengths)) % 3 != 2)
    cutting = Cutting(tokens, index, context, "split", spare, 7 if shuffle else None)
    plan = cutting.plan(epoch, budget=budget, shuffle=shuffle)
    seen = []
    for number in range(len(plan)):
        pieces = cutting.pieces(plan[number])
        assert (pieces.epochs == epoch).all()
        assert (pieces.lengths >= 1).all() and (pieces.lengths <= context).all()
        assert pieces.lengths.sum() <= budget or len(pieces.lengths) == 1
        seen.append(pieces.positions())
    found = np.sort(np.concatenate(seen)) if seen else np.zeros(0, dtype=np.int64)
    begins = tokens.offsets[:-1]
    expected = [np.arange(begins[i], begins[i] + max(lengths[i] - spare, 0)) for i in index]
    assert np.array_equal(found, np.concatenate(expected) if expected else found)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.integers(1, 12), st.integers(0, 1))
def test_truncated_samples_end_at_the_context(lengths: list[int], context: int, spare: int) -> None:
    tokens = tokens_of(lengths)
    cutting = Cutting(tokens, np.arange(len(lengths)), context, "truncate", spare, 0)
    plan = cutting.plan(0, budget=1000)
    pieces = cutting.pieces(plan.rows)
    order = np.argsort(pieces.starts)
    kept = [length - spare for length in lengths if length > spare]
    assert np.array_equal(pieces.lengths[order], np.minimum(kept, context))


def test_epochs_are_cut_and_ordered_otherwise() -> None:
    cutting = Cutting(tokens_of([1000]), np.arange(1), 64, "split", 1, 3)
    first, second = (cutting.plan(epoch, budget=256) for epoch in (0, 1))
    assert set(first.rows % 1000) != set(second.rows % 1000)
    again = cutting.plan(0, budget=256)
    assert np.array_equal(first.rows, again.rows)


def test_drawn_numbers_are_even_and_their_own() -> None:
    numbers = np.arange(100_000)
    drawn = uniform(numbers, 3, seed=1)
    assert abs(drawn.mean() - 0.5) < 0.005
    assert drawn.min() >= 0 and drawn.max() < 1
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.02
    assert len(np.unique(hashed(numbers, seed=1))) == len(numbers)
    assert not np.array_equal(hashed(numbers, 1, seed=1), hashed(numbers, 2, seed=1))
    # The same today and tomorrow: weights depend on it.
    assert hashed(np.arange(2), 5, seed=9).tolist() == hashed(np.arange(2), 5, seed=9).tolist()

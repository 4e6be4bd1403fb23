from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.foundation.random import numpy_stream, stream_seed, torch_stream

NAMES = st.lists(st.text(max_size=4) | st.integers(0, 3), max_size=3).map(tuple)


@pytest.mark.parametrize(
    ("seed", "names", "expected"),
    [
        (0, (), 6197007067532723406),
        (0, ("model",), 5521812846367765689),
        (0, ("batches", 3), 5908581350609811836),
        (2**63 - 1, ("split", "价格"), 8371049229816144972),
    ],
)
def test_streams_never_change(seed: int, names: tuple[str | int, ...], expected: int) -> None:
    """A recipe must give the same weights in every later version: these figures are a promise."""
    assert stream_seed(seed, *names) == expected


def test_draws_never_change() -> None:
    assert numpy_stream(0, "split").integers(0, 1000, 4).tolist() == [919, 364, 834, 347]
    assert torch_stream(0, "split").initial_seed() == stream_seed(0, "split")


@given(NAMES, NAMES, st.integers(0, 5), st.integers(0, 5))
def test_other_names_or_seeds_give_other_streams(
    one: tuple[str | int, ...], other: tuple[str | int, ...], seed: int, second: int
) -> None:
    equal = (seed, *map(repr, one)) == (second, *map(repr, other))
    assert (stream_seed(seed, *one) == stream_seed(second, *other)) == equal


@given(st.integers(0, 2**63 - 1), NAMES)
def test_a_stream_is_a_seed_of_63_bits(seed: int, names: tuple[str | int, ...]) -> None:
    assert 0 <= stream_seed(seed, *names) < 2**63


def test_a_stream_does_not_depend_on_what_was_drawn_before() -> None:
    first = numpy_stream(7, "dropout").random(5)
    numpy_stream(7, "split").random(1000)
    np.random.default_rng(0).random(10)
    assert np.array_equal(numpy_stream(7, "dropout").random(5), first)


def test_streams_are_not_correlated() -> None:
    draws = np.stack([numpy_stream(0, "stream", index).standard_normal(20_000) for index in range(8)])
    correlations = np.corrcoef(draws)[np.triu_indices(8, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(20_000)  # five standard errors


def test_whole_numbers_of_numpy_name_the_same_stream() -> None:
    assert stream_seed(int(np.int64(4)), "epoch", 2) == stream_seed(np.int64(4), "epoch", np.int32(2))


def test_torch_streams_repeat() -> None:
    torch = pytest.importorskip("torch")
    one = torch.rand(4, generator=torch_stream(1, "noise"))
    assert torch.equal(one, torch.rand(4, generator=torch_stream(1, "noise")))
    assert not torch.equal(one, torch.rand(4, generator=torch_stream(1, "augment")))

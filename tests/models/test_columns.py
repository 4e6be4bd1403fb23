"""Table columns as vectors, against what their paper says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.models.base import Encoder
from trainwright.models.initialisation import initialise
from trainwright.models.layers.columns import UNSEEN, CategoryEmbedding, ColumnTokens, JoinedColumns, OneHot
from trainwright.models.layers.numbers import NumberEmbedding, NumberSpec, PiecewiseLinearEncoding

edges = st.lists(st.integers(-20, 20), min_size=2, max_size=6, unique=True).map(sorted)


def one_number(value: float, bins: list[float]) -> list[float]:
    """Equation 1 of Gorishniy et al. 2022, one number at a time."""
    count = len(bins) - 1
    parts = []
    for bin_ in range(count):
        share = (value - bins[bin_]) / (bins[bin_ + 1] - bins[bin_])
        if bin_ > 0:
            share = max(share, 0.0)
        if bin_ < count - 1:
            share = min(share, 1.0)
        parts.append(share)
    return parts


@settings(deadline=None)
@given(bins=st.lists(edges, min_size=1, max_size=4), value=st.floats(-30, 30, width=32))
def test_piecewise_linear_encoding_is_the_papers(bins: list[list[int]], value: float) -> None:
    encoded = PiecewiseLinearEncoding(bins)(torch.full((1, len(bins)), value))[0]
    for column, own in enumerate(bins):
        expected = one_number(value, [float(edge) for edge in own])
        np.testing.assert_allclose(encoded[column, : len(expected)], expected, atol=1e-4)
        assert not encoded[column, len(expected) :].any()


def test_a_column_without_bins_is_linear() -> None:
    embedding = NumberEmbedding([NumberSpec([0.0, 1.0, 2.0]), NumberSpec()], 8)
    with torch.no_grad():
        for parameter in embedding.parameters():
            parameter.normal_()
    zero, one, two = (embedding(torch.full((1, 2), value))[0] for value in (0.0, 1.0, 2.0))
    torch.testing.assert_close(two[1] - one[1], one[1] - zero[1])
    assert not torch.allclose(two[0] - one[0], one[0] - zero[0])


def test_number_embeddings_start_linear() -> None:
    embedding = NumberEmbedding([NumberSpec([0.0, 1.0, 2.0])], 8)
    initialise(embedding)
    values = torch.tensor([[0.3], [0.6], [1.8]])
    torch.testing.assert_close(embedding(values)[:, 0] / values, embedding.weight.expand(3, -1))


def test_periodic_columns_are_waves() -> None:
    embedding = NumberEmbedding([NumberSpec(), NumberSpec(periodic=True)], 8)
    initialise(embedding)
    _, linear = embedding.parts[0]
    with torch.no_grad():
        embedding.weight.zero_()
        embedding.parts[0][0].frequency.fill_(0.5)
    values = torch.tensor([[0.3, 0.3], [2.3, 2.3], [1.0, 1.0]])
    plain, waves = embedding(values).unbind(dim=1)
    assert not plain.any()
    torch.testing.assert_close(waves[0], waves[1], atol=1e-5, rtol=1e-4)  # two apart at half a wave a unit
    sines, cosines = linear.weight[0].chunk(2)
    torch.testing.assert_close(waves[2], -cosines.sum(dim=0), atol=1e-5, rtol=1e-4)
    assert sines.any()


def test_an_unseen_level_is_all_zeros() -> None:
    one_hot = OneHot([3, 4])
    result = one_hot(torch.tensor([[0, UNSEEN], [2, 3]]))
    assert result.tolist() == [[1, 0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 1]]
    categories = CategoryEmbedding([30, 20], 4)
    initialise(categories)
    embedded = categories(torch.tensor([[UNSEEN, UNSEEN], [0, 2]]))
    assert not embedded[0].any()
    assert embedded[1].abs().sum(dim=1).gt(0).all()


def test_categories_of_different_columns_share_no_row() -> None:
    categories = CategoryEmbedding([3, 3], 4)
    initialise(categories)
    embedded = categories(torch.tensor([[2, 2]]))[0]
    assert not torch.equal(embedded[0], embedded[1])


@pytest.mark.parametrize(
    "spec",
    [
        {"dense": 2, "index": [], "bins": [None, None]},
        {"dense": 0, "index": [3], "bins": []},
        {"dense": 1, "index": [50], "bins": [[0.0, 1.0]]},
        {"dense": 3, "index": [], "bins": [None, [0.0, 1.0], None], "periodic": [True, False, False]},
        {"dense": 1, "index": [3]},
    ],
    ids=[
        "numbers",
        "a small category",
        "bins and a large category",
        "every number",
        "the least said",
    ],
)
def test_tables_of_one_kind_of_column(spec: dict[str, Any]) -> None:
    dense, index = torch.randn(5, spec["dense"]), torch.full((5, len(spec["index"])), 2)
    joined, tokens = JoinedColumns(spec, number_width=8, category_width=6), ColumnTokens(spec, 16)
    initialise(joined)
    initialise(tokens)
    assert joined(dense, index).shape == (5, joined.width)
    assert tokens(dense, index).shape == (5, spec["dense"] + len(spec["index"]), 16)


def test_tabm_starts_as_its_paper_says(make_encoder: Callable[..., Encoder]) -> None:
    encoder = make_encoder("tabm", "table")
    first, second = encoder.layers
    assert set(first.scale_in.unique().tolist()) == {-1.0, 1.0}
    assert first.scale_in.unique(dim=0).shape[0] == encoder.members
    for scales in (first.scale_out, second.scale_in, second.scale_out):
        assert (scales == 1).all()
    for layer in (first, second):
        assert (layer.bias == layer.bias[0]).all()


def test_tabms_members_differ(make_encoder: Callable[..., Encoder], make_inputs: Callable[..., Any]) -> None:
    encoder = make_encoder("tabm", "table").eval()
    members = encoder(*make_inputs("table"))[0]
    assert members.unique(dim=0).shape[0] == encoder.members


def test_tabms_members_are_models_of_their_own(
    make_encoder: Callable[..., Encoder], make_inputs: Callable[..., Any]
) -> None:
    encoder, inputs = make_encoder("tabm", "table").eval(), make_inputs("table")
    before = encoder(*inputs)
    with torch.no_grad():
        encoder.layers[0].scale_in[2].mul_(3)
    changed = (encoder(*inputs) != before).any(dim=2).any(dim=0)
    assert changed.tolist() == [member == 2 for member in range(encoder.members)]

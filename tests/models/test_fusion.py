"""What every fusion promises."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainwright.models.fusion.base import FUSIONS, Fusion, hide_inputs
from trainwright.models.initialisation import initialise

WIDTHS = {"table": 6, "photo": 10, "title": 8}
every_fusion = pytest.mark.parametrize("name", list(FUSIONS))


def make_fusion(name: str, widths: dict[str, int] = WIDTHS, modality_dropout: float = 0.0) -> Fusion:
    fusion = FUSIONS[name](widths, width=16, modality_dropout=modality_dropout)
    initialise(fusion, matrices="xavier")
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return fusion


def make_vectors(batch: int = 5) -> dict[str, Tensor]:
    members = {"table": 4, "photo": 1, "title": 1}
    return {name: torch.randn(batch, members[name], width) for name, width in WIDTHS.items()}


def test_there_are_three() -> None:
    assert list(FUSIONS) == ["attention", "concat", "gated"]


@every_fusion
def test_members_of_one_input_go_to_all(name: str) -> None:
    fusion, vectors = make_fusion(name), make_vectors()
    result = fusion(vectors, torch.ones(5, 3, dtype=torch.bool))
    assert result.shape == (5, fusion.views * 4, fusion.width)
    assert not torch.allclose(result[:, 0], result[:, 1])


@every_fusion
@pytest.mark.parametrize("changed", range(3))
def test_a_view_of_one_input_sees_no_other(name: str, changed: int) -> None:
    fusion, vectors = make_fusion(name).eval(), make_vectors()
    present = torch.ones(5, 3, dtype=torch.bool)
    key = list(WIDTHS)[changed]
    others = vectors | {key: vectors[key] + torch.randn_like(vectors[key])}
    before, after = (fusion(given, present).unflatten(1, (fusion.views, -1)) for given in (vectors, others))
    differs = (before != after).flatten(2).any(dim=2).all(dim=0)
    assert differs.tolist() == [True, *(place == changed for place in range(3))]


@every_fusion
def test_a_single_input_passes_through(name: str) -> None:
    fusion = make_fusion(name, {"title": 8}, modality_dropout=0.9).train()
    vectors = {"title": torch.randn(5, 2, 8)}
    present = torch.tensor([True, False, True, True, False])[:, None]
    assert torch.equal(fusion(vectors, present), vectors["title"])
    assert fusion.width == 8
    assert not list(fusion.parameters())


@every_fusion
@pytest.mark.parametrize("missing", range(3))
def test_the_vector_of_a_missing_input_does_not_matter(name: str, missing: int) -> None:
    fusion, vectors = make_fusion(name).eval(), make_vectors()
    present = torch.ones(5, 3, dtype=torch.bool)
    present[2, missing] = False
    before = fusion(vectors, present)
    key = list(WIDTHS)[missing]
    changed = vectors | {key: vectors[key] + 1 + torch.randn_like(vectors[key])}
    differs = (fusion(changed, present) != before).any(dim=2).any(dim=1)
    assert differs.tolist() == [True, True, False, True, True]


@every_fusion
def test_a_row_without_any_input_is_finite(name: str) -> None:
    fusion = make_fusion(name, modality_dropout=0.5).train()
    assert fusion(make_vectors(), torch.zeros(5, 3, dtype=torch.bool)).isfinite().all()


@every_fusion
def test_gradient_reaches_every_parameter(name: str) -> None:
    fusion, vectors = make_fusion(name), make_vectors()
    present = torch.tensor([[True, False, True], [False, True, True], [True, True, False]] + [[True] * 3] * 2)
    result = fusion(vectors, present)
    (result * torch.randn_like(result)).sum().backward()
    for parameter_name, parameter in fusion.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@every_fusion
def test_inputs_are_hidden_in_training_only(name: str) -> None:
    fusion, vectors = make_fusion(name, modality_dropout=0.5), make_vectors()
    present = torch.ones(5, 3, dtype=torch.bool)
    fusion.train()
    assert not torch.equal(fusion(vectors, present), fusion(vectors, present))
    fusion.eval()
    assert torch.equal(fusion(vectors, present), fusion(vectors, present))


@settings(deadline=None)
@given(
    rows=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=20),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 1000),
)
def test_hiding_leaves_every_row_something(rows: list[list[bool]], share: float, seed: int) -> None:
    torch.manual_seed(seed)
    present = torch.tensor(rows)
    left = hide_inputs(present, share)
    assert not (left & ~present).any()
    assert torch.equal(left.any(dim=1), present.any(dim=1))


def test_hiding_has_its_chance() -> None:
    left = hide_inputs(torch.ones(20_000, 4, dtype=torch.bool), 0.1)
    assert (~left).float().mean().item() == pytest.approx(0.1, abs=0.005)

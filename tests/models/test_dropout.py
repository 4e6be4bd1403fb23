"""Our dropout is dropout."""

from __future__ import annotations

import pytest
import torch

from trainwright.models.layers.dropout import Dropout


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_it_drops_its_share_and_keeps_the_mean(share: float) -> None:
    hidden = torch.ones(400, 501, requires_grad=True)
    result = Dropout(share).train()(hidden)
    assert (result == 0).float().mean().item() == pytest.approx(share, abs=0.005)
    assert result.mean().item() == pytest.approx(1, abs=0.02)
    assert result.unique().numel() == 2
    result.sum().backward()
    assert hidden.grad is not None
    assert torch.equal(hidden.grad, result.detach())


def test_neighbours_are_dropped_independently() -> None:
    kept = (Dropout(0.5).train()(torch.ones(1000, 64)) > 0).float()
    correlation = torch.corrcoef(kept.T) - torch.eye(64)
    assert correlation.abs().max() < 0.17  # 5 standard deviations of 1000 draws


@pytest.mark.parametrize("numbers", [0, 1, 7, 8, 9])
def test_any_number_of_numbers(numbers: int) -> None:
    assert Dropout(0.5).train()(torch.ones(numbers, 1)).shape == (numbers, 1)


def test_evaluation_and_a_share_of_nothing_change_nothing() -> None:
    hidden = torch.randn(5, 5)
    assert Dropout(0.5).eval()(hidden) is hidden
    assert Dropout(0.0).train()(hidden) is hidden


def test_a_seed_gives_the_same_draws() -> None:
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        results.append(Dropout(0.3).train()(torch.ones(33)))
    assert torch.equal(*results)

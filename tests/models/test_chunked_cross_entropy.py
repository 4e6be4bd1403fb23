"""Cross-entropy without all outputs is the cross-entropy with them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from largest_tensor import Largest

from trainwright.models.layers.chunked_cross_entropy import IGNORED, chunked_cross_entropy, rows_at_once


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 100])
def test_it_is_torchs_own(rows: int, with_bias: bool, smoothing: float) -> None:
    hidden = torch.randn(20, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(9, 6, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(9, dtype=torch.float64, requires_grad=True) if with_bias else None
    targets = torch.randint(9, (20,))
    targets[[3, 11]] = IGNORED
    leaves = [hidden, weight, *([] if bias is None else [bias])]
    found = chunked_cross_entropy(hidden, weight, targets, bias=bias, smoothing=smoothing, rows=rows)
    expected = F.cross_entropy(
        F.linear(hidden, weight, bias), targets, reduction="sum", label_smoothing=smoothing
    )
    torch.testing.assert_close(found, expected)
    mine, theirs = (torch.autograd.grad(3 * loss, leaves) for loss in (found, expected))
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_outputs_are_held_within_a_cap(smoothing: float) -> None:
    hidden = torch.randn(20, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(9, 6, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(9, (20,))
    targets[3] = IGNORED
    found = chunked_cross_entropy(hidden, weight, targets, smoothing=smoothing, cap=0.7, rows=7)
    outputs = 0.7 * torch.tanh(hidden @ weight.T / 0.7)
    expected = F.cross_entropy(outputs, targets, reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(found, expected)
    mine, theirs = (torch.autograd.grad(loss, [hidden, weight]) for loss in (found, expected))
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_are_those_of_finite_differences() -> None:
    hidden = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 3, IGNORED, 1, 2])
    assert torch.autograd.gradcheck(
        lambda h, w: chunked_cross_entropy(h, w, targets, rows=2, smoothing=0.2), (hidden, weight)
    )


def test_what_needs_no_gradient_gets_none() -> None:
    weight = torch.randn(4, 3, requires_grad=True)
    loss = chunked_cross_entropy(torch.randn(5, 3), weight, torch.tensor([0, 1, 2, 3, 0]))
    loss.backward()
    assert weight.grad is not None
    assert not chunked_cross_entropy(torch.randn(5, 3), weight.detach(), torch.zeros(5).long()).requires_grad


def test_the_outputs_are_never_held() -> None:
    hidden, weight = torch.randn(512, 8, requires_grad=True), torch.randn(1000, 8, requires_grad=True)
    with Largest() as largest:
        chunked_cross_entropy(hidden, weight, torch.randint(1000, (512,)), rows=16).backward()
    assert largest.numbers <= 16 * 1000


def test_half_precision_products_have_precise_logarithms() -> None:
    hidden, weight = torch.randn(64, 16, requires_grad=True), torch.randn(50, 16, requires_grad=True)
    targets = torch.randint(50, (64,))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = chunked_cross_entropy(hidden, weight, targets, rows=10)
    assert loss.dtype == torch.float32
    loss.backward()
    assert hidden.grad is not None and hidden.grad.dtype == torch.float32
    expected = F.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    torch.testing.assert_close(loss, expected, rtol=2e-2, atol=0.5)


def test_the_size_of_chunks_changes_nothing_but_rounding() -> None:
    hidden, weight = torch.randn(96, 16, requires_grad=True), torch.randn(50, 16, requires_grad=True)
    targets = torch.randint(50, (96,))
    found = []
    for rows in (5, 96):
        loss = chunked_cross_entropy(hidden, weight, targets, rows=rows)
        found.append((loss, *torch.autograd.grad(loss, (hidden, weight))))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("memory", "chunks"), [(80 * 2**30, 7), (24 * 2**30, 21), (2**30, 197)])
def test_a_gpu_takes_more_rows_at_once_the_larger_it_is(
    memory: int, chunks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """65,536 tokens of 50,304 classes; on a CPU, and on a GPU too small for more, 197 chunks."""
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=memory), raising=True
    )
    assert -(-65_536 // rows_at_once(50_304, torch.device("cuda", 0))) == chunks
    assert -(-65_536 // rows_at_once(50_304, torch.device("cpu"))) == 197

"""Initial weights by scheme and type of layer."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from trainwright.models.initialisation import SCHEMES, initialise


@pytest.mark.parametrize(
    ("scheme", "deviation"),
    [
        ("xavier", math.sqrt(2 / (400 + 200))),
        ("he", math.sqrt(2 / 400)),
        ("truncated_normal", 0.02 * 0.88),  # the share of the deviation that cutting at two of them leaves
    ],
)
def test_schemes_have_their_deviation(scheme: str, deviation: float) -> None:
    layer = nn.Linear(400, 200)
    initialise(layer, scheme)  # type: ignore[arg-type]
    assert layer.weight.std().item() == pytest.approx(deviation, rel=0.03)
    assert not layer.bias.any()


def test_orthogonal_keeps_lengths() -> None:
    layer = nn.Linear(30, 20)
    initialise(layer, "orthogonal")
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(20), atol=1e-5, rtol=0)


def test_auto_takes_the_architectures_scheme() -> None:
    layers = {}
    for matrices in SCHEMES:
        torch.manual_seed(0)
        layers[matrices] = nn.Linear(6, 6)
        initialise(layers[matrices], "auto", matrices=matrices)
    assert len({layer.weight.std().item() for layer in layers.values()}) == len(SCHEMES)


def test_recurrent_layers_are_orthogonal_gate_by_gate_and_remember() -> None:
    layer = nn.LSTM(5, 8)
    initialise(layer)
    for gate in layer.weight_hh_l0.split(8):
        torch.testing.assert_close(gate @ gate.T, torch.eye(8), atol=1e-5, rtol=0)
    bias = layer.bias_ih_l0 + layer.bias_hh_l0
    assert bias.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16


def test_norms_start_as_the_identity_and_embeddings_at_length_one() -> None:
    norm, table = nn.LayerNorm(4), nn.Embedding(500, 64)
    with torch.no_grad():
        norm.weight.fill_(7)
    initialise(nn.ModuleList([norm, table]))
    assert (norm.weight == 1).all()
    assert table.weight.norm(dim=1).mean().item() == pytest.approx(1, rel=0.05)

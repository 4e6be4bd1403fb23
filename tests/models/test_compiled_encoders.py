"""The blocks of every encoder that repeats some are whole graphs, and compute what they did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainwright.models.base import Encoder
from trainwright.training.compilation import compiled, repeated_blocks

KINDS = [
    ("vit", "image", 2),
    ("resnet", "image", 3),
    ("transformer", "text", 2),
    ("ft_transformer", "table", 2),
    pytest.param("cnn", "image", 2, marks=pytest.mark.slow),
    pytest.param("transformer", "sequence", 2, marks=pytest.mark.slow),
    pytest.param("tcn", "sequence", 4, marks=pytest.mark.slow),
]
"""Encoder, kind of input, and how many blocks are compiled."""
DEEPER = {"transformer", "ft_transformer"}


@pytest.fixture
def without_cpp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are made and run, but not written in C++, which takes half a minute each."""
    torch._dynamo.reset()
    compile_module = nn.Module.compile
    monkeypatch.setattr(
        nn.Module, "compile", lambda self, **how: compile_module(self, backend="eager", **how)
    )


def passed(encoder: Encoder, inputs: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
    torch.manual_seed(0)
    encoder.zero_grad()
    out = encoder(*inputs)
    out.float().square().sum().backward()
    return out.detach(), [p.grad.clone() for p in encoder.parameters() if p.grad is not None]


@pytest.mark.usefixtures("without_cpp")
@pytest.mark.parametrize(("name", "modality", "blocks"), KINDS)
def test_blocks_are_whole_graphs(
    make_encoder: Callable[..., Encoder],
    make_inputs: Callable[..., Any],
    name: str,
    modality: str,
    blocks: int,
) -> None:
    options = {"depth": 2} if name in DEEPER else {}
    encoder = make_encoder(name, modality, dropout=0.0, **options).train()
    assert len(repeated_blocks([encoder])) == blocks
    inputs = [make_inputs(modality, lengths) for lengths in ((5, 11, 8, 3), (4, 4, 9))]
    plain = [passed(encoder, some) for some in inputs]
    said: list[str] = []
    with compiled([encoder], said.append):
        found = [passed(encoder, some) for some in inputs]
    assert said == []
    for (mine, gradients), (other, expected) in zip(found, plain, strict=True):
        torch.testing.assert_close(mine, other)
        torch.testing.assert_close(gradients, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("without_cpp")
def test_blocks_of_a_pretrained_text_encoder_are_whole_graphs() -> None:
    from transformers import BertConfig, BertModel

    from trainwright.models.layers.packing import packing
    from trainwright.models.packed_transformers import lighten, place_shift, read_packed, read_padded

    shape = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertModel(BertConfig(vocab_size=50, **shape))
    lighten(model)
    model.train()
    shift = place_shift(model)
    assert shift == 0
    said: list[str] = []
    tokens, lengths = torch.randint(50, (3, 7)), torch.tensor([7, 3, 5])
    with compiled([model], said.append):
        packed = packing(lengths)
        assert len(repeated_blocks([model])) == 3
        read_packed(model, packed.pack(tokens), packed, place_shift=shift).sum().backward()
        read_padded(model, tokens, torch.arange(7) < lengths.unsqueeze(1)).sum().backward()
    assert said == []

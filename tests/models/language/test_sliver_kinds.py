"""Whatever an architecture calls its layers, a sliver goes where it belongs, begins as nothing and merges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from trainwright.models.language.pretrained import Pretrained
from trainwright.models.language.sliver_layers import last_layers
from trainwright.models.language.slivers import EncoderDecoderSliver, Sliver
from trainwright.models.layers.packing import packing
from trainwright.recipe.recipe import TuningSettings

LENGTHS = torch.tensor([2, 5, 9])
TOKENS = torch.arange(16) * 7 % 90
W, INNER, BLOCKS, RANK = 32, 48, 2, 4
SQUARE, UP, DOWN, FUSED = (W, W), (W, INNER), (INNER, W), (W, 3 * W)


@dataclass(frozen=True)
class Kind:
    """What a kind of model is made of.

    Attributes:
        shape: of its configuration.
        block: (in, out) of each linear layer of a block.
        keys: numbers that its keys and values have, with what shares their layer.
        last: last layers of attention and of the perceptron in the first block.
        head: linear layers in front of the output layer.
        causal: whether it is a decoder.
    """

    shape: dict[str, Any]
    block: list[tuple[int, int]]
    keys: int
    last: tuple[str, str]
    head: tuple[tuple[int, int], ...] = ()
    causal: bool = True

    @property
    def inner(self) -> int:
        """Numbers within the perceptron."""
        return self.block[-1][0]


SIZES = {"hidden_size": W, "num_hidden_layers": BLOCKS, "num_attention_heads": 4}
COMMON = SIZES | {"intermediate_size": INNER, "max_position_embeddings": 64}
GPT2 = {"n_embd": W, "n_layer": BLOCKS, "n_head": 4, "n_positions": 64, "n_inner": INNER}
SPECIAL = {"pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2}

KINDS = {
    "llama": Kind(
        COMMON | {"num_key_value_heads": 2},
        [SQUARE, (W, 16), (W, 16), SQUARE, UP, UP, DOWN],
        32,
        ("model.layers.0.self_attn.o_proj", "model.layers.0.mlp.down_proj"),
    ),
    "gpt2": Kind(
        GPT2, [FUSED, SQUARE, UP, DOWN], 96, ("transformer.h.0.attn.c_proj", "transformer.h.0.mlp.c_proj")
    ),
    "gpt_neox": Kind(
        COMMON,
        [FUSED, SQUARE, UP, DOWN],
        96,
        ("gpt_neox.layers.0.attention.dense", "gpt_neox.layers.0.mlp.dense_4h_to_h"),
    ),
    "bloom": Kind(
        {"hidden_size": W, "n_layer": BLOCKS, "n_head": 4},
        [FUSED, SQUARE, (W, 4 * W), (4 * W, W)],
        96,
        ("transformer.h.0.self_attention.dense", "transformer.h.0.mlp.dense_4h_to_h"),
    ),
    "falcon": Kind(
        SIZES | {"ffn_hidden_size": INNER},
        [(W, W + 16), SQUARE, UP, DOWN],
        48,
        ("transformer.h.0.self_attention.dense", "transformer.h.0.mlp.dense_4h_to_h"),
    ),
    "phi": Kind(
        COMMON,
        [SQUARE, SQUARE, SQUARE, SQUARE, UP, DOWN],
        64,
        ("model.layers.0.self_attn.dense", "model.layers.0.mlp.fc2"),
    ),
    "modernbert": Kind(
        COMMON | SPECIAL,
        [FUSED, SQUARE, (W, 2 * INNER), DOWN],
        96,
        ("model.layers.0.attn.Wo", "model.layers.0.mlp.Wo"),
        head=(SQUARE,),
        causal=False,
    ),
    "bert": Kind(
        COMMON,
        [SQUARE, SQUARE, SQUARE, SQUARE, UP, DOWN],
        64,
        ("bert.encoder.layer.0.attention.output.dense", "bert.encoder.layer.0.output.dense"),
        head=(SQUARE,),
        causal=False,
    ),
}


def base(name: str) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    torch.manual_seed(0)
    auto = AutoModelForCausalLM if KINDS[name].causal else AutoModelForMaskedLM
    made = auto.from_config(AutoConfig.for_model(name, vocab_size=90, **KINDS[name].shape))
    with torch.no_grad():  # far from even, so that what a sliver changes is seen
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made


def sliver(name: str, method: str) -> Sliver:
    settings = TuningSettings(method=method, rank=RANK)  # type: ignore[arg-type]
    return Sliver(base(name), causal=KINDS[name].causal, settings=settings).eval()


@torch.no_grad()
def logits(network: Pretrained) -> torch.Tensor:
    return network.logits(network.states(TOKENS, packing(LENGTHS)))


def size(kind: Kind, method: str) -> int:
    layers = kind.block * BLOCKS + list(kind.head)
    low_rank = sum(RANK * (given + made) for given, made in layers)
    return {
        "lora": low_rank,
        "rslora": low_rank,
        "dora": low_rank + sum(made for _, made in layers),  # and a magnitude for each output
        "ia3": BLOCKS * (kind.keys + kind.inner),
        "adapter": BLOCKS * 2 * (2 * W * RANK + RANK + W),
    }[method]


@pytest.mark.parametrize("method", ["lora", "dora", "rslora", "ia3", "adapter"])
@pytest.mark.parametrize("name", KINDS)
def test_it_begins_as_nothing_and_merges(name: str, method: str) -> None:
    network, kind = sliver(name, method), KINDS[name]
    assert sum(p.numel() for p in network.learned().values()) == size(kind, method)
    expected = logits(Pretrained(base(name), causal=kind.causal).eval())
    torch.testing.assert_close(logits(network), expected, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        for parameter in network.learned().values():
            parameter.add_(0.05 * torch.randn_like(parameter))
    moved = logits(network)
    assert not torch.allclose(moved, expected, atol=1e-3)
    if method != "adapter":
        merged = Pretrained(network.merged(), causal=kind.causal).eval()
        torch.testing.assert_close(logits(merged), moved, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_the_last_layers_are_found(name: str) -> None:
    attentions, perceptrons = last_layers(base(name))
    assert (len(attentions), len(perceptrons)) == (BLOCKS, BLOCKS)
    assert (attentions[0], perceptrons[0]) == KINDS[name].last


def test_of_a_decoder_that_looks_at_an_encoder_there_are_two() -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    shape = T5Config(
        vocab_size=90, d_model=W, d_kv=8, d_ff=INNER, num_layers=1, num_heads=4, decoder_start_token_id=0
    )
    settings = TuningSettings(method="adapter", rank=RANK)
    network = EncoderDecoderSliver(T5ForConditionalGeneration(shape), settings=settings)
    found = sorted({name.removesuffix(".down.weight") for name in network.learned() if "down.weight" in name})
    assert found == [
        "model.decoder.block.0.layer.0.SelfAttention.o",
        "model.decoder.block.0.layer.1.EncDecAttention.o",
        "model.decoder.block.0.layer.2.DenseReluDense.wo",
        "model.encoder.block.0.layer.0.SelfAttention.o",
        "model.encoder.block.0.layer.1.DenseReluDense.wo",
    ]

"""What a run says of its cost, and bases of few bits: what they need, and how large they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from text_checkpoints import HEADS, INNER, LAYERS, WIDTH, network

from trainwright.foundation.errors import RecipeError
from trainwright.models.language.pretrained import Pretrained
from trainwright.models.language.slivers import Sliver
from trainwright.recipe.recipe import Recipe, TuningSettings
from trainwright.workshop import language_network
from trainwright.workshop.language_cost import cost_of, numbers_of
from trainwright.workshop.language_network import load_pretrained
from trainwright.workshop.speed import engine_said

VOCABULARY = 400
# A Llama by hand: queries and outputs, two heads of keys and values, the perceptron, two norms; and tables.
KEYS = 2 * WIDTH // HEADS
BLOCK = 2 * WIDTH * WIDTH + 2 * WIDTH * KEYS + 3 * WIDTH * INNER + 2 * WIDTH
NUMBERS = LAYERS * BLOCK + WIDTH + 2 * VOCABULARY * WIDTH
TOKENS, CONTEXT = 1_000, 64


def test_operations_are_6n_and_12_l_d_t_for_each_token() -> None:
    found = cost_of(Pretrained(network(), causal=True), tokens_a_step=TOKENS, context=CONTEXT)
    assert found["learned_parameters"] == NUMBERS == 41_120
    assert found["flops_per_step"] == (6 * NUMBERS + 12 * LAYERS * WIDTH * CONTEXT) * TOKENS == 295_872_000
    # Weights, gradients and two moments of 4 bytes; 20 numbers of the width for each token and layer.
    assert found["memory_bytes"] == 16 * NUMBERS + 4 * 20 * TOKENS * WIDTH * LAYERS == 5_777_920
    event = found | {"parameters": NUMBERS, "device": "cpu", "threads": 2, "precision": "float32"}
    event |= {"memory_format": "contiguous", "compile": "off", "graphs": "off"}
    assert engine_said(event) == (
        "41,120 parameters; 0 GFLOP a step, about 6 MiB. Trains on 2 CPU threads, float32, not compiled."
    )


def test_of_a_sliver_only_what_learns_has_a_gradient() -> None:
    sliver = Sliver(network(), causal=True, settings=TuningSettings(method="ia3"))
    learned = LAYERS * (2 * KEYS + INNER)
    found = cost_of(sliver, tokens_a_step=TOKENS, context=CONTEXT)
    assert found["learned_parameters"] == learned
    assert found["memory_bytes"] == 4 * (NUMBERS + learned) + 12 * learned + 4 * 20 * TOKENS * WIDTH * LAYERS


def test_numbers_of_4_bits_are_counted_one_by_one() -> None:
    packed: Any = torch.nn.Parameter(
        torch.zeros(WIDTH * INNER // 2, 1, dtype=torch.uint8), requires_grad=False
    )
    packed.quant_state = SimpleNamespace(shape=torch.Size([INNER, WIDTH]))
    assert numbers_of(packed) == INNER * WIDTH
    assert numbers_of(torch.nn.Parameter(torch.zeros(3, 5))) == 15


def loaded(**tuning: Any) -> Any:
    return load_pretrained(
        Recipe.model_validate(
            {"data": "x", "task": "causal-lm", "model": {"checkpoint": "nobody/nothing"}, "tuning": tuning}
        )
    )


@pytest.mark.parametrize("base", ["8bit", "4bit"])
def test_what_few_bits_need_is_said(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_network, "kind_of", lambda _: "causal")
    with pytest.raises(RecipeError, match=f"a base that learns is not held in {base}"):
        loaded(method="full", base=base)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RecipeError, match=f"a base of {base} needs an NVIDIA GPU"):
        loaded(method="lora", base=base)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(language_network, "find_spec", lambda _: None)
    with pytest.raises(
        RecipeError, match=r"needs the package bitsandbytes; pip install 'trainwright\[quantized"
    ):
        loaded(method="lora", base=base)

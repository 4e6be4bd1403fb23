"""What a step of a language model costs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from trainwright.models.language.base import LanguageModel


def numbers_of(parameter: torch.Tensor) -> int:
    """Return how many numbers a parameter is: bitsandbytes packs two of 4 bits into a byte."""
    packed = getattr(parameter, "quant_state", None)
    return parameter.numel() if packed is None else math.prod(packed.shape)


def cost_of(network: LanguageModel, *, tokens_a_step: float, context: int) -> dict[str, Any]:
    """Return what a step costs: parameters, operations by 6N + 12·L·d·T, and bytes.

    Args:
        network: the model.
        tokens_a_step: of an update.
        context: tokens of a row.
    """
    total = sum(numbers_of(p) for p in network.parameters())
    num_learned = sum(p.numel() for p in network.parameters() if p.requires_grad)
    layers, width = network.shape
    # Kaplan et al. 2020: twice forward and four times back for each weight; attention beside it.
    # Of an encoder and a decoder a token goes through one.
    a_token = (3 if network.encodes else 6) * total + 12 * layers * width * context
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    # Gradient and the two moments of Adam; the activations of a step, about 20 numbers of width a layer.
    state = 3 * 4 * num_learned
    activations = 4 * tokens_a_step * width * layers * 20
    return {
        "learned_parameters": num_learned,
        "flops_per_step": a_token * tokens_a_step,
        "memory_bytes": round(weights + state + activations),
    }

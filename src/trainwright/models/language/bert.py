"""BERT as it is built today: the architecture of ModernBERT (Warner et al. 2024).

Norms first, rotary positions, GeGLU (Shazeer 2020), no biases, and attention to all tokens in every third
layer alone: the others see 64 tokens to each side. It is trained on packed rows, and `export` writes it for
transformers without a change.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainwright.models.language.base import (
    LANGUAGE_MODELS,
    Attention,
    LanguageModel,
    PackedAttention,
    ScaledOptions,
)
from trainwright.models.layers.attention import Rotation, rotate, rotation_at
from trainwright.models.layers.dropout import Dropout
from trainwright.models.layers.packing import Packing, readable

_EPSILON = 1e-5
_INITIAL_STD = 0.02


class BERTOptions(ScaledOptions):
    """`depth` decides the rest: 64 of width and one head for each layer."""

    inner: int | None = Field(None, ge=1, description="Width of the perceptron; 3/2 of width, gated.")
    window: int = Field(64, ge=1, description="Tokens seen to each side in layers of local attention.")
    global_every: int = Field(3, ge=1, description="Every such layer sees all tokens.")
    global_base: float = Field(160_000.0, gt=1, description="Longest period of positions where all is seen.")
    local_base: float = Field(10_000.0, gt=1, description="Longest period of positions in local layers.")

    @property
    def inner_(self) -> int:
        """Width of the perceptron."""
        return self.inner or self.width_ * 3 // 2


class SelfAttention(nn.Module):
    """Attention to tokens on both sides."""

    def __init__(self, options: BERTOptions) -> None:
        super().__init__()
        self.heads, width = options.heads_, options.width_
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self, hidden: Tensor, rotation: Rotation, attention: Attention, layer: int, window: int | None
    ) -> Tensor:
        """Return [..., width]."""
        stacked = self.query_key_value(hidden).unflatten(-1, (3, self.heads, -1))
        query, key, value = stacked.unbind(-3)
        mixed = attention(layer, rotate(query, rotation), rotate(key, rotation), value, window=window)
        return self.out(mixed.flatten(-2))  # type: ignore[no-any-return]


class Perceptron(nn.Module):
    """GeGLU."""

    def __init__(self, options: BERTOptions) -> None:
        super().__init__()
        self.up = nn.Linear(options.width_, 2 * options.inner_, bias=False)
        self.out = nn.Linear(options.inner_, options.width_, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [..., width]."""
        value, gate = self.up(hidden).chunk(2, dim=-1)
        return self.out(F.gelu(value) * gate)  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention and perceptron, each added to what came in."""

    def __init__(self, options: BERTOptions, layer: int) -> None:
        super().__init__()
        # The first layer's input has just been through a norm.
        self.attention_norm = _norm(options.width_) if layer else nn.Identity()
        self.attention = SelfAttention(options)
        self.perceptron_norm = _norm(options.width_)
        self.perceptron = Perceptron(options)
        self.dropout = Dropout(options.dropout)

    def forward(
        self, hidden: Tensor, rotation: Rotation, attention: Attention, layer: int, window: int | None
    ) -> Tensor:
        """Return [..., width]."""
        mixed = self.attention(self.attention_norm(hidden), rotation, attention, layer, window)
        hidden = hidden + self.dropout(mixed)
        return hidden + self.dropout(self.perceptron(self.perceptron_norm(hidden)))  # type: ignore[no-any-return]


@LANGUAGE_MODELS.register("bert")
class BERT(LanguageModel):
    """An encoder from random weights.

    Args:
        vocabulary: number of token ids.
        options: see `BERTOptions`.
    """

    Options = BERTOptions
    objectives = frozenset({"masked-lm"})
    causal = False

    def __init__(self, vocabulary: int, options: BERTOptions) -> None:
        super().__init__()
        self.vocabulary, self.options = vocabulary, options
        width = options.width_
        self.embedding = nn.Embedding(vocabulary, width)
        self.embedding_norm = _norm(width)
        self.dropout = Dropout(options.dropout)
        self.layers = nn.ModuleList(Block(options, layer) for layer in range(options.depth))
        self.norm = _norm(width)
        self.head = nn.Linear(width, width, bias=False)
        self.head_norm = _norm(width)
        self.bias = nn.Parameter(self.embedding.weight.new_zeros(vocabulary))
        # Wider models want smaller steps: about 1/√width (2e-3 at 256).
        self.learning_rate = 2e-3 * math.sqrt(256 / width)
        self._initialise()

    def _initialise(self) -> None:
        """Draw weights as ModernBERT did: what is added to the stream is smaller the more is added to it."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                out = name.endswith(("attention.out.weight", "perceptron.out.weight", "head.weight"))
                std = _INITIAL_STD / math.sqrt(2 * self.options.depth) if out else _INITIAL_STD
                nn.init.trunc_normal_(parameter, std=std, a=-2 * std, b=2 * std)

    def forward(self, tokens: Tensor, positions: Tensor, attention: Attention) -> Tensor:
        """Return states [..., width].

        Args:
            tokens: ids [...].
            positions: place of each token in its row, [...].
            attention: how tokens see each other.
        """
        options = self.options
        hidden = self.dropout(self.embedding_norm(self.embedding(tokens)))
        head_width = options.width_ // options.heads_
        far = rotation_at(positions, head_width, base=options.global_base)
        near = rotation_at(positions, head_width, base=options.local_base)
        for layer, block in enumerate(self.layers):
            everywhere = layer % options.global_every == 0
            window = None if everywhere else options.window
            hidden = block(hidden, far if everywhere else near, attention, layer, window)
        return self.norm(hidden)  # type: ignore[no-any-return]

    def states(self, tokens: Tensor, packed: Packing) -> Tensor:
        """Return what the model makes of each token, [tokens, width]."""
        packed = readable(packed, self.options.width_ // self.options.heads_)
        return self(tokens, packed.position, PackedAttention(packed, causal=False))  # type: ignore[no-any-return]

    def read_out(self, states: Tensor) -> Tensor:
        """Return what the output matrix takes."""
        return self.head_norm(F.gelu(self.head(states)))  # type: ignore[no-any-return]

    def output(self) -> tuple[Tensor, Tensor | None]:
        """Return the matrix and bias that turn states into logits."""
        return self.embedding.weight, self.bias


def _norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=_EPSILON, bias=False)

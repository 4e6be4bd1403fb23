"""GPT: a decoder as it is built today.

Norms first, RMSNorm (Zhang & Sennrich 2019), rotary positions (Su et al. 2021), norms of queries and keys
(Henry et al. 2020), grouped queries (Ainslie et al. 2023), SwiGLU (Shazeer 2020) or squared ReLU (So et al.
2021), no biases. With SwiGLU it is the architecture of Qwen3, so that `export` writes it without a change.
"""

from __future__ import annotations

import math
from typing import Literal

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from trainwright.models.language.base import (
    LANGUAGE_MODELS,
    Attention,
    Cache,
    KeyValueCache,
    LanguageModel,
    PackedAttention,
    ScaledOptions,
)
from trainwright.models.layers.attention import Rotation, rotate, rotation_at
from trainwright.models.layers.dropout import Dropout
from trainwright.models.layers.packing import Packing, readable

_NORM_EPSILON = 1e-6
_INITIAL_STD = 0.02


class GPTOptions(ScaledOptions):
    """`depth` decides the rest: 64 of width and one head for each layer."""

    key_heads: int | None = Field(
        None, ge=1, description="Heads of keys and values, shared by groups of heads; as many as heads."
    )
    activation: Literal["swiglu", "relu2"] = Field(
        "swiglu", description="Of the perceptron: swiglu or relu2 (squared ReLU)."
    )
    inner: int | None = Field(
        None, ge=1, description="Width of the perceptron; 8/3 of width for swiglu, 4 times width for relu2."
    )
    qk_norm: bool = Field(True, description="Norms of queries and keys.")
    tied: bool = Field(True, description="One matrix for embeddings and output.")
    rope_base: float = Field(10_000.0, gt=1, description="Longest period of the rotary positions.")

    @model_validator(mode="after")
    def _agree(self) -> GPTOptions:
        if self.heads_ % self.key_heads_:
            raise ValueError(f"{self.heads_} heads cannot share {self.key_heads_} heads of keys evenly")
        return self

    @property
    def key_heads_(self) -> int:
        """Heads of keys and values."""
        return self.key_heads or self.heads_

    @property
    def inner_(self) -> int:
        """Width of the perceptron, a multiple of 64 as matrix kernels like it."""
        if self.inner is not None:
            return self.inner
        return 4 * self.width_ if self.activation == "relu2" else 64 * round(self.width_ * 8 / 3 / 64 + 0.49)


class CausalSelfAttention(nn.Module):
    """Attention to earlier tokens."""

    def __init__(self, options: GPTOptions) -> None:
        super().__init__()
        self.heads, self.key_heads = options.heads_, options.key_heads_
        width = options.width_
        head_width = width // self.heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, self.key_heads * head_width, bias=False)
        self.value = nn.Linear(width, self.key_heads * head_width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        norms = [
            nn.RMSNorm(head_width, eps=_NORM_EPSILON) if options.qk_norm else nn.Identity() for _ in "qk"
        ]
        self.query_norm, self.key_norm = norms

    def forward(self, hidden: Tensor, rotation: Rotation, attention: Attention, layer: int) -> Tensor:
        """Return [..., width]."""
        query = self.query_norm(self.query(hidden).unflatten(-1, (self.heads, -1)))
        key = self.key_norm(self.key(hidden).unflatten(-1, (self.key_heads, -1)))
        value = self.value(hidden).unflatten(-1, (self.key_heads, -1))
        mixed = attention(layer, rotate(query, rotation), rotate(key, rotation), value)
        return self.out(mixed.flatten(-2))  # type: ignore[no-any-return]


class Perceptron(nn.Module):
    """SwiGLU, or a squared ReLU without a gate."""

    def __init__(self, options: GPTOptions) -> None:
        super().__init__()
        width, inner = options.width_, options.inner_
        self.gate = nn.Linear(width, inner, bias=False) if options.activation == "swiglu" else None
        self.up = nn.Linear(width, inner, bias=False)
        self.out = nn.Linear(inner, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [..., width]."""
        if self.gate is None:
            return self.out(F.relu(self.up(hidden)).square())  # type: ignore[no-any-return]
        return self.out(F.silu(self.gate(hidden)) * self.up(hidden))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention and perceptron, each added to what came in."""

    def __init__(self, options: GPTOptions) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(options.width_, eps=_NORM_EPSILON)
        self.attention = CausalSelfAttention(options)
        self.perceptron_norm = nn.RMSNorm(options.width_, eps=_NORM_EPSILON)
        self.perceptron = Perceptron(options)
        self.dropout = Dropout(options.dropout)

    def forward(self, hidden: Tensor, rotation: Rotation, attention: Attention, layer: int) -> Tensor:
        """Return [..., width]."""
        mixed = self.attention(self.attention_norm(hidden), rotation, attention, layer)
        hidden = hidden + self.dropout(mixed)
        return hidden + self.dropout(self.perceptron(self.perceptron_norm(hidden)))  # type: ignore[no-any-return]


@LANGUAGE_MODELS.register("gpt")
class GPT(LanguageModel):
    """A decoder from random weights.

    Args:
        vocabulary: number of token ids.
        options: see `GPTOptions`.
    """

    Options = GPTOptions
    objectives = frozenset({"causal-lm", "chat", "preference", "sequence-to-sequence"})

    def __init__(self, vocabulary: int, options: GPTOptions) -> None:
        super().__init__()
        self.vocabulary, self.options = vocabulary, options
        width = options.width_
        self.embedding = nn.Embedding(vocabulary, width)
        self.dropout = Dropout(options.dropout)
        self.layers = nn.ModuleList(Block(options) for _ in range(options.depth))
        self.norm = nn.RMSNorm(width, eps=_NORM_EPSILON)
        self.unembedding = None if options.tied else nn.Linear(width, vocabulary, bias=False)
        # Wider models want smaller steps: about 1/√width (2e-3 at 256).
        self.learning_rate = 2e-3 * math.sqrt(256 / width)
        self._initialise()

    def _initialise(self) -> None:
        """Draw weights as GPT-2 did: what is added to the stream is smaller the more is added to it."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                into_stream = name.endswith(("attention.out.weight", "perceptron.out.weight"))
                scale = 1 / math.sqrt(2 * self.options.depth) if into_stream else 1.0
                nn.init.normal_(parameter, std=_INITIAL_STD * scale)

    def forward(self, tokens: Tensor, positions: Tensor, attention: Attention) -> Tensor:
        """Return states [..., width].

        Args:
            tokens: ids [...].
            positions: place of each token in its row, [...].
            attention: how tokens see each other.
        """
        hidden = self.dropout(self.embedding(tokens))
        rotation = rotation_at(
            positions, self.options.width_ // self.options.heads_, base=self.options.rope_base
        )
        for layer, block in enumerate(self.layers):
            hidden = block(hidden, rotation, attention, layer)
        return self.norm(hidden)  # type: ignore[no-any-return]

    def states(self, tokens: Tensor, packed: Packing) -> Tensor:
        """Return what the model makes of each token, [tokens, width]."""
        packed = readable(packed, self.options.width_ // self.options.heads_)
        return self(tokens, packed.position, PackedAttention(packed, causal=True))  # type: ignore[no-any-return]

    def output(self) -> tuple[Tensor, Tensor | None]:
        """Return the matrix that turns states into logits."""
        return (self.embedding if self.unembedding is None else self.unembedding).weight, None

    def begin(self, pads: Tensor, limit: int) -> KeyValueCache:
        """Return the cache of a new batch."""
        return KeyValueCache(pads, limit)

    def step(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Read some more tokens of every row; return their states."""
        assert isinstance(cache, KeyValueCache)
        new = tokens.shape[1]
        cache.ready(new)
        states = self(tokens, cache.positions(new), cache)
        cache.done(new)
        return states  # type: ignore[no-any-return]

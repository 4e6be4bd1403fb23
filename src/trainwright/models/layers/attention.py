"""Self-attention and the transformer block (Vaswani et al. 2017), norms first (Xiong et al. 2020).

Both take rows side by side, [batch, time, width], or end to end, [tokens, width] (see `packing`).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainwright.models.layers.dropout import Dropout
from trainwright.models.layers.packing import Packing, attend

Rotation = tuple[Tensor, Tensor]


def rotary(time: int, head_width: int, device: torch.device, *, base: float = 10_000.0) -> Rotation:
    """Return cosines and sines [time, head_width / 2] of rotary positions (Su et al. 2021, RoFormer)."""
    return _rotation(torch.arange(time, device=device), head_width, base)


def rotation_at(positions: Tensor, head_width: int, *, base: float = 10_000.0) -> Rotation:
    """Return cosines and sines [..., 1, head_width / 2] of rotary positions, for [..., heads, head_width]."""
    cosine, sine = _rotation(positions, head_width, base)
    return cosine.unsqueeze(-2), sine.unsqueeze(-2)


def _rotation(positions: Tensor, head_width: int, base: float) -> Rotation:
    even = torch.arange(0, head_width, 2, device=positions.device, dtype=torch.float32)
    angle = positions.to(torch.float32).unsqueeze(-1) * base ** (-even / head_width)
    return angle.cos(), angle.sin()


def rotate(vectors: Tensor, rotation: Rotation) -> Tensor:
    """Turn pairs (first half, second half) of [..., head_width] by their position.

    Args:
        vectors: [batch, heads, time, head_width], or [tokens, heads, head_width].
        rotation: cosines and sines that can be spread over them.
    """
    cosine, sine = (part.to(vectors.dtype) for part in rotation)
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself.

    Args:
        width: width of the sequence, a multiple of 2 · heads.
        heads: number of heads.
        dropout: share of attention weights dropped in training; rows end to end keep all of them.
    """

    def __init__(self, width: int, heads: int, *, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, hidden: Tensor, mask: Tensor | None, rotation: Rotation | None) -> Tensor:
        """Return [batch, time, width]; `mask` is bool [batch, 1, 1, time], true for keys that may be seen."""
        batch, time, width = hidden.shape
        stacked = self.query_key_value(hidden).view(batch, time, 3, self.heads, width // self.heads)
        query, key, value = stacked.permute(2, 0, 3, 1, 4)  # each [batch, heads, time, head_width]
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=self.dropout if self.training else 0.0
        )
        return self.out(mixed.transpose(1, 2).reshape(batch, time, width))  # type: ignore[no-any-return]

    def packed(self, hidden: Tensor, packed: Packing, rotation: Rotation | None) -> Tensor:
        """Return [tokens, width] for rows end to end."""
        tokens, width = hidden.shape
        stacked = self.query_key_value(hidden).view(tokens, 3, self.heads, width // self.heads)
        query, key, value = stacked.unbind(1)  # each [tokens, heads, head_width]
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        return self.out(attend(query, key, value, packed).flatten(1))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two linear layers around GELU, or the gated unit ReGLU (Shazeer 2020).

    Args:
        width: width in and out.
        hidden: width between.
        activation: "gelu" or "reglu".
        dropout: share of inner activations dropped in training.
    """

    def __init__(
        self, width: int, hidden: int, *, activation: Literal["gelu", "reglu"], dropout: float
    ) -> None:
        super().__init__()
        self.gated = activation == "reglu"
        self.expand = nn.Linear(width, 2 * hidden if self.gated else hidden)
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(hidden, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [..., width]."""
        inner = self.expand(hidden)
        if self.gated:
            value, gate = inner.chunk(2, dim=-1)
            inner = value * F.relu(gate)
        else:
            inner = F.gelu(inner)
        return self.out(self.dropout(inner))  # type: ignore[no-any-return]


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)).

    Args:
        width: width of the sequence.
        heads: attention heads.
        dropout: share dropped on attention weights, inside the feed-forward and on both branches.
        activation: of the feed-forward.
        expansion: inner width of the feed-forward over `width`.
        normalise_first: whether attention's input is normalised (the first block of FT-Transformer is not).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        dropout: float,
        activation: Literal["gelu", "reglu"] = "gelu",
        expansion: float = 4.0,
        normalise_first: bool = True,
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width) if normalise_first else nn.Identity()
        self.attention = SelfAttention(width, heads, dropout=dropout)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, int(width * expansion), activation=activation, dropout=dropout)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        hidden: Tensor,
        mask: Tensor | None = None,
        rotation: Rotation | None = None,
        packed: Packing | None = None,
    ) -> Tensor:
        """Return the shape of `hidden`; the other arguments as in `SelfAttention`."""
        normed = self.attention_norm(hidden)
        mixed = (
            self.attention(normed, mask, rotation)
            if packed is None
            else self.attention.packed(normed, packed, rotation)
        )
        hidden = hidden + self.dropout(mixed)
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))  # type: ignore[no-any-return]


def soften_residuals(blocks: nn.ModuleList) -> None:
    """Scale the last matrix of every branch by 1/√(branches): depth shall not swell the sum (GPT-2)."""
    scale = 1 / math.sqrt(2 * len(blocks))
    with torch.no_grad():
        for block in blocks:
            assert isinstance(block, TransformerBlock)
            block.attention.out.weight.mul_(scale)
            block.feed_forward.out.weight.mul_(scale)


def attention_mask(mask: Tensor) -> Tensor:
    """Return a key mask bool [batch, 1, 1, time] from a position mask bool [batch, time].

    Rows without any position see position 0 (their output is pooled away): a softmax over nothing is NaN.
    """
    first = torch.arange(mask.shape[1], device=mask.device) == 0
    return (mask | first).unsqueeze(1).unsqueeze(1)

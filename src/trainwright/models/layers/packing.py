"""Packing: rows of different lengths end to end, so that nothing is computed on padding.

Every layer but attention sees one long row of tokens; attention sees each row by itself. On a CPU the rows
are sorted by length, and those of one length are one dense call without a mask. On a GPU it is FlashAttention
over `cu_seqlens` (Dao 2023, 'FlashAttention-2'), at a few fixed numbers of tokens, and nothing waits for the
host; where numbers have 32 bits, which it does not take, rows are read as on a CPU (see `by_length`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_STEPS = 8
"""Numbers of tokens on a GPU between a power of two and the next: at most an eighth is filled up."""
_LEAST_STEP = 128
_WIDEST_HEAD = 256
_SHARES_HEADS = torch.__version__ >= "2.12"
"""Whether FlashAttention is told that heads share keys and values; torch 2.11 has no word for it."""


@dataclass(frozen=True)
class Packing:
    """Where the tokens of a batch lie when its rows stand end to end.

    Attributes:
        row: row of each token, int64 [tokens]; the rows come shortest first.
        position: its place in that row, int64 [tokens]; 0 for the filling.
        inside: whether it is a token and no filling, bool [tokens].
        lengths: length of every row as the batch has them, int64 [batch].
        cu_seqlens: where each row begins, the filling as one more behind them, int32 [batch + 2].
        longest: no row is longer, nor the filling.
        groups: (rows, length) of the rows of one length, in order; None where only the device knows them.
    """

    row: Tensor
    position: Tensor
    inside: Tensor
    lengths: Tensor
    cu_seqlens: Tensor
    longest: int
    groups: tuple[tuple[int, int], ...] | None

    def pack(self, padded: Tensor) -> Tensor:
        """Return [tokens, ...] of a padded [batch, time, ...]."""
        time = max(padded.shape[1], 1)
        padded = padded if padded.shape[1] else padded.new_zeros(len(padded), 1, *padded.shape[2:])
        return padded.flatten(0, 1).index_select(0, self.row * time + self.position.clamp(max=time - 1))

    def mean(self, states: Tensor) -> Tensor:
        """Return the mean over the tokens of each row, [batch, width]; a row without any gives zeros."""
        share = self.inside.to(states.dtype) / self.lengths.clamp(min=1).to(states.dtype).gather(0, self.row)
        rows = torch.arange(len(self.lengths), device=states.device).unsqueeze(1)
        # A product with a matrix of shares: sums in a fixed order, which adding by index has not on a GPU.
        return torch.where(self.row == rows, share, 0.0) @ states

    def first(self, states: Tensor) -> Tensor:
        """Return the state of each row's first token, [batch, width]; a row without any gives zeros."""
        rows = torch.arange(len(self.lengths), device=states.device).unsqueeze(1)
        chosen = (self.row == rows) & (self.position == 0) & self.inside
        return chosen.to(states.dtype) @ states


def packs(device: torch.device, head_width: int) -> bool:
    """Return whether rows can be packed: on a CPU always; FlashAttention on a GPU takes 16-bit numbers."""
    if device.type == "cpu":
        return True
    return (
        device.type == "cuda"
        and torch.is_autocast_enabled("cuda")
        and torch.get_autocast_dtype("cuda") in {torch.bfloat16, torch.float16}
        and head_width % 8 == 0
        and head_width <= _WIDEST_HEAD
    )


def packing(lengths: Tensor, *, total: int | None = None, longest: int | None = None) -> Packing:
    """Return how a batch is packed.

    Args:
        lengths: tokens of each row, int64 [batch].
        total: their sum, which a host that does not know it has to wait for on a GPU.
        longest: no row is longer; needed on a GPU.
    """
    known = _is_host(lengths)
    ordered, order = lengths.sort(stable=True)
    ends = ordered.cumsum(0)
    total = int(ends[-1]) if total is None else total
    # On a GPU few shapes come again and again: programs are compiled, and memory is found, for each of them.
    tokens = max(total, 1) if known else _rounded(total)
    place = torch.arange(tokens, device=lengths.device)
    index = torch.searchsorted(ends, place, right=True)
    inside = place < total
    index = index.clamp(max=len(lengths) - 1)
    begins = ends - ordered
    zero = torch.zeros(1, dtype=ends.dtype, device=ends.device)
    cu_seqlens = torch.cat([zero, ends, zero + tokens]).to(torch.int32)
    groups = None
    if known:
        groups = _groups(ordered, tokens)
    return Packing(
        row=order.gather(0, index),
        position=torch.where(inside, place - begins.gather(0, index), 0),
        inside=inside,
        lengths=lengths,
        cu_seqlens=cu_seqlens,
        longest=max(longest or tokens, tokens - total),
        groups=groups,
    )


def by_length(packed: Packing) -> Packing:
    """Return a packing of which the host knows the lengths; it waits once for a device that has them."""
    if packed.groups is not None:
        return packed
    return replace(packed, groups=_groups(packed.lengths.cpu().sort().values, len(packed.row)))


def readable(packed: Packing, head_width: int) -> Packing:
    """Return a packing that attention with heads of this width reads where it lies."""
    return packed if packs(packed.lengths.device, head_width) else by_length(packed)


def _is_host(lengths: Tensor) -> bool:
    return lengths.device.type == "cpu"


def _groups(ordered: Tensor, tokens: int) -> tuple[tuple[int, int], ...]:
    """Return (rows, length) of the rows of one length, shortest first, and behind them the filling.

    Args:
        ordered: lengths of the rows, shortest first, int64 [batch], on the CPU.
        tokens: of all rows and the filling.
    """
    sizes, counts = ordered.unique_consecutive(return_counts=True)  # type: ignore[no-untyped-call]
    groups = tuple((n, size) for n, size in zip(counts.tolist(), sizes.tolist(), strict=True) if size)
    filling = tokens - sum(rows * length for rows, length in groups)
    return groups + (((1, filling),) if filling else ())


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packed: Packing,
    *,
    scale: float | None = None,
    causal: bool = False,
    window: int | None = None,
) -> Tensor:
    """Return what each token takes from the tokens of its own row, [tokens, heads, head_width].

    Args:
        query: [tokens, heads, head_width].
        key, value: [tokens, key_heads, head_width]; their heads may be shared by several of the query.
        packed: how the rows lie.
        scale: of the products; 1/√head_width without.
        causal: see earlier tokens alone.
        window: see tokens at most so far away; all of the row without.
    """
    shared = query.shape[1] != key.shape[1]
    if packed.groups is None:
        from torch.nn.attention.varlen import varlen_attn  # imports torch's compiler, which takes seconds

        half = torch.get_autocast_dtype("cuda")
        reach = -1 if window is None else window
        said: dict[str, Any] = {}
        if shared and _SHARES_HEADS:
            said = {"enable_gqa": True}
        elif shared:
            times = query.shape[1] // key.shape[1]
            key, value = (part.repeat_interleave(times, dim=1) for part in (key, value))
        mixed = varlen_attn(
            query.to(half),
            key.to(half),
            value.to(half),
            packed.cu_seqlens,
            packed.cu_seqlens,
            packed.longest,
            packed.longest,
            scale=scale,
            window_size=(reach, 0 if causal else reach),
            **said,
        )
        assert isinstance(mixed, Tensor)
        return mixed
    sizes = [rows * length for rows, length in packed.groups]
    # split, whose backward is one copy, where slices would each have a gradient of the whole.
    pieces = (torch.split(part, sizes) for part in (query, key, value))
    parts = []
    for group, *tensors in zip(packed.groups, *pieces, strict=True):
        # [rows, heads, length, head_width]
        rows = [part.unflatten(0, group).transpose(1, 2) for part in tensors]
        mask = None
        if window is not None and window < group[1] - 1:
            mask = band(group[1], window, causal=causal, device=query.device)
        mixed = F.scaled_dot_product_attention(
            rows[0],
            rows[1],
            rows[2],
            attn_mask=mask,
            scale=scale,
            is_causal=causal and mask is None,
            enable_gqa=shared,
        )
        parts.append(mixed.transpose(1, 2).flatten(0, 1))
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def band(time: int, window: int, *, causal: bool, device: torch.device) -> Tensor:
    """Return which keys a query may see that sees `window` tokens to each side, bool [time, time]."""
    place = torch.arange(time, device=device)
    ahead = place.unsqueeze(0) - place.unsqueeze(1)
    return (ahead >= -window) & (ahead <= (0 if causal else window))


def _rounded(total: int) -> int:
    below = 1 << max(total - 1, 1).bit_length() - 1  # the power of two
    step = max(below // _STEPS, _LEAST_STEP)
    return -(-max(total, 1) // step) * step

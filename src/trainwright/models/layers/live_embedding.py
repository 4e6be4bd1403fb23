"""An embedding table of which only the rows that can be met are learned.

A pretrained vocabulary has 30,000 to 250,000 tokens, and a data set of some thousand texts meets few of them.
The gradient of the others is always zero, and without weight decay so is their update: leaving them out of
gradient and optimiser changes nothing but rounding, and saves a pass over most of the table in each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LiveEmbedding(nn.Module):
    """A table [ids, width] that learns the rows of its live ids; its state is that of the whole table.

    Attributes:
        weight: rows of the live ids, the ones that are learned [live, width].
        rest: the other rows [ids - live, width].
        place: where each id's row is, in `weight` and behind it in `rest`, int64 [ids].

    Args:
        table: the whole table.
        live: whether an id can be met in training, bool [ids]; another is an error there.
    """

    rest: Tensor
    place: Tensor

    def __init__(self, table: nn.Embedding, live: Tensor) -> None:
        super().__init__()
        order = torch.cat([live.nonzero().squeeze(1), (~live).nonzero().squeeze(1)])
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        device, count = table.weight.device, int(live.sum())
        rows = table.weight.detach()[order.to(device)]
        self.weight = nn.Parameter(rows[:count].clone(), requires_grad=table.weight.requires_grad)
        self.register_buffer("rest", rows[count:].clone(), persistent=False)
        self.register_buffer("place", place.to(device), persistent=False)
        padding = table.padding_idx
        self.padding_idx = int(place[padding]) if padding is not None and bool(live[padding]) else None

    def forward(self, ids: Tensor) -> Tensor:
        """Return [..., width] of int64 [...]."""
        place = self.place[ids]
        if self.training:
            return F.embedding(place, self.weight, self.padding_idx)
        count = len(self.weight)
        known = F.embedding(place.clamp(max=count - 1), self.weight, self.padding_idx)
        if not len(self.rest):
            return known
        others = F.embedding((place - count).clamp(min=0), self.rest)
        return torch.where((place < count).unsqueeze(-1), known, others)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        weight = self.weight if keep_vars else self.weight.detach()
        destination[f"{prefix}weight"] = torch.cat([weight, self.rest])[self.place]

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        whole = state_dict.get(f"{prefix}weight")
        if whole is None:
            missing_keys.append(f"{prefix}weight")
            return
        if whole.shape != (len(self.place), self.weight.shape[1]):
            error_msgs.append(f"{prefix}weight has the shape {tuple(whole.shape)}")
            return
        with torch.no_grad():
            rows = torch.empty_like(whole)
            rows[self.place.to(whole.device)] = whole
            self.weight.copy_(rows[: len(self.weight)])
            self.rest.copy_(rows[len(self.weight) :])


def ids_met(tokens: npt.NDArray[Any], vocabulary: int, *, piece: int = 1 << 22) -> Tensor:
    """Return whether each id occurs, bool [vocabulary]; `tokens` [total] may be memory-mapped."""
    met = np.zeros(vocabulary, dtype=bool)
    for start in range(0, len(tokens), piece):
        met[tokens[start : start + piece]] = True
    return torch.from_numpy(met)

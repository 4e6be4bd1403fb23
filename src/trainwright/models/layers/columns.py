"""Table columns as vectors, side by side or as tokens: one layer for all table encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.models.initialisation import Fill
from trainwright.models.layers.numbers import NumberEmbedding, number_specs

UNSEEN = 1
"""Index of a level that training did not have: all zeros, the level that others are measured from."""

ONE_HOT_LEVELS = 16
"""Up to so many levels a category is one-hot where columns are joined: no wider than an embedding."""


class CategoryEmbedding(nn.Module):
    """Category indices [batch, columns] → [batch, columns, width]; one table holds all columns' levels.

    Args:
        cardinalities: levels of each column, missing (0) and unseen (1) included.
        width: width of each column's embedding.
    """

    def __init__(self, cardinalities: Sequence[int], width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(sum(cardinalities), width))
        self.register_buffer("offsets", _offsets(cardinalities), persistent=False)

    offsets: Tensor
    no_decay = ("table",)

    def initialise_parameters(self, fill: Fill) -> None:
        """Fill the table within ±1/√width and the unseen level of every column with zeros."""
        del fill
        bound = self.table.shape[1] ** -0.5
        self.table.uniform_(-bound, bound)
        self.table[self.offsets + UNSEEN] = 0

    def forward(self, index: Tensor) -> Tensor:
        """Return [batch, columns, width]."""
        return nn.functional.embedding(index + self.offsets, self.table)


class OneHot(nn.Module):
    """Category indices [batch, columns] → [batch, all levels]; an unseen level is all zeros.

    Args:
        cardinalities: levels of each column, missing (0) and unseen (1) included.
    """

    def __init__(self, cardinalities: Sequence[int]) -> None:
        super().__init__()
        self.width = sum(cardinalities)
        self.register_buffer("offsets", _offsets(cardinalities), persistent=False)

    offsets: Tensor

    def forward(self, index: Tensor) -> Tensor:
        """Return float [batch, all levels]."""
        flat = torch.zeros(index.shape[0], self.width, device=index.device)
        return flat.scatter_(1, index + self.offsets, (index != UNSEEN).to(flat.dtype))


class JoinedColumns(nn.Module):
    """All columns of a table side by side, [batch, width]: what MLPs take.

    Numbers with bins or waves are embedded, others stay as they are; categories of up to `ONE_HOT_LEVELS`
    levels are one-hot, larger ones are embedded.

    Args:
        spec: {"dense": d, "index": [cardinality, ...], "bins": [edges or None, ...], "periodic": [bool,
            ...]}; the last two may be left out.
        number_width: width of a number's embedding.
        category_width: width of a large category's embedding.
    """

    def __init__(self, spec: Mapping[str, Any], *, number_width: int, category_width: int) -> None:
        super().__init__()
        numbers, cardinalities = number_specs(spec), list(map(int, spec["index"]))
        embedded = [column for column in numbers if column.embedded]
        small = [column for column, levels in enumerate(cardinalities) if levels <= ONE_HOT_LEVELS]
        large = [column for column, levels in enumerate(cardinalities) if levels > ONE_HOT_LEVELS]
        plain = [place for place, column in enumerate(numbers) if not column.embedded]
        rich = [place for place, column in enumerate(numbers) if column.embedded]
        self.numbers = NumberEmbedding(embedded, number_width) if embedded else None
        self.one_hot = OneHot([cardinalities[column] for column in small]) if small else None
        self.categories = (
            CategoryEmbedding([cardinalities[c] for c in large], category_width) if large else None
        )
        for name, chosen in (("plain", plain), ("rich", rich), ("small", small), ("large", large)):
            self.register_buffer(name, torch.tensor(chosen, dtype=torch.int64), persistent=False)
        self.width = (
            len(plain)
            + len(embedded) * number_width
            + (self.one_hot.width if self.one_hot else 0)
            + len(large) * category_width
        )

    plain: Tensor
    rich: Tensor
    small: Tensor
    large: Tensor

    def forward(self, dense: Tensor, index: Tensor) -> Tensor:
        """Return [batch, width] from dense [batch, d] and index int64 [batch, c]."""
        parts = [dense.index_select(1, self.plain)]
        if self.numbers is not None:
            parts.append(self.numbers(dense.index_select(1, self.rich)).flatten(1))
        if self.one_hot is not None:
            parts.append(self.one_hot(index.index_select(1, self.small)).to(dense.dtype))
        if self.categories is not None:
            parts.append(self.categories(index.index_select(1, self.large)).flatten(1))
        return torch.cat(parts, dim=1)


class ColumnTokens(nn.Module):
    """One vector a column, [batch, columns, width]: what attention takes (Gorishniy et al. 2021).

    Args:
        spec: as for `JoinedColumns`.
        width: width of a token.
    """

    def __init__(self, spec: Mapping[str, Any], width: int) -> None:
        super().__init__()
        numbers, cardinalities = number_specs(spec), list(map(int, spec["index"]))
        self.numbers = NumberEmbedding(numbers, width, bias=True) if numbers else None
        self.categories = CategoryEmbedding(cardinalities, width) if cardinalities else None
        self.category_bias = nn.Parameter(torch.empty(len(cardinalities), width)) if cardinalities else None

    no_decay = ("category_bias",)

    def initialise_parameters(self, fill: Fill) -> None:
        """Fill the bias that tells category columns apart."""
        del fill
        if self.category_bias is not None:
            bound = self.category_bias.shape[1] ** -0.5
            self.category_bias.uniform_(-bound, bound)

    def forward(self, dense: Tensor, index: Tensor) -> Tensor:
        """Return [batch, columns, width]: numbers first, then categories."""
        parts = []
        if self.numbers is not None:
            parts.append(self.numbers(dense))
        if self.categories is not None and self.category_bias is not None:
            parts.append(self.categories(index) + self.category_bias)
        return torch.cat(parts, dim=1)


def _offsets(cardinalities: Sequence[int]) -> Tensor:
    return torch.tensor([0, *cardinalities[:-1]], dtype=torch.int64).cumsum(0)

"""Table columns as vectors: numbers by piecewise-linear embeddings, categories by tables or one-hot.

Source: Gorishniy, Rubachev & Babenko 2022, 'On Embeddings for Numerical Features in Tabular Deep Learning'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.models.initialisation import Fill

UNSEEN = 1
"""Index of a level that training did not have: all zeros, the level that others are measured from."""

ONE_HOT_LEVELS = 16
"""Up to so many levels a category is one-hot where columns are joined: no wider than an embedding."""


class PiecewiseLinearEncoding(nn.Module):
    """Where a number lies among its column's bins: 1 for those below, the share passed of its own, 0 above.

    All columns are encoded in one padded operation. The first and the last bin go on in a straight line,
    so that numbers outside the training range stay apart.

    Args:
        bins: per column its edges in ascending order, at least two.
    """

    def __init__(self, bins: Sequence[Sequence[float]]) -> None:
        super().__init__()
        widest = max(len(edges) - 1 for edges in bins)
        start, inverse = torch.zeros(len(bins), widest), torch.zeros(len(bins), widest)
        lowest, highest = torch.zeros(len(bins), widest), torch.zeros(len(bins), widest)
        for column, edges in enumerate(bins):
            edge = torch.tensor(edges, dtype=torch.float64)
            assert (edge.diff() > 0).all(), "the edges of a column's bins must ascend"
            count = len(edges) - 1
            start[column, :count] = edge[:-1]
            inverse[column, :count] = 1 / edge.diff()
            highest[column, :count] = 1
            lowest[column, 0], highest[column, count - 1] = -math.inf, math.inf
        for name, value in (("start", start), ("inverse", inverse), ("lowest", lowest), ("highest", highest)):
            self.register_buffer(name, value)
        self.num_bins = widest

    start: Tensor  # each [columns, bins]
    inverse: Tensor
    lowest: Tensor
    highest: Tensor

    def forward(self, values: Tensor) -> Tensor:
        """Return [batch, columns, bins] from values [batch, columns]; bins a column does not have are 0."""
        passed = (values.unsqueeze(-1) - self.start) * self.inverse
        return torch.minimum(torch.maximum(passed, self.lowest), self.highest)


class NumberEmbedding(nn.Module):
    """Numbers [batch, columns] → [batch, columns, width], each column with weights of its own.

    A linear embedding, plus a linear map of the piecewise-linear encoding for columns with bins. The latter
    starts at 0, as in TabM (Gorishniy et al. 2024, 'version B'): training begins with smooth functions.

    Args:
        bins: per column its edges, or None for a column that is only linear (an indicator).
        width: width of each column's embedding.
        bias: whether each column has a bias.
    """

    def __init__(self, bins: Sequence[Sequence[float] | None], width: int, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(len(bins), width))
        self.bias = nn.Parameter(torch.empty(len(bins), width)) if bias else None
        binned = [column for column, edges in enumerate(bins) if edges is not None]
        self.all_binned = len(binned) == len(bins)
        self.encoding = PiecewiseLinearEncoding([e for e in bins if e is not None]) if binned else None
        if self.encoding is not None:
            self.register_buffer("binned", torch.tensor(binned), persistent=False)
            self.bin_weight = nn.Parameter(torch.empty(len(binned), self.encoding.num_bins, width))

    binned: Tensor
    no_decay = ("weight", "bias", "bin_weight")

    def initialise_parameters(self, fill: Fill) -> None:
        """Fill the linear part within ±1/√width (as both papers do), the part over the bins with zeros."""
        del fill  # one number in: there is no matrix to scale
        bound = self.weight.shape[1] ** -0.5
        self.weight.uniform_(-bound, bound)
        if self.bias is not None:
            self.bias.uniform_(-bound, bound)
        if self.encoding is not None:
            self.bin_weight.zero_()

    def forward(self, values: Tensor) -> Tensor:
        """Return [batch, columns, width]."""
        embedded = values.unsqueeze(-1) * self.weight
        if self.bias is not None:
            embedded = embedded + self.bias
        if self.encoding is None:
            return embedded
        binned = values if self.all_binned else values.index_select(1, self.binned)
        curved = torch.einsum("bcn,cnw->bcw", self.encoding(binned), self.bin_weight)
        return embedded + curved if self.all_binned else embedded.index_add(1, self.binned, curved)


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

    Numbers with bins are embedded, those without stay as they are; categories of up to `ONE_HOT_LEVELS`
    levels are one-hot, larger ones are embedded.

    Args:
        spec: {"dense": d, "index": [cardinality, ...], "bins": [edges or None, ...]}.
        number_width: width of a number's embedding.
        category_width: width of a large category's embedding.
    """

    def __init__(self, spec: Mapping[str, Any], *, number_width: int, category_width: int) -> None:
        super().__init__()
        bins, cardinalities = table_columns(spec)
        embedded = [edges for edges in bins if edges is not None]
        small = [column for column, levels in enumerate(cardinalities) if levels <= ONE_HOT_LEVELS]
        large = [column for column, levels in enumerate(cardinalities) if levels > ONE_HOT_LEVELS]
        plain = [column for column, edges in enumerate(bins) if edges is None]
        self.numbers = NumberEmbedding(embedded, number_width) if embedded else None
        self.one_hot = OneHot([cardinalities[column] for column in small]) if small else None
        self.categories = (
            CategoryEmbedding([cardinalities[c] for c in large], category_width) if large else None
        )
        curved = [column for column, edges in enumerate(bins) if edges is not None]
        for name, chosen in (("plain", plain), ("curved", curved), ("small", small), ("large", large)):
            self.register_buffer(name, torch.tensor(chosen, dtype=torch.int64), persistent=False)
        self.width = (
            len(plain)
            + len(embedded) * number_width
            + (self.one_hot.width if self.one_hot else 0)
            + len(large) * category_width
        )

    plain: Tensor
    curved: Tensor
    small: Tensor
    large: Tensor

    def forward(self, dense: Tensor, index: Tensor) -> Tensor:
        """Return [batch, width] from dense [batch, d] and index int64 [batch, c]."""
        parts = [dense.index_select(1, self.plain)]
        if self.numbers is not None:
            parts.append(self.numbers(dense.index_select(1, self.curved)).flatten(1))
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
        bins, cardinalities = table_columns(spec)
        self.numbers = NumberEmbedding(bins, width, bias=True) if bins else None
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


def table_columns(spec: Mapping[str, Any]) -> tuple[list[Sequence[float] | None], list[int]]:
    """Return the bins of every dense column (None without) and the cardinality of every category."""
    bins: list[Sequence[float] | None] = list(spec.get("bins") or [None] * int(spec["dense"]))
    assert len(bins) == spec["dense"], "a table's spec needs an entry in 'bins' for every dense column"
    return [edges if edges is not None and len(edges) > 1 else None for edges in bins], [
        int(c) for c in spec["index"]
    ]


def _offsets(cardinalities: Sequence[int]) -> Tensor:
    return torch.tensor([0, *cardinalities[:-1]], dtype=torch.int64).cumsum(0)

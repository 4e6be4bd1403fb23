"""Numbers as vectors: linear, with bends at bins, or with waves.

Source: Gorishniy, Rubachev & Babenko 2022, 'On Embeddings for Numerical Features in Tabular Deep Learning'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.models.initialisation import Fill

NUM_FREQUENCIES = 48
FREQUENCY_STD = 0.01
"""Waves of a periodic column and the deviation of their first frequencies: as the authors' package."""


@dataclass(frozen=True)
class NumberSpec:
    """How one dense column enters the model.

    Attributes:
        bins: edges in ascending order, at least two; None without.
        periodic: whether it is embedded by waves.
    """

    bins: Sequence[float] | None = None
    periodic: bool = False

    @property
    def embedded(self) -> bool:
        """Whether the column is more than a number (an indicator is not)."""
        return self.periodic or self.bins is not None


def number_specs(spec: Mapping[str, Any]) -> list[NumberSpec]:
    """Return what a table's spec says of each dense column."""
    width = int(spec["dense"])
    bins = spec.get("bins") or [None] * width
    periodic = spec.get("periodic") or [False] * width
    assert len(bins) == len(periodic) == width, "a table's spec needs an entry for every dense column"
    return [
        NumberSpec(edges if edges is not None and len(edges) > 1 else None, bool(waves))
        for edges, waves in zip(bins, periodic, strict=True)
    ]


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


class Waves(nn.Module):
    """Sines and cosines of a number at learned frequencies, 2π·f·x.

    Args:
        columns: number of columns, each with frequencies of its own.
    """

    no_decay = ("frequency",)

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.empty(columns, NUM_FREQUENCIES))

    def initialise_parameters(self, fill: Fill) -> None:
        """Fill the frequencies; low ones, so that training begins with smooth functions."""
        del fill
        nn.init.trunc_normal_(self.frequency, std=FREQUENCY_STD, a=-3 * FREQUENCY_STD, b=3 * FREQUENCY_STD)

    def forward(self, values: Tensor) -> Tensor:
        """Return [batch, columns, 2 · NUM_FREQUENCIES] from values [batch, columns]."""
        angle = 2 * math.pi * self.frequency * values.unsqueeze(-1)
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


class ColumnwiseLinear(nn.Module):
    """Features [batch, columns, n] → [batch, columns, width], a matrix for each column.

    Args:
        columns: number of columns.
        inputs: n.
        width: width out.
        start_at_zero: whether it begins as nothing.
    """

    no_decay = ("weight",)

    def __init__(self, columns: int, inputs: int, width: int, *, start_at_zero: bool) -> None:
        super().__init__()
        self.start_at_zero = start_at_zero
        self.weight = nn.Parameter(torch.empty(columns, inputs, width))

    def initialise_parameters(self, fill: Fill) -> None:
        """Fill within ±1/√n, or with zeros."""
        del fill
        bound = 0.0 if self.start_at_zero else self.weight.shape[1] ** -0.5
        self.weight.uniform_(-bound, bound)

    def forward(self, features: Tensor) -> Tensor:
        """Return [batch, columns, width]."""
        return torch.einsum("bcn,cnw->bcw", features, self.weight)


class NumberEmbedding(nn.Module):
    """Numbers [batch, columns] → [batch, columns, width], each column with weights of its own.

    A linear embedding, plus a linear map of the piecewise-linear encoding for columns with bins, plus one of
    waves for periodic columns. The map of the bins starts at 0, as in TabM (Gorishniy et al. 2024, 'version
    B'): training begins with smooth functions.

    Args:
        columns: what each column is.
        width: width of each column's embedding.
        bias: whether each column has a bias.
    """

    no_decay = ("weight", "bias")

    def __init__(self, columns: Sequence[NumberSpec], width: int, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(len(columns), width))
        self.bias = nn.Parameter(torch.empty(len(columns), width)) if bias else None
        bins = {place: column.bins for place, column in enumerate(columns) if column.bins is not None}
        periodic = [place for place, column in enumerate(columns) if column.periodic]
        self.parts = nn.ModuleList()
        self.places: list[str] = []
        if bins:
            encoding = PiecewiseLinearEncoding(list(bins.values()))
            linear = ColumnwiseLinear(len(bins), encoding.num_bins, width, start_at_zero=True)
            self._add(nn.Sequential(encoding, linear), list(bins))
        if periodic:
            linear = ColumnwiseLinear(len(periodic), 2 * NUM_FREQUENCIES, width, start_at_zero=False)
            self._add(nn.Sequential(Waves(len(periodic)), linear), periodic)

    def _add(self, part: nn.Module, places: list[int]) -> None:
        self.places.append(f"places_{len(self.parts)}")
        self.register_buffer(self.places[-1], torch.tensor(places), persistent=False)
        self.parts.append(part)

    def initialise_parameters(self, fill: Fill) -> None:
        """Fill the linear part within ±1/√width, as both papers do."""
        del fill  # one number in: there is no matrix to scale
        bound = self.weight.shape[1] ** -0.5
        self.weight.uniform_(-bound, bound)
        if self.bias is not None:
            self.bias.uniform_(-bound, bound)

    def forward(self, values: Tensor) -> Tensor:
        """Return [batch, columns, width]."""
        embedded = values.unsqueeze(-1) * self.weight
        if self.bias is not None:
            embedded = embedded + self.bias
        for part, name in zip(self.parts, self.places, strict=True):
            places = self.get_buffer(name)
            if len(places) == values.shape[1]:
                embedded = embedded + part(values)
            else:
                embedded = embedded.index_add(1, places, part(values.index_select(1, places)))
        return embedded

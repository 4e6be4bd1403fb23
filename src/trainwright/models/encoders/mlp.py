"""A multilayer perceptron: the plain deep baseline for tables and small images.

Sources: Rosenblatt 1958; Rumelhart, Hinton & Williams 1986. As a baseline for tables: Gorishniy et al. 2021,
'Revisiting Deep Learning Models for Tabular Data'.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainwright.models.base import ENCODERS, Encoder
from trainwright.models.initialisation import initialise
from trainwright.models.layers.columns import JoinedColumns
from trainwright.models.layers.dropout import Dropout
from trainwright.models.options import ScratchOptions, only

MAX_SIDE = 32
"""Larger images are averaged down to this side: a matrix over every pixel would be all of the model."""


class MlpOptions(ScratchOptions):
    """Options of `mlp`."""

    width: int = Field(256, ge=1, description="Units of a hidden layer.")
    depth: int = Field(3, ge=1, description="Hidden layers.")
    number_width: int = Field(
        16, ge=1, description="Width of a number's embedding.", json_schema_extra=only("table")
    )
    category_width: int = Field(
        16,
        ge=1,
        description="Width of the embedding of a category with many levels.",
        json_schema_extra=only("table"),
    )

    @classmethod
    def for_size(cls, size: str) -> dict[str, Any]:
        """Return width and depth for the size dial."""
        width, depth = {"tiny": (64, 2), "small": (256, 3), "base": (512, 3), "large": (1024, 4)}[size]
        return {"width": width, "depth": depth}


@ENCODERS.register("mlp")
class Mlp(Encoder):
    """Linear layers with ReLU and dropout between them."""

    modalities = ("table", "image")
    Options = MlpOptions

    def __init__(self, spec: dict[str, Any], options: MlpOptions, modality: str) -> None:
        super().__init__(spec, options, modality)
        self.columns = None
        if modality == "table":
            self.columns = JoinedColumns(
                spec, number_width=options.number_width, category_width=options.category_width
            )
            inputs = self.columns.width
        else:
            self.grid = (min(int(spec["height"]), MAX_SIDE), min(int(spec["width"]), MAX_SIDE))
            inputs = int(spec["channels"]) * self.grid[0] * self.grid[1]
        layers: list[nn.Module] = []
        for _ in range(options.depth):
            layers += [nn.Linear(inputs, options.width), nn.ReLU(), Dropout(options.dropout)]
            inputs = options.width
        self.layers = nn.Sequential(*layers)
        self.width = options.width
        initialise(self, options.initialisation, matrices="he")

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return [batch, 1, width]."""
        if self.columns is not None:
            dense, index = inputs
            flat = self.columns(dense, index)
        else:
            (pixels,) = inputs
            small = pixels if pixels.shape[2:] == self.grid else F.adaptive_avg_pool2d(pixels, self.grid)
            flat = small.flatten(1)
        return self.layers(flat).unsqueeze(1)  # type: ignore[no-any-return]

"""TabM: a parameter-efficient ensemble of multilayer perceptrons, the default for tables.

Source: Gorishniy, Kotelnikov & Babenko 2024, 'TabM: Advancing Tabular Deep Learning with
Parameter-Efficient Ensembling' (ICLR 2025). Members share their matrices and differ by element-wise scales
and biases (BatchEnsemble, Wen et al. 2020); they are trained side by side, each with its own loss, and
averaged for a prediction.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from pydantic import Field
from torch import Tensor, nn

from trainwright.models.base import ENCODERS, Encoder
from trainwright.models.initialisation import initialise
from trainwright.models.layers.columns import JoinedColumns
from trainwright.models.layers.dropout import Dropout
from trainwright.models.layers.ensemble import SharedLinear
from trainwright.models.options import ScratchOptions


class TabMOptions(ScratchOptions):
    """Options of `tabm`."""

    members: int = Field(8, ge=1, description="Models in the ensemble.")
    width: int = Field(128, ge=1, description="Units of a hidden layer.")
    depth: int = Field(2, ge=1, description="Hidden layers.")
    number_width: int = Field(16, ge=1, description="Width of a number's embedding.")
    category_width: int = Field(
        16, ge=1, description="Width of the embedding of a category with many levels."
    )

    @classmethod
    def for_size(cls, size: str) -> dict[str, Any]:
        """Return members, width and depth for the size dial; `large` is near the paper's default."""
        members, width, depth = {
            "tiny": (4, 64, 2),
            "small": (8, 128, 2),
            "base": (16, 256, 2),
            "large": (32, 512, 3),
        }[size]
        return {"members": members, "width": width, "depth": depth}


@ENCODERS.register("tabm")
class TabM(Encoder):
    """Linear layers shared by all members, with ReLU and dropout between them."""

    modalities = ("table",)
    Options = TabMOptions
    learning_rate = 5e-3

    def __init__(self, spec: dict[str, Any], options: TabMOptions, modality: str) -> None:
        super().__init__(spec, options, modality)
        self.columns = JoinedColumns(
            spec, number_width=options.number_width, category_width=options.category_width
        )
        widths = [self.columns.width, *[options.width] * options.depth]
        self.layers = nn.ModuleList(
            SharedLinear(inputs, outputs, options.members, first=layer == 0)
            for layer, (inputs, outputs) in enumerate(pairwise(widths))
        )
        self.dropout = Dropout(options.dropout)
        self.width, self.members = options.width, options.members
        initialise(self, options.initialisation, matrices="he")

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return [batch, members, width]."""
        dense, index = inputs
        hidden = self.columns(dense, index).unsqueeze(1)
        for layer in self.layers:
            hidden = self.dropout(layer(hidden).relu())
        return hidden  # type: ignore[no-any-return]

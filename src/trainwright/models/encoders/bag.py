"""A bag of tokens and bigrams: the fastest text encoder.

Source: Joulin, Grave, Bojanowski & Mikolov 2016, 'Bag of Tricks for Efficient Text Classification'
(fastText).
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor

from trainwright.models.base import ENCODERS, Encoder
from trainwright.models.initialisation import initialise
from trainwright.models.layers.bags import TokenBag
from trainwright.models.layers.dropout import Dropout
from trainwright.models.options import ScratchOptions


class BagOptions(ScratchOptions):
    """Options of `bag`."""

    dropout: float = Field(0.3, ge=0, lt=1, description="Share of the text's vector dropped in training.")
    width: int = Field(128, ge=1, description="Width of the text's vector.")
    rank: int = Field(16, ge=1, description="Width of the vectors of tokens and bigrams.")
    buckets: int = Field(2**18, ge=1, description="Rows that bigrams are hashed to.")
    token_dropout: float = Field(
        0.2, ge=0, lt=1, description="Share of tokens and bigrams left out in training."
    )

    @classmethod
    def for_size(cls, size: str) -> dict[str, Any]:
        """Return widths and buckets for the size dial."""
        width, rank, buckets = {
            "tiny": (32, 8, 2**14),
            "small": (128, 16, 2**18),
            "base": (256, 32, 2**18),
            "large": (256, 32, 2**20),
        }[size]
        return {"width": width, "rank": rank, "buckets": buckets}


@ENCODERS.register("bag")
class Bag(Encoder):
    """The bag's vector as it is: a linear head on it is fastText."""

    modalities = ("text",)
    Options = BagOptions
    learning_rate = 1e-3

    def __init__(self, spec: dict[str, Any], options: BagOptions, modality: str) -> None:
        super().__init__(spec, options, modality)
        self.bag = TokenBag(
            int(spec["vocabulary"]),
            options.width,
            rank=options.rank,
            buckets=options.buckets,
            token_dropout=options.token_dropout,
        )
        self.dropout = Dropout(options.dropout)
        self.width = options.width
        initialise(self, options.initialisation)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return [batch, 1, width]."""
        tokens, lengths = inputs
        return self.dropout(self.bag(tokens, lengths)).unsqueeze(1)  # type: ignore[no-any-return]

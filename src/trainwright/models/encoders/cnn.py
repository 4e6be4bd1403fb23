"""Convolutional networks: for text beside a bag of tokens, and plain ones for pictures and spectrograms.

Sources: Kim 2014, 'Convolutional Neural Networks for Sentence Classification' (text); LeCun et al. 1998,
'Gradient-Based Learning Applied to Document Recognition', with batch norm, ReLU and 3x3 kernels as Simonyan &
Zisserman 2015 (pictures); Hershey et al. 2017 (spectrograms as pictures).

On text it has two members, Kim's network and a bag (`layers/bags.py`), with tables of their own; each is
trained by its own loss and their probabilities are averaged. `docs/decisions/text-encoder.md` has figures.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainwright.models.base import ENCODERS, Encoder
from trainwright.models.initialisation import initialise
from trainwright.models.layers.bags import TokenBag
from trainwright.models.layers.dropout import Dropout
from trainwright.models.layers.masking import drop_positions, length_mask, masked_max
from trainwright.models.layers.planes import ConvNorm, as_plane, half_size, plane_mean
from trainwright.models.options import ScratchOptions, only

KERNELS = (2, 3, 4, 5)
"""Tokens that the text filters span, a quarter of the filters each."""


class CnnOptions(ScratchOptions):
    """Options of `cnn`."""

    dropout: float = Field(0.2, ge=0, lt=1, description="Share of activations dropped in training.")
    width: int = Field(
        128,
        ge=4,
        multiple_of=4,
        description="Width of a token's vector, and filters.",
        json_schema_extra=only("text"),
    )
    rank: int = Field(16, ge=1, description="Width of a vector in the bag.", json_schema_extra=only("text"))
    buckets: int = Field(
        2**18, ge=1, description="Rows that bigrams of the bag are hashed to.", json_schema_extra=only("text")
    )
    token_dropout: float = Field(
        0.1, ge=0, lt=1, description="Share of tokens left out in training.", json_schema_extra=only("text")
    )
    channels: tuple[int, ...] = Field(
        (32, 64, 128),
        min_length=1,
        description="Filters of each layer; each but the last halves the picture.",
        json_schema_extra=only("image", "audio"),
    )

    @classmethod
    def for_size(cls, size: str) -> dict[str, Any]:
        """Return widths for the size dial."""
        width, rank, buckets, channels = {
            "tiny": (32, 8, 2**14, (16, 32)),
            "small": (128, 16, 2**18, (32, 64, 128)),
            "base": (256, 32, 2**18, (64, 128, 256)),
            "large": (512, 32, 2**20, (64, 128, 256, 512)),
        }[size]
        return {"width": width, "rank": rank, "buckets": buckets, "channels": channels}


class TextConvolutions(nn.Module):
    """Filters over neighbouring tokens, each at the place where it answers most (Kim 2014)."""

    def __init__(self, vocabulary: int, width: int, *, dropout: float, token_dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.filters = nn.ModuleList(nn.Conv1d(width, width // len(KERNELS), kernel) for kernel in KERNELS)
        self.dropout, self.token_dropout = Dropout(dropout), token_dropout

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return [batch, width]; an empty row gives zeros."""
        tokens = F.pad(tokens, (0, max(0, 1 - tokens.shape[1])))
        mask = length_mask(lengths, tokens.shape[1])
        kept = drop_positions(mask, self.token_dropout if self.training else 0.0)
        hidden = (self.dropout(self.embedding(tokens)) * kept.unsqueeze(-1)).transpose(1, 2)
        answers = []
        for kernel, layer in zip(KERNELS, self.filters, strict=True):
            same = F.pad(hidden, ((kernel - 1) // 2, kernel // 2))
            answers.append(masked_max(layer(same).relu().transpose(1, 2), mask))
        return torch.cat(answers, dim=1)


class TextCnn(nn.Module):
    """Kim's network and a bag of tokens as two members."""

    members = 2

    def __init__(self, spec: dict[str, Any], options: CnnOptions) -> None:
        super().__init__()
        vocabulary = int(spec["vocabulary"])
        self.convolutions = TextConvolutions(
            vocabulary, options.width, dropout=options.dropout, token_dropout=options.token_dropout
        )
        self.bag = TokenBag(
            vocabulary,
            options.width,
            rank=options.rank,
            buckets=options.buckets,
            token_dropout=options.token_dropout,
        )
        self.width = options.width

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return [batch, 2, width]."""
        return torch.stack([self.convolutions(tokens, lengths), self.bag(tokens, lengths)], dim=1)


class PlaneCnn(nn.Module):
    """3x3 convolutions with batch norm and ReLU, halved in between, and the mean over each row's own area."""

    members = 1

    def __init__(self, channels: int, options: CnnOptions) -> None:
        super().__init__()
        widths = [channels, *options.channels]
        self.layers = nn.ModuleList(ConvNorm(inputs, outputs) for inputs, outputs in pairwise(widths))
        self.width = widths[-1]

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return [batch, 1, width]."""
        maps, heights = as_plane(inputs)
        for place, layer in enumerate(self.layers):
            maps, heights = layer(maps, heights)
            if place < len(self.layers) - 1:
                maps, heights = half_size(maps, heights)
            maps = maps.relu_()
        return plane_mean(maps, heights).unsqueeze(1)


@ENCODERS.register("cnn")
class Cnn(Encoder):
    """Convolutions by the kind of input, and dropout."""

    modalities = ("text", "image", "audio")
    Options = CnnOptions
    learning_rate = 1e-3

    def __init__(self, spec: dict[str, Any], options: CnnOptions, modality: str) -> None:
        super().__init__(spec, options, modality)
        body: TextCnn | PlaneCnn
        if modality == "text":
            body = TextCnn(spec, options)
        else:
            body = PlaneCnn(int(spec["channels"]) if modality == "image" else 1, options)
        self.body, self.dropout = body, Dropout(options.dropout)
        self.width, self.members = body.width, body.members
        initialise(self, options.initialisation, matrices="he")

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return [batch, members, width]."""
        return self.dropout(self.body(*inputs))  # type: ignore[no-any-return]

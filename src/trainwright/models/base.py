"""What an encoder is: one input to one vector a row, and how encoders are named.

A new encoder is one new file in `models/encoders` with a subclass under `@ENCODERS.register("name")`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from trainwright.foundation.registry import Registry

SIZES = ("tiny", "small", "base", "large")


class EncoderOptions(BaseModel):
    """The options of an encoder. `for_size` gives the defaults that `model.size` stands for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def for_size(cls, size: str) -> dict[str, Any]:
        """Return the fields that follow from the size dial."""
        return {}


class Encoder(nn.Module):
    """One input → [batch, members, width].

    `members` is 1 except for encoders that are parameter-efficient ensembles (TabM); fusion and heads keep
    the axis, tasks average over it.

    What `forward` receives, by modality:
        table: dense float [batch, d] and index int64 [batch, c]
        text: tokens int64 [batch, time] and lengths int64 [batch]; where `takes_total`, also the sum of the
            lengths, or None
        image: pixels float [batch, channels, height, width]
        audio, sequence: frames float [batch, time, d] and lengths int64 [batch]
    A padded position never changes the result; rows do not see each other.

    Class attributes:
        modalities: the kinds of input it takes.
        Options: its options model.
        learning_rate: a good AdamW peak for it.
        products: whether its work is mostly products of large matrices, which bfloat16 speeds up on a CPU.
        takes_total: whether it packs texts, for which the host must know how many tokens there are.
    """

    modalities: ClassVar[tuple[str, ...]]
    Options: ClassVar[type[EncoderOptions]] = EncoderOptions
    learning_rate: ClassVar[float] = 1e-3
    products: ClassVar[bool] = False
    takes_total: ClassVar[bool] = False

    width: int
    members: int = 1

    @abstractmethod
    def __init__(self, spec: dict[str, Any], options: Any, modality: str) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, *inputs: Any) -> torch.Tensor:
        """Return [batch, members, width]."""


ENCODERS: Registry[type[Encoder]] = Registry("encoder", package="trainwright.models.encoders")

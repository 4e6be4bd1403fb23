"""What a fusion is: several inputs' vectors to one, though any of them may be missing in a row.

A new fusion is one new file in this folder with a subclass under `@FUSIONS.register("name")`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trainwright.foundation.registry import Registry
from trainwright.models.initialisation import Fill


class Fusion(nn.Module):
    """Vectors of named inputs → [batch, views · members, width].

    With several inputs there are views: all inputs together, and each input alone, the others hidden as if
    they were missing. Every view is trained by its own loss, because inputs overfit at different speeds
    (Wang, Tran & Feiszli 2020, 'What Makes Training Multi-modal Classification Networks Hard?'); how much
    each counts is learned on validation rows afterwards. So an input that says nothing does little harm.

    Where an input is missing, a learned vector of its own stands in for it. In training whole inputs are
    hidden at random from the first view (modality dropout, Neverova et al. 2016, 'ModDrop'), but never all
    that a row has. A single input passes through unchanged.

    Args:
        widths: input name → width of its vectors.
        width: width of the result, for fusions that project.
        dropout: share of activations dropped in training.
        modality_dropout: chance that an input of a training row is hidden.

    Attributes:
        width: width of the result.
        views: number of views; 1 with a single input.
    """

    width: int

    def __init__(
        self, widths: Mapping[str, int], *, width: int, dropout: float = 0.0, modality_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.names = tuple(widths)
        self.modality_dropout = modality_dropout
        self.alone = len(self.names) == 1
        self.views = 1 if self.alone else 1 + len(self.names)
        if self.alone:
            self.width = widths[self.names[0]]
            return
        self.missing = MissingVectors(widths)
        self.width = self.join(dict(widths), width, dropout)

    @abstractmethod
    def join(self, widths: dict[str, int], width: int, dropout: float) -> int:
        """Make the modules that `fuse` needs and return the width of its result."""

    @abstractmethod
    def fuse(self, vectors: list[Tensor], present: Tensor) -> Tensor:
        """Return [batch, members, width].

        Args:
            vectors: one [batch, members_i, width_i] an input, missing ones replaced; members_i is
                `members` or 1.
            present: bool [batch, inputs].
        """

    def forward(self, vectors: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """Return [batch, views · members, width], where `members` is the largest of the inputs.

        Args:
            vectors: input name → [batch, members_i, width_i].
            present: bool [batch, inputs], in the order of `widths`.
        """
        ordered = [vectors[name] for name in self.names]
        if self.alone:
            return ordered[0]
        members = max(vector.shape[1] for vector in ordered)
        ordered = [with_members(vector, members) for vector in ordered]
        together = present
        if self.training and self.modality_dropout:
            together = hide_inputs(present, self.modality_dropout)
        alone = torch.eye(len(self.names), dtype=torch.bool, device=present.device)
        shown = [together, *(present & only for only in alone)]
        return torch.cat([self.fuse(self.missing(ordered, there), there) for there in shown], dim=1)


class MissingVectors(nn.Module):
    """A learned vector for every input, which stands in where the input is missing."""

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.vectors = nn.ParameterList(nn.Parameter(torch.empty(width)) for width in widths.values())

    def initialise_parameters(self, fill: Fill) -> None:
        """Start at 0: a missing input says nothing yet."""
        del fill
        for vector in self.vectors:
            vector.zero_()

    def forward(self, vectors: list[Tensor], present: Tensor) -> list[Tensor]:
        """Return the inputs' vectors [batch, members_i, width_i] with the missing ones replaced."""
        return [
            torch.where(present[:, place, None, None], vector, stand_in.to(vector.dtype))
            for place, (vector, stand_in) in enumerate(zip(vectors, self.vectors, strict=True))
        ]


def hide_inputs(present: Tensor, share: float) -> Tensor:
    """Return `present` with inputs hidden at random, each with this chance, but never all that a row has.

    A row about to lose everything keeps the input that its own draws would have hidden last.

    Args:
        present: bool [batch, inputs].
        share: chance of an input to be hidden.
    """
    draw = torch.rand(present.shape, device=present.device).masked_fill(~present, -1)
    last = draw == draw.amax(dim=1, keepdim=True)
    return present & ((draw >= share) | last)


def with_members(vectors: Tensor, members: int) -> Tensor:
    """Return [batch, members, width] from fewer members, taken in turn; a single one is left to broadcast."""
    own = vectors.shape[1]
    if own in {1, members}:
        return vectors
    return vectors[:, torch.arange(members, device=vectors.device) % own]


def members_of(vectors: list[Tensor]) -> int:
    """Return the largest number of members among vectors [batch, members_i, width_i]."""
    return max(vector.shape[1] for vector in vectors)


FUSIONS: Registry[type[Fusion]] = Registry("fusion", package="trainwright.models.fusion")

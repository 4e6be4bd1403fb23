"""Gates that decide, feature by feature, which input speaks.

Source: Arevalo, Solorio, Montes-y-Gómez & González 2017, 'Gated Multimodal Units for Information Fusion', in
its form for more than two inputs: the gates are a softmax over inputs, so they share one voice between them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainwright.models.fusion.base import FUSIONS, Fusion, members_of
from trainwright.models.layers.dropout import Dropout


@FUSIONS.register("gated")
class Gated(Fusion):
    """Σ gateᵢ ∘ tanh(Wᵢ xᵢ), the gates computed from all inputs."""

    def join(self, widths: dict[str, int], width: int, dropout: float) -> int:
        """Make the projections and the gates."""
        self.norms = nn.ModuleList(nn.LayerNorm(own) for own in widths.values())
        self.project = nn.ModuleList(nn.Linear(own, width) for own in widths.values())
        self.gates = nn.ModuleList(nn.Linear(own, width * len(widths)) for own in widths.values())
        self.dropout = Dropout(dropout)
        return width

    def fuse(self, vectors: list[Tensor], present: Tensor) -> Tensor:
        """Return [batch, members, width]."""
        members, inputs = members_of(vectors), len(vectors)
        normed = [norm(vector) for norm, vector in zip(self.norms, vectors, strict=True)]
        # A linear layer of joined vectors is the sum of one for each: no need to join different members.
        scores = sum(
            (gate(v) for gate, v in zip(self.gates, normed, strict=True)), start=normed[0].new_zeros(())
        )
        gates = scores.unflatten(-1, (inputs, -1)).softmax(dim=-2)  # [batch, members, inputs, width]
        values = torch.stack(
            [layer(v).tanh().expand(-1, members, -1) for layer, v in zip(self.project, normed, strict=True)],
            dim=2,
        )
        return self.dropout((gates * values).sum(dim=2))  # type: ignore[no-any-return]

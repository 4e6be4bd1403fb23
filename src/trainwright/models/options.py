"""What the options of encoders share."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from trainwright.models.base import EncoderOptions
from trainwright.models.initialisation import Scheme


def only(*modalities: str) -> dict[str, Any]:
    """Return the `json_schema_extra` of an option that has an effect on these kinds of input only."""
    return {"modalities": list(modalities)}


class ScratchOptions(EncoderOptions):
    """Options of every encoder that starts from random weights."""

    dropout: float = Field(0.1, ge=0, lt=1, description="Share of activations dropped in training.")
    initialisation: Scheme = Field(
        "auto",
        description="Initial weights: xavier, he, truncated_normal or orthogonal; by the architecture.",
    )

"""Small inputs of every kind, for all tests of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trainwright.models.base import ENCODERS, Encoder

SPECS: dict[str, dict[str, Any]] = {
    "table": {
        "dense": 4,
        "index": [4, 40, 5],
        "bins": [[-1.0, 0.0, 0.5, 2.0], None, [-2.0, 2.0], None],
        "periodic": [False, False, False, True],
    },
    "text": {"vocabulary": 60, "pad": 0, "max_tokens": 32},
    "image": {"channels": 3, "height": 20, "width": 18, "mean": [0.5] * 3, "std": [0.25] * 3, "augment": {}},
    "audio": {"sample_rate": 8000, "mels": 16},
    "sequence": {"width": 3, "max_length": 32},
}

Inputs = tuple[Tensor, ...]


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same numbers."""
    torch.manual_seed(0)


@pytest.fixture
def specs() -> dict[str, dict[str, Any]]:
    """Kind of input → the spec of a small one."""
    return SPECS


@pytest.fixture
def make_inputs() -> Callable[..., Inputs]:
    """Make encoder inputs of a kind; rows have the given lengths where there is a time axis."""

    def make(modality: str, lengths: tuple[int, ...] = (5, 11, 8, 3)) -> Inputs:
        batch, spec = len(lengths), SPECS[modality]
        if modality == "table":
            index = torch.stack([torch.randint(0, levels, (batch,)) for levels in spec["index"]], dim=1)
            return torch.randn(batch, spec["dense"]), index
        if modality == "image":
            return (torch.randn(batch, spec["channels"], spec["height"], spec["width"]),)
        time, rows = max(lengths), torch.tensor(lengths)
        inside = torch.arange(time) < rows[:, None]
        if modality == "text":
            return torch.randint(1, spec["vocabulary"], (batch, time)) * inside, rows
        width = spec["mels"] if modality == "audio" else spec["width"]
        return torch.randn(batch, time, width) * inside[:, :, None], rows

    return make


@pytest.fixture
def make_encoder() -> Callable[..., Encoder]:
    """Make an encoder by name for a kind of input, at a size, with options on top."""

    def make(name: str, modality: str, size: str = "tiny", **options: Any) -> Encoder:
        encoder = ENCODERS[name]
        checked = encoder.Options.model_validate(encoder.Options.for_size(size) | options)
        return encoder(SPECS[modality], checked, modality)

    return make

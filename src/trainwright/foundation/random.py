"""Named random streams: every draw of a run comes from its seed and from a name that says what for."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def stream_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for the stream `names` of a run with this `seed`.

    Streams of different names are independent; the same name always gives the same stream, whatever
    else was drawn before.
    """
    # JSON keeps ("a", "b") apart from ("a/b",) and 1 from "1"; int() takes NumPy's whole numbers too.
    text = json.dumps([int(seed), *(name if isinstance(name, str) else int(name) for name in names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def numpy_stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the NumPy generator of a named stream."""
    return np.random.Generator(np.random.PCG64(stream_seed(seed, *names)))


def torch_stream(seed: int, *names: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """Return the torch generator of a named stream on `device`."""
    import torch

    return torch.Generator(device=device).manual_seed(stream_seed(seed, *names))

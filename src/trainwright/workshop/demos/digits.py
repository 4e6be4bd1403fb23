"""Pictures of handwritten digits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainwright.workshop.demos import DEMOS


@DEMOS.register("digits")
def digits() -> Mapping[str, Any]:
    """Return 1,797 pictures of handwritten digits, 8 x 8 (Alpaydin & Kaynak 1998), and which it is."""
    import numpy as np
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = np.round(found.images * (255 / 16)).astype(np.uint8)
    data = {"picture": pixels, "digit": found.target.astype(np.int64)}
    return {"data": data, "target": "digit"}

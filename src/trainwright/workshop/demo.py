"""`demo`: the whole way on real data that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainwright.foundation.registry import Registry
from trainwright.workshop.run import Run
from trainwright.workshop.train import train

DEMOS: Registry[Any] = Registry("demo", package="trainwright.workshop")


@DEMOS.register("digits")
def _digits() -> tuple[Any, str]:
    """Return 1,797 pictures of handwritten digits, 8 x 8 (Alpaydin & Kaynak 1998), and the target."""
    import numpy as np
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = np.round(found.images * (255 / 16)).astype(np.uint8)
    return {"picture": pixels, "digit": found.target.astype(np.int64)}, "digit"


@DEMOS.register("cancer")
def _cancer() -> tuple[Any, str]:
    """Return 569 tumours in 30 measurements (Wolberg et al. 1995) and the target."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    frame = {str(name): found.data[:, i] for i, name in enumerate(found.feature_names)}
    return {**frame, "diagnosis": found.target_names[found.target]}, "diagnosis"


def demo(name: str = "digits", *, run: str | Path | None = None, quiet: bool = True) -> Run:
    """Train on data that comes with scikit-learn.

    Args:
        name: "digits" (pictures) or "cancer" (a table).
        run: run folder to make.
        quiet: say nothing on standard error.
    """
    frame, target = DEMOS[name]()
    return train(frame, target=target, run=run, quiet=quiet)

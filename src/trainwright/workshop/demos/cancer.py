"""A table of tumours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainwright.workshop.demos import DEMOS


@DEMOS.register("cancer")
def cancer() -> Mapping[str, Any]:
    """Return 569 tumours in 30 measurements (Wolberg et al. 1995) and what it was."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    frame = {str(name): found.data[:, i] for i, name in enumerate(found.feature_names)}
    data = {**frame, "diagnosis": found.target_names[found.target]}
    return {"data": data, "target": "diagnosis"}

"""Python's own source, for a small language model."""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainwright.foundation.errors import DataError
from trainwright.workshop.demos import DEMOS

_MOST_CHARACTERS = 3_000_000


@DEMOS.register("words")
def words() -> Mapping[str, Any]:
    """Return modules of the standard library of the Python that runs this, and what to learn of them."""
    library = Path(sysconfig.get_paths()["stdlib"])
    texts: list[str] = []
    characters = 0
    for path in sorted(library.glob("*.py")):
        if characters > _MOST_CHARACTERS:
            break
        texts.append(path.read_text(encoding="utf-8", errors="ignore"))
        characters += len(texts[-1])
    if not texts:
        raise DataError(
            "this Python comes without the source of its library", where=str(library), fix="use another demo"
        )
    settings = {"evaluation.prompts": ["def read(", "class Error("]}
    return {"data": {"text": texts}, "task": "causal-lm", "settings": settings, "budget": "90s"}

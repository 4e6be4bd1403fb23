"""Small corpora, made through the public door."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

import trainwright as tw

PROSE = (
    "The river runs down from the hills and through the town, where the people have built a bridge of stone. "
    "In the evening they walk across it to see the lights of the harbour. An old man told me that it was "
    "once made of wood, and that the flood of his childhood carried it away with everything that stood on it."
)
"""English that no rule speaks against, in whatever quality."""


def write_jsonl(path: Path, texts: Sequence[str]) -> Path:
    """Write texts as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"text": text}, ensure_ascii=False) for text in texts)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def make(sources: Any, output: Path, **words: Any) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Prepare a corpus in this process; return its rows and its manifest."""
    words = {"workers": 1, "quiet": True, **words}
    corpus = tw.prepare(sources, output, **words)
    return rows(corpus.path), corpus.manifest


def rows(folder: Path) -> pl.DataFrame:
    """Return the rows of a corpus."""
    parts = sorted(folder.glob("part-*.parquet"))
    return pl.concat([pl.read_parquet(part) for part in parts]) if parts else pl.DataFrame({"text": []})


def left(manifest: dict[str, Any], step: str) -> dict[str, int]:
    """Return how many documents left in a step, by reason."""
    return {reason: count["documents"] for reason, count in manifest["left"].get(step, {}).items()}


def content(folder: Path) -> dict[str, str]:
    """Return the hash of each file of a corpus."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }

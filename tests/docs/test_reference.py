"""The reference pages name everything that there is, and nothing else."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from trainwright.data.source import SOURCES
from trainwright.evaluation.metrics.base import METRICS
from trainwright.features.base import FEATURES
from trainwright.models.base import ENCODERS
from trainwright.models.fusion.base import FUSIONS
from trainwright.tasks.base import TASKS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_recipe_reference_is_that_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    try:
        from make_reference import PAGE, page
    finally:
        sys.modules.pop("make_reference", None)
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python docs/make_reference.py"


@pytest.mark.parametrize(
    ("file", "section", "names"),
    [
        ("features.md", "Types", FEATURES),
        ("encoders.md", "Encoders", ENCODERS),
        ("encoders.md", "Fusions", FUSIONS),
        ("tasks-and-metrics.md", "Tasks", TASKS),
    ],
    ids=["feature types", "encoders", "fusions", "tasks"],
)
def test_every_name_has_its_heading(file: str, section: str, names: Iterable[str]) -> None:
    headings = re.findall(r"^### (.+)$", _section(file, section), re.MULTILINE)
    assert sorted(headings) == sorted(names)


@pytest.mark.parametrize(
    ("file", "section", "names"),
    [("tasks-and-metrics.md", "Metrics", METRICS), ("data.md", "Sources", SOURCES)],
    ids=["metrics", "sources"],
)
def test_every_name_has_its_line(file: str, section: str, names: Iterable[str]) -> None:
    lines = re.findall(r"^\| `(\w+)` \|", _section(file, section), re.MULTILINE)
    assert sorted(lines) == sorted(names)


def _section(file: str, title: str) -> str:
    """Return what stands under a heading of the second level."""
    text = (DOCS / file).read_text(encoding="utf-8")
    found = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{file} has no section {title}"
    return found[1]

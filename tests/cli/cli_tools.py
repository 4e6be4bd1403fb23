"""A shell to type into, and small data."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trainwright.cli.main import main

QUICK = (
    *("--budget", "3 steps"),
    *("--set", "model.size=tiny"),
    *("--set", "evaluation.baselines=false"),
    *("--set", "evaluation.bootstrap=0"),
)
"""A training of a fraction of a second: these tests ask what is said, not how well is learned."""

Columns = Mapping[str, Sequence[Any]]


def customers(rows: int = 60, **columns: Sequence[Any]) -> dict[str, Sequence[Any]]:
    """Return a small table with numbers, a category and a target of two classes."""
    draw = random.Random(0)
    found: dict[str, Sequence[Any]] = {
        "age": [round(draw.uniform(18, 90), 2) for _ in range(rows)],
        "income": [round(draw.gauss(3000, 900), 2) for _ in range(rows)],
        "colour": [draw.choice(["red", "green", "blue"]) for _ in range(rows)],
    }
    found["churn"] = ["yes" if age > 50 else "no" for age in found["age"]]
    return found | columns


def write_csv(path: Path, columns: Columns) -> Path:
    """Write columns as a CSV file."""
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@dataclass(frozen=True)
class Answer:
    """What a command line gave back."""

    code: int
    out: str
    err: str


class Shell:
    """Types command lines into a folder of its own."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capture = capture

    def __call__(self, *words: str | Path) -> Answer:
        """Run a command line in this process."""
        self._capture.readouterr()
        code = main([str(word) for word in words])
        out, err = self._capture.readouterr()
        return Answer(code, out, err)

    def succeed(self, *words: str | Path) -> Answer:
        """Run a command line that must do what it says."""
        answer = self(*words)
        assert answer.code == 0, answer.err
        return answer

    def refuse(self, *words: str | Path, says: str | Sequence[str], code: int = 2) -> str:
        """Run a command line that must be refused in one sentence, with nothing left behind; return it.

        Args:
            words: the command line.
            says: what the sentence must hold: what is wrong, where, and what to do.
            code: exit code.
        """
        before = names(self.folder)
        answer = self(*words)
        assert answer.code == code, f"exit {answer.code}: {answer.out}{answer.err}"
        assert answer.out == ""
        assert answer.err.count("\n") == 1, answer.err
        sentence = answer.err.strip()
        assert sentence.endswith((".", "?")), sentence
        assert "Traceback" not in sentence
        for part in [says] if isinstance(says, str) else says:
            assert part in sentence, sentence
        assert names(self.folder) == before
        return sentence


def names(folder: Path) -> dict[str, int]:
    """Return what lies in a folder, with the size of files."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size if path.is_file() else -1
        for path in folder.rglob("*")
    }

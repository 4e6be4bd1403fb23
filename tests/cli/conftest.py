"""An empty folder with a shell in it, and one trained model for all tests here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_tools import QUICK, Shell, customers, write_csv


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A shell in an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Shell(folder, capsys)


@pytest.fixture
def data(shell: Shell) -> str:
    """A good table, `good.csv`."""
    return write_csv(shell.folder / "good.csv", customers()).name


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, made once; do not change it."""
    from trainwright import train

    folder = tmp_path_factory.mktemp("finished")
    write_csv(folder / "good.csv", customers())
    settings = [word for word in QUICK if "=" in word]
    return train(
        folder / "good.csv", target="churn", run=folder / "run", budget="3 steps", settings=settings
    ).path


@pytest.fixture
def copied(finished: Path, shell: Shell) -> Callable[[str], Path]:
    """Copies `run` or `run/model` of the finished run into the shell's folder."""

    def copy(part: str = "run") -> Path:
        return Path(shutil.copytree(finished.parent / part, shell.folder / part))

    return copy

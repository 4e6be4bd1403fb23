"""Sample runs, built once for all tests of reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sample_run import SAMPLES


@pytest.fixture(scope="session")
def sample_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every sample run by name; not to be written into."""
    folder = tmp_path_factory.mktemp("samples")
    return {name: build(folder / name) for name, build in SAMPLES.items()}


@pytest.fixture
def own_run(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that builds a sample run for one test alone."""
    return lambda name: SAMPLES[name](tmp_path / name)

"""Fixtures that every test may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis
import pytest

from trainwright.foundation.devices import num_cpus

# A busy machine is no failure. What lands is checked with the same examples every time; new ones are looked
# for wherever people work.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

# Workers share the cores: threads of one that wait for a core of another make all of them slow.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, num_cpus() // workers)))

_SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the checkout; tests that need it skip without it."""
    if not _SHARED.is_dir():
        pytest.skip(f"no real data at {_SHARED}")
    return _SHARED


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests' caches away from the user's."""
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Start torch's global generator at one place, so that no test depends on those before it."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)

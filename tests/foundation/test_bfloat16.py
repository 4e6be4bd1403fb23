"""The gain of bfloat16: measured once for a machine, and believed afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainwright.foundation import bfloat16


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path))


def test_it_is_measured_once_and_takes_no_random_number() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    gain = bfloat16.cpu_gain()
    assert 0.01 < gain < 100
    assert torch.equal(torch.get_rng_state(), state)


def test_the_next_run_takes_what_was_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bfloat16, "_measured", lambda: 2.5)
    assert bfloat16.cpu_gain() == 2.5
    monkeypatch.setattr(bfloat16, "_measured", lambda: 0.5)  # as on a machine that is busy now
    assert bfloat16.cpu_gain() == 2.5
    monkeypatch.setattr(bfloat16, "processor", lambda: "another")
    assert bfloat16.cpu_gain() == 0.5
    for file in tmp_path.rglob("*.json"):
        file.write_text("{")
    monkeypatch.setattr(bfloat16, "_measured", lambda: 3.0)
    assert bfloat16.cpu_gain() == 3.0

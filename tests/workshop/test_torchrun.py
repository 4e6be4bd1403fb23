"""The whole run under torchrun: one folder, one report, and a process that dies on the way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import trainwright as tw
from trainwright.foundation.errors import UserError
from trainwright.training.events import read_events

_SCRIPT = """
import json, os, signal, sys
import trainwright as tw
from trainwright.training.loop import Trainer

data, settings, run = json.loads(sys.argv[1])
save = Trainer._save


def save_and_die(self, position):
    save(self, position)
    if position.step == 9 and os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)


Trainer._save = save_and_die
found = tw.train(data, target="grade", budget="20 steps", settings=settings, run=run)
assert found.finished
"""


@pytest.fixture
def plain(quick: dict[str, Any]) -> dict[str, Any]:
    """Settings without a random draw in training, so that processes and one agree."""
    return {**quick, "model.dropout": 0.0, "inputs.size": "number", "inputs.city": "category"}


@pytest.mark.slow
def test_devices_is_all_that_it_takes(
    rows: pl.DataFrame, plain: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.write_csv(tmp_path / "flats.csv")
    monkeypatch.chdir(tmp_path)
    one = tw.train("flats.csv", target="grade", budget="20 steps", settings=plain, run="one")
    several = {**plain, "training.devices": 2}
    two = tw.train("flats.csv", target="grade", budget="20 steps", settings=several, run="two")
    close(one, two)
    assert two.recipe.training.devices == 2
    steps = [event["step"] for event in read_events(two.path / "events.jsonl") if event["kind"] == "step"]
    assert steps == list(range(1, 21))
    with pytest.raises(UserError, match="these are in memory; write them to a Parquet file first"):
        tw.train(rows, target="grade", settings=several, run="three")
    with pytest.raises(UserError, match="there is no column 'grate' to be a target"):
        tw.train("flats.csv", target="grate", settings=several, run="three")
    with pytest.raises(UserError, match="not empty"):
        tw.train("flats.csv", target="grade", settings=several, run="two")
    assert not Path("three").exists()


def test_sigterm_is_handed_on_and_resume_goes_on_with_as_many(
    rows: pl.DataFrame, plain: dict[str, Any], tmp_path: Path
) -> None:
    rows.write_csv(tmp_path / "flats.csv")
    data, path = str(tmp_path / "flats.csv"), tmp_path / "two"
    steps = "300 steps"
    settings = {**plain, "training.early_stopping": 0}
    one = tw.train(data, target="grade", budget=steps, settings=settings, run=tmp_path / "one")
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    command = [
        sys.executable,
        "-m",
        "trainwright",
        "train",
        data,
        "--target",
        "grade",
        "--budget",
        steps,
        *words,
    ]
    several = ["--set", "training.devices=2", "--run", str(path), "-q"]
    with subprocess.Popen([*command, *several], stderr=subprocess.PIPE, text=True) as running:
        until = time.monotonic() + 120
        while not any(event["kind"] == "step" for event in read_events(path / "events.jsonl")):
            assert running.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        error = running.communicate(timeout=120)[1]
    assert running.returncode == 130, error
    assert tw.Run(path).interrupted
    close(one, tw.resume(path))


def torchrun(*words: str, processes: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run([*command, *words], check=False, capture_output=True, text=True, timeout=300)


def close(one: tw.Run, other: tw.Run) -> None:
    tensors = [load_file(run.path / "model" / "model.safetensors") for run in (one, other)]
    for name in tensors[0]:
        torch.testing.assert_close(tensors[0][name], tensors[1][name], rtol=0, atol=1e-5, msg=name)


def test_a_process_that_dies_is_started_again_and_the_run_goes_on(
    rows: pl.DataFrame, plain: dict[str, Any], tmp_path: Path
) -> None:
    data, script = tmp_path / "flats.csv", tmp_path / "script.py"
    rows.write_csv(data)
    script.write_text(_SCRIPT)
    one = tw.train(data, target="grade", budget="20 steps", settings=plain, run=tmp_path / "one")
    settings = {**plain, "training.checkpoint_minutes": 1e-9}
    arguments = json.dumps([str(data), settings, str(tmp_path / "two")])
    done = torchrun("--max-restarts=2", str(script), arguments, processes=2)
    assert done.returncode == 0, done.stderr
    two = tw.Run(tmp_path / "two")
    close(one, two)
    events = list(read_events(two.path / "events.jsonl"))
    (went_on,) = (event["step"] for event in events if event["kind"] == "resume")
    assert 8 <= went_on <= 9

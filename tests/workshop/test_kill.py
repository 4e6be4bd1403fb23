"""`kill -9` at random moments, again and again: the run that is left ends with the very same weights."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import trainwright as tw
from trainwright.training.events import read_events

_STEPS = "250 steps"

# Children are forked from a process that has everything imported, so that a life costs no start-up.
_LIVES = """
import json, os, random, signal, sys, time
import torch
import trainwright as tw
from trainwright.evaluation.simple_models import import_simple_models

data, settings, run, kills, steps, threads = json.loads(sys.argv[1])
torch.set_num_threads(threads)  # the order of sums depends on it
draw = random.Random(kills)
import_simple_models()


def live():
    if os.path.exists(os.path.join(run, "recipe.yaml")):
        tw.resume(run)
    else:
        tw.train(data, target="grade", budget=steps, settings=settings, run=run)


def checkpoint():
    try:
        return max(os.listdir(os.path.join(run, "checkpoints")))
    except (FileNotFoundError, ValueError):
        return ""


def wait_for_death():
    # Every fifth dies early, while data is read; the others as soon as they have learned something more.
    before, until = checkpoint(), time.monotonic() + (draw.uniform(0.05, 0.6) if killed % 5 == 4 else 30)
    while time.monotonic() < until and checkpoint() == before:
        time.sleep(0.002)
    time.sleep(draw.uniform(0, 0.08))


killed = 0
while True:
    child = os.fork()
    if child == 0:
        try:
            live()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if killed < kills:
        wait_for_death()
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        killed += 1
    elif os.WEXITSTATUS(status):
        sys.exit(1)
    else:
        break
print(killed)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kills", [20, 200])
def test_a_run_that_is_killed_over_and_over_ends_with_the_same_weights(
    kills: int, rows: pl.DataFrame, quick: dict[str, Any], weights: Callable[[Any], str], tmp_path: Path
) -> None:
    rows.write_csv(tmp_path / "flats.csv")
    # A checkpoint after every step: many of the kills come while one is written.
    settings = {**quick, "training.checkpoint_minutes": 1e-9}
    steps = _STEPS if kills <= 20 else "2000 steps"
    data = str(tmp_path / "flats.csv")
    whole = tw.train(data, target="grade", budget=steps, settings=quick, run=tmp_path / "whole")
    arguments = json.dumps([data, settings, str(tmp_path / "killed"), kills, steps, torch.get_num_threads()])
    done = subprocess.run(
        [sys.executable, "-c", _LIVES, arguments], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    survivor = tw.Run(tmp_path / "killed")
    assert weights(survivor) == weights(whole)
    assert survivor.metrics == whole.metrics
    # It was killed in its midst, and not only before or after.
    assert int(done.stdout) >= kills // 2
    resumed = [
        event["step"] for event in read_events(survivor.path / "events.jsonl") if event["kind"] == "resume"
    ]
    assert len(set(resumed)) >= min(kills // 4, 10), resumed

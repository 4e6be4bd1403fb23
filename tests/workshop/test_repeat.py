"""The same recipe gives the same weights: twice, from the run folder, and however often it is stopped."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

import trainwright as tw
from trainwright.foundation.errors import DataError, UserError
from trainwright.training.checkpoint import Checkpoints
from trainwright.training.events import read_events

Weights = Callable[[Any], str]

EVERY_STEP = {"training.checkpoint_minutes": 1e-9}


def _steps(run: Path) -> list[int]:
    return [event["step"] for event in read_events(run / "events.jsonl") if event["kind"] == "step"]


def _train(data: Any, run: Path, quick: dict[str, Any], **settings: Any) -> tw.Run:
    return tw.train(data, target="grade", budget="20 steps", settings={**quick, **settings}, run=run)


def test_twice_is_the_same_and_the_seed_makes_the_difference(
    run: tw.Run, rows: pl.DataFrame, quick: dict[str, Any], weights: Weights, tmp_path: Path
) -> None:
    again = _train(rows, tmp_path / "again", quick)
    assert weights(again) == weights(run)
    assert again.metrics == run.metrics
    other = tw.train(rows, target="grade", budget="20 steps", seed=1, settings=quick, run=tmp_path / "other")
    assert weights(other) != weights(run)


@pytest.mark.parametrize("kind", ["file", "frame", "frames by part"])
def test_the_recipe_of_a_run_makes_it_again_from_anywhere(
    run: tw.Run,
    rows: pl.DataFrame,
    quick: dict[str, Any],
    weights: Weights,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    first = run
    if kind == "frame":
        first = _train(rows, tmp_path / "first", quick)
    elif kind == "frames by part":
        parts = {"train": rows[:200], "validation": rows[200:250], "test": rows[250:]}
        first = _train(parts, tmp_path / "first", quick)
        assert pl.read_parquet(first.path / "predictions.parquet")["row"].to_list() == list(range(250, 300))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    again = tw.train(os.path.relpath(first.path / "recipe.yaml"), run="again")
    assert weights(again) == weights(first)
    assert (again.path / "data.json").is_file()


def test_a_run_moves_with_its_data(
    run: tw.Run, weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = shutil.copytree(run.path.parents[1], tmp_path / "moved")
    (home / "flats.csv").rename(tmp_path / "kept.csv")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"flats\.csv"):
        tw.train(home / "runs" / "first" / "recipe.yaml", run="again")
    (tmp_path / "kept.csv").rename(home / "flats.csv")
    assert weights(tw.train(home / "runs" / "first" / "recipe.yaml", run="again")) == weights(run)


class TestResume:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_after_ctrl_c_the_model_is_kept_and_the_run_goes_on_to_the_same_weights(
        self,
        number: signal.Signals,
        run: tw.Run,
        rows: pl.DataFrame,
        quick: dict[str, Any],
        weights: Weights,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        stop_at = [7, 13]
        begin = Checkpoints.begin

        def begin_and_stop(self: Checkpoints, step: int, *args: Any) -> None:
            begin(self, step, *args)
            if stop_at and step == stop_at[0]:
                stop_at.pop(0)
                os.kill(os.getpid(), number)

        monkeypatch.setattr(Checkpoints, "begin", begin_and_stop)
        stopped = _train(rows, tmp_path / "run", quick, **EVERY_STEP)
        assert "the model is kept" in capfd.readouterr().err
        assert stopped.interrupted
        assert _steps(stopped.path) == list(range(1, 8))
        assert len(tw.predict(stopped, rows[:5])) == 5
        assert weights(stopped) != weights(run)
        again = tw.resume(stopped.path)
        assert again.interrupted
        finished = tw.resume(again)
        assert not finished.interrupted
        assert _steps(finished.path) == list(range(1, 21))
        assert weights(finished) == weights(run)
        assert finished.metrics == run.metrics
        assert not (finished.path / "checkpoints").exists()
        with pytest.raises(UserError, match="this run is finished"):
            tw.resume(finished)

    def test_after_a_disk_that_was_full_for_the_card_of_a_resumed_run(
        self,
        run: tw.Run,
        rows: pl.DataFrame,
        quick: dict[str, Any],
        weights: Weights,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        path, begin, stop_at = tmp_path / "run", Checkpoints.begin, [7]

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def stop(self: Checkpoints, step: int, *args: Any) -> None:
            begin(self, step, *args)
            if step == 7 and stop_at:
                stop_at.pop()  # stopping saves once more
                os.kill(os.getpid(), signal.SIGINT)

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "begin", stop)
            assert _train(rows, path, quick, **EVERY_STEP).interrupted
        assert tw.Run(path).finished  # judged as far as it came; the next part of it is not
        with monkeypatch.context() as patch:
            patch.setattr("trainwright.reporting.card.write_atomic", full)
            with pytest.raises(OSError, match="No space left"):
                tw.resume(path)
        assert not tw.Run(path).interrupted
        assert not tw.Run(path).finished
        finished = tw.resume(path)
        assert finished.finished
        assert (path / "model" / "card.md").is_file()
        assert weights(finished) == weights(run)
        assert finished.metrics == run.metrics

    def test_a_file_is_found_again_from_another_folder(
        self,
        run: tw.Run,
        rows: pl.DataFrame,
        quick: dict[str, Any],
        weights: Weights,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        rows.write_csv("flats.csv")
        _train("flats.csv", Path("runs/run"), quick)
        _as_if_killed(tmp_path / "runs" / "run")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert weights(tw.resume(Path("..") / "runs" / "run")) == weights(run)

    def test_from_the_start_when_no_checkpoint_was_written(
        self, run: tw.Run, rows: pl.DataFrame, quick: dict[str, Any], weights: Weights, tmp_path: Path
    ) -> None:
        path = _train(rows, tmp_path / "run", quick).path
        _as_if_killed(path)
        with (path / "events.jsonl").open("a") as events:
            events.write('{"kind": "step", "time": 17')  # the kill came in the midst of a line
        assert weights(tw.resume(path)) == weights(run)
        assert _steps(path) == [*range(1, 21), *range(1, 21)]

    @pytest.mark.parametrize("moment", ["after a checkpoint", "while a checkpoint is written"])
    def test_kill_9_costs_nothing_but_time(
        self,
        run: tw.Run,
        rows: pl.DataFrame,
        quick: dict[str, Any],
        weights: Weights,
        tmp_path: Path,
        moment: str,
    ) -> None:
        rows.write_parquet(tmp_path / "rows.parquet")
        settings = {**quick, **EVERY_STEP}
        arguments = json.dumps([str(tmp_path / "rows.parquet"), settings, str(tmp_path / "run"), moment])
        child = subprocess.run([sys.executable, "-c", _KILLED, arguments], check=False, capture_output=True)
        assert child.returncode == -signal.SIGKILL, child.stderr
        path = tmp_path / "run"
        assert not (path / "model").exists()
        steps = sorted(folder.name for folder in (path / "checkpoints").glob("step-*"))
        assert steps[-1] == "step-000000009" if moment == "after a checkpoint" else "step-000000008"
        with pytest.raises(UserError, match=f"trainwright resume {path}"):
            tw.predict(path, rows)
        with pytest.raises(UserError, match="not empty"):
            _train(rows, path, quick)
        assert weights(tw.resume(path)) == weights(run)

    def test_what_is_no_run_is_explained(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"holds no recipe\.yaml"):
            tw.resume(tmp_path)


_KILLED = """
import json, os, signal, sys
import polars as pl
import trainwright as tw
from trainwright.training import checkpoint

data, settings, run, moment = json.loads(sys.argv[1])
save, digest = checkpoint.Checkpoints.save, checkpoint.file_sha256
step = 0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def saved(self, number, *args):
    global step
    step = number
    save(self, number, *args)
    if number == 9:
        die()

def digested(path):
    if step == 9 and moment != "after a checkpoint":
        die()
    return digest(path)

checkpoint.Checkpoints.save, checkpoint.file_sha256 = saved, digested
tw.train(pl.read_parquet(data), target="grade", budget="20 steps", settings=settings, run=run)
"""


def _as_if_killed(run: Path) -> None:
    """Take away what a run writes after its last step."""
    shutil.rmtree(run / "model")
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    for name in ("evaluation.json", "predictions.parquet", "report.html"):
        (run / name).unlink()


_TWO = """
import sys
import trainwright as tw
from trainwright.foundation.errors import UserError

try:
    tw.train(sys.argv[1], target="grade", budget="20 steps", settings={"model.size": "tiny"}, run=sys.argv[2])
except UserError as error:
    print(error)
"""


def test_two_runs_on_one_folder_are_told_so(
    rows: pl.DataFrame, quick: dict[str, Any], tmp_path: Path
) -> None:
    from trainwright.workshop.train import _run_lock

    rows.write_csv(tmp_path / "flats.csv")
    path = tmp_path / "run"
    with _run_lock(path):
        child = subprocess.run(
            [sys.executable, "-c", _TWO, str(tmp_path / "flats.csv"), str(path)],
            check=True,
            capture_output=True,
            text=True,
        )
    assert f"another process works in the run folder {path} (process {os.getpid()}" in child.stdout
    assert "wait for it, or name another folder with --run" in child.stdout
    assert not path.exists()


def test_a_resume_beside_the_running_one_is_told_so(run: tw.Run, tmp_path: Path) -> None:
    from trainwright.workshop.train import _run_lock

    running = Path(shutil.copytree(run.path, tmp_path / "run"))
    _as_if_killed(running)
    with _run_lock(running), pytest.raises(UserError, match="another process works in the run folder"):
        tw.resume(running)


def test_a_batch_that_is_not_finite_is_named_in_the_quarantine_and_the_report(
    rows: pl.DataFrame, quick: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainwright.tasks.base import Loss
    from trainwright.tasks.objective import Objective

    of_outputs, calls = Objective.of_outputs, 0

    def poisoned(self: Objective, outputs: Any, batch: Any) -> Loss:
        nonlocal calls
        loss = of_outputs(self, outputs, batch)
        calls += next(iter(outputs.values())).requires_grad
        return Loss(loss.sum * float("nan"), loss.count) if calls == 5 else loss

    monkeypatch.setattr(Objective, "of_outputs", poisoned)
    found = _train(rows, tmp_path / "run", quick)
    lines = [json.loads(line) for line in (found.path / "quarantine.jsonl").read_text().splitlines()]
    assert len(lines) == found.recipe.training.batch
    assert {line["reason"] for line in lines} == {
        "the loss of its batch was not finite in step 5: one of these rows"
    }
    assert "Step 5 was skipped" in found.report.read_text(encoding="utf-8")
    assert "第 5 步已跳过" in found.report.read_text(encoding="utf-8")


def test_a_clock_that_jumps_changes_nothing(
    run: tw.Run,
    rows: pl.DataFrame,
    quick: dict[str, Any],
    weights: Weights,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, jumps = time.time, itertools.cycle([0, -86_400 * 365, 86_400 * 365])
    monkeypatch.setattr(time, "time", lambda: now() + next(jumps))
    jumped = _train(rows, tmp_path / "run", quick, **EVERY_STEP)
    assert weights(jumped) == weights(run)
    assert 0 < jumped.evaluation["timings"]["train"] < 600
    assert "Infinity" not in (jumped.path / "evaluation.json").read_text()


def test_a_cache_that_a_power_cut_has_damaged_is_made_anew(
    rows: pl.DataFrame, quick: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "cache"))
    rows.write_csv(tmp_path / "flats.csv")

    def train(place: str) -> tw.Run:
        data = str(tmp_path / "flats.csv")
        return tw.train(data, target="grade", budget="3 steps", settings=quick, run=tmp_path / place)

    first = train("first")
    (transforms,) = (tmp_path / "cache" / "encoded").glob("*/transforms.safetensors")
    transforms.write_bytes(bytes(100))
    assert train("second").metrics == first.metrics
    assert transforms.read_bytes() != bytes(100)


@pytest.mark.parametrize("kind", ["text", "sequence"])
def test_a_column_called_as_the_table_is_asked_to_be_renamed(
    rows: pl.DataFrame, quick: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    frame = rows.rename({"note": "table"})
    if kind == "sequence":
        frame = frame.with_columns(pl.col("table").fill_null("").str.split(" "))
    settings = {**quick, "inputs": {"table": kind, "size": "number"}}
    with pytest.raises(UserError, match="cannot be called 'table'"):
        tw.train(frame, target="grade", budget="3 steps", settings=settings, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_picture_that_vanishes_on_the_way_is_set_aside(
    quick: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainwright.features.encoding import Encoding

    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(20):
            pixels = draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    encode_to = Encoding.encode_to

    def late(self: Encoding, *arguments: Any) -> None:
        (tmp_path / "data" / "cat" / "3.png").unlink()
        encode_to(self, *arguments)

    monkeypatch.setattr(Encoding, "encode_to", late)
    found = tw.train(
        tmp_path / "data", target="label", budget="3 steps", settings=quick, run=tmp_path / "run"
    )
    (line,) = map(json.loads, (found.path / "quarantine.jsonl").read_text().splitlines())
    assert "3.png" in line["source"] + line["reason"]
    assert found.finished

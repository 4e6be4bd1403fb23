"""What makes a run fast is decided once, written into its recipe, and changes nothing that is learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import trainwright as tw
from trainwright.evaluation.score_sheet import ScoreSheet
from trainwright.foundation.errors import UserError
from trainwright.reporting.language import said
from trainwright.reporting.phrases import PHRASES
from trainwright.training.events import read_events
from trainwright.workshop import speed
from trainwright.workshop.speed import Gain

Weights = Callable[[Any], str]
Quick = dict[str, Any]

VIT = {"model.name": "vit", "training.batch": 32}


@pytest.fixture(scope="module")
def pictures() -> pl.DataFrame:
    """120 flat grey pictures, half of them bright."""
    draw = np.random.default_rng(0)
    bright = np.arange(120) % 2
    pixels = np.clip(draw.normal(80 + 80 * bright[:, None], 10, (120, 64)), 0, 255).astype(np.float64)
    return pl.DataFrame(
        {"photo": pl.Series(pixels.reshape(120, 8, 8), dtype=pl.Array(pl.Float64, (8, 8))), "bright": bright}
    )


def notes(run: tw.Run) -> list[str]:
    return [event["text"] for event in read_events(run.path / "events.jsonl") if event["kind"] == "note"]


def about(run: tw.Run, field: str) -> list[str]:
    found = [note for note in notes(run) if note.startswith(f"training.{field}:")]
    assert all(said(note, PHRASES).template in PHRASES for note in found), "it cannot be read in Chinese"
    return found


def test_a_short_run_on_a_cpu_has_nothing_to_decide(run: tw.Run) -> None:
    assert (run.recipe.training.compile, run.recipe.training.graphs) == ("off", "off")
    assert not about(run, "compile") and not about(run, "graphs")


def test_what_was_chosen_for_the_machine_is_said_in_one_line(
    pictures: pl.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"model.size": "tiny", "training.precision": "bfloat16", "evaluation.baselines": False}
    made = tw.train(
        pictures, target="bright", budget="2 steps", settings=settings, run=tmp_path / "r", quiet=False
    )
    threads = torch.get_num_threads()
    (start,) = (event for event in read_events(made.path / "events.jsonl") if event["kind"] == "start")
    assert (start["threads"], start["precision"], start["memory_format"]) == (
        threads,
        "bfloat16",
        "channels_last",
    )
    said_so = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Trains on")]
    plural = "s" if threads > 1 else ""
    assert said_so == [f"Trains on {threads} CPU thread{plural}, bfloat16, channels_last, not compiled."]


def test_a_setting_without_effect_is_said(rows: pl.DataFrame, quick: Quick, tmp_path: Path) -> None:
    settings = {**quick, "training.graphs": "on"}
    made = tw.train(rows, target="grade", budget="5 steps", settings=settings, run=tmp_path / "r")
    assert made.recipe.training.graphs == "off"
    assert about(made, "graphs") == [
        "training.graphs: off (this setting has no effect: CUDA graphs are for NVIDIA GPUs)"
    ]


def test_rows_read_from_the_disk_give_the_same_weights(
    run: tw.Run,
    rows: pl.DataFrame,
    quick: Quick,
    weights: Weights,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def ahead_of(*place: Any) -> int:
        asked.append(speed.ahead_of(*place))
        return asked[-1]

    monkeypatch.setattr("trainwright.workshop.prepare._IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("trainwright.workshop.table_job.ahead_of", ahead_of)
    mapped = tw.train(rows, target="grade", budget="20 steps", settings=quick, run=tmp_path / "mapped")
    assert set(asked) == {2}  # a thread has made the batches
    assert weights(mapped) == weights(run)
    assert mapped.metrics == run.metrics


def test_rows_on_the_device_give_the_same_weights(
    run: tw.Run,
    rows: pl.DataFrame,
    quick: Quick,
    weights: Weights,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from trainwright.data.resident import on_device

    monkeypatch.setattr("trainwright.workshop.table_job.resident", on_device)
    there = tw.train(rows, target="grade", budget="20 steps", settings=quick, run=tmp_path / "there")
    assert weights(there) == weights(run)
    assert there.metrics == run.metrics


# Compilation.


@pytest.mark.parametrize(
    ("before", "after", "cost", "planned", "choice"),
    [
        (0.02, 0.01, 30.0, 600.0, "on"),  # saves 300 of 600
        (0.02, 0.01, 30.0, 110.0, "off"),  # saves 55, less than twice 30
        (0.02, 0.0199, 30.0, 6000.0, "off"),
        (0.02, 0.03, 1.0, 6000.0, "off"),
    ],
)
def test_compiling_must_save_twice_what_it_takes(
    before: float, after: float, cost: float, planned: float, choice: str
) -> None:
    assert Gain(before, after, cost).worth_it(planned)[0] == choice


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Compiling is tried on short runs too, without C++; returns the steps that were timed."""
    torch._dynamo.reset()
    compile_module, timed = nn.Module.compile, speed._timed
    seen: list[str] = []

    def counted(trainer: Any, warm_up: int) -> tuple[float, float]:
        seen.append("eager" if warm_up == 2 else "compiled")
        timed(trainer, warm_up)
        return (0.02, 0.0) if warm_up == 2 else (0.01, 0.001)  # the clock of a busy machine decides nothing

    monkeypatch.setattr(
        nn.Module, "compile", lambda self, **how: compile_module(self, backend="eager", **how)
    )
    monkeypatch.setattr(speed, "_timed", counted)
    monkeypatch.setattr(speed, "_TIMED", 2)
    monkeypatch.setattr(speed, "LEAST_STEPS", 1)
    monkeypatch.setattr(speed, "LEAST_SECONDS", {"cpu": 0.0})
    return seen


def test_what_is_measured_is_kept_for_the_next_run(
    pictures: pl.DataFrame, quick: Quick, weights: Weights, tmp_path: Path, tried: list[str]
) -> None:
    made = tw.train(pictures, target="bright", budget="6 steps", settings=quick | VIT, run=tmp_path / "one")
    assert tried == ["eager", "compiled"]
    assert made.recipe.training.compile == "on"
    (note,) = about(made, "compile")
    assert note.startswith("training.compile: on (a step is 2.00 times as fast, which saves 0 of 0 seconds")
    again = tw.train(made.path / "recipe.yaml", run=tmp_path / "two")
    assert tried == ["eager", "compiled"]
    assert again.recipe.training.compile == "on" and not about(again, "compile")
    assert weights(again) == weights(made)
    # It has left nothing in the model, which gives what the saved one gives.
    assert not any(part._compiled_call_impl for part in made.model.network.modules())


def test_a_run_in_seconds_is_planned_with_compiled_steps(
    pictures: pl.DataFrame, quick: Quick, tmp_path: Path, tried: list[str]
) -> None:
    settings = quick | VIT | {"training.compile": "on"}
    made = tw.train(pictures, target="bright", budget="2s", settings=settings, run=tmp_path / "one")
    assert tried == []
    assert made.recipe.training.budget is not None and made.recipe.training.budget.unit == "steps"


@pytest.mark.parametrize("wish", ["on", "auto"])
def test_without_a_compiler(
    pictures: pl.DataFrame,
    quick: Quick,
    tmp_path: Path,
    tried: list[str],
    monkeypatch: pytest.MonkeyPatch,
    wish: str,
) -> None:
    monkeypatch.setattr("trainwright.training.compilation.has_compiler", lambda device: False)
    settings = quick | VIT | {"training.compile": wish}
    if wish == "on":
        with pytest.raises(
            UserError, match=r"there is no C\+\+ compiler here; install g\+\+, or set it to off"
        ):
            tw.train(pictures, target="bright", budget="3 steps", settings=settings, run=tmp_path / "r")
        return
    made = tw.train(pictures, target="bright", budget="3 steps", settings=settings, run=tmp_path / "r")
    assert about(made, "compile") == ["training.compile: off (there is no C++ compiler here)"]
    assert tried == []


def test_a_model_without_blocks_is_not_compiled(rows: pl.DataFrame, quick: Quick, tmp_path: Path) -> None:
    settings = {**quick, "training.compile": "on"}
    made = tw.train(rows, target="grade", budget="3 steps", settings=settings, run=tmp_path / "r")
    assert about(made, "compile") == [
        "training.compile: off (this setting has no effect: the model repeats no blocks)"
    ]


def test_what_fails_when_it_is_tried_is_said(
    pictures: pl.DataFrame, quick: Quick, tmp_path: Path, tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: nn.Module, **how: Any) -> None:
        raise RuntimeError("no kernel image is available\nmore")

    monkeypatch.setattr(nn.Module, "compile", broken)
    made = tw.train(pictures, target="bright", budget="3 steps", settings=quick | VIT, run=tmp_path / "r")
    assert about(made, "compile") == ["training.compile: off (it failed: no kernel image is available)"]


# Scores.


def test_scores_are_gathered_by_row_and_name() -> None:
    sheet = ScoreSheet(5, {"kept": np.full((5, 1), 7, np.float32)})
    for part in ([4, 0], [2], [1, 3]):
        rows = np.array(part)
        sheet.put("a", rows, torch.from_numpy(np.stack([rows, 2 * rows], 1)).double())
    sheet.put("kept", np.array([1]), torch.zeros(1, 1, dtype=torch.bfloat16))
    found = sheet.arrays()
    assert found["a"].tolist() == [[row, 2 * row] for row in range(5)]
    assert found["a"].dtype == np.float32
    assert found["kept"].ravel().tolist() == [7, 0, 7, 7, 7]


def test_scores_are_fetched_some_megabytes_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device that is no CPU; the meta device cannot be fetched from, so that fetching is seen."""
    sheet = ScoreSheet(1 << 20)
    for _ in range(8):
        sheet.put("a", np.arange(4), torch.zeros(1 << 20, 1, device="meta"))  # 4 MB each, 32 are held
    with pytest.raises(NotImplementedError, match="meta"):
        sheet.put("a", np.arange(4), torch.zeros(4, 1, device="meta"))

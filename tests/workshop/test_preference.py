"""A model learns which of two answers is better, and says of how many pairs it does."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import trainwright as tw
from trainwright.cli.main import main
from trainwright.training.events import read_events

TINY: dict[str, Any] = {
    "model.options": {"depth": 2, "width": 32, "heads": 2},
    "language.vocabulary": 320,
    "language.context": 64,
    "training.batch_tokens": 512,
    "training.learning_rate": 0.003,
    "training.early_stopping": 0,
    "training.optimizer": "adamw",
    "split.validation": 0.15,
    "split.test": 0.2,
    "evaluation.sample_tokens": 0,
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    animals = ["cat", "dog", "fox", "cow", "hen"]
    lines = [
        {"prompt": f"Do you like the {animal}?", "chosen": f"Yes, {animal}!", "rejected": f"No, no {animal}."}
        for animal in animals * 20
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> tw.Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINWRIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        place = tmp_path_factory.mktemp("runs") / "run"
        return tw.train(str(pairs), task="preference", budget="20 steps", settings=TINY, run=place)


def test_accuracy_and_margin_are_told(run: tw.Run) -> None:
    language = run.evaluation["language"]
    figures = language["parts"]["test"]["metrics"]
    assert language["parts"]["test"]["pairs"] == 20
    assert (language["metric"], language["verdict"]["outcome"]) == ("reward_accuracy", "better")
    accuracy, margin = figures["reward_accuracy"], figures["reward_margin"]
    assert accuracy["value"] == 1
    assert 0.8 < accuracy["low"] < accuracy["high"] == 1  # twenty pairs are not certain of it
    assert margin["value"] > 0 and margin["low"] <= margin["value"] <= margin["high"]
    assert figures["loss"]["value"] < math.log(2) and "perplexity" not in figures
    assert language["baseline"]["metrics"]["reward_accuracy"] == 0.5
    judged = [event for event in read_events(run.path / "events.jsonl") if event["kind"] == "evaluation"]
    assert all({"reward_accuracy", "reward_margin"} <= set(event["metrics"]) for event in judged)


def test_report_and_list_say_it(run: tw.Run) -> None:
    page = run.report.read_text(encoding="utf-8")
    for words in (
        "How well it tells the better answer",
        "reward accuracy",
        "奖励准确率",
        "奖励差距",
        "Better than before training",
        "more is better",
    ):
        assert words in page
    assert "perplexity says" not in page and "n-grams" not in page
    (line,) = tw.runs(run.path.parent)
    assert (line["metric"], line["value"], line["greater_is_better"]) == ("reward_accuracy", 1, True)
    assert "before training" in (run.path / "model" / "card.md").read_text(encoding="utf-8")


def test_the_terminal_says_it(run: tw.Run) -> None:
    from rich.console import Console

    from trainwright.reporting.console import run_summary

    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(run_summary(run.path))
    said = console.export_text()
    assert "reward accuracy" in said and "before training" in said


def test_other_pairs_are_judged_without_the_reference(run: tw.Run, pairs: Path) -> None:
    found = tw.evaluate(run.model, str(pairs))
    assert found["kind"] == "texts"
    assert set(found["metrics"]) == {"accuracy"} and found["metrics"]["accuracy"] > 0.9


def test_compared_with_a_run_that_learned_less(
    run: tw.Run, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = TINY | {"training.learning_rate": 1e-9}
    less = tw.train(str(pairs), task="preference", budget="1 steps", settings=settings, run=tmp_path / "less")
    target = tw.compare(less, run)["targets"]["preference"]
    assert target["metric"] == "reward_accuracy"
    gain, values = target["difference"], {line["metric"]: line for line in target["metrics"]}
    assert gain["value"] == 1 - values["reward_accuracy"]["first"]
    assert gain["low"] < gain["value"] < gain["high"] <= 1.2
    assert main(["compare", str(less.path), str(run.path)]) == 0
    assert "reward accuracy" in capsys.readouterr().out

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sample_run import SAMPLES

from trainwright.reporting.console import (
    comparison_table,
    data_summary,
    metrics_table,
    run_summary,
    runs_table,
)


def drawn(renderable: Any, *, width: int = 120) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(renderable)
    return stream.getvalue()


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("width", [60, 140])
def test_run_summary_fits_any_terminal(sample_runs: dict[str, Path], name: str, width: int) -> None:
    text = drawn(run_summary(sample_runs[name]), width=width)
    table = [
        line for line in text.splitlines() if "report.html" not in line and str(sample_runs[name]) not in line
    ]
    assert all(len(line) <= width for line in table)
    text.encode()


def test_run_summary_says_result_verdict_and_paths(sample_runs: dict[str, Path]) -> None:
    run = sample_runs["binary"]
    text = drawn(run_summary(run))
    assert "0.927  0.916 – 0.938" in text
    assert "gradient-boosted trees" in text
    assert "No better than a simple model." in text
    assert f"Report  {run / 'report.html'}\n" in text
    assert f"Model   {run / 'model'}\n" in text


def test_data_summary_says_types_reasons_and_what_was_set_aside(sample_runs: dict[str, Path]) -> None:
    text = drawn(data_summary(json.loads((sample_runs["binary"] / "data.json").read_text())))
    assert "churn.csv: 6,000 rows" in text
    assert "id-like (left out)" in text or "id (left out)" in text
    assert "3,836 training, 960 validation, 1,200 test" in text
    assert "Set aside: 4 rows (3 x the target is missing" in text
    assert "<script>alert(1)</script>" in text.replace("\n", "")


def test_columns_that_are_alike_share_a_line() -> None:
    column = {"type": "number", "role": "input", "reason": "numbers", "missing": 0.0}
    data = {
        "name": "wide.csv",
        "rows": 9,
        "columns": [{**column, "name": f"x{index}"} for index in range(300)]
        + [{**column, "name": "gaps", "missing": 0.5}, {**column, "name": "y", "role": "target"}],
        "split": {"method": "random", "rows": {"training": 9}},
    }
    lines = [line.split() for line in drawn(data_summary(data)).splitlines()]
    assert lines[3] == ["y", "number", "(target)", "numbers"]
    assert lines[4] == ["x0,", "x1", "and", "298", "more", "number", "numbers"]
    assert lines[5] == ["gaps", "number", "50", "%", "numbers"]


def test_notes_on_columns_are_left_to_the_report() -> None:
    data: dict[str, Any] = {
        "name": "a.csv",
        "rows": 9,
        "columns": [],
        "split": {"method": "random", "rows": {"training": 9}},
        "notes": ["Values are divided by tabs."],
        "column_notes": {"size": ["standard scaling"], "city": ["rare levels", "seen by two"]},
    }
    lines = drawn(data_summary(data)).splitlines()[-2:]
    assert lines == ["Note: Values are divided by tabs.", "Notes on 2 columns will stand in the report."]
    data["counts"] = {f"x{place}": {"not numbers": 3} for place in range(8)}
    lines = drawn(data_summary(data)).splitlines()
    assert lines[-2:] == [
        "3 values in column 'x5': not numbers.",
        "2 more lines like these and notes on 2 columns will stand in the report.",
    ]


def test_text_of_the_data_is_no_markup_and_no_control_sequence() -> None:
    data = {
        "name": "[red]x[/red]\x1b[2J",
        "rows": 3,
        "columns": [{"name": "[bold]", "type": "number", "role": "target", "reason": "[/nonsense]"}],
        "split": {"method": "random", "rows": {"training": 3}},
    }
    text = drawn(data_summary(data))
    assert "[red]x[/red]" in text
    assert "[bold]" in text
    assert "\x1b" not in text


def test_metrics_table_of_new_rows(sample_runs: dict[str, Path]) -> None:
    evaluation = json.loads((sample_runs["regression"] / "evaluation.json").read_text())
    targets = {name: {**judged, "baselines": []} for name, judged in evaluation["targets"].items()}
    text = drawn(metrics_table({"data": "new.csv", "rows": 1500, "set_aside": 2, "targets": targets}))
    assert "new.csv: 1,500 rows, 2 set aside" in text
    assert "root mean squared error" in text


def test_runs_table_lists_judged_and_unfinished_runs() -> None:
    line = {
        "run": "runs/a",
        "data": "x.csv",
        "target": "y",
        "metric": "accuracy",
        "value": 0.91,
        "low": 0.9,
        "high": 0.92,
        "greater_is_better": True,
        "verdict": "better",
        "seconds": 61.0,
        "started": "2026-01-01T00:00:00",
    }
    unfinished = {
        **line,
        "run": "runs/b",
        "metric": None,
        "value": None,
        "verdict": "not finished",
        "seconds": None,
    }
    text = drawn(runs_table([line, unfinished]), width=160)
    assert "0.910  0.900 – 0.920" in text
    assert "1 min 1 s" in text
    assert "not finished" in text


@pytest.mark.parametrize(
    ("difference", "why", "says"),
    [
        ({"value": 0.02, "low": 0.01, "high": 0.03}, None, "b is better in accuracy by 0.020"),
        ({"value": -0.02, "low": -0.03, "high": -0.01}, None, "b is worse in accuracy by 0.020"),
        ({"value": 0.002, "low": -0.01, "high": 0.02}, None, "cannot be told apart"),
        (
            None,
            "the runs were made from different data",
            "cannot be told: the runs were made from different data.",
        ),
    ],
)
def test_comparison_says_whether_it_is_more_than_luck(difference: Any, why: str | None, says: str) -> None:
    found = {
        "first": "runs/a",
        "second": "runs/b",
        "settings": [{"field": "model.size", "first": "small", "second": "base"}],
        "targets": {
            "y": {
                "metric": "accuracy",
                "metrics": [{"metric": "accuracy", "first": 0.9, "second": 0.92}],
                "difference": difference,
                "why": why,
            }
        },
    }
    text = drawn(comparison_table(found))
    assert says in text
    assert "model.size" in text


def test_importing_the_console_imports_no_drawing() -> None:
    code = (
        "import sys, trainwright.reporting.console;"
        "sys.exit(bool({'rich', 'jinja2', 'torch', 'polars'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from page_reader import read_page

from trainwright.reporting.pages.tables import class_lines, result_lines, slice_lines
from trainwright.reporting.report import write_report


def part(column: str, value: str, score: float | None, *, flag: bool = False) -> dict:
    ends = {"low": None, "high": None} if score is None else {"low": score - 0.1, "high": score + 0.1}
    return {"column": column, "value": value, "rows": 40, "metric": {"value": score, **ends}, "flag": flag}


def test_slices_stand_flagged_first_then_weakest_and_undefined_last() -> None:
    parts = [part("a", "1", None), part("a", "2", 0.9), part("a", "3", 0.7), part("a", "4", 0.8, flag=True)]
    titles = [line.title.en for line in slice_lines(parts, greater_is_better=True)]
    assert titles == ["a = 4", "a = 3", "a = 2", "a = 1"]
    titles = [line.title.en for line in slice_lines(parts, greater_is_better=False)]
    assert titles == ["a = 4", "a = 2", "a = 3", "a = 1"]


def test_slices_share_one_scale() -> None:
    first, second = slice_lines([part("a", "1", 0.5), part("a", "2", 0.9)], greater_is_better=True)
    assert first.cells[1].bar is not None
    assert second.cells[1].bar is not None
    assert first.cells[1].bar[0] == 0
    assert second.cells[1].bar[2] == 1


def test_ranges_of_numbers_are_told_in_both_languages_and_words_are_left_alone() -> None:
    parts = [
        part("age", "over 1.5 to 3e+04", 0.9),
        part("age", "(missing)", 0.9),
        part("place", "back to front", 0.9),
    ]
    lines = slice_lines(parts, greater_is_better=True)
    assert [line.title.en for line in lines] == [
        "age = over 1.5 to 3e+04",
        "age = (missing)",
        "place = back to front",
    ]
    assert [line.title.zh for line in lines] == [
        "age = 大于 1.5，至 3e+04",
        "age = （缺失）",
        "place = back to front",
    ]


def test_classes_stand_weakest_first_and_those_without_rows_last() -> None:
    classes = [
        {"class": name, "precision": None, "recall": None, "f1": f1, "support": 3}
        for name, f1 in (("good", 0.9), ("empty", None), ("bad", 0.1))
    ]
    assert [line.title.en for line in class_lines(classes)] == ["bad", "good", "empty"]


def test_the_best_of_a_line_is_marked_whichever_way_the_metric_runs() -> None:
    def figure(value: float | None, *, greater: bool = True) -> dict:
        return {"title": "T", "value": value, "low": None, "high": None, "greater_is_better": greater}

    evaluation = {
        "metric": "accuracy",
        "metrics": {"accuracy": figure(0.8), "rmse": figure(0.8, greater=False), "r2": figure(None)},
        "baselines": [
            {
                "metrics": {"accuracy": figure(0.9), "rmse": figure(0.9, greater=False), "r2": figure(None)},
                "difference": {"value": -0.1, "low": -0.2, "high": 0.0},
            }
        ],
    }
    accuracy, rmse, r2, lead = result_lines(evaluation)
    assert [cell.best for cell in accuracy.cells] == [False, True]
    assert [cell.best for cell in rmse.cells] == [True, False]
    assert [cell.best for cell in r2.cells] == [False, False]
    assert [cell.text for cell in lead.cells] == ["", "−0.100"]
    assert lead.cells[1].interval == "−0.200 – +0.000"


def test_rows_of_a_table_are_shown_as_a_table(own_run: Callable[[str], Path]) -> None:
    run = own_run("regression")
    html = write_report(run).read_text(encoding="utf-8")
    assert not any(tag == "article" and a.get("class") == "example" for tag, a in read_page(html).elements)
    evaluation = json.loads((run / "evaluation.json").read_text())
    for example in evaluation["targets"]["price"]["examples"]["worst"]:
        example["inputs"]["note"]["value"] = "a few words"
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    html = write_report(run).read_text(encoding="utf-8")
    assert sum(tag == "article" and a.get("class") == "example" for tag, a in read_page(html).elements) == 6

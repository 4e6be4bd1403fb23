from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_parts import HOSTILE

from trainwright.reporting.charts.base import TABLE_ROWS, Chart, thin
from trainwright.reporting.charts.classes import _folded, class_charts
from trainwright.reporting.charts.learning import learning_charts
from trainwright.reporting.pages.target import target_pages
from trainwright.reporting.run_documents import RunDocuments, read_run

EXPRESSIONS = {"test", "filter", "calculate", "expr", "labelExpr", "field", "as", "key"}


def charts_of(run: RunDocuments) -> list[Chart]:
    charts = [
        chart for page in target_pages(run) for chart in [*page.comparison, *page.charts, *page.contributions]
    ]
    return charts + learning_charts(run)


def values_under(keys: set[str], node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, inner in node.items():
            if key in keys and isinstance(inner, str):
                yield inner
            yield from values_under(keys, inner)
    elif isinstance(node, list | tuple):
        for inner in node:
            yield from values_under(keys, inner)


def test_text_of_the_data_is_never_a_field_or_an_expression(sample_runs: dict[str, Path]) -> None:
    for chart in charts_of(read_run(sample_runs["binary"])):
        for expression in values_under(EXPRESSIONS, chart.spec):
            assert not any(text in expression for text in HOSTILE), chart.name


@pytest.mark.parametrize("name", ["binary", "pictures", "chinese", "regression"])
def test_every_chart_has_its_data_as_a_table(sample_runs: dict[str, Path], name: str) -> None:
    charts = charts_of(read_run(sample_runs[name]))
    assert len({chart.name for chart in charts}) == len(charts), "names are ids in the page"
    for chart in charts:
        assert 0 < len(chart.rows) <= TABLE_ROWS
        assert all(len(row) == len(chart.columns) for row in chart.rows)


@given(st.lists(st.integers()), st.integers(2, 30))
def test_thinning_keeps_the_ends_and_the_order(values: list[int], most: int) -> None:
    kept = thin(values, most)
    assert len(kept) == min(len(values), most)
    if values:
        assert (kept[0], kept[-1]) == (values[0], values[-1])
    positions = thin(range(len(values)), most)
    assert positions == sorted(set(positions))


@given(st.integers(2, 60), st.integers(0, 2**32 - 1))
def test_folding_a_confusion_matrix_loses_no_row(classes: int, seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 9, (classes, classes))
    table, labels = _folded(counts.tolist(), [str(index) for index in range(classes)])
    assert len(table) == len(labels) <= 20
    assert sum(map(sum, table)) == counts.sum()
    assert sum(table[i][i] for i in range(len(table))) >= np.trace(counts)


def test_a_heat_map_keeps_the_classes_with_most_errors() -> None:
    counts = np.diag(np.full(40, 9))
    counts[37, 5] = 4
    _, labels = _folded(counts.tolist(), [f"class {index}" for index in range(40)])
    assert {"class 37", "class 5"} <= {label.en for label in labels}


def test_of_many_curves_the_worst_are_drawn() -> None:
    curves = [{"class": str(index), "points": [[0, 0], [0.5, index / 10], [1, 1]]} for index in range(9)]
    (chart,) = class_charts("t0", {"roc": curves, "classes": []})
    assert {row[0].en for row in chart.rows} == {"0", "1", "2", "3", "4", "5"}
    assert "6 of 9 classes" in chart.about.en


def test_the_best_evaluation_is_marked_and_noise_is_averaged(sample_runs: dict[str, Path]) -> None:
    run = read_run(sample_runs["binary"])
    loss = learning_charts(run)[0]
    rule, training, validation = loss.spec["layer"]
    best = [event for event in run.events_of("evaluation") if event["best"]][-1]
    assert rule["data"]["values"] == [{"epoch": best["epoch"]}]
    assert len(training["data"]["values"]) <= 150 < len(run.events_of("step"))
    assert len(validation["data"]["values"]) == len(run.events_of("evaluation"))
    mean = np.mean([event["loss"] for event in run.events_of("step")])
    assert np.isclose(np.mean([point["value"] for point in training["data"]["values"]]), mean, rtol=0.02)


def test_metrics_of_several_targets_are_told_apart(sample_runs: dict[str, Path]) -> None:
    titles = [chart.title.en for chart in learning_charts(read_run(sample_runs["regression"]))]
    assert "root mean squared error of price on validation rows" in titles
    assert "root mean squared error of rent on validation rows" in titles

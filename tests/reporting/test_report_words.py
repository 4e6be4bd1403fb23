"""Whatever the layers below can name has a name in both languages."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import get_args

import pytest

from trainwright.evaluation.baselines import TITLES
from trainwright.evaluation.metrics.base import METRICS
from trainwright.evaluation.verdict import Outcome
from trainwright.features.base import FEATURES
from trainwright.recipe.recipe import SplitSettings
from trainwright.reporting.language import Message, said
from trainwright.reporting.phrases import PHRASES
from trainwright.reporting.verdict import _BADGES
from trainwright.reporting.words import (
    baseline_title,
    metric_title,
    split_title,
    task_title,
    type_title,
)
from trainwright.tasks.base import TASKS

# Names that are the same in Chinese.
_INTERNATIONAL = {"roc_auc", "pr_auc", "r2"}


def named() -> list[tuple[Callable[[str], Message], str]]:
    splits = [
        method for method in get_args(SplitSettings.model_fields["method"].annotation) if method != "auto"
    ]
    return [
        *((metric_title, name) for name in METRICS),
        *((task_title, name) for name in TASKS),
        *((type_title, name) for name in FEATURES),
        *((type_title, name) for name in ("id-like", "constant", "unknown")),
        *((baseline_title, name) for name in TITLES),
        *((split_title, name) for name in splits),
    ]


def test_every_name_is_known_in_chinese() -> None:
    missing = [
        name
        for title, name in named()
        if name not in _INTERNATIONAL and not re.search(r"[\u4e00-\u9fff]", title(name).zh)
    ]
    assert not missing


def test_every_reason_of_a_missing_figure_is_translated() -> None:
    for metric in (METRICS[name] for name in METRICS):
        assert re.search(r"[\u4e00-\u9fff]", said(metric.undefined, PHRASES).zh), metric.undefined


def test_every_outcome_has_a_badge() -> None:
    assert set(get_args(Outcome)) == set(_BADGES)


@pytest.mark.parametrize("title", [metric_title, baseline_title])
def test_a_name_that_a_plugin_added_keeps_its_own_title(title: Callable[[str, str], Message]) -> None:
    assert title("gini_of_somebody", "Gini").zh == "Gini"

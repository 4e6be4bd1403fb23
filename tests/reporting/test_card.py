from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_parts import HOSTILE
from sample_run import SAMPLES

from trainwright.reporting.card import escape_markdown, write_card

SECTIONS = [
    "How to use it", "Model details", "Intended use", "Factors", "Metrics and quantitative analyses",
    "Training and evaluation data", "Ethical considerations", "Limits and recommendations",
]  # fmt: skip


def card_of(run: Path, folder: Path) -> str:
    return write_card(run, folder).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SAMPLES)
def test_card_has_every_section_in_order(sample_runs: dict[str, Path], tmp_path: Path, name: str) -> None:
    card = card_of(sample_runs[name], tmp_path)
    assert re.findall(r"^## (.+)$", card, re.MULTILINE) == SECTIONS


def test_card_gives_metrics_with_intervals_beside_baselines(
    sample_runs: dict[str, Path], tmp_path: Path
) -> None:
    card = card_of(sample_runs["binary"], tmp_path)
    assert "| ROC-AUC | 0.927 (0.916 – 0.938) | 0.500 (0.489 – 0.511) |" in card
    assert "is as good (0.925;" in card
    assert "predictions = tw.predict(" in card


@pytest.mark.parametrize("name", SAMPLES)
def test_every_table_line_has_as_many_cells_as_its_header(
    sample_runs: dict[str, Path], tmp_path: Path, name: str
) -> None:
    tables = re.findall(r"(?:^\|.*\|$\n)+", card_of(sample_runs[name], tmp_path), re.MULTILINE)
    assert len(tables) >= 2
    for table in tables:
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(cells) == 1, table


def test_hostile_names_stay_text_on_one_line(sample_runs: dict[str, Path], tmp_path: Path) -> None:
    card = card_of(sample_runs["binary"], tmp_path)
    assert not re.search(r"(?<!\\)<[a-z/!]", card)
    assert "\u202e" not in card
    assert "\u2028" not in card


@pytest.mark.parametrize("text", HOSTILE)
def test_escaping_leaves_no_markup(text: str) -> None:
    escaped = escape_markdown(text)
    assert "\n" not in escaped
    assert not re.search(r"(?<!\\)[<>|`\[\]*_]", escaped)


def test_card_shows_no_row_of_the_data(sample_runs: dict[str, Path], tmp_path: Path) -> None:
    card = card_of(sample_runs["chinese"], tmp_path)
    assert "离地铁站只有五分钟" not in card
    assert "正文" in card


def test_card_names_the_groups_it_serves_badly(sample_runs: dict[str, Path], tmp_path: Path) -> None:
    card = card_of(sample_runs["regression"], tmp_path)
    assert re.search(r"- ocean = island: root mean squared error [\d,]+ \(.+\) on 31 rows", card)


def test_a_run_that_was_not_judged_has_a_card_that_says_so(
    own_run: Callable[[str], Path], tmp_path: Path
) -> None:
    run = own_run("binary")
    (run / "evaluation.json").unlink()
    assert "This model has not been judged." in card_of(run, tmp_path)


def test_a_new_card_replaces_the_old_one(own_run: Callable[[str], Path], tmp_path: Path) -> None:
    run = own_run("binary")
    first = card_of(run, tmp_path)
    data = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps({**data, "name": "other.csv"}))
    assert "other.csv" in card_of(run, tmp_path)
    assert "other.csv" not in first

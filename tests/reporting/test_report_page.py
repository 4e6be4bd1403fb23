from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from page_reader import Page, read_page
from sample_parts import HOSTILE
from sample_run import SAMPLES

from trainwright.foundation.errors import UserError
from trainwright.reporting.report import embedded, write_report

SECTIONS = {
    "binary": ["t0-results", "t0-errors-section", "t0-groups", "t0-examples", "t0-inputs"],
    "pictures": ["t0-results", "t0-errors-section", "t0-groups", "t0-examples"],
    "chinese": ["t0-results", "t0-errors-section", "t0-groups", "t0-examples"],
    "regression": [
        f"t{n}-{part}" for n in (0, 1) for part in ("results", "errors-section", "groups", "inputs")
    ],
}
CHARTS = {
    "binary": {"t0-comparison", "t0-confusion", "t0-roc", "t0-pr", "t0-calibration", "t0-contributions"},
    "pictures": {"t0-comparison", "t0-confusion", "t0-roc", "t0-pr", "t0-calibration"},
    "chinese": {"t0-comparison", "t0-confusion", "t0-roc", "t0-pr", "t0-calibration"},
    "regression": {
        f"t{n}-{chart}" for n in (0, 1) for chart in ("comparison", "scatter", "errors", "contributions")
    },
}


@pytest.fixture(scope="module")
def pages(sample_runs: dict[str, Path]) -> dict[str, Page]:
    return {
        name: read_page(write_report(run).read_text(encoding="utf-8")) for name, run in sample_runs.items()
    }


@pytest.mark.parametrize("name", SAMPLES)
def test_report_has_every_section_and_chart(pages: dict[str, Page], name: str) -> None:
    ids = {attributes["id"] for _, attributes in pages[name].elements if "id" in attributes}
    assert {"verdict", "data", "learning", "recipe", "machine", *SECTIONS[name]} <= ids
    assert {*CHARTS[name], "loss", "learning-0", "learning-rate", "timings"} <= ids


@pytest.mark.parametrize("name", SAMPLES)
def test_report_loads_nothing(pages: dict[str, Page], name: str) -> None:
    page = pages[name]
    for tag, attributes in page.elements:
        for attribute in ("src", "href", "action", "data", "poster", "srcset"):
            assert attributes.get(attribute, "#")[:1] == "#" or attributes[attribute].startswith("data:"), tag
        assert tag not in {"link", "iframe", "object", "embed", "form", "base"}
    assert not re.search(r"url\(|@import", page.styles[0])


@pytest.mark.parametrize("name", SAMPLES)
def test_policy_admits_exactly_the_scripts_and_the_style_of_the_page(
    pages: dict[str, Page], name: str
) -> None:
    page = pages[name]
    policy = next(
        a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))

    def hashes(texts: list[str]) -> set[str]:
        return {f"'sha256-{base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()}'" for t in texts}

    assert rules["default-src"] == "'none'"
    assert set(rules["script-src"].split()) == hashes(page.scripts)
    assert set(rules["style-src"].split()) == hashes(page.styles)
    assert rules["img-src"] == rules["media-src"] == "data:"
    for tag, attributes in page.elements:
        assert "style" not in attributes, tag
        assert not any(attribute.startswith("on") for attribute in attributes), tag


def test_hostile_text_stays_text(pages: dict[str, Page]) -> None:
    page = pages["binary"]
    assert len(page.scripts) == 4, "three vendored scripts and our own"
    assert not [tag for tag, attributes in page.elements if attributes.get("src") == "x"]
    for text in HOSTILE[:6]:
        assert text in page.text
    assert "half a \ufffd pair and a \ufffd byte" in page.text
    turning = [tag for tag, _ in page.elements if tag == "bdi"]
    assert turning, "text that turns its direction is isolated"


@pytest.mark.parametrize("name", SAMPLES)
def test_chart_documents_are_whole_and_cannot_end_their_element(pages: dict[str, Page], name: str) -> None:
    for document in pages[name].documents:
        assert not set(document) & set("<>&\u2028\u2029")
        spec = json.loads(document)
        assert {"layer", "mark"} & set(spec)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_chart_has_a_name_and_a_table(pages: dict[str, Page], name: str) -> None:
    elements = pages[name].elements
    drawings = [attributes for _, attributes in elements if attributes.get("class") == "drawing"]
    figures = [attributes for tag, attributes in elements if tag == "figure"]
    assert len(drawings) == len(figures) == len(pages[name].documents)
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert drawing["aria-label"] == drawing["data-label-en"] != ""
        assert drawing["data-label-zh"]


@pytest.mark.parametrize("name", SAMPLES)
def test_both_languages_stand_side_by_side(pages: dict[str, Page], name: str) -> None:
    spans = pages[name].spans
    assert len(spans["en"]) == len(spans["zh"]) > 100
    for english, chinese in zip(spans["en"], spans["zh"], strict=True):
        assert re.search(r"[\u4e00-\u9fff（）：；，。]", chinese), f"no Chinese for {english!r}"


def test_verdict_says_plainly_that_the_simple_model_is_as_good(pages: dict[str, Page]) -> None:
    text = pages["binary"].text
    assert "with ROC-AUC 0.927 (95\u00a0% interval 0.916 to 0.938)" in text
    assert "The best simple model, gradient-boosted trees, is as good (0.925;" in text
    assert "最好的简单模型梯度提升树同样好" in text
    assert "is better by 0.021 (between 0.009 and 0.034): use it" in pages["chinese"].text
    assert "That is better by 2,372 (between 791 and 3,953)" in pages["regression"].text


def test_a_simple_model_that_was_skipped_says_why(pages: dict[str, Page]) -> None:
    assert "skipped: no time was left" in pages["pictures"].text
    assert "略过：时间已用完" in pages["pictures"].text


def test_examples_show_pictures_and_play_sounds(pages: dict[str, Page]) -> None:
    tags = [
        tag for tag, attributes in pages["pictures"].elements if attributes.get("src", "").startswith("data:")
    ]
    assert tags.count("img") >= 6
    assert "audio" in tags


def test_media_that_is_neither_picture_nor_sound_is_left_out(own_run: Callable[[str], Path]) -> None:
    run = own_run("pictures")
    evaluation = json.loads((run / "evaluation.json").read_text())
    example = evaluation["targets"]["digit"]["examples"]["doubtful"][0]
    example["inputs"] = {
        "page": {"type": "image", "value": None, "data": "data:text/html;base64,PHNjcmlwdD4="},
        "far": {"type": "image", "value": None, "data": "https://example.org/spy.png"},
    }
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    html = write_report(run).read_text(encoding="utf-8")
    assert "PHNjcmlwdD4" not in html
    assert "example.org" not in html


@pytest.mark.parametrize("name", SAMPLES)
def test_report_is_quick_and_small(sample_runs: dict[str, Path], name: str) -> None:
    began = time.process_time()
    path = write_report(sample_runs[name])
    assert time.process_time() - began < 1
    assert path.stat().st_size < 1_500_000


@pytest.mark.parametrize("name", SAMPLES)
def test_the_same_run_gives_the_same_bytes(sample_runs: dict[str, Path], name: str) -> None:
    assert write_report(sample_runs[name]).read_bytes() == write_report(sample_runs[name]).read_bytes()


def test_a_run_that_was_not_judged_shows_what_there_is(own_run: Callable[[str], Path]) -> None:
    run = own_run("binary")
    (run / "evaluation.json").unlink()
    (run / "environment.json").unlink()
    page = read_page(write_report(run).read_text(encoding="utf-8"))
    assert "has not been judged yet" in page.text
    assert {"loss", "data"} <= {attributes.get("id") for _, attributes in page.elements}


def test_notes_stand_in_the_row_of_their_column(sample_runs: dict[str, Path]) -> None:
    lines = write_report(sample_runs["binary"]).read_text(encoding="utf-8").split("<tr")
    line = next(line for line in lines if '<th scope="row">contract</th>' in line)
    assert '<span lang="en">rare levels that share one index: 2 of 5</span>' in line
    assert '<span lang="zh">5 个取值中有 2 个罕见，共用一个编号</span>' in line
    assert not [line for line in lines if "share one index" in line and "contract" not in line]


def test_a_run_from_before_columns_had_notes_is_shown(own_run: Callable[[str], Path]) -> None:
    run = own_run("binary")
    data = json.loads((run / "data.json").read_text())
    del data["column_notes"]
    (run / "data.json").write_text(json.dumps(data))
    page = read_page(write_report(run).read_text(encoding="utf-8"))
    assert "3 different values in 6,000 rows" in page.text
    assert "share one index" not in page.text


def test_figures_of_validation_rows_are_called_so(own_run: Callable[[str], Path]) -> None:
    run = own_run("binary")
    evaluation = json.loads((run / "evaluation.json").read_text())
    (run / "evaluation.json").write_text(json.dumps({**evaluation, "part": "validation"}))
    assert "No rows were kept for a test" in read_page(write_report(run).read_text(encoding="utf-8")).text


@pytest.mark.parametrize("name", ["evaluation.json", "data.json", "events.jsonl"])
def test_a_damaged_document_is_named(own_run: Callable[[str], Path], name: str) -> None:
    run = own_run("binary")
    (run / name).write_text('{"half": \n')
    with pytest.raises(UserError, match=re.escape(name)):
        write_report(run)
    assert not (run / "report.html").exists()


def test_what_is_no_run_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        write_report(tmp_path)


def test_embedded_json_reads_back_as_it_was() -> None:
    value = {"text": [*HOSTILE[:6], "&amp;"], "number": 1.5}
    written = str(embedded(value))
    assert not set(written) & set("<>&\u2028\u2029")
    assert json.loads(written) == value

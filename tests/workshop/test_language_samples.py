"""What a model wrote at every evaluation stands in the report, each with its step."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

import trainwright as tw
from trainwright.reporting.numbers import count
from trainwright.reporting.pages import language
from trainwright.reporting.run_documents import read_run


def test_every_evaluation_has_its_samples(small_text_run: tw.Run) -> None:
    documents = read_run(small_text_run.path)
    kinds = [event["kind"] for event in documents.events if event["kind"] in {"samples", "evaluation"}]
    assert kinds == ["samples", "evaluation"] * (len(kinds) // 2)
    assert len(kinds) > 8
    steps = [event["step"] for event in documents.events_of("evaluation")]
    said = [event["samples"] for event in documents.events_of("samples")]
    prompts = [[each["prompt"] for each in some] for some in said]
    assert prompts[0] and all(some == prompts[0] for some in prompts)
    page = language.language_page(documents)
    assert page is not None
    shown = {int(step) for step, _, _ in page.written if step}
    assert shown <= set(steps)
    # What was written at a step stands at that step.
    written = {(step, prompt, text) for step, prompt, text in page.written if step}
    known = {
        (count(step), each["prompt"], each["text"])
        for step, some in zip(steps, said, strict=True)
        for each in some
    }
    assert written <= known and min(shown) == steps[0]
    html = small_text_run.report.read_text(encoding="utf-8")
    captions = "".join(re.findall(r"<figcaption.*?</figcaption>", html))
    assert {int(step) for step in re.findall(r"after step (\d+)", captions)} == shown


@pytest.mark.parametrize("most", [3, 5, 1_000])
def test_of_many_evaluations_some_are_shown_at_even_distances(
    small_text_run: tw.Run, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(language, "_MOST_SAMPLES", most)
    documents = read_run(small_text_run.path)
    steps = [event["step"] for event in documents.events_of("evaluation")]
    # The last evaluation may have written what is written at the end, and is then not shown twice.
    for event in documents.events_of("samples"):
        for number, each in enumerate(event["samples"]):
            each["text"] = f"{id(event)} {number}"
    page = language.language_page(documents)
    assert page is not None
    shown = sorted({int(step) for step, _, _ in page.written if step})
    at_the_end = sum(not step for step, _, _ in page.written)
    kept = min(len(steps), max((most - at_the_end) // at_the_end, 2))
    assert len(shown) == kept
    assert (shown[0], shown[-1]) == (steps[0], steps[-1])
    gaps = [steps.index(two) - steps.index(one) for one, two in pairwise(shown)]
    assert max(gaps) - min(gaps) <= 1
    assert (page.thinned is None) == (kept == len(steps))
    if page.thinned is not None:
        assert page.thinned.en == (
            f"Of {len(steps)} evaluations {kept} are shown, from the first to the last."
        )

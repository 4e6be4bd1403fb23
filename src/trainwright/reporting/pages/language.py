"""A language model in the report: how well it tells text, what it writes, and what it read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainwright.reporting.language import Message, both, mark
from trainwright.reporting.numbers import clip, count, interval, number
from trainwright.reporting.run_documents import RunDocuments
from trainwright.reporting.words import baseline_title, metric_title, part_title, task_title

_MOST_TOKENS = 202
"""Of a sample: 200, and the marks of what is left out before and behind them."""
_MOST_SAMPLES = 40
"""Texts that a model wrote in the page: of evaluations with more than these, some are left out."""
_CHARACTERS = 1_200
_BADGES = {
    "ngrams": {
        "better": mark("Better than counting"),
        "as good": mark("No better than counting"),
        "worse": mark("Counting is better"),
    },
    "start": {
        "better": mark("Better than before training"),
        "as good": mark("No better than before training"),
        "worse": mark("Worse than before training"),
    },
}
_NO_BADGE = mark("Not compared with a simple model")
_ON_TEXTS = {
    "test": mark("On texts that were kept away from training the {metric} is {value} (less is better)."),
    "validation": mark(
        "On the validation texts, which also chose the weights, the {metric} is {value} (less is better)."
    ),
}
_ON_PAIRS = {
    "test": mark(
        "On pairs of answers that were kept away from training the {metric} is {value} (more is better)."
    ),
    "validation": mark(
        "On the validation pairs, which also chose the weights, the {metric} is {value} (more is better)."
    ),
}
_COMPARISONS = {
    "ngrams": mark("Counting which token follows which (n-grams of {order}) reaches {value}."),
    "start": mark("The model that training started from prefers neither answer by this measure: {value}."),
}
_RESULTS = (
    mark("How well it tells text"),
    mark(
        "Why it matters: perplexity says among how many equally likely tokens the model is undecided on "
        "average; bits per byte say the same in a way that does not depend on the tokenizer."
    ),
)
_RESULTS_OF_PAIRS = (
    mark("How well it tells the better answer"),
    mark(
        "Why it matters: an answer's reward is how much likelier it has become than before training. The "
        "reward accuracy is the share of pairs in which the better answer has the higher one, the reward "
        "margin by how much on average."
    ),
)
"""Title and lead of the results: of pairs of answers, else of text."""


_READ = {
    "marked": mark(
        "Why it matters: a model learns the tokens that are marked, and nothing else. Check that they are"
        " what it shall say."
    ),
    "hidden": mark(
        "Why it matters: a model that fills gaps learns words that are hidden from it, others in each epoch;"
        " so none is marked here. Check that these are texts it shall know."
    ),
}
"""Lead of the samples: of models to which each text is shown as it is, and of masked ones."""


@dataclass(frozen=True)
class Line:
    """A metric: its name, its value with interval, and what counting reaches."""

    title: Message
    value: str
    range: str
    baseline: str


@dataclass(frozen=True)
class LanguagePage:
    """What a run of a language model says.

    Attributes:
        task: what was learned.
        outcome: "better", "as good", "worse" or "no baseline" beside n-grams; None while it is not judged.
        headline: the metric at the top, on the test texts.
        badge, sentence: the verdict in words.
        results: title and lead of the metrics.
        lines: all metrics.
        baseline: what they are compared with; None without.
        remarks: what the metrics do not say of themselves.
        written: (step or "", prompt, text) of what it wrote, the last first.
        goes_on: whether that is more of the prompt, and no text of its own.
        lead: what the samples are to be checked for.
        thinned: how many of the evaluations are shown; None where all are.
        parts: (part, samples, tokens).
        read: samples as tokens: (text, whether it is learned).
        fertility: (script, characters a token, tokens a word).
        facts: of format and tokenizer.
    """

    task: Message
    outcome: str | None
    headline: Line | None
    badge: Message | None
    sentence: Message | None
    results: tuple[Message, Message]
    lines: Sequence[Line]
    baseline: Message | None
    remarks: Sequence[Message]
    written: Sequence[tuple[str, str, str]]
    goes_on: bool
    lead: Message
    thinned: Message | None
    parts: Sequence[tuple[Message, str, str]]
    read: Sequence[Sequence[tuple[str, bool]]]
    fertility: Sequence[tuple[str, str, str]]
    facts: Sequence[tuple[Message, Message | str]]


def language_page(run: RunDocuments) -> LanguagePage | None:
    """Return the page of a language model; None for any other run."""
    data = run.data
    if data.get("kind") != "language":
        return None
    judged = (run.evaluation or {}).get("language")
    lines = _lines(judged, run.judged_part) if judged else {}
    badge, sentence = _verdict(judged, run.judged_part) if judged else (None, None)
    tokenizer = data["tokenizer"]
    title, lead = _RESULTS_OF_PAIRS if data["task"] == "preference" else _RESULTS
    read = _READ["hidden" if data["task"] == "masked-lm" else "marked"]
    baseline = judged["baseline"] if judged else None
    written, thinned = _written(run, judged)
    made = both("trained on this data") if tokenizer["made"] else both("the checkpoint's own")
    return LanguagePage(
        task=task_title(data["task"]),
        outcome=judged["verdict"]["outcome"] if judged else None,
        headline=lines[judged["metric"]] if judged else None,
        badge=badge,
        sentence=sentence,
        results=(both(title), both(lead)),
        lines=list(lines.values()),
        baseline=baseline_title(baseline["name"]) if baseline else None,
        remarks=language_remarks(judged, run.judged_part) if judged else [],
        written=written,
        goes_on=data["task"] == "causal-lm",
        thinned=thinned,
        lead=both(read),
        parts=[
            (part_title(name), count(each["samples"]), count(each["tokens"]))
            for name, each in data["parts"].items()
        ],
        read=[
            [(token["text"], bool(token["trained"])) for token in sample[:_MOST_TOKENS]]
            for sample in data["shown"]
        ],
        fertility=[
            (each["script"], number(each["characters_per_token"]), number(each["tokens_per_word"]))
            for each in tokenizer["fertility"]
        ],
        facts=[
            (both("format"), str(data["format"])),
            (both("tokens in the vocabulary"), count(tokenizer["vocabulary"])),
            (both("tokenizer"), made),
            (both("tokens of a sample, median and most"), _lengths(data["lengths"])),
        ],
    )


def language_remarks(judged: Mapping[str, Any], part: str) -> list[Message]:
    """Return what is to be known beside the metrics: of how much text they are, and the n-grams.

    Args:
        judged: "language" of evaluation.json.
        part: the part that was judged.
    """
    found = []
    read, counted = judged["parts"][part], judged["baseline"] or {}
    if not read["whole"]:
        found.append(
            both(
                "The metrics are of the first {read} of {of} tokens.",
                read=count(read["read"]),
                of=count(read["of"]),
            )
        )
    if not counted.get("whole", True):
        found.append(
            both(
                "The n-grams were counted in the first {read} tokens of training: in all of them they would"
                " do better.",
                read=count(counted["read"]),
            )
        )
    return found


def _lengths(lengths: Mapping[str, int]) -> str:
    return f"{count(lengths['median'])} / {count(lengths['max'])}" if lengths else ""


def _lines(judged: Mapping[str, Any], part: str) -> dict[str, Line]:
    baseline = (judged["baseline"] or {}).get("metrics", {})
    return {
        name: Line(
            metric_title(name, figure["title"]),
            number(figure["value"]),
            interval(figure),
            number(baseline[name]) if name in baseline else "",
        )
        for name, figure in judged["parts"][part]["metrics"].items()
    }


def _verdict(judged: Mapping[str, Any], part: str) -> tuple[Message, Message]:
    """Return the badge and the sentence of a verdict."""
    metric, outcome = judged["metric"], judged["verdict"]["outcome"]
    figure = judged["parts"][part]["metrics"][metric]
    template = (_ON_PAIRS if figure.get("greater_is_better") else _ON_TEXTS)[part]
    result = both(template, metric=metric_title(metric, figure["title"]), value=number(figure["value"]))
    if outcome == "no baseline":
        return both(_NO_BADGE), result
    baseline = judged["baseline"]
    badges, comparison = _BADGES[baseline["name"]], _COMPARISONS[baseline["name"]]
    figures = {"value": number(baseline["metrics"][metric]), "order": str(baseline.get("order", ""))}
    badge, second = both(badges[outcome]), both(comparison, **figures)
    return badge, both("{first} {second}", first=result, second=second)


def _written(
    run: RunDocuments, judged: Mapping[str, Any] | None
) -> tuple[list[tuple[str, str, str]], Message | None]:
    """Return what the model wrote, the last first, each with its step, and how many evaluations are shown."""
    at_the_end = judged["samples"] if judged else []
    earlier: list[tuple[str, Sequence[Mapping[str, str]]]] = []
    said: Sequence[Mapping[str, str]] = ()
    for event in run.events:
        if event["kind"] == "samples":
            said = event["samples"]
        elif event["kind"] == "evaluation":  # it follows what was written for it, and knows the step
            earlier += [(count(event["step"]), said)] if said else []
            said = ()
    shown = _spread(earlier, _MOST_SAMPLES - len(at_the_end))
    thinned = None
    if len(shown) < len(earlier):
        thinned = both(
            "Of {all} evaluations {shown} are shown, from the first to the last.",
            all=count(len(earlier)),
            shown=count(len(shown)),
        )
    lines = [("", each) for each in at_the_end]
    # The weights that were kept have written the same before.
    lines += [(at, each) for at, some in reversed(shown) for each in some if each not in at_the_end]
    return [
        (at, clip(each["prompt"], _CHARACTERS), clip(each["text"], _CHARACTERS)) for at, each in lines
    ], thinned


def _spread(
    evaluations: Sequence[tuple[str, Sequence[Mapping[str, str]]]], most: int
) -> list[tuple[str, Sequence[Mapping[str, str]]]]:
    """Return evaluations at even distances with about `most` texts, the first and the last among them."""
    texts = max((len(some) for _, some in evaluations), default=1)
    kept = max(most // max(texts, 1), 2)
    if len(evaluations) <= kept:
        return list(evaluations)
    last = len(evaluations) - 1
    return [evaluations[round(place * last / (kept - 1))] for place in range(kept)]

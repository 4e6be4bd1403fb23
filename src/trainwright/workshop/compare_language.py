"""`compare` for two runs of language models: what each reaches on the same texts, and what it took."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainwright.foundation.errors import UserError
from trainwright.training.events import read_events
from trainwright.workshop.run import Run

_OF_TOKENS = frozenset({"loss", "perplexity"})
"""Metrics for each token: they compare only where both models have the same tokens."""
_HEADLINES = ("reward_accuracy", "bits_per_byte", "perplexity")
"""What decides: the first of these that both have and that compares."""


def compare_language(one: Run, two: Run) -> dict[str, Any]:
    """Return what two judged runs reach and took.

    Args:
        one, two: runs with a task.

    Returns:
        {"targets": {task: as `compare` says}, "facts": [{"fact", "first", "second"}], "notes": [sentence]}.

    Raises:
        UserError: they learn different things.
    """
    tasks = [run.recipe.task for run in (one, two)]
    if tasks[0] != tasks[1]:
        raise UserError(
            f"the runs learn different things ({tasks[0]} and {tasks[1]})",
            where=f"{one.path} and {two.path}",
            fix="compare runs of the same task",
        )
    parts = [run.evaluation["language"]["parts"][run.evaluation["part"]] for run in (one, two)]
    judged = [part["metrics"] for part in parts]
    shared = [name for name in judged[0] if name in judged[1]]
    same_tokens = _tokenizer(one) == _tokenizer(two)
    comparable = [name for name in shared if same_tokens or name not in _OF_TOKENS]
    metric = next((name for name in (*_HEADLINES, *comparable) if name in comparable), None)
    why = _why_not(one, two)
    if metric is None:
        metric, why = shared[0], why or "their tokenizers differ, and with them what a token is"
    if not (same_tokens or all(part["whole"] for part in parts)):
        why = why or "each was judged on the first tokens of the texts, and their tokenizers differ"
    difference = None if why else _difference(judged[0][metric], judged[1][metric])
    lines = [
        {"metric": name, "first": judged[0][name]["value"], "second": judged[1][name]["value"]}
        for name in shared
    ]
    notes = []
    if not same_tokens and _OF_TOKENS & set(shared):
        notes.append(
            "The tokenizers differ, so loss and perplexity, which are for each token, do not compare."
        )
    if difference is not None:
        notes.append("The interval holds for independent texts; on the same ones the truth is narrower.")
    return {
        "targets": {
            str(tasks[0]): {"metric": metric, "metrics": lines, "difference": difference, "why": why}
        },
        "facts": _facts(one, two),
        "notes": notes,
    }


def _why_not(one: Run, two: Run) -> str | None:
    """Return why the figures of two runs do not say which is better; None where they do."""
    data = [_document(run, "data.json") for run in (one, two)]
    if data[0]["fingerprint"] != data[1]["fingerprint"]:
        return "the runs were made from different data"
    if any(data[0][name] != data[1][name] for name in ("format", "names")):
        return "the runs read the data differently"
    parts = [run.evaluation["part"] for run in (one, two)]
    rows = [_judged_rows(run, part) for run, part in zip((one, two), parts, strict=True)]
    shares = [run.recipe.split for run in (one, two)]
    if (
        parts[0] != parts[1]
        or not np.array_equal(*rows)
        or (data[0]["split"]["method"] == "ends" and shares[0] != shares[1])
    ):
        return "the runs were judged on different texts (another seed or split)"
    if one.recipe.evaluation.confidence != two.recipe.evaluation.confidence:
        return "their intervals have another confidence"
    return None


def _difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, float | None]:
    """Return by how much the second is better, with an interval from those of both (Zou & Donner 2008)."""
    sign = 1 if first.get("greater_is_better") else -1
    value = sign * (second["value"] - first["value"])
    ends = [figure[name] for figure in (first, second) for name in ("low", "high")]
    if any(end is None for end in ends):
        return {"value": value, "low": None, "high": None}
    good, bad = ("high", "low") if sign > 0 else ("low", "high")
    up = math.hypot(second[good] - second["value"], first[bad] - first["value"])
    down = math.hypot(second[bad] - second["value"], first[good] - first["value"])
    return {"value": value, "low": value - down, "high": value + up}


def _facts(one: Run, two: Run) -> list[dict[str, Any]]:
    """Return what either run took."""
    found = [_took(run) for run in (one, two)]
    return [{"fact": name, "first": found[0][name], "second": found[1][name]} for name in found[0]]


def _took(run: Run) -> dict[str, Any]:
    events = list(read_events(run.path / "events.jsonl"))
    start: Mapping[str, Any] = next((e for e in reversed(events) if e["kind"] == "start"), {})
    stop: Mapping[str, Any] = next((e for e in reversed(events) if e["kind"] == "stop"), {})
    return {
        "parameters": start.get("parameters"),
        "learned parameters": start.get("learned_parameters"),
        "tokens in the vocabulary": _document(run, "data.json")["tokenizer"]["vocabulary"],
        "steps": stop.get("step"),
        "seconds of training": None if stop.get("seconds") is None else round(stop["seconds"], 1),
        "tokens a second": stop.get("rows_per_second"),
        "seconds in all": run.evaluation.get("timings", {}).get("total"),
        "peak memory in MB": run.evaluation.get("peak_memory_mb"),
    }


def _tokenizer(run: Run) -> str:
    """Return what differs where two tokenizers cut a text differently."""
    from trainwright.features.language.tokenizer import LanguageTokenizer

    return LanguageTokenizer.load(run.path / "model").backend.to_str()


def _judged_rows(run: Run, part: str) -> Any:
    with np.load(run.path / "split.npz") as split:
        return split[part]


def _document(run: Run, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((run.path / name).read_text(encoding="utf-8"))
    return document

"""`compare`: what differs between two runs, and whether the difference in the result is more than luck."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trainwright.evaluation.bootstrap import Bootstrap, bootstrap
from trainwright.evaluation.metrics.base import METRICS
from trainwright.evaluation.sample import Sample
from trainwright.foundation.errors import UserError
from trainwright.workshop.compare_language import compare_language
from trainwright.workshop.run import Run


def compare(first: Run | str | Path, second: Run | str | Path) -> dict[str, Any]:
    """Compare two judged runs.

    Args:
        first: a run or its folder.
        second: another one.

    Returns:
        {"first", "second", "settings": [{"field", "first", "second"}], "targets": {target: {"metric",
        "metrics": [{"metric", "first", "second"}], "difference": {"value", "low", "high"} (second minus
        first, positive is better) or None, "why": reason when there is none}}}; of language models also
        {"facts": [{"fact", "first", "second"}], "notes"} (see `compare_language`).

    Raises:
        UserError: a folder is no judged run, or the runs share no target.
    """
    runs = [run if isinstance(run, Run) else Run(run) for run in (first, second)]
    for run in runs:
        if not run.finished:
            raise UserError(
                "this run has not been judged yet", where=str(run.path), fix="let it finish first"
            )
    one, two = runs
    found = {"first": str(one.path), "second": str(two.path), "settings": _settings(one, two)}
    if one.recipe.task is not None and two.recipe.task is not None:
        return found | compare_language(one, two)
    if one.recipe.task is not None or two.recipe.task is not None:
        raise UserError(
            "a language model and a model of columns have nothing to be compared by",
            where=f"{one.path} and {two.path}",
            fix="compare runs of one kind",
        )
    judged = [run.evaluation["targets"] for run in runs]
    shared = [name for name in judged[0] if name in judged[1]]
    if not shared:
        raise UserError(
            f"the runs have no target in common ({', '.join(judged[0])} and {', '.join(judged[1])})",
            where=f"{one.path} and {two.path}",
            fix="compare runs that predict the same column",
        )
    return found | {"targets": {name: _target(name, one, two) for name in shared}}


def _settings(one: Run, two: Run) -> list[dict[str, Any]]:
    flat = [_flat(run.recipe.model_dump(mode="json")) for run in (one, two)]
    return [
        {"field": field, "first": flat[0].get(field), "second": flat[1].get(field)}
        for field in dict.fromkeys([*flat[0], *flat[1]])
        if flat[0].get(field) != flat[1].get(field)
    ]


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _target(name: str, one: Run, two: Run) -> dict[str, Any]:
    judged = [run.evaluation["targets"][name] for run in (one, two)]
    metric = judged[0]["metric"]
    answer: dict[str, Any] = {
        "metric": metric,
        "metrics": [
            {
                "metric": key,
                **{
                    place: line["metrics"].get(key, {}).get("value")
                    for place, line in zip(("first", "second"), judged, strict=True)
                },
            }
            for key in judged[0]["metrics"]
        ],
        "difference": None,
        "why": None,
    }
    samples = [_sample(name, run, line) for run, line in zip((one, two), judged, strict=True)]
    if _fingerprint(one) != _fingerprint(two):
        answer["why"] = "the runs were made from different data"
    elif not np.array_equal(samples[0][0], samples[1][0]):
        answer["why"] = "the runs were judged on different rows (another seed or split)"
    else:
        both = {"first": samples[0][1], "second": samples[1][1]}
        draws = bootstrap(
            both, [METRICS[metric]], Bootstrap(both["first"].rows, resamples=1000, seed=one.recipe.seed)
        )
        gain = draws["second"][metric].minus(draws["first"][metric]).times(METRICS[metric].sign)
        interval = gain.interval(judged[0]["confidence"])
        answer["difference"] = {"value": interval.value, "low": interval.low, "high": interval.high}
    return answer


def _fingerprint(run: Run) -> str:
    document = json.loads((run.path / "data.json").read_text(encoding="utf-8"))
    return str(document["fingerprint"])


def _sample(name: str, run: Run, judged: Mapping[str, Any]) -> tuple[Any, Sample]:
    """Return the judged rows and the sample of a target, from the predictions a run left."""
    frame = pl.read_parquet(run.path / "predictions.parquet")
    scores = frame[f"{name}: scores"].to_numpy()
    if judged["task"] == "regression":
        value, low, high = scores.astype(np.float64).T
        truth = frame[f"{name}: true"].to_numpy()
        return frame["row"].to_numpy(), Sample.of("regression", truth, value, low=low, high=high)
    target = frame[f"{name}: target"].to_numpy()
    sample = Sample.of(judged["task"], target, scores, threshold=judged["threshold"])
    return frame["row"].to_numpy(), sample

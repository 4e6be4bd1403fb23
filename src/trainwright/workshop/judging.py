"""Judging a finished training: the test rows opened once, beside simple models."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from trainwright.data.encoded import TARGET, Array, EncodedRows, Ragged
from trainwright.evaluation.baselines import TEST_ROWS, TRAINING_ROWS, Baseline, fit_baselines
from trainwright.evaluation.design_matrix import RAW_TYPES, BaselineRows
from trainwright.evaluation.importance import contributions
from trainwright.evaluation.judge import headline_metric, judge
from trainwright.evaluation.metrics.base import Metric
from trainwright.evaluation.sample import Sample
from trainwright.features.base import Encoded
from trainwright.features.encoding import TABLE
from trainwright.foundation.devices import peak_memory_mb
from trainwright.foundation.paths import whole_folder, write_json, writing
from trainwright.foundation.random import numpy_stream
from trainwright.recipe.recipe import EvaluationSettings
from trainwright.reporting.card import write_card
from trainwright.reporting.manifest import write_manifest
from trainwright.reporting.report import write_report
from trainwright.workshop.choices import DEFAULT_SECONDS
from trainwright.workshop.model import Model
from trainwright.workshop.prepare import Prepared

if TYPE_CHECKING:
    from trainwright.tasks.base import Task
    from trainwright.training.loop import Outcome

_BASELINE_SHARE = 0.1
"""Share of the time budget that simple models may take."""
_CONTRIBUTION_ROWS = 1_000
_CONTRIBUTION_SECONDS = 15.0
_SHOWN_COLUMNS = 24
_SHOWN_CHARACTERS = 600


def headline_of(settings: EvaluationSettings, task: Task) -> Metric:
    """Return the metric that names the best model: the one asked for, else the task's own.

    Raises:
        RecipeError: the metric does not exist or does not judge such a target.
    """
    rows = np.zeros((1, len(task.classes)) if task.classes else (1, 3), dtype=np.float32)
    target = np.zeros((1, len(task.classes)) if task.name == "multilabel" and task.classes else 1)
    return headline_metric(settings.metric or task.metrics[0], sample_of(task, target, rows))


def sample_of(task: Task, target: Array, scores: Array, *, coverage: float = 0.9) -> Sample:
    """Return truth and scores of some rows as metrics take them.

    Args:
        task: the target's task.
        target: encoded targets.
        scores: what `task.scores` gave.
        coverage: share of rows that intervals were made to contain.
    """
    if task.name == "regression":
        value, low, high = scores.astype(np.float64).T
        return Sample.of("regression", task.truth(target), value, low=low, high=high, coverage=coverage)
    return Sample.of(task.name, target, scores, labels=task.decide(scores), coverage=coverage)


def calibrate(model: Model, prepared: Prepared) -> None:
    """Fit shares of views, temperatures, thresholds and intervals on the validation rows."""
    settings = model.recipe.evaluation
    index = prepared.split.indices["validation"]
    targets = {name: np.asarray(prepared.rows.arrays[TARGET + name])[index] for name in model.tasks}
    if model.network.views > 1:
        alone = model.scores(prepared.rows, index, by_view=True)
        for name, task in model.tasks.items():
            task.fit_shares(alone[name], targets[name])
    scores = model.scores(prepared.rows, index)
    for name, task in model.tasks.items():
        target = targets[name]
        task.calibrate(scores[name], target, settings.coverage, threshold=settings.threshold)


def judge_run(
    place: Path,
    model: Model,
    prepared: Prepared,
    outcome: Outcome,
    *,
    budget_seconds: float | None,
    began: float,
) -> None:
    """Judge a trained model and write model folder, predictions, report and, last, the evaluation.

    A run with an evaluation is finished: whatever goes wrong before leaves one that `resume` finishes.

    Args:
        place: run folder.
        model: the trained model; its tasks are calibrated here.
        prepared: the data.
        outcome: how training ended.
        budget_seconds: time budget of training, where it has one.
        began: `time.monotonic()` at the start of the run.
    """
    # That of an interrupted run, which goes on here, would say that this one is finished.
    (place / "evaluation.json").unlink(missing_ok=True)
    calibrate(model, prepared)
    # The model is whole on disk before judging begins: a run that is stopped now has lost nothing.
    save_model(model, place, prepared)
    tick = time.monotonic()
    part = "test" if len(prepared.split.indices["test"]) else "validation"
    index = prepared.split.indices[part]
    scores = model.scores(prepared.rows, index)
    validation = model.scores(prepared.rows, prepared.split.indices["validation"])
    seconds = {"judge": time.monotonic() - tick, "baselines": 0.0}
    allowed = _BASELINE_SHARE * (budget_seconds or DEFAULT_SECONDS) / len(model.tasks)
    targets: dict[str, Any] = {}
    for name, task in model.tasks.items():
        tick = time.monotonic()
        simple, judged = _simple_models(model, name, prepared, index, allowed)
        seconds["baselines"] += time.monotonic() - tick
        tick = time.monotonic()
        targets[name] = _judge_target(
            model, name, task, prepared, index, scores[name], validation[name], simple, judged
        )
        seconds["judge"] += time.monotonic() - tick
    _write_predictions(place, model, prepared, index, scores)
    prepared.seconds |= seconds
    timings = {name: round(value, 3) for name, value in prepared.seconds.items()}
    timings["total"] = round(time.monotonic() - began, 3)
    document = {
        "targets": targets,
        "part": part,
        "timings": timings,
        "peak_memory_mb": round(peak_memory_mb()),
        "stopped": outcome.reason,
    }
    write_card(place, place / "model", evaluation=document)
    metrics = {
        name: {metric: found["value"] for metric, found in judged["metrics"].items()}
        for name, judged in targets.items()
    }
    write_manifest(place / "model", data_fingerprint=prepared.table.fingerprint, metrics=metrics)
    write_report(place, evaluation=document)
    write_json(place / "evaluation.json", document)


def save_model(model: Model, place: Path, prepared: Prepared) -> None:
    """Write the model folder of a run, whole or not at all."""
    with whole_folder(place / "model") as scratch:
        model.save(scratch)
        write_manifest(scratch, data_fingerprint=prepared.table.fingerprint, metrics={})


def _judge_target(
    model: Model,
    name: str,
    task: Task,
    prepared: Prepared,
    index: Array,
    scores: Array,
    validation_scores: Array,
    simple: Sequence[Baseline],
    judged: Array | None,
) -> dict[str, Any]:
    settings = model.recipe.evaluation
    target = np.asarray(prepared.rows.arrays[TARGET + name])
    types = {column: feature.type for column, feature in model.encoding.inputs.items()}
    sliced = [
        column for column, kind in types.items() if kind in {"category", "boolean", "number", "ordinal"}
    ]
    sliced = list(dict.fromkeys([*settings.slices, *sliced]))
    validation = prepared.split.indices["validation"]
    coverage = settings.coverage
    document = judge(
        sample_of(task, target[index], scores, coverage=coverage),
        settings=settings,
        metrics=task.metrics,
        classes=task.classes,
        validation=sample_of(task, target[validation], validation_scores, coverage=coverage),
        baselines=simple,
        baseline_rows=judged,
        values=lambda column: prepared.table.take(index, [column]).to_series(),
        types={column: types[column] for column in sliced if column in types},
        rows=index,
        show=_shower(model, prepared),
        threshold=task.state().get("threshold"),
        temperature=task.state().get("temperature"),
        contributions=_contributions(model, name, task, prepared, index),
        seed=model.recipe.seed,
    )
    return document | {"views": _views(model, task)}


def _views(model: Model, task: Task) -> list[dict[str, Any]]:
    """Return how much each view of the inputs counts: {"input": a name, "table" or None for all, "share"}."""
    seen = [None, *(group.name for group in model.network.groups)]
    return [
        {"input": name, "share": share} for name, share in zip(seen, task.shares_, strict=bool(task.shares_))
    ]


def _simple_models(
    model: Model, name: str, prepared: Prepared, index: Array, seconds: float
) -> tuple[list[Baseline], Array | None]:
    """Train the simple models; also return which of the judged rows they scored (None: all)."""
    if not model.recipe.evaluation.baselines:
        return [], None
    task, seed = model.tasks[name], model.recipe.seed
    random = numpy_stream(seed, "baselines")
    training = prepared.split.indices["training"]
    if len(training) > TRAINING_ROWS:
        training = np.sort(random.choice(training, TRAINING_ROWS, replace=False))
    judged = None
    if len(index) > TEST_ROWS:
        judged = np.sort(random.choice(len(index), TEST_ROWS, replace=False))
    target = np.asarray(prepared.rows.arrays[TARGET + name])[training]
    rates = {
        column: feature.spec()["sample_rate"]
        for column, feature in model.encoding.inputs.items()
        if feature.type == "audio"
    }
    found = fit_baselines(
        task.name,
        {column: feature.type for column, feature in model.encoding.inputs.items()},
        _baseline_rows(model, prepared, training),
        task.truth(target),
        _baseline_rows(model, prepared, index if judged is None else index[judged]),
        classes=len(task.classes or ()),
        validation=_baseline_rows(model, prepared, prepared.split.indices["validation"])
        if model.recipe.evaluation.threshold
        else None,
        sample_rates=rates,
        seconds=seconds,
        seed=seed,
    )
    return found, judged


def _baseline_rows(model: Model, prepared: Prepared, index: Array) -> BaselineRows:
    raw: list[str] = []
    arrays: dict[str, Array | Ragged] = {}
    groups = model.encoding.groups()
    for column, feature in model.encoding.inputs.items():
        if feature.type in RAW_TYPES:
            raw.append(column)
        elif feature.modality == TABLE:
            first, last = groups[TABLE].spec["columns"][column]["dense"]
            arrays[column] = np.asarray(prepared.rows.arrays[f"{TABLE}.dense"])[index, first:last]
        else:
            part = {"image": "pixels", "audio": "samples"}.get(feature.modality, "values")
            array = prepared.rows.arrays[f"{column}.{part}"]
            arrays[column] = array.take(index) if isinstance(array, Ragged) else np.asarray(array[index])
    return BaselineRows(prepared.table.take(index, raw) if raw else pl.DataFrame(), arrays)


def _contributions(
    model: Model, name: str, task: Task, prepared: Prepared, index: Array
) -> list[dict[str, Any]]:
    """Return how much worse the model gets when one input's values are shuffled; empty with one input."""
    if len(model.encoding.inputs) < 2:
        return []
    if len(index) > _CONTRIBUTION_ROWS:
        random = numpy_stream(model.recipe.seed, "contribution rows")
        index = np.sort(random.choice(index, _CONTRIBUTION_ROWS, replace=False))
    rows = _taken(prepared.rows, index)
    target = np.asarray(rows.arrays[TARGET + name])
    spec = model.encoding.groups()[TABLE].spec["columns"] if TABLE in model.encoding.groups() else {}

    def score(column: str | None, seed: int) -> Sample:
        shown = rows if column is None else _shuffled(rows, column, spec, seed)
        return sample_of(task, target, model.scores(shown)[name])

    settings = model.recipe.evaluation
    return contributions(
        model.encoding.columns,
        score,
        headline_of(settings, task),
        confidence=settings.confidence,
        resamples=min(settings.bootstrap, 200),
        seed=model.recipe.seed,
        seconds=_CONTRIBUTION_SECONDS,
    )


def _taken(rows: EncodedRows, index: Array) -> EncodedRows:
    arrays: dict[str, Array | Ragged] = {
        name: array.take(index) if isinstance(array, Ragged) else np.asarray(array[index])
        for name, array in rows.arrays.items()
    }
    return EncodedRows(len(index), arrays)


def _shuffled(
    rows: EncodedRows, column: str, spec: Mapping[str, Mapping[str, Sequence[int]]], seed: int
) -> EncodedRows:
    """Return the rows with one input's values handed round among them."""
    order = np.random.default_rng(seed).permutation(rows.num_rows)
    arrays = dict(rows.arrays)
    if column in spec:
        for part in ("dense", "index"):
            first, last = spec[column][part]
            if last > first:
                matrix = np.array(arrays[f"{TABLE}.{part}"])
                matrix[:, first:last] = matrix[order, first:last]
                arrays[f"{TABLE}.{part}"] = matrix
    else:
        for name, array in rows.arrays.items():
            if name.startswith(f"{column}."):
                arrays[name] = array.take(order) if isinstance(array, Ragged) else array[order]
    return EncodedRows(rows.num_rows, arrays)


def _shower(model: Model, prepared: Prepared) -> Callable[[Array], list[dict[str, Any]]]:
    """Return what shows rows to a reader: where each is found, and its inputs as text, picture or sound."""
    inputs = dict(list(model.encoding.inputs.items())[:_SHOWN_COLUMNS])

    def show(rows: Array) -> list[dict[str, Any]]:
        frame = prepared.table.take(rows, list(inputs))
        shown: list[dict[str, Any]] = [
            {"where": prepared.table.where(int(row)), "inputs": {}} for row in rows
        ]
        for name, feature in inputs.items():
            media: list[Any] = [None] * len(rows)
            if feature.modality in {"image", "audio"}:
                part = "pixels" if feature.modality == "image" else "samples"
                taken = _taken(prepared.rows, rows)
                arrays = {
                    key.removeprefix(f"{name}."): array
                    for key, array in taken.arrays.items()
                    if key.startswith(f"{name}.")
                }
                assert part in arrays
                kind = "image/png" if feature.modality == "image" else "audio/wav"
                media = [
                    None if content is None else f"data:{kind};base64,{base64.b64encode(content).decode()}"
                    for content in feature.decode(Encoded(arrays))
                ]
            for place, (value, data) in enumerate(zip(frame[name], media, strict=True)):
                shown[place]["inputs"][name] = {"type": feature.type, "value": _shown(value), "data": data}
        return shown

    return show


def _shown(value: Any) -> str | float | None:
    if value is None or isinstance(value, bool | int | float):
        return value if value is None or np.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return None
    if isinstance(value, pl.Series):
        value = value.to_list()
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _write_predictions(
    place: Path, model: Model, prepared: Prepared, index: Array, scores: Mapping[str, Array]
) -> None:
    """Write truth, prediction and scores of the judged rows, for people and for `compare`."""
    columns: dict[str, Any] = {"row": index}
    for name, task in model.tasks.items():
        target = np.asarray(prepared.rows.arrays[TARGET + name])[index]
        columns[f"{name}: true"] = (
            task.truth(target)
            if task.classes is None or target.ndim == 2
            else pl.Series([*task.classes, None], dtype=pl.String)[target]  # -1, the last: it is missing
        )
        columns |= task.frame(scores[name])
        columns[f"{name}: target"] = target
        columns[f"{name}: scores"] = scores[name]
    path = place / "predictions.parquet"
    with writing(path):
        pl.DataFrame(columns).write_parquet(path)

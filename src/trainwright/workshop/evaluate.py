"""`evaluate`: a model and rows with the truth in; metrics with intervals out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainwright.data.encoded import TARGET
from trainwright.evaluation.judge import judge
from trainwright.foundation.errors import DataError, UserError
from trainwright.workshop.evaluate_lm_eval import evaluate_lm_eval
from trainwright.workshop.evaluate_text import evaluate_text
from trainwright.workshop.generate import open_text_model
from trainwright.workshop.judging import sample_of
from trainwright.workshop.load import load
from trainwright.workshop.model import Model, open_data
from trainwright.workshop.predict import load_model
from trainwright.workshop.run import Run
from trainwright.workshop.text_model import TextModel


def evaluate(
    model: Model | TextModel | Run | str | Path,
    data: Any = None,
    *,
    query: str | None = None,
    lm_eval: str | Sequence[str] = (),
    limit: int | None = None,
    fewshot: int | None = None,
    include_path: str | Path | None = None,
    chat_template: bool = False,
) -> dict[str, Any]:
    """Judge a model on rows that it was not trained on; a language model as `evaluate_text` says.

    Args:
        model: a model, a run, or the folder of either.
        data: file, folder, glob, URL or frame with the input columns and the target.
        query: table or SELECT, where the data is a database.
        lm_eval: instead of data, tasks of lm-evaluation-harness for a language model.
        limit, fewshot, include_path, chat_template: how those are asked (see `evaluate_lm_eval`).

    Returns:
        {"data", "rows", "set_aside", "targets": {target: {"metric", "metrics": {metric: {"value", "low",
        "high"}}, "confusion", "per_class", …}}}: what a run's `evaluation.json` says, without baselines.

    Raises:
        DataError: a column is missing, or no row has a target.
        UserError: there is nothing to judge on, or more than one thing.
    """
    if (data is None) != bool(lm_eval):
        what = "a model is judged on data or on tasks of lm-eval, and both are given"
        raise UserError(
            what if lm_eval else "there is nothing to judge the model on",
            fix="give data, or tasks of lm-eval",
        )
    asked = {
        "limit": limit,
        "fewshot": fewshot,
        "include_path": include_path,
        "chat_template": chat_template or None,
    }
    moot = next((name for name, value in asked.items() if value is not None), None)
    if moot and not lm_eval:
        raise UserError(f"{moot} is for tasks of lm-eval, and has no effect on data", fix="leave it out")
    opened = load(model)
    if lm_eval:
        return evaluate_lm_eval(
            open_text_model(opened),
            lm_eval,
            limit=limit,
            fewshot=fewshot,
            include_path=include_path,
            chat_template=chat_template,
        )
    if isinstance(opened, TextModel):
        return evaluate_text(opened, data, query=query)
    loaded = load_model(opened)
    table = open_data(data, query)
    loaded.check_columns(table, targets=True)
    scores: dict[str, list[Any]] = {name: [] for name in loaded.tasks}
    truth: dict[str, list[Any]] = {name: [] for name in loaded.tasks}
    set_aside = len(table.quarantined)
    for chunk in loaded.encoding.chunks(table, loaded.context(table)):
        usable = np.setdiff1d(np.arange(chunk.num_rows), np.fromiter(chunk.broken, dtype=np.int64))
        set_aside += chunk.num_rows - len(usable)
        found = loaded.scores(chunk, usable)
        for name in loaded.tasks:
            scores[name].append(found[name])
            truth[name].append(np.asarray(chunk.arrays[TARGET + name])[usable])
    if not any(len(part) for part in next(iter(truth.values()))):
        raise DataError(
            "no row can be judged", where=table.name, fix="give rows with a target the model knows"
        )
    settings = loaded.recipe.evaluation
    targets: dict[str, Any] = {}
    for name, task in loaded.tasks.items():
        sample = sample_of(
            task, np.concatenate(truth[name]), np.concatenate(scores[name]), coverage=settings.coverage
        )
        targets[name] = judge(
            sample,
            settings=settings,
            metrics=task.metrics,
            classes=task.classes,
            threshold=task.state().get("threshold"),
            temperature=task.state().get("temperature"),
            seed=loaded.recipe.seed,
        )
    return {"data": table.name, "rows": table.num_rows, "set_aside": set_aside, "targets": targets}

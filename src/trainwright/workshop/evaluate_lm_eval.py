"""`evaluate` of a language model on the tasks of EleutherAI's lm-evaluation-harness, an optional package."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainwright.foundation.errors import DataError, UserError, did_you_mean
from trainwright.workshop.text_model import TextModel

_NINETY_FIVE = 1.959964
"""Standard errors to either side of a mean that 95 % of means lie within."""


def evaluate_lm_eval(
    model: TextModel,
    tasks: str | Sequence[str],
    *,
    limit: int | None = None,
    fewshot: int | None = None,
    include_path: str | Path | None = None,
    chat_template: bool = False,
) -> dict[str, Any]:
    """Judge a language model on tasks of lm-eval.

    Args:
        model: a causal model.
        tasks: names of tasks, groups or tags: "arc_easy"; several as a list, or with commas between.
        limit: examples of each task, the first ones; all by default.
        fewshot: solved examples before each question; as the task says by default.
        include_path: folder with tasks of your own, YAML files.
        chat_template: ask in the model's chat template.

    Returns:
        {"data", "rows", "kind": "lm-eval", "harness": its version, "truncated": requests whose beginning was
        left out, "tasks": {task: {"version", "fewshot", "rows", "metrics": {metric: {"value", "low", "high",
        "stderr"}}}}}. Intervals are 95 %, by the harness's standard errors, where those are not 0.

    Raises:
        UserError: lm-eval is not installed, or has no such task.
        DataError: a task's data cannot be loaded.
    """
    try:
        import lm_eval
        from lm_eval.tasks import TaskManager

        from trainwright.workshop.lm_eval_model import LmEvalModel
    except ImportError as error:
        raise UserError(
            "tasks of lm-eval need the package lm-eval", fix="pip install 'trainwright[lm-eval]'"
        ) from error
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    place = None if include_path is None else Path(include_path)
    if place is not None and not place.is_dir():
        raise UserError("there is no folder of tasks", where=str(place), fix="name one with --include-path")
    asked = [tasks] if isinstance(tasks, str) else tasks
    names = [name.strip() for part in asked for name in part.split(",")]
    manager = TaskManager(include_path=None if place is None else str(place))
    for name in names:
        if name not in manager.all_tasks:
            raise UserError(f"lm-eval has no task '{name}'", fix=did_you_mean(name, manager.all_tasks))
    judged = LmEvalModel(model)
    try:
        found = lm_eval.simple_evaluate(
            model=judged,
            tasks=names,
            num_fewshot=fewshot,
            limit=limit,
            task_manager=manager,
            apply_chat_template=chat_template,
            log_samples=False,
            bootstrap_iters=1000,
        )
    except UserError:
        raise
    except OSError as error:
        raise DataError(
            f"the data of a task cannot be loaded ({_first_line(error)})",
            where=", ".join(names),
            fix="go online once, or give tasks with data of your own by --include-path",
        ) from error
    except (ImportError, LookupError, ValueError) as error:
        raise UserError(
            f"lm-eval cannot ask this ({_first_line(error)})",
            where=", ".join(names),
            fix="ask with fewer examples, or mend the task",
        ) from error
    document = {name: _task(name, found) for name in found["results"]}
    return {
        "data": ", ".join(names),
        "rows": sum(found["n-samples"][name]["effective"] for name in found["n-samples"]),
        "kind": "lm-eval",
        "harness": str(lm_eval.__version__),
        "truncated": judged.num_truncated,
        "tasks": document,
    }


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _task(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the harness found for a task or a group."""
    rows = found["n-samples"].get(name, {}).get("effective")
    return {
        "version": found["versions"].get(name),
        "fewshot": found["n-shot"].get(name),
        "rows": rows,
        "metrics": {
            _title(key): _figure(found["results"][name], key)
            for key, value in found["results"][name].items()
            if "," in key and "_stderr," not in key and isinstance(value, int | float)
        },
    }


def _title(key: str) -> str:
    """Return "exact_match (strict-match)" of "exact_match,strict-match"."""
    metric, _, way = key.partition(",")
    return metric if way == "none" else f"{metric} ({way})"


def _figure(results: Mapping[str, Any], key: str) -> dict[str, Any]:
    metric, _, way = key.partition(",")
    value, found = float(results[key]), results.get(f"{metric}_stderr,{way}")
    # The harness writes "N/A" where it knows none.
    error = float(found) if isinstance(found, int | float) and not math.isnan(found) else None
    wide = _NINETY_FIVE * error if error else None
    return {
        "value": value,
        "low": None if wide is None else value - wide,
        "high": None if wide is None else value + wide,
        "stderr": error,
    }

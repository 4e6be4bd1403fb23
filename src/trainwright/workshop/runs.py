"""`runs`: the runs of a folder, best first."""

from __future__ import annotations

import datetime
import json
from pathlib import Path, PurePath
from typing import Any

from trainwright.foundation.errors import UserError
from trainwright.foundation.paths import check_folder
from trainwright.workshop.run import Run


def runs(folder: str | Path = "runs") -> list[dict[str, Any]]:
    """Return a line for each run, grouped by data and target, best first.

    Args:
        folder: where the run folders lie.

    Returns:
        Dictionaries with run, data, target, metric, value, low, high, verdict, seconds, started; runs
        that did not finish come last, with `value` None.

    Raises:
        UserError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.exists():
        raise UserError(
            "there is no such folder", where=str(folder), fix="train something first, or name the folder"
        )
    check_folder(folder)
    lines: list[tuple[str, dict[str, Any]]] = []
    for path in sorted(folder.iterdir()):
        if (path / "recipe.yaml").is_file() and (path / "data.json").is_file():
            lines += _lines(Run(path))
    return [line for _, line in sorted(lines, key=_order)]


def _lines(run: Run) -> list[tuple[str, dict[str, Any]]]:
    """Return a line for each target of a run, beside the fingerprint of the data."""
    started = datetime.datetime.fromtimestamp((run.path / "recipe.yaml").stat().st_mtime, tz=datetime.UTC)
    name, fingerprint = _data(run)
    lines: list[tuple[str, dict[str, Any]]] = []
    judged_targets = {**run.evaluation.get("targets", {}), **_as_target(run)}
    for target in run.recipe.targets or [str(run.recipe.task)]:
        judged = judged_targets.get(target)
        found = judged["metrics"][judged["metric"]] if judged and judged.get("metrics") else {}
        line = {
            "run": str(run.path),
            "data": name,
            "target": target,
            "metric": judged["metric"] if judged else None,
            "value": found.get("value"),
            "low": found.get("low"),
            "high": found.get("high"),
            "greater_is_better": found.get("greater_is_better", True),
            "verdict": judged["verdict"]["outcome"] if judged else "not finished",
            "seconds": run.evaluation.get("timings", {}).get("total"),
            "started": started.isoformat(timespec="seconds"),
        }
        lines.append((fingerprint, line))
    return lines


def _as_target(run: Run) -> dict[str, Any]:
    """Return what a language model's run found, by its task, as `evaluation.json` says it of a target."""
    language = run.evaluation.get("language")
    if language is None:
        return {}
    figures = language["parts"][run.evaluation["part"]]["metrics"]
    metrics = {name: {"greater_is_better": False, **figure} for name, figure in figures.items()}
    return {language["task"]: {**language, "metrics": metrics}}


def _order(entry: tuple[str, dict[str, Any]]) -> tuple[Any, ...]:
    fingerprint, line = entry
    value = line["value"]
    sign = -1 if line["greater_is_better"] else 1
    return (
        line["data"],
        fingerprint,
        line["target"],
        line["metric"] or "~",
        value is None,
        sign * (value or 0.0),
        line["run"],
    )


def _data(run: Run) -> tuple[str, str]:
    """Return what the data is called, without its folder, and its fingerprint."""
    document = json.loads((run.path / "data.json").read_text(encoding="utf-8"))
    return PurePath(document["name"]).name, str(document["fingerprint"])

"""`runs`: the runs of a folder, best first."""

from __future__ import annotations

import datetime
from pathlib import Path
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
    lines: list[dict[str, Any]] = []
    for path in sorted(folder.iterdir()):
        if not (path / "recipe.yaml").is_file():
            continue
        run = Run(path)
        started = datetime.datetime.fromtimestamp((path / "recipe.yaml").stat().st_mtime, tz=datetime.UTC)
        for target in run.recipe.targets:
            judged = run.evaluation.get("targets", {}).get(target)
            found = judged["metrics"][judged["metric"]] if judged and judged.get("metrics") else {}
            lines.append(
                {
                    "run": str(path),
                    "data": _data_name(run),
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
            )
    return sorted(lines, key=_order)


def _order(line: dict[str, Any]) -> tuple[Any, ...]:
    value = line["value"]
    sign = -1 if line["greater_is_better"] else 1
    return (
        line["data"],
        line["target"],
        line["metric"] or "~",
        value is None,
        sign * (value or 0.0),
        line["run"],
    )


def _data_name(run: Run) -> str:
    path = run.recipe.data.path
    return path if isinstance(path, str) else ", ".join(path)

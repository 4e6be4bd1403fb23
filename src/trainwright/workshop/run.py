"""A run: a folder that holds everything about one training."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from trainwright.foundation.errors import UserError
from trainwright.foundation.paths import check_folder
from trainwright.recipe.recipe import Recipe
from trainwright.training.events import read_events
from trainwright.workshop.load import load_folder


class Run:
    """A run folder.

    Args:
        path: the folder.

    Raises:
        UserError: it is no run folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = check_folder(Path(path))
        if not (self.path / "recipe.yaml").is_file():
            raise UserError(
                "this is not a run folder (it holds no recipe.yaml)",
                where=str(path),
                fix="name a folder that `trainwright train` made; `trainwright runs` lists them",
            )

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe: running it again gives the same weights."""
        from trainwright.recipe.reader import read_recipe

        return read_recipe(self.path / "recipe.yaml").recipe

    @cached_property
    def model(self) -> Any:
        """The trained model: a `Model`, or of a language model a `TextModel`."""
        return load_folder(self.path / "model")

    @property
    def report(self) -> Path:
        """The report, one self-contained HTML file."""
        return self.path / "report.html"

    @cached_property
    def evaluation(self) -> dict[str, Any]:
        """Everything that judging found; empty while the run is not finished."""
        file = self.path / "evaluation.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.evaluation)

    @property
    def interrupted(self) -> bool:
        """Whether the user stopped training before its end."""
        stops = [event for event in read_events(self.path / "events.jsonl") if event["kind"] == "stop"]
        return bool(stops) and stops[-1]["reason"] == "interrupted"

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Metrics by split: {"test": {...}, "validation": {...}}; several targets add a level by name."""
        language = self.evaluation.get("language")
        if language is not None:
            return {
                part: {name: found["value"] for name, found in judged["metrics"].items()}
                for part, judged in language["parts"].items()
            }
        by_split: dict[str, dict[str, Any]] = {}
        targets = self.evaluation.get("targets", {})
        for split, key in (("test", "metrics"), ("validation", "validation")):
            values = {
                name: {metric: found["value"] for metric, found in judged[key].items()}
                for name, judged in targets.items()
                if judged.get(key)
            }
            if values:
                by_split[split] = next(iter(values.values())) if len(values) == 1 else values
        return by_split

    def summary(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        targets = self.evaluation.get("targets", {})
        return {
            "run": str(self.path),
            "model": str(self.path / "model"),
            "report": str(self.report),
            "metrics": self.metrics,
            "headline": {name: judged["metric"] for name, judged in targets.items()},
            "verdict": {name: judged["verdict"] for name, judged in targets.items()},
            "timings": self.evaluation.get("timings", {}),
            "peak_memory_mb": self.evaluation.get("peak_memory_mb"),
        }

"""What a verb was asked for, as a recipe: flags, arguments and a YAML file say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainwright.foundation.errors import UserError
from trainwright.recipe.overrides import apply_overrides, overridden, validate, with_setting
from trainwright.recipe.positions import Positions, undotted
from trainwright.recipe.reader import read_recipe
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.words import check_words

FRAME = "data.parquet"
"""Where the run folder keeps the rows of a frame; what the recipe of such a run names as its data."""

_MOST_COLUMNS = 20
"""Columns that an error lists at most."""


def ask_recipe(
    data: Any,
    *,
    target: str | Sequence[str] | None,
    task: str | None = None,
    recipe: Recipe | Mapping[str, Any] | str | Path | None = None,
    budget: str | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | Sequence[str] = (),
    here: bool = True,
) -> tuple[Recipe, Any, Path | None]:
    """Return the recipe, the frame (None for data on disk) and the folder its relative paths start from.

    Args:
        data, target, task, recipe, budget, seed, settings: as for `train`.
        here: it is for this machine, whose devices are known.

    Raises:
        UserError: data or target is missing, or a setting is wrong.
    """
    if isinstance(data, Path):
        data = str(data)
    if isinstance(data, list | tuple) and data and all(isinstance(one, str | Path) for one in data):
        data = [str(one) for one in data]
    if recipe is None and is_recipe(data):
        data, recipe = None, data
    asked, base, positions = _start(recipe)
    frame = None
    if isinstance(data, str) or (isinstance(data, list | tuple) and data and isinstance(data[0], str)):
        asked["data"] = _with_path(asked.get("data"), data)
        base = None
    elif data is not None:
        frame = data
        asked["data"] = _with_path(asked.get("data"), FRAME)
    if target is not None:
        names = [target] if isinstance(target, str) else list(target)
        known = asked.get("targets")
        known = known if isinstance(known, Mapping) else {}
        asked["targets"] = {name: known.get(name, "auto") for name in names}
        positions = positions.overridden(("targets",), f"--target {', '.join(names)}")
    if task is not None:
        asked["task"] = task
        positions = positions.overridden(("task",), f"--task {task}")
    if budget is not None:
        flag = f"--budget {budget}"
        asked = with_setting(asked, ("training", "budget"), budget, where=flag)
        positions = positions.overridden(("training", "budget"), flag)
    if seed is not None:
        asked["seed"] = seed
        positions = positions.overridden(("seed",), f"--seed {seed}")
    if isinstance(settings, Mapping):
        for path, value in settings.items():
            asked = with_setting(asked, undotted(path, where=path), value, where=path)
    else:
        asked = apply_overrides(asked, list(settings))
        positions = overridden(positions, list(settings))
    if "data" not in asked:
        raise UserError("there is no data to train on", fix="name a file, a folder or a recipe")
    if not asked.get("targets") and not asked.get("task"):
        raise _no_target(asked, frame, base, positions)
    built = validate(asked, positions)
    check_words(built, positions, here=here)
    return built, frame, base


def is_recipe(data: Any) -> bool:
    """Return whether what stands in the place of data names a recipe."""
    return isinstance(data, str) and data.lower().endswith((".yaml", ".yml"))


def _start(
    recipe: Recipe | Mapping[str, Any] | str | Path | None,
) -> tuple[dict[str, Any], Path | None, Positions]:
    """Return the fields to start from, the folder of relative paths, and where the fields were written."""
    if recipe is None:
        return {}, None, Positions("settings")
    if isinstance(recipe, Recipe):
        return recipe.model_dump(mode="json", exclude_defaults=True), None, Positions("recipe")
    if isinstance(recipe, Mapping):
        return dict(recipe), None, Positions("recipe")
    path = Path(recipe)
    read = read_recipe(path)
    return dict(read.mapping), path.resolve().parent, read.positions


def _no_target(asked: Mapping[str, Any], frame: Any, base: Path | None, positions: Positions) -> UserError:
    """Return the error for a recipe without targets; it says which columns there are to choose from."""
    from trainwright.data.open import open_table

    # Any name does: only the data settings are looked at.
    settings = validate({**asked, "targets": {"target": "auto"}}, positions).data
    columns = list(open_table(settings if frame is None else frame, base=base).schema)
    shown = ", ".join(columns[:_MOST_COLUMNS]) + (", …" if len(columns) > _MOST_COLUMNS else "")
    return UserError(
        "no target is named",
        fix=f"say which column to predict with --target (there are: {shown}), or name a language model's "
        "--task",
    )


def _with_path(data: Any, path: Any) -> Any:
    return {**data, "path": path} if isinstance(data, dict) else path

"""What a verb was asked for, as a recipe: flags, arguments and a YAML file say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainwright.foundation.errors import UserError
from trainwright.recipe.overrides import apply_overrides, build_recipe
from trainwright.recipe.reader import read_recipe
from trainwright.recipe.recipe import Recipe

FRAME = "data.parquet"
"""Where the run folder keeps the rows of a frame; what the recipe of such a run names as its data."""


def ask_recipe(
    data: Any,
    *,
    target: str | Sequence[str] | None,
    recipe: Recipe | Mapping[str, Any] | str | Path | None = None,
    budget: str | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | Sequence[str] = (),
) -> tuple[Recipe, Any, Path | None]:
    """Return the recipe, the frame (None for data on disk) and the folder its relative paths start from.

    Raises:
        UserError: data or target is missing, or a setting is wrong.
    """
    if isinstance(data, Path):
        data = str(data)
    if recipe is None and isinstance(data, str) and data.lower().endswith((".yaml", ".yml")):
        data, recipe = None, data
    asked, base, where = _start(recipe)
    frame = None
    if isinstance(data, str) or (isinstance(data, list | tuple) and data and isinstance(data[0], str)):
        asked["data"] = _with_path(asked.get("data"), data)
        base = None
    elif data is not None:
        frame = data
        asked["data"] = _with_path(asked.get("data"), FRAME)
    if target is not None:
        names = [target] if isinstance(target, str) else list(target)
        known = asked.get("targets", {})
        asked["targets"] = {name: known.get(name, "auto") for name in names}
    if "data" not in asked:
        raise UserError("there is no data to train on", fix="name a file, a folder or a recipe")
    if not asked.get("targets"):
        raise UserError("no target is named", fix="say which column to predict: --target COLUMN")
    if budget is not None:
        asked["training"] = {**asked.get("training", {}), "budget": budget}
    if seed is not None:
        asked["seed"] = seed
    if isinstance(settings, Mapping):
        for path, value in settings.items():
            _put(asked, path.split("."), value)
    else:
        asked = apply_overrides(asked, list(settings))
    return build_recipe(asked, where=where), frame, base


def _start(recipe: Recipe | Mapping[str, Any] | str | Path | None) -> tuple[dict[str, Any], Path | None, str]:
    """Return the fields to start from, the folder of relative paths, and what errors call the recipe."""
    if recipe is None:
        return {}, None, "settings"
    if isinstance(recipe, Recipe):
        return recipe.model_dump(mode="json", exclude_defaults=True), None, "recipe"
    if isinstance(recipe, Mapping):
        return dict(recipe), None, "recipe"
    path = Path(recipe)
    read = read_recipe(path)
    return read.recipe.model_dump(mode="json", exclude_defaults=True), path.resolve().parent, str(path)


def _with_path(data: Any, path: Any) -> Any:
    return {**data, "path": path} if isinstance(data, dict) else path


def _put(fields: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        inner = fields.get(key)
        fields[key] = dict(inner) if isinstance(inner, Mapping) else {} if inner is None else {"type": inner}
        fields = fields[key]
    fields[path[-1]] = value

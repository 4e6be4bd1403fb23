"""`init`: a commented recipe with what was inferred from the data, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainwright.data.infer import infer_schema
from trainwright.data.urls import LEFT_OUT, redacted_settings
from trainwright.foundation.errors import UserError
from trainwright.foundation.paths import write_atomic
from trainwright.recipe.recipe import FeatureSettings, Recipe
from trainwright.recipe.writer import commented_recipe
from trainwright.workshop.ask import ask_recipe, is_recipe
from trainwright.workshop.init_language import fill_language, told_task


def init(
    data: Any,
    *,
    target: str | Sequence[str] = (),
    task: str | None = None,
    output: str | Path | None = "recipe.yaml",
    force: bool = False,
) -> str:
    """Look at data and write a recipe for it: every column's type, or the format of texts, with the reason.

    Args:
        data: file, folder, glob or URL.
        target: column to predict, or several.
        task: instead, what a language model shall learn (see `train`); without either, what the data is
            made for: texts, conversations, pairs or preferences.
        output: file to write; None writes nothing.
        force: replace a file that is there.

    Returns:
        The text of the recipe.

    Raises:
        UserError: the file is there, or the data cannot be read.
    """
    if output is not None and Path(output).exists() and not force:
        raise UserError(
            "this file is there already", where=str(output), fix="name another with -o, or add --force"
        )
    data = str(data) if isinstance(data, Path) else data
    if not target and task is None and isinstance(data, str | list | tuple) and not is_recipe(data):
        task = told_task(data)
    recipe, _, base = ask_recipe(data, target=target or None, task=task)
    filled, comments = _filled_table(recipe, base) if recipe.task is None else fill_language(recipe, base)
    data_shown = redacted_settings(filled.data)
    if data_shown != filled.data:
        comments["data", "path"] = f"Its password is left out: {LEFT_OUT} stands in its place."
    text = commented_recipe(filled.model_copy(update={"data": data_shown}), comments)
    if output is not None:
        write_atomic(Path(output), text)
    return text


def _filled_table(recipe: Recipe, base: Path | None) -> tuple[Recipe, dict[tuple[str, ...], str]]:
    """Return a recipe with the type of every column, and why each has it."""
    from trainwright.data.open import open_table

    schema = infer_schema(
        open_table(recipe.data, base=base),
        inputs=recipe.inputs,
        targets=recipe.targets,
        seed=recipe.seed,
        split=recipe.split,
    )
    inputs: dict[str, FeatureSettings] = {}
    targets: dict[str, FeatureSettings] = {}
    comments: dict[tuple[str, ...], str] = {}
    left_out: list[str] = []
    for column in schema.columns:
        place = {"input": inputs, "target": targets}.get(column.role)
        if place is None:
            left_out.append(f"{column.name}: {column.reason}")
            continue
        place[column.name] = FeatureSettings(type=column.type, **column.options)
        others = "".join(f"; or {kind}: {why}" for kind, why in column.alternatives)
        comments["inputs" if column.role == "input" else "targets", column.name] = column.reason + others
    if left_out:
        comments["inputs",] = "Left out: " + "; ".join(left_out)
    return recipe.model_copy(update={"inputs": inputs, "targets": targets}), comments

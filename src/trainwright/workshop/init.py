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
from trainwright.workshop.ask import ask_recipe


def init(
    data: Any,
    *,
    target: str | Sequence[str],
    output: str | Path | None = "recipe.yaml",
    force: bool = False,
) -> str:
    """Look at data and write a recipe for it, every column's type beside the reason for it.

    Args:
        data: file, folder, glob or URL.
        target: column to predict, or several.
        output: file to write; None writes nothing.
        force: replace a file that is there.

    Returns:
        The text of the recipe.

    Raises:
        UserError: the file is there, or the data cannot be read.
    """
    from trainwright.data.open import open_table

    if output is not None and Path(output).exists() and not force:
        raise UserError(
            "this file is there already", where=str(output), fix="name another with -o, or add --force"
        )
    recipe, _, base = ask_recipe(data, target=target)
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
    data_shown = redacted_settings(recipe.data)
    if data_shown != recipe.data:
        comments["data", "path"] = f"Its password is left out: {LEFT_OUT} stands in its place."
    filled: Recipe = recipe.model_copy(update={"data": data_shown, "inputs": inputs, "targets": targets})
    text = commented_recipe(filled, comments)
    if output is not None:
        write_atomic(Path(output), text)
    return text

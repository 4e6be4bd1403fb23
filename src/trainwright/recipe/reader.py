"""A recipe from a YAML file; whatever is wrong in it is answered with file:line:column and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainwright.foundation.errors import RecipeError, nearest
from trainwright.recipe.explain import explain
from trainwright.recipe.mistakes import first_error
from trainwright.recipe.overrides import apply_overrides, build_recipe, overridden, validate
from trainwright.recipe.parse import MAX_BYTES, mark_of, parse_yaml
from trainwright.recipe.positions import Positions
from trainwright.recipe.recipe import Recipe

__all__ = ["Positions", "ReadRecipe", "explain", "parse_recipe", "read_recipe"]


@dataclass(frozen=True)
class ReadRecipe:
    """A recipe and where its parts were written.

    Attributes:
        recipe: the checked recipe.
        positions: for errors that only later layers can find.
        mapping: the plain values, without defaults: what `build_recipe` takes.
    """

    recipe: Recipe
    positions: Positions
    mapping: dict[str, Any]


def read_recipe(path: str | Path, *, overrides: Sequence[str] = ()) -> ReadRecipe:
    """Read a recipe file.

    Args:
        path: a YAML (or JSON) file of at most 1 MiB in UTF-8.
        overrides: `--set` texts to apply to it.

    Raises:
        RecipeError: the file cannot be read, or the first mistake in it: `file:line:column: what; fix`.
    """
    return parse_recipe(_text(Path(path)), str(path), overrides=overrides)


def parse_recipe(text: str, source: str, *, overrides: Sequence[str] = ()) -> ReadRecipe:
    """Read a recipe from a text; `source` is what errors call it.

    Raises:
        RecipeError: the first mistake, with its position.
    """
    mapping, positions, repeated = parse_yaml(text, source)
    if not isinstance(mapping, dict):
        what = "this recipe is empty" if mapping is None else "a recipe is a mapping of keys to values"
        raise RecipeError(
            what, where=positions.locate(()), fix="write at least 'data: FILE' and 'targets: {COLUMN: auto}'"
        )
    if not overrides:
        return ReadRecipe(validate(mapping, positions, repeated), positions, mapping)
    if repeated:
        raise first_error(repeated, positions)
    recipe = build_recipe(mapping, positions, overrides=overrides)
    return ReadRecipe(recipe, overridden(positions, overrides), apply_overrides(mapping, overrides))


def _text(path: Path) -> str:
    where = str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        near = nearest(path.name, _siblings(path))
        fix = f"did you mean '{path.with_name(near)}'?" if near else "check the path"
        raise RecipeError("there is no such file", where=where, fix=fix) from error
    except IsADirectoryError as error:
        raise RecipeError("this is a folder", where=where, fix="name the recipe file in it") from error
    except OSError as error:
        what = f"this file cannot be read ({error.strerror or error})"
        raise RecipeError(what, where=where, fix="check the path and its permissions") from error
    if len(data) > MAX_BYTES:
        raise RecipeError("a recipe is at most 1 MiB", where=where, fix="check that this is the recipe")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = mark_of(data[: error.start].decode("utf-8-sig"), error.start)
        raise RecipeError(
            "this is not UTF-8 text", where=f"{where}:{line}:{column}", fix="save the file as UTF-8"
        ) from error


def _siblings(path: Path) -> list[str]:
    try:
        return [other.name for other in path.parent.iterdir() if other.suffix in {".yaml", ".yml", ".json"}]
    except OSError:
        return []

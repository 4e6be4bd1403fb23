"""Settings from flags and function arguments: the same recipe as the YAML file that says the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from trainwright.foundation.errors import RecipeError
from trainwright.recipe.explain import find_mistakes
from trainwright.recipe.kinds import kind_at
from trainwright.recipe.mistakes import Mistake, first_error
from trainwright.recipe.parse import parse_yaml
from trainwright.recipe.positions import Positions, dotted, undotted
from trainwright.recipe.recipe import Recipe


def apply_overrides(mapping: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a recipe's mapping with `--set` flags applied in order; `mapping` is left as it was.

    Args:
        mapping: plain values, as YAML gives them.
        overrides: `path=value` texts: `model.size=small`, `inputs."the.price".type=number`,
            `training.class_weights={a: 1, b: 2}`. Values are YAML; an empty one is null.

    Raises:
        RecipeError: a text is no override; the flag is named.
    """
    result = dict(mapping)
    for text in overrides:
        path, value = _read_flag(text)
        result = with_setting(result, path, value, where=_flag(text))
    return result


def with_setting(
    mapping: Mapping[str, Any], path: Sequence[str], value: Any, *, where: str
) -> dict[str, Any]:
    """Return a copy of a recipe's mapping with `value` at `path`; short forms on the way are written out.

    Args:
        mapping: plain values, as YAML gives them.
        path: keys from the top, at least one.
        value: a plain value.
        where: what an error names: the flag or the argument.

    Raises:
        RecipeError: the path leads through a setting that has no keys.
    """
    return _with(mapping, tuple(path), value, (), where)


def build_recipe(
    mapping: Mapping[str, Any],
    where: str | Positions = "recipe",
    *,
    overrides: Sequence[str] = (),
) -> Recipe:
    """Return the recipe that a mapping of plain values describes.

    Args:
        mapping: what the YAML file would hold.
        where: what errors name as the source, or the positions of the file that the mapping was read from.
        overrides: `--set` texts to apply first; an error in what one of them set names the flag.

    Raises:
        RecipeError: the first mistake by position.
    """
    positions = Positions(where) if isinstance(where, str) else where
    return validate(apply_overrides(mapping, overrides), overridden(positions, overrides))


def overridden(positions: Positions, overrides: Sequence[str]) -> Positions:
    """Return the positions after `--set` flags: what a flag has set is located at the flag."""
    for text in overrides:
        positions = positions.overridden(_read_flag(text)[0], _flag(text))
    return positions


def validate(mapping: Any, positions: Positions, mistakes: Sequence[Mistake] = ()) -> Recipe:
    """Return the checked recipe, counting mistakes that reading has found already.

    Raises:
        RecipeError: the first mistake by position.
    """
    found = list(mistakes)
    try:
        recipe = Recipe.model_validate(mapping)
    except ValidationError as error:
        raise first_error([*found, *find_mistakes(error, Recipe)], positions) from error
    if found:
        raise first_error(found, positions)
    return recipe


def _flag(text: str) -> str:
    return f"--set {text}"


def _read_flag(text: str) -> tuple[tuple[str, ...], Any]:
    where = _flag(text)
    name, value = _split(text, where)
    path = undotted(name, where=where)
    try:
        parsed, _, repeated = parse_yaml(value, where)
    except RecipeError as error:  # a flag has no lines to point into
        raise RecipeError(error.what, where=where, fix=error.fix) from error
    if repeated:
        raise first_error(repeated, Positions(where))
    return path, parsed


def _split(text: str, where: str) -> tuple[str, str]:
    """Return what stands before and after the first equals sign outside quotes."""
    quote = ""
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote and text[index - 1] != "\\" else quote
        elif character in "\"'":
            quote = character
        elif character == "=":
            return text[:index], text[index + 1 :]
    raise RecipeError("this sets nothing", where=where, fix="write path=value, as in model.size=small")


def _with(
    mapping: Mapping[str, Any], path: tuple[str, ...], value: Any, above: tuple[str, ...], where: str
) -> dict[str, Any]:
    key, *rest = path
    if not rest:
        return {**mapping, key: value}
    here = (*above, key)
    inner = mapping.get(key)
    if not isinstance(inner, Mapping):
        kind = kind_at(Recipe, here)
        short = kind.shorthand if kind is not None else None
        inner = short.widen(inner) if short is not None else {} if inner is None else inner
    if not isinstance(inner, Mapping):
        raise RecipeError(
            f"{dotted(here)} has no keys beneath it", where=where, fix=f"set {dotted(here)} itself"
        )
    return {**mapping, key: _with(inner, tuple(rest), value, here, where)}

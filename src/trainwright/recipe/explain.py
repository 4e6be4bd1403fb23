"""Validation errors in plain words, at the place in the recipe where they can be mended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_origin

from pydantic import BaseModel, ValidationError

from trainwright.foundation.errors import RecipeError, UserError, did_you_mean, nearest
from trainwright.recipe.kinds import MAPPINGS, Kind, kind_at
from trainwright.recipe.mistakes import Mistake, first_error
from trainwright.recipe.positions import KeyPath, Positions, dotted
from trainwright.recipe.recipe import Misfit, Recipe

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def explain(
    error: ValidationError,
    model: type[BaseModel],
    positions: Positions | None = None,
    prefix: Sequence[str | int] = (),
) -> RecipeError:
    """Return the error to raise for a failed validation: the first mistake of the recipe, and how many more.

    Used for the recipe itself and, by the layers above, for the options of feature types and encoders:
    `explain(error, Options, positions, ("inputs", "title"))`.

    Args:
        error: what pydantic raised.
        model: the model that it was raised for.
        positions: where the recipe was written; None for settings that were never text.
        prefix: path from the top of the recipe to the part that `model` describes.
    """
    return first_error(find_mistakes(error, model, prefix), positions or Positions("recipe"))


def find_mistakes(
    error: ValidationError, model: type[BaseModel], prefix: Sequence[str | int] = ()
) -> list[Mistake]:
    """Return every mistake of a failed validation, one a setting, in no particular order."""
    found: dict[KeyPath, ErrorDetails] = {}
    unions: dict[KeyPath, dict[KeyPath, ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        path, union = _path(model, details["loc"])
        known = found if union is None else unions.setdefault(union, {})
        if path not in known or details["type"] == "too_short":  # an empty list is the right type at least
            known[path] = details
    for branches in unions.values():  # each branch of a union complains: the one that got furthest knows best
        furthest = max(len(path) for path in branches)
        found.update({path: details for path, details in branches.items() if len(path) == furthest})
    # A misspelt key also leaves the right one missing: that is one mistake.
    meant = {
        (*path[:-1], nearest(str(path[-1]), _keys(kind_at(model, path[:-1]))))
        for path, details in found.items()
        if details["type"] == "extra_forbidden"
    }
    return [
        _mistake(details, model, path, tuple(prefix))
        for path, details in found.items()
        if not (details["type"] == "missing" and path in meant)
    ]


def _path(model: type[BaseModel], loc: tuple[str | int, ...]) -> tuple[KeyPath, KeyPath | None]:
    """Return the path of keys in pydantic's location, and that of the union it went through.

    Pydantic puts the name of the branch into the location wherever a union has several.
    """
    path: list[str | int] = []
    union: KeyPath | None = None
    kind: Kind | None = Kind.of(model)
    steps = list(loc)
    while steps:
        if kind is not None and kind.num_branches > 1:
            union = tuple(path)
            steps.pop(0)
            if not steps:
                break
        step = steps.pop(0)
        if step == "[key]":  # a key that is no text; the path ends at it
            break
        kind = kind.step(step) if kind is not None else None
        path.append(step)
    return tuple(path), union


def _mistake(details: ErrorDetails, model: type[BaseModel], path: KeyPath, prefix: KeyPath) -> Mistake:
    name, kind, value = details["type"], kind_at(model, path), details["input"]
    full = (*prefix, *path)
    shown = dotted(full) or "the recipe"
    if name == "extra_forbidden":
        return _unknown_key(model, path, prefix)
    if name == "missing":
        description = _description(model, path)
        return Mistake(full, f"{shown} is missing", f"add it: {description}" if description else "add it")
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, Misfit):
        return Mistake((*full, *cause.path), cause.what, cause.fix)
    if isinstance(cause, UserError):
        return Mistake(full, f"{shown}: {cause.what}", cause.fix)
    if cause is not None and name in {"value_error", "assertion_error"}:
        return Mistake(full, f"{shown}: {str(cause).rstrip('.')}", None)
    if name in {"string_too_short", "too_short"} and not value:
        return Mistake(full, f"{shown} is empty", f"give {_wanted(kind)}")
    if kind is None:
        return Mistake(full, f"{shown}: {_lowered(details['msg'])}", None)
    if value is None:
        return Mistake(full, f"{shown} has no value", f"give {_wanted(kind)}, or leave the line out")
    return Mistake(full, f"{shown} must be {_wanted(kind)}, not {_show(value)}", _fix(kind, value))


def _unknown_key(model: type[BaseModel], path: KeyPath, prefix: KeyPath) -> Mistake:
    *above, key = path
    full = (*prefix, *path)
    section = kind_at(model, above)
    words = list(_keys(section))
    if not above and prefix:  # options stand beside the keys that every feature or encoder has
        words = [*_keys(kind_at(Recipe, prefix)), *words]
    owners = [name for name in Recipe.model_fields if key in _keys(kind_at(Recipe, [name]))]
    if owners and not prefix and key not in words:
        fix = f"write {owners[0]}.{key}: it belongs under '{owners[0]}'"
    else:
        fix = did_you_mean(str(key), words)
    inside = f"under {dotted(full[:-1])}" if full[:-1] else "in a recipe"
    return Mistake(full, f"there is no key '{key}' {inside}", fix, at_key=True)


def _keys(kind: Kind | None) -> tuple[str, ...]:
    if kind is None:
        return ()
    return tuple(name for branch in kind.branches if branch.model for name in branch.model.model_fields)


def _description(model: type[BaseModel], path: KeyPath) -> str:
    """Return what the field at a path is for, as a clause; empty where there is no field."""
    above = kind_at(model, path[:-1])
    for branch in above.branches if above is not None else ():
        field = branch.model.model_fields.get(str(path[-1])) if branch.model else None
        if field is not None and field.description:
            return field.description[0].lower() + field.description[1:].rstrip(".")
    return ""


def _wanted(kind: Kind | None) -> str:
    return kind.describe() if kind is not None else "a value"


def _fix(kind: Kind, value: Any) -> str | None:
    """Return the mending clause, where `what` alone leaves a doubt."""
    annotations = [branch.annotation for branch in kind.branches]
    short = kind.shorthand
    takes_text = str in annotations or (short is not None and short.key is not None)
    if isinstance(value, bool | int | float) and takes_text:
        return "put quotes around it"
    if isinstance(value, str):
        if kind.choices:
            return did_you_mean(value, kind.choices)
        if bool in annotations and value.lower() in {"yes", "on", "no", "off"}:
            return f"write {'true' if value.lower() in {'yes', 'on'} else 'false'}"
        if any(branch.model or get_origin(branch.annotation) in MAPPINGS for branch in kind.branches):
            return "write its keys beneath it, two spaces in"
        if (int in annotations or float in annotations) and value.strip().replace(".", "", 1).isdecimal():
            return "take the quotes away"
    if isinstance(value, float) and value.is_integer() and int in annotations:
        return f"write {value:.0f}"
    return None


def _show(value: Any) -> str:
    """Return a value as a recipe would write it, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}...'"
    if isinstance(value, int | float):
        return str(value) if abs(value) < 1e30 else f"{value:.3g}"
    if isinstance(value, Mapping):
        return "a section" if value else "an empty section"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    return f"a {type(value).__name__}"


def _lowered(message: str) -> str:
    message = message.replace("Input should be", "must be").rstrip(".")
    return message[:1].lower() + message[1:]

"""Recipes as YAML: short, whole, or with a comment on every line."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from trainwright.recipe.emit import NOT_ON_A_LINE, emit, line
from trainwright.recipe.kinds import Kind
from trainwright.recipe.recipe import Recipe

_OF_TABLES = ("inputs", "targets")
_OF_LANGUAGE_MODELS = ("task", "language", "tuning")
"""Fields that are not written in full where they have no effect."""
_DIALS = {("model", "size"), ("seed",)}
_WIDTH = 110
_COMMENT_COLUMN = 30
_HEAD = """\
# A Trainwright recipe. Train it with: trainwright train recipe.yaml
# A line like '#name: value' shows a default; take its '#' away to change it. null and auto are chosen for
# you, and the recipe in the run folder says what was chosen.
"""


def dump_recipe(recipe: Recipe, *, full: bool = False) -> str:
    """Return a recipe as YAML, which reads back as an equal recipe.

    Args:
        recipe: what to write.
        full: write every field, so that the text means the same when a default changes; without, only
            what differs from the defaults, and always `data` and `targets`.
    """
    plain = _fields(recipe, full=full)
    if list(plain["data"]) == ["path"]:
        plain["data"] = plain["data"]["path"]
    return emit(plain)


def commented_recipe(recipe: Recipe, comments: Mapping[tuple[str, ...], str]) -> str:
    """Return a recipe as YAML in which every field stands with its description, to be edited by a person.

    Fields that have their defaults are commented out (`#clip: 1.0`), but for the dials. The text reads
    back as an equal recipe.

    Args:
        recipe: what to write.
        comments: path of a field, column or section → a remark of the caller, such as why a column has its
            type; it follows the field's own description.
    """
    plain, chosen = _fields(recipe, full=True), _fields(recipe, full=False)
    lines = _HEAD.splitlines()
    known: set[tuple[str, ...]] = set()
    for name, field in Recipe.model_fields.items():
        if name not in plain:
            continue
        known.add((name,))
        remark = _joined(field.description, comments.get((name,)))
        if not isinstance(plain[name], dict):
            shown = name in chosen or (name,) in _DIALS
            lines += ["", *_commented(name, plain[name], remark, shown=shown)]
            continue
        lines += ["", *_wrapped(remark), f"{name}:" if plain[name] else f"#{name}: {{}}"]
        section = Kind.of(field.annotation).model
        for key, value in plain[name].items():
            description = section.model_fields[key].description if section is not None else None
            shown = section is None or key in chosen.get(name, {}) or (name, key) in _DIALS
            remark = _joined(description, comments.get((name, key)))
            known.add((name, key))
            lines += _commented(key, value, remark, shown=shown, indent="  ")
    assert known.issuperset(comments), f"there is no place for comments on {set(comments) - known}"
    return "".join(f"{text}\n" for text in lines)


def _fields(recipe: Recipe, *, full: bool) -> dict[str, Any]:
    """Return a recipe's plain values: all, or those that differ from the defaults."""
    # Not mode="json", which has no infinity: an option may be one, and YAML can say it.
    plain: dict[str, Any] = to_jsonable_python(recipe.model_dump(), inf_nan_mode="constants")
    if not full:
        return _chosen(recipe, plain)
    moot = _OF_TABLES if recipe.task is not None else _OF_LANGUAGE_MODELS
    default = type(recipe).model_fields
    kept = {
        name for name in moot if getattr(recipe, name) != default[name].get_default(call_default_factory=True)
    }
    return {name: part for name, part in plain.items() if name not in moot or name in kept}


def _chosen(settings: BaseModel, plain: dict[str, Any]) -> dict[str, Any]:
    """Return the plain values of a section that are required or differ from its defaults."""
    chosen: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        value, part = getattr(settings, name), plain[name]
        differs = value != field.get_default(call_default_factory=True)
        if isinstance(value, BaseModel):
            part = _chosen(value, part)
            differs = bool(part)
        if differs or field.is_required():
            chosen[name] = part
    return chosen


def _commented(key: str, value: Any, remark: str, *, shown: bool, indent: str = "") -> list[str]:
    """Return a setting with its remark behind it, or above it where the line would be too long."""
    lines = [text if shown else f"{indent}#{text[len(indent) :]}" for text in line(key, value, indent)]
    together = f"{lines[0]:<{_COMMENT_COLUMN}}  # {remark}"
    if not remark:
        return lines
    if len(lines) == 1 and len(together) <= _WIDTH:
        return [together]
    return [*_wrapped(remark, indent), *lines]


def _wrapped(remark: str, indent: str = "") -> list[str]:
    return textwrap.wrap(remark, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _joined(*remarks: str | None) -> str:
    """Return remarks as one line of text: what a caller quotes from data must not end the comment."""
    text = " ".join(remark if remark.endswith((".", "?")) else f"{remark}." for remark in remarks if remark)
    return " ".join(NOT_ON_A_LINE.sub(" ", text).split())

"""Where the files are that a recipe names beside its data: checkpoints, tokenizers, templates."""

from __future__ import annotations

from pathlib import Path

from trainwright.features.language.train import KINDS
from trainwright.recipe.recipe import Recipe

_WORDS = frozenset({"auto", "chatml", "plain", *KINDS})
"""What a tokenizer or template is called that is no file."""


def placed(recipe: Recipe, base: Path | None) -> Recipe:
    """Return a recipe that names local checkpoints, tokenizers and templates by absolute paths.

    A run that is resumed, and a model that is loaded, find them from wherever that is done. Names on the hub
    stay as they are.

    Args:
        recipe: what the user asked for.
        base: folder that relative paths start from, as those of the data do; then the working folder.
    """
    model, language = recipe.model, recipe.language
    return recipe.model_copy(
        update={
            "model": model.model_copy(
                update={"checkpoint": model.checkpoint and _place(model.checkpoint, base)}
            ),
            "language": language.model_copy(
                update={
                    "tokenizer": _place(language.tokenizer, base),
                    "template": _place(language.template, base),
                }
            ),
        }
    )


def _place(name: str, base: Path | None) -> str:
    if name in _WORDS:
        return name
    places = [start / Path(name).expanduser() for start in (base or Path(), Path())]
    return next((str(place.resolve()) for place in places if place.exists()), name)

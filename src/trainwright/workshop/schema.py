"""`schema`: the recipe's JSON Schema, for editors that complete and check YAML."""

from __future__ import annotations

from typing import Any

from trainwright.features.base import FEATURES
from trainwright.recipe.reference import recipe_reference, recipe_schema


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a recipe, with every feature type and encoder registered."""
    return recipe_schema(*_options())


def reference() -> str:
    """Return the recipe reference as Markdown: every field, its type, its default and what it is for."""
    return recipe_reference(*_options())


def _options() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    from trainwright.models.base import ENCODERS
    from trainwright.models.language.base import LANGUAGE_MODELS

    features = {name: feature.Options for name, feature in FEATURES.items()}
    encoders = {name: encoder.Options for name, encoder in ENCODERS.items()}
    return features, encoders, {name: family.Options for name, family in LANGUAGE_MODELS.items()}

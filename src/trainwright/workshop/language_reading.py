"""How the samples of a language model are read, once a recipe is resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainwright.foundation.errors import RecipeError
from trainwright.recipe.recipe import Recipe

if TYPE_CHECKING:
    from trainwright.features.language.tokenizer import LanguageTokenizer
    from trainwright.tasks.language import Reading


def reading_of(recipe: Recipe, tokenizer: LanguageTokenizer) -> Reading:
    """Return how samples are read, from a recipe in which that is resolved."""
    from trainwright.tasks.language import Reading

    language, masked = recipe.language, recipe.task == "masked-lm"
    assert language.context is not None and language.long != "auto"
    return Reading(
        context=language.context,
        long=language.long,
        seed=recipe.seed,
        vocabulary=tokenizer.vocabulary,
        mask_token=mask_token_of(recipe, tokenizer),
        mask=language.mask,
        word_ends=tokenizer.word_ends if masked else None,
        special=tokenizer.special_ids,
        beta=language.beta,
    )


def mask_token_of(recipe: Recipe, tokenizer: LanguageTokenizer) -> int | None:
    """Return the id that hides others, which only a masked model needs."""
    found = tokenizer.id_of("mask_token")
    if found is None and recipe.task == "masked-lm":
        raise RecipeError(
            "this tokenizer has no token that hides others",
            where=recipe.model.checkpoint or "language.tokenizer",
            fix="choose one with a mask_token in its tokenizer_config.json, or leave language.tokenizer out",
        )
    return found

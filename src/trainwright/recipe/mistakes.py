"""One thing wrong in a recipe, and the choice of the one to report first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trainwright.foundation.errors import RecipeError
from trainwright.recipe.positions import KeyPath, Positions


@dataclass(frozen=True)
class Mistake:
    """One thing wrong in a recipe.

    Attributes:
        path: keys from the top of the recipe.
        what: what is wrong, without a full stop.
        fix: what to do about it; None where `what` says it.
        at_key: whether the key is at fault, and not its value.
    """

    path: KeyPath
    what: str
    fix: str | None
    at_key: bool = False


def first_error(mistakes: Iterable[Mistake], positions: Positions) -> RecipeError:
    """Return the first mistake by position as an error that says how many more there are."""
    first, *others = sorted(mistakes, key=lambda found: positions.order(found.path, key=found.at_key))
    more = f" (and {len(others)} more mistake{'s' if len(others) > 1 else ''})" if others else ""
    where = positions.locate(first.path, key=first.at_key)
    return RecipeError(first.what + more, where=where, fix=first.fix)

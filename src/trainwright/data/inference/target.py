"""Rules that say what a target column is: its type decides the task."""

from __future__ import annotations

from trainwright.data.inference.guess import guess_input
from trainwright.data.inference.numbers import FEW_LEVELS, is_numeric, numbers_found
from trainwright.data.inference.profile import FEW_ROWS, NEARLY_UNIQUE, Guess, Profile

TARGET_TYPES = ("category", "boolean", "ordinal", "number", "set")

_ROWS_A_CLASS = 5
"""Whole numbers that come at least this often each may be classes; rarer ones are amounts."""
_CLASS_NAMES = {"label", "labels", "class", "classes", "category", "cls", "类别", "标签"}
_MOST_CLASSES = 1_000
_NO_CLASSES = ("image", "audio", "date", "set", "constant", "vector", "sequence")


def guess_target(profile: Profile, *, root: str | None = None) -> Guess:
    """Return what a target column is; the reason of a type outside `TARGET_TYPES` says what is wrong with it.

    Words are classes under their own names, "yes" and "no" included. Whole numbers are classes where there
    are few different ones that come often; other numbers are amounts.
    """
    numeric = is_numeric(profile) if profile.is_text else profile.values.dtype.is_numeric()
    if profile.count and numeric:
        return _from_numbers(profile)
    found = guess_input(profile, root=root)
    if not profile.is_text or found.type in _NO_CLASSES:
        return found
    if profile.count >= FEW_ROWS and profile.distinct >= NEARLY_UNIQUE:
        return Guess("text", "a different value in nearly every row, so there is no class to learn")
    return Guess("category", f"{profile.num_unique:,} different values")


def _from_numbers(profile: Profile) -> Guess:
    levels = profile.levels
    number = ("number", "if their distances count: amounts in between are predicted as well")
    ordinal = ("ordinal", "if their order counts, as with ratings: a near miss costs less than a far one")
    span = f"{levels[0]:g} to {levels[-1]:g}" if levels else ""
    if len(levels) == 2:
        what = f"two different numbers, {levels[0]:g} and {levels[1]:g}, taken as classes"
        return Guess("category", what, (number,))
    often = profile.count >= _ROWS_A_CLASS * len(levels)
    if profile.whole and levels and often and not len(profile.strays):
        if len(levels) <= FEW_LEVELS:
            what = f"{len(levels)} different whole numbers, {span}, taken as classes"
            return Guess("category", what, (ordinal, number))
        if _CLASS_NAMES & set(profile.words_of_name) and len(levels) <= _MOST_CLASSES:
            what = f"{len(levels):,} different whole numbers, {span}, under the name of classes"
            return Guess("category", what, (number,))
    if levels and len(levels) <= FEW_LEVELS:
        classes = ("category", "if they are codes of classes")
        what = f"{numbers_found(profile)}; {len(levels)} different ones, {span}, taken as amounts"
        return Guess("number", what, (ordinal, classes))
    return Guess("number", numbers_found(profile))

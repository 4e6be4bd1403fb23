"""Rules that say what an input column is, each with its reason; the first that fits decides."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from trainwright.data.inference.media import from_bytes, from_paths
from trainwright.data.inference.nested import from_lists, from_lists_as_text
from trainwright.data.inference.numbers import from_numbers, is_numeric
from trainwright.data.inference.profile import Guess, Profile
from trainwright.data.inference.text import category, from_dates, from_labels, from_text, from_yes_and_no


def guess_input(profile: Profile, *, root: str | None = None, asked: bool = False) -> Guess:
    """Return what an input column is.

    Args:
        profile: a sample of its values.
        root: folder that relative media paths start from.
        asked: the user named the column as an input: it is not left out for looking like an id.
    """
    found = _first_that_fits(profile, root)
    if not asked or found.type != "id-like":
        return found
    kind, why = found.alternatives[0]
    return Guess(kind, f"{why}; {found.reason}, but it was asked for")


def _first_that_fits(profile: Profile, root: str | None) -> Guess:
    dtype = profile.values.dtype
    if profile.count == 0:
        return Guess("constant", f"no value in {profile.rows:,} rows")
    if profile.num_unique == 1 and profile.rows > 1:
        return _one_value(profile)
    rules: tuple[Callable[[], Guess | None], ...] = ()
    if dtype == pl.Boolean:
        return Guess("boolean", "stored as true and false", (("category", "the same as two names"),))
    if isinstance(dtype, pl.Date | pl.Datetime):
        return Guess("date", "stored as dates")
    if dtype.is_numeric():
        return from_numbers(profile)
    if dtype == pl.String:
        rules = (
            lambda: from_paths(profile, root),
            lambda: from_yes_and_no(profile),
            lambda: from_numbers(profile) if is_numeric(profile) else None,
            lambda: from_dates(profile),
            lambda: from_lists_as_text(profile),
            lambda: from_labels(profile),
            lambda: from_text(profile),
            lambda: category(profile),
        )
    elif dtype == pl.Binary or dtype.is_nested():
        rules = (lambda: from_bytes(profile, root), lambda: from_lists(profile))
    for rule in rules:
        found = rule()
        if found is not None:
            return found
    return Guess("unknown", f"values of the type {dtype} cannot be used")


def _one_value(profile: Profile) -> Guess:
    value = profile.examples[0] if profile.examples else "the same bytes"
    if profile.missing > 0.005 and profile.values.dtype == pl.String:
        return Guess(
            "category",
            f"only '{value}', but {profile.missing:.0%} are missing: whether it is there may tell",
            (("constant", "if that says nothing"),),
        )
    return Guess("constant", f"every value is '{value}'")

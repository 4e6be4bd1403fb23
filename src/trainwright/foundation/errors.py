"""Errors that a person reads: one sentence that says what, where and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class TrainwrightError(Exception):
    """Something Trainwright got wrong; the command line exits with 1 and asks for a report."""

    exit_code = 1


class UserError(TrainwrightError, ValueError):
    """Something the user can mend; the command line prints the sentence and exits with 2.

    Args:
        what: what is wrong, without a full stop.
        where: file, `file:line:column`, column or row that it was found in.
        fix: what to do about it, as an imperative clause.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what, self.where, self.fix = what, where, fix
        sentence = f"{where}: {what}" if where else what
        sentence = f"{sentence}; {fix}" if fix else sentence
        super().__init__(sentence if sentence.endswith("?") else f"{sentence}.")

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process borders as (class, args), and `args` is the finished sentence.
        return _rebuild, (type(self), self.what, self.where, self.fix)


def _rebuild(cls: type[UserError], what: str, where: str | None, fix: str | None) -> UserError:
    return cls(what, where=where, fix=fix)


class RecipeError(UserError):
    """A recipe that cannot be read or that asks for something impossible."""


class DataError(UserError):
    """Data that cannot be read, or that nothing can be learned from."""


class ModelFolderError(UserError):
    """A model folder that is damaged, incomplete or from another version."""


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the word that `word` was most likely meant to be, or None when nothing is near."""
    by_lower = {candidate.lower(): candidate for candidate in words}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, words: Iterable[str], *, limit: int = 12) -> str:
    """Return the mending clause for an unknown word: the nearest one, or the list of what there is."""
    words = list(words)
    if not words:
        return "leave it out"
    match = nearest(word, words)
    if match is not None:
        return f"did you mean '{match}'?"
    shown = ", ".join(words[:limit])
    return f"choose one of: {shown}" + (f" (and {len(words) - limit} more)" if len(words) > limit else "")

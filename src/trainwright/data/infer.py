"""Schema inference: what each column is for and what type it has, with reasons."""

from __future__ import annotations

from collections.abc import Mapping

from trainwright.data.inference.guess import guess_input
from trainwright.data.inference.profile import Guess, Profile
from trainwright.data.inference.sample import confirm, take_profiles
from trainwright.data.inference.target import TARGET_TYPES, guess_target
from trainwright.data.schema import Column, Role, Schema
from trainwright.data.splits.parts import SAYS_PARTS, columns_of_split, may_name_parts
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError, did_you_mean
from trainwright.recipe.recipe import FeatureSettings, SplitSettings

FEWEST_ROWS = 10
"""Fewer rows make no training, validation and test."""
LEFT_OUT = ("id-like", "constant", "unknown")
"""Types of columns that nothing can be learned from."""

_AUTO = FeatureSettings()


def infer_schema(
    table: Table,
    *,
    inputs: Mapping[str, FeatureSettings],
    targets: Mapping[str, FeatureSettings],
    seed: int = 0,
    split: SplitSettings | None = None,
) -> Schema:
    """Return what each column is, judged by a sample of its values.

    That a column is constant or an id is confirmed on all of its values.

    Args:
        table: the rows.
        inputs: columns to learn from and their types ("auto" is inferred); none means every other column.
        targets: columns to predict and their types.
        seed: the run's seed, for the sample.
        split: how rows are shared out; a column it names for groups or parts is not learned from.

    Raises:
        DataError: there are too few rows, a column is not there, a target cannot be learned, or no input
            is left.
    """
    _check_names(table, inputs, targets)
    _check_rows(table)

    def guess(name: str) -> Guess:
        if name in targets:
            return guess_target(profiles[name], root=table.root)
        return guess_input(profiles[name], root=table.root, asked=name in inputs)

    asked_for = {*inputs, *targets, *([split.column] if split and split.column else [])}
    names = [name for name in table.schema if not inputs or name in asked_for or may_name_parts(name)]
    profiles = take_profiles(table, names, seed)
    sampled = max(profile.rows for profile in profiles.values())
    guesses = {name: guess(name) for name in names}
    better = confirm(
        table,
        profiles,
        constant=[name for name in names if guesses[name].type == "constant"],
        unique=[
            name
            for name in names
            if guesses[name].type == "id-like" or (name in targets and guesses[name].type == "text")
        ],
    )
    profiles |= better
    guesses |= {name: guess(name) for name in better}
    for_split = columns_of_split(table, profiles, split)
    columns = []
    for name in table.schema:
        if name in targets:
            columns.append(_target(profiles[name], guesses[name], targets[name], table))
        elif name in for_split and name not in inputs:
            columns.append(_column(profiles[name], Guess("category", for_split[name]), "left out"))
        elif not inputs or name in inputs:
            columns.append(_input(profiles[name], guesses[name], inputs.get(name, _AUTO)))
        else:
            columns.append(Column(name, "unknown", "left out", "not among the inputs asked for"))
    _check_inputs(columns, table)
    parts = next((name for name, reason in for_split.items() if reason == SAYS_PARTS), None)
    return Schema(tuple(columns), table.num_rows, sampled, parts)


def _input(profile: Profile, guess: Guess, settings: FeatureSettings) -> Column:
    if settings.type == "auto" and guess.type in LEFT_OUT:
        return _column(profile, guess, "left out")
    return _column(profile, _as_asked(guess, settings), "input")


def _target(profile: Profile, guess: Guess, settings: FeatureSettings, table: Table) -> Column:
    where = f"{table.name}, column '{profile.name}'"
    if profile.count == 0:
        raise DataError(
            "every value of the target is missing", where=where, fix="fill it in, or name another target"
        )
    if profile.num_unique == 1:
        raise DataError(
            f"the target has only one class: every value is '{profile.examples[0]}'",
            where=where,
            fix="add rows of another class, or name another target",
        )
    if settings.type == "auto" and guess.type not in TARGET_TYPES:
        raise DataError(
            f"this column cannot be a target: {guess.reason}",
            where=where,
            fix=f"name another, or give its type: {', '.join(TARGET_TYPES)}",
        )
    return _column(profile, _as_asked(guess, settings), "target")


def _as_asked(guess: Guess, settings: FeatureSettings) -> Guess:
    """Return the guess after the user's word: a type that is asked for stands, with what it looked like."""
    if settings.type in {"auto", guess.type}:
        return Guess(guess.type, guess.reason, guess.alternatives, {**guess.options, **settings.options})
    return Guess(settings.type, "asked for", ((guess.type, guess.reason),), settings.options)


def _column(profile: Profile, guess: Guess, role: Role) -> Column:
    return Column(
        name=profile.name,
        type=guess.type,
        role=role,
        reason=guess.reason,
        options=guess.options,
        missing=round(profile.missing, 6),
        num_unique=profile.num_unique,
        examples=profile.examples,
        alternatives=guess.alternatives,
    )


def _check_names(
    table: Table, inputs: Mapping[str, FeatureSettings], targets: Mapping[str, FeatureSettings]
) -> None:
    for role, asked in (("target", targets), ("input", inputs)):
        for name in asked:
            if name not in table.schema:
                others = [column for column in table.schema if column not in targets or role == "target"]
                raise DataError(
                    f"there is no column '{name}' to be {'a' if role == 'target' else 'an'} {role}",
                    where=table.name,
                    fix=did_you_mean(name, others),
                )
    both = [name for name in inputs if name in targets]
    if both:
        raise DataError(
            f"the column '{both[0]}' is both an input and a target",
            where=table.name,
            fix="take it out of one of them: a model would only copy it",
        )


def _check_rows(table: Table) -> None:
    if table.num_rows == 0:
        raise DataError("there are no rows", where=table.name, fix="check that there is more than a header")
    if table.num_rows < FEWEST_ROWS:
        raise DataError(
            f"{table.num_rows} rows are too few to learn from and to judge by",
            where=table.name,
            fix=f"give {FEWEST_ROWS} or more; hundreds before a result means much",
        )


def _check_inputs(columns: list[Column], table: Table) -> None:
    if any(column.role == "input" for column in columns):
        return
    reasons = [f"'{column.name}': {column.reason}" for column in columns if column.role == "left out"]
    shown = f" ({'; '.join(reasons[:3])})" if reasons else ""
    raise DataError(
        f"no column is left to learn from{shown}",
        where=table.name,
        fix="add input columns, or name them with their types under inputs",
    )

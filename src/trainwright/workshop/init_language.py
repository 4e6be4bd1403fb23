"""`init` for language models: what the texts or conversations were taken for, and what would be learned."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from trainwright.data.open import open_table
from trainwright.data.table import Table
from trainwright.data.wording import counted
from trainwright.features.language.formats import FORMATS, choose_format, task_of_columns
from trainwright.features.language.samples import read_samples
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings, Recipe
from trainwright.workshop.language_network import family_of
from trainwright.workshop.language_source import as_text

Comments = dict[tuple[str, ...], str]

_LOOKED_AT = 10_000
"""Rows that are read to see whether they can be used."""


def told_task(data: Any) -> str | None:
    """Return the task that data is made for; None where it may be a table.

    Texts in files of their own, or in a prepared corpus, are to be told token by token. Of a table with a
    column of texts beside others nobody knows: it may be one to predict from.

    Args:
        data: what `init` was given.
    """
    settings = DataSettings(path=data if isinstance(data, str) else tuple(data))
    read = as_text(settings, Path())
    return "causal-lm" if read != settings else task_of_columns(list(open_table(settings).schema))


def fill_language(recipe: Recipe, base: Path | None) -> tuple[Recipe, Comments]:
    """Return a recipe with the format that the data has, and why; what training would choose is said.

    Args:
        recipe: with a task.
        base: folder that relative paths start from.

    Raises:
        DataError: the data has no format that the task learns from, or nothing in it can be used.
    """
    task, settings = recipe.task, recipe.language
    assert task is not None
    table = open_table(as_text(recipe.data, base or Path()), base=base)
    word, _, names = choose_format(
        list(table.schema), task=task, asked=settings.format, called=settings.columns, where=table.name
    )
    family = family_of(recipe)
    comments: Comments = {
        ("data", "path"): _rows(table, word, names),
        ("task",): f"The data has the format {word}, from which {task} is learned",
        ("language", "format"): "; ".join(f"{name} is column '{column}'" for name, column in names.items()),
        ("model", "name"): f"auto is {family}",
    }
    if family != "pretrained":
        comments["tuning",] = "It needs a checkpoint: set model.checkpoint"
    language = settings.model_copy(update={"format": word})
    return recipe.model_copy(update={"language": language}), comments


def _rows(table: Table, word: str, names: Mapping[str, str]) -> str:
    """Return how many rows there are, and which of the first cannot be used.

    Raises:
        DataError: none of them can.
    """
    usable, broken = 0, dict[int, str]()
    for frame in islice(table.chunks(sorted(set(names.values())), size=1_000), _LOOKED_AT // 1_000):
        samples, _, wrong = read_samples(frame, FORMATS[word], names, usable + len(broken))
        usable += len(samples)
        broken |= wrong
    first = next(iter(sorted(broken.items())), None)
    if first is not None and not usable:
        raise DataError(
            f"no sample can be used; the first: {first[1]}", where=table.where(first[0]), fix="mend them"
        )
    said = counted(table.num_rows, "row")
    if first is None:
        return said
    seen = usable + len(broken)
    return f"{said}; {len(broken):,} of {seen:,} that were looked at cannot be used, the first: {first[1]}"

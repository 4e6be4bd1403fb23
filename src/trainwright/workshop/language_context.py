"""What the context leaves of samples: those that teach nothing within it are taken out, and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainwright.data.encoded import Array
from trainwright.data.splits.parts import PARTS
from trainwright.data.token_store import Tokens
from trainwright.foundation.errors import DataError, RecipeError

if TYPE_CHECKING:
    from trainwright.tasks.language import LanguageTask
    from trainwright.workshop.language_data import LanguageData

_AT_ONCE = 1 << 22
"""Tokens that are looked at at a time."""


def fit_to_context(data: LanguageData, task: LanguageTask) -> None:
    """Take out samples of which the context leaves nothing to learn, and note what becomes of long ones.

    Args:
        data: its indices and notes are changed.
        task: says how many tokens are read of a sample, and whether longer ones are split or cut off.

    Raises:
        DataError: nothing is left, or the model would never learn to stop.
        RecipeError: answers are to be compared piece by piece.
    """
    from trainwright.tasks.encoder_decoder import EncoderDecoderTask

    tokens, context, long = data.tokens, task.reading.context, task.reading.long
    if data.recipe.task == "preference" and long == "split":
        raise RecipeError(
            "two answers can only be compared whole",
            where="language.long",
            fix="leave it out: longer conversations are cut off",
        )
    samples = np.concatenate([data.indices[part] for part in PARTS])
    num_longer = task.num_long(samples)
    if not num_longer:
        return
    what = "split" if long == "split" else "cut off there"
    data.notes.append(f"{num_longer:,} of {len(samples):,} samples have more than {context} tokens: {what}.")
    if isinstance(task, EncoderDecoderTask):  # a decoder begins each target anew: something of it is read
        _check_ends(data, samples, task.ends(samples), context)
        return
    if long == "split" or tokens.trained is None:
        return
    longer = tokens.lengths > context + task.spare
    whole = [samples + number for number in range(data.parts_each)]
    learned, ended = _left(tokens, np.flatnonzero(longer), context, sorted(data.tokenizer.stops))
    left = np.all([learned[rows] for rows in whole], axis=0)
    if data.parts_each == 2:
        left[left] = ~_same(tokens, samples[left], context, longer)
    kept = samples[left]
    if len(kept) < len(samples):
        data.notes.append(
            f"{len(samples) - len(kept):,} of {len(samples):,} samples are left out: nothing of what they "
            f"teach lies within {context} tokens."
        )
    for part in PARTS:
        data.indices[part] = np.intersect1d(data.indices[part], kept, assume_unique=True)
        if part != "test" and not len(data.indices[part]):
            raise _too_short(
                data, f"of no sample for {part} does what it teaches lie within {context} tokens", samples
            )
    stopping = np.all([ended[kept + number] for number in range(data.parts_each)], axis=0)
    _check_ends(data, kept, stopping, context)


def _check_ends(data: LanguageData, samples: Array, ends: Array, context: int) -> None:
    """Note in how many samples no answer ends within the context; refuse where none of training does.

    Args:
        data: its notes are changed.
        samples: those that are learned or judged by.
        ends: of which of them an answer, or the target, is read to its end, bool [samples].
        context: tokens that are read.
    """
    if not ends[np.isin(samples, data.indices["training"])].any():
        raise _too_short(
            data,
            f"no answer ends within {context} tokens: the model would never learn to stop",
            samples,
        )
    if not ends.all():
        data.notes.append(
            f"In {int((~ends).sum()):,} of {len(samples):,} samples no answer ends within {context} tokens."
        )


def _too_short(data: LanguageData, what: str, samples: Array) -> DataError:
    most = int(np.quantile(data.tokens.lengths_of(samples), 0.9))
    fix = f"set language.context to {most}, which 9 of 10 samples fit into"
    if data.recipe.task != "preference" and not data.encodes:
        fix += ", or language.long to split"
    return DataError(what, where=data.table.name, fix=fix)


def _left(tokens: Tokens, longer: Array, context: int, stops: list[int]) -> tuple[Array, Array]:
    """Return of which rows something is learned within the context, and in which a turn ends there.

    Args:
        tokens: all rows.
        longer: rows that are longer than the context; of others all is learned.
        context: tokens that are told.
        stops: ids that end a turn.

    Returns:
        learned, ended: bool [rows].
    """
    assert tokens.trained is not None
    learned = np.ones(len(tokens.lengths), dtype=bool)
    ended = learned.copy()
    step = max(_AT_ONCE // context, 1)
    for start in range(0, len(longer), step):
        rows = longer[start : start + step]
        places = tokens.offsets[rows][:, None] + 1 + np.arange(context)  # [rows, context]
        trained = tokens.trained[places] > 0
        learned[rows] = trained.any(axis=1)
        ended[rows] = (trained & np.isin(tokens.ids[places], stops)).any(axis=1)
    return learned, ended


def _same(tokens: Tokens, pairs: Array, context: int, longer: Array) -> Array:
    """Return whether the answers of some pairs are the same as far as they are read, bool [pairs]."""
    same = longer[pairs] & longer[pairs + 1]  # else they have different lengths, or were compared when read
    step = max(_AT_ONCE // context, 1)
    both = np.flatnonzero(same)
    for start in range(0, len(both), step):
        some = both[start : start + step]
        read = np.arange(context + 1)
        better, worse = (
            tokens.ids[tokens.offsets[pairs[some] + number][:, None] + read] for number in (0, 1)
        )
        same[some] = (better == worse).all(axis=1)
    return np.asarray(same)

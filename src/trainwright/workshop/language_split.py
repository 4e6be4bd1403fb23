"""Sharing samples out: which are learned from, which choose the model, and which judge it once.

A language model learns by heart what it meets twice. So samples that are equal, and pieces of one document,
are all in one part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from trainwright.data.cache import prune
from trainwright.data.sources.text import FILE, PIECE, TEXT
from trainwright.data.splits.parts import PARTS, may_name_parts, named_parts, part_of
from trainwright.data.splits.repeats import (
    first_equal,
    first_of,
    first_of_numbers,
    joined,
    kept_together,
    numbered,
)
from trainwright.data.splits.share_out import share_out_evenly
from trainwright.data.table import Table
from trainwright.data.values import as_words
from trainwright.data.wording import counted
from trainwright.features.language.formats import Sample
from trainwright.features.language.samples import text_of
from trainwright.foundation.errors import DataError, RecipeError, did_you_mean
from trainwright.foundation.hashing import json_hash
from trainwright.foundation.leases import use
from trainwright.foundation.paths import cache_folder, whole_folder
from trainwright.foundation.random import numpy_stream
from trainwright.recipe.recipe import SplitSettings

Array = npt.NDArray[Any]

FEW = 50
"""Of fewer documents than this each is cut into its parts, as one of them alone would be no test."""
_SHARES = (0.05, 0.05)
"""Validation and test where the recipe does not say: texts are many tokens."""
_MOST_JOINED = 0.1
"""Share of all samples that equal ones may join to one group before they are left where they are."""
_VERSION = 2
"""Version of the cached repeats; raised when they change."""
_CORPUS = frozenset({"text", "id", "source", "position", "characters"})
"""Columns by which the shards of `trainwright prepare` are known."""
_DOCUMENT = "document"
"""Their column that is the same in all parts of a document; earlier versions wrote none."""
_PART = r" ?part [\d,]+(?: after byte [\d,]+)?$"
"""What of a position says which part of a document a row is."""


@dataclass(frozen=True)
class Sharing:
    """How samples are shared out.

    Attributes:
        part: part of each row, int8 [rows]; None where each sample is cut into its parts.
        validation, test: shares.
        method: "random", "group", "column", "given", or "ends" of each.
        notes: what was decided or noticed, one sentence each.
    """

    part: Array | None
    validation: float
    test: float
    method: str
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> Any:
        """What differs where samples are cut in other places."""
        if self.part is not None:
            return hashlib.blake2b(self.part.tobytes(), digest_size=16).hexdigest()
        return [self.validation, self.test]

    def cut(self, sample: Sample) -> list[Sample]:
        """Return the training, validation and test part of a sample; itself where it is in one part."""
        if self.part is not None:
            return [sample]
        text = text_of(sample)
        first = _line_at(text, 1 - self.validation - self.test)
        second = max(_line_at(text, 1 - self.test), first) if self.test else len(text)
        return [
            Sample(text[:first], remarks=sample.remarks),
            Sample(text[first:second]),
            Sample(text[second:]),
        ]

    def indices(self, rows: Array, sizes: Array, parts_each: int) -> dict[str, Array]:
        """Return part → samples with something in them (or of pairs the first rows of tokens)."""
        part = np.arange(len(rows)) % len(PARTS) if self.part is None else self.part[rows]
        return {
            name: parts_each * np.flatnonzero((part == number) & (sizes > 0)).astype(np.int64)
            for number, name in enumerate(PARTS)
        }


def _line_at(text: str, share: float) -> int:
    """Return the beginning of a line near a share of a text."""
    wanted = round(share * len(text))
    for mark in ("\n\n", "\n", " "):
        found = text.rfind(mark, wanted * 9 // 10, wanted)
        if found >= 0:
            return found + len(mark)
    return wanted


def share_samples(
    split: SplitSettings, table: Table, columns: Sequence[str], *, task: str, seed: int
) -> Sharing:
    """Decide which rows are for training, validation and test.

    Parts that the recipe, the source or a column gives are taken as they are, and one that is missing is
    drawn from training. Else rows are drawn, equal ones and the pieces of a document together.

    Args:
        split: what the user asked for.
        table: the rows.
        columns: those that samples are made of.
        task: see the recipe.
        seed: the run's.

    Raises:
        RecipeError: texts are not split so, or a setting has no effect.
        DataError: a column is missing, or names no parts.
    """
    validation, test = shares = split.shares(_SHARES)
    method, column = _method(split, table, columns)
    document = _documents(table)
    if method == "ends":
        number = table.num_rows if document is None else int(document.max(initial=-1)) + 1
        if task in {"causal-lm", "masked-lm"} and number < FEW:
            what = counted(number, "document")
            note = f"Validation and test are the ends of the {what}: there are few of them."
            return Sharing(None, validation, test, "ends", (note,))
        method = "random"
    drawing = _Drawing(table, columns, document, shares, seed)
    if method == "given":
        assert table.part is not None
        drawing.say("the parts are those of the source")
        part = drawing.completed(np.array(table.part, dtype=np.int8))
    elif method == "column":
        assert column is not None
        named = named_parts(table.column(column), where=table.name, column=column, say=drawing.say)
        part = drawing.completed(named)
    else:
        part = drawing.drawn(np.arange(table.num_rows), shares, column)
    return Sharing(part, validation, test, method, tuple(drawing.notes))


def _method(split: SplitSettings, table: Table, columns: Sequence[str]) -> tuple[str, str | None]:
    """Return the method, "auto" decided ("ends" where texts may be cut), and the column it goes by."""
    method, column = split.method, split.column
    if method in {"stratified", "time"}:
        raise RecipeError(
            f"a language model's samples are not split by {method}",
            where="split.method",
            fix="set it to auto, random, group or column, or give files for validation and test",
        )
    if column is not None:
        if column not in table.schema:
            fix = did_you_mean(column, table.schema)
            raise DataError(f"there is no column '{column}' to split by", where=table.name, fix=fix)
        if method in {"random", "given"}:
            raise RecipeError(
                f"split.column has no effect where split.method is {method}",
                where="split.column",
                fix="leave it out, or set split.method to column or group",
            )
        return ("group" if method == "group" else "column"), column
    if method == "given" and table.part is None:
        fix = "name files for validation and test, or choose another split.method"
        raise DataError("the source gives no parts", where=table.name, fix=fix)
    if method == "given" or (method == "auto" and table.part is not None):
        return "given", None
    if method in {"auto", "column"}:
        column = _column_of_parts(table, columns)
        if column is None and method == "column":
            fix = "name it as split.column in the recipe"
            raise DataError("no column says which part a row belongs to", where=table.name, fix=fix)
        return ("ends", None) if column is None else ("column", column)
    return method, None


def _column_of_parts(table: Table, columns: Sequence[str]) -> str | None:
    """Return the column that is called as such and says of every row which part it belongs to."""
    for name, kind in table.schema.items():
        if name not in columns and may_name_parts(name) and kind == pl.String:
            parts = part_of(table.column(name))
            if parts.null_count() == 0 and (parts == 0).any() and (parts != 0).any():
                return name
    return None


def _documents(table: Table) -> Array | None:
    """Return which document each row is a piece of, 0 … n - 1, int64 [rows]; None where each is its own."""
    if {TEXT, FILE, PIECE} <= set(table.schema):
        document = np.cumsum(table.column(PIECE).to_numpy() == 0) - 1
    elif set(table.schema) >= _CORPUS:
        document = numbered(_remembered(table, "document", lambda: _first_of_document(table)))
    else:
        return None
    return None if int(document.max(initial=-1)) + 1 == table.num_rows else document


def _first_of_document(table: Table) -> Array:
    """Return for every row of a corpus the first one of the same document, int64 [rows]."""
    columns = ["source", "position"]
    whole = pl.col("position").str.replace(_PART, "")
    place = pl.concat_str("source", pl.lit("\n"), whole, ignore_nulls=True)
    if _DOCUMENT in table.schema:  # null in shards of an earlier version among others
        columns.append(_DOCUMENT)
        place = pl.coalesce(_DOCUMENT, place)
    # Hashes, as the names of all sources are more than memory may hold.
    hashes = [frame.select(place).to_series().hash() for frame in table.chunks(columns)]
    return first_of(pl.concat(hashes))


class _Drawing:
    """Parts in the making.

    Attributes:
        notes: what was decided or noticed, one sentence each.
    """

    def __init__(
        self,
        table: Table,
        columns: Sequence[str],
        document: Array | None,
        shares: tuple[float, float],
        seed: int,
    ) -> None:
        self._table, self._document, self._shares = table, document, shares
        self._generator = numpy_stream(seed, "split")
        names = sorted(columns)
        self._first = _remembered(table, names, lambda: first_equal(table, names))
        self.notes: list[str] = []

    def say(self, what: str) -> None:
        """Note what was decided or noticed."""
        self.notes.append(f"{what[0].upper()}{what[1:]}.")

    def drawn(self, mine: Array, shares: tuple[float, float], column: str | None = None) -> Array:
        """Draw the parts of some rows, int8 [mine]; rows with one value of `column` are in one part."""
        group, copies, common = kept_together(first_of_numbers(self._first[mine]))
        if copies:
            self.say(
                f"{copies:,} samples equal another one and stay in one part with it: a model must not be "
                "judged by what it learned by heart"
            )
        if common:
            self.say(
                f"{common:,} samples equal too many others, and may be in any part: equal ones are the rule "
                "here, not copies"
            )
        if self._document is not None:
            document = numbered(first_of_numbers(self._document[mine]))
            number = int(document.max(initial=-1)) + 1
            self.say(f"the pieces of a document stay in one part ({number:,} documents)")
            group = self._with(document, group)
        if column is not None:
            group = self._with(self._named(column, mine), group)
        return share_out_evenly(np.bincount(group), None, shares, self._generator)[group]

    def _with(self, held: Array, equal: Array) -> Array:
        """Return groups that hold both together, or `held` alone where equal rows would join most of it."""
        together = joined(held, equal)
        most = max(np.bincount(held).max(initial=0), _MOST_JOINED * len(held))
        if np.bincount(together).max(initial=0) <= most:
            return together
        self.say("equal samples would join most groups, so they may be in two parts")
        return held

    def _named(self, column: str, mine: Array) -> Array:
        names = as_words(self._table.column(column)).gather(mine)
        alone = names.is_null().to_numpy()
        group = numbered(np.where(alone, np.arange(len(names)), first_of(names)))
        number = int(group.max(initial=-1)) + 1 - int(alone.sum())
        self.say(f"no group of '{column}' is in two parts ({number:,} groups)")
        if alone.any():
            self.say(f"{int(alone.sum()):,} rows without a group are groups of one")
        return group

    def completed(self, part: Array) -> Array:
        """Draw validation, and test, from training where there is none; count what is in two parts."""
        there = [bool((part == index).any()) for index in (1, 2)]
        left = 1 - sum(share for share, has in zip(self._shares, there, strict=True) if has)
        validation, test = (
            0.0 if has else share / left for share, has in zip(self._shares, there, strict=True)
        )
        training = np.flatnonzero(part == 0)
        if len(training) and (validation or test):
            part[training] = self.drawn(training, (validation, test))
            drawn = [name for name, share in zip(PARTS[1:], (validation, test), strict=True) if share]
            self.say(f"the source has no {' and no '.join(drawn)} rows: they are drawn from training")
        learned = np.zeros(len(part), dtype=bool)
        learned[self._first[part == 0]] = True
        for index in (1, 2):
            found = int(learned[self._first[part == index]].sum())
            if found:
                self.say(
                    f"{found:,} {PARTS[index]} samples are training samples too, so the result may flatter "
                    "the model"
                )
        return part


def _remembered(table: Table, what: Any, make: Callable[[], Array]) -> Array:
    """Return an array that follows from a table, made once for all runs on it."""
    folder = cache_folder("repeats") / json_hash([_VERSION, table.fingerprint, what])
    use(folder)
    path = folder / "rows.npy"
    if not path.is_file():
        with whole_folder(folder, durable=False) as scratch:
            np.save(scratch / path.name, make())
        prune(folder)
    folder.touch()
    found: Array = np.load(path)
    return found

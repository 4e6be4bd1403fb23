"""Yes or no, in the words that people and programs write."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from pydantic import model_validator

from trainwright.data.values import as_words
from trainwright.features.base import FEATURES, Array, Context, Encoded, Ragged
from trainwright.features.learned import LearnedClasses, LearnedFeature, LearnedInput, examples, reasons
from trainwright.features.levels import FIRST, MISSING, UNSEEN, counted, fit_classes, index_of

PAIRS = (
    ("false", "true"),
    ("no", "yes"),
    ("0", "1"),
    ("n", "y"),
    ("f", "t"),
    ("off", "on"),
    ("否", "是"),
)
"""Words for no and yes, in lower case."""

_NO, _YES = (tuple(pair[side] for pair in PAIRS) for side in (0, 1))


class LearnedBoolean(LearnedInput):
    """What a boolean learned as an input: nothing but that words were odd."""


class LearnedYesNo(LearnedClasses):
    """What a boolean learned as a target: the column's words for no and for yes."""

    @model_validator(mode="after")
    def _two(self) -> LearnedYesNo:
        if len(self.classes) != 2:
            raise ValueError("a boolean has two classes")
        return self


@FEATURES.register("boolean")
class BooleanFeature(LearnedFeature):
    """Yes or no → index [rows, 1]: 0 missing, 1 neither yes nor no, 2 no, 3 yes."""

    type = "boolean"
    modality = "table"
    Input = LearnedBoolean
    Target = LearnedYesNo

    def fit(self, values: pl.Series, context: Context) -> None:
        """Note words that mean neither."""
        odd = _sides(values) == UNSEEN
        note = f"neither yes nor no: {odd.sum():,}, such as {examples(values, odd)}" if odd.any() else None
        self.learned_ = LearnedBoolean(notes=(note,) if note else ())

    def encode(self, values: pl.Series, context: Context) -> Encoded:
        """Return "index"."""
        index = _sides(values)
        odd = int((index == UNSEEN).sum())
        return Encoded(
            {"index": index[:, None].astype(np.int32)}, counts={"neither yes nor no": odd} if odd else {}
        )

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return booleans."""
        index = encoded.arrays["index"]
        assert not isinstance(index, Ragged)
        return pl.Series(self.name, [None, None, False, True], dtype=pl.Boolean).gather(index[:, 0])

    def spec(self) -> dict[str, Any]:
        """Return {"dense": 0, "index": [4]}."""
        return {"dense": 0, "index": [FIRST + 2]}

    def fit_target(self, values: pl.Series, context: Context) -> None:
        """Learn how the column writes no and yes, which names the classes.

        Raises:
            DataError: training rows have only one of them.
        """
        words = as_words(values)
        side = _sides(values)
        names, counts = [], {}
        common = [next(iter(counted(words.filter(pl.Series(side == FIRST + yes)))), None) for yes in (0, 1)]
        for yes in (0, 1):
            name = common[yes] or _counterpart(common[1 - yes], yes)
            names.append(name)
            counts[name] = int((side == FIRST + yes).sum())
        classes = fit_classes(self.name, counts, names, limit=2)
        self.learned_ = LearnedYesNo(classes=classes.classes, counts=classes.counts)

    def encode_target(self, values: pl.Series) -> tuple[Array, dict[int, str]]:
        """Return 0 for no and 1 for yes, int64 [rows], -1 where there is neither, with the reasons."""
        side = _sides(values)
        broken = reasons(values, side == MISSING, "the target is missing")
        broken |= reasons(values, side == UNSEEN, "the target {} is neither yes nor no")
        return np.maximum(side - FIRST, -1), broken

    def target_spec(self) -> dict[str, Any]:
        """Return {"classes": [no, yes] in the column's words, "counts": training rows of each}."""
        return {"classes": list(self.learned_.classes), "counts": list(self.learned_.counts)}


def _sides(values: pl.Series) -> Array:
    """Return 0 missing, 1 neither, 2 no, 3 yes, int64 [rows]."""
    words = as_words(values).str.to_lowercase()
    place = index_of(words, (*_NO, *_YES), first=FIRST, unseen=UNSEEN, missing=MISSING)
    return np.where(place >= FIRST, FIRST + (place >= FIRST + len(_NO)), place)


def _counterpart(word: str | None, yes: int) -> str:
    for pair in PAIRS:
        if word is not None and word.lower() == pair[1 - yes]:
            return pair[yes]
    return PAIRS[0][yes]

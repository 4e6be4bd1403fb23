"""What a rule of quality is, and how a batch is judged by those in force.

A new rule is a function under `RULES.register(...)` in a file of `corpus/rules/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trainwright.corpus.measures import Flags, Measures
from trainwright.foundation.errors import UserError, did_you_mean
from trainwright.foundation.registry import Registry

QUALITIES = ("off", "gentle", "strict")

LONG = 50
"""Words from which on shares of repetition and of stop words mean something."""


@dataclass(frozen=True)
class Rule:
    """A rule: texts leave whose measure is beyond a threshold.

    Attributes:
        measure: the measure of each text of a batch.
        beyond: on which side of the threshold texts leave.
        gentle: threshold that ordinary prose, poems and README files stay well within; None is off.
        strict: threshold of the source.
        source: where the rule comes from.
        about: what leaves, as a clause.
        applies: the texts that it may speak of.
        gentle_applies: those that it may speak of in the gentle quality, where they are fewer.
    """

    measure: Callable[[Measures], Any]
    beyond: Literal["above", "below"]
    gentle: float | None
    strict: float | None
    source: str
    about: str
    applies: Callable[[Measures], Flags] = lambda measures: np.ones(measures.tokens.num_texts, dtype=bool)
    gentle_applies: Callable[[Measures], Flags] | None = None

    def fires(self, measures: Measures, threshold: float, *, gentle: bool = False) -> Flags:
        """Return the texts that leave."""
        looks_at = self.gentle_applies if gentle and self.gentle_applies is not None else self.applies
        applies = looks_at(measures)
        if not applies.any():
            return applies
        measured = self.measure(measures)
        beyond = measured > threshold if self.beyond == "above" else measured < threshold
        return np.asarray(applies & beyond, dtype=bool)


RULES: Registry[Rule] = Registry("rule", package="trainwright.corpus.rules")


def is_long(measures: Measures) -> Flags:
    """Return the texts that are long enough for shares to mean something."""
    return measures.words >= LONG


def is_long_text(measures: Measures) -> Flags:
    """Return the long texts that are no programs."""
    return is_long(measures) & ~measures.code


def is_long_english(measures: Measures) -> Flags:
    """Return the long texts in English."""
    return is_long(measures) & measures.english


def has_spaces(measures: Measures) -> Flags:
    """Return the texts of languages that put spaces between words."""
    return ~measures.tokens.cjk & ~measures.joined


def is_prose(measures: Measures) -> Flags:
    """Return the texts that are neither Markdown nor programs."""
    return measures.prose


def thresholds(quality: str, changed: Mapping[str, float | None]) -> dict[str, float]:
    """Return the threshold of each rule in force.

    Args:
        quality: "off", "gentle" or "strict".
        changed: rule → threshold in place of that; None is off.

    Raises:
        UserError: there is no such quality or rule.
    """
    if quality not in QUALITIES:
        raise UserError(f"there is no quality '{quality}'", fix=did_you_mean(quality, QUALITIES))
    for name in changed:
        if name not in RULES:
            raise UserError(f"there is no rule '{name}'", fix=did_you_mean(name, list(RULES), limit=30))
    found: dict[str, float] = {}
    for name, rule in RULES.items():
        usual = {"off": None, "gentle": rule.gentle, "strict": rule.strict}[quality]
        threshold = changed.get(name, usual)
        if threshold is not None:
            found[name] = threshold
    return found


def judge(
    measures: Measures, limits: Mapping[str, float], *, gentle: bool
) -> tuple[npt.NDArray[np.int64], dict[str, Flags]]:
    """Return the first rule that speaks against each text, as a number in `limits`, -1 for none; and all."""
    first = np.full(measures.tokens.num_texts, -1, dtype=np.int64)
    fired: dict[str, Flags] = {}
    for number, (name, threshold) in enumerate(limits.items()):
        flags = RULES[name].fires(measures, threshold, gentle=gentle)
        if flags.any():
            fired[name] = flags
            first[flags & (first < 0)] = number
    return first, fired

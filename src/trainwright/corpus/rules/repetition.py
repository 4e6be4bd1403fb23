"""Repetition within a text: Rae et al. 2021 (Gopher), A1.1, table A1.

Shares are of texts with 50 words or more. For Chinese and Japanese n words are 2n characters. A line or an
n-gram counts as repeated from its second time on; the top n-gram counts where it comes at least twice.
Programs say the same words again and again: their n-grams are not looked at, their lines are.
"""

from __future__ import annotations

from functools import partial

from trainwright.corpus.measures import Measures, Numbers
from trainwright.corpus.rule import RULES, Rule, is_long, is_long_text

_SOURCE = "Gopher (Rae et al. 2021)"


def _part(measures: Measures, *, of: str, part: int) -> Numbers:
    pair: tuple[Numbers, Numbers] = getattr(measures.lines, of)
    return pair[part]


def _top(measures: Measures, *, size: int) -> Numbers:
    return measures.top_gram(size)


def _repeated(measures: Measures, *, size: int) -> Numbers:
    return measures.repeated_grams(size)


for _name, _of, _column, _gentle, _strict, _about in (
    ("repeated_lines", "duplicate", 0, 0.6, 0.3, "a larger share of lines that came before"),
    ("repeated_line_characters", "duplicate", 1, 0.5, 0.2, "a larger share of it in lines that came before"),
    (
        "repeated_paragraphs",
        "duplicate_paragraphs",
        0,
        0.6,
        0.3,
        "a larger share of paragraphs that came before",
    ),
    (
        "repeated_paragraph_characters",
        "duplicate_paragraphs",
        1,
        0.5,
        0.2,
        "a larger share of it in paragraphs that came before",
    ),
):
    RULES.register(_name)(
        Rule(partial(_part, of=_of, part=_column), "above", _gentle, _strict, _SOURCE, _about, is_long)
    )

for _size, _gentle, _strict in ((2, 0.4, 0.20), (3, 0.36, 0.18), (4, 0.32, 0.16)):
    RULES.register(f"top_{_size}_gram")(
        Rule(
            partial(_top, size=_size),
            "above",
            _gentle,
            _strict,
            _SOURCE,
            f"a larger share of it in its most frequent {_size} words in a row",
            is_long_text,
        )
    )

for _size, _strict in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)):
    RULES.register(f"repeated_{_size:02}_grams")(
        Rule(
            partial(_repeated, size=_size),
            "above",
            round(3 * _strict, 2),
            _strict,
            _SOURCE,
            f"a larger share of it in {_size} words in a row that came before",
            is_long_text,
        )
    )

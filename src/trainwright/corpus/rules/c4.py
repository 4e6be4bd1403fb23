"""Rules of C4: Raffel et al. 2020, 'Exploring the limits of transfer learning', section 2.2.

C4 takes lines out of pages; here the text stays as it is, and leaves when too large a share of its lines is
of that kind. Its list of bad words is not applied: it takes more than it should (Dodge et al. 2021,
'Documenting large webtext corpora').
"""

from __future__ import annotations

from trainwright.corpus.measures import Flags, Measures
from trainwright.corpus.rule import RULES, Rule, is_prose

_SOURCE = "C4 (Raffel et al. 2020)"

_PARAGRAPH = 80
"""Mean length from which lines are paragraphs, and no verses."""

_POLICIES = (
    b"javascript",
    b"terms of use",
    b"privacy policy",
    b"cookie policy",
    b"uses cookies",
    b"use of cookies",
    b"use cookies",
)


def _is_english_prose(measures: Measures) -> Flags:
    """Return the English texts of 20 paragraphs or more: neither verse nor lists."""
    long = (measures.lines.count >= 20) & (measures.line_length >= _PARAGRAPH)
    return is_prose(measures) & measures.english & long


RULES.register("c4_curly_brackets")(
    Rule(
        lambda m: m.braces,
        "above",
        0.1,
        0.0,
        _SOURCE,
        "a larger share of curly brackets (not in programs and Markdown)",
        is_prose,
    )
)
RULES.register("c4_lorem_ipsum")(
    Rule(lambda m: m.says(b"lorem ipsum"), "above", 0, 0, _SOURCE, "more places that say lorem ipsum")
)
RULES.register("c4_policy_lines")(
    Rule(
        lambda m: m.lines_that_say(*_POLICIES),
        "above",
        0.5,
        0.1,
        _SOURCE,
        "a larger share of lines about JavaScript, cookies and policies",
        is_prose,
    )
)
RULES.register("c4_terminal_punctuation")(
    Rule(
        lambda m: m.lines.share(m.lines.terminal),
        "below",
        0.02,
        0.12,
        "C4 (Raffel et al. 2020); share of FineWeb (Penedo et al. 2024)",
        "a smaller share of lines that end as a sentence does (20 lines or more)",
        lambda m: is_prose(m) & ~m.joined & (m.lines.count >= 20),
        gentle_applies=_is_english_prose,
    )
)
RULES.register("c4_few_sentences")(
    Rule(lambda m: m.sentences, "below", None, 3, _SOURCE, "fewer sentences than this", is_prose)
)

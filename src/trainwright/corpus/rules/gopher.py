"""Rules of Rae et al. 2021, 'Scaling language models: … insights from training Gopher', A1.1.

They were made for English on the web. Chinese and Japanese have no spaces: a word is counted as 1.5
characters, and the mean length of words says nothing. In Markdown `#` and bullets are structure.
"""

from __future__ import annotations

from trainwright.corpus.rule import RULES, Rule, has_spaces, is_long_english, is_prose

_SOURCE = "Gopher (Rae et al. 2021)"


RULES.register("gopher_few_words")(Rule(lambda m: m.words, "below", 3, 50, _SOURCE, "fewer words than this"))
RULES.register("gopher_many_words")(
    Rule(lambda m: m.words, "above", None, 100_000, _SOURCE, "more words than this")
)
RULES.register("gopher_short_words")(
    Rule(
        lambda m: m.word_length,
        "below",
        2,
        3,
        _SOURCE,
        "words with fewer characters in the mean",
        lambda m: has_spaces(m) & is_prose(m),
    )
)
RULES.register("gopher_long_words")(
    Rule(
        lambda m: m.word_length,
        "above",
        20,
        10,
        _SOURCE,
        "words with more characters in the mean",
        lambda m: has_spaces(m) & is_prose(m),
    )
)
RULES.register("gopher_symbols")(
    Rule(lambda m: m.symbols, "above", 0.5, 0.1, _SOURCE, "more # and … for each word")
)
RULES.register("gopher_bullets")(
    Rule(
        lambda m: m.lines.share(m.lines.bullet),
        "above",
        0.97,
        0.9,
        _SOURCE,
        "a larger share of lines that begin with a bullet",
        lambda m: is_prose(m) & (m.lines.count >= 3),
    )
)
RULES.register("gopher_ellipses")(
    Rule(
        lambda m: m.lines.share(m.lines.ellipsis),
        "above",
        0.7,
        0.3,
        _SOURCE,
        "a larger share of lines that end in an ellipsis",
        lambda m: m.lines.count >= 3,
    )
)
RULES.register("gopher_alphabetic")(
    Rule(
        lambda m: m.alphabetic,
        "below",
        0.5,
        0.8,
        _SOURCE,
        "a smaller share of words that hold a letter",
        lambda m: has_spaces(m) & is_prose(m),
    )
)
RULES.register("gopher_stop_words")(
    Rule(
        lambda m: m.stop_words,
        "below",
        1,
        2,
        _SOURCE,
        "fewer of the words the, be, to, of, and, that, have, with (English of 50 words or more)",
        lambda m: is_long_english(m) & is_prose(m),
    )
)

"""Rules for text columns: yes and no, dates, several labels in a cell, prose, names and codes."""

from __future__ import annotations

from trainwright.data.dates import read_dates
from trainwright.data.inference.numbers import IDS, MOSTLY, codes, id_like
from trainwright.data.inference.profile import FEW_ROWS, NEARLY_UNIQUE, Guess, Profile, quoted

_YES_AND_NO = (
    {"yes", "no"},
    {"true", "false"},
    {"y", "n"},
    {"t", "f"},
    {"on", "off"},
    {"是", "否"},
)
_LIKE_A_DATE = r"^(\d{1,4}[-/.年]\d{1,2}[-/.月]\d|\d{1,2}[- ][A-Za-z]{3}|[A-Za-z]{3,9} \d)"
_MANY_LEVELS = 50
_LARGEST_STOCK = 5_000


def from_yes_and_no(profile: Profile) -> Guess | None:
    """Two words that mean yes and no."""
    if profile.num_unique > 4:
        return None
    words = set(profile.values.str.to_lowercase().unique().to_list())
    if words not in _YES_AND_NO:
        return None
    first, second = sorted(words)
    return Guess("boolean", f"only '{first}' and '{second}'", (("category", "the same as two names"),))


def from_dates(profile: Profile) -> Guess | None:
    """Days, with or without a time; numbers of seconds are left as numbers."""
    if profile.share_matching(_LIKE_A_DATE) < MOSTLY:
        return None
    dates = read_dates(profile.values)
    strays = dates.null_count()
    if strays > (1 - MOSTLY) * profile.count:
        return None
    days = dates.drop_nulls().dt.date().sort()
    reason = f"dates from {days[0]} to {days[-1]}"
    if strays:
        reason += f"; {strays:,} others such as {quoted(profile.values.filter(dates.is_null()))}"
    return Guess("date", reason, (("category", "if they are mere names"),))


def from_labels(profile: Profile) -> Guess | None:
    """Several labels from a stock under a separator, such as `Comedy|Drama`."""
    for separator in ("|", ";", ","):
        # A comma is in ordinary text too: then most cells must be lists, of short labels that come often.
        comma = separator == ","
        if profile.share_with(separator) < (0.5 if comma else 0.2):
            continue
        cells = profile.values.str.split(separator)
        if cells.list.len().n_unique() == 1:  # "Springfield, IL" is one name of two parts
            continue
        labels = cells.explode().str.strip_chars()
        labels = labels.filter(labels != "")
        stock = labels.n_unique()
        often = len(labels) >= (10 if comma else 4) * stock
        longest = labels.str.len_chars().quantile(0.95) or 0.0
        if often and stock < min(profile.num_unique, _LARGEST_STOCK) and longest <= (20 if comma else 60):
            each = len(labels) / profile.count
            return Guess(
                "set",
                f"labels between '{separator}': {stock:,} different ones, {each:.1f} a row",
                (("category", "each combination as one class"), ("text", "as words")),
                {"delimiter": separator},
            )
    return None


def from_text(profile: Profile) -> Guess | None:
    """Prose, names, and codes that differ from row to row; None for what comes again: categories."""
    words, distinct = profile.words, profile.distinct
    found = f"about {words:.0f} words each, {profile.num_unique:,} different ones in {profile.count:,} rows"
    prose = words >= 3 and (distinct >= 0.3 or (words >= 6 and profile.num_unique > 1_000))
    if prose or (profile.length >= 100 and profile.num_unique > 100):
        return Guess("text", found, (("category", "if equal values matter more than their words"),))
    if profile.count < FEW_ROWS:
        return None
    named_id = bool(IDS & set(profile.words_of_name))
    if distinct >= NEARLY_UNIQUE:
        if named_id or (words < 1.8 and profile.share_matching(r"\d") > 0.2):
            return id_like("a different code in nearly every row", ("category", "codes"))
        if words >= 1.8:
            return Guess("text", f"{found}: too many to be classes", (("id-like", "if they are mere names"),))
        return Guess(
            "text",
            f"a different word in nearly every row, {profile.length:.0f} characters: its spelling may tell",
            (("id-like", "if they are mere names"),),
        )
    return codes(profile, "text under the name of an id") if named_id and distinct > 0.5 else None


def category(profile: Profile) -> Guess:
    """Values that come again."""
    levels = profile.num_unique
    found = f"{levels:,} different values in {profile.count:,} rows"
    if profile.leading_zeros:
        if profile.count >= FEW_ROWS and profile.distinct >= NEARLY_UNIQUE:
            return id_like("a different code in nearly every row", ("category", "codes"))
        found += "; digits with leading zeros, as codes have them"
    elif profile.numeric > 0.3 and len(profile.strays):
        found += (
            f"; {profile.numeric:.0%} are numbers, but too many are not, such as {quoted(profile.strays)}"
        )
    if levels <= _MANY_LEVELS:
        return Guess("category", found)
    otherwise = (("text", "if their words or spelling tell something"),)
    return Guess("category", f"{found}; rare ones will share a level", otherwise)

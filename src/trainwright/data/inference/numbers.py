"""Rules for numbers: amounts, codes that only look like numbers, ids, and 0 and 1."""

from __future__ import annotations

from trainwright.data.dates import read_dates
from trainwright.data.inference.profile import FEW_ROWS, NEARLY_UNIQUE, Guess, Profile, quoted

MOSTLY = 0.95
"""Share of the values that must be numbers; the others are strays, which count as missing."""
FEW_LEVELS = 20
"""Whole numbers with at most this many different values may be classes."""

IDS = {"id", "ids", "uuid", "guid", "identifier", "编号", "序号"}
_KEYS = IDS | {"index", "idx", "key", "row", "rownum", "serial", "nr"}
_CODES = {"zip", "zipcode", "postcode", "postal", "plz", "fips", "邮编"}
_LAST_OF_CODES = {"code", "codes"}


def is_numeric(profile: Profile) -> bool:
    """Return whether a text column holds numbers, a few strays apart.

    Nearly all must be; or most, where the others are a few words that come again and again ("unknown").
    """
    if profile.leading_zeros or _lists_in_disguise(profile):
        return False
    if profile.numeric >= MOSTLY:
        return True
    words = profile.strays.n_unique()
    return profile.numeric >= 0.8 and words <= 5 and profile.num_unique > 5 * words


def _lists_in_disguise(profile: Profile) -> bool:
    """Return whether what reads as `(1,200)` or `1,200` is a list or a telephone number in most values.

    Amounts have others that are positive beside those in parentheses, and one or two digits before the first
    comma beside three; sets of codes such as `101,205,333` and `404` do not.
    """
    if not len(profile.amounts):
        return False
    if profile.share_matching(r"^[(（][0-9]") >= MOSTLY:
        return True
    codes = profile.few.filter(profile.few.str.contains(r"^[0-9]{3}(?:[,'_\s][0-9]{3})*$"))
    if len(codes) < MOSTLY * len(profile.few):
        return False
    groups = codes.str.count_matches("[0-9]{3}")
    return groups.n_unique() > 1 or groups[0] >= 3


def numbers_found(profile: Profile) -> str:
    """Return what was found, as a reason.

    `numbers in 99.8 % of 5,000 values, 40 written like "$1,200"; 3 strays such as "abc"`.
    """
    strays, amounts = len(profile.strays), profile.amounts
    written = f", {len(amounts):,} written like {quoted(amounts)}" if len(amounts) else ""
    if strays == 0:
        return f"numbers in all of {profile.count:,} values{written}"
    share = min(100 * profile.numeric, 99.9)
    noun = "stray" if strays == 1 else "strays"
    stray = quoted(profile.strays)
    return f"numbers in {share:.1f} % of {profile.count:,} values{written}; {strays:,} {noun} such as {stray}"


def from_numbers(profile: Profile) -> Guess:
    """Return what a column of numbers is."""
    found, levels = numbers_found(profile), profile.levels
    if not profile.whole or len(profile.strays):
        return Guess("number", found)
    name = profile.words_of_name
    if profile.count >= FEW_ROWS and profile.distinct >= NEARLY_UNIQUE:
        if profile.consecutive:
            return id_like("whole numbers that count the rows", ("number", "whole numbers"))
        if _KEYS & set(name):
            return id_like(
                "a different whole number in nearly every row, under the name of an id",
                ("number", "whole numbers"),
            )
    if (IDS | _CODES) & set(name) or (name and name[-1] in _LAST_OF_CODES):
        return codes(profile, "whole numbers under the name of a code or an id")
    plausible = "date" in name and profile.share_between(19_000_101, 21_001_231) == 1
    if plausible and not read_dates(profile.values).null_count():
        return Guess("date", "days written as yyyymmdd", (("number", "whole numbers"),))
    if levels == [0.0, 1.0] and not len(profile.amounts):  # "$0" and "$1" are no yes and no
        return Guess("boolean", "only 0 and 1", (("number", "0 and 1 as amounts"),))
    if len(levels) == 2:
        what = f"only two different numbers, {levels[0]:g} and {levels[1]:g}"
        return Guess("category", what, (("number", "if they are amounts"),))
    if 0 < len(levels) <= FEW_LEVELS:
        return Guess(
            "number",
            f"{found}; {len(levels)} different whole ones, {levels[0]:g} to {levels[-1]:g}, taken as amounts",
            (("category", "if they are codes without an order"),),
        )
    return Guess("number", found)


def codes(profile: Profile, what: str) -> Guess:
    """Return "category" for codes that come again, "id-like" for those that hardly do."""
    if profile.count >= FEW_ROWS and profile.distinct > 0.5:
        return id_like(
            f"{what}, {profile.num_unique:,} different ones in {profile.count:,} rows",
            ("category", "codes of things that come again"),
        )
    return Guess(
        "category",
        f"{what}: names of {profile.num_unique:,} different things",
        (("number", "if they are amounts"),) if profile.numeric == 1 else (),
    )


def id_like(reason: str, otherwise: tuple[str, str]) -> Guess:
    """Return the guess that a column only tells rows apart, with what it would be if it were used."""
    return Guess("id-like", f"{reason}: nothing that holds for new rows", (otherwise,))

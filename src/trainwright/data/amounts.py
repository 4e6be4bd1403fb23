"""Numbers as people write them: `1,234.50`, `$1,200`, `(1,200)`, `12 %`, `€ 950`, `１２３`.

Every value is read alone, and only where it can mean one thing. A comma is never a decimal point: if `3,14`
were a number, `1,234` could be two. A plain space divides digits only beside a currency or a percent sign:
without one, `555 123 456` may be a telephone number or a list.
"""

from __future__ import annotations

import polars as pl

_LONGEST = 128
"""Bytes beyond which nothing is tried: prose is no amount."""

_FULL_WIDTH = {chr(code + 0xFEE0): chr(code) for code in range(0x21, 0x7F)}
# Not NFKC, which would turn 10² into 102.
_ONE_WAY = {**_FULL_WIDTH, "\u3000": " ", "\u2212": "-", "\u2019": "'", "￡": "£", "￥": "¥", "￦": "₩"}

# Commas, apostrophes, underscores; no-break, figure, thin and narrow no-break spaces; plain spaces.
_FIXED_SPACE = "[\u00a0\u2007\u2009\u202f]"
_DIVIDERS = (",", "'", "_", _FIXED_SPACE, " ")
_GROUPS = "|".join(f"[1-9][0-9]{{0,2}}(?:{divider}[0-9]{{3}})+" for divider in _DIVIDERS)
_CURRENCY = "[$€£¥₹₩]|(?i:USD|EUR|GBP|CNY|RMB|JPY)"
_AMOUNT = (
    rf"^(?P<sign>[-+(])?(?:(?P<before>{_CURRENCY})\s?)?(?P<inner>[-+(])?"
    # No leading zeros: $007 is no amount.
    rf"(?P<digits>(?:0|[1-9][0-9]*|{_GROUPS})(?:\.[0-9]+)?|\.[0-9]+)"
    rf"(?:\s?(?P<behind>{_CURRENCY}|元|%))?(?P<close>\))?$"
)


def read_amounts(text: pl.Series) -> pl.Series:
    """Return text as float64, null where it is not an amount as people write it.

    The currency and the percent sign are dropped: `12%` is 12. Amounts in parentheses are negative.
    """
    read = pl.repeat(None, len(text), dtype=pl.Float64, eager=True)
    short = (text.str.len_bytes() <= _LONGEST).arg_true()
    written = text.gather(short).str.replace_many(_ONE_WAY)
    sign, inner = pl.col("sign"), pl.col("inner")
    in_parentheses = sign.eq_missing("(") | inner.eq_missing("(")
    has_unit = pl.col("before").is_not_null() | pl.col("behind").is_not_null()
    like_telephone = pl.col("digits").str.contains(" ", literal=True) | (
        sign.eq_missing("+") & pl.col("digits").str.contains(_FIXED_SPACE)
    )
    sound = (
        (sign.is_null() | inner.is_null())
        & (pl.col("before").is_null() | pl.col("behind").is_null())
        & (in_parentheses == pl.col("close").is_not_null())
        & (has_unit | ~like_telephone)
    )
    size = pl.col("digits").str.replace_all("[^0-9.]", "").cast(pl.Float64, strict=False)
    negative = in_parentheses | sign.eq_missing("-") | inner.eq_missing("-")
    amounts = written.str.extract_groups(_AMOUNT).struct.unnest()
    found = amounts.select(pl.when(sound).then(pl.when(negative).then(-size).otherwise(size)))
    return read.scatter(short, found.to_series())

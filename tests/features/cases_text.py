"""Cases of texts."""

from __future__ import annotations

import polars as pl
from contract import Case, constant, register

ENGLISH = pl.Series(
    [
        "The room was clean, the staff was kind.",
        "The room was dirty; nobody came!",
        None,
        "Breakfast   at 7\n\tand  a view: 100%.",
        "NA",
        "It's the staff's room, don't you think?",
    ]
)
CHINESE = pl.Series(["房间很大，很干净。", "房间太小了", None, "服务员很热情 wifi 不错", "早餐太差 😀👍🏽"])
FRESH = pl.Series(
    ["A new room 房", None, "", "?", "\x00\u2028é\ud7ff", "word " * 300, "۳ ไทย 한국어 ❤️", "x" * 20_000]
)

register(
    Case(
        "text", "text", constant(ENGLISH, FRESH), same=lambda value, again: again == (value and value.lower())
    )
)
register(
    Case(
        "text-case",
        "text",
        constant(ENGLISH, FRESH),
        {"lowercase": False},
        same=lambda value, again: value == again,
    )
)
register(
    Case(
        "text-chinese",
        "text",
        constant(CHINESE, FRESH),
        {"vocabulary": 300},
        same=lambda value, again: value == again,
    )
)
register(
    Case(
        "text-short",
        "text",
        constant(ENGLISH, FRESH),
        {"max_tokens": 4},
        known=lambda values: values[2:3].append(values[4:5]),
    )
)

"""Cases of the types that become columns of a table, and of sequences."""

from __future__ import annotations

import datetime as dt
import math

import polars as pl
from contract import Case, TargetCase, constant, register


def close(value: object, again: object) -> bool:
    """Return whether two numbers are equal but for float32, or neither is there."""
    if value is None or again is None:
        return value is again
    return math.isclose(float(str(value)), float(str(again)), rel_tol=1e-5, abs_tol=1e-5)


def all_close(value: list[float] | None, again: list[float] | None) -> bool:
    """Return whether two lists of numbers are equal but for float32; an empty one is no list."""
    if not value or not again:
        return not value and not again
    return len(value) == len(again) and all(close(a, b) for a, b in zip(value, again, strict=True))


def equal(value: object, again: object) -> bool:
    """Return whether two values are equal."""
    return value == again


NUMBERS = pl.Series(["1", "2.5", "-3e1", None, "7", "NA", "12", "8"])
ODD_NUMBERS = pl.Series(["4", "abc", None, "inf", "-1e400", "1e300", "?", "", "１", "0x1f", "nan", " 5 "])
for scaling in ("auto", "standard", "robust", "quantile", "none"):
    register(
        Case(
            f"number-{scaling}",
            "number",
            constant(NUMBERS, ODD_NUMBERS),
            {"scaling": scaling},
            known=lambda values: values.filter(values != "NA").append(pl.Series([None], dtype=pl.String)),
            same=close,
        )
    )
FLOATS = pl.Series([0.0, 1.5, None, float("nan"), 3.0, 2.0**60, -7.25] * 5)
register(Case("number-float", "number", constant(FLOATS, pl.Series([1.0, float("inf"), None, -1e308]))))
register(
    Case(
        "number-integer",
        "number",
        constant(pl.Series([1, 2, None, 4, 2**62]), pl.Series([0, None, -(2**63)])),
        {"embedding": "periodic"},
    )
)

WORDS = pl.Series(["red", "blue", "red", None, "blue", "green", "3.0", "3", "N/A"])
register(
    Case(
        "category",
        "category",
        constant(WORDS, pl.Series(["red", None, "violet", "", "3.00", " blue ", "None"])),
        known=lambda values: values.filter(values != "N/A").append(pl.Series([None], dtype=pl.String)),
        same=lambda value, again: again == {"green": "(rare)", "3.0": "3"}.get(value, value),
    )
)
register(
    Case(
        "category-of-numbers",
        "category",
        constant(pl.Series([1.0, 2.0, None, 2.0, 1.0]), pl.Series([1.0, 3.5, None])),
        {"min_count": 1},
        same=close,
    )
)
register(
    Case(
        "ordinal",
        "ordinal",
        constant(pl.Series(["low", "high", None, "middle"]), pl.Series(["low", None, "higher"])),
        {"order": ["low", "middle", "high"]},
        same=equal,
    )
)
register(
    Case(
        "boolean",
        "boolean",
        constant(
            pl.Series(["yes", "no", None, "YES"]), pl.Series(["y", "f", "是", "1.0", "perhaps", None, "off"])
        ),
        same=lambda value, again: again == (None if value is None else value.lower() == "yes"),
    )
)
register(
    Case(
        "boolean-typed",
        "boolean",
        constant(pl.Series([True, None, False]), pl.Series([False, None])),
        same=equal,
    )
)

DAYS = pl.Series(["2024-02-29", "1999-12-31", None, "2024/3/1", "-", "2021-06-15"])
register(
    Case(
        "date",
        "date",
        constant(
            DAYS, pl.Series(["2030-01-01T10:00:00Z", None, "31/12/2024", "12/31/2024", "2023-02-29", "soon"])
        ),
        tolerance=2e-3,
        known=lambda values: values.filter(values != "-").append(pl.Series([None], dtype=pl.String)),
    )
)
MOMENTS = pl.Series(
    [dt.datetime(2024, 5, day, 3 * day, 7 * day, tzinfo=dt.UTC) for day in range(1, 8)] + [None]
)
register(Case("date-time", "date", constant(MOMENTS, MOMENTS.dt.offset_by("400d")), tolerance=1e-3))

TAGS = pl.Series(["a|b", "b", None, "a|c|a", "['a', 'b']", "[]", "?", "c"])
register(Case("set", "set", constant(TAGS, pl.Series(["a|zz", None, "b|b", '["c"]', "a | b", ""]))))
register(
    Case(
        "set-of-lists",
        "set",
        constant(
            pl.Series([["x", "y"], None, ["y", "x"], []]), pl.Series([["x", "x", None], None, ["q"], []])
        ),
        same=lambda value, again: (value is None) == (again is None) and set(value or []) == set(again or []),
    )
)

READINGS = pl.Series([[1.0, 2.0, 3.0], None, [4.0, None], [], [9.0]])
register(
    Case(
        "sequence",
        "sequence",
        constant(READINGS, pl.Series([[1.0] * 9, None, [], [math.nan, math.inf, 1e308]])),
        known=lambda values: values.filter(
            values.list.eval(pl.element().is_null()).list.any().fill_null(False).not_()
        ),
        same=all_close,
    )
)
register(
    Case(
        "sequence-of-text",
        "sequence",
        constant(
            pl.Series(["1 2 3", "[4, 5]", None, "6;7;8;9"]),
            pl.Series(["1 2 3 4 5 6", "hello you", None, "3 x", "[]"]),
        ),
        {"max_length": 3},
    )
)
register(
    Case(
        "sequence-of-steps",
        "sequence",
        constant(
            pl.Series([[[1.0, 2.0], [3.0, 5.0]], None, [[0.5, 1.0]]]),
            pl.Series([[[1.0]], None, [[7.0, 8.0]] * 4, []]),
        ),
    )
)

VECTORS = pl.Series([[1.0, 2.0, 7.0], [3.0, 2.0, -10.0], None, [0.0, 2.0, 12.5]])
register(
    Case(
        "vector",
        "vector",
        constant(VECTORS, pl.Series([[1.0, 2.0], [1e308, math.nan, None], None, [5.0, 5.0, 5.0], []])),
        same=all_close,
    )
)
register(
    Case(
        "vector-of-text",
        "vector",
        constant(pl.Series(["[1, 2]", "3 4", None]), pl.Series(["1,2", "1,,2", "one two", None, "1,", "NA"])),
    )
)

register(
    TargetCase(
        "number",
        "number",
        pl.Series(["1", "3", None, "8"]),
        pl.Series(["2", "x", None, "inf", "1e300"]),
        (1, 2, 3),
    )
)
register(
    TargetCase("category", "category", WORDS, pl.Series(["red", "pink", None, 3.0], strict=False), (1, 2))
)
register(TargetCase("ordinal", "ordinal", pl.Series([1, 5, None, 10]), pl.Series([10, None, 2, 1]), (1, 2)))
register(
    TargetCase(
        "boolean",
        "boolean",
        pl.Series(["Yes", "No", None, "no"]),
        pl.Series(["NO", None, "maybe", "1", "true"]),
        (1, 2),
    )
)
register(TargetCase("set", "set", TAGS, pl.Series(["a|b", "a|zz", None, "[]", "c"]), (1, 2)))

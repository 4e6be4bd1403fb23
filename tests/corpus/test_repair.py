"""Repair: what is mended, and that nothing is glued together on the way."""

from __future__ import annotations

import pytest

from trainwright.corpus.ledger import Ledger
from trainwright.corpus.repair import repaired


@pytest.mark.parametrize("sign", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\u2028", "\r", "\r\n"])
def test_line_ends_of_other_kinds_end_lines(sign: str) -> None:
    assert repaired(f"one{sign}two", Ledger()) == b"one\ntwo"
    assert repaired(f"石{sign}桥", Ledger()).decode() == "石\n桥"


def test_u0085_is_the_sign_that_it_was_in_cp1252() -> None:
    assert repaired("one\x85two", Ledger()).decode() == "one…two"
    assert repaired("石\x85桥", Ledger()).decode() == "石…桥"


def test_paragraphs_and_units_stay_apart() -> None:
    assert repaired("one\u2029two", Ledger()) == b"one\n\ntwo"
    assert repaired("one\x1ftwo", Ledger()) == b"one two"


def test_controls_go_and_are_counted() -> None:
    ledger = Ledger()
    assert repaired("o\x00n\x1be\u200b\x7f", ledger) == b"one"
    assert repaired("one\x0ctwo", ledger) == b"one\ntwo"
    assert repaired("one\ttwo\n", ledger) == b"one\ttwo\n"
    assert ledger.notes == {"texts with control characters taken out": 2}

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.reporting.numbers import clip, duration, interval, number, percent, plain, signed


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.98312, "0.983"),
        (0.0, "0"),
        (-0.25, "-0.250"),
        (12.406, "12.41"),
        (9.9999, "10.000"),
        (48213.4, "48,213"),
        (0.00012, "0.00012"),
        (1.2e-9, "1.2e-09"),
        (-0.0, "0"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "–"),
    ],
)
def test_number_has_about_four_telling_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_ends_of_an_interval_take_the_places_of_their_figure() -> None:
    assert interval({"value": 2372.0, "low": 790.6, "high": 3953.2}) == "791 – 3,953"
    assert interval({"value": 0.5, "low": 0.0, "high": 1.0}) == "0.000 – 1.000"
    assert interval({"value": 0.5, "low": None, "high": None}) == ""
    assert interval({"value": 0.091, "low": -0.0001, "high": 0.2}) == "0.000 – 0.200", (
        "no minus before nothing"
    )


@pytest.mark.parametrize(
    ("value", "text"), [(0.0213, "+0.021"), (-0.5, "−0.500"), (None, "–"), (1500.0, "+1,500")]
)
def test_differences_carry_their_sign(value: float | None, text: str) -> None:
    assert signed(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.0004, "<0.1 %"),
        (0.042, "4.2 %"),
        (0.5, "50 %"),
        (0.9951, "99.5 %"),
        (0.9999, "99.9 %"),
        (1, "100 %"),
    ],
)
def test_percent_never_rounds_to_all_or_nothing(share: float, text: str) -> None:
    assert percent(share) == text.replace(" ", "\u00a0")


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_a_part_is_never_called_nothing_or_everything(share: float) -> None:
    assert percent(share) not in {"0\u00a0%", "100\u00a0%"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (9.97, "10 s"), (59.6, "1 min 0 s"), (252, "4 min 12 s"), (7500, "2 h 5 min")],
)
def test_duration_uses_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.text(), st.integers(1, 50))
def test_clip_keeps_to_its_length_and_marks_the_cut(text: str, longest: int) -> None:
    short = clip(text, longest)
    assert len(short) <= longest
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))


def test_values_of_the_data_are_written_without_noise() -> None:
    assert [plain(v) for v in (5.25, 1974, True, 1046721.4, ["a", 0.1], None)] == [
        "5.25", "1974", "true", "1,046,721", "a, 0.1", "None",
    ]  # fmt: skip

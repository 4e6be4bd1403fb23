from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from trainwright.foundation.errors import RecipeError
from trainwright.recipe.budget import Budget


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("60s", 60, "seconds"),
        ("20m", 1200, "seconds"),
        ("20 m", 1200, "seconds"),
        ("1.5h", 5400, "seconds"),
        ("1d", 86400, "seconds"),
        ("10 epochs", 10, "epochs"),
        ("10epochs", 10, "epochs"),
        ("1 epoch", 1, "epochs"),
        ("0.5 Epochs", 0.5, "epochs"),
        ("5_000 steps", 5000, "steps"),
        ("2e3 steps", 2000, "steps"),
        ("1 step", 1, "steps"),
    ],
)
def test_a_budget_is_a_number_and_a_unit(text: str, amount: float, unit: str) -> None:
    assert Budget.parse(text) == Budget(amount, unit)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0m", "must be greater than 0"),
        ("0 epochs", "must be greater than 0"),
        ("1e999 steps", "must be finite"),
        ("1e400s", "must be finite"),
        ("1.5 steps", "not a whole number of steps"),
        ("20", "'20' is not a budget; write a number and a unit, such as 20m"),
        ("", "is not a budget"),
        ("-5m", "is not a budget"),
        ("20 minuts", "is not a budget"),
        ("m", "is not a budget"),
        ("nan epochs", "is not a budget"),
    ],
)
def test_what_is_no_budget_is_answered_with_one(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Budget.parse(text)


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        (Budget(90, "seconds"), "90s"),
        (Budget(5400, "seconds"), "90m"),
        (Budget(7200, "seconds"), "2h"),
        (Budget(86400, "seconds"), "1d"),
        (Budget(0.25, "seconds"), "0.25s"),
        (Budget(1, "epochs"), "1 epoch"),
        (Budget(10, "epochs"), "10 epochs"),
        (Budget(5000, "steps"), "5000 steps"),
    ],
)
def test_a_budget_is_written_in_its_largest_whole_unit(budget: Budget, text: str) -> None:
    assert str(budget) == text


amounts = st.floats(min_value=0, exclude_min=True, allow_infinity=False) | st.integers(1, 10**12).map(float)
budgets = st.one_of(
    st.builds(Budget, amounts, st.sampled_from(["seconds", "epochs"])),
    st.builds(Budget, st.integers(1, 2**70).map(float), st.just("steps")),
)


@given(budgets)
def test_a_written_budget_reads_back_exactly(budget: Budget) -> None:
    assert Budget.parse(str(budget)) == budget


@given(budgets)
def test_editors_accept_what_we_write(budget: Budget) -> None:
    pattern = TypeAdapter(Budget).json_schema()["pattern"]
    assert re.search(pattern, str(budget))


@pytest.mark.parametrize("text", ["20", "minutes", "20 x", "m20", "20m20m"])
def test_editors_refuse_what_we_refuse(text: str) -> None:
    assert not re.search(TypeAdapter(Budget).json_schema()["pattern"], text)

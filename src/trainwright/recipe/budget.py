"""A budget: a number and a unit that say when training ends."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from trainwright.foundation.errors import RecipeError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PATTERN = re.compile(
    r"\s*(?P<number>[0-9][0-9_]*(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)\s*(?P<unit>s|m|h|d|epochs?|steps?|tokens?)\s*",
    re.IGNORECASE,
)
# The same for editors: JSON Schema has neither named groups nor a switch for upper case.
_SCHEMA_PATTERN = (
    r"^\s*[0-9][0-9_]*(\.[0-9]+)?([eE][+-]?[0-9]+)?"
    r"\s*([smhdSMHD]|[eE][pP][oO][cC][hH][sS]?|[sS][tT][eE][pP][sS]?|[tT][oO][kK][eE][nN][sS]?)\s*$"
)
_FIX = "write a number and a unit, such as 20m, 10 epochs or 5_000 steps"


@dataclass(frozen=True)
class Budget:
    """How long training may last.

    Attributes:
        amount: how much, finite and greater than 0, in `unit`.
        unit: "seconds", "epochs" (passes over the training rows), "steps" (updates; a whole number) or
            "tokens" (that a language model is trained on).

    Raises:
        RecipeError: the amount is none of these.
    """

    amount: float
    unit: Literal["seconds", "epochs", "steps", "tokens"]

    def __post_init__(self) -> None:
        if not self.amount > 0:
            raise RecipeError("a budget must be greater than 0", fix=_FIX)
        if not math.isfinite(self.amount):
            raise RecipeError("a budget must be finite", fix=_FIX)
        if self.unit == "steps" and self.amount != int(self.amount):
            raise RecipeError(f"{self.amount} is not a whole number of steps", fix="round it")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `60s`, `20m`, `2h`, `1d`, `10 epochs`, `10epochs`, `5_000 steps` or `2e9 tokens`.

        Raises:
            RecipeError: the text is no budget, or a budget of nothing.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise RecipeError(f"'{text}' is not a budget", fix=_FIX)
        amount, unit = float(match["number"].replace("_", "")), match["unit"].lower()
        if unit in _SECONDS:
            return cls(amount * _SECONDS[unit], "seconds")
        words: dict[str, Literal["epochs", "steps", "tokens"]] = {"e": "epochs", "s": "steps", "t": "tokens"}
        return cls(amount, words[unit[0]])

    def __str__(self) -> str:
        """Return the text that `parse` reads back as an equal budget."""
        if self.unit != "seconds":
            return f"{_exact(self.amount)} {self.unit[:-1] if self.amount == 1 else self.unit}"
        for letter in "dhm":
            if self.amount % _SECONDS[letter] == 0 and self.amount < 2**53:
                return f"{_exact(self.amount / _SECONDS[letter])}{letter}"
        return f"{_exact(self.amount)}s"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: Any) -> Budget:
            if isinstance(value, Budget):
                return value
            if isinstance(value, str):
                return cls.parse(value)
            shown = "true" if value is True else "false" if value is False else str(value)
            raise RecipeError(
                f"{shown} is not a budget" if len(shown) < 40 else "this is not a budget", fix=_FIX
            )

        return core_schema.no_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, return_schema=core_schema.str_schema()
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {
            "type": "string",
            "pattern": _SCHEMA_PATTERN,
            "examples": ["20m", "10 epochs", "5_000 steps"],
        }


def _exact(amount: float) -> str:
    """Return the shortest text of a number that reads back as the same number."""
    return str(int(amount)) if amount == int(amount) and amount < 2**53 else repr(amount)

"""Learned state as frozen pydantic models: what is saved is what is checked on the way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trainwright.features.base import Array, Feature
from trainwright.foundation.errors import ModelFolderError


class Learned(BaseModel):
    """What a feature learned; numbers are finite, unknown keys are errors.

    Attributes:
        notes: what fitting decided or noticed, one sentence each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    notes: tuple[str, ...] = ()


class LearnedInput(Learned):
    """What an input learned."""

    role: Literal["input"] = "input"


class LearnedMean(Learned):
    """What a number learned as a target: mean and standard deviation of the training values."""

    role: Literal["target"] = "target"
    mean: float
    std: float = Field(gt=0)


class LearnedClasses(Learned):
    """What classes a target has, in the order of their indices, and how many training rows each one."""

    role: Literal["target"] = "target"
    classes: tuple[str, ...] = Field(min_length=1)
    counts: tuple[int, ...]

    @model_validator(mode="after")
    def _consistent(self) -> LearnedClasses:
        if len(set(self.classes)) != len(self.classes) or len(self.counts) != len(self.classes):
            raise ValueError("classes must differ and each have a count")
        return self


class LearnedFeature(Feature):
    """A feature whose learned state is one model, by role.

    Class attributes:
        Input: state after `fit`.
        Target: state after `fit_target`; None where the type cannot be a target.
    """

    Input: ClassVar[type[LearnedInput]]
    Target: ClassVar[type[Learned] | None] = None

    learned_: Any

    def state(self) -> dict[str, Any]:
        """Return the learned state as JSON-able values."""
        state: dict[str, Any] = self.learned_.model_dump(mode="json")
        return state

    def load(self, state: Mapping[str, Any], tensors: Mapping[str, Array]) -> None:
        """Take back what `state` gave.

        Raises:
            ModelFolderError: something is missing, unknown or impossible.
        """
        roles = {"input": self.Input, "target": self.Target}
        role = state.get("role")
        kind = roles.get(role) if isinstance(role, str) else None
        if kind is None:
            raise self.damaged(f"its role is {role!r}")
        try:
            self.learned_ = kind.model_validate(state)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise self.damaged(f"{place}: {first['msg']}" if place else first["msg"]) from error

    def damaged(self, what: str) -> ModelFolderError:
        """Return the error for a state that cannot be right."""
        return ModelFolderError(
            f"the saved state of the {self.type} '{self.name}' is damaged ({what})",
            fix="use an undamaged copy of the model folder",
        )

    def notes(self) -> tuple[str, ...]:
        """Return what fitting decided or noticed, one sentence each."""
        return tuple(self.learned_.notes)


def examples(values: pl.Series, rows: Array, *, limit: int = 3) -> str:
    """Return some of the values at the rows where `rows` is true, quoted: `'n.a.', 'unknown'`."""
    some = values.filter(pl.Series(rows)).unique(maintain_order=True).head(limit)
    return ", ".join(quoted(value) for value in some)


def quoted(value: Any) -> str:
    """Return a value between quotes, shortened to be part of a sentence."""
    text = str(value)
    return f"'{text[:40]}…'" if len(text) > 41 else f"'{text}'"


def reasons(values: pl.Series, rows: Array, what: str) -> dict[int, str]:
    """Return row → reason for the rows where `rows` is true; `{}` in `what` becomes the value."""
    return {int(row): what.format(quoted(values[int(row)])) for row in rows.nonzero()[0]}

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError, core_schema

from trainwright.foundation.errors import RecipeError
from trainwright.recipe.explain import explain
from trainwright.recipe.kinds import Kind, kind_at
from trainwright.recipe.reader import parse_recipe
from trainwright.recipe.recipe import Recipe


class Augment(BaseModel):
    model_config = ConfigDict(extra="forbid")

    flip: Literal["auto", "none", "both"] = "auto"
    shift: float | None = Field(default=None, ge=0, le=0.5)


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = Field(default=96, ge=4, le=2048)
    channels: Literal["auto", 1, 3] = "auto"
    levels: list[str | int] | None = None
    delimiter: str | None = Field(default=None, max_length=2)
    augment: Augment | bool = Augment()

    @field_validator("size")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("an odd size cannot be halved.")
        return value


TEXT = """\
data: a.csv
targets: {y: category}
inputs:
  photo:
    type: image
"""


@pytest.mark.parametrize(
    ("line", "place", "words"),
    [
        ("siez: 64", "6:5", "there is no key 'siez' under inputs.photo; did you mean 'size'?"),
        ("tpye: 64", "6:5", "there is no key 'tpye' under inputs.photo; did you mean 'type'?"),
        ("size: 2", "6:11", "inputs.photo.size must be a whole number from 4 to 2048, not 2"),
        ("size: 5", "6:11", "inputs.photo.size: an odd size cannot be halved."),
        ("channels: 2", "6:15", "inputs.photo.channels must be auto, 1 or 3, not 2"),
        ("levels: [a, [b]]", "6:17", "inputs.photo.levels[1] must be text or a whole number, not a list"),
        ("delimiter: abc", "6:16", "inputs.photo.delimiter must be text of length 2 or less, not 'abc'"),
        ("augment: {flip: up}", "6:21", "inputs.photo.augment.flip must be auto, none or both, not 'up'"),
        (
            "augment: {shfit: 1}",
            "6:15",
            "there is no key 'shfit' under inputs.photo.augment; did you mean 'shift'?",
        ),
        ("augment: {shift: 1}", "6:22", "inputs.photo.augment.shift must be a number from 0 to 0.5, not 1"),
        ("augment: [1]", "6:14", "inputs.photo.augment must be a section or true or false, not a list"),
    ],
)
def test_options_of_later_layers_are_explained_at_their_place(line: str, place: str, words: str) -> None:
    read = parse_recipe(f"{TEXT}    {line}\n", "r.yaml")
    with pytest.raises(ValidationError) as caught:
        Options.model_validate(read.recipe.inputs["photo"].options)
    error = explain(caught.value, Options, read.positions, ("inputs", "photo"))
    assert isinstance(error, RecipeError)
    assert error.where == f"r.yaml:{place}"
    assert words in str(error)
    assert "more mistake" not in str(error)


def test_without_positions_the_path_says_where() -> None:
    with pytest.raises(ValidationError) as caught:
        Options.model_validate({"size": 0})
    error = explain(caught.value, Options, prefix=("inputs", "the photo"))
    assert str(error) == 'recipe: inputs."the photo".size must be a whole number from 4 to 2048, not 0.'


def test_later_layers_can_place_errors_of_their_own() -> None:
    read = parse_recipe(TEXT, "r.yaml")
    error = RecipeError("there is no feature type called 'imag'", fix="did you mean 'image'?")
    placed = read.positions.located(error, ("inputs", "photo", "type"))
    assert str(placed) == "r.yaml:5:11: there is no feature type called 'imag'; did you mean 'image'?"


VALUES = [None, "", "word", 3, 2.5, True, [], {}, pytest.param(object(), id="object")]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_error_of_pydantic_becomes_plain_words(value: Any) -> None:
    class Model(BaseModel):
        field: Annotated[int, Field(gt=0)] = Field(default=1, description="A field.")

    for kind in get_args(core_schema.ErrorType):
        raised = PydanticCustomError(kind, "Input should be odd", {"error": ValueError("it is even")})
        error = ValidationError.from_exception_data(
            "Model", [{"type": raised, "loc": ("field",), "input": value}]
        )
        sentence = str(explain(error, Model))
        assert sentence.startswith("recipe: "), kind
        assert "field" in sentence, kind
        assert sentence.endswith((".", "?")), kind
        assert "Input" not in sentence, kind


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "a whole number"),
        (Annotated[int, Field(gt=0)], "a whole number above 0"),
        (Annotated[int, Field(gt=0, le=9)], "a whole number above 0 and at most 9"),
        (Annotated[float, Field(ge=0, lt=1)], "a number from 0 to below 1"),
        (Annotated[int, Field(multiple_of=8)], "a whole number divisible by 8"),
        (Annotated[str, Field(min_length=3)], "text of length 3 or more"),
        (Annotated[str, Field(pattern="a+")], "text like a+"),
        (int | None, "a whole number"),
        (bool, "true or false"),
        (Path, "text"),
        (tuple[int, ...], "a list of whole numbers"),
        (Sequence[Annotated[int, Field(ge=1)]], "a list of whole numbers of at least 1"),
        (list[list[str]], "a list of lists of texts"),
        (dict[str, float], "a mapping of names to numbers"),
        (dict[str, Any], "a mapping of names to any values"),
        (Literal["a", "b", "c"], "a, b or c"),
        (Literal["auto"] | int, "auto or a whole number"),
        (Augment, "a section"),
        (Colour, "Colour"),
    ],
)
def test_kinds_in_words(annotation: Any, words: str) -> None:
    assert Kind.of(annotation).describe() == words


def test_null_is_named_on_demand() -> None:
    assert Kind.of(int | None).describe(null=True) == "a whole number or null"


def test_settings_are_found_by_path() -> None:
    found = kind_at(Recipe, ("model", "encoders", "title", "name"))
    assert found is not None
    assert found.describe() == "text"
    weights = kind_at(Recipe, ("training", "class_weights", "spam"))
    assert weights is not None
    assert weights.describe() == "a number of at least 0"
    assert kind_at(Recipe, ("model", "size", "x")) is None
    assert kind_at(Recipe, ("nothing",)) is None

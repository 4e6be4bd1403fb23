"""Whatever recipe there is: written and read back it is the same, and its schema knows it."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from trainwright.foundation.errors import RecipeError
from trainwright.recipe.budget import Budget
from trainwright.recipe.emit import emit
from trainwright.recipe.overrides import build_recipe
from trainwright.recipe.parse import parse_yaml
from trainwright.recipe.reader import parse_recipe
from trainwright.recipe.recipe import (
    DataSettings,
    EncoderSettings,
    EvaluationSettings,
    FeatureSettings,
    ModelSettings,
    Recipe,
    SplitSettings,
    TrainingSettings,
)
from trainwright.recipe.reference import recipe_reference, recipe_schema
from trainwright.recipe.writer import commented_recipe, dump_recipe

awkward = st.sampled_from(
    [
        *("yes", "null", "~", "1", "1.5", "2024-01-02", "1_000", "0x1F", ".inf", "true", "=", "<<"),
        *("a: b", "# a", "- a", "a #b", "*.csv", "&a", "!b", "%", "@x", "? a", "[a]", "{a}", "...", "---"),
        *("'", '"', "\\", "", ".", " a", "a ", "a\nb", "a\tb", "\x00", "\x7f", "\x85", "\u2028", "\ufeff"),
        *("价格", "🙂", "x" * 1100, "a" * 2000 + "\n"),
    ]
)  # fmt: skip
words = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=8),
    awkward,
    st.text("abcdefghij ._/-", min_size=1, max_size=8),
    st.text(st.characters(codec="utf-8"), max_size=3),
)
names = words.filter(lambda text: text != "<<")
some_words = words.filter(bool)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
plain = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def fields(model: type[BaseModel], **strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return models of which any of the fields are set."""
    return st.fixed_dictionaries({}, optional=strategies).map(lambda values: model(**values))


share = st.floats(0.01, 0.49)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
not_negative = st.floats(min_value=0, allow_infinity=False)
fraction = st.floats(0, 1, exclude_max=True)
budgets = st.builds(Budget, st.integers(1, 10**9).map(float), st.sampled_from(["seconds", "epochs", "steps"]))

features = st.dictionaries(
    words.map(lambda text: f"in {text}"),
    st.builds(
        lambda kind, options: FeatureSettings(type=kind, **options),
        some_words,
        st.dictionaries(words.filter(lambda key: key not in {"type", "self"}), plain, max_size=2),
    ),
    max_size=3,
)
targets = st.dictionaries(
    words, some_words.map(lambda kind: FeatureSettings(type=kind)), min_size=1, max_size=2
)
encoders = st.dictionaries(words, some_words.map(lambda name: EncoderSettings(name=name)), max_size=2)
recipes = st.builds(
    Recipe,
    data=st.builds(
        lambda path, rest: DataSettings(path=path, **rest),
        some_words | st.lists(some_words, min_size=1, max_size=3),
        st.fixed_dictionaries(
            {}, optional={"format": words, "delimiter": optional(words), "quarantine_limit": fraction}
        ),
    ),
    inputs=features,
    targets=targets.map(lambda found: {f"out {name}": kind for name, kind in found.items()}),
    split=fields(
        SplitSettings,
        method=st.sampled_from(["random", "column"]),
        column=optional(words),
        validation=share,
        test=share,
    ),
    model=fields(
        ModelSettings,
        size=st.sampled_from(["tiny", "large"]),
        name=some_words,
        encoders=encoders,
        dropout=optional(fraction),
    ),
    training=fields(
        TrainingSettings,
        budget=optional(budgets),
        batch=optional(st.integers(1, 2**40)),
        learning_rate=optional(positive),
        clip=not_negative,
        class_weights=st.sampled_from(["none", "balanced"])
        | st.dictionaries(words, not_negative, max_size=3),
    ),
    evaluation=fields(
        EvaluationSettings,
        baselines=st.booleans(),
        bootstrap=st.integers(0, 100_000),
        slices=st.lists(some_words, max_size=2),
        metric=optional(words),
    ),
    seed=st.integers(0, 2**63 - 1),
)


def same(found: object, expected: object) -> bool:
    """Compare outside of an assert: pytest would compare long texts letter by letter at every failure."""
    return found == expected


@given(st.dictionaries(names, plain, max_size=4))
def test_plain_values_read_back(mapping: dict[str, Any]) -> None:
    read, _, repeated = parse_yaml(emit(mapping), "test")
    assert not repeated
    assert same(repr(read or {}), repr(mapping))  # repr tells 1 from 1.0 and True


@given(recipes, st.booleans())
@settings(deadline=None)
def test_a_written_recipe_reads_back(recipe: Recipe, full: bool) -> None:
    assert same(parse_recipe(dump_recipe(recipe, full=full), "test").recipe, recipe)


@given(recipes)
@settings(deadline=None, max_examples=50)
def test_a_dump_is_the_same_recipe_to_every_door(recipe: Recipe) -> None:
    assert same(build_recipe(recipe.model_dump(mode="json")), recipe)
    assert same(build_recipe(parse_recipe(dump_recipe(recipe), "test").mapping), recipe)


@given(recipes, words)
@settings(deadline=None, max_examples=50)
def test_comments_change_nothing(recipe: Recipe, remark: str) -> None:
    comments = {("inputs", name): f"{remark}\nseed: 1" for name in recipe.inputs}
    comments |= {("targets",): remark, ("training", "clip"): remark, ("seed",): remark}
    text = commented_recipe(recipe, comments)
    assert same(parse_recipe(text, "test").recipe, recipe)


@given(recipes)
@settings(deadline=None, max_examples=50)
def test_taking_the_marks_away_sets_every_default(recipe: Recipe) -> None:
    text = re.sub(r"(?m)^( *)#(?! )", r"\1", commented_recipe(recipe, {}))
    read = parse_recipe(text, "test")
    assert same(read.recipe, recipe)
    assert set(read.mapping) == set(Recipe.model_fields) - {"task", "language", "tuning"}
    assert set(read.mapping["training"]) == set(TrainingSettings.model_fields)


@pytest.mark.parametrize(
    "value", [float("inf"), float("-inf"), float("nan"), 1e-300, 5e-324, 1.0, 1, True, (1, 2)]
)
def test_numbers_of_options_read_back(value: Any) -> None:
    recipe = build_recipe(
        {"data": "a", "inputs": {"x": {"type": "number", "limit": value}}, "targets": {"y": "x"}}
    )
    found = parse_recipe(dump_recipe(recipe), "test").recipe.inputs["x"].options["limit"]
    assert repr(found) == repr(list(value) if isinstance(value, tuple) else value)


# what a dump looks like


def test_a_dump_holds_what_differs() -> None:
    recipe = build_recipe(
        {
            "data": "reviews.csv",
            "inputs": {"title": "text", "photo": {"type": "image", "size": 64}, "2024": None},
            "targets": {"stars": "category"},
            "training": {"budget": "20 m", "clip": 1},
            "model": {"fusion": "auto"},
        }
    )
    assert dump_recipe(recipe) == (
        "data: reviews.csv\ninputs:\n  title: text\n  photo:\n    type: image\n    size: 64\n"
        '  "2024": auto\ntargets:\n  stars: category\ntraining:\n  budget: 20m\n'
    )


def test_a_full_dump_holds_every_field() -> None:
    text = dump_recipe(build_recipe({"data": "a", "targets": {"y": "category"}}), full=True)
    mapping = parse_recipe(text, "test").mapping
    for name, field in Recipe.model_fields.items():
        inner = field.get_default(call_default_factory=True) if not field.is_required() else None
        if isinstance(inner, BaseModel) and name in mapping:
            assert set(mapping[name]) == set(type(inner).model_fields)
        assert name in mapping or name in {"task", "language", "tuning"}


def test_comments_say_what_fields_are_for_and_why_columns_have_their_types() -> None:
    recipe = build_recipe(
        {"data": "a.csv", "inputs": {"title": "text"}, "targets": {"y": "category"}, "training": {"clip": 0}}
    )
    text = commented_recipe(
        recipe, {("inputs", "title"): "800 different values", ("inputs",): "Left out: id"}
    )
    assert max(map(len, text.splitlines())) <= 110
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "# Input columns and their feature types; every column but the targets. Left out: id." in lines
    assert "title: text # 800 different values." in lines
    assert "clip: 0.0 # Largest norm of the gradient; 0 does not clip." in lines
    assert "#momentum: 0.9 # Momentum of sgd, rmsprop and muon." in lines
    assert "seed: 0 # Every random draw of the run comes from it." in lines


def test_a_comment_without_a_place_is_our_mistake() -> None:
    recipe = build_recipe({"data": "a.csv", "targets": {"y": "category"}})
    with pytest.raises(AssertionError, match="no place for comments"):
        commented_recipe(recipe, {("inputs", "title"): "why"})


# the schema


class TextOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    max_tokens: int | None = Field(default=None, ge=4, description="Tokens of a text | at most.")
    lowercase: bool = Field(default=True, description="Lower case first.")


class ImageAugment(BaseModel):
    model_config = ConfigDict(extra="forbid")

    flip: Literal["none", "both"] = Field(default="none", description="Mirror.")


class ImageOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    max_tokens: str = Field(default="x", description="Clashes with that of texts.")
    augment: ImageAugment = Field(default=ImageAugment(), description="Random changes.")


class CnnOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    width: int = Field(default=128, ge=1, description="Filters.")

    @classmethod
    def for_size(cls, size: str) -> dict[str, Any]:
        return {"width": {"tiny": 32, "small": 128, "base": 256, "large": 512}[size]}


class NoOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")


FEATURES = {"text": TextOptions, "image": ImageOptions, "category": NoOptions, "boolean": NoOptions}
ENCODERS = {"cnn": CnnOptions, "bag": NoOptions}
FAMILIES = {"gpt": CnnOptions}
SCHEMA = recipe_schema(FEATURES, ENCODERS, FAMILIES)


def valid(value: Any, schema: Any, root: dict[str, Any] = SCHEMA) -> bool:
    """Check a value against the part of JSON Schema that the recipe's schema uses."""
    known = {
        "$schema",
        "$defs",
        "title",
        "description",
        "default",
        "examples",
        "$ref",
        "anyOf",
        "enum",
        "const",
    }
    known |= {"type", "properties", "required", "additionalProperties", "items", "pattern", "propertyNames"}
    known |= {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minItems",
        "minLength",
        "minProperties",
    }
    if isinstance(schema, bool):
        return schema
    assert set(schema) <= known, set(schema) - known
    types = {"string": str, "object": dict, "array": list, "null": type(None), "boolean": bool}
    kind = schema.get("type")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    checks = [
        "$ref" not in schema or valid(value, root["$defs"][schema.get("$ref", "").removeprefix("#/$defs/")]),
        "anyOf" not in schema or any(valid(value, form) for form in schema["anyOf"]),
        "enum" not in schema or value in schema["enum"],
        "const" not in schema or value == schema["const"],
        kind not in types or isinstance(value, types.get(kind, object)),
        kind != "number" or number,
        kind != "integer" or (number and value == int(value)),
    ]
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        rest = schema.get("additionalProperties", True)
        checks += [key in value for key in schema.get("required", [])]
        checks += [valid(item, properties.get(key, rest)) for key, item in value.items()]
        checks.append(len(value) >= schema.get("minProperties", 0))
    if isinstance(value, list):
        checks += [valid(item, schema.get("items", True)) for item in value]
        checks.append(len(value) >= schema.get("minItems", 0))
    if isinstance(value, str):
        checks += [
            len(value) >= schema.get("minLength", 0),
            bool(re.search(schema.get("pattern", ""), value)),
        ]
    if number:
        checks += [value >= schema.get("minimum", value), value <= schema.get("maximum", value)]
        checks += ["exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"]]
        checks += ["exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"]]
    return all(checks)


@pytest.mark.parametrize(
    "text",
    [
        "data: a.csv\ntargets: {y: }\n",
        "data: [a.csv, b.csv]\ntargets: {y: category}\ninputs:\nmodel:\ntraining:\n",
        "data: {path: a}\ntargets: {y: }\ninputs: {t: text, p: {type: image, augment: {flip: both}}}\n",
        "data: a\ntargets: {y: boolean}\ninputs: {t: {max_tokens: 9}, p: {max_tokens: x}, q: {type: auto}}\n",
        "data: a\ntargets: {y: boolean}\nmodel: {encoders: {t: cnn, p: {name: cnn, width: 3}, q: auto}}\n",
        "data: a\ntargets: {y: boolean}\ntraining: {budget: 10 epochs, class_weights: {a: 1}}\n",
    ],
)
def test_the_schema_knows_what_the_reader_reads(text: str) -> None:
    assert valid(parse_recipe(text, "test").mapping, SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        "data: a.csv\n",
        "data: a.csv\ntargets: {}\n",
        "data: a.csv\ntargets: {y: }\nmodle: {}\n",
        "data: a.csv\ntargets: {y: categroy}\n",
        "data: a.csv\ntargets: {y: }\ninputs: {t: {type: text, augment: {}}}\n",
        "data: a.csv\ntargets: {y: }\ninputs: {t: {type: text, max_tokens: 3}}\n",
        "data: a.csv\ntargets: {y: }\ninputs: {t: {max_tokenz: 3}}\n",
        "data: a.csv\ntargets: {y: }\ninputs: {t: {type: image, augment: {flop: both}}}\n",
        "data: a.csv\ntargets: {y: }\nmodel: {encoders: {t: ccn}}\n",
        "data: a.csv\ntargets: {y: }\nmodel: {size: smal}\n",
        "data: a.csv\ntargets: {y: }\ntraining: {budget: 10}\n",
        "data: a.csv\ntargets: {y: }\ntraining: {budget: ten epochs}\n",
        "data: a.csv\ntargets: {y: }\nseed: -1\n",
        "data: 3\ntargets: {y: }\n",
    ],
)
def test_editors_mark_what_is_wrong(text: str) -> None:
    assert not valid(parse_yaml(text, "test")[0], SCHEMA)


@given(recipes)
@settings(deadline=None, max_examples=50)
def test_every_recipe_fits_the_schema(recipe: Recipe) -> None:
    settings = recipe.model_dump(mode="json")
    settings["inputs"], settings["targets"] = dict.fromkeys(recipe.inputs, "text"), {"y": "category"}
    settings["model"]["encoders"] = dict.fromkeys(recipe.model.encoders, "cnn")
    assert valid(json.loads(json.dumps(settings)), SCHEMA)


def test_the_schema_is_closed_and_whole() -> None:
    text = json.dumps(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for name in re.findall(r'"\$ref": "#/\$defs/([^"]+)"', text):
        assert name in SCHEMA["$defs"]
    assert set(re.findall(r'"additionalProperties": (\w+)', text)) == {"false"}

    def described(schema: Any) -> None:
        if isinstance(schema, dict):
            for name, field in schema.get("properties", {}).items() if "type" in schema else ():
                assert "description" in json.dumps(field) or "$ref" in field, name
            for inner in schema.values():
                described(inner)
        if isinstance(schema, list):
            for inner in schema:
                described(inner)

    described(SCHEMA)


# the reference


def test_the_reference_has_a_row_for_every_field() -> None:
    text = recipe_reference(FEATURES, ENCODERS, FAMILIES)
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)
    for model in (Recipe, DataSettings, SplitSettings, ModelSettings, TrainingSettings, EvaluationSettings):
        for name, field in model.model_fields.items():
            assert field.description, name
            assert any(
                row.startswith(f"| `{name}` |") and row.endswith(f"{field.description} |") for row in rows
            ), name
    assert "| `data` | text, a list of texts or a section | needed | Where the rows come from. |" in rows
    assert (
        "| `batch` | a whole number of at least 1 | `null` | Rows a step; chosen by the number of rows. |"
        in rows
    )
    assert "| `max_tokens` | a whole number of at least 4 | `null` | Tokens of a text \\| at most. |" in rows
    assert "| `augment.flip` | none or both | `none` | Mirror. |" in rows
    assert "| `width` | a whole number of at least 1 | `32`, `128`, `256`, `512` | Filters. |" in rows
    for link in re.findall(r"\(#(\w+)\)", text):
        assert f"\n## {link}\n" in text


def test_the_example_of_the_reference_is_a_recipe() -> None:
    example = recipe_reference({}, {}, {}).split("```yaml\n")[1].split("```")[0]
    assert parse_recipe(example, "docs").recipe.targets["stars"].type == "category"


def test_an_unreadable_dump_would_be_noticed() -> None:
    with pytest.raises(RecipeError):
        parse_recipe(
            dump_recipe(build_recipe({"data": "a", "targets": {"y": "x"}})).replace("targets", "target"),
            "test",
        )
    assert TypeAdapter(Budget).validate_python("20m") == Budget(1200, "seconds")

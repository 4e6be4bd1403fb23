"""The recipe described: a JSON Schema for editors, and the reference page of the docs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from inspect import cleandoc
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import to_jsonable_python

from trainwright.recipe.emit import flow
from trainwright.recipe.kinds import Kind
from trainwright.recipe.recipe import EncoderSettings, FeatureSettings, Recipe, Size

Options = Mapping[str, type[BaseModel]]


_INTRODUCTION = """\
# The recipe, field by field

A recipe is a YAML file that says what to train on and how. Two keys are enough:

```yaml
data: reviews.csv
targets:
  stars: category
```

Every other field has a default. Where it is `null` or `auto`, Trainwright chooses, or does without, as the
last column says; the recipe in the run folder tells what was chosen.

`trainwright init DATA --target COLUMN` writes a recipe with all fields and what they mean, `trainwright train
--set training.clip=0` sets one for a single run, and `trainwright schema` prints the JSON Schema by which
editors complete and check recipes."""

_FEATURES = """\
The word behind a column in `inputs` and `targets`: `title: text`. With options, write a section:
`photo: {type: image, size: 64}`. Without a word, or with `auto`, the type is inferred from the values."""

_ENCODERS = """\
The word behind an input in `model.encoders`: `body: cnn`. With options, write a section:
`body: {name: cnn, dropout: 0.2}`. Four defaults are those of the sizes tiny, small, base and large."""


_FAMILIES = """\
The keys under `model.options`, by family (`model.name`), where `task` is set: `model: {name: gpt, options:
{depth: 8}}`. Four defaults are those of the sizes tiny, small, base and large."""


class _Untitled(GenerateJsonSchema):
    """pydantic's schema without a title for every field, which editors would show above the description."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def recipe_schema(
    feature_options: Options, encoder_options: Options, language_options: Options
) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a recipe, for editors that complete and check YAML.

    Args:
        feature_options: feature type → the model of its options.
        encoder_options: encoder → the model of its options.
        language_options: family of language models → the model of its options.
    """
    models: list[type[BaseModel]] = [Recipe, FeatureSettings, EncoderSettings]
    models += [*feature_options.values(), *encoder_options.values(), *language_options.values()]
    references, document = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)], schema_generator=_Untitled
    )
    names = {model: entry["$ref"].rpartition("/")[2] for (model, _), entry in references.items()}
    definitions: dict[str, Any] = document["$defs"]
    choices: tuple[tuple[type[BaseModel], str, Options], ...] = (
        (FeatureSettings, "type", feature_options),
        (EncoderSettings, "name", encoder_options),
    )
    merged = {}
    for settings, key, options in choices:
        base = definitions[names[settings]]
        known = {word: definitions[names[model]] for word, model in options.items()}
        merged[names[settings]] = _by_word(base, key, known)
    _set_language_options(definitions, [names[model] for model in language_options.values()])
    for model in {*feature_options.values(), *encoder_options.values(), *language_options.values()}:
        del definitions[names[model]]
    root = definitions.pop(names[Recipe])
    # Targets or a task: what the recipe's validator asks for.
    some = {"properties": {"targets": {"minProperties": 1}}, "required": ["targets"]}
    root["anyOf"] = [some, {"required": ["task"]}]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_without_free_words(root, merged),
        "title": "Trainwright recipe",
        "$defs": {**_without_free_words(definitions, merged), **merged},
    }


def _set_language_options(definitions: dict[str, Any], families: Sequence[str]) -> None:
    """Let `model.options` have the options of any family, and no others."""
    known: dict[str, list[Any]] = {}
    for family in families:
        for option, described in definitions[family].get("properties", {}).items():
            if described not in known.setdefault(option, []):
                known[option].append(described)
    definitions["ModelSettings"]["properties"]["options"] |= {
        "type": "object",
        "properties": {name: one[0] if len(one) == 1 else {"anyOf": one} for name, one in known.items()},
        "additionalProperties": False,
    }


def _by_word(base: dict[str, Any], key: str, known: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the schema of settings whose keys depend on a word: the bare word, or it and its options.

    Args:
        base: the settings' own schema, which lets every key pass.
        key: the key of the word: "type" or "name".
        known: word → schema of its options.
    """
    word_schema = {name: value for name, value in base["properties"][key].items() if name == "description"}
    some: dict[str, list[Any]] = {}  # options of "auto": those of any word
    for schema in known.values():
        for option, described in schema.get("properties", {}).items():
            if described not in some.setdefault(option, []):
                some[option].append(described)
    auto = {
        "type": "object",
        "properties": {
            key: {"const": "auto", **word_schema},
            **{option: one[0] if len(one) == 1 else {"anyOf": one} for option, one in some.items()},
        },
        "additionalProperties": False,
    }
    chosen = [
        {
            "type": "object",
            "properties": {key: {"const": word, **word_schema}, **schema.get("properties", {})},
            "required": [key, *schema.get("required", [])],
            "additionalProperties": False,
        }
        for word, schema in known.items()
    ]
    words = {"enum": ["auto", *known], **word_schema}
    return {"description": base["description"], "anyOf": [words, auto, *chosen]}


def _without_free_words(schema: Any, merged: Mapping[str, Any]) -> Any:
    """Return a schema in which short forms of the merged settings are their words, and not any text."""
    if isinstance(schema, list):
        return [_without_free_words(item, merged) for item in schema]
    if not isinstance(schema, dict):
        return schema
    forms = schema.get("anyOf", [])
    if any(form.get("$ref", "").rpartition("/")[2] in merged for form in forms):
        return {**schema, "anyOf": [form for form in forms if form != {"type": "string"}]}
    return {name: _without_free_words(value, merged) for name, value in schema.items()}


def recipe_reference(feature_options: Options, encoder_options: Options, language_options: Options) -> str:
    """Return the reference of recipes as Markdown: every field, its values, its default, what it is for.

    Args:
        feature_options: feature type → the model of its options.
        encoder_options: encoder → the model of its options.
        language_options: family of language models → the model of its options.
    """
    return "\n".join(_reference(feature_options, encoder_options, language_options)) + "\n"


def _reference(
    feature_options: Options, encoder_options: Options, language_options: Options
) -> Iterator[str]:
    yield from (_INTRODUCTION, "")
    yield from _table(Recipe)
    for name, field in Recipe.model_fields.items():
        section = Kind.of(field.annotation).model
        if section is not None:
            yield from ("", f"## {name}", "", _about(section), "")
            yield from _table(section)
    yield from ("", "## Feature types", "", _FEATURES)
    for name, options in feature_options.items():
        yield from ("", f"### {name}", "")
        yield from _table(options, nothing="It has no options.")
    yield from ("", "## Encoders", "", _ENCODERS)
    for name, options in encoder_options.items():
        yield from ("", f"### {name}", "")
        yield from _table(options, nothing="It has no options.")
    yield from ("", "## Language models", "", _FAMILIES)
    for name, options in language_options.items():
        yield from ("", f"### {name}", "")
        yield from _table(options, nothing="It has no options.")


def _table(model: type[BaseModel], *, nothing: str = "") -> Iterator[str]:
    if not model.model_fields:
        yield nothing
        return
    yield "| key | value | default | what it is for |"
    yield "| --- | --- | --- | --- |"
    yield from _rows(model, "")


def _rows(model: type[BaseModel], above: str) -> Iterator[str]:
    """Yield the rows of a table; sections within options follow in rows of their own (`augment.flip`)."""
    by_size = _by_size(model)
    for name, field in model.model_fields.items():
        kind = Kind.of(field.annotation, field.metadata)
        default = by_size.get(name) or _default(name, field)
        cells = (f"`{above}{name}`", kind.describe(), default, field.description or "")
        yield "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"
        inner = next((branch.model for branch in kind.branches if branch.model is not None), None)
        if inner is not None and model is not Recipe:
            yield from _rows(inner, f"{above}{name}.")


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return f"[see below](#{name})" if name in Recipe.model_fields else "its defaults"
    return f"`{flow(to_jsonable_python(value))}`"


def _by_size(model: type[BaseModel]) -> dict[str, str]:
    """Return the defaults that follow from `model.size`, for options that have such."""
    for_size = getattr(model, "for_size", None)
    if for_size is None:
        return {}
    sizes = get_args(Size)
    values = {size: for_size(size) for size in sizes}
    return {
        name: ", ".join(f"`{flow(to_jsonable_python(values[size][name]))}`" for size in sizes)
        for name in values[sizes[0]]
    }


def _about(model: type[BaseModel]) -> str:
    return cleandoc(model.__doc__ or "")

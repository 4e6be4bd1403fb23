"""The words of a recipe that name things: checked where they were written, before any data is read.

An encoder that does not exist should not wait for an hour of reading to be found out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from trainwright.data.inference.target import TARGET_TYPES
from trainwright.data.schema import Schema
from trainwright.data.table import Table
from trainwright.features.base import FEATURES, check_options
from trainwright.features.encoding import TABLE
from trainwright.features.language.train import KINDS
from trainwright.foundation.devices import choose_device
from trainwright.foundation.errors import DataError, RecipeError, did_you_mean
from trainwright.foundation.registry import Registry
from trainwright.recipe.explain import explain
from trainwright.recipe.positions import KeyPath, Positions
from trainwright.recipe.recipe import ModelSettings, Recipe

_AUTO = "auto"


def check_words(recipe: Recipe, positions: Positions, *, here: bool = True) -> None:
    """Check every name of a recipe against what there is, as far as that needs no data.

    Args:
        recipe: what the user asked for.
        positions: where it was written.
        here: it is for this machine, whose devices are known.

    Raises:
        RecipeError: the first name that nothing has, at its place, with the nearest one there is.
    """
    _check_moot(recipe, positions)
    _check_features(recipe, positions)
    for path, name, registry in _names(recipe):
        if name != _AUTO:
            try:
                registry[name]
            except RecipeError as error:
                raise positions.located(error, path) from error
    threshold = recipe.evaluation.threshold
    if threshold is not None:
        from trainwright.tasks.calibration import THRESHOLD_METRICS

        if threshold not in THRESHOLD_METRICS:
            raise RecipeError(
                f"no threshold can be chosen for '{threshold}'",
                where=positions.locate(("evaluation", "threshold")),
                fix=did_you_mean(threshold, THRESHOLD_METRICS),
            )
    if here and recipe.training.device != _AUTO:
        try:
            choose_device(recipe.training.device)
        except RecipeError as error:
            raise positions.located(error, ("training", "device")) from error


_OF_TABLES = (
    "inputs",
    "model.encoders",
    "model.fusion",
    "model.modality_dropout",
    "training.batch",
    "training.label_smoothing",
    "training.class_weights",
    "training.sampling",
    "training.mixup",
    "training.cutmix",
    "training.graphs",
    "evaluation.metric",
    "evaluation.coverage",
    "evaluation.threshold",
    "evaluation.slices",
)
_OF_LANGUAGE_MODELS = (
    "language",
    "tuning",
    "model.options",
    "evaluation.prompts",
    "evaluation.sample_tokens",
)
_OF_NEW_MODELS = ("model.size", "model.options", "model.dropout", "language.vocabulary")
_OF_TASKS = {
    "language.mask": ("masked-lm",),
    "language.beta": ("preference",),
    "evaluation.prompts": ("causal-lm", "chat", "sequence-to-sequence", "preference"),
}
"""Setting of a language model → the tasks that it is for; and below the methods of tuning."""
_OF_METHODS = {
    "tuning.targets": ("lora", "rslora", "dora", "ia3", "adapter"),
    "tuning.rank": ("lora", "rslora", "dora", "adapter"),
    "tuning.alpha": ("lora", "rslora", "dora"),
    "tuning.dropout": ("lora", "rslora", "dora"),
    "tuning.tokens": ("prompt", "prefix"),
}
_OFF = {"training.graphs": "off"}
"""What a resolved recipe says of a setting that has no effect."""
_INSTEAD = {
    "model.options": "options of encoders: model.encoders",
    "inputs": "which column is what is said by language.columns",
    "model.encoders": "which column is what is said by language.columns",
    "training.batch": "a step has training.batch_tokens",
}


def _moot(recipe: Recipe) -> Iterator[tuple[Iterable[str], str, str]]:
    """Yield settings that have no effect in this kind of run: (names, what they are for, what the run is)."""
    if recipe.task is None:
        yield _OF_LANGUAGE_MODELS, "language models", "beside targets"
        return
    yield _OF_TABLES, "tables", "on a language model"
    if recipe.model.checkpoint is not None and recipe.model.name in {_AUTO, "pretrained"}:
        yield _OF_NEW_MODELS, "models from random weights", "on a checkpoint"
    if recipe.language.tokenizer not in {_AUTO, *KINDS}:
        yield ("language.vocabulary",), "tokenizers that are trained", "on one that is taken"
    for name, tasks in _OF_TASKS.items():
        if recipe.task not in tasks:
            yield (name,), _listing(tasks), f"on {recipe.task}"
    for name, methods in _OF_METHODS.items():
        if recipe.tuning.method not in methods:
            yield (name,), _listing(methods), f"on tuning: {recipe.tuning.method}"


def _listing(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _check_moot(recipe: Recipe, positions: Positions) -> None:
    """Refuse settings that have no effect in this kind of run.

    Raises:
        RecipeError: one of them has another value than its default.
    """
    for names, whom, here in _moot(recipe):
        for name in names:
            path = tuple(name.split("."))
            value, usual = _value(recipe, path)
            if value == usual or value == _OFF.get(name, usual):
                continue
            more = f" ({_INSTEAD[name]})" if name in _INSTEAD and here != "on a checkpoint" else ""
            raise RecipeError(
                f"{name} is for {whom}, and has no effect {here}",
                where=positions.locate(path),
                fix=f"leave it out{more}",
            )


def _value(recipe: Recipe, path: KeyPath) -> tuple[object, object]:
    """Return the value of a setting, and its default."""
    section: BaseModel = recipe
    for key in path[:-1]:
        section = getattr(section, str(key))
    name = str(path[-1])
    default = type(section).model_fields[name].get_default(call_default_factory=True)
    return getattr(section, name), default


def check_fit(recipe: Recipe, schema: Schema, table: Table) -> None:
    """Check that the model asked for fits the inputs, and that the columns named elsewhere are there.

    Raises:
        RecipeError: an encoder is named for an input that there is not, or that it does not take.
        DataError: a column to slice by is not in the data.
    """
    for name in recipe.evaluation.slices:
        if name not in table.schema:
            raise DataError(
                f"there is no column '{name}' to slice by (evaluation.slices)",
                where=table.name,
                fix=did_you_mean(name, list(table.schema)),
            )
    asked, default = recipe.model, ModelSettings()
    if (asked.name, asked.encoders, asked.checkpoint) == (default.name, default.encoders, default.checkpoint):
        return
    from trainwright.models.defaults import GroupSpec, resolve_encoders

    groups: dict[str, GroupSpec] = {}
    for column in schema.columns:
        if column.role == "input":
            modality = FEATURES[column.type].modality
            name = TABLE if modality == TABLE else column.name
            groups[name] = GroupSpec(name, modality, {})
    resolve_encoders(groups.values(), asked)


def _check_features(recipe: Recipe, positions: Positions) -> None:
    for role, asked in (("inputs", recipe.inputs), ("targets", recipe.targets)):
        for name, settings in asked.items():
            path = (role, name)
            if settings.type == _AUTO:
                continue
            if role == "targets" and settings.type not in TARGET_TYPES and settings.type in FEATURES:
                raise RecipeError(
                    f"a target cannot be of the type '{settings.type}'",
                    where=positions.locate((*path, "type")),
                    fix=f"choose one of: {', '.join(TARGET_TYPES)}",
                )
            try:
                kind = FEATURES[settings.type]
            except RecipeError as error:
                raise positions.located(error, (*path, "type")) from error
            try:
                check_options(kind, settings.options)
            except ValidationError as error:
                raise explain(error, kind.Options, positions, path) from error


def _names(recipe: Recipe) -> Iterator[tuple[KeyPath, str, Registry[Any]]]:
    """Yield (path, name, registry) of the settings that name something; registries load only where asked."""
    model = recipe.model
    if recipe.task is not None:
        if model.name not in {_AUTO, "pretrained"}:
            from trainwright.models.language.base import LANGUAGE_MODELS

            yield ("model", "name"), model.name, LANGUAGE_MODELS
        return
    encoders = {("model", "name"): model.name} | {
        ("model", "encoders", name, "name"): settings.name for name, settings in model.encoders.items()
    }
    if any(name != _AUTO for name in encoders.values()):
        from trainwright.models.base import ENCODERS

        for path, name in encoders.items():
            yield path, name, ENCODERS
    if model.fusion != _AUTO:
        from trainwright.models.fusion.base import FUSIONS

        yield ("model", "fusion"), model.fusion, FUSIONS
    if recipe.evaluation.metric is not None:
        from trainwright.evaluation.metrics.base import METRICS

        yield ("evaluation", "metric"), recipe.evaluation.metric, METRICS

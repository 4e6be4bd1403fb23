"""Which encoder an input gets: the recipe's word for it, or the default of its kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from trainwright.foundation.errors import RecipeError, did_you_mean
from trainwright.models.base import ENCODERS, Encoder, EncoderOptions
from trainwright.recipe.recipe import EncoderSettings, ModelSettings

DEFAULT_ENCODERS: Mapping[str, str] = {
    "table": "tabm",
    "text": "cnn",
    "image": "resnet",
    "audio": "resnet",
    "sequence": "tcn",
}
"""Kind of input → encoder that is best from scratch on the data most people have."""

DEFAULT_FUSION = "concat"
"""Joins inputs without anything to learn but the heads: hard to beat on some thousand rows."""

FUSION_WIDTHS: Mapping[str, int] = {"tiny": 64, "small": 128, "base": 256, "large": 512}
"""Size dial → width of the joined vector, for fusions that project."""


@dataclass(frozen=True)
class GroupSpec:
    """One input of a model: a column, or all table columns together.

    Attributes:
        name: the input's name, which its batch keys start with; "table" for the columns taken together.
        modality: "table", "text", "image", "audio" or "sequence".
        spec: what the features' `spec()` says about it.
    """

    name: str
    modality: str
    spec: dict[str, Any]


@dataclass(frozen=True)
class EncoderChoice:
    """The encoder of one input.

    Attributes:
        name: its name in the registry.
        encoder: its class.
        options: its checked options.
        modality: the kind of input it is for.
    """

    name: str
    encoder: type[Encoder]
    options: EncoderOptions
    modality: str

    @property
    def settings(self) -> EncoderSettings:
        """The choice as a recipe says it, every option that has an effect spelled out."""
        values = self.options.model_dump(mode="json", exclude_none=True)
        return EncoderSettings(
            name=self.name, **{k: v for k, v in values.items() if k in _fields(self.encoder, self.modality)}
        )


def encoders_for(modality: str) -> list[str]:
    """Return the names of the encoders that take this kind of input."""
    return [name for name, encoder in ENCODERS.items() if modality in encoder.modalities]


def resolve_encoder(modality: str, settings: ModelSettings, name: str) -> EncoderChoice:
    """Return the encoder of the input `name`.

    `settings.encoders[name]` decides; then `settings.name` where that encoder takes this kind of input; then
    the default of the kind. Options not given follow from `settings.size_`, and dropout from
    `settings.dropout`.

    Raises:
        RecipeError: there is no such encoder, it does not take this kind of input, or an option is wrong or
            has no effect on this kind of input.
    """
    given = settings.encoders.get(name, EncoderSettings())
    where = f"model.encoders.{name}"
    chosen = given.name
    if chosen == "auto":
        named = settings.name if settings.name != "auto" else None
        fits = named is not None and modality in _encoder(named, "model.name").modalities
        chosen = named if named is not None and fits else DEFAULT_ENCODERS[modality]
    encoder = _encoder(chosen, where)
    if modality not in encoder.modalities:
        raise RecipeError(
            f"the encoder '{chosen}' does not take {modality}",
            where=where,
            fix=did_you_mean(chosen, encoders_for(modality)),
        )
    fields = _fields(encoder, modality)
    for key in given.options:
        if key not in fields:
            known = key in encoder.Options.model_fields
            problem = f"has no effect on {modality}" if known else "is unknown"
            raise RecipeError(
                f"the option '{key}' of '{chosen}' {problem}", where=where, fix=did_you_mean(key, fields)
            )
    values = dict(encoder.Options.for_size(settings.size_))
    if settings.dropout is not None and "dropout" in fields:
        values["dropout"] = settings.dropout
    if settings.checkpoint is not None and "checkpoint" in fields:
        values["checkpoint"] = settings.checkpoint
    try:
        options = encoder.Options.model_validate(values | given.options)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RecipeError(
            f"the option '{key}' of '{chosen}' cannot be {first['input']!r}",
            where=where,
            fix=first["msg"][0].lower() + first["msg"][1:],
        ) from error
    return EncoderChoice(chosen, encoder, options, modality)


def resolve_encoders(groups: Iterable[GroupSpec], settings: ModelSettings) -> dict[str, EncoderChoice]:
    """Return the encoder of every input.

    Raises:
        RecipeError: as `resolve_encoder`; or a setting names an input that there is not, an encoder that no
            input can have, or a checkpoint that nothing takes.
    """
    modalities = {group.name: group.modality for group in groups}
    for name in settings.encoders:
        if name not in modalities:
            raise RecipeError(
                f"there is no input '{name}'", where="model.encoders", fix=did_you_mean(name, modalities)
            )
    if settings.name != "auto":
        takes = _encoder(settings.name, "model.name").modalities
        if not set(takes) & set(modalities.values()):
            kinds = ", ".join(sorted(set(modalities.values())))
            fitting = sorted({name for kind in modalities.values() for name in encoders_for(kind)})
            raise RecipeError(
                f"the encoder '{settings.name}' takes {' or '.join(takes)}, and the inputs are {kinds}",
                where="model.name",
                fix=f"choose one of: {', '.join(fitting)}",
            )
    choices = {name: resolve_encoder(modality, settings, name) for name, modality in modalities.items()}
    if settings.checkpoint is not None and not any(
        "checkpoint" in c.encoder.Options.model_fields for c in choices.values()
    ):
        raise RecipeError(
            "a checkpoint is named, and no input has the encoder that takes one",
            where="model.checkpoint",
            fix="set model.name to pretrained",
        )
    return choices


def resolve_settings(groups: Iterable[GroupSpec], settings: ModelSettings) -> ModelSettings:
    """Return the settings with every choice spelled out: resolving them again changes nothing.

    Raises:
        RecipeError: as `resolve_encoders`.
    """
    choices = resolve_encoders(groups, settings)
    return settings.model_copy(
        update={
            "encoders": {name: choice.settings for name, choice in choices.items()},
            "fusion": DEFAULT_FUSION if settings.fusion == "auto" else settings.fusion,
        }
    )


def _encoder(name: str, where: str) -> type[Encoder]:
    if name not in ENCODERS:
        raise RecipeError(
            f"there is no encoder called '{name}'", where=where, fix=did_you_mean(name, ENCODERS)
        )
    return ENCODERS[name]


def _fields(encoder: type[Encoder], modality: str) -> list[str]:
    """Return the options that have an effect on this kind of input."""
    fields = []
    for name, field in encoder.Options.model_fields.items():
        extra = field.json_schema_extra
        modalities = extra.get("modalities") if isinstance(extra, dict) else None
        if not isinstance(modalities, list) or modality in modalities:
            fields.append(name)
    return fields

"""What a pretrained encoder asks of its input: a text must be cut by the checkpoint's own tokenizer."""

from __future__ import annotations

from dataclasses import replace

from trainwright.data.schema import Column, Schema
from trainwright.recipe.recipe import ModelSettings


def with_tokenizers(schema: Schema, settings: ModelSettings) -> Schema:
    """Return the schema with the tokenizer of each text column whose encoder is pretrained.

    A tokenizer that the recipe names for the column stays.

    Args:
        schema: the columns.
        settings: the recipe's model; its encoders decide.
    """
    if settings.name != "pretrained" and not any(
        encoder.name == "pretrained" for encoder in settings.encoders.values()
    ):
        return schema  # without asking the registry, which imports every encoder
    return replace(schema, columns=tuple(_with_tokenizer(column, settings) for column in schema.columns))


def _with_tokenizer(column: Column, settings: ModelSettings) -> Column:
    from trainwright.models.defaults import resolve_encoder

    if column.role != "input" or column.type != "text" or column.options.get("tokenizer"):
        return column
    checkpoint = getattr(resolve_encoder("text", settings, column.name).options, "checkpoint", None)
    return (
        column if checkpoint is None else replace(column, options={**column.options, "tokenizer": checkpoint})
    )

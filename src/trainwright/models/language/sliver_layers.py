"""Which layers of a transformer get a sliver, whatever its architecture calls them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from torch import nn

from trainwright.foundation.errors import RecipeError
from trainwright.recipe.recipe import TuningSettings

_ATTENTION = ("attn", "attention")
_KEYS_AND_VALUES = frozenset(
    {"k_proj", "v_proj", "key_proj", "value_proj", "key", "value", "k_lin", "v_lin", "k", "v"}
    | {"c_attn", "query_key_value", "qkv_proj", "Wqkv"}  # queries with them, in one layer
)
_IN_BLOCK = re.compile(r"(.*\.\d+)\.(.+)")
"""A path within the last of the numbered modules that it leads through."""


def targets(model: Any, settings: TuningSettings) -> list[str]:
    """Return the paths of the layers that get a sliver.

    Raises:
        RecipeError: there is none.
    """
    names, asked = _linear_names(model), settings.targets
    if asked in {"auto", "all"}:
        found = names
    elif asked == "attention":
        found = [name for name in names if _is_attention(name)]
    elif asked == "mlp":
        found = [name for name in names if _IN_BLOCK.fullmatch(name) and not _is_attention(name)]
    else:
        wanted = [asked] if isinstance(asked, str) else list(asked)
        found = [name for word in wanted for name in _called(word, names)]
    if not found:
        raise RecipeError(
            f"the model has no layer that tuning.targets: {asked} means",
            where="tuning.targets",
            fix="set it to all",
        )
    return list(dict.fromkeys(found))


def ia3_targets(model: Any, settings: TuningSettings) -> tuple[list[str], list[str]]:
    """Return the layers whose outputs, and those whose inputs, are scaled.

    Raises:
        RecipeError: there is none, or they are not recognised.
    """
    _, perceptrons = last_layers(model)
    if settings.targets not in {"auto", "all"}:
        names = targets(model, settings)
        return [name for name in names if name not in perceptrons], [
            name for name in names if name in perceptrons
        ]
    keys = [name for name in _linear_names(model) if name.rpartition(".")[2] in _KEYS_AND_VALUES]
    if not keys or not perceptrons:
        raise RecipeError(
            "the keys and values of this model were not recognised for ia3",
            where="tuning.targets",
            fix="name its layers, or choose lora",
        )
    return keys, perceptrons


def adapter_targets(model: Any, settings: TuningSettings) -> list[str]:
    """Return the layers that get a bottleneck behind them: the last of each attention and each perceptron.

    Raises:
        RecipeError: there is none, or they are not recognised.
    """
    if settings.targets not in {"auto", "all"}:
        return targets(model, settings)
    attentions, perceptrons = last_layers(model)
    if not attentions or not perceptrons:
        raise RecipeError(
            "the last layers of attention and perceptron were not recognised",
            where="tuning.targets",
            fix="name them, or choose lora",
        )
    return attentions + perceptrons


def last_layers(model: Any) -> tuple[list[str], list[str]]:
    """Return the paths of the last layer of each attention, and of each perceptron.

    It is the last one there, of those within a block, that gives as many numbers as the model is wide: every
    architecture adds its output to states of that width, and has another name for the layer.
    """
    width = getattr(model.config, "hidden_size", None)
    attentions: dict[str, str] = {}
    perceptrons: dict[str, str] = {}
    for name in _linear_names(model):
        inside = _IN_BLOCK.fullmatch(name)
        if inside is None or width_of(model.get_submodule(name)) != width:
            continue
        block, parts = inside[1], inside[2].split(".")
        place = next((place for place, part in enumerate(parts) if _is_attention(part)), None)
        if place is None:
            perceptrons[block] = name
        else:  # a decoder's block can have two
            attentions[".".join([block, *parts[: place + 1]])] = name
    return list(attentions.values()), list(perceptrons.values())


def width_of(layer: Any) -> int:
    """Return how many numbers a linear layer gives."""
    return int(layer.out_features if isinstance(layer, nn.Linear) else layer.nf)  # Conv1D of GPT-2


def _linear_names(model: Any) -> list[str]:
    """Return the paths of linear layers within the model, without the output layer."""
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    return [
        name
        for name, part in model.named_modules()
        if isinstance(part, nn.Linear | Conv1D) and part is not head
    ]


def _called(word: str, names: Sequence[str]) -> list[str]:
    found = [name for name in names if name == word or name.endswith(f".{word}")]
    if not found:
        last = sorted({name.rpartition(".")[2] for name in names})
        raise RecipeError(
            f"no layer of the model is called '{word}'",
            where="tuning.targets",
            fix=f"set it to attention, mlp, all, or some of: {', '.join(last[:12])}",
        )
    return found


def _is_attention(name: str) -> bool:
    return any(part in name.lower() for part in _ATTENTION)

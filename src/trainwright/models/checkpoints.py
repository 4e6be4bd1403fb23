"""Hugging Face models: loaded from a checkpoint, or built from a shape whose weights come later."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainwright.foundation.checkpoints import checkpoint_folder, has_safetensors, quiet
from trainwright.foundation.errors import RecipeError

_PROCESSOR_KEYS = ("image_mean", "image_std", "sampling_rate", "do_normalize")


@dataclass(frozen=True)
class Checkpoint:
    """A model and what must be known to build it again.

    Attributes:
        model: the encoder, float32.
        shape: its configuration, JSON-able.
        processor: how its inputs were prepared: image_mean, image_std, sampling_rate, do_normalize.
    """

    model: Any  # an nn.Module; transformers is untyped
    shape: dict[str, Any]
    processor: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """What `build` takes, JSON-able."""
        return {"shape": self.shape, "processor": self.processor}

    def setting(self, name: str) -> Any:
        """Return an entry of the configuration by its common name, or None: kinds of model have their own."""
        return getattr(self.model.config, name, None)

    @property
    def has_class_token(self) -> bool:
        """Whether the first of its states stands for the whole picture."""
        return any(name.endswith("cls_token") for name, _ in self.model.named_parameters())


def load(name: str) -> Checkpoint:
    """Return a checkpoint's model with its weights.

    Raises:
        RecipeError: the checkpoint cannot be had, is not safe to open, is of an unknown kind, or lacks
        weights.
    """
    folder = checkpoint_folder(name)
    has_safetensors(folder, name)
    with quiet():
        from transformers import AutoConfig, AutoModel

        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model, report = AutoModel.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = str(error).strip().split("\n")[0].rstrip(".")
            raise RecipeError(
                f"this checkpoint cannot be opened: {reason}", where=name, fix="choose another checkpoint"
            ) from error
    shape = json.loads(config.to_json_string(use_diff=False))
    shape.pop("_name_or_path", None)  # where it lay on this machine
    lacking = [key for key in report["missing_keys"] if not key.startswith("pooler.")]
    if lacking:
        raise RecipeError(
            f"this checkpoint lacks {len(lacking)} weights, {sorted(lacking)[0]} among them",
            where=name,
            fix="download it again or choose another",
        )
    return Checkpoint(_encoder(model), shape, _processor(folder))


def build(config: dict[str, Any]) -> Checkpoint:
    """Return a model of the shape that `Checkpoint.config` gave, with random weights."""
    from transformers import AutoConfig, AutoModel

    shape = dict(config["shape"])
    with quiet():
        model = AutoModel.from_config(
            AutoConfig.for_model(**shape), trust_remote_code=False, dtype=torch.float32
        )
    return Checkpoint(_encoder(model), shape, dict(config["processor"]))


def layers_of(model: nn.Module) -> list[list[nn.Parameter]]:
    """Return the parameters by depth: what precedes the layers, then each layer, the last with what follows.

    The layers are the list of modules that holds most of the parameters; among nested ones the outermost.
    """
    stacks = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.ModuleList)]
    prefix, stack = max(stacks, key=lambda named: (_size(named[1]), -named[0].count(".")))
    groups: list[list[nn.Parameter]] = [[] for _ in range(len(stack) + 1)]
    reached = False
    for name, parameter in model.named_parameters():
        inside = name.startswith(f"{prefix}.")
        reached = reached or inside
        index = int(name[len(prefix) + 1 :].split(".")[0]) + 1 if inside else -1 if reached else 0
        groups[index].append(parameter)
    return groups


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _encoder(model: Any) -> nn.Module:
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    if "add_pooling_layer" in inspect.signature(type(model).__init__).parameters:
        model.pooler = None  # states are pooled here; the pooler's weights would never learn
    assert isinstance(model, nn.Module)
    return model


def _processor(folder: Path) -> dict[str, Any]:
    file = folder / "preprocessor_config.json"
    settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {key: settings[key] for key in _PROCESSOR_KEYS if key in settings}

"""Language models of Hugging Face checkpoints: folders, names on the hub, and GGUF files.

Nothing that a checkpoint contains is executed: weights are safetensors or GGUF, and code is not trusted.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, Literal

import torch

from trainwright.foundation.checkpoints import check_weights, has_safetensors, language_checkpoint, quiet
from trainwright.foundation.errors import RecipeError

Kind = Literal["causal", "masked", "sequence-to-sequence"]

_AUTO: dict[Kind, str] = {
    "causal": "AutoModelForCausalLM",
    "masked": "AutoModelForMaskedLM",
    "sequence-to-sequence": "AutoModelForSeq2SeqLM",
}


def load_checkpoint(name: str, kind: Kind, *, dtype: torch.dtype = torch.float32, **more: Any) -> Any:
    """Return a checkpoint's model with its head.

    Args:
        name: local folder, GGUF file, or name on the hub.
        kind: which head.
        dtype: how weights are held.
        more: what else `from_pretrained` is given.

    Raises:
        RecipeError: it cannot be had, is not safe to open, has another kind of head, or lacks weights.
    """
    folder = language_checkpoint(name)
    has_safetensors(folder, name, auto=_AUTO[kind])
    with quiet():
        import transformers

        auto = getattr(transformers, _AUTO[kind])
        try:
            model, report = auto.from_pretrained(
                folder,
                dtype=dtype,
                output_loading_info=True,
                use_safetensors=True,  # else a pickle that lies beside them would do
                local_files_only=True,
                trust_remote_code=False,
                **more,
            )
        except Exception as error:  # safetensors, gguf and transformers raise what they like for a bad file
            reason = str(error).strip().split("\n")[0].rstrip(".")
            if "Unrecognized configuration class" in reason:
                reason = f"its architecture has no {kind} language model"
            raise RecipeError(
                f"this checkpoint cannot be opened: {reason}", where=name, fix="choose another checkpoint"
            ) from error
    check_weights(model, report, name)
    # What adapters call their base: what its user does, and not where it lies in a cache.
    model.name_or_path = name
    return model


def trained_context(name: str, model: Any) -> int | None:
    """Return the most tokens that a checkpoint says it was trained on, where its architecture has no limit.

    Args:
        name: of the checkpoint.
        model: it.
    """
    known = getattr(model.config, "n_positions", None)
    if known is None:
        with suppress(OSError, ValueError, AttributeError):
            path = language_checkpoint(name) / "tokenizer_config.json"
            known = json.loads(path.read_text(encoding="utf-8")).get("model_max_length")
    # The library writes 10³⁰ where nobody said.
    return int(known) if isinstance(known, int | float) and 0 < known < _UNSAID else None


_UNSAID = 1 << 30


def generation_of(model: Any) -> dict[str, Any]:
    """Return what a model's texts begin with, as `build_model` takes it."""
    settings = model.generation_config
    return {name: getattr(settings, name, None) for name in _GENERATION}


_GENERATION = (
    "decoder_start_token_id",
    "forced_bos_token_id",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)


def build_model(config: dict[str, Any], kind: Kind, *, generation: dict[str, Any] | None = None) -> Any:
    """Return a model of a configuration with random weights, for weights that come from a model folder.

    Args:
        config: from `config_of`.
        kind: which head.
        generation: from `generation_of`; as the configuration says without.
    """
    with quiet():
        import transformers

        shape = transformers.AutoConfig.for_model(**config)
        model = getattr(transformers, _AUTO[kind]).from_config(
            shape, trust_remote_code=False, dtype=torch.float32
        )
    for name, value in (generation or {}).items():
        setattr(model.generation_config, name, value)
    return model


def config_of(model: Any) -> dict[str, Any]:
    """Return a model's configuration, JSON-able."""
    shape: dict[str, Any] = json.loads(model.config.to_json_string(use_diff=False))
    for key in ("_name_or_path", "quantization_config", "dtype", "torch_dtype"):
        shape.pop(key, None)
    return shape

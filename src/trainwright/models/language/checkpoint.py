"""Language models of Hugging Face checkpoints: folders, names on the hub, and GGUF files.

Nothing that a checkpoint contains is executed: weights are safetensors or GGUF, and code is not trusted.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import torch

from trainwright.foundation.checkpoints import has_safetensors, language_checkpoint, quiet
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
    has_safetensors(folder, name)
    with quiet():
        import transformers

        auto = getattr(transformers, _AUTO[kind])
        try:
            model, report = auto.from_pretrained(
                folder,
                dtype=dtype,
                output_loading_info=True,
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
    # Weights that are tied to others are made, not read.
    tied = set(
        getattr(model, "all_tied_weights_keys", None) or getattr(model, "_tied_weights_keys", None) or ()
    )
    lacking = sorted(key for key in report["missing_keys"] if key not in tied)
    if lacking:
        raise RecipeError(
            f"this checkpoint lacks {len(lacking)} weights of its model, {lacking[0]} among them",
            where=name,
            fix="download it again, or choose one that was saved with its language-model head",
        )
    wrong = sorted(str(key) for key in report.get("mismatched_keys") or ())
    extra = sorted(key for key in report["unexpected_keys"] if not _is_harmless(key))
    if wrong or extra:
        what = f"weights of another shape ({wrong[0]})" if wrong else f"weights too many ({extra[0]})"
        raise RecipeError(
            f"this checkpoint does not fit its own configuration: it has {what}",
            where=name,
            fix="choose another checkpoint, or mend its config.json",
        )
    # What adapters call their base: what its user does, and not where it lies in a cache.
    model.name_or_path = name
    return model


_HARMLESS = ("pooler", "position_ids", "seq_relationship", "inv_freq", "masked_bias", ".attn.bias")
"""Parts of the names of weights that a language model has no use for."""


def _is_harmless(key: str) -> bool:
    return any(part in key for part in _HARMLESS)


def build_model(config: dict[str, Any], kind: Kind) -> Any:
    """Return a model of a configuration with random weights, for weights that come from a model folder."""
    with quiet():
        import transformers

        shape = transformers.AutoConfig.for_model(**config)
        return getattr(transformers, _AUTO[kind]).from_config(
            shape, trust_remote_code=False, dtype=torch.float32
        )


def config_of(model: Any) -> dict[str, Any]:
    """Return a model's configuration, JSON-able."""
    shape: dict[str, Any] = json.loads(model.config.to_json_string(use_diff=False))
    for key in ("_name_or_path", "quantization_config", "dtype", "torch_dtype"):
        shape.pop(key, None)
    return shape

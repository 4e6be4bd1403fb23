"""The tokenizer of a checkpoint: a folder, a GGUF file, or a name on the hub."""

from __future__ import annotations

import json
from contextlib import suppress

from trainwright.features.language.tokenizer import SETTINGS, LanguageTokenizer
from trainwright.foundation.checkpoints import language_checkpoint, quiet
from trainwright.foundation.errors import RecipeError


def load_language_tokenizer(name: str) -> LanguageTokenizer:
    """Return the tokenizer of a checkpoint.

    Raises:
        RecipeError: it has none, or none of the fast kind.
    """
    folder = language_checkpoint(name)
    fix = "name a checkpoint with a tokenizer.json"
    with quiet():
        from transformers import AutoTokenizer

        try:
            loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # tokenizers raises plain Exception
            reason = str(error).strip().split("\n")[0].rstrip(".")
            raise RecipeError(f"this tokenizer cannot be read: {reason}", where=name, fix=fix) from error
    if not loaded.is_fast:
        raise RecipeError("this checkpoint has no tokenizer of the fast kind", where=name, fix=fix)
    special = {
        role: text
        for role in (
            "bos_token",
            "eos_token",
            "pad_token",
            "mask_token",
            "cls_token",
            "sep_token",
            "unk_token",
        )
        if isinstance(text := getattr(loaded, role, None), str)
    }
    template = getattr(loaded, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default")
    with suppress(OSError, ValueError):
        # Settings name an end that the backend may not know by itself.
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        template = template or settings.get("chat_template")
    return LanguageTokenizer(
        loaded.backend_tokenizer, special, template if isinstance(template, str) else None
    )

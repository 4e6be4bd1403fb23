"""The tokenizer that a pretrained model was trained with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright.foundation.checkpoints import checkpoint_folder
from trainwright.foundation.errors import RecipeError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "data2vec-text", "esm"}
"""Model types whose first positions stand for padding, so that two fewer are left for tokens."""
_NO_LIMIT = 1_000_000


@dataclass(frozen=True)
class PretrainedTokenizer:
    """A checkpoint's tokenizer.

    Attributes:
        tokenizer: neither truncates nor pads.
        prefix: ids before every text ([CLS]).
        suffix: ids behind every text ([SEP]).
        pad: id of the padding token.
        limit: tokens that the model can read, prefix and suffix counted; None without a limit.
    """

    tokenizer: Tokenizer
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad: int
    limit: int | None


def load_tokenizer(name: str) -> PretrainedTokenizer:
    """Return the tokenizer of a checkpoint; nothing the checkpoint contains is executed.

    Args:
        name: local folder, or name on the Hugging Face hub.

    Raises:
        RecipeError: there is no such checkpoint, or it has no tokenizer that can be read.
    """
    folder = checkpoint_folder(name)
    tokenizer = _read(folder, name)
    padding = tokenizer.padding
    tokenizer.no_truncation()
    tokenizer.no_padding()
    settings, config = _json(folder / "tokenizer_config.json"), _json(folder / "config.json")
    pad = tokenizer.token_to_id(_token(settings.get("pad_token")) or "[PAD]")
    if pad is None:
        pad = padding["pad_id"] if padding else config.get("pad_token_id") or 0
    plain = tokenizer.encode("a", add_special_tokens=False).ids
    framed = tokenizer.encode("a", add_special_tokens=True).ids
    starts = (at for at in range(len(framed) - len(plain) + 1) if framed[at : at + len(plain)] == plain)
    at = next(starts, 0)
    positions = config.get("max_position_embeddings")
    if positions and config.get("model_type") in _OFFSET_POSITIONS:
        positions -= 2
    limits = [limit for limit in (positions, settings.get("model_max_length")) if limit and limit < _NO_LIMIT]
    return PretrainedTokenizer(
        tokenizer=tokenizer,
        prefix=tuple(framed[:at]),
        suffix=tuple(framed[at + len(plain) :]),
        pad=int(pad),
        limit=int(min(limits)) if limits else None,
    )


def _read(folder: Path, name: str) -> Tokenizer:
    from tokenizers import Tokenizer

    fix = "name a checkpoint with a tokenizer.json, or leave tokenizer out to train one"
    try:
        if (folder / "tokenizer.json").is_file():
            return Tokenizer.from_file(str(folder / "tokenizer.json"))
        from transformers import AutoTokenizer

        loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # tokenizers raises plain Exception
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise RecipeError(f"this tokenizer cannot be read: {reason}", where=name, fix=fix) from error
    if not loaded.is_fast:
        raise RecipeError("this checkpoint has no tokenizer of the fast kind", where=name, fix=fix)
    backend: Tokenizer = loaded.backend_tokenizer
    return backend


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _token(entry: Any) -> str | None:
    """Return the text of a special token, which is written as a string or as {"content": string}."""
    if isinstance(entry, dict):
        entry = entry.get("content")
    return entry if isinstance(entry, str) else None

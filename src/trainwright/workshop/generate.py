"""`generate` and `chat`: a language model writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainwright.foundation.errors import UserError
from trainwright.workshop.load import load
from trainwright.workshop.text_model import Messages, TextModel


def open_text_model(model: Any) -> TextModel:
    """Return a language model from a model, a run, or the folder of either.

    Raises:
        UserError: it is a model of another kind.
    """
    found = load(model)
    if not isinstance(found, TextModel):
        raise UserError(
            "this model predicts columns and writes no text",
            where=str(found.path or "the model"),
            fix="use `trainwright predict`",
        )
    return found


def generate(
    model: Any, prompts: str | Sequence[str], *, stop: Sequence[str] = (), **sampling: Any
) -> str | list[str]:
    """Return how texts go on.

    Args:
        model: a language model, a run, or the folder of either.
        prompts: a text, or several that are done together.
        stop: texts at which it ends; they are not returned.
        sampling: max_tokens, temperature, top_k, top_p, repetition_penalty, seed (see
            `models.language.generation.Sampling`).

    Returns:
        What follows each prompt; one text for one prompt.
    """
    return open_text_model(model).generate(prompts, stop=stop, **sampling)


def chat(model: Any, messages: Messages, *, stop: Sequence[str] = (), **sampling: Any) -> str:
    """Return the assistant's answer to a conversation.

    Args:
        model: a language model, a run, or the folder of either.
        messages: each {"role": "system" | "user" | "assistant", "content": "…"}.
        stop, sampling: as for `generate`.
    """
    return open_text_model(model).chat(messages, stop=stop, **sampling)

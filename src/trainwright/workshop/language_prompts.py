"""What a language model is asked to go on with while it learns, and what it makes of it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trainwright.foundation.errors import RecipeError
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.language_data import LanguageData
from trainwright.workshop.text_model import LongPrompt, TextModel

if TYPE_CHECKING:
    from trainwright.models.language.base import LanguageModel
    from trainwright.tasks.language import LanguageTask

_PROMPTS = 2
_PROMPT_TOKENS = 16


def written(recipe: Recipe, data: LanguageData, task: LanguageTask, network: Any) -> list[dict[str, str]]:
    """Return what a network makes of some prompts: [{"prompt", "text"}]."""
    settings = recipe.evaluation
    if not task.writes or settings.sample_tokens == 0:
        return []
    model = TextModel(recipe, data.tokenizer, network)
    words: dict[str, Any] = {"max_tokens": settings.sample_tokens, "temperature": 0.8, "top_p": 0.95}
    asked: Sequence[Any] = settings.prompts or prompts_of(
        data, _PROMPTS, most=recipe.language.context if data.encodes else None
    )
    if recipe.task in {"chat", "preference"}:
        asked = [[{"role": "user", "content": one}] if isinstance(one, str) else one for one in asked]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LongPrompt)  # it is shown, not judged
        return [
            {
                "prompt": prompt if isinstance(prompt, str) else prompt[-1]["content"],
                "text": "".join(model.stream(prompt, seed=recipe.seed, **words)),
            }
            for prompt in asked
        ]


def prompts_of(data: LanguageData, number: int, *, most: int | None = None) -> list[Any]:
    """Return beginnings of validation samples; of conversations all up to the first answer, as messages.

    Args:
        data: prepared.
        number: of them.
        most: tokens of a sample; longer ones are left out.
    """
    from trainwright.features.language.formats import FORMATS
    from trainwright.features.language.samples import read_samples, source_of

    index = data.indices["validation"]
    if most is not None:
        index = index[data.tokens.lengths[index] <= most]
    index = index[:number]
    if data.recipe.task == "causal-lm":
        tokens = data.tokens
        found = []
        for sample in index.tolist():
            first = int(tokens.offsets[sample])
            until = min(first + 1 + _PROMPT_TOKENS, int(tokens.offsets[sample + 1]) - 1)
            found.append(data.tokenizer.decode(tokens.ids[first:until]))
        return found
    rows = data.tokens.rows[index // data.parts_each]
    frame = data.table.take(rows, sorted(set(data.names.values())))
    samples, _, _ = read_samples(frame, FORMATS[data.form], data.names, 0)
    if data.recipe.task == "sequence-to-sequence":
        return [source_of(sample) for sample in samples]
    messages = []
    for sample in samples:
        until = next(
            (n for n, turn in enumerate(sample.turns) if turn.role == "assistant"), len(sample.turns)
        )
        messages.append([{"role": turn.role, "content": turn.text} for turn in sample.turns[:until]])
    return [each for each in messages if each]


def check_prompts(recipe: Recipe, data: LanguageData, network: LanguageModel) -> None:
    """Refuse prompts that an encoder cannot read now, and not at the first evaluation."""
    from trainwright.features.language.pairs import PairFrames

    if not network.encodes or network.context is None:
        return
    frames = PairFrames.of(data.tokenizer, encodes=True)
    for ids in data.tokenizer.encode(recipe.evaluation.prompts):
        if len(frames.source(ids)) > network.context:
            raise RecipeError(
                f"a prompt has {len(frames.source(ids)):,} tokens, and the model reads at most "
                f"{network.context:,}",
                where="evaluation.prompts",
                fix="shorten it",
            )

"""Choices for language models: what "auto" means for these texts and this model, with the reason for each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from trainwright.foundation.devices import num_cpus
from trainwright.recipe.budget import Budget
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.choices import DEFAULT_SECONDS, RATE_FACTORS, Choices

if TYPE_CHECKING:
    import torch

    from trainwright.models.language.base import LanguageModel

_CONTEXTS = ((16, 2048), (8, 1024), (0, 256))
"""Layers more than these → tokens of a training sample."""
_FINE_TUNED_CONTEXT = 1024
_TOKENS_A_PARAMETER = 20
"""What a model from random weights is given (Hoffmann et al. 2022, 'Chinchilla')."""
_MOST_EPOCHS = 20
_DEPTHS = range(2, 25)
_TAUGHT = 10
"""Tokens a parameter for which there must be time: half of the best, as a larger model loses little by it."""
_KNOWN = 4
"""Parameters for each token of the data: beyond that a model learns texts by heart."""
_FLOPS = {"cpu": 14e9, "mps": 2e12, "cuda": 1e14}
"""Operations a second that training gets out of a core, or of a GPU: roughly, as a depth needs no more."""
_FINE_TUNED_EPOCHS = 3
_EVALUATIONS, _EVALUATION_SHARE = 20, 0.1
VALIDATION_TOKENS = 1 << 14
"""Tokens of validation that are read at each evaluation in training; the end of a run reads all."""
_PATIENCE = 5
_BATCH_TOKENS = {"cpu": 2_048, "cuda": 65_536, "mps": 16_384}
_FINE_TUNED_TOKENS = {"cpu": 512, "cuda": 16_384, "mps": 2_048}

_LORA_FACTORS = {"lora": 10, "dora": 10, "rslora": 5}
"""Times the rate of a whole model that low-rank updates take (Schulman et al. 2025); rsLoRA scales
its updates up more."""
_MOST_LORA_RATE = 2e-3
_SLIVER_RATES = {
    "ia3": 5e-3,
    "prompt": 3e-2,
    "prefix": 1e-2,
    "adapter": 5e-4,
}
"""Peak learning rates: few parameters take larger steps than a whole model, as their authors found."""
_PREFERENCE_SHARE = 1 / 20
"""Preferences are learned more slowly: both answers are likely already, and a model forgets to write."""


def rate_for(recipe: Recipe, network: LanguageModel) -> float:
    """Return AdamW's peak learning rate."""
    method, rate = recipe.tuning.method, network.learning_rate
    if method in _LORA_FACTORS:
        rate = min(_LORA_FACTORS[method] * rate, _MOST_LORA_RATE)
    rate = _SLIVER_RATES.get(method, rate)
    careful = recipe.task == "preference" and recipe.model.checkpoint is not None
    return rate * _PREFERENCE_SHARE if careful else rate


def depth_for(
    recipe: Recipe,
    parameters: Callable[[int], int | None],
    *,
    tokens: int,
    batch_tokens: int,
    device: torch.device,
    devices: int = 1,
) -> int:
    """Return the layers of the largest model that budget and data can teach.

    Args:
        recipe: what was asked for.
        parameters: layers → parameters; None where other options do not fit so many.
        tokens: of the training data.
        batch_tokens: tokens of a micro-batch.
        device: what trains it.
        devices: how many of them.
    """
    budget = recipe.training.budget or Budget(DEFAULT_SECONDS, "seconds")
    rate = _FLOPS.get(device.type, _FLOPS["cuda"]) * (num_cpus() if device.type == "cpu" else devices)
    step = batch_tokens * recipe.training.accumulation  # the same, however many share it out

    def seen(number: int) -> float:
        """Return how many tokens a model of so many parameters is shown."""
        return {
            "seconds": budget.amount * rate / (6 * number),
            "tokens": budget.amount,
            "steps": budget.amount * step,
            "epochs": budget.amount * tokens,
        }[budget.unit]

    fitting: int | None = None
    for depth in _DEPTHS:
        number = parameters(depth)
        if number is None:
            continue
        if fitting is not None and (_TAUGHT * number > seen(number) or number > _KNOWN * tokens):
            break
        fitting = depth
    return fitting or _DEPTHS[0]


def context_of(recipe: Recipe, network: LanguageModel) -> int:
    """Return the most tokens of a training sample."""
    if recipe.language.context is not None:
        return recipe.language.context
    if recipe.model.checkpoint is not None:
        return min(_FINE_TUNED_CONTEXT, network.context or network.trained_context or _FINE_TUNED_CONTEXT)
    layers, _ = network.shape
    return next(context for above, context in _CONTEXTS if layers > above)


def batch_tokens_of(recipe: Recipe, device: torch.device) -> int:
    """Return the tokens of a micro-batch."""
    if recipe.training.batch_tokens is not None:
        return recipe.training.batch_tokens
    known = _BATCH_TOKENS if recipe.model.checkpoint is None else _FINE_TUNED_TOKENS
    return known.get(device.type, known["cpu"])


def choose_language(
    recipe: Recipe,
    network: LanguageModel,
    *,
    tokens: int,
    steps_per_epoch: int,
    precision: tuple[Literal["float32", "bfloat16"], str],
) -> Choices:
    """Fill in what the recipe left open.

    Args:
        recipe: with context and batch filled in.
        network: the model.
        tokens: of a pass.
        steps_per_epoch: updates in a pass.
        precision: what suits model and machine, and why.
    """
    settings, scratch = recipe.training, recipe.model.checkpoint is None
    reasons: dict[str, str] = {}

    def chosen(field: str, value: object, why: str) -> None:
        reasons[field] = f"{value} ({why})"

    if settings.optimizer == "auto":
        # At equal steps it leaves AdamW far behind; a model that is shared out cannot have it.
        optimizer = "muon" if scratch and settings.sharding != "on" else "adamw"
        settings = settings.model_copy(update={"optimizer": optimizer})
        if optimizer == "muon":
            chosen("optimizer", optimizer, "for the matrices of a model from random weights")
    learning_rate = settings.learning_rate
    if learning_rate is None:
        learning_rate = rate_for(recipe, network) * RATE_FACTORS[settings.optimizer]
        method = recipe.tuning.method
        why = f"good for {method}" if method in _SLIVER_RATES else "good for a model of this width"
        chosen("learning_rate", f"{learning_rate:.3g}", why)
    if settings.precision == "auto" and precision[0] != "float32":
        chosen("precision", *precision)
    seconds: float | None = None
    budget = settings.budget
    tokens_a_step = max(tokens / steps_per_epoch, 1)
    parameters = sum(p.numel() for p in network.parameters())
    if budget is None:
        if scratch:
            epochs = min(max(_TOKENS_A_PARAMETER * parameters / max(tokens, 1), 1), _MOST_EPOCHS)
            why = f"{_TOKENS_A_PARAMETER} tokens for each parameter, and at most {_MOST_EPOCHS} passes"
        else:
            epochs, why = _FINE_TUNED_EPOCHS, "enough for fine-tuning"
        steps = max(1, round(epochs * steps_per_epoch))
        seconds, budget = DEFAULT_SECONDS, Budget(steps, "steps")
        chosen("budget", f"{epochs:.3g} epochs", f"{why}, within {DEFAULT_SECONDS // 60} minutes")
    elif budget.unit == "epochs":
        steps = max(1, math.ceil(budget.amount * steps_per_epoch))
    elif budget.unit == "tokens":
        steps = max(1, math.ceil(budget.amount / tokens_a_step))
    elif budget.unit == "steps":
        steps = int(budget.amount)
    else:
        seconds = budget.amount
        steps = 10 * _MOST_EPOCHS * steps_per_epoch
    training = settings.model_copy(
        update={
            "budget": budget,
            "learning_rate": learning_rate,
            "weight_decay": _decay(recipe) if settings.weight_decay is None else settings.weight_decay,
            "schedule": "cosine" if settings.schedule == "auto" else settings.schedule,
            "precision": precision[0] if settings.precision == "auto" else settings.precision,
            "early_stopping": _PATIENCE if settings.early_stopping is None else settings.early_stopping,
            "graphs": "off",
        }
    )
    every = evaluate_every(steps, steps_per_epoch, tokens_a_step=tokens_a_step)
    return Choices(training, steps_per_epoch, steps, every, seconds, reasons)


def evaluate_every(steps: int, steps_per_epoch: int, *, tokens_a_step: float) -> int:
    """Return the steps between evaluations: some twenty in a run, in at most a tenth of its time.

    To read a token costs a third of learning from it.
    """
    affordable = _EVALUATION_SHARE * steps * tokens_a_step * 3 / VALIDATION_TOKENS
    number = min(max(affordable, 1), _EVALUATIONS)
    return max(1, min(steps_per_epoch, math.ceil(steps / number)))


def _decay(recipe: Recipe) -> float:
    return 0.1 if recipe.model.checkpoint is None else 0.0

"""Choices: what "auto" means for this data and this model, with the reason for each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from trainwright.recipe.budget import Budget
from trainwright.recipe.recipe import TrainingSettings

DEFAULT_SECONDS = 8 * 60
"""A run without a budget ends within this (two CPU cores, judging left out)."""


@dataclass(frozen=True)
class Profile:
    """How a kind of encoder likes to be trained.

    Attributes:
        weight_decay: decoupled weight decay.
        steps: updates that a small data set is given.
        epochs: least and most passes.
        batch: smallest and largest number of rows a step.
        schedule: see `SCHEDULES`.
        patience: evaluations without progress before stopping; 0 never stops.
    """

    weight_decay: float
    steps: int
    epochs: tuple[int, int]
    batch: tuple[int, int]
    schedule: str
    patience: int


# Chosen on the data sets of benchmarks/quality.py.
_PROFILES = {
    "table": Profile(3e-2, 1_200, (10, 60), (32, 256), "cosine", 16),
    "text": Profile(1e-2, 1_000, (5, 20), (32, 128), "cosine", 6),
    "image": Profile(5e-2, 1_200, (15, 50), (32, 128), "cosine", 0),
    "audio": Profile(5e-2, 1_200, (15, 40), (32, 64), "cosine", 0),
    "sequence": Profile(1e-2, 1_500, (10, 50), (32, 128), "cosine", 12),
    "pretrained": Profile(1e-2, 1_200, (3, 6), (16, 32), "cosine", 3),
}
# Of several encoders the last here decides.
_PRECEDENCE = [_PROFILES[kind] for kind in ("table", "sequence", "text", "audio", "image", "pretrained")]

RATE_FACTORS = {"adamw": 1.0, "adam": 1.0, "rmsprop": 0.3, "sgd": 20.0, "muon": 3.0}
"""Peak learning rate of an optimiser as a multiple of AdamW's: their steps have other units."""


@dataclass(frozen=True)
class Choices:
    """Resolved settings and why.

    Attributes:
        training: settings without "auto".
        steps_per_epoch: updates in a pass.
        steps: updates of the run, before a time limit is applied.
        evaluate_every: updates between evaluations.
        seconds: time limit; None where the budget is not a time.
        reasons: field → one line.
    """

    training: TrainingSettings
    steps_per_epoch: int
    steps: int
    evaluate_every: int
    seconds: float | None
    reasons: Mapping[str, str]


def choose(
    settings: TrainingSettings,
    *,
    kinds: list[str],
    num_rows: int,
    learning_rate: float,
    precision: tuple[Literal["float32", "bfloat16"], str],
) -> Choices:
    """Fill in what the recipe left open.

    Args:
        settings: what the user asked for.
        kinds: kind of every encoder: its modality, or "pretrained".
        num_rows: training rows.
        learning_rate: AdamW peak that the model asks for.
        precision: what suits model and machine, and why.
    """
    profiles = [_PROFILES[kind] for kind in kinds]
    # Of several encoders the most demanding decides: media need more passes and smaller steps than columns.
    lead = max(profiles, key=_PRECEDENCE.index)
    name = kinds[profiles.index(lead)]
    reasons: dict[str, str] = {}

    def chosen(field: str, value: object, why: str) -> None:
        reasons[field] = f"{value} ({why})"

    if settings.optimizer == "auto":
        settings = settings.model_copy(update={"optimizer": "adamw"})
    batch = settings.batch
    if batch is None:
        wanted = 2 ** round(math.log2(max(num_rows / 40, 1)))
        batch = min(max(wanted, lead.batch[0]), lead.batch[1])
        chosen(
            "batch",
            batch,
            f"about 40 steps an epoch from {num_rows:,} rows, within {lead.batch[0]} to {lead.batch[1]}",
        )
    steps_per_epoch = max(1, math.ceil(math.ceil(num_rows / batch) / settings.accumulation))
    if settings.learning_rate is not None:
        learning_rate = settings.learning_rate
    else:
        learning_rate *= RATE_FACTORS[settings.optimizer]
        chosen("learning_rate", learning_rate, f"good for {name} encoders with {settings.optimizer}")
    if settings.precision == "auto" and precision[0] != "float32":
        chosen("precision", *precision)
    weight_decay = lead.weight_decay if settings.weight_decay is None else settings.weight_decay
    schedule = lead.schedule if settings.schedule == "auto" else settings.schedule
    patience = lead.patience if settings.early_stopping is None else settings.early_stopping

    seconds: float | None = None
    budget = settings.budget
    if budget is None:
        epochs = min(max(math.ceil(lead.steps / steps_per_epoch), lead.epochs[0]), lead.epochs[1])
        steps = epochs * steps_per_epoch
        seconds = DEFAULT_SECONDS
        budget = Budget(steps, "steps")
        chosen(
            "budget",
            f"{epochs} epochs",
            f"about {lead.steps:,} steps for {name} encoders, at most {DEFAULT_SECONDS // 60} minutes",
        )
    elif budget.unit == "epochs":
        steps = max(1, math.ceil(budget.amount * steps_per_epoch))
    elif budget.unit == "steps":
        steps = int(budget.amount)
    else:
        seconds = budget.amount
        # A time is filled: as many passes as fit, but no more than ten times what the data would be given.
        steps = 10 * lead.epochs[1] * steps_per_epoch
    # About 30 evaluations or one an epoch, whichever is rarer; tiny epochs share one.
    evaluate_every = max(steps_per_epoch, 10) if steps_per_epoch < 2_000 else max(steps_per_epoch // 4, 500)
    training = settings.model_copy(
        update={
            "budget": budget,
            "batch": batch,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "schedule": schedule,
            "precision": precision[0] if settings.precision == "auto" else settings.precision,
            "early_stopping": patience,
        }
    )
    return Choices(training, steps_per_epoch, steps, min(evaluate_every, steps), seconds, reasons)

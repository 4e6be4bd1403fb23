"""Pace: how long a step takes, measured on a copy before training, so that a time becomes a number of steps.

The number is written into the resolved recipe: a repeated run takes it from there and not from the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from trainwright.training.loop import Trainer

_PROBE_SECONDS = 2.0
_MOST_STEPS = 20
_SHARE = 0.85
"""Share of a time limit that is planned with: a busier machine and checkpoints need the rest."""


def steps_within(
    limit: float,
    wanted: int,
    make_trainer: Callable[[], Trainer],
    *,
    evaluate_every: int,
    warm_up: int = 1,
) -> int:
    """Return how many of the wanted steps fit into a time limit, evaluations included.

    The model that will be trained and the random streams are left as they were.

    Args:
        limit: seconds.
        wanted: steps of the run if time were no matter.
        make_trainer: makes a trainer over a copy of the model.
        evaluate_every: steps between evaluations.
        warm_up: steps whose time says nothing; with more than one, they are waited for whatever they take.
    """
    state = torch.get_rng_state()
    trainer = make_trainer()
    began = time.monotonic()
    times: list[float] = []
    for taken in trainer.time_steps():
        times.append(taken)
        if 1 < warm_up == len(times):
            began = time.monotonic()
        if len(times) < warm_up:
            continue
        timed = sorted(times[warm_up:] or times[-1:])
        typical = timed[len(timed) // 2]
        # Where time is plainly no matter a few steps are enough to know it.
        plainly_enough = len(timed) > 2 and typical * wanted < 0.1 * limit
        if plainly_enough or len(timed) >= _MOST_STEPS or time.monotonic() - began > _PROBE_SECONDS:
            break
    evaluation = 0.0
    if not plainly_enough:
        began = time.monotonic()
        with torch.no_grad(), trainer.autocast():
            trainer.evaluate(trainer.model.eval())
        evaluation = time.monotonic() - began
    torch.set_rng_state(state)
    return max(1, min(wanted, int(limit * _SHARE / (typical + evaluation / evaluate_every))))

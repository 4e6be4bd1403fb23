"""How the learning rate moves: a multiple of the peak as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

from trainwright.foundation.registry import Registry

Schedule = Callable[[float], float]
"""Share of the steps after warm-up that are done, 0 to 1 → multiple of the peak learning rate."""

SCHEDULES: Registry[Schedule] = Registry("schedule", package="trainwright.training")

PLATEAU_FACTOR = 0.3
"""The learning rate is multiplied by this when validation stops moving, under schedule: plateau."""


@SCHEDULES.register("cosine")
def cosine(done: float) -> float:
    """Half a cosine from 1 to 0.01 (Loshchilov & Hutter 2017)."""
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


@SCHEDULES.register("constant")
def constant(done: float) -> float:
    """Stay at the peak."""
    return 1.0


@SCHEDULES.register("step")
def step(done: float) -> float:
    """A tenth after half of the steps, a hundredth after three quarters (He et al. 2016)."""
    return 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01


@SCHEDULES.register("plateau")
def plateau(done: float) -> float:
    """Stay at the peak; the loop lowers it when validation stops moving."""
    return 1.0


def rate(schedule: Schedule, step: int, *, total: int, warmup: int) -> float:
    """Return the multiple of the peak learning rate at a step.

    Args:
        schedule: from `SCHEDULES`.
        step: steps done before this one.
        total: steps of the run.
        warmup: steps over which the rate rises linearly from 0.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return schedule(min((step - warmup) / max(total - warmup, 1), 1.0))

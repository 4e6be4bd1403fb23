"""A job: a run between preparation and the folder it leaves, whatever it learns from.

What kinds of runs have in common is here; `table_job` and `language_job` hold what they have not.
"""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright.foundation.ranks import ALONE, Ranks
from trainwright.recipe.budget import Budget
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.choices import Choices
from trainwright.workshop.speed import WARM_UP, Network, compile_choice, compiled_network, graphs_choice

if TYPE_CHECKING:
    import torch

    from trainwright.training.loop import LoopSettings, Outcome, Trainer

Events = Callable[..., None]
Listener = Callable[[dict[str, Any]], None]


class Job(ABC):
    """A run that is ready for training.

    Attributes:
        recipe: with every setting resolved.
        network: what is trained.
        choices: what "auto" became, and why.
        parameters: numbers that the network holds.
        name: what its data is called.
        seconds: step → time it took.
        place: the run folder, once there is one.
        outcome: how training ended, once it has.
    """

    recipe: Recipe
    network: Network
    choices: Choices
    parameters: int
    name: str
    seconds: dict[str, float]
    place: Path | None
    outcome: Outcome | None

    @property
    def sharded(self) -> bool:
        """Whether each process holds a part of the network."""
        return self.recipe.training.sharding == "on"

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @abstractmethod
    def over(self, network: Any) -> Job:
        """Return the same job over another network: a copy, for the sake of its time."""

    @abstractmethod
    def trainer(
        self,
        checkpoints: Any = None,
        events: Events = lambda *_, **__: None,
        stop: Callable[[], bool] = lambda: False,
        ranks: Ranks = ALONE,
    ) -> Trainer:
        """Return what trains the network."""

    def loop_settings(self, *, ahead: int) -> LoopSettings:
        """Return what the loop is told.

        Args:
            ahead: batches that a thread makes ahead.
        """
        from trainwright.training.loop import LoopSettings

        settings, seconds = self.recipe.training, self.choices.seconds
        assert settings.learning_rate is not None and settings.early_stopping is not None
        return LoopSettings(
            steps=self.choices.steps,
            evaluate_every=self.choices.evaluate_every,
            seed=self.recipe.seed,
            optimizer=settings.optimizer,
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            schedule=settings.schedule,
            warmup=round(settings.warmup * self.choices.steps),
            clip=settings.clip,
            accumulation=settings.accumulation,
            l1=settings.l1,
            ema=settings.ema,
            patience=settings.early_stopping,
            # The plan holds the limit; the deadline is for a machine that became twice as slow, and for
            # sharded models, for which there is no such plan.
            deadline=None if seconds is None else (2 - self.sharded) * seconds,
            checkpoint_seconds=60 * settings.checkpoint_minutes,
            precision=settings.precision,
            ahead=ahead,
            graphs=settings.graphs == "on",
        )

    @abstractmethod
    def threads(self) -> AbstractContextManager[int]:
        """Let torch use as many threads as the network is worth."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return what `data.json` holds."""

    @abstractmethod
    def write_start(self, place: Path, *, in_memory: bool, base: Path | None) -> None:
        """Write what is known before training (see `start`)."""

    def facts(self) -> dict[str, Any]:
        """Return what else the "start" event says of the network."""
        return {}

    def listeners(self, place: Path) -> list[Listener]:
        """Return what hears the events of training."""
        return []

    @abstractmethod
    def whole(self, ranks: Ranks) -> None:
        """Make a network whole again whose parts the processes held."""

    @abstractmethod
    def judge(self, began: float) -> None:
        """Judge the trained network, and write model, report and, last, the evaluation.

        Args:
            began: `time.monotonic()` at the start of the run.
        """


def choose_engine(job: Job, ranks: Ranks) -> None:
    """Write into a job's recipe what is recorded and compiled, and how many steps a time budget holds."""
    with job.threads():
        spent = _choose_speed(job, ranks)
        choices, resolved = job.choices, job.recipe
        if choices.seconds is None:
            return
        steps = ranks.from_first(_steps_in_time(job, choices.seconds - spent))
    settings = resolved.training
    if steps < choices.steps or settings.budget is None or settings.budget.unit == "seconds":
        settings = settings.model_copy(update={"budget": Budget(steps, "steps")})
    job.choices = replace(choices, steps=steps, evaluate_every=min(choices.evaluate_every, steps))
    job.recipe = resolved.model_copy(update={"training": settings})


def _choose_speed(job: Job, ranks: Ranks) -> float:
    """Write into the job's recipe what is recorded and compiled; return the seconds that finding out took."""
    began = time.monotonic()
    settings = job.recipe.training
    found = {"graphs": graphs_choice(settings, job.network, job.device)}
    job.recipe = job.recipe.model_copy(
        update={"training": settings.model_copy(update={"graphs": found["graphs"][0]})}
    )
    choice = compile_choice(
        settings,
        job.network,
        job.device,
        steps=job.choices.steps,
        seconds=job.choices.seconds,
        make_trainer=lambda clone: job.over(clone).trainer(),
    )
    found["compile"] = ranks.from_first(choice)
    switches = {name: switch for name, (switch, _) in found.items()}
    job.recipe = job.recipe.model_copy(update={"training": settings.model_copy(update=switches)})
    said = {name: f"{switch} ({reason})" for name, (switch, reason) in found.items() if reason}
    job.choices = replace(job.choices, reasons={**job.choices.reasons, **said})
    return time.monotonic() - began


def _shared(network: Network) -> dict[int, Any]:
    """Return what a copy of a network need not copy: parameters that never learn, by their identity."""
    return {id(parameter): parameter for parameter in network.parameters() if not parameter.requires_grad}


def _steps_in_time(job: Job, seconds: float) -> int:
    from trainwright.workshop.pace import steps_within

    clone = copy.deepcopy(job.network, _shared(job.network))
    with compiled_network(clone, job.recipe):
        return steps_within(
            seconds,
            job.choices.steps,
            lambda: job.over(clone).trainer(),
            evaluate_every=job.choices.evaluate_every,
            warm_up=WARM_UP if job.recipe.training.compile == "on" else 1,
        )

"""The loop: it knows nothing of modality or task, only of a model, an objective and batches.

What it promises: the weights are a function of the settings and the seed alone; loss is sum / count over
the whole accumulation window; the best weights by validation are the ones that remain; a run that stops
anywhere goes on from its checkpoint to the same weights. A step whose numbers are not finite is skipped and
named; one that does not fit into memory is done in smaller micro-batches.
"""

from __future__ import annotations

import gc
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from trainwright.data.batch_plan import BatchPlan, windows
from trainwright.data.encoded import Array, Batch
from trainwright.foundation.allocator import kept_memory
from trainwright.foundation.devices import autocast
from trainwright.foundation.errors import UserError
from trainwright.foundation.ranks import ALONE, Ranks
from trainwright.training.checkpoint import (
    Checkpoints,
    gathered_states,
    random_states,
    set_random_states,
)
from trainwright.training.faults import FiniteGuard, halved, is_out_of_memory, running_statistics
from trainwright.training.feed import Feed
from trainwright.training.graphs import Graphs
from trainwright.training.optimizers import OPTIMIZERS, Optimizer, ParameterGroup, local
from trainwright.training.schedules import PLATEAU_FACTOR, SCHEDULES, rate
from trainwright.training.sharded_checkpoint import ShardedCheckpoints
from trainwright.training.sharding import is_sharded, like


class Loss(Protocol):
    """Sum and count of each target, [targets]."""

    @property
    def sum(self) -> Tensor:
        """Sum over rows."""
        ...

    @property
    def count(self) -> Tensor:
        """Weight of the rows."""
        ...


class Objective(Protocol):
    """What is minimised."""

    def count(self, batch: Batch) -> Tensor:
        """Return the weight of a batch, [targets]."""
        ...

    def __call__(self, model: nn.Module, batch: Batch) -> Loss:
        """Return the loss of a batch."""
        ...


class Batches(Protocol):
    """Training batches.

    Attributes:
        unit: what a rate counts: "rows" or "tokens".
    """

    @property
    def unit(self) -> str:
        """What a rate counts."""
        ...

    def plan(self, epoch: int) -> BatchPlan:
        """Return the plan of an epoch."""
        ...

    def batch(self, rows: Array) -> Batch:
        """Return the tensors of some rows."""
        ...

    def size(self, rows: Array) -> int:
        """Return how many of what a rate counts some rows have."""
        ...


@dataclass(frozen=True)
class Judgement:
    """What an evaluation on validation rows found.

    Attributes:
        score: what chooses the best weights; greater is better.
        loss: validation loss.
        metrics: metric → value.
        least: gain of the score that counts as progress: creeping forward need not be waited for.
    """

    score: float
    loss: float
    metrics: Mapping[str, float]
    least: float = 0.0


@dataclass(frozen=True)
class LoopSettings:
    """What the loop is told; every value is resolved, nothing is "auto".

    Attributes:
        steps: updates of the whole run.
        evaluate_every: updates between evaluations.
        patience: evaluations without progress before it stops; 0 never stops.
        deadline: seconds after which it stops in any case; None is no limit.
        checkpoint_seconds: seconds between checkpoints.
        ahead: batches that a thread makes ahead.
        graphs: whether micro-batches are recorded as CUDA graphs.
    """

    steps: int
    evaluate_every: int
    seed: int = 0
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    schedule: str = "cosine"
    warmup: int = 0
    clip: float = 1.0
    accumulation: int = 1
    l1: float = 0.0
    ema: float = 0.0
    patience: int = 0
    deadline: float | None = None
    checkpoint_seconds: float = 120.0
    precision: str = "float32"
    ahead: int = 0
    graphs: bool = False


@dataclass(frozen=True)
class Position:
    """Where a run is; with the tensors of a checkpoint it is everything that a resume needs."""

    step: int = 0
    epoch: int = 0
    window: int = 0
    best_step: int = 0
    best_score: float | None = None
    best_loss: float | None = None
    progress: float | None = None
    stale: int = 0
    drops: int = 0
    split: int = 1
    seconds: float = 0.0


@dataclass(frozen=True)
class StepDone:
    """One update: loss and gradient norm (scalars on the device), learning rate, parts of a micro-batch."""

    loss: Tensor
    norm: Tensor
    learning_rate: float
    split: int


@dataclass(frozen=True)
class Outcome:
    """How training ended.

    Attributes:
        reason: "finished", "early stopping", "interrupted" or "budget".
        step: updates done.
        best_step: updates behind the weights that remain.
        seconds: time spent, over all resumes.
        rows_per_second: throughput, evaluation left out; of a language model in tokens.
    """

    reason: str
    step: int
    best_step: int
    seconds: float
    rows_per_second: float


@dataclass
class Trainer:
    """One training.

    Attributes:
        model: changed in place; holds the best weights at the end.
        groups: parameters and their decay, from the model.
        objective: what is minimised.
        batches: training batches.
        evaluate: judges the model on validation rows.
        settings: see `LoopSettings`.
        events: where everything is recorded.
        checkpoints: where to save; None saves nothing.
        stop_requested: asked before every step; True ends training cleanly.
        on_progress: called before every epoch with the share of steps done (gradual unfreezing).
        ranks: the processes that train together; only the first has events and writes checkpoints.
    """

    model: nn.Module
    groups: Sequence[ParameterGroup]
    objective: Objective
    batches: Batches
    evaluate: Callable[[nn.Module], Judgement]
    settings: LoopSettings
    events: Callable[..., None]
    checkpoints: Checkpoints | None = None
    stop_requested: Callable[[], bool] = lambda: False
    on_progress: Callable[[float], None] | None = None
    ranks: Ranks = ALONE
    _best: dict[str, Tensor] = field(default_factory=dict)
    _ema: dict[str, Tensor] = field(default_factory=dict)

    def run(self) -> Outcome:
        """Train until the steps are done, validation stops moving, time is up or the user stops it.

        Raises:
            UserError: three steps running were not finite, a single row does not fit into memory, or the
                disk is full; the last good checkpoint is on the disk.
        """
        self._begin()
        position = self._resume()
        # What is there now stays to the end: the collector need not look at it again and again.
        gc.freeze()
        try:
            with kept_memory():
                return self._run(position)
        finally:
            gc.unfreeze()
            self._feed.close()
            if self.checkpoints is not None:
                self.checkpoints.wait()

    def _run(self, position: Position) -> Outcome:
        settings = self.settings
        began = time.monotonic() - position.seconds
        saved = time.monotonic()
        busy, rows_done = 0.0, 0
        reason = "finished"
        plan, planned = None, -1
        self.model.train()
        while position.step < settings.steps:
            stop, late = self.ranks.any_of(
                self.stop_requested(),
                settings.deadline is not None and time.monotonic() - began > settings.deadline,
            )
            if stop or late:
                reason = "interrupted" if stop else "budget"
                break
            if plan is None or planned != position.epoch:
                plan, planned = self._plan(position.epoch), position.epoch
                if self.on_progress is not None:
                    # Where the epoch began: a run that resumes in its midst has heard no more than that.
                    self.on_progress((position.step - position.window) / settings.steps)
            tick = time.monotonic()
            first = position.window * settings.accumulation
            window = [plan[i] for i in range(first, min(first + settings.accumulation, len(plan)))]
            done = self._step(window, position)
            last_of_epoch = first + settings.accumulation >= len(plan)
            position = replace(
                position,
                step=position.step + 1,
                epoch=position.epoch + last_of_epoch,
                window=0 if last_of_epoch else position.window + 1,
                split=done.split,
                seconds=time.monotonic() - began,
            )
            rows_done += sum(self.batches.size(rows) for rows in window)
            busy += time.monotonic() - tick
            if self._is_log_step(position.step):
                self._guard.settle()
                self.events(
                    "step",
                    step=position.step,
                    epoch=round(position.epoch + position.window * settings.accumulation / len(plan), 4),
                    loss=float(done.loss),
                    learning_rate=done.learning_rate,
                    gradient_norm=float(done.norm),
                    **{f"{self.batches.unit}_per_second": round(rows_done / max(busy, 1e-9), 1)},
                )
            if position.step % settings.evaluate_every == 0 or position.step == settings.steps:
                position = self._judge(position)
                if settings.patience and position.stale >= settings.patience:
                    reason = "early stopping"
                    break
            (due,) = self.ranks.any_of(time.monotonic() - saved > settings.checkpoint_seconds)
            if due:
                self._save(position)
                saved = time.monotonic()
        self._guard.settle()
        if reason in {"interrupted", "budget"}:
            if position.step:
                self._save(position)
            if position.step % settings.evaluate_every:
                position = self._judge(position)
        if self._best:
            self.model.load_state_dict(self._best)
        self.model.eval()
        outcome = Outcome(
            reason, position.step, position.best_step, time.monotonic() - began, rows_done / max(busy, 1e-9)
        )
        self.events("stop", **asdict(outcome))
        return outcome

    def time_steps(self) -> Iterator[float]:
        """Do the first steps for the sake of their time: yields the seconds of each. Spoils the model."""
        accumulation = self.settings.accumulation
        self.settings = replace(self.settings, accumulation=1)
        self._begin()
        self.model.train()
        plan = self._plan(0)
        try:
            for step in itertools.count():
                began = time.monotonic()
                place = Position(step=step, window=step % len(plan))
                float(self._step([plan[place.window]], place).loss)  # waits for the device
                yield (time.monotonic() - began) * accumulation
        finally:
            self._feed.close()

    def _begin(self) -> None:
        self.device = next(self.model.parameters()).device
        self.optimizer: Optimizer = OPTIMIZERS[self.settings.optimizer](
            self.groups, momentum=self.settings.momentum
        )
        self._schedule = SCHEDULES[self.settings.schedule]
        self._guard = FiniteGuard(self.model, self.events)
        self._sharded = is_sharded(self.model)
        self._feed = Feed(self.batches.batch, self.device, ahead=self.settings.ahead)
        self._plans: dict[int, BatchPlan] = {}
        recorded = self.settings.graphs and not self._sharded
        graphs = Graphs(self._backward, self.model, self.events) if recorded else None
        self._graphs, self._micro_batch = graphs, graphs or self._backward

    def _plan(self, epoch: int) -> BatchPlan:
        """Return the plan of an epoch; that of the next is made once, and early where batches are."""
        if epoch not in self._plans:
            self._plans = {known: plan for known, plan in self._plans.items() if known >= epoch - 1}
            self._plans[epoch] = self.batches.plan(epoch)
        return self._plans[epoch]

    def _following(self, position: Position, split: int) -> Iterator[list[Array]]:
        """Yield the rows of the batches of each step after this one."""
        left = self.settings.steps - position.step
        steps = windows(self._plan, position.epoch, position.window, self.settings.accumulation)
        for window in itertools.islice(steps, 1, max(left, 1)):
            yield self._shares(window, split)[0]

    def _shares(self, window: Sequence[Array], split: int) -> tuple[list[Array], list[bool]]:
        """Return this process's rows of each micro-batch, and for which of them it only keeps step.

        Where the model is sharded all processes compute it together: one without a row of its own takes one
        that another has, and counts it for nothing.
        """
        parts = halved(window, split)
        shares = [self.ranks.share(part) for part in parts]
        idle = [self._sharded and not len(share) for share in shares]
        return [part[:1] if none else own for part, own, none in zip(parts, shares, idle, strict=True)], idle

    def _step(self, window: Sequence[Array], position: Position) -> StepDone:
        """Do one update over a window of micro-batches."""
        settings = self.settings
        self._guard.before()
        total, rows, split = self._gradients(window, position)
        self.ranks.add_up(total)
        if not self._sharded:  # else the backward pass has added them up
            self.ranks.add_up_gradients([p for group in self.groups for p in group.params.values()])
        gradients = self.optimizer.gradients()
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if self._sharded:
            norm = self.ranks.add_up(norm.square()).sqrt()
        skip = self._guard.check(position.step + 1, rows, total, norm)
        if settings.clip:
            torch._foreach_mul_(gradients, (settings.clip / (norm + 1e-6)).clamp(max=1.0))
        learning_rate = settings.learning_rate * PLATEAU_FACTOR**position.drops
        learning_rate *= rate(self._schedule, position.step, total=settings.steps, warmup=settings.warmup)
        self.optimizer.step(learning_rate, skip=skip)
        self.optimizer.zero_grad()
        if settings.ema:
            self._average(position.step)
        return StepDone(total, norm, learning_rate, split)

    def _gradients(self, window: Sequence[Array], position: Position) -> tuple[Tensor, Sequence[Array], int]:
        """Add up the gradients of a window; return its loss, the rows of each micro-batch, and the split.

        Where memory runs out, micro-batches are halved and the window is done again: the loss is the same,
        because it is sum / count over the window, whatever its parts and whichever process does them.
        """
        settings = self.settings
        split, largest = position.split, max(map(len, window))
        while True:
            shares, idle = self._shares(window, split)
            batches = self._feed.take(shares, self._following(position, split))
            lack: Exception | None = None
            total = torch.zeros((), device=self.device)
            own = [
                self.objective.count(batch) * (not none) for batch, none in zip(batches, idle, strict=True)
            ]
            counts = self.ranks.add_up(torch.stack(own).sum(dim=0)).clamp(min=1e-12)
            try:
                for batch, none in zip(batches, idle, strict=True):
                    if len(batch.rows):
                        # Over infinitely many rows the loss, and all of its gradient, is 0.
                        total += self._micro_batch(batch, counts * math.inf if none else counts)
                if settings.l1 and self.ranks.is_first:
                    self._backward_penalty()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                lack = error.with_traceback(None)  # the frames hold what fills the memory
            if not any(self.ranks.any_of(lack is not None)):
                return total, [batch.rows for batch in batches], split
            if split >= largest:
                raise UserError(
                    "there is not enough memory for a single row",
                    where="training",
                    fix="choose a smaller model.size, or shorter texts, smaller pictures or recordings",
                ) from lack
            split = min(2 * split, largest)
            self.optimizer.zero_grad()
            if self._graphs is not None:
                self._graphs.forget()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            self.events("memory", step=position.step + 1, split=split, rows=-(-largest // split))

    def _backward(self, batch: Batch, counts: Tensor) -> Tensor:
        """Add the gradients of a batch, whose targets weigh `counts` in the whole window; return its loss."""
        with self.autocast():
            loss = self.objective(self.model, batch)
            value = (loss.sum / counts).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()

    def _backward_penalty(self) -> None:
        """Add the gradient of the L1 penalty."""
        matrices = [p for group in self.groups if group.weight_decay for p in group.params.values()]
        penalty = self.settings.l1 * torch.stack([p.abs().sum() for p in matrices]).sum()
        penalty.backward()  # type: ignore[no-untyped-call]

    def autocast(self) -> torch.autocast:
        """Compute in the precision of the run."""
        return autocast(self.device, self.settings.precision)

    def _average(self, step: int) -> None:
        """Move the averaged weights; early steps are averaged over fewer (as in TensorFlow's EMA)."""
        decay = min(self.settings.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            averaged = {name for name, _ in self.model.named_parameters()}
            for name, tensor in self.model.state_dict().items():
                if name in averaged and name in self._ema:
                    self._ema[name].lerp_(tensor, 1 - decay)
                else:  # statistics and constants (which may be infinite) are taken as they are
                    self._ema[name] = tensor.detach().clone()

    def _is_log_step(self, step: int) -> bool:
        every = max(1, min(self.settings.steps // 200, 50))
        return step % every == 0 or step in {1, self.settings.steps}

    def _judge(self, position: Position) -> Position:
        """Evaluate, keep the weights if they are the best yet, else count an evaluation without progress."""
        self.ranks.average(running_statistics(self.model))
        self.model.eval()
        live = None
        if self._ema:
            live = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
            self.model.load_state_dict(self._ema)
        with torch.no_grad(), self.autocast():
            found = self.evaluate(self.model)
        # Equal scores are told apart by the loss: accuracy on few rows takes few values.
        best = position.best_score is None or (found.score, -found.loss) > (
            position.best_score,
            -(position.best_loss if position.best_loss is not None else math.inf),
        )
        if best:
            self._best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
            position = replace(
                position, best_step=position.step, best_score=found.score, best_loss=found.loss
            )
        if best and (position.progress is None or found.score - position.progress >= found.least):
            position = replace(position, progress=found.score, stale=0)
        else:
            stale = position.stale + 1
            drops = position.drops
            if self.settings.schedule == "plateau" and stale % max(self.settings.patience // 3, 2) == 0:
                drops += 1
            position = replace(position, stale=stale, drops=drops)
        if live is not None:
            self.model.load_state_dict(live)
        self.model.train()
        self.events(
            "evaluation",
            step=position.step,
            epoch=position.epoch,
            loss=found.loss,
            metrics=dict(found.metrics),
            best=best,
        )
        return position

    def _save(self, position: Position) -> None:
        states = gathered_states(self.ranks)
        if self.checkpoints is None:
            return
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"optimizer/{name}": tensor for name, tensor in self._moments().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self._best.items()}
        tensors |= {f"ema/{name}": tensor for name, tensor in self._ema.items()}
        self.checkpoints.begin(position.step, tensors | states, {"position": asdict(position)})

    def _moments(self) -> dict[str, Tensor]:
        """Return the optimiser's state; of a sharded model as parts of the whole."""
        tensors = self.optimizer.tensors()
        if not self._sharded:
            return tensors
        params = {name: param for group in self.groups for name, param in group.params.items()}
        return {path: like(params[path.partition("/")[2]], tensor) for path, tensor in tensors.items()}

    def _template(self, names: set[str]) -> dict[str, Tensor]:
        """Return tensors for this process's parts of a checkpoint that has these names."""
        params = {name: param for group in self.groups for name, param in group.params.items()}
        state = self.model.state_dict()
        found: dict[str, Tensor] = {}
        for name in names:
            kind, _, rest = name.partition("/")
            if kind == "random":
                found[name] = random_states()[f"random/{rest.partition('.')[0]}"]
            elif kind == "optimizer":
                slot, _, parameter = rest.partition("/")
                scalar = slot == "steps"
                found[name] = torch.zeros(()) if scalar else torch.zeros_like(params[parameter].detach())
            else:
                found[name] = torch.empty_like(state[rest])
        return found

    def _resume(self) -> Position:
        """Go to where the newest checkpoint was; the start when there is none."""
        if isinstance(self.checkpoints, ShardedCheckpoints):
            found = self.checkpoints.load(self._template)
        else:
            found = self.ranks.from_first(None if self.checkpoints is None else self.checkpoints.newest())
        for name, why in (self.checkpoints.refused if self.checkpoints is not None else {}).items():
            self.events("refused", checkpoint=name, why=why)
        if found is None:
            return Position()
        tensors, state = found

        def part(prefix: str) -> dict[str, Tensor]:
            size = len(prefix)
            return {name[size:]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}

        self.model.load_state_dict(part("model/"))
        moments = {name: local(tensor).to(self.device) for name, tensor in part("optimizer/").items()}
        self.optimizer.load(moments)
        self._best = {name: tensor.to(self.device) for name, tensor in part("best/").items()}
        self._ema = {name: tensor.to(self.device) for name, tensor in part("ema/").items()}
        set_random_states(tensors, self.ranks, seed=self.settings.seed, step=state["position"]["step"])
        known: dict[str, Any] = state["position"]
        self.events("resume", step=known["step"])
        return Position(**known)

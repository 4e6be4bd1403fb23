"""The job of a table: rows of columns, texts, pictures and sounds, and targets to predict."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from trainwright.data.batch_plan import BatchPlan, plan_batches
from trainwright.data.encoded import TARGET, Array, Batch, EncodedRows
from trainwright.data.resident import resident
from trainwright.data.table import Quarantined
from trainwright.foundation.devices import choose_device
from trainwright.foundation.errors import UserError
from trainwright.foundation.paths import writing
from trainwright.foundation.ranks import ALONE, Ranks
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.choices import Choices, choose
from trainwright.workshop.job import Events, Job, Listener, choose_engine
from trainwright.workshop.prepare import Prepared, describe, quarantine_lines
from trainwright.workshop.shard import sharded_network, sharding_choice, unsharded_network
from trainwright.workshop.speed import ahead_of
from trainwright.workshop.start import write_start

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainwright.data.resident import ResidentRows
    from trainwright.models.multimodal import MultimodalModel
    from trainwright.tasks.base import Task
    from trainwright.training.loop import Judgement, Outcome, Trainer

_LEAST_SKILL = 1e-3
"""Gain of the skill that is worth waiting for: a thousandth of a constant prediction's loss."""


@dataclass
class TableJob(Job):
    """A run between preparation and training; `rows` are the prepared ones, perhaps on the device."""

    recipe: Recipe
    prepared: Prepared
    tasks: dict[str, Task]
    network: MultimodalModel
    choices: Choices
    rows: EncodedRows | ResidentRows
    parameters: int = 0
    place: Path | None = None
    outcome: Outcome | None = None

    @property
    def name(self) -> str:  # type: ignore[override]
        """What the table is called."""
        return self.prepared.table.name

    @property
    def seconds(self) -> dict[str, float]:  # type: ignore[override]
        """Step → time it took."""
        return self.prepared.seconds

    def model(self) -> Any:
        """Return the model as it is now."""
        from trainwright.workshop.model import Model

        return Model(self.recipe, self.prepared.encoding, self.tasks, self.network)

    def over(self, network: Any) -> TableJob:
        """Return the same job over another network."""
        return replace(self, network=network)

    def threads(self) -> AbstractContextManager[int]:
        """Let torch use as many threads as the network is worth."""
        from trainwright.workshop.threads import threads_for

        return threads_for(self.network, self.recipe.training.batch or 1)

    def describe(self) -> dict[str, Any]:
        """Return what `data.json` holds."""
        return describe(self.prepared)

    def write_start(self, place: Path, *, in_memory: bool, base: Path | None) -> None:
        """Write what is known before training."""
        write_start(
            place,
            self.recipe,
            table=self.prepared.table,
            document=self.describe(),
            quarantined=self.prepared.quarantined,
            indices=self.prepared.split.indices,
            in_memory=in_memory,
            base=base,
        )

    def listeners(self, place: Path) -> list[Listener]:
        """Return what puts the rows of a skipped step into the quarantine."""
        return [_quarantine_skipped(place, self.prepared)]

    def whole(self, ranks: Ranks) -> None:
        """Make a network whole again whose parts the processes held."""
        if self.sharded:
            self.network = unsharded_network(self.network, self.recipe, self.prepared, self.tasks, ranks)

    def judge(self, began: float) -> None:
        """Judge the trained network, and write model, report and, last, the evaluation."""
        from trainwright.workshop.judging import judge_run

        assert self.place is not None and self.outcome is not None
        seconds = self.choices.seconds
        judge_run(self.place, self.model(), self.prepared, self.outcome, budget_seconds=seconds, began=began)

    def trainer(
        self,
        checkpoints: Any = None,
        events: Events = lambda *_, **__: None,
        stop: Callable[[], bool] = lambda: False,
        ranks: Ranks = ALONE,
    ) -> Trainer:
        """Return what trains the network."""
        from trainwright.tasks.objective import Objective
        from trainwright.training.loop import Trainer
        from trainwright.workshop.assemble import parameter_groups

        recipe, prepared, settings = self.recipe, self.prepared, self.recipe.training
        index = prepared.split.indices["training"]
        lengths = prepared.rows.lengths()
        weights = _sampling_weights(prepared, index) if settings.sampling == "balanced" else None
        assert settings.batch is not None and settings.weight_decay is not None
        return Trainer(
            self.network,
            parameter_groups(self.network, settings.weight_decay),
            Objective(
                self.tasks, smoothing=settings.label_smoothing, mixup=settings.mixup, cutmix=settings.cutmix
            ),
            TrainingRows(
                self.rows,
                index,
                settings.batch,
                recipe.seed,
                None if lengths is None else lengths[index],
                settings.batch_tokens,
                weights,
            ),
            validation_judge(self, ranks),
            self.loop_settings(ahead=ahead_of(self.rows, self.device)),
            events,
            checkpoints,
            stop,
            self.network.unfreeze,
            ranks,
        )


@dataclass(frozen=True)
class TrainingRows:
    """The batches of the training split (see `training.loop.Batches`)."""

    rows: EncodedRows | ResidentRows
    index: Array
    batch_size: int
    seed: int
    lengths: Array | None
    tokens: int | None
    weights: Array | None

    def plan(self, epoch: int) -> BatchPlan:
        """Return the plan of an epoch."""
        return plan_batches(
            len(self.index),
            batch=self.batch_size,
            seed=self.seed,
            epoch=epoch,
            lengths=self.lengths,
            tokens=self.tokens,
            weights=self.weights,
        )

    unit: ClassVar[str] = "rows"

    def size(self, rows: Array) -> int:
        """Return how many rows they are."""
        return len(rows)

    def batch(self, rows: Array) -> Batch:
        """Return the tensors of some rows of the split."""
        return self.rows.batch(self.index[rows])


def table_job(prepared: Prepared, ranks: Ranks = ALONE) -> TableJob:
    """Return the job of some prepared rows."""
    from trainwright.workshop.assemble import assemble, kinds, make_tasks, narrow
    from trainwright.workshop.judging import headline_of

    recipe, training = prepared.recipe, prepared.split.indices["training"]
    tasks = make_tasks(recipe, prepared.encoding)
    for task in tasks.values():
        headline_of(recipe.evaluation, task)  # a metric that does not judge the target is found out now
    if recipe.training.sampling == "balanced":
        _sampling_weights(prepared, training)
    network = assemble(recipe, prepared.encoding, tasks)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    device = choose_device(recipe.training.device)
    sharding, why = ranks.from_first(sharding_choice(recipe.training, network, device, ranks))
    if sharding == "on":
        network = sharded_network(network, recipe.training, device)
    else:
        narrow(network, prepared.rows)
        network.to(device)
    choices = choose(
        recipe.training,
        kinds=kinds(network),
        num_rows=len(training),
        learning_rate=network.learning_rate,
        precision=_precision(network),
    )
    if why:
        choices = replace(choices, reasons={**choices.reasons, "sharding": f"{sharding} ({why})"})
    training_settings = choices.training.model_copy(update={"sharding": sharding})
    resolved = recipe.model_copy(update={"training": training_settings, "model": network.settings})
    rows = resident(prepared.rows, device)
    job = TableJob(resolved, prepared, tasks, network, choices, rows, parameters=parameters)
    if sharding == "on":  # no copy of the model has room: time is not measured before, the deadline holds
        off: dict[str, Literal["off"]] = {"compile": "off", "graphs": "off"}
        job.recipe = resolved.model_copy(update={"training": training_settings.model_copy(update=off)})
        in_vain = [field for field in off if getattr(recipe.training, field) == "on"]
        said = dict.fromkeys(in_vain, "off (this setting has no effect: the model is shared out)")
        job.choices = replace(choices, reasons={**choices.reasons, **said})
        return job
    choose_engine(job, ranks)
    return job


def _precision(network: MultimodalModel) -> tuple[Literal["float32", "bfloat16"], str]:
    """Return the arithmetic that suits the model on this machine, and why."""
    from trainwright.foundation.bfloat16 import WORTH_IT, cpu_gain

    device = next(network.parameters()).device
    if device.type == "cuda":
        return "bfloat16", "GPUs compute in it several times faster"
    if device.type == "cpu" and any(encoder.products for encoder in network.encoders):
        gain = cpu_gain()
        if gain >= WORTH_IT:
            return "bfloat16", f"this CPU multiplies matrices {gain:.1f} times faster in it"
    return "float32", ""


def _quarantine_skipped(place: Path, prepared: Prepared) -> Callable[[dict[str, Any]], None]:
    """Return a listener that names the rows of a batch whose step was skipped."""

    def listen(event: dict[str, Any]) -> None:
        if event["kind"] != "skipped":
            return
        reason = f"the {event['what']} of its batch was not finite in step {event['step']}: one of these rows"
        rows = [
            Quarantined(source=prepared.table.where(row), position=None, reason=reason, row=row)
            for row in event["rows"]
        ]
        file = place / "quarantine.jsonl"
        with writing(file), file.open("a", encoding="utf-8") as stream:
            stream.write(quarantine_lines(rows))

    return listen


def validation_judge(job: TableJob, ranks: Ranks = ALONE) -> Callable[[nn.Module], Judgement]:
    """Return what judges the model on the validation rows: the loss, and each target's headline metric.

    The metric that was asked for chooses the best weights; without one it is the tasks' skill. Several
    processes share the rows out and know all scores in the end, so that they choose alike.
    """
    import torch

    from trainwright.evaluation.score_sheet import ScoreSheet
    from trainwright.tasks.objective import Objective
    from trainwright.training.feed import Feed
    from trainwright.training.loop import Judgement
    from trainwright.workshop.judging import headline_of, sample_of

    prepared = job.prepared
    index = prepared.split.indices["validation"]
    lengths = prepared.rows.lengths()
    model = job.model()
    plan = plan_batches(
        len(index),
        batch=model.evaluation_batch,
        shuffle=False,
        lengths=None if lengths is None else lengths[index],
    )
    objective = Objective(job.tasks)
    targets = {name: np.asarray(prepared.rows.arrays[TARGET + name])[index] for name in job.tasks}
    headlines = {name: headline_of(job.recipe.evaluation, task) for name, task in job.tasks.items()}

    def judge(network: nn.Module) -> Judgement:
        views = job.network.views
        total, count = torch.zeros(2, len(job.tasks), device=model.device)
        empty = {name: _no_scores(task, job.network.members, views) for name, task in job.tasks.items()}
        shapes = {name: (len(index), *scores.shape[1:]) for name, scores in empty.items()}
        sheet = ScoreSheet(len(index), {name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
        shares = [ranks.share(plan[number]) for number in range(len(plan))]
        if job.sharded:  # all processes compute it together: one without a row repeats another's
            parts = [share if len(share) else plan[number][:1] for number, share in enumerate(shares)]
        else:
            parts = shares = [share for share in shares if len(share)]
        feed = Feed(job.rows.batch, model.device, ahead=ahead_of(job.rows, model.device))
        batches = feed.each([index[part] for part in parts])
        for mine, batch in zip(shares, batches, strict=True):
            outputs = network(batch.inputs)
            if not len(mine):
                continue
            loss = objective.of_outputs(outputs, batch)
            total += loss.sum
            count += loss.count
            for name, task in job.tasks.items():
                sheet.put(name, mine, task.view_scores(outputs[name], views))
        scores = sheet.arrays()
        ranks.add_up(total)
        ranks.add_up(count)
        for found in scores.values():
            ranks.add_up_array(found)  # every row is 0 in all processes but one
        metrics: dict[str, float] = {}
        score, asked = 0.0, job.recipe.evaluation.metric is not None
        for name, task in job.tasks.items():
            metric = headlines[name]
            if views > 1:
                task.fit_shares(scores[name], targets[name])
            # Nothing is calibrated yet, and what is not is linear in the views.
            averaged = np.einsum("rvs,v->rs", scores[name], task.shares_ or (1.0,)).astype(np.float32)
            value = metric(sample_of(task, targets[name], averaged))
            key = metric.name if len(job.tasks) == 1 else f"{name}: {metric.name}"
            metrics[key] = value
            score += metric.sign * value if asked else task.skill(averaged, targets[name])
        if math.isnan(score):  # one class alone in a small validation part: the loss still tells models apart
            score = 0.0
        least = 0.0 if asked else _LEAST_SKILL * len(job.tasks)
        return Judgement(score, float((total / count.clamp(min=1e-12)).sum()), metrics, least)

    return judge


def _no_scores(task: Task, members: int, views: int) -> torch.Tensor:
    """Return the scores of no rows, for their shape [0, views, scores]."""
    import torch

    return task.view_scores(torch.zeros(0, members, task.outputs), views)


def _sampling_weights(prepared: Prepared, index: Array) -> Array:
    """Return a chance for each training row so that the classes of a target come equally often.

    Of several targets the first with classes counts.
    """
    targets = (np.asarray(prepared.rows.arrays[TARGET + name])[index] for name in prepared.encoding.targets)
    target = next((target for target in targets if target.dtype.kind == "i"), None)
    if target is None:
        raise UserError(
            "training.sampling: balanced needs a target with classes",
            where=f"column '{next(iter(prepared.encoding.targets))}'",
            fix="set training.sampling to all",
        )
    known = target >= 0
    weights = np.zeros(len(target))
    weights[known] = 1.0 / np.bincount(target[known])[target[known]]
    weights[~known] = weights[known].mean()  # another target has a use for such a row
    return weights

"""`train`: data in; a judged model, a report and a run folder out."""

from __future__ import annotations

import copy
import datetime
import math
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trainwright.data.batch_plan import BatchPlan, plan_batches
from trainwright.data.encoded import TARGET, Array, Batch, EncodedRows
from trainwright.data.resident import resident
from trainwright.data.table import Quarantined
from trainwright.foundation.devices import choose_device
from trainwright.foundation.errors import UserError
from trainwright.foundation.locks import locked
from trainwright.foundation.paths import check_writable, make_folder, writing
from trainwright.foundation.random import stream_seed
from trainwright.foundation.ranks import ALONE, Ranks, is_restart, joined, launched
from trainwright.recipe.budget import Budget
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.ask import ask_recipe
from trainwright.workshop.choices import Choices, choose
from trainwright.workshop.interrupt import Interrupt
from trainwright.workshop.prepare import Prepared, prepare, quarantine_lines
from trainwright.workshop.progress import Console
from trainwright.workshop.run import Run
from trainwright.workshop.shard import sharded_network, sharding_choice, unsharded_network
from trainwright.workshop.speed import (
    WARM_UP,
    ahead_of,
    compile_choice,
    compiled_network,
    engine_of,
    graphs_choice,
)
from trainwright.workshop.start import write_start

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainwright.data.resident import ResidentRows
    from trainwright.models.multimodal import MultimodalModel
    from trainwright.tasks.base import Task
    from trainwright.training.loop import Judgement, Outcome, Trainer

RUNS = Path("runs")
"""Where run folders go by default."""
_LEAST_SKILL = 1e-3
"""Gain of the skill that is worth waiting for: a thousandth of a constant prediction's loss."""


def train(
    data: Any = None,
    *,
    target: str | Sequence[str] | None = None,
    recipe: Recipe | Mapping[str, Any] | str | Path | None = None,
    run: str | Path | None = None,
    budget: str | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | Sequence[str] = (),
    on: str | None = None,
    quiet: bool = True,
) -> Run:
    """Train a model and judge it.

    Args:
        data: a file, folder, glob, URL or frame; or the path of a recipe ending in .yaml.
        target: column to predict, or several that are learned together.
        recipe: a recipe, a mapping of its fields, or the path of one; `target` and the other arguments
            change it.
        run: run folder to make; by default one under `runs/`.
        budget: when to stop: "20m", "10 epochs" or "5_000 steps".
        seed: where every random draw comes from; 0 by default.
        settings: other fields by dotted name: {"model.size": "tiny"} or ["model.size=tiny"].
        on: a Ray cluster to train on: "ray://host:10001", "auto", or "local-cluster" to start one here.
        quiet: say nothing; False shows progress and verdict on standard error.

    Returns:
        The run: `.model` predicts, `.metrics` judges, `.report` is a file to open.

    Raises:
        UserError: one sentence that says what to mend.
    """
    asked, frame, base = ask_recipe(
        data, target=target, recipe=recipe, budget=budget, seed=seed, settings=settings, here=on is None
    )
    return run_recipe(asked, frame, base=base, folder=run, console=Console(quiet=quiet), on=on)


def run_recipe(
    recipe: Recipe,
    frame: Any = None,
    *,
    base: Path | None = None,
    folder: str | Path | None = None,
    console: Console | None = None,
    resumed: bool = False,
    stop: Callable[[], bool] = lambda: False,
    on: str | None = None,
) -> Run:
    """Carry out a recipe: prepare, train, judge, write.

    Args:
        recipe: what to do.
        frame: the rows, where the recipe's data is in memory.
        base: folder that relative paths of the recipe start from.
        folder: run folder; must be new or empty unless `resumed`.
        console: where progress is shown.
        resumed: go on in an existing run folder.
        stop: asked before every step, beside Ctrl-C; True ends training cleanly.
        on: a Ray cluster to do it on (see `train`).
    """
    if on is not None or (recipe.training.devices > 1 and launched().size == 1):
        place = Path(folder) if folder else _new_place(recipe)
        _check_place(place, resumed=resumed)
        if on is not None:
            from trainwright.workshop.cluster import on_cluster

            console = console or Console(quiet=True)
            return on_cluster(recipe, frame, base=base, place=place, console=console, resumed=resumed, on=on)
        from trainwright.workshop.launch import launch

        quiet = console is None or console.quiet
        return launch(recipe, frame, base=base, place=place, quiet=quiet, resumed=resumed)
    from trainwright.training.checkpoint import Checkpoints
    from trainwright.workshop.judging import judge_run

    if is_restart() and not resumed and folder is not None and (Path(folder) / "recipe.yaml").is_file():
        # A process died and torchrun has started all of them again: the run goes on.
        recipe, base, resumed = Run(folder).recipe, Path(folder), True
    console = console if console is not None and launched().is_first else Console(quiet=True)
    began = time.monotonic()
    with ExitStack() as held:
        ranks = held.enter_context(joined())
        with Interrupt() as interrupt:
            job = fit_recipe(
                recipe,
                frame,
                base=base,
                folder=folder,
                console=console,
                resumed=resumed,
                stop=lambda: interrupt.requested() or stop(),
                held=held,
                ranks=ranks,
            )
        assert job.place is not None and job.outcome is not None
        if ranks.is_first:
            with console.working("Judging"):
                judge_run(
                    job.place,
                    job.model(),
                    job.prepared,
                    job.outcome,
                    budget_seconds=job.choices.seconds,
                    began=began,
                )
        ranks.any_of(True)  # the others wait here until all is written
        finished = Run(job.place)
        if not ranks.is_first:
            return finished
        console.finished(finished)
        if finished.interrupted:
            console.say(f"Stopped early; `trainwright resume {job.place}` goes on from here.")
        else:
            Checkpoints(job.place / "checkpoints").clear()
        return finished


def _run_lock(place: Path) -> AbstractContextManager[None]:
    """Return the lock of a run folder; beside it, as nothing may stand in a folder that is refused yet."""
    return locked(
        place.with_name(f".{place.name}.lock"),
        busy=f"another process works in the run folder {place}",
        fix="wait for it, or name another folder with --run",
    )


def fit_recipe(
    recipe: Recipe,
    frame: Any = None,
    *,
    base: Path | None = None,
    folder: str | Path | None = None,
    console: Console | None = None,
    resumed: bool = False,
    stop: Callable[[], bool] = lambda: False,
    held: ExitStack,
    ranks: Ranks = ALONE,
) -> Job:
    """Carry out a recipe up to the trained model, without judging it.

    Args:
        recipe, frame, base, folder, console, resumed: as for `run_recipe`.
        stop: asked before every step; True ends training cleanly.
        held: gets the lock of the run folder, which judging needs, too.
        ranks: the processes that train together.
    """
    import torch

    from trainwright.evaluation.simple_models import import_simple_models

    console = console or Console(quiet=True)
    place = Path(folder) if folder else None
    if place is not None and ranks.is_first:
        _check_place(place, resumed=resumed)
        held.enter_context(_run_lock(place))
        _check_place(place, resumed=resumed)  # another process may just have filled it
    with console.working("Reading the data"):
        prepared = prepare(recipe, frame, base=base)
        torch.manual_seed(stream_seed(recipe.seed, "model"))
        job = _make_job(prepared, ranks)
    console.prepared(prepared)
    if place is None:
        place = ranks.from_first(_new_place(recipe, prepared.table.name))
        if ranks.is_first:
            held.enter_context(_run_lock(place))
    job.place = place
    if ranks.is_first:
        try:
            with writing(make_folder(place)):
                write_start(place, job.recipe, prepared, in_memory=frame is not None, base=base)
        except BaseException:
            if not resumed:  # a part of a start is nothing to go on from
                shutil.rmtree(place, ignore_errors=True)
            raise
    if recipe.evaluation.baselines:
        # scikit-learn takes a second to import, a fifth of a small run: it is ready when training ends.
        threading.Thread(target=import_simple_models, daemon=True).start()
    with console.training(job.choices.steps) as listener:
        job.outcome = _train(job, place, [listener], stop, ranks)
    prepared.seconds["train"] = job.outcome.seconds
    if job.sharded:
        job.network = unsharded_network(job.network, job.recipe, prepared, job.tasks, ranks)
    return job


def fit_frame(recipe: Recipe, frame: Any) -> Job:
    """Train on a frame and leave nothing on disk: no run folder, no checkpoint, no cache.

    Args:
        recipe: what to do.
        frame: the rows.
    """
    import torch

    from trainwright.workshop.threads import threads_for

    prepared = prepare(recipe, frame, cache=False)
    torch.manual_seed(stream_seed(recipe.seed, "model"))
    job = _make_job(prepared)
    torch.manual_seed(stream_seed(recipe.seed, "training"))
    with threads_for(job.network, job.recipe.training.batch or 1), compiled_network(job.network, job.recipe):
        job.outcome = _trainer(job, None, lambda *_, **__: None, lambda: False).run()
    return job


@dataclass
class Job:
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
    def sharded(self) -> bool:
        """Whether each process holds a part of the network."""
        return self.recipe.training.sharding == "on"

    def model(self) -> Any:
        """Return the model as it is now."""
        from trainwright.workshop.model import Model

        return Model(self.recipe, self.prepared.encoding, self.tasks, self.network)


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

    def batch(self, rows: Array) -> Batch:
        """Return the tensors of some rows of the split."""
        return self.rows.batch(self.index[rows])


def _make_job(prepared: Prepared, ranks: Ranks = ALONE) -> Job:
    from trainwright.workshop.assemble import assemble, kinds, make_tasks, narrow
    from trainwright.workshop.judging import headline_of
    from trainwright.workshop.threads import threads_for

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
    rows = resident(prepared.rows, _device(network))
    job = Job(resolved, prepared, tasks, network, choices, rows, parameters=parameters)
    if sharding == "on":  # no copy of the model has room: time is not measured before, the deadline holds
        off: dict[str, Literal["off"]] = {"compile": "off", "graphs": "off"}
        job.recipe = resolved.model_copy(update={"training": training_settings.model_copy(update=off)})
        in_vain = [field for field in off if getattr(recipe.training, field) == "on"]
        said = dict.fromkeys(in_vain, "off (this setting has no effect: the model is shared out)")
        job.choices = replace(choices, reasons={**choices.reasons, **said})
        return job
    with threads_for(network, choices.training.batch or 1):
        spent = _choose_speed(job, ranks)
    choices, resolved = job.choices, job.recipe
    if choices.seconds is not None:
        with threads_for(network, choices.training.batch or 1):
            steps = ranks.from_first(_steps_in_time(job, choices.seconds - spent))
        settings = resolved.training
        if steps < choices.steps or settings.budget is None or settings.budget.unit == "seconds":
            settings = settings.model_copy(update={"budget": Budget(steps, "steps")})
        job.choices = replace(choices, steps=steps, evaluate_every=min(choices.evaluate_every, steps))
        job.recipe = resolved.model_copy(update={"training": settings})
    return job


def _choose_speed(job: Job, ranks: Ranks) -> float:
    """Write into the job's recipe what is recorded and compiled; return the seconds that finding out took."""
    began = time.monotonic()
    settings, device = job.recipe.training, _device(job.network)
    found = {"graphs": graphs_choice(settings, job.network, device)}
    job.recipe = job.recipe.model_copy(
        update={"training": settings.model_copy(update={"graphs": found["graphs"][0]})}
    )
    choice = compile_choice(
        settings,
        job.network,
        device,
        steps=job.choices.steps,
        seconds=job.choices.seconds,
        make_trainer=lambda clone: _silent_trainer(job, clone),
    )
    found["compile"] = ranks.from_first(choice)
    switches = {name: switch for name, (switch, _) in found.items()}
    job.recipe = job.recipe.model_copy(update={"training": settings.model_copy(update=switches)})
    said = {name: f"{switch} ({reason})" for name, (switch, reason) in found.items() if reason}
    job.choices = replace(job.choices, reasons={**job.choices.reasons, **said})
    return time.monotonic() - began


def _silent_trainer(job: Job, network: MultimodalModel) -> Trainer:
    """Return a trainer over another network, for the sake of its time."""
    return _trainer(replace(job, network=network), None, lambda *_, **__: None, lambda: False)


def _steps_in_time(job: Job, seconds: float) -> int:
    from trainwright.workshop.pace import steps_within

    clone = copy.deepcopy(job.network)
    with compiled_network(clone, job.recipe):
        return steps_within(
            seconds,
            job.choices.steps,
            lambda: _silent_trainer(job, clone),
            evaluate_every=job.choices.evaluate_every,
            warm_up=WARM_UP if job.recipe.training.compile == "on" else 1,
        )


def _trainer(
    job: Job,
    checkpoints: Any,
    events: Callable[..., None],
    stop_requested: Callable[[], bool],
    ranks: Ranks = ALONE,
) -> Trainer:
    from trainwright.tasks.objective import Objective
    from trainwright.training.loop import LoopSettings, Trainer
    from trainwright.workshop.assemble import parameter_groups

    recipe, prepared, settings = job.recipe, job.prepared, job.recipe.training
    index = prepared.split.indices["training"]
    lengths = prepared.rows.lengths()
    weights = _sampling_weights(prepared, index) if settings.sampling == "balanced" else None
    assert settings.learning_rate is not None and settings.weight_decay is not None
    assert settings.batch is not None and settings.early_stopping is not None
    return Trainer(
        job.network,
        parameter_groups(job.network, settings.weight_decay),
        Objective(
            job.tasks, smoothing=settings.label_smoothing, mixup=settings.mixup, cutmix=settings.cutmix
        ),
        TrainingRows(
            job.rows,
            index,
            settings.batch,
            recipe.seed,
            None if lengths is None else lengths[index],
            settings.batch_tokens,
            weights,
        ),
        validation_judge(job, ranks),
        LoopSettings(
            steps=job.choices.steps,
            evaluate_every=job.choices.evaluate_every,
            seed=recipe.seed,
            optimizer=settings.optimizer,
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            schedule=settings.schedule,
            warmup=round(settings.warmup * job.choices.steps),
            clip=settings.clip,
            accumulation=settings.accumulation,
            l1=settings.l1,
            ema=settings.ema,
            patience=settings.early_stopping,
            # The plan holds the limit; the deadline is for a machine that became twice as slow, and for
            # sharded models, for which there is no such plan.
            deadline=None if job.choices.seconds is None else (2 - job.sharded) * job.choices.seconds,
            checkpoint_seconds=60 * settings.checkpoint_minutes,
            precision=settings.precision,
            ahead=ahead_of(job.rows, _device(job.network)),
            graphs=settings.graphs == "on",
        ),
        events,
        checkpoints,
        stop_requested,
        job.network.unfreeze,
        ranks,
    )


def _precision(network: MultimodalModel) -> tuple[Literal["float32", "bfloat16"], str]:
    """Return the arithmetic that suits the model on this machine, and why."""
    from trainwright.foundation.bfloat16 import WORTH_IT, cpu_gain

    device = _device(network)
    if device.type == "cuda":
        return "bfloat16", "GPUs compute in it several times faster"
    if device.type == "cpu" and any(encoder.products for encoder in network.encoders):
        gain = cpu_gain()
        if gain >= WORTH_IT:
            return "bfloat16", f"this CPU multiplies matrices {gain:.1f} times faster in it"
    return "float32", ""


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _train(
    job: Job,
    place: Path,
    listeners: list[Callable[[dict[str, Any]], None]],
    stop: Callable[[], bool],
    ranks: Ranks,
) -> Outcome:
    import torch

    from trainwright.training.checkpoint import Checkpoints
    from trainwright.training.events import EventLog
    from trainwright.workshop.threads import threads_for

    checkpoints = Checkpoints(place / "checkpoints") if ranks.is_first else None
    if job.sharded:
        from trainwright.training.sharded_checkpoint import ShardedCheckpoints

        checkpoints = ShardedCheckpoints(place / "checkpoints", ranks)
    if not ranks.is_first:
        torch.manual_seed(stream_seed(job.recipe.seed, "training", ranks.rank))
        with compiled_network(job.network, job.recipe):
            return _trainer(job, checkpoints, lambda *_, **__: None, stop, ranks).run()
    events = EventLog(place / "events.jsonl", [_quarantine_skipped(place, job.prepared), *listeners])
    torch.manual_seed(stream_seed(job.recipe.seed, "training"))
    try:
        with threads_for(job.network, job.recipe.training.batch or 1) as threads:
            engine = engine_of(job.recipe.training, job.network, threads)
            events("start", parameters=job.parameters, steps=job.choices.steps, **engine)
            for field, reason in job.choices.reasons.items():
                events("note", text=f"training.{field}: {reason}")
            with compiled_network(job.network, job.recipe, events):
                return _trainer(job, checkpoints, events, stop, ranks).run()
    finally:
        events.close()


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


def validation_judge(job: Job, ranks: Ranks = ALONE) -> Callable[[nn.Module], Judgement]:
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


def _check_place(place: Path | None, *, resumed: bool) -> None:
    """Refuse a run folder that holds something or cannot be written to, before any work is done."""
    if place is not None and place.is_file():
        raise UserError("this is a file, not a run folder", where=str(place), fix="name another with --run")
    if place is not None and not resumed and place.exists() and any(place.iterdir()):
        raise UserError(
            "the run folder is not empty",
            where=str(place),
            fix="name another with --run, or go on with `trainwright resume`",
        )
    check_writable(place or RUNS)


def _new_place(recipe: Recipe, name: str | None = None) -> Path:
    """Return a folder name that sorts by day and says what it is about: runs/2026-11-22-spam-7f3a."""
    if name is None:
        name = recipe.data.path if isinstance(recipe.data.path, str) else recipe.data.path[0]
    words = re.sub(r"[^\w]+", "-", Path(name).stem, flags=re.UNICODE).strip("-")[:40] or "run"
    day = datetime.datetime.now(tz=datetime.UTC).astimezone().date().isoformat()
    return RUNS / f"{day}-{words}-{secrets.token_hex(2)}"

"""`train`: data in; a judged model, a report and a run folder out."""

from __future__ import annotations

import datetime
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright.foundation.errors import UserError
from trainwright.foundation.locks import locked
from trainwright.foundation.paths import check_writable, make_folder, writing
from trainwright.foundation.random import stream_seed
from trainwright.foundation.ranks import ALONE, Ranks, is_restart, joined, launched
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.ask import ask_recipe
from trainwright.workshop.interrupt import Interrupt
from trainwright.workshop.places import placed
from trainwright.workshop.prepare import prepare
from trainwright.workshop.progress import Console
from trainwright.workshop.run import Run
from trainwright.workshop.speed import (
    compiled_network,
    engine_of,
)

if TYPE_CHECKING:
    from trainwright.training.loop import Outcome
    from trainwright.workshop.job import Job
    from trainwright.workshop.table_job import TableJob

RUNS = Path("runs")
"""Where run folders go by default."""


def train(
    data: Any = None,
    *,
    target: str | Sequence[str] | None = None,
    task: str | None = None,
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
        task: of a language model, instead of a target: "causal-lm", "masked-lm", "chat",
            "sequence-to-sequence" or "preference".
        recipe: a recipe, a mapping of its fields, or the path of one; `target` and the other arguments
            change it.
        run: run folder to make; by default one under `runs/`.
        budget: when to stop: "20m", "10 epochs", "5_000 steps" or "2e9 tokens".
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
        data,
        target=target,
        task=task,
        recipe=recipe,
        budget=budget,
        seed=seed,
        settings=settings,
        here=on is None,
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
                job.judge(began)
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

    from trainwright.evaluation.simple_models import import_simple_models

    console = console or Console(quiet=True)
    place = Path(folder) if folder else None
    if place is not None and ranks.is_first:
        _check_place(place, resumed=resumed)
        held.enter_context(_run_lock(place))
        _check_place(place, resumed=resumed)  # another process may just have filled it
    with console.working("Reading the data"):
        job = _job_of(recipe, frame, base, ranks)
    console.data(job.describe())
    if place is None:
        place = ranks.from_first(_new_place(recipe, job.name))
        if ranks.is_first:
            held.enter_context(_run_lock(place))
    job.place = place
    if ranks.is_first:
        try:
            with writing(make_folder(place)):
                job.write_start(place, in_memory=frame is not None, base=base)
        except BaseException:
            if not resumed:  # a part of a start is nothing to go on from
                shutil.rmtree(place, ignore_errors=True)
            raise
    if recipe.evaluation.baselines and recipe.task is None:
        # scikit-learn takes a second to import, a fifth of a small run: it is ready when training ends.
        threading.Thread(target=import_simple_models, daemon=True).start()
    with console.training(job.choices.steps) as listener:
        job.outcome = _train(job, place, [listener], stop, ranks)
    job.seconds["train"] = job.outcome.seconds
    job.whole(ranks)
    return job


def _job_of(recipe: Recipe, frame: Any, base: Path | None, ranks: Ranks) -> Job:
    """Prepare the data of a recipe and return its job."""
    import torch

    recipe = placed(recipe, base)
    if recipe.task is not None:
        from trainwright.workshop.language_job import language_job

        return language_job(recipe, frame, base, ranks)
    from trainwright.workshop.table_job import table_job

    prepared = prepare(recipe, frame, base=base)
    torch.manual_seed(stream_seed(recipe.seed, "model"))
    return table_job(prepared, ranks)


def fit_frame(recipe: Recipe, frame: Any) -> TableJob:
    """Train on a frame and leave nothing on disk: no run folder, no checkpoint, no cache.

    Args:
        recipe: what to do.
        frame: the rows.
    """
    import torch

    from trainwright.workshop.table_job import table_job

    prepared = prepare(recipe, frame, cache=False)
    torch.manual_seed(stream_seed(recipe.seed, "model"))
    job = table_job(prepared)
    torch.manual_seed(stream_seed(recipe.seed, "training"))
    with job.threads(), compiled_network(job.network, job.recipe):
        job.outcome = job.trainer().run()
    return job


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

    checkpoints = Checkpoints(place / "checkpoints") if ranks.is_first else None
    if job.sharded:
        from trainwright.training.sharded_checkpoint import ShardedCheckpoints

        checkpoints = ShardedCheckpoints(place / "checkpoints", ranks)
    if not ranks.is_first:
        torch.manual_seed(stream_seed(job.recipe.seed, "training", ranks.rank))
        with compiled_network(job.network, job.recipe):
            return job.trainer(checkpoints, stop=stop, ranks=ranks).run()
    events = EventLog(place / "events.jsonl", [*job.listeners(place), *listeners])
    torch.manual_seed(stream_seed(job.recipe.seed, "training"))
    try:
        with job.threads() as threads:
            engine = engine_of(job.recipe.training, job.network, threads)
            events("start", parameters=job.parameters, steps=job.choices.steps, **engine, **job.facts())
            for field, reason in job.choices.reasons.items():
                events("note", text=f"training.{field}: {reason}")
            with compiled_network(job.network, job.recipe, events):
                return job.trainer(checkpoints, events, stop, ranks).run()
    finally:
        events.close()


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

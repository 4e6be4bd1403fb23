"""A run on a Ray cluster: Ray Train starts and watches the processes, this one waits.

The processes do what those of `launch` do, and speak through the same files; these lie beside the run folder,
so that every machine of the cluster must see its place. Nothing else is sent through Ray.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainwright.foundation.devices import num_cpus
from trainwright.foundation.errors import TrainwrightError, UserError
from trainwright.foundation.locks import locked
from trainwright.foundation.paths import make_folder, writing
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.follow import Follower
from trainwright.workshop.in_cluster import HEAD, UNSEEN, fit
from trainwright.workshop.interrupt import Interrupt
from trainwright.workshop.launch import STOP, check_no_frame, raise_found, write_job
from trainwright.workshop.progress import Console
from trainwright.workshop.run import Run

LOCAL = "local-cluster"
"""What names a cluster that is started on this machine for the run."""

_LOOK_SECONDS = 0.5
_COUNT_SECONDS = 5.0
_CONNECT_SECONDS = 10.0
_OBJECT_STORE_BYTES = 100 * 2**20
"""What Ray is given for objects: nothing large goes through it."""


def on_cluster(
    recipe: Recipe,
    frame: Any,
    *,
    base: Path | None,
    place: Path,
    console: Console,
    resumed: bool,
    on: str,
) -> Run:
    """Train with `recipe.training.devices` processes of a Ray cluster and return the finished run.

    Args:
        recipe, frame, base, place, resumed: as for `launch`.
        console: shows the progress that the run folder tells of.
        on: address of the cluster ("ray://host:10001", "auto"), or `LOCAL`.

    Raises:
        UserError: Ray is not installed or the cluster cannot be reached, it is too small, its machines do not
            see the run folder, the rows are in memory, or what a process found to be wrong.
    """
    check_no_frame(frame, where=f"--on {on}", otherwise="train without it")
    place = place.absolute()
    folder = place.with_name(f".{place.name}.job")
    make_folder(place.parent)
    with (
        locked(
            place.with_name(f".{place.name}.cluster.lock"),
            busy="another process waits for this run",
            fix="wait for it, or name another folder with --run",
        ),
        _cluster(on, recipe.training.devices, console) as ray,
    ):
        use_gpu = _use_gpu(ray, recipe, on, console)
        if not use_gpu and recipe.training.device == "auto":
            settings = recipe.training.model_copy(update={"device": "cpu"})
            recipe = recipe.model_copy(update={"training": settings})
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
        with writing(folder):
            folder.mkdir(mode=0o700)  # an address of data may hold a password
        try:
            nonce = write_job(folder, recipe, base=base, place=place, quiet=True, resumed=resumed)
            # From within, where it goes on whatever becomes of the way to here.
            task = ray.remote(num_cpus=0, max_retries=0, resources=HEAD)(fit)
            training = task.remote(str(folder), nonce, recipe.training.devices, use_gpu)
            unseen = _wait(ray, training, folder, place, console, recipe.training.devices)
            raise_found(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if unseen:
            raise _not_shared(", ".join(unseen), place)
    run = Run(place)
    console.finished(run)
    if run.interrupted:
        console.say(f"Stopped early; `trainwright resume {place} --on {on}` goes on from here.")
    return run


@contextmanager
def _cluster(on: str, processes: int, console: Console) -> Iterator[Any]:
    """Connect to a cluster that has room for the processes, or start one."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told what is trained here
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "Ray is not installed", where=f"--on {on}", fix="pip install 'trainwright[ray]'"
        ) from error
    mine = not ray.is_initialized()
    with contextlib.redirect_stdout(_WithoutRay(sys.stdout)):
        try:
            if mine:
                _connect(ray, on, processes, console)
            there = int(ray.cluster_resources().get("CPU", 0))
            if there < processes:
                raise UserError(
                    f"the cluster has {there} cores, and {processes} processes need one each",
                    where=f"--on {on}",
                    fix="lower training.devices, or add machines",
                )
            yield ray
        finally:
            if mine:
                ray.shutdown()


class _WithoutRay:
    """A stream that drops what Ray's own threads print there: the death of a process, at length."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        ray_says = threading.current_thread().name.startswith("ray_")
        return len(text) if ray_says else int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _connect(ray: Any, on: str, processes: int, console: Console) -> None:
    if on != LOCAL:
        _check_address(on)
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.ERROR)  # before it says that it connects
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        with console.working("Starting a cluster" if on == LOCAL else "Connecting to the cluster"):
            if on == LOCAL:
                ray.init(
                    address="local",
                    num_cpus=max(num_cpus(), processes),
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    **quiet,
                )
            else:
                ray.init(address=on, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".") or "no reason given"
        raise UserError(
            f"the cluster cannot be reached ({reason})", where=f"--on {on}", fix="check its address"
        ) from error
    finally:
        logger.setLevel(level)


def _check_address(on: str) -> None:
    """Refuse an address at which nobody answers: Ray itself would wait for minutes."""
    if on == "auto":
        return
    host, _, port = on.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        if "://" in on:
            return
        raise UserError(
            "this is not the address of a cluster",
            where=f"--on {on}",
            fix=f"name one as ray://host:10001, or say auto or {LOCAL}",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            "the cluster cannot be reached: nobody answers", where=f"--on {on}", fix="check its address"
        ) from error


def _use_gpu(ray: Any, recipe: Recipe, on: str, console: Console) -> bool:
    """Return whether each process gets a GPU: when that was asked for, or there are enough."""
    processes, wanted = recipe.training.devices, recipe.training.device
    there = int(ray.cluster_resources().get("GPU", 0))
    if wanted.startswith("cuda") and there < processes:
        raise UserError(
            f"the cluster has {there} GPUs, and {processes} processes need one each",
            where=f"--on {on}",
            fix="lower training.devices, or set training.device to cpu",
        )
    if wanted == "auto" and 0 < there < processes:
        console.say(f"The cluster has {there} GPUs for {processes} processes: they train on CPUs.")
    return wanted.startswith("cuda") or (wanted == "auto" and there >= processes)


def _wait(ray: Any, training: Any, folder: Path, place: Path, console: Console, processes: int) -> list[str]:
    """Show progress until the training ends; Ctrl-C asks the processes to stop, a second one ends them.

    Returns:
        Names of machines that do not see the job.
    """
    try:
        with Interrupt() as interrupt, Follower(console, place, begun=interrupt.requested) as follower:
            missing = _Missing(ray, processes, console)
            try:
                while not ray.wait([training], timeout=_LOOK_SECONDS)[0]:
                    follower.look()
                    missing.look()
                    if interrupt.asked:
                        (folder / STOP).touch()
            except KeyboardInterrupt:
                ray.cancel(training, force=True, recursive=True)
                raise
            follower.look()
        return list(ray.get(training))
    except ray.exceptions.RayError as error:
        raise_found(folder)
        raise _told(error, place) from error
    except ConnectionError as error:
        raise UserError(
            "the cluster was lost", where=str(place), fix="`trainwright resume` goes on once it is back"
        ) from error


def _told(error: Exception, place: Path) -> TrainwrightError:
    text = str(error)
    if UNSEEN in text:
        return _not_shared("a machine that joined", place)
    if "No module named 'trainwright" in text:
        return UserError(
            "a machine of the cluster does not have Trainwright",
            fix="install the same version of it on all of them",
        )
    return TrainwrightError(f"the processes that trained failed: {text.strip().splitlines()[-1]}")


def _not_shared(machines: str, place: Path) -> UserError:
    return UserError(
        f"machines of the cluster do not see this folder ({machines})",
        where=str(place.parent),
        fix="put the run on a disk that all of them share, with --run",
    )


class _Missing:
    """Says that a cluster has become too small, for nothing goes on until it is whole again."""

    def __init__(self, ray: Any, processes: int, console: Console) -> None:
        self._ray, self._processes, self._console = ray, processes, console
        self._said, self._looked = processes, time.monotonic()

    def look(self) -> None:
        """Count the cores, every few seconds."""
        if time.monotonic() - self._looked < _COUNT_SECONDS:
            return
        there = min(int(self._ray.cluster_resources().get("CPU", 0)), self._processes)
        if there < self._said:
            self._console.say(
                f"The cluster has {there} cores left for {self._processes} processes; waiting for a machine."
            )
        self._said, self._looked = there, time.monotonic()

"""A run on a Ray cluster: Ray Train starts and watches the processes, this one waits.

The processes do what those of `launch` do, and speak through the same files; these lie beside the run folder,
so that every machine of the cluster must see its place. Nothing else is sent through Ray.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainwright.foundation.devices import num_cpus
from trainwright.foundation.errors import TrainwrightError, UserError
from trainwright.foundation.locks import locked
from trainwright.foundation.paths import make_folder
from trainwright.foundation.ranks import RESTARTED
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.launch import JOB, RESTARTS, STOP, check_no_frame, raise_found, write_job
from trainwright.workshop.progress import Console
from trainwright.workshop.run import Run

LOCAL = "local-cluster"
"""What names a cluster that is started on this machine for the run."""

_LONGEST_WAIT = 7_200
_CONNECT_SECONDS = 10.0
_LOOK_SECONDS = 0.5
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
    check_no_frame(frame)
    place = place.absolute()
    folder = place.with_name(f".{place.name}.job")
    make_folder(place.parent)
    with (
        locked(
            place.with_name(f".{place.name}.cluster.lock"),
            busy="another process waits for this run",
            fix="wait",
        ),
        _cluster(on, recipe.training.devices, console) as ray,
    ):
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
        folder.mkdir()
        try:
            write_job(folder, recipe, base=base, place=place, quiet=True, resumed=resumed)
            _wait(ray, _submit(ray, recipe, folder), folder, place, console)
            raise_found(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    run = Run(place)
    console.finished(run)
    return run


@contextmanager
def _cluster(on: str, processes: int, console: Console) -> Iterator[Any]:
    """Connect to a cluster that has room for the processes, or start one."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told what is trained here
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "Ray is not installed", where=f"--on {on}", fix="pip install 'trainwright[ray]'"
        ) from error
    mine = not ray.is_initialized()
    if mine:
        _check_address(on)
        quiet = {"logging_level": "ERROR", "log_to_driver": False}
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
            reason = (str(error).strip().splitlines() or ["no reason given"])[0].rstrip(".")
            raise UserError(
                f"the cluster cannot be reached ({reason})", where=f"--on {on}", fix="check its address"
            ) from error
    try:
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


def _check_address(on: str) -> None:
    """Refuse an address at which nobody answers: Ray itself would wait for minutes."""
    host, _, port = on.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            "the cluster cannot be reached: nobody answers", where=f"--on {on}", fix="check its address"
        ) from error


def _submit(ray: Any, recipe: Recipe, folder: Path) -> Any:
    """Start the training from within the cluster, which a client far away need not hold on to."""
    processes = recipe.training.devices
    gpus = int(ray.cluster_resources().get("GPU", 0))
    wanted = recipe.training.device
    use_gpu = wanted.startswith("cuda") or (wanted == "auto" and gpus >= processes)
    # No code is sent: the machines have Trainwright installed.
    task = ray.remote(num_cpus=0, max_retries=0)(_fit)
    return task.remote(str(folder), processes, use_gpu)


def _fit(folder: str, processes: int, use_gpu: bool) -> None:
    """Let Ray Train run the processes; after a death, of a process or a machine, all are started again."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    TorchTrainer(
        _work,
        train_loop_config={"folder": folder},
        torch_config=TorchConfig("cpu:gloo,cuda:nccl" if use_gpu else "gloo", timeout_s=_LONGEST_WAIT),
        scaling_config=ScalingConfig(
            num_workers=processes,
            use_gpu=use_gpu,
            resources_per_worker={"CPU": 1, "GPU": 1} if use_gpu else {"CPU": 1},
        ),
        run_config=RunConfig(
            name="ray",
            storage_path=folder,
            failure_config=FailureConfig(max_failures=RESTARTS),
        ),
    ).fit()


def _work(config: dict[str, str]) -> None:
    """Do one process's part."""
    import ray.train
    import torch.distributed as dist

    from trainwright.workshop.worker import work

    folder = Path(config["folder"])
    if not (folder / JOB).exists():
        raise FileNotFoundError(f"{_UNSEEN}{folder.parent}")
    context = ray.train.get_context()
    os.environ["RANK"] = str(context.get_world_rank())
    os.environ["WORLD_SIZE"] = str(context.get_world_size())
    os.environ["LOCAL_RANK"] = str(context.get_local_rank())
    # The first process decides for all whether there is a run to go on with: it may write one any moment.
    mark = folder / "begun"
    held = [mark.exists()]
    if dist.is_initialized() and context.get_world_size() > 1:
        dist.broadcast_object_list(held, src=0)
    if held[0]:
        os.environ[RESTARTED] = "1"
    mark.touch()
    work(folder)


_UNSEEN = "a machine of the cluster does not see "


def _wait(ray: Any, training: Any, folder: Path, place: Path, console: Console) -> None:
    """Show progress until the training ends; Ctrl-C asks the processes to stop, a second one ends them."""
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if in_main else None
    try:
        with _Progress(console, place / "events.jsonl") as progress:
            while True:
                try:
                    done, _ = ray.wait([training], timeout=_LOOK_SECONDS)
                    progress.look()
                    if done:
                        break
                except KeyboardInterrupt:
                    if (folder / STOP).exists():
                        ray.cancel(training, force=True, recursive=True)
                        raise
                    (folder / STOP).touch()
                    console.say(
                        "Stopping after this step; the model is kept. Press Ctrl-C again to stop now."
                    )
        raise_found(folder)
        try:
            ray.get(training)
        except ray.exceptions.RayError as error:
            text = str(error)
            if _UNSEEN in text:
                raise UserError(
                    f"{_UNSEEN}{place.parent}", fix="put the run on a disk that all of them share, with --run"
                ) from error
            raise TrainwrightError(
                f"the processes that trained failed: {text.strip().splitlines()[-1]}"
            ) from error
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)


class _Progress:
    """Shows what the events of a run tell, as far as they have come."""

    def __init__(self, console: Console, path: Path) -> None:
        self._console, self._path = console, path
        self._position = path.stat().st_size if path.exists() else 0
        self._open: Any = None
        self._listen: Any = None

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._open is not None:
            self._open.__exit__(*error)

    def look(self) -> None:
        """Show what is new."""
        for event in self._new():
            if event["kind"] == "start" and self._open is None:
                self._open = self._console.training(event["steps"])
                self._listen = self._open.__enter__()
            if self._listen is not None:
                self._listen(event)

    def _new(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        with self._path.open("rb") as stream:
            # A run that goes on cuts off a line that was not finished.
            self._position = stream.seek(min(self._position, self._path.stat().st_size))
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._position += len(line)
                yield json.loads(line)

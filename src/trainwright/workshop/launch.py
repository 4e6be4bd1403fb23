"""Several processes on this machine for one run: torchrun starts and watches them, this one waits."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from trainwright.foundation.devices import num_cpus
from trainwright.foundation.errors import RecipeError, TrainwrightError, UserError
from trainwright.foundation.paths import write_atomic, write_json
from trainwright.recipe.recipe import Recipe
from trainwright.recipe.writer import dump_recipe
from trainwright.workshop.run import Run

JOB, RECIPE, STOP, ERROR = "job.json", "recipe.yaml", "stop", "error.json"
"""Files through which this process and those that train speak: what to do, whether to stop, what is wrong."""

RESTARTS = 3
"""Times that all processes are started again after one of them died."""


def launch(recipe: Recipe, frame: Any, *, base: Path | None, place: Path, quiet: bool, resumed: bool) -> Run:
    """Train with `recipe.training.devices` processes and return the finished run.

    Args:
        recipe: what to do.
        frame: rows in memory, which is refused.
        base: folder that relative paths of the recipe start from; the working folder without.
        place: the run folder.
        quiet: say nothing.
        resumed: go on in an existing run folder.

    Raises:
        UserError: what one of the processes found to be wrong, or the rows are in memory.
    """
    check_no_frame(frame, where="training.devices", otherwise="leave training.devices at 1")
    count = recipe.training.devices
    with tempfile.TemporaryDirectory(prefix="trainwright-") as name:
        folder = Path(name)
        write_job(folder, recipe, base=base, place=place, quiet=quiet, resumed=resumed)
        torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        command = [*torchrun, f"--max-restarts={RESTARTS}", "-m", "trainwright.workshop.worker", name]
        environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, num_cpus() // count))}
        # A session of its own: Ctrl-C reaches this process alone, which then asks the others to stop.
        processes = subprocess.Popen(
            [sys.executable, "-m", *command], env=environment, start_new_session=True
        )
        status = _wait(processes, folder)
        raise_found(folder)
        if status:
            raise TrainwrightError(f"the processes that trained ended with status {status}")
    return Run(place)


def check_no_frame(frame: Any, *, where: str, otherwise: str) -> None:
    """Refuse rows in memory, which other processes do not see."""
    if frame is not None:
        raise RecipeError(
            "several processes read their rows from files, and these are in memory",
            where=where,
            fix=f"write them to a Parquet file first, or {otherwise}",
        )


def write_job(
    folder: Path, recipe: Recipe, *, base: Path | None, place: Path, quiet: bool, resumed: bool
) -> str:
    """Write what the processes have to do; the job last: where it is, all of it is.

    Returns:
        A word that no other job holds.
    """
    write_atomic(folder / RECIPE, dump_recipe(recipe, full=True))
    nonce = secrets.token_hex(8)
    job = {
        "nonce": nonce,
        "base": str((base or Path()).resolve()),
        "place": str(place.absolute()),
        "quiet": quiet,
        "resumed": resumed,
    }
    write_json(folder / JOB, job)
    return nonce


def raise_found(folder: Path) -> None:
    """Raise what one of the processes found to be wrong."""
    if (folder / ERROR).exists():
        raise UserError(**json.loads((folder / ERROR).read_text(encoding="utf-8")))


def _wait(processes: subprocess.Popen[bytes], folder: Path) -> int:
    """Wait for the processes; the first Ctrl-C (or SIGTERM) asks them to stop, the second ends them."""
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            return _watched(processes, folder)
        finally:
            signal.signal(signal.SIGTERM, before)
    return processes.wait()


def _watched(processes: subprocess.Popen[bytes], folder: Path) -> int:
    while True:
        try:
            return processes.wait()
        except KeyboardInterrupt:
            if (folder / STOP).exists():
                processes.terminate()
                processes.wait()
                raise
            (folder / STOP).touch()
            print(  # noqa: T201 (on standard error, as the progress is)
                "\nStopping after this step; the model is kept. Press Ctrl-C again to stop now.",
                file=sys.stderr,
            )

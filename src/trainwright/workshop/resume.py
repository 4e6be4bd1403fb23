"""`resume`: a run that was stopped or killed goes on from its last checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainwright.foundation.errors import UserError
from trainwright.workshop.ask import FRAME
from trainwright.workshop.progress import Console
from trainwright.workshop.run import Run
from trainwright.workshop.train import run_recipe


def resume(run: Run | str | Path, *, on: str | None = None, quiet: bool = True) -> Run:
    """Go on with a run; from its start when it was killed before the first checkpoint.

    Args:
        run: the run or its folder.
        on: a Ray cluster to go on with (see `train`).
        quiet: say nothing on standard error.

    Returns:
        The finished run: the same weights as if it had never stopped.

    Raises:
        UserError: it is no run folder, or the run is finished.
    """
    run = run if isinstance(run, Run) else Run(run)
    if run.finished and not run.interrupted:
        raise UserError(
            "this run is finished", where=str(run.path), fix="train again, or give a larger training.budget"
        )
    frame: Any = None
    base: Path | None = run.path
    if run.recipe.data.path == FRAME:
        import polars as pl

        # As in the process that gave the frame: paths in it start from the working folder.
        frame, base = pl.read_parquet(run.path / FRAME), None
    return run_recipe(
        run.recipe, frame, base=base, folder=run.path, console=Console(quiet=quiet), resumed=True, on=on
    )

"""One of several processes of a run: `launch` starts them through torchrun, `in_cluster` through Ray."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from trainwright.foundation.errors import UserError
from trainwright.foundation.paths import write_json
from trainwright.foundation.ranks import launched
from trainwright.recipe.reader import read_recipe
from trainwright.workshop.launch import ERROR, JOB, RECIPE, STOP
from trainwright.workshop.progress import Console
from trainwright.workshop.train import run_recipe

_PATIENCE = 3.0
"""Seconds in which the first process says what it found, before a lost connection counts as a death."""


def work(folder: Path) -> None:
    """Do this process's part of the job in a folder.

    What the user can mend is written there and is no failure: all of them would be started again. Where the
    first process is content and another one is not, as on a machine that does not see the data, that one does
    fail, for the others wait for it; started again, all find what it has written.
    """
    if (folder / ERROR).exists():
        return
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    try:
        run_recipe(
            read_recipe(folder / RECIPE).recipe,
            base=Path(job["base"]),
            folder=job["place"],
            console=Console(quiet=job["quiet"]),
            resumed=job["resumed"],
            stop=(folder / STOP).exists,
        )
    except UserError as error:
        first = launched().is_first
        if first or not _first_found_an_error(folder):
            write_json(folder / ERROR, {"what": error.what, "where": error.where, "fix": error.fix})
            if not first:
                raise
    except Exception:
        if not _first_found_an_error(folder):
            raise


def _first_found_an_error(folder: Path) -> bool:
    """Return whether the first process has found something that the user can mend: then the others only lost
    their connection to it.
    """
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        if (folder / ERROR).exists():
            return True
        time.sleep(0.05)
    return False


if __name__ == "__main__":
    work(Path(sys.argv[1]))

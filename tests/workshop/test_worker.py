"""One process of several: what one of them finds to be wrong is said once, and nobody waits for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from trainwright.recipe.reader import read_recipe
from trainwright.workshop.launch import ERROR, write_job

_SCRIPT = """
import sys
from pathlib import Path
from trainwright.foundation.errors import UserError
from trainwright.foundation.ranks import joined
from trainwright.workshop import worker


def run_recipe(*_, **__):
    with joined() as ranks:
        if ranks.rank == 1:
            raise UserError("there is no such file", where="/data")
        ranks.any_of(True)


worker.run_recipe = run_recipe
worker.work(Path(sys.argv[1]))
"""


def test_an_error_that_only_the_second_process_meets_is_said_and_ends_all(tmp_path: Path) -> None:
    recipe, script, job = tmp_path / "recipe.yaml", tmp_path / "script.py", tmp_path / "job"
    recipe.write_text("data: flats.csv\ntargets: {grade: category}\n")
    script.write_text(_SCRIPT)
    job.mkdir()
    asked = read_recipe(recipe).recipe
    write_job(job, asked, base=tmp_path, place=tmp_path / "run", quiet=True, resumed=False)
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    command = [sys.executable, "-m", *torchrun, str(script), str(job)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads((job / ERROR).read_text()) == {
        "what": "there is no such file",
        "where": "/data",
        "fix": None,
    }

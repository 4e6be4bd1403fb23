"""`report`: write a run's report again, from what its folder holds."""

from __future__ import annotations

from pathlib import Path

from trainwright.foundation.errors import UserError
from trainwright.workshop.run import Run


def report(run: Run | str | Path) -> Path:
    """Write `report.html` of a run again and return its path.

    Raises:
        UserError: it is no run folder, or the run has not been judged.
    """
    from trainwright.reporting.report import write_report

    run = run if isinstance(run, Run) else Run(run)
    if not run.finished:
        raise UserError(
            "this run has not been judged yet",
            where=str(run.path),
            fix=f"let it finish, or go on with `trainwright resume {run.path}`",
        )
    return write_report(run.path)

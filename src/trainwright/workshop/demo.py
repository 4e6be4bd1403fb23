"""`demo`: the whole way on real data that needs no network."""

from __future__ import annotations

from pathlib import Path

from trainwright.workshop.demos import DEMOS
from trainwright.workshop.run import Run
from trainwright.workshop.train import train


def demo(
    name: str = "digits", *, run: str | Path | None = None, seed: int | None = None, quiet: bool = True
) -> Run:
    """Train on data that is on every machine.

    Args:
        name: "digits" (pictures), "cancer" (a table) or "words" (a language model of Python's own source).
        run: run folder to make.
        seed: where every random draw comes from; 0 by default.
        quiet: say nothing on standard error.
    """
    return train(**DEMOS[name](), run=run, seed=seed, quiet=quiet)

"""What the comparisons share: rounds in which all take their turn, ratios with their spread, result lines."""

from __future__ import annotations

import datetime
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trainwright.foundation.devices import num_cpus, processor

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"

Measure = Callable[[int], dict[str, Any]]
"""A round's number → what was measured; the number is also the seed."""


def ours(module: str, *words: str) -> dict[str, Any]:
    """Run `python -m MODULE` here, in a process of its own; return the JSON of its last line of output."""
    done = subprocess.run(
        [sys.executable, "-m", module, *words], check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def compare(
    question: str,
    measures: Mapping[str, Measure],
    *,
    by: str,
    rounds: int,
    smaller: bool = False,
    out: Path | None = None,
) -> None:
    """Let everybody take turns, ours first; print the ratios of each round, and append the lines to a file.

    Args:
        question: what the comparison is called.
        measures: name → measure; the first is ours.
        by: the figure that is compared.
        rounds: turns of each.
        smaller: whether less of it is better.
        out: file of JSON lines.
    """
    first, *others = measures
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in measures}
    for number in range(rounds):
        for name, measure in measures.items():
            got = measure(number)
            found[name].append(got)
            line = {"question": question, "who": name, "round": number, **got, **machine()}
            print(json.dumps(line), file=sys.stderr)
            if out is not None:
                with out.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(line) + "\n")
    for name in others:
        pairs = zip(found[first], found[name], strict=True)
        ratios = [theirs[by] / mine[by] if smaller else mine[by] / theirs[by] for mine, theirs in pairs]
        values = [statistics.median(line[by] for line in found[who]) for who in (first, name)]
        print(
            f"{question}: {first} {values[0]:,.1f}, {name} {values[1]:,.1f} ({by}); "
            f"{statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f}, n = {rounds})"
        )


def machine() -> dict[str, Any]:
    """Return date, hardware and versions."""
    import torch

    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": f"{num_cpus()} x {processor()} ({torch.backends.cpu.get_cpu_capability()})",
        "torch": torch.__version__,
        "transformers": version("transformers"),
        **gpu,
    }

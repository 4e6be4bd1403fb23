"""Whether this machine's CPU multiplies matrices faster in bfloat16: measured once, kept for the next run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from trainwright.foundation.devices import num_cpus, processor
from trainwright.foundation.hashing import json_hash
from trainwright.foundation.paths import cache_folder, write_json

WORTH_IT = 1.4
"""Least gain in the multiplication. Casts and norms take some of it back; and the load of a machine, which
slows both alike, does not move a ratio this far: CPUs with the instructions gain 2 or more, others lose."""

_ROWS, _WIDTH, _OUT = 512, 384, 1536  # a layer of a small transformer
_REPEATS = 9


def cpu_gain() -> float:
    """Return how many times faster a layer is in bfloat16 than in float32 on this machine's CPU.

    Measured in a tenth of a second and kept in the cache, for this processor, number of cores and version of
    torch.
    """
    import torch

    machine = [processor(), num_cpus(), torch.__version__]
    path = cache_folder("machine") / f"bfloat16-{json_hash(machine)[:16]}.json"
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["gain"])
    except (OSError, ValueError, KeyError, TypeError):
        gain = _measured()
        write_json(path, {"machine": machine, "gain": gain})
        return gain


def _measured() -> float:
    import torch

    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        rows, weight = torch.randn(_ROWS, _WIDTH), torch.randn(_OUT, _WIDTH)
        half_rows, half_weight = rows.bfloat16(), weight.bfloat16()
        times: tuple[list[float], list[float]] = [], []
        for _ in range(_REPEATS):  # in turn, so that a busy moment slows both
            times[0].append(_seconds(lambda: torch.nn.functional.linear(rows, weight)))
            times[1].append(_seconds(lambda: torch.nn.functional.linear(half_rows, half_weight)))
    return round(min(times[0]) / min(times[1]), 2)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

"""What makes a run fast on its machine: where rows lie, what is compiled, what is recorded.

None of it changes what is learned. What needs a measurement is measured once, on a copy of the model, and
written into the resolved recipe: a repeated or resumed run takes it from there.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from trainwright.data.encoded import EncodedRows, Ragged
from trainwright.foundation.errors import RecipeError

if TYPE_CHECKING:
    import torch

    from trainwright.data.resident import ResidentRows
    from trainwright.models.language.base import LanguageModel
    from trainwright.models.multimodal import MultimodalModel
    from trainwright.recipe.recipe import Recipe, TrainingSettings
    from trainwright.training.loop import Trainer

Switch = Literal["on", "off"]
Network: TypeAlias = "MultimodalModel | LanguageModel"

LEAST_SECONDS = {"cuda": 60.0, "cpu": 1800.0}
"""Kind of device → planned time from which compiling is tried: it takes tens of seconds, and on a CPU it has
made nothing faster yet (docs/speed.md)."""
LEAST_STEPS = 1000
"""Steps from which it is worth the seconds to find out how long one takes."""
MARGIN = 2.0
"""Compiling pays when it saves this many times what it takes."""
WARM_UP = 6
"""Steps of a compiled model that are not timed: a program for the first shape, and one for all others."""
_TIMED = 12
_TIMED_SECONDS = 5.0


def ahead_of(rows: EncodedRows | ResidentRows, device: torch.device) -> int:
    """Return how many batches a thread shall make ahead.

    On a GPU: assembling and copying are not waited for; rows that lie there have neither. On a CPU: only
    where rows are read from the disk as they are needed, as a thread would take its time from the step.
    """
    from trainwright.training.feed import AHEAD

    if not isinstance(rows, EncodedRows):
        return 0
    on_disk = any(
        isinstance(array.values if isinstance(array, Ragged) else array, np.memmap)
        for array in rows.arrays.values()
    )
    return AHEAD if device.type == "cuda" or (device.type == "cpu" and on_disk) else 0


def graphs_choice(settings: TrainingSettings, network: Network, device: torch.device) -> tuple[Switch, str]:
    """Return whether micro-batches are recorded as CUDA graphs, and why where it is worth a word."""
    from trainwright.training.graphs import unfit

    if settings.graphs == "off":
        return "off", ""
    reason = unfit(
        device,
        lengths=network.ragged,
        mixes=bool(settings.mixup or settings.cutmix),
    )
    if reason is None:
        return "on", "" if settings.graphs == "on" else "every batch has the same shapes"
    return "off", f"this setting has no effect: {reason}" if settings.graphs == "on" else ""


def engine_of(settings: TrainingSettings, network: Network, threads: int) -> dict[str, Any]:
    """Return what was chosen for this machine, as the "start" event has it.

    Args:
        settings: resolved.
        network: the model, on its device.
        threads: of a CPU that compute a step.
    """
    import torch

    kernels = [p for p in network.parameters() if p.dim() == 4 and p.shape[1] > 1 and p.shape[2:].numel() > 1]
    last = any(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    return {
        "device": str(next(network.parameters()).device),
        "threads": threads,
        "precision": settings.precision,
        "memory_format": "channels_last" if last else "contiguous",
        "compile": settings.compile,
        "graphs": settings.graphs,
    }


def engine_said(event: Mapping[str, Any]) -> str:
    """Return in one line what a "start" event says of the machine."""
    device, threads = event["device"], event["threads"]
    words = [
        f"{threads} CPU thread{'s' if threads > 1 else ''}" if device == "cpu" else device,
        event["precision"],
        "" if event["memory_format"] == "contiguous" else event["memory_format"],
        "compiled" if event["compile"] == "on" else "not compiled",
        "CUDA graphs" if event["graphs"] == "on" else "",
    ]
    said = f"Trains on {', '.join(filter(None, words))}."
    if "flops_per_step" not in event:
        return said
    learned, total = event["learned_parameters"], event["parameters"]
    part = "" if learned == total else f", of which {learned:,} learn"
    return (
        f"{total:,} parameters{part}; {event['flops_per_step'] / 1e9:,.0f} GFLOP a step, "
        f"about {event['memory_bytes'] / 2**20:,.0f} MiB. {said}"
    )


@dataclass(frozen=True)
class Gain:
    """What compiling does, in seconds.

    Attributes:
        before, after: a step without and with it.
        cost: compilation itself.
    """

    before: float
    after: float
    cost: float

    def worth_it(self, planned: float) -> tuple[Switch, str]:
        """Return whether it pays for a run of so many seconds, and why."""
        saved = planned * (1 - self.after / self.before)
        on = saved > MARGIN * self.cost
        ratio = self.before / self.after
        return "on" if on else "off", (
            f"a step is {ratio:.2f} times as fast, which saves {saved:,.0f} of {planned:,.0f} seconds; "
            f"compiling takes {self.cost:,.0f}"
        )


def compile_choice(
    settings: TrainingSettings,
    network: Network,
    device: torch.device,
    *,
    steps: int,
    seconds: float | None,
    make_trainer: Callable[[Network], Trainer],
) -> tuple[Switch, str]:
    """Return whether blocks are compiled, and why where it is worth a word.

    Args:
        settings: the recipe's.
        network: the model, which is left as it is.
        device: where it is.
        steps: steps of the run.
        seconds: time limit.
        make_trainer: makes a trainer over a copy of the model.

    Raises:
        RecipeError: compiling was asked for and there is no compiler.
    """
    from trainwright.training.compilation import has_compiler, repeated_blocks

    if settings.compile == "off":
        return "off", ""
    if settings.compile == "on":
        if not repeated_blocks(network.blocks()):
            return "off", "this setting has no effect: the model repeats no blocks"
        if not has_compiler(device):
            raise RecipeError(
                "there is no C++ compiler here", where="training.compile", fix="install g++, or set it to off"
            )
        return "on", ""
    least = LEAST_SECONDS.get(device.type, float("inf"))
    short = steps < LEAST_STEPS or (seconds is not None and seconds < least)
    # On a CPU, packed texts have another program for every batch.
    packed = device.type == "cpu" and network.packs
    if short or packed or not repeated_blocks(network.blocks()):
        return "off", ""
    if not has_compiler(device):
        return "off", "there is no C++ compiler here"
    return _measured_choice(copy.deepcopy(network), make_trainer, least=least, steps=steps, seconds=seconds)


def _measured_choice(
    clone: Network,
    make_trainer: Callable[[Network], Trainer],
    *,
    least: float,
    steps: int,
    seconds: float | None,
) -> tuple[Switch, str]:
    import torch

    from trainwright.training.compilation import compiled

    state = torch.get_rng_state()
    refused: list[str] = []
    try:
        before, _ = _timed(make_trainer(clone), 2)
        planned = steps * before if seconds is None else min(steps * before, seconds)
        if planned < least:
            return "off", ""
        with compiled(clone.blocks(), refused.append):
            after, cost = _timed(make_trainer(clone), WARM_UP)
    except Exception as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return "off", "there was no memory to try it"
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return "off", f"it failed: {reason}"
    finally:
        torch.set_rng_state(state)
    choice, reason = Gain(before, after, cost).worth_it(planned)
    # Where it is on, training says itself what is not compiled.
    return choice, reason if choice == "on" else "; ".join([reason, *refused])


def _timed(trainer: Trainer, warm_up: int) -> tuple[float, float]:
    """Return the median seconds of a step, and what the first steps took beyond that."""
    times: list[float] = []
    began = time.monotonic()
    for taken in trainer.time_steps():
        times.append(taken)
        if len(times) == warm_up:
            began = time.monotonic()
        enough = len(times) >= warm_up + _TIMED or time.monotonic() - began > _TIMED_SECONDS
        if len(times) > warm_up and enough:
            break
    timed = sorted(times[warm_up:])
    typical = timed[len(timed) // 2]
    return typical, max(sum(times[:warm_up]) - warm_up * typical, 0.0)


@contextmanager
def compiled_network(
    network: Network, recipe: Recipe, events: Callable[..., Any] = lambda *_, **__: None
) -> Iterator[None]:
    """Compile the blocks of a model while it trains, where the recipe says so."""
    if recipe.training.compile != "on":
        yield
        return
    from trainwright.training.compilation import compiled

    with compiled(network.blocks(), lambda text: events("note", text=f"training.compile: {text}")):
        yield

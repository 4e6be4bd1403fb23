"""Faults that a step meets: numbers that are not finite, and memory that runs out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.data.encoded import Array
from trainwright.foundation.errors import UserError

MOST_IN_A_ROW = 3
"""Skipped steps running after which training stops: then it is not the batch."""

_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on a device or on the host."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


def fault_said(event: Mapping[str, Any]) -> str | None:
    """Return what happened in a sentence, for events of a fault that training went on from; else None."""
    if event["kind"] == "skipped":
        return (
            f"Step {event['step']} was skipped: its {event['what']} was not finite; "
            "the rows of its batch stand in quarantine.jsonl."
        )
    if event["kind"] == "memory":
        return (
            f"Memory ran out in step {event['step']}: from there on, at most {event['rows']} rows are "
            "computed at a time; a step still learns from as many as before."
        )
    if event["kind"] == "refused":
        return (
            f"The checkpoint {event['checkpoint']} is damaged and was passed over for the one before: "
            f"{event['why']}."
        )
    return None


def halved(rows: Sequence[Array], split: int) -> list[Array]:
    """Return micro-batches cut into `split` parts each, as even as can be; none is empty."""
    return [part for batch in rows for part in _cut(batch, min(split, len(batch)))]


def _cut(batch: Array, parts: int) -> list[Array]:
    ends = [len(batch) * place // parts for place in range(parts + 1)]
    return [batch[start:end] for start, end in pairwise(ends)]


def running_statistics(model: nn.Module) -> list[Tensor]:
    """Return the statistics that forward passes in training move: those of batch norm."""
    return [
        buffer
        for name, buffer in model.named_buffers()
        if name.rpartition(".")[2] in {"running_mean", "running_var"}
    ]


@dataclass
class FiniteGuard:
    """Keeps steps whose loss or gradient is not finite from doing harm, without asking the device each time.

    The optimiser is told on the device to skip the step, and running statistics (batch norm) are put back.
    The host learns of it when it looks, in `settle`: at every step on a CPU, where looking is free, else when
    a step is logged.

    Attributes:
        model: whose statistics are guarded.
        events: where a skipped batch is named.
    """

    model: nn.Module
    events: Callable[..., None]
    in_a_row: int = 0
    _pending: list[tuple[int, Sequence[Array], Tensor, Tensor]] = field(default_factory=list)
    _kept: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._statistics = running_statistics(self.model)

    def before(self) -> None:
        """Remember the running statistics that a forward pass will move."""
        if self._statistics and not self._kept:
            self._kept = [buffer.clone() for buffer in self._statistics]
        elif self._kept:
            torch._foreach_copy_(self._kept, self._statistics)

    def check(self, step: int, rows: Sequence[Array], loss: Tensor, norm: Tensor) -> Tensor:
        """Return 1 where the step must be skipped, else 0, as a scalar on the device.

        Args:
            step: number of the step, from 1.
            rows: the rows of its micro-batches.
            loss: scalar.
            norm: norm of the gradient, scalar.
        """
        bad = ~(torch.isfinite(loss) & torch.isfinite(norm))
        for buffer, kept in zip(self._statistics, self._kept, strict=False):
            torch.where(bad, kept, buffer, out=buffer)
        self._pending.append((step, rows, bad, torch.isfinite(loss)))
        if bad.device.type == "cpu":
            self.settle()
        return bad.float()

    def settle(self) -> None:
        """Look at the steps since the last look: name what was skipped.

        Raises:
            UserError: `MOST_IN_A_ROW` steps running were skipped.
        """
        pending, self._pending = self._pending, []
        for step, rows, bad, loss_is_finite in pending:
            if not bool(bad):
                self.in_a_row = 0
                continue
            self.in_a_row += 1
            what = "gradient" if bool(loss_is_finite) else "loss"
            named: list[Any] = [row for batch in rows for row in batch.tolist()]
            self.events("skipped", step=step, what=what, rows=named, in_a_row=self.in_a_row)
            if self.in_a_row >= MOST_IN_A_ROW:
                self.events(
                    "finding",
                    rule="non-finite-steps",
                    state="diagnosis",
                    step=step,
                    evidence=f"the {what} of {self.in_a_row} steps running was not finite",
                    cure="lower training.learning_rate",
                )
                raise UserError(
                    f"the {what} was not finite in {self.in_a_row} steps running, the last being step {step}",
                    where="training",
                    fix="lower training.learning_rate, or look for extreme values in the data",
                )

"""The feed: batches on the device, those to come made meanwhile by a thread.

On a GPU they are assembled in pinned memory and copied on a stream of their own, so that neither assembly nor
copy is waited for. Which batches there are and what they hold does not depend on it.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from itertools import islice
from threading import Thread
from typing import TypeAlias

import numpy as np
import torch

from trainwright.data.encoded import TOTAL, Array, Batch
from trainwright.foundation.errors import UserError
from trainwright.training.faults import is_out_of_memory

AHEAD = 2
"""Batches made ahead: one that is ready, and one in the making."""
PATIENCE_SECONDS = 300.0
"""After this a batch that was not made is not waited for any longer."""

Parts: TypeAlias = Sequence[Array]
Sent: TypeAlias = "tuple[Batch, torch.cuda.Event | None]"


@dataclass
class _Order:
    """The batches of a step, ordered from the thread."""

    parts: Parts
    made: Future[list[Sent]] = field(default_factory=Future)


class Feed:
    """Gives the batches of a step, and has those of the next steps made meanwhile.

    Args:
        make: rows → their batch; called by the thread, in the order of the steps.
        device: where batches go.
        ahead: batches made ahead; 0 makes each when it is asked for, without a thread.
        patience: seconds after which a batch is given up.
    """

    def __init__(
        self,
        make: Callable[[Array], Batch],
        device: torch.device,
        *,
        ahead: int = AHEAD,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.make, self.device, self.ahead, self.patience = make, device, ahead, patience
        self._orders: deque[_Order] = deque()
        self._work: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._thread: Thread | None = None
        self._stream: torch.cuda.Stream | None = None
        if ahead and device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def take(self, parts: Parts, following: Iterable[Parts] = ()) -> list[Batch]:
        """Return the batches of a step.

        Args:
            parts: rows of each of its batches.
            following: the same for the steps that are likely to follow. What was made ahead and is not asked
                for (because memory ran out, and batches are halved) is thrown away.

        Raises:
            UserError: the thread has not made it within `patience`.
            Exception: what went wrong when it was made.
        """
        order = self._orders.popleft() if self._orders and _same(self._orders[0].parts, parts) else None
        if order is None:
            self._drop(0)
        if self.ahead:
            # As many steps as there are batches to make ahead, but one at least.
            self._order(islice(following, max(1, self.ahead // max(len(parts), 1))))
        if order is None:
            return [self._arrived(self._sent(part)) for part in parts]
        return [self._arrived(batch) for batch in self._waited_for(order)]

    def each(self, rows: Sequence[Array]) -> Iterator[Batch]:
        """Yield one batch after another; the thread ends with the last."""
        try:
            for number, some in enumerate(rows):
                yield self.take([some], ([later] for later in rows[number + 1 : number + 1 + self.ahead]))[0]
        finally:
            self.close()

    def close(self) -> None:
        """Let the thread end."""
        self._drop(0)
        if self._thread is not None:
            self._work.put(None)
            self._thread = None

    def _order(self, following: Iterable[Parts]) -> None:
        place = 0
        for place, parts in enumerate(following, 1):
            if place <= len(self._orders) and _same(self._orders[place - 1].parts, parts):
                continue
            self._drop(place - 1)
            self._orders.append(_Order(parts))
            self._hand(self._orders[-1])
        self._drop(place)

    def _hand(self, order: _Order) -> None:
        if self._thread is None:
            # A daemon: a thread that hangs must not keep the process from ending.
            self._thread = Thread(target=self._run, args=(self._work,), name="batches", daemon=True)
            self._thread.start()
        self._work.put(order)

    def _drop(self, kept: int) -> None:
        while len(self._orders) > kept:
            self._orders.pop().made.cancel()

    def _run(self, work: queue.SimpleQueue[_Order | None]) -> None:
        while (order := work.get()) is not None:
            if not order.made.set_running_or_notify_cancel():
                continue
            try:
                order.made.set_result([self._sent(part) for part in order.parts])
            except Exception as error:  # raised again in the loop, which waits for this batch
                order.made.set_exception(error)
            except BaseException as error:  # what would end the thread must not end the loop in its stead
                order.made.set_exception(RuntimeError(f"the thread that makes batches ended: {error!r}"))

    def _waited_for(self, order: _Order) -> list[Sent]:
        try:
            return order.made.result(timeout=self.patience)
        except TimeoutError as error:
            if order.made.done():  # what made it has failed so
                raise
            raise UserError(
                f"a batch was not there within {self.patience:g} seconds",
                where="training",
                fix="look whether the disk or network drive with the data still answers, and resume the run",
            ) from error
        except (CancelledError, Exception) as error:
            if not is_out_of_memory(error):
                raise
        # There was no room for it beside a step under way; there is now.
        self._drop(0)
        return [self._sent(part) for part in order.parts]

    def _sent(self, rows: Array) -> Sent:
        """Return a batch on its way to the device, and the event at which it is there."""
        batch = self.make(rows)
        if self._stream is None or not _is_on_host(batch):
            return batch.to(self.device), None
        with torch.cuda.stream(self._stream):
            return _pinned(batch).to(self.device), self._stream.record_event()

    def _arrived(self, sent: Sent) -> Batch:
        """Let the work that is given to the device from now on wait for a batch."""
        batch, event = sent
        if event is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(event)
            for tensor in (*batch.inputs.values(), *batch.targets.values()):
                if (
                    tensor.is_cuda
                ):  # its memory is the other stream's: not to be given away before it was read
                    tensor.record_stream(current)
        return batch


def _same(mine: Parts, other: Parts) -> bool:
    return len(mine) == len(other) and all(map(np.array_equal, mine, other))


def _is_on_host(batch: Batch) -> bool:
    return not any(tensor.is_cuda for tensor in (*batch.inputs.values(), *batch.targets.values()))


def _pinned(batch: Batch) -> Batch:
    def pin(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {
            name: tensor if name.endswith(TOTAL) else tensor.pin_memory() for name, tensor in tensors.items()
        }

    return Batch(pin(batch.inputs), pin(batch.targets), batch.rows)

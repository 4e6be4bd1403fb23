"""CUDA graphs: forward and backward of a micro-batch recorded once, then sent to the GPU as one piece.

A small model keeps a GPU waiting for the host, which sends its hundreds of kernels one by one. A graph needs
fixed shapes and numbers that never pass through the host; `unfit` says where that is so. What cannot be
recorded, or gives other numbers than it did before, is named once, and the run goes on without.

Source: 'CUDA semantics', section 'CUDA Graphs', of torch's documentation (whole-network capture).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from trainwright.data.encoded import TOTAL, Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

_WARM_UP = 3
"""Passes before recording: libraries choose their kernels, and memory is found."""
_MOST = 4
"""Graphs kept: batches of an epoch have two sizes, one row apart; halved ones have two more."""
_SAME = 0.02
"""Relative difference up to which loss and gradient are those of the pass before: sums in bfloat16 vary."""

Work: TypeAlias = Callable[[Batch, Tensor], Tensor]
Record: TypeAlias = Callable[[Callable[[], Tensor]], "tuple[Callable[[], None], Tensor]"]


def unfit(device: torch.device, *, lengths: bool, mixes: bool) -> str | None:
    """Return why the micro-batches of a run cannot be recorded; None where they can.

    Args:
        device: where the model is.
        lengths: whether rows have lengths of their own (texts, recordings, sequences): shapes change then.
        mixes: whether pictures are mixed, for which the host draws.
    """
    if device.type != "cuda":
        return "CUDA graphs are for NVIDIA GPUs"
    if lengths:
        return "rows have many lengths, and a graph is for one"
    if mixes:
        return "mixup and cutmix draw on the host, and a graph would repeat one draw"
    return None


@dataclass
class _Graph:
    """A recorded micro-batch: where it reads, what runs it, and where it writes.

    Attributes:
        batch: read by the graph.
        counts: read by the graph, [targets].
        loss: written by the graph, scalar.
        gradients: parameter → its gradient, written by the graph.
    """

    batch: Batch
    counts: Tensor
    replay: Callable[[], None]
    loss: Tensor
    gradients: list[tuple[nn.Parameter, Tensor]]


class Graphs:
    """Does what `work` does, from a graph for each combination of shapes.

    Args:
        work: (batch, counts) → loss; adds gradients up.
        model: whose parameters and buffers it changes.
        events: where it is said that something cannot be recorded.
        recorder: device → what records work there: returns what runs it again, and where its loss will be.
    """

    def __init__(
        self,
        work: Work,
        model: nn.Module,
        events: Callable[..., None],
        *,
        recorder: Callable[[torch.device], Record] | None = None,
    ) -> None:
        self.work, self.model, self.events = work, model, events
        self.recorder = recorder or CudaRecorder
        self.off = False
        self._record: Record | None = None
        self._graphs: dict[Any, _Graph] = {}
        self._learning: tuple[bool, ...] = ()

    def __call__(self, batch: Batch, counts: Tensor) -> Tensor:
        """Add the gradients of a batch; return its loss."""
        if self.off:
            return self.work(batch, counts)
        learning = tuple(parameter.requires_grad for parameter in self.model.parameters())
        if learning != self._learning:  # layers of a pretrained model have joined
            self.forget()
            self._learning = learning
        key = _shapes(batch, counts)
        graph = self._graphs.get(key)
        if graph is None and len(self._graphs) < _MOST:
            graph = self._recorded(batch, counts)
            if graph is not None:
                self._graphs[key] = graph
        return self.work(batch, counts) if graph is None else self._replayed(graph, batch, counts)

    def forget(self) -> None:
        """Give the memory of all graphs back; they are recorded again when they are needed."""
        self._graphs.clear()
        self._record = None

    def _replayed(self, graph: _Graph, batch: Batch, counts: Tensor) -> Tensor:
        _copy(batch, counts, graph)
        # What an earlier micro-batch of the step has left may lie where the graph writes.
        before = {id(p): p.grad.clone() for p, _ in graph.gradients if p.grad is not None}
        graph.replay()
        for parameter, gradient in graph.gradients:
            earlier = before.get(id(parameter))
            parameter.grad = gradient if earlier is None else earlier.add_(gradient)
        return graph.loss

    def _recorded(self, batch: Batch, counts: Tensor) -> _Graph | None:
        """Record a micro-batch; weights, statistics, random numbers and gradients are as they were."""
        held = [(parameter, parameter.grad) for parameter in self.model.parameters()]
        own, own_counts = _cloned(batch), counts.clone()
        if self._record is None:
            self._record = self.recorder(counts.device)
        try:
            with _unmoved(self.model, counts.device) as put_back:
                expected = torch.zeros(2)
                with _aside(counts.device):
                    for _ in range(_WARM_UP):
                        put_back()
                        _clear(self.model)
                        loss = self.work(own, own_counts)
                        expected = _told(loss, self.model)
                _clear(self.model)
                put_back()
                replay, loss = self._record(lambda: self.work(own, own_counts))
                gradients = [(p, p.grad) for p in self.model.parameters() if p.grad is not None]
                put_back()
                replay()
                _check(_told(loss, self.model), expected)
        except Exception as error:
            self.off = True
            self.forget()
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            self.events("note", text=f"training.graphs: off (a micro-batch could not be recorded: {reason})")
            return None
        finally:
            for parameter, gradient in held:
                parameter.grad = gradient
        return _Graph(own, own_counts, replay, loss, gradients)


class CudaRecorder:
    """Records work in CUDA graphs that share their memory.

    They may, because they run one after another, and what they leave (loss and gradients) is held on to.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.pool = device, torch.cuda.graph_pool_handle()
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Return what runs the work again, and where its loss will be."""
        graph = torch.cuda.CUDAGraph()
        # Other threads go on making batches: their copies are no part of it and no error.
        capture = torch.cuda.graph(
            graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"
        )
        # The outer stream is put back even where recording fails.
        with torch.cuda.stream(torch.cuda.current_stream(self.device)), capture:
            loss = work()
        return graph.replay, loss


@contextmanager
def _aside(device: torch.device) -> Iterator[None]:
    """Work on another stream, as recording does; it is waited for on the device."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream(device).wait_stream(stream)


@contextmanager
def _unmoved(model: nn.Module, device: torch.device) -> Iterator[Callable[[], None]]:
    """Yield what puts buffers and random numbers back to where they were; it is also done at the end."""
    buffers = list(model.buffers())
    kept = [buffer.clone() for buffer in buffers]
    host = torch.get_rng_state()
    own = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def put_back() -> None:
        for buffer, before in zip(buffers, kept, strict=True):
            buffer.copy_(before)
        torch.set_rng_state(host)
        if own is not None:
            torch.cuda.set_rng_state(own, device)

    try:
        yield put_back
    finally:
        put_back()


def _told(loss: Tensor, model: nn.Module) -> Tensor:
    """Return loss and norm of the gradient on the host, [2]."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return torch.stack([loss.detach().float(), norm.float()]).cpu()


def _check(found: Tensor, expected: Tensor) -> None:
    if not torch.allclose(found, expected, rtol=_SAME, atol=1e-6, equal_nan=True):
        raise RuntimeError(f"it gives {found.tolist()} where {expected.tolist()} was expected")


def _clear(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.grad = None


def _tensors(batch: Batch) -> Iterable[tuple[str, Tensor]]:
    targets = ((f"target {name}", tensor) for name, tensor in batch.targets.items())
    return sorted((*batch.inputs.items(), *targets), key=lambda named: named[0])


def _shapes(batch: Batch, counts: Tensor) -> Any:
    return tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in _tensors(batch)), counts.shape


def _cloned(batch: Batch) -> Batch:
    def clones(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in tensors.items()}

    assert not any(name.endswith(TOTAL) for name in batch.inputs), "a graph would repeat one total"
    return Batch(clones(batch.inputs), clones(batch.targets), batch.rows)


def _copy(batch: Batch, counts: Tensor, graph: _Graph) -> None:
    for (_, source), (_, target) in zip(_tensors(batch), _tensors(graph.batch), strict=True):
        target.copy_(source)
    graph.counts.copy_(counts)

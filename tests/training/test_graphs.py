"""Recorded micro-batches, with a recorder that runs the work again: all but the recording itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import SETTINGS, run, weights
from test_faults import Normed, Poisoned, TooLarge
from torch import Tensor

from trainwright.training import graphs
from trainwright.training.graphs import Graphs, unfit
from trainwright.training.optimizers import OPTIMIZERS


def test_when_batches_can_be_recorded() -> None:
    cuda, cpu = torch.device("cuda:1"), torch.device("cpu")
    assert unfit(cuda, lengths=False, mixes=False) is None
    assert "NVIDIA" in (unfit(cpu, lengths=False, mixes=False) or "")
    assert "lengths" in (unfit(cuda, lengths=True, mixes=False) or "")
    assert "mixup" in (unfit(cuda, lengths=False, mixes=True) or "")


class Again:
    """Records as CUDA does: what is run again reads and writes where it did the first time."""

    made = 0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __call__(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        Again.made += 1
        closure: Any = work
        model = next(
            cell.cell_contents for cell in closure.__closure__ if isinstance(cell.cell_contents, Graphs)
        ).model
        loss = work()
        written = {parameter: parameter.grad for parameter in model.parameters()}

        def replay() -> None:
            held = [(parameter, parameter.grad) for parameter in model.parameters()]
            model.zero_grad()
            loss.copy_(work())
            for parameter, before in held:
                gradient, own = parameter.grad, written[parameter]
                if own is not None and gradient is not None:
                    own.copy_(gradient)
                parameter.grad = before

        return replay, loss


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> type[Again]:
    monkeypatch.setattr(graphs, "CudaRecorder", Again)
    Again.made = 0
    return Again


RECORDED = replace(SETTINGS, graphs=True)


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_a_run_is_the_same_with_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: type[Again], optimizer: str
) -> None:
    monkeypatch.setattr("small_training.Net", Normed)  # running statistics are moved by every pass
    settings = replace(SETTINGS, optimizer=optimizer, learning_rate=0.002, ema=0.9, l1=0.01)
    plain, _, _ = run(tmp_path / "plain", settings)
    recorded, outcome, events = run(tmp_path / "recorded", replace(settings, graphs=True))
    assert outcome.reason == "finished"
    assert again.made == 1 and not [event for event in events if event["kind"] == "note"]
    assert all(map(torch.equal, weights(plain), weights(recorded)))
    run(tmp_path / "parts", replace(settings, graphs=True), stop_at=23)
    resumed, _, _ = run(tmp_path / "parts", replace(settings, graphs=True))
    assert all(map(torch.equal, weights(plain), weights(resumed)))


@pytest.mark.parametrize(("batch", "accumulation", "made"), [(8, 2, 1), (13, 3, 2), (7, 12, 2)])
def test_micro_batches_add_up(
    tmp_path: Path, again: type[Again], batch: int, accumulation: int, made: int
) -> None:
    settings = replace(SETTINGS, accumulation=accumulation, steps=20)
    plain, _, _ = run(tmp_path / "plain", settings, batch=batch)
    recorded, _, _ = run(tmp_path / "recorded", replace(settings, graphs=True), batch=batch)
    assert again.made == made  # one for each size of a batch
    assert all(map(torch.equal, weights(plain), weights(recorded)))


def test_a_step_that_is_not_finite_is_skipped(tmp_path: Path, again: type[Again]) -> None:
    class PoisonedRows(Poisoned):
        """Some rows are poison, whatever the number of the call: passes before recording are calls, too."""

        def __init__(self) -> None:
            super().__init__(set())

        def __call__(self, model: Any, batch: Any) -> Any:
            found = super().__call__(model, batch)
            poison = torch.where(batch.inputs["x"][:, 0].max() > 2.2, torch.nan, 1.0)
            return type(found)(found.sum * poison, found.count)

    plain, _, events = run(tmp_path / "plain", objective=PoisonedRows())
    recorded, _, more = run(tmp_path / "recorded", RECORDED, objective=PoisonedRows())
    skipped = [[event["step"] for event in some if event["kind"] == "skipped"] for some in (events, more)]
    assert skipped[0] == skipped[1] and len(skipped[0]) > 3
    assert all(map(torch.equal, weights(plain), weights(recorded)))


def test_where_memory_runs_out_batches_are_halved_as_ever(tmp_path: Path, again: type[Again]) -> None:
    plain, _, _ = run(tmp_path / "plain", objective=TooLarge(5))
    recorded, _, events = run(tmp_path / "recorded", RECORDED, objective=TooLarge(5))
    notes = [event["text"] for event in events if event["kind"] == "note"]
    assert len(notes) == 1 and "off (a micro-batch could not be recorded" in notes[0]
    assert all(map(torch.equal, weights(plain), weights(recorded)))


@pytest.mark.parametrize("fault", ["fails", "lies"])
def test_what_cannot_be_recorded_is_named_once_and_left(
    tmp_path: Path, again: type[Again], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    record = Again.__call__

    def faulty(self: Again, work: Callable[[], Tensor]) -> Any:
        _, loss = record(self, work)
        if fault == "fails":
            raise RuntimeError("operation not permitted when stream is capturing\nlong story")
        return lambda: loss.mul_(1.5), loss

    monkeypatch.setattr(Again, "__call__", faulty)
    plain, _, _ = run(tmp_path / "plain")
    recorded, _, events = run(tmp_path / "recorded", RECORDED)
    notes = [event["text"] for event in events if event["kind"] == "note"]
    what = "operation not permitted when stream is capturing" if fault == "fails" else "it gives ["
    assert len(notes) == 1 and notes[0].startswith(
        f"training.graphs: off (a micro-batch could not be recorded: {what}"
    )
    assert all(map(torch.equal, weights(plain), weights(recorded)))


def test_layers_that_join_are_recorded_anew(tmp_path: Path, again: type[Again]) -> None:
    def frozen(settings: Any, folder: str) -> list[Tensor]:
        nets: list[Any] = []
        rate: list[float] = []

        class Freezing(Normed):
            def __init__(self) -> None:
                super().__init__()
                nets.append(self)

        def progress(done: float) -> None:
            rate.append(done)
            nets[-1].net[1].requires_grad_(done > 0.5)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("small_training.Net", Freezing)
            net, _, _ = run(tmp_path / folder, settings, on_progress=progress)
        return weights(net)

    assert all(map(torch.equal, frozen(SETTINGS, "plain"), frozen(RECORDED, "recorded")))
    assert again.made == 2

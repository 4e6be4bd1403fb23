"""Faults injected into the loop: numbers that are not finite, memory that runs out, checkpoints that fail."""

from __future__ import annotations

import errno
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import SETTINGS, Net, Squares, run, weights
from torch import nn

from trainwright.data.encoded import Batch
from trainwright.foundation.errors import UserError
from trainwright.tasks.base import Loss
from trainwright.training.checkpoint import Checkpoints
from trainwright.training.faults import is_out_of_memory
from trainwright.training.optimizers import OPTIMIZERS


class Poisoned(Squares):
    """A loss that is not a number in some steps; the statistics of a norm before it see what caused it."""

    def __init__(self, steps: set[int], *, gradient_only: bool = False) -> None:
        self.steps, self.calls, self.gradient_only = steps, 0, gradient_only

    def __call__(self, model: nn.Module, batch: Batch) -> Loss:
        self.calls += 1
        if self.calls not in self.steps:
            return super().__call__(model, batch)
        if self.gradient_only:  # the root of 0 has a finite value and no finite slope
            loss = super().__call__(model, batch)
            return Loss(loss.sum + (0 * loss.sum).sqrt(), loss.count)
        poisoned = Batch({"x": batch.inputs["x"] * math.nan}, batch.targets, batch.rows)
        return super().__call__(model, poisoned)


class Normed(Net):
    def __init__(self) -> None:
        super().__init__()
        self.net.insert(0, nn.BatchNorm1d(5))


@pytest.mark.parametrize("gradient_only", [False, True])
@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_a_step_that_is_not_finite_is_skipped_and_its_rows_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str, gradient_only: bool
) -> None:
    monkeypatch.setattr("small_training.Net", Normed)
    settings = replace(SETTINGS, optimizer=optimizer, learning_rate=0.002, ema=0.9)
    poisoned = Poisoned({7, 8, 20}, gradient_only=gradient_only)
    net, outcome, events = run(tmp_path / "r", settings, objective=poisoned)
    assert outcome.reason == "finished"
    assert all(tensor.isfinite().all() for tensor in weights(net))
    skipped = [event for event in events if event["kind"] == "skipped"]
    assert [(event["step"], event["in_a_row"]) for event in skipped] == [(7, 1), (8, 2), (20, 1)]
    assert {event["what"] for event in skipped} == {"gradient" if gradient_only else "loss"}
    assert all(len(event["rows"]) == 16 and max(event["rows"]) < 80 for event in skipped)


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_a_skipped_step_leaves_weights_and_statistics_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    monkeypatch.setattr("small_training.Net", Normed)
    settings = replace(SETTINGS, steps=7, evaluate_every=1, optimizer=optimizer)
    kept: list[Mapping[str, torch.Tensor]] = []

    def judge(model: nn.Module) -> Any:
        from trainwright.training.loop import Judgement

        kept.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return Judgement(0.0, 0.0, {})

    run(tmp_path / "r", settings, objective=Poisoned({6}), evaluate=judge)
    moved = [name for name in kept[5] if not torch.equal(kept[4][name], kept[5][name])]
    assert set(moved) <= {"net.0.num_batches_tracked"}
    assert any(not torch.equal(kept[5][name], kept[6][name]) for name in kept[6])


def test_three_in_a_row_stop_with_a_finding_and_leave_a_checkpoint(tmp_path: Path) -> None:
    settings = replace(SETTINGS, checkpoint_seconds=0.0)
    with pytest.raises(UserError, match=r"not finite in 3 steps running, the last being step 11; lower"):
        run(tmp_path / "r", settings, objective=Poisoned({9, 10, 11}))
    from trainwright.training.events import read_events

    events = list(read_events(tmp_path / "r" / "events.jsonl"))
    assert events[-1]["kind"] == "finding"
    assert events[-1]["rule"] == "non-finite-steps"
    found = Checkpoints(tmp_path / "r" / "checkpoints").newest()
    assert found is not None
    assert all(tensor.isfinite().all() for name, tensor in found[0].items() if name.startswith("model/"))


class TooLarge(Squares):
    """More rows at a time than memory is there for."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, model: nn.Module, batch: Batch) -> Loss:
        if len(batch.rows) > self.most:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: "
                "you tried to allocate 4096 bytes. Error code 12 (Cannot allocate memory)"
            )
        return super().__call__(model, batch)


def test_micro_batches_are_halved_until_they_fit_and_the_weights_are_the_same(tmp_path: Path) -> None:
    whole, _, _ = run(tmp_path / "whole", no_dropout=True)
    cut, outcome, events = run(tmp_path / "cut", no_dropout=True, objective=TooLarge(5))
    assert outcome.reason == "finished"
    memory = [(event["step"], event["split"], event["rows"]) for event in events if event["kind"] == "memory"]
    assert memory == [(1, 2, 8), (1, 4, 4)]  # found once, kept
    for a, b in zip(weights(whole), weights(cut), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_resumed_run_knows_how_much_fits(tmp_path: Path) -> None:
    whole, _, _ = run(tmp_path / "whole", objective=TooLarge(5))
    run(tmp_path / "parts", objective=TooLarge(5), stop_at=23)
    resumed, _, events = run(tmp_path / "parts", objective=TooLarge(5))
    assert len([event for event in events if event["kind"] == "memory"]) == 2
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))


def test_a_row_that_does_not_fit_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not enough memory for a single row; choose a smaller"):
        run(tmp_path / "r", objective=TooLarge(0))


def test_other_errors_are_no_lack_of_memory() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


# Checkpoints.


def test_a_full_disk_stops_cleanly_with_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import torch as safetensors

    save_file, saved = safetensors.save_file, 0

    def full(*arguments: Any) -> None:
        nonlocal saved
        saved += 1
        if saved > 4:
            raise OSError(errno.ENOSPC, "No space left on device", str(arguments[1]))
        save_file(*arguments)

    monkeypatch.setattr(safetensors, "save_file", full)
    settings = replace(SETTINGS, checkpoint_seconds=0.0)
    with pytest.raises(UserError, match="the disk is full; free some space"):
        run(tmp_path / "r", settings)
    assert [path.name for path in sorted((tmp_path / "r" / "checkpoints").iterdir())] == [
        "step-000000003",
        "step-000000004",
    ]
    monkeypatch.undo()
    whole, _, _ = run(tmp_path / "whole")
    resumed, _, _ = run(tmp_path / "r", settings)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))


@pytest.mark.parametrize("harm", ["cut", "changed", "no state", "state is no JSON", "no tensors"])
def test_a_harmed_checkpoint_is_refused_by_name_and_the_one_before_is_taken(
    tmp_path: Path, harm: str
) -> None:
    settings = replace(SETTINGS, checkpoint_seconds=0.0)
    run(tmp_path / "r", settings, stop_at=23)
    newest = tmp_path / "r" / "checkpoints" / "step-000000023"
    tensors, state = newest / "tensors.safetensors", newest / "state.json"
    if harm == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-100])
    elif harm == "changed":
        tensors.write_bytes(tensors.read_bytes()[:-4] + b"\0\0\0\1")
    elif harm == "state is no JSON":
        state.write_text('{"posi')
    else:
        (state if harm == "no state" else tensors).unlink()
    whole, _, _ = run(tmp_path / "whole")
    resumed, _, events = run(tmp_path / "r", settings)
    refused = [event["checkpoint"] for event in events if event["kind"] == "refused"]
    assert refused == ["step-000000023"]
    assert [event["step"] for event in events if event["kind"] == "resume"] == [22]
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))


def test_the_loop_waits_for_no_more_than_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    gate, save = threading.Event(), Checkpoints.save
    seen: list[float] = []

    def slow(self: Checkpoints, step: int, *more: Any) -> None:
        assert gate.wait(timeout=30)
        save(self, step, *more)

    monkeypatch.setattr(Checkpoints, "save", slow)
    checkpoints = Checkpoints(tmp_path)
    weight = torch.zeros(3)
    checkpoints.begin(1, {"w": weight}, {"position": {}})
    weight.fill_(7)  # training goes on while nothing has been written
    seen.append(float(weight[0]))
    assert not list(tmp_path.iterdir())
    gate.set()
    checkpoints.wait()
    found = checkpoints.newest()
    assert found is not None
    assert found[0]["w"].tolist() == [0, 0, 0]

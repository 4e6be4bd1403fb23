"""The loop: exact resume, window-wide loss, best weights, early stopping, clean stops."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_training import SETTINGS, Net, run, weights
from torch import nn

from trainwright.foundation.errors import UserError
from trainwright.training.checkpoint import Checkpoints
from trainwright.training.events import EventLog, read_events
from trainwright.training.loop import Judgement
from trainwright.training.optimizers import OPTIMIZERS


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_every_optimizer_learns_and_resumes_bit_identically(tmp_path: Path, optimizer: str) -> None:
    rate = {"sgd": 0.1, "rmsprop": 0.002}.get(optimizer, 0.02)
    settings = replace(SETTINGS, optimizer=optimizer, learning_rate=rate, ema=0.9)
    whole, outcome, events = run(tmp_path / "whole", settings)
    assert outcome.reason == "finished"
    losses = [event["loss"] for event in events if event["kind"] == "evaluation"]
    assert losses[-1] < 0.7 * losses[0]
    _, stopped, _ = run(tmp_path / "parts", settings, stop_at=23)
    assert (stopped.reason, stopped.step) == ("interrupted", 23)
    resumed, outcome, events = run(tmp_path / "parts", settings)
    assert outcome.step == 60
    assert any(event["kind"] == "resume" and event["step"] == 23 for event in events)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))


def test_equal_seeds_give_equal_weights(tmp_path: Path) -> None:
    first, _, _ = run(tmp_path / "a")
    second, _, _ = run(tmp_path / "b")
    assert all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))


@pytest.mark.parametrize("accumulation", [2, 4, 8])
def test_loss_does_not_depend_on_accumulation(tmp_path: Path, accumulation: int) -> None:
    settings = replace(SETTINGS, steps=20)
    one, _, _ = run(tmp_path / "one", settings, batch=16, no_dropout=True)
    many, _, _ = run(
        tmp_path / "many",
        replace(settings, accumulation=accumulation),
        batch=16 // accumulation,
        no_dropout=True,
    )
    for a, b in zip(weights(one), weights(many), strict=True):
        assert torch.allclose(a, b, atol=2e-5)


def test_the_best_weights_remain_and_training_stops_early(tmp_path: Path) -> None:
    scores = iter([1.0, 3.0, 2.0, 2.0, 2.0, 9.0])
    kept: list[list[torch.Tensor]] = []

    def scripted(model: nn.Module) -> Judgement:
        kept.append(weights(model))
        return Judgement(next(scores), 0.0, {})

    net, outcome, _ = run(tmp_path / "r", replace(SETTINGS, patience=3), evaluate=scripted)
    assert (outcome.reason, outcome.step, outcome.best_step) == ("early stopping", 50, 20)
    assert all(torch.equal(a, b) for a, b in zip(weights(net), kept[1], strict=True))


def test_equal_scores_are_told_apart_by_loss(tmp_path: Path) -> None:
    losses = iter([5.0, 4.0, 6.0, 3.0, 7.0, 8.0])
    _, outcome, _ = run(tmp_path / "r", evaluate=lambda model: Judgement(0.5, next(losses), {}))
    assert outcome.best_step == 40


def test_creeping_forward_is_kept_but_not_waited_for(tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=200, patience=3)
    seen: list[float] = []

    def creeping(model: nn.Module) -> Judgement:
        seen.append(len(seen) * 4e-4)
        return Judgement(seen[-1], 0.0, {}, least=1e-3)

    _, outcome, events = run(tmp_path / "r", settings, evaluate=creeping)
    assert (outcome.reason, outcome.step) == ("finished", 200)  # every third is a step forward
    assert all(event["best"] for event in events if event["kind"] == "evaluation")
    seen.clear()

    def slower(model: nn.Module) -> Judgement:
        seen.append(len(seen) * 2e-4)
        return Judgement(seen[-1], 0.0, {}, least=1e-3)

    _, outcome, events = run(tmp_path / "s", settings, evaluate=slower)
    assert (outcome.reason, outcome.step, outcome.best_step) == ("early stopping", 40, 40)


def test_plateau_lowers_the_rate(tmp_path: Path) -> None:
    settings = replace(SETTINGS, schedule="plateau", warmup=0)
    _, _, events = run(tmp_path / "r", settings, evaluate=lambda model: Judgement(0.0, 1.0, {}))
    rates = [event["learning_rate"] for event in events if event["kind"] == "step"]
    assert rates[0] == pytest.approx(0.02)
    assert rates[-1] == pytest.approx(0.02 * 0.3**2)


def test_an_infinite_loss_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the (loss|gradient) was not finite in 3 steps running"):
        run(tmp_path / "r", replace(SETTINGS, learning_rate=1e30, optimizer="sgd", clip=0.0))


def test_deadline_ends_training_with_the_model(tmp_path: Path) -> None:
    _, outcome, events = run(tmp_path / "r", replace(SETTINGS, deadline=0.0))
    assert (outcome.reason, outcome.step) == ("budget", 0)
    assert events[-1]["kind"] == "stop"


def test_l1_and_clipping_hold_weights_back(tmp_path: Path) -> None:
    plain, _, _ = run(tmp_path / "a")
    pulled, _, _ = run(tmp_path / "b", replace(SETTINGS, l1=0.5))
    clipped, _, _ = run(tmp_path / "c", replace(SETTINGS, clip=1e-6, optimizer="sgd"))
    size = [sum(float(w.abs().sum()) for w in weights(net)) for net in (plain, pulled)]
    assert size[1] < 0.8 * size[0]
    torch.manual_seed(0)
    for before, after in zip(weights(Net()), weights(clipped), strict=True):
        assert torch.allclose(before, after, atol=1e-2)


def test_a_torn_checkpoint_is_passed_over(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        checkpoints.save(step, {"a": torch.full((3,), float(step))}, {"position": {"step": step}})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000002", "step-000000003"]
    newest = tmp_path / "step-000000003" / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:-4] + b"\0\0\0\1")
    found = checkpoints.newest()
    assert found is not None
    assert found[1]["position"] == {"step": 2}


def test_a_resumed_epoch_hears_of_the_same_progress(tmp_path: Path) -> None:
    whole: list[float] = []
    run(tmp_path / "whole", on_progress=whole.append)
    assert whole == [step / 60 for step in range(0, 60, 5)]  # five steps are an epoch
    parts: list[float] = []
    run(tmp_path / "parts", stop_at=23, on_progress=parts.append)
    run(tmp_path / "parts", on_progress=parts.append)
    assert parts == [*whole[:5], *whole[4:]]


def test_what_is_appended_to_a_cut_line_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for before in (b"", b'{"kind": "a"}\n', b'{"kind": "a"}\n{"kind": "b', b'{"ki', b"x" * 200_000):
        path.write_bytes(before)
        log = EventLog(path)
        log("c")
        log.close()
        whole = [event["kind"] for event in read_events(path)]
        assert whole == (["a", "c"] if b"\n" in before else ["c"])


def test_events_are_valid_json_and_a_cut_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log("step", loss=math.nan, text="数据")
    log.close()
    path.write_text(path.read_text(encoding="utf-8") + '{"kind": "st', encoding="utf-8")
    assert [(event["kind"], event["loss"]) for event in read_events(path)] == [("step", None)]
    json.loads(path.read_text(encoding="utf-8").splitlines()[0])

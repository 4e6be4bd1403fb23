"""Batches made ahead: the same ones, in the same order; a thread that fails or hangs is heard of."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_training import ROWS, SETTINGS, Net, Rows, run, weights
from test_faults import TooLarge

from trainwright.data.batch_plan import plan_batches, windows
from trainwright.data.encoded import Batch
from trainwright.foundation.errors import UserError
from trainwright.training.feed import Feed

CPU = torch.device("cpu")
STEPS = [[np.arange(step, step + 3)] for step in range(20)]


def made_in() -> tuple[list[str], Callable[[Any], Batch]]:
    """Return a function that makes batches, and the list of the threads that it ran in."""
    threads: list[str] = []

    def make(rows: Any) -> Batch:
        threads.append(threading.current_thread().name)
        return ROWS.batch(rows)

    return threads, make


@pytest.fixture
def feed() -> Iterator[Callable[..., Feed]]:
    feeds: list[Feed] = []

    def build(make: Callable[[Any], Batch], **more: Any) -> Feed:
        feeds.append(Feed(make, CPU, **more))
        return feeds[-1]

    yield build
    for one in feeds:
        one.close()


@pytest.mark.parametrize("ahead", [0, 1, 2, 5])
def test_batches_come_in_order(feed: Callable[..., Feed], ahead: int) -> None:
    threads, make = made_in()
    ours = feed(make, ahead=ahead)
    for step, parts in enumerate(STEPS):
        (batch,) = ours.take(parts, iter(STEPS[step + 1 :]))
        assert np.array_equal(batch.rows, parts[0])
        assert torch.equal(batch.inputs["x"], ROWS.batch(parts[0]).inputs["x"])
    assert len(threads) == len(STEPS)
    assert threads.count("batches") == (len(STEPS) - 1 if ahead else 0)


@pytest.mark.parametrize(("batches", "made"), [(1, 3), (3, 6)])
def test_no_more_is_made_ahead_than_was_asked_for(feed: Callable[..., Feed], batches: int, made: int) -> None:
    threads, make = made_in()
    ours = feed(make, ahead=2)
    steps = [[rows[0] + more for more in range(batches)] for rows in STEPS]
    ours.take(steps[0], iter(steps[1:]))  # a step of more batches than two is made ahead alone
    for _ in range(100):
        if len(threads) >= made:
            break
        time.sleep(0.1)
    time.sleep(0.1)
    assert len(threads) == made


def test_what_is_not_asked_for_any_more_is_thrown_away(feed: Callable[..., Feed]) -> None:
    ours = feed(ROWS.batch, ahead=2)
    ours.take(STEPS[0], iter(STEPS[1:]))
    halves = [STEPS[1][0][:1], STEPS[1][0][1:]]
    found = ours.take(halves, iter(STEPS[2:]))
    assert [batch.rows.tolist() for batch in found] == [[1], [2, 3]]
    assert [batch.rows.tolist() for batch in ours.take(STEPS[2], [])] == [[2, 3, 4]]


def test_windows_go_on_over_epochs() -> None:
    def plan(epoch: int) -> Any:
        return plan_batches(10, batch=2, seed=1, epoch=epoch)

    every = windows(plan, 0, 0, 2)
    first = [next(every) for _ in range(8)]
    assert [len(window) for window in first] == [2, 2, 1, 2, 2, 1, 2, 2]
    assert sorted(np.concatenate([rows for window in first[:3] for rows in window])) == list(range(10))
    again = windows(plan, 1, 1, 2)
    for window in first[4:]:
        assert all(map(np.array_equal, window, next(again)))


class Failing(Rows):
    """Fails at the batch with this number, in whatever thread makes it."""

    def __init__(self, at: int, fault: Callable[[], None]) -> None:
        super().__init__(16)
        self.at, self.fault, self.made = at, fault, 0

    def batch(self, rows: Any) -> Batch:
        self.made += 1
        if self.made == self.at:
            self.fault()
        return super().batch(rows)


def _raise(error: BaseException) -> Callable[[], None]:
    def fault() -> None:
        raise error

    return fault


def _wait(event: threading.Event) -> None:
    event.wait(30)


AHEAD = replace(SETTINGS, ahead=2)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_run_is_the_same_with_and_without(tmp_path: Path, accumulation: int) -> None:
    settings = replace(SETTINGS, accumulation=accumulation, checkpoint_seconds=0.0)
    plain, _, _ = run(tmp_path / "plain", settings)
    ahead, _, _ = run(tmp_path / "ahead", replace(settings, ahead=2))
    assert all(map(torch.equal, weights(plain), weights(ahead)))
    run(tmp_path / "parts", replace(settings, ahead=2), stop_at=13)
    resumed, _, _ = run(tmp_path / "parts", replace(settings, ahead=2))
    assert all(map(torch.equal, weights(plain), weights(resumed)))
    assert not [thread for thread in threading.enumerate() if thread.name == "batches" and _lives(thread)]


def _lives(thread: threading.Thread) -> bool:
    thread.join(timeout=5)
    return thread.is_alive()


def test_halving_is_the_same_with_and_without(tmp_path: Path) -> None:
    plain, _, _ = run(tmp_path / "plain", objective=TooLarge(5))
    ahead, _, events = run(tmp_path / "ahead", AHEAD, objective=TooLarge(5))
    assert [event["split"] for event in events if event["kind"] == "memory"] == [2, 4]
    assert all(map(torch.equal, weights(plain), weights(ahead)))


def _run_with(rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Net:
    monkeypatch.setattr("small_training.Rows", lambda batch: rows)
    return run(tmp_path / "r", AHEAD)[0]


def test_a_thread_that_fails_raises_its_error_in_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = _raise(UserError("the picture is gone", where="photos/7.png", fix="put it back"))
    with pytest.raises(UserError, match="the picture is gone"):
        _run_with(Failing(9, fault), tmp_path, monkeypatch)


def test_a_thread_that_dies_is_heard_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match=r"the thread that makes batches ended: SystemExit\(3\)"):
        _run_with(Failing(9, _raise(SystemExit(3))), tmp_path, monkeypatch)


def test_a_thread_that_hangs_stops_the_run_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Feed.__init__, "__kwdefaults__", {"ahead": 2, "patience": 0.3})
    held = threading.Event()
    try:
        with pytest.raises(UserError, match=r"training: a batch was not there within 0\.3 seconds; look"):
            _run_with(Failing(9, lambda: _wait(held)), tmp_path, monkeypatch)
    finally:
        held.set()


def test_no_room_for_a_batch_ahead_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, _, _ = run(tmp_path / "plain")
    fault = _raise(torch.OutOfMemoryError("CUDA out of memory"))
    ahead = _run_with(Failing(9, fault), tmp_path, monkeypatch)
    assert all(map(torch.equal, weights(plain), weights(ahead)))

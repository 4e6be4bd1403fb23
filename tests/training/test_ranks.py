"""Several processes train as one: the same loss and weights over the same rows."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from small_training import SETTINGS, run

from trainwright.foundation.ranks import Ranks
from trainwright.training.events import read_events

_WORKER = """
import json, sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from small_training import SETTINGS, Squares, run
from trainwright.foundation.ranks import joined

torch.set_num_threads(1)
folder, settings, more = json.loads(sys.argv[1])


class TooLargeForOne(Squares):
    def __call__(self, model, batch):
        if ranks.rank == 1 and len(batch.rows) > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return super().__call__(model, batch)


with joined() as ranks:
    if more.pop("lack", False):
        more["objective"] = TooLargeForOne()
    if ranks.rank != more.pop("stops", ranks.rank):
        more.pop("stop_at", None)
    net, outcome, _ = run(Path(folder), replace(SETTINGS, **settings), ranks=ranks, **more)
    state = net.state_dict()
    held = sum(getattr(t, "to_local", lambda t=t: t)().numel() for t in state.values())
    whole = {name: t.full_tensor() if hasattr(t, "full_tensor") else t for name, t in state.items()}
    save_file(whole, Path(folder) / f"net-{ranks.rank}.safetensors")
    (Path(folder) / f"held-{ranks.rank}").write_text(str(held))
print(json.dumps([outcome.reason, outcome.step]))
"""


def train(folder: Path, size: int, settings: dict[str, Any] | None = None, **more: Any) -> list[Any]:
    """Train with `size` processes; return how it ended, and the weights of each."""
    folder.mkdir(exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = json.dumps([str(folder), settings or {}, more])
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER, arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "RANK": str(rank),
                "WORLD_SIZE": str(size),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "PYTHONPATH": str(Path(__file__).parent),
            },
        )
        for rank in range(size)
    ]
    ended = []
    for worker in workers:
        out, error = worker.communicate(timeout=120)
        assert worker.returncode == 0, error
        ended.append(json.loads(out))
    assert all(end == ended[0] for end in ended)
    nets = [list(load_file(folder / f"net-{rank}.safetensors").values()) for rank in range(size)]
    for net in nets[1:]:
        assert all(torch.equal(a, b) for a, b in zip(nets[0], net, strict=True))
    return [*ended[0], nets[0]]


def close(a: list[torch.Tensor], b: list[torch.Tensor]) -> None:
    names = sorted(range(len(a)), key=lambda at: tuple(a[at].shape))
    for at in names:
        torch.testing.assert_close(a[at], b[at], rtol=0, atol=1e-6)


def alone(folder: Path, **settings: Any) -> tuple[list[torch.Tensor], list[float]]:
    net, _, events = run(folder, replace(SETTINGS, **settings), no_dropout=True)
    by_name = dict(sorted(net.state_dict().items()))
    return list(by_name.values()), [event["loss"] for event in events if event["kind"] == "step"]


@pytest.mark.parametrize(
    ("size", "settings"),
    [(2, {}), (3, {"accumulation": 2, "l1": 0.01, "ema": 0.9}), (3, {"optimizer": "sgd", "clip": 0.1})],
)
def test_loss_and_weights_are_those_of_one_process(
    tmp_path: Path, size: int, settings: dict[str, Any]
) -> None:
    expected, losses = alone(tmp_path / "one", **settings)
    reason, step, found = train(tmp_path / "many", size, settings, no_dropout=True)
    assert (reason, step) == ("finished", 60)
    close(found, expected)
    shared = [
        event["loss"] for event in read_events(tmp_path / "many" / "events.jsonl") if event["kind"] == "step"
    ]
    np.testing.assert_allclose(shared, losses, rtol=1e-6)


def test_a_checkpoint_of_two_processes_goes_on_in_three_and_in_one(tmp_path: Path) -> None:
    expected, _ = alone(tmp_path / "one")
    folder = tmp_path / "many"
    reason, step, _ = train(folder, 2, no_dropout=True, stop_at=23, stops=1)  # asked of one, heard by all
    assert (reason, step) == ("interrupted", 23)
    reason, step, _ = train(folder, 3, no_dropout=True, stop_at=10, stops=0)
    assert (reason, step) == ("interrupted", 33)
    net, outcome, events = run(folder, no_dropout=True)
    assert outcome.reason == "finished"
    assert [event["step"] for event in events if event["kind"] == "resume"] == [23, 33]
    close(list(dict(sorted(net.state_dict().items())).values()), expected)


def test_memory_that_one_process_lacks_is_heard_by_all(tmp_path: Path) -> None:
    expected, _ = alone(tmp_path / "one")
    _, _, found = train(tmp_path / "many", 2, no_dropout=True, lack=True)
    close(found, expected)
    memory = [event for event in read_events(tmp_path / "many" / "events.jsonl") if event["kind"] == "memory"]
    assert [event["split"] for event in memory] == [2, 4]


def test_a_resumed_run_of_several_draws_as_the_unbroken_one(tmp_path: Path) -> None:
    _, _, whole = train(tmp_path / "whole", 2)
    train(tmp_path / "parts", 2, stop_at=23)
    _, _, resumed = train(tmp_path / "parts", 2)
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))


@given(rows=st.integers(0, 50), size=st.integers(1, 7))
def test_rows_are_shared_out_once_and_evenly(rows: int, size: int) -> None:
    shares = [Ranks(rank, size).share(np.arange(rows)) for rank in range(size)]
    assert np.concatenate(shares).tolist() == list(range(rows))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    ("size", "settings", "batch"),
    [
        pytest.param(2, {"clip": 0.1}, 16, marks=pytest.mark.slow),
        pytest.param(3, {"accumulation": 2, "ema": 0.9}, 16, marks=pytest.mark.slow),
        (3, {"optimizer": "sgd"}, 2),  # one process has no row
    ],
)
def test_a_sharded_model_ends_as_one_process_has_it(
    tmp_path: Path, size: int, settings: dict[str, Any], batch: int
) -> None:
    (tmp_path / "one").mkdir()
    net, _, events = run(tmp_path / "one", replace(SETTINGS, **settings), no_dropout=True, batch=batch)
    expected = list(dict(sorted(net.state_dict().items())).values())
    losses = [event["loss"] for event in events if event["kind"] == "step"]
    folder = tmp_path / "many"
    reason, step, found = train(folder, size, settings, no_dropout=True, sharded=True, batch=batch)
    assert (reason, step) == ("finished", 60)
    close(found, expected)
    shared = [event["loss"] for event in read_events(folder / "events.jsonl") if event["kind"] == "step"]
    np.testing.assert_allclose(shared, losses, rtol=1e-5)
    held = [int((folder / f"held-{rank}").read_text()) for rank in range(size)]
    assert sum(held) == sum(tensor.numel() for tensor in expected)
    assert max(held) < 0.7 * sum(held)


@pytest.mark.slow
def test_a_sharded_checkpoint_goes_on_with_any_number_of_processes_and_unsharded(tmp_path: Path) -> None:
    expected, _ = alone(tmp_path / "one", ema=0.9)
    folder, settings = tmp_path / "many", {"ema": 0.9}
    sizes = [(3, True), (2, False), (2, True)]
    for number, (size, sharded) in enumerate(sizes):
        reason, step, _ = train(folder, size, settings, no_dropout=True, sharded=sharded, stop_at=10, stops=0)
        assert (reason, step) == ("interrupted", 10 * (number + 1))
    files = sorted(path.name for path in (folder / "checkpoints" / "step-000000030").iterdir())
    assert files[:-1] == [f"shard-0000{rank}-model-00001-of-00001.safetensors" for rank in (1, 2)]
    assert files[-1] == "state.json"
    assert len(list((folder / "checkpoints").iterdir())) == 2
    net, outcome, events = run(folder, replace(SETTINGS, **settings), no_dropout=True)
    assert outcome.reason == "finished"
    assert [event["step"] for event in events if event["kind"] == "resume"] == [10, 20, 30]
    close(list(dict(sorted(net.state_dict().items())).values()), expected)


@pytest.mark.slow
def test_a_sharded_checkpoint_that_was_changed_is_passed_over(tmp_path: Path) -> None:
    expected, _ = alone(tmp_path / "one")
    folder = tmp_path / "many"
    for stop in (10, 10):
        train(folder, 2, no_dropout=True, sharded=True, stop_at=stop, stops=0)
    newest = folder / "checkpoints" / "step-000000020" / "shard-00002-model-00001-of-00001.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    net, outcome, events = run(folder, SETTINGS, no_dropout=True)
    assert outcome.reason == "finished"
    close(list(dict(sorted(net.state_dict().items())).values()), expected)
    refused = [event for event in events if event["kind"] == "refused"]
    assert [event["checkpoint"] for event in refused] == ["step-000000020"]

"""A run on a Ray cluster of two nodes in this machine: the same weights, though a process or a node dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import trainwright as tw
from trainwright.foundation.errors import UserError
from trainwright.training.events import read_events
from trainwright.workshop.run import Run

ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one core each, and a third that holds the head alone."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    small = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    for _ in range(2):
        found.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    yield found
    found.shutdown()


@pytest.fixture
def plain(quick: dict[str, Any]) -> dict[str, Any]:
    """Settings without a random draw in training, so that processes and one agree."""
    more = {
        "model.dropout": 0.0,
        "inputs.size": "number",
        "inputs.city": "category",
        "training.early_stopping": 0,
    }
    return {**quick, **more}


def close(one: Run, two: Run) -> None:
    weights = [load_file(run.path / "model" / "model.safetensors") for run in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-5, atol=1e-6)


def test_two_nodes_train_what_one_process_does(
    cluster: Any, rows: pl.DataFrame, plain: dict[str, Any], tmp_path: Path
) -> None:
    rows.write_csv(tmp_path / "flats.csv")
    data, settings = str(tmp_path / "flats.csv"), {**plain, "training.devices": 2}
    one = tw.train(data, target="grade", budget="20 steps", settings=plain, run=tmp_path / "one")
    two = tw.train(
        data, target="grade", budget="20 steps", settings=settings, run=tmp_path / "two", on=cluster.address
    )
    close(one, two)
    steps = [event["step"] for event in read_events(two.path / "events.jsonl") if event["kind"] == "step"]
    assert steps == list(range(1, 21))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flats.csv", "one", "two"]
    with pytest.raises(UserError, match="there is no column 'grate' to be a target"):
        tw.train(data, target="grate", settings=settings, run=tmp_path / "three", on=cluster.address)
    with pytest.raises(UserError, match="has 2 cores, and 3 processes need one each"):
        tw.train(
            data,
            target="grade",
            settings={**plain, "training.devices": 3},
            run=tmp_path / "three",
            on=cluster.address,
        )


def wait_for(path: Path, kind: str, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if any(event["kind"] == kind for event in read_events(path)):
            return
        time.sleep(0.05)
    raise AssertionError(f"no {kind} in time")


def killed_on_the_way(
    cluster: Any, kill: Any, rows: pl.DataFrame, plain: dict[str, Any], folder: Path
) -> None:
    """Train once undisturbed and once with `kill` called in the midst; the weights must be the same."""
    rows.write_csv(folder / "flats.csv")
    data = str(folder / "flats.csv")
    settings = {**plain, "training.devices": 2, "training.checkpoint_minutes": 0.01}
    one = tw.train(data, target="grade", budget="4000 steps", settings=plain, run=folder / "one")
    done = []

    def disturb() -> None:
        checkpoints = folder / "two" / "checkpoints"
        until = time.monotonic() + 120
        while time.monotonic() < until and not (checkpoints.exists() and any(checkpoints.glob("step-*"))):
            time.sleep(0.02)
        done.append(kill())

    thread = threading.Thread(target=disturb)
    thread.start()
    two = tw.train(
        data, target="grade", budget="4000 steps", settings=settings, run=folder / "two", on=cluster.address
    )
    thread.join()
    assert done
    events = list(read_events(two.path / "events.jsonl"))
    assert [event["step"] for event in events if event["kind"] == "resume"]
    close(one, two)


def workers(folder: Path) -> list[int]:
    """Return the processes of Ray Train that hold the run's job, by what the system tells of them."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                name = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if b"RayTrainWorker" in name:
                found.append(int(process.name))
    return found


@pytest.mark.slow
def test_a_process_that_dies_is_started_again(
    cluster: Any, rows: pl.DataFrame, plain: dict[str, Any], tmp_path: Path
) -> None:
    def kill() -> int:
        victim = workers(tmp_path)[-1]
        os.kill(victim, signal.SIGKILL)
        return victim

    killed_on_the_way(cluster, kill, rows, plain, tmp_path)


@pytest.mark.slow
def test_a_node_that_is_lost_is_replaced(
    cluster: Any, rows: pl.DataFrame, plain: dict[str, Any], tmp_path: Path
) -> None:
    def kill() -> bool:
        cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
        cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        return True

    killed_on_the_way(cluster, kill, rows, plain, tmp_path)


def test_a_cluster_that_is_not_there_is_one_sentence(rows: pl.DataFrame, tmp_path: Path) -> None:
    rows.write_csv(tmp_path / "flats.csv")
    with pytest.raises(UserError, match=r"--on 127.0.0.1:1.*nobody answers"):
        tw.train(str(tmp_path / "flats.csv"), target="grade", run=tmp_path / "run", on="127.0.0.1:1")

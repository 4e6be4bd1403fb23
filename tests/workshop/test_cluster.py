"""A run on a Ray cluster of two nodes in this machine: the same weights, though a process or a node dies."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import trainwright as tw
from trainwright.foundation.errors import UserError
from trainwright.training.events import read_events
from trainwright.workshop import cluster as module
from trainwright.workshop.run import Run

ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
# Ray takes half a minute to start, and longer on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

_SMALL = {"object_store_memory": 80 * 2**20}
_STEPS, _LONG = 300, 2_000
_STOPPING = "Stopping after this step; the model is kept. Press Ctrl-C again to stop now."


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one core each, and a third that holds the head alone."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        head = {"num_cpus": 0, "include_dashboard": False, "ray_client_server_port": port, **_SMALL}
        found = Cluster(initialize_head=True, head_node_args=head)
        found.client = f"ray://127.0.0.1:{port}"
        for _ in range(2):
            found.add_node(num_cpus=1, **_SMALL)
        yield found
        found.shutdown()


@pytest.fixture(scope="module")
def data(rows: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("data") / "flats.csv"
    rows.write_csv(file)
    return str(file)


@pytest.fixture(scope="module")
def plain(quick: dict[str, Any]) -> dict[str, Any]:
    """Settings of two processes without a random draw in training, so that they agree with one."""
    return {
        **quick,
        "model.dropout": 0.0,
        "inputs.size": "number",
        "inputs.city": "category",
        "training.devices": 2,
        "training.early_stopping": 0,
        "training.checkpoint_minutes": 1e-9,
    }


@pytest.fixture(scope="module")
def undisturbed(data: str, plain: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that one process does by itself."""
    alone = {**plain, "training.devices": 1}
    folder = tmp_path_factory.mktemp("one") / "run"
    return tw.train(data, target="grade", budget=f"{_STEPS} steps", settings=alone, run=folder)


def close(one: Run, two: Run) -> None:
    weights = [load_file(run.path / "model" / "model.safetensors") for run in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=0, atol=1e-5, msg=name)


def steps_of(run: Run) -> list[int]:
    return [event["step"] for event in read_events(run.path / "events.jsonl") if event["kind"] == "step"]


def test_two_nodes_train_what_one_process_does(
    cluster: Any,
    data: str,
    plain: dict[str, Any],
    tmp_path: Path,
    undisturbed: Run,
    capfd: pytest.CaptureFixture[str],
) -> None:
    two = tw.train(
        data,
        target="grade",
        budget=f"{_STEPS} steps",
        settings=plain,
        run=tmp_path / "two",
        on=cluster.client,
        quiet=False,
    )
    close(undisturbed, two)
    assert steps_of(two) == list(range(1, _STEPS + 1))
    assert [path.name for path in tmp_path.iterdir()] == ["two"]
    out, error = capfd.readouterr()
    assert not out
    assert "300 rows" in error and f"Trained {_STEPS} steps" in error and "report.html" in error
    with pytest.raises(UserError, match="there is no column 'grate' to be a target"):
        tw.train(data, target="grate", settings=plain, run=tmp_path / "three", on=cluster.client)
    assert [path.name for path in tmp_path.iterdir()] == ["two"]


def test_what_the_cluster_lacks_is_one_sentence(
    cluster: Any, data: str, plain: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(sentence: str, **more: Any) -> None:
        settings = {**plain, **more}
        with pytest.raises(UserError, match=sentence):
            tw.train(data, target="grade", settings=settings, run=tmp_path / "run", on=cluster.address)
        assert not list(tmp_path.iterdir())

    refused("has 2 cores, and 3 processes need one each", **{"training.devices": 3})
    refused("has 0 GPUs, and 2 processes need one each", **{"training.device": "cuda"})
    written = module.write_job
    with monkeypatch.context() as patch:  # as if another folder lay at the same place
        patch.setattr(module, "write_job", lambda *words, **more: written(*words, **more)[::-1])
        refused("machines of the cluster do not see this folder")


def test_addresses_at_which_there_is_no_cluster(rows: pl.DataFrame, tmp_path: Path) -> None:
    def refused(sentence: str, on: str, data: Any = rows) -> None:
        with pytest.raises(UserError, match=sentence):
            tw.train(data, target="grade", run=tmp_path / "run", on=on)
        assert not (tmp_path / "run").exists()

    file = str(tmp_path / "flats.csv")
    rows.write_csv(file)
    refused(
        "--on 127.0.0.1:1: the cluster cannot be reached: nobody", "127.0.0.1:1", str(tmp_path / "flats.csv")
    )
    refused("--on kluster: this is not the address of a cluster", "kluster", file)
    refused("--on auto: .* these are in memory; write them to a Parquet file first", "auto")


def test_without_ray_it_says_how_to_get_it(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"Ray is not installed; pip install 'trainwright\[ray\]'"):
        tw.train(data, target="grade", run=tmp_path / "run", on="auto")


def disturbed(cluster: Any, data: str, plain: dict[str, Any], run: Path, disturb: Callable[[], None]) -> Run:
    """Train, and disturb it after the first checkpoint. Nodes can be added in the main thread only."""
    made: list[Any] = []

    def train() -> None:
        try:
            made.append(
                tw.train(
                    data,
                    target="grade",
                    budget=f"{_STEPS} steps",
                    settings=plain,
                    run=run,
                    on=cluster.address,
                )
            )
        except Exception as error:
            made.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    until = time.monotonic() + 120
    while not list((run / "checkpoints").glob("step-*")):
        assert thread.is_alive() and time.monotonic() < until
        time.sleep(0.01)
    disturb()
    thread.join(timeout=180)
    assert made and isinstance(made[0], Run), made
    return made[0]


def first_process(run: Path) -> int:
    """Return the process that holds the run's lock."""
    found = re.search(r"process (\d+)", (run.parent / f".{run.name}.lock").read_text())
    assert found is not None
    return int(found[1])


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def went_on(run: Run) -> None:
    """Assert that the run went on from a checkpoint, not from the start."""
    (step,) = (event["step"] for event in read_events(run.path / "events.jsonl") if event["kind"] == "resume")
    assert step >= 1


@pytest.mark.slow
def test_a_process_that_dies_is_started_again(
    cluster: Any,
    data: str,
    plain: dict[str, Any],
    tmp_path: Path,
    undisturbed: Run,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "two"
    made = disturbed(cluster, data, plain, run, lambda: os.kill(first_process(run), signal.SIGKILL))
    close(undisturbed, made)
    went_on(made)
    assert not capfd.readouterr().out  # where --json prints


@pytest.mark.slow
def test_a_node_that_is_lost_is_replaced(
    cluster: Any, data: str, plain: dict[str, Any], tmp_path: Path, undisturbed: Run
) -> None:
    run = tmp_path / "two"

    def lose() -> None:
        """Remove the node of the first process, which writes the run, and add another one."""
        raylet = parent(first_process(run))
        (node,) = (
            node
            for node in cluster.worker_nodes
            if any(held.process.pid == raylet for held in node.all_processes["raylet"])
        )
        cluster.remove_node(node, allow_graceful=False)
        cluster.add_node(num_cpus=1, **_SMALL)

    made = disturbed(cluster, data, plain, run, lose)
    close(undisturbed, made)
    went_on(made)


def start(data: str, plain: dict[str, Any], run: Path, *words: str) -> subprocess.Popen[str]:
    """Train for long on a cluster of this machine by the command line; return when it has begun."""
    settings = [word for key, value in plain.items() for word in ("--set", f"{key}={value}")]
    command = ["train", data, "--target", "grade", "--budget", f"{_LONG} steps", "--run", str(run)]
    running = subprocess.Popen(
        [sys.executable, "-m", "trainwright", *command, *settings, "--on", module.LOCAL, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while not any(event["kind"] == "step" for event in read_events(run / "events.jsonl")):
        assert running.poll() is None and time.monotonic() < until, running.communicate()
        time.sleep(0.05)
    time.sleep(1.5)  # until then it might not know, and end at once
    return running


def press_ctrl_c(running: subprocess.Popen[str]) -> None:
    """Send what a terminal sends, to all processes that were started."""
    os.killpg(running.pid, signal.SIGINT)


@pytest.mark.slow
def test_ctrl_c_keeps_the_model_and_the_run_goes_on(data: str, plain: dict[str, Any], tmp_path: Path) -> None:
    settings = {key: value for key, value in plain.items() if key != "training.checkpoint_minutes"}
    alone = {**settings, "training.devices": 1}
    one = tw.train(data, target="grade", budget=f"{_LONG} steps", settings=alone, run=tmp_path / "one")
    run = tmp_path / "two"
    running = start(data, settings, run, "--json")
    press_ctrl_c(running)
    out, error = running.communicate(timeout=120)
    assert (running.returncode, error.strip()) == (130, _STOPPING), error
    assert json.loads(out)["model"] == str(run / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    made = tw.resume(run, on=module.LOCAL)
    close(one, made)
    assert steps_of(made) == [1, *range(10, _LONG + 1, 10)]  # what is logged


@pytest.mark.slow
def test_a_second_ctrl_c_ends_it_now(data: str, plain: dict[str, Any], tmp_path: Path) -> None:
    running = start(data, plain, tmp_path / "two")
    press_ctrl_c(running)
    time.sleep(0.2)
    press_ctrl_c(running)
    _, error = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Rows: 192 training" in error and _STOPPING in error
    assert "Stopped early" not in error and "report.html" not in error  # nobody has waited for them
    assert not list(tmp_path.glob("*.job"))

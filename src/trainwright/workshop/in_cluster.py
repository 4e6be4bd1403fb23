"""The part of a run that is carried out within a Ray cluster, where Ray Train starts and watches processes.

No code is sent there: its machines have Trainwright installed.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from trainwright.foundation.ranks import RESTARTED
from trainwright.workshop.launch import JOB, RESTARTS

UNSEEN = "which does not see the run folder's place: "
"""Marks in the text of an error that a machine looked for the job and did not find it."""

_LONGEST_WAIT = 7_200
"""Seconds that a process may read a large table or judge while the others wait."""
_SLACK = 1e-3
"""Share of a resource that is asked for to choose a machine, and not to use it up."""
HEAD = {"node:__internal_head__": _SLACK}
"""Asks for the head, the one machine that a cluster cannot lose."""


def fit(folder: str, nonce: str, processes: int, use_gpu: bool) -> list[str]:
    """Let Ray Train run the processes; after a death, of one or of a machine, all are started again.

    Args:
        folder: the folder of the job, on every machine.
        nonce: what is in its job; another folder of the same name holds another one.
        processes: how many train.
        use_gpu: give each a GPU.

    Returns:
        Names of machines that do not see the folder: then nothing was trained.
    """
    unseen = _unseen(folder, nonce)
    if unseen:
        return unseen
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    TorchTrainer(
        work_in_cluster,
        train_loop_config={"folder": folder, "nonce": nonce},
        torch_config=TorchConfig("cpu:gloo,cuda:nccl" if use_gpu else "gloo", timeout_s=_LONGEST_WAIT),
        scaling_config=ScalingConfig(
            num_workers=processes,
            use_gpu=use_gpu,
            resources_per_worker={"CPU": 1, "GPU": 1} if use_gpu else {"CPU": 1},
            # GPUs talk fastest within a machine; processes on CPUs share the cores of theirs.
            placement_strategy="PACK" if use_gpu else "SPREAD",
        ),
        run_config=RunConfig(
            name="ray", storage_path=folder, failure_config=FailureConfig(max_failures=RESTARTS)
        ),
    ).fit()
    return []


def _unseen(folder: str, nonce: str) -> list[str]:
    """Return the names of those machines that might train and do not see the folder."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if not sees(folder, nonce)[1]:  # Ray Train keeps its notes there, from here
        return [socket.gethostname()]
    asked = [
        ray.remote(num_cpus=0)(sees)
        .options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
        .remote(folder, nonce)
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
    ]
    return sorted({name for name, seen in ray.get(asked) if not seen})


def sees(folder: str, nonce: str) -> tuple[str, bool]:
    """Return the name of this machine, and whether it sees the folder of a job."""
    try:
        seen = nonce in (Path(folder) / JOB).read_text(encoding="utf-8")
    except OSError:
        seen = False
    return socket.gethostname(), seen


def work_in_cluster(config: dict[str, str]) -> None:
    """Do one process's part, as `worker.work` does it under torchrun."""
    import ray
    import torch
    import torch.distributed as dist

    from trainwright.workshop.worker import work

    folder = Path(config["folder"])
    name, seen = sees(config["folder"], config["nonce"])
    if not seen:  # a machine that has joined since
        raise FileNotFoundError(f"{name}, {UNSEEN}{folder.parent}")
    # The first process decides for all whether there is a run to go on with: it may write one any moment.
    mark = folder / "begun"
    begun: list[Any] = [mark.exists()]
    if dist.is_initialized():
        dist.broadcast_object_list(begun, src=0)
    if begun[0]:
        os.environ[RESTARTED] = "1"
    mark.touch()
    torch.set_num_threads(_cores(ray))
    work(folder)


def _cores(ray: Any) -> int:
    """Return this process's share of its machine's cores: Ray itself lets torch use one."""
    here = ray.get_runtime_context().get_node_id()
    cores = next(node["Resources"]["CPU"] for node in ray.nodes() if node["NodeID"] == here)
    return max(1, int(cores) // int(os.environ["LOCAL_WORLD_SIZE"]))

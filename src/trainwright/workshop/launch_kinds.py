"""What starts a recipe on SkyPilot, KubeRay and Kubeflow Trainer, as the documents that each of them reads.

Checked against sky/utils/schemas.py of SkyPilot 0.14, ray.io/v1 of KubeRay, and trainer.kubeflow.org/v1alpha1
with its runtimePatches.
"""

from __future__ import annotations

import getpass
import hashlib
import shlex
import socket
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from trainwright.foundation.errors import UserError

SHARED = "/shared"
"""What all machines see: run folders, and data that lies in no bucket."""
_RECIPE = "/etc/trainwright/recipe.yaml"
_RAY_VERSION = "2.60.0"
_DEFAULT_IMAGE, _DEFAULT_VOLUME = "trainwright:latest", "shared"
_RESTARTS = 3


@dataclass(frozen=True)
class Job:
    """What all three kinds of file are made from.

    Attributes:
        name: letters, digits and hyphens, at most 47; another recipe has another one.
        recipe: the text of the recipe.
        nodes: machines.
        processes: processes on each.
        gpus: GPUs on each machine, one for each process; 0 trains on CPUs.
        gpu: kind of GPU; None takes any.
        image: container image with Trainwright in it; None takes what there is.
        volume: what all machines see; None has a name made up.
        cpus: cores of a process.
        memory: GB of a process.
    """

    name: str
    recipe: str
    nodes: int
    processes: int
    gpus: int
    gpu: str | None
    image: str | None
    volume: str | None
    cpus: int
    memory: int

    @property
    def run(self) -> str:
        """The run folder, on all machines."""
        return f"{SHARED}/runs/{self.name}"

    def command(self, before: str, after: str = "") -> str:
        """Return the shell command that begins the run, or goes on with it."""
        start = f"{before} train {_RECIPE} --run {self.run}{after}"
        go_on = f"{before} resume {self.run}{after}"
        return f"if [ -e {self.run}/recipe.yaml ]; then {go_on}; else {start}; fi"


def skypilot(job: Job) -> list[dict[str, Any]]:
    """A SkyPilot task: `sky launch skypilot.yaml`."""
    resources: dict[str, Any] = {
        "cpus": f"{job.cpus * job.processes}+",
        "memory": f"{job.memory * job.processes}+",
    }
    if job.gpus:
        if job.gpu is None:
            raise UserError(
                "the recipe trains on GPUs, and SkyPilot asks for their kind",
                where="training.device",
                fix="name it with --gpu H100, or choose other files with --to",
            )
        resources["accelerators"] = f"{job.gpu}:{job.gpus}"
    if job.image is not None:
        resources["image_id"] = f"docker:{job.image}"
    resources["job_recovery"] = {"max_restarts_on_errors": _RESTARTS}  # of `sky jobs launch`
    torchrun = (
        f"python -m torch.distributed.run --nnodes=$SKYPILOT_NUM_NODES --nproc-per-node={job.processes} "
        "--node-rank=$SKYPILOT_NODE_RANK --master-port=29400 "
        '--master-addr=$(echo "$SKYPILOT_NODE_IPS" | head -n1) -m trainwright'
    )
    return [
        {
            "name": job.name,
            "num_nodes": job.nodes,
            "resources": resources,
            "file_mounts": {SHARED: {**_bucket(job.volume), "mode": "MOUNT_CACHED"}},
            **({} if job.image is not None else {"setup": "pip install 'trainwright[s3]'\n"}),
            "run": (
                "mkdir -p /tmp/trainwright\n"
                f"cat > /tmp/trainwright/recipe.yaml <<'RECIPE'\n{job.recipe}RECIPE\n"
                f"{job.command(torchrun).replace(_RECIPE, '/tmp/trainwright/recipe.yaml')}\n"
            ),
        }
    ]


def _bucket(volume: str | None) -> dict[str, Any]:
    """Return a bucket by its address, or by the name of one that SkyPilot makes: nobody else has it."""
    if volume is not None and "://" in volume:
        return {"source": volume}
    owner = f"{getpass.getuser()}@{socket.gethostname()}"
    return {"name": volume or f"trainwright-{hashlib.sha256(owner.encode()).hexdigest()[:10]}"}


def kuberay(job: Job) -> list[dict[str, Any]]:
    """A KubeRay RayJob: `kubectl apply -f kuberay.yaml`."""

    def pod(container: str, limits: dict[str, Any]) -> dict[str, Any]:
        return {
            "spec": {
                "containers": [
                    {
                        "name": container,
                        "image": job.image or _DEFAULT_IMAGE,
                        "env": [{"name": "RAY_USAGE_STATS_ENABLED", "value": "0"}],
                        "resources": {"limits": limits, "requests": limits},
                        "volumeMounts": _mounts(),
                    }
                ],
                "volumes": _volumes(job),
            }
        }

    worker = {
        "groupName": "workers",
        "replicas": job.nodes,
        "minReplicas": job.nodes,
        "maxReplicas": job.nodes,
        "rayStartParams": {},
        "template": pod("ray-worker", _limits(job)),
    }
    return [
        _config_map(job),
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayJob",
            "metadata": {"name": job.name},
            "spec": {
                "entrypoint": f"sh -c {shlex.quote(job.command('trainwright', ' --on auto'))}",
                "shutdownAfterJobFinishes": True,
                "backoffLimit": _RESTARTS,
                "rayClusterSpec": {
                    "rayVersion": _RAY_VERSION,
                    "headGroupSpec": {
                        # Nothing is trained there: it watches over the others.
                        "rayStartParams": {"num-cpus": "0"},
                        "template": pod("ray-head", {"cpu": "2", "memory": "8Gi"}),
                    },
                    "workerGroupSpecs": [worker],
                },
            },
        },
    ]


def kubeflow(job: Job) -> list[dict[str, Any]]:
    """A Kubeflow TrainJob: `kubectl apply -f kubeflow.yaml`. torchrun finds its peers in PET_… variables.

    Processes of a machine speak through /dev/shm, of which a container has 64 MB: too little for NCCL.
    """
    memory = {"name": "memory", "mountPath": "/dev/shm"}
    patch = {
        "manager": "trainwright.dev/launch-files",
        "trainingRuntimeSpec": {
            "template": {
                "spec": {
                    "replicatedJobs": [
                        {
                            "name": "node",
                            "template": {
                                "spec": {
                                    "template": {
                                        "spec": {
                                            "containers": [
                                                {"name": "node", "volumeMounts": [*_mounts(), memory]}
                                            ],
                                            "volumes": [
                                                *_volumes(job),
                                                {"name": "memory", "emptyDir": {"medium": "Memory"}},
                                            ],
                                        }
                                    }
                                }
                            },
                        }
                    ]
                }
            }
        },
    }
    return [
        _config_map(job),
        {
            "apiVersion": "trainer.kubeflow.org/v1alpha1",
            "kind": "TrainJob",
            "metadata": {"name": job.name},
            "spec": {
                "runtimeRef": {
                    "apiGroup": "trainer.kubeflow.org",
                    "kind": "ClusterTrainingRuntime",
                    "name": "torch-distributed",
                },
                "trainer": {
                    "image": job.image or _DEFAULT_IMAGE,
                    "numNodes": job.nodes,
                    "numProcPerNode": job.processes,
                    "command": ["sh", "-c", job.command("torchrun -m trainwright")],
                    "resourcesPerNode": {"limits": _limits(job), "requests": _limits(job)},
                },
                "runtimePatches": [patch],
            },
        },
    ]


def _limits(job: Job) -> dict[str, Any]:
    limits: dict[str, Any] = {
        "cpu": str(job.cpus * job.processes),
        "memory": f"{job.memory * job.processes}Gi",
    }
    if job.gpus:
        limits["nvidia.com/gpu"] = job.gpus
    return limits


def _config_map(job: Job) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{job.name}-recipe"},
        "data": {"recipe.yaml": job.recipe},
    }


def _mounts() -> list[dict[str, Any]]:
    recipe = {"name": "recipe", "mountPath": str(PurePosixPath(_RECIPE).parent)}
    return [recipe, {"name": "shared", "mountPath": SHARED}]


def _volumes(job: Job) -> list[dict[str, Any]]:
    if job.volume is not None and "://" in job.volume:
        raise UserError(
            "this is the address of a bucket, and Kubernetes mounts volume claims",
            where=f"--volume {job.volume}",
            fix="name a claim, or choose --to skypilot",
        )
    return [
        {"name": "recipe", "configMap": {"name": f"{job.name}-recipe"}},
        {"name": "shared", "persistentVolumeClaim": {"claimName": job.volume or _DEFAULT_VOLUME}},
    ]

"""Files that start a recipe on a cluster: SkyPilot, KubeRay and Kubeflow Trainer.

All machines of a cluster see one folder (a bucket or a volume), where the run folder lies; started again
after a failure, each goes on with the run that it finds there.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from trainwright.foundation.errors import UserError
from trainwright.foundation.paths import make_folder, write_atomic, writing
from trainwright.recipe.reader import read_recipe
from trainwright.recipe.recipe import Recipe
from trainwright.recipe.writer import dump_recipe

KINDS = ("skypilot", "kuberay", "kubeflow")
_SHARED = "/shared"
_RECIPE = "/etc/trainwright/recipe.yaml"
_RAY_VERSION = "2.60.0"


@dataclass(frozen=True)
class _Job:
    """What all three kinds of file are made from.

    Attributes:
        name: letters, digits and hyphens.
        run: the run folder, on all machines.
        nodes: machines.
        processes: processes on each.
        gpu: kind of GPU, one for each process; None trains on CPUs.
        image: container image with Trainwright in it.
        volume: name of the volume claim or bucket that all machines see.
        cpus: cores of a process.
        memory: GB of a process.
    """

    name: str
    recipe: str
    nodes: int
    processes: int
    gpu: str | None
    image: str
    volume: str
    cpus: int
    memory: int

    @property
    def run(self) -> str:
        return f"{_SHARED}/runs/{self.name}"

    def command(self, before: str, after: str = "") -> str:
        """Return the shell command that begins the run, or goes on with it."""
        start = f"{before} train {_RECIPE} --run {self.run}{after}"
        go_on = f"{before} resume {self.run}{after}"
        return f"if [ -e {self.run}/recipe.yaml ]; then {go_on}; else {start}; fi"


def launch_files(
    recipe: Recipe | str | Path,
    *,
    output: str | Path,
    to: str | Sequence[str] = KINDS,
    nodes: int = 1,
    gpu: str | None = None,
    image: str = "trainwright:latest",
    volume: str = "shared",
    cpus: int = 4,
    memory: int = 16,
) -> list[Path]:
    """Write files that start a recipe on a cluster.

    Args:
        recipe: what to train; `training.devices` processes, spread over the machines.
        output: folder to write to; it is made.
        to: "skypilot", "kuberay" or "kubeflow", or several of them.
        nodes: machines.
        gpu: kind of GPU as the cluster calls it ("H100"): each process gets one. None trains on CPUs.
        image: container image with Trainwright in it (kuberay, kubeflow).
        volume: what all machines see at /shared: a volume claim, or with skypilot a bucket.
        cpus: cores of each process.
        memory: GB of memory of each process.

    Returns:
        The files, with a copy of the recipe in each.

    Raises:
        UserError: the processes cannot be spread evenly, or a name is not known.
    """
    kinds = (to,) if isinstance(to, str) else tuple(to)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UserError(f"there is no cluster called '{unknown[0]}'", fix=f"choose of {', '.join(KINDS)}")
    source = None if isinstance(recipe, Recipe) else Path(recipe)
    recipe = recipe if isinstance(recipe, Recipe) else read_recipe(Path(recipe)).recipe
    devices = recipe.training.devices
    if nodes < 1 or devices % nodes:
        raise UserError(
            f"{devices} processes cannot be spread evenly over {nodes} machines",
            where="training.devices",
            fix="set it to a multiple of the machines",
        )
    words = source.stem if source is not None else next(iter(recipe.targets))
    name = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:40] or "run"
    there = _on_the_cluster(recipe)
    job = _Job(
        name=name if name[0].isalpha() else f"run-{name}",
        recipe=dump_recipe(there),
        nodes=nodes,
        processes=devices // nodes,
        gpu=gpu,
        image=image,
        volume=volume,
        cpus=cpus,
        memory=memory,
    )
    folder = make_folder(Path(output))
    makers = {"skypilot": _skypilot, "kuberay": _kuberay, "kubeflow": _kubeflow}
    made = []
    for kind in kinds:
        file = folder / f"{kind}.yaml"
        with writing(file):
            write_atomic(file, _written(makers[kind](job)))
        made.append(file)
    return made


def _on_the_cluster(recipe: Recipe) -> Recipe:
    """Return the recipe with files of this machine expected in the shared folder, under /shared/data."""

    def moved(path: str) -> str:
        return path if "://" in path else str(PurePosixPath(_SHARED) / "data" / PurePosixPath(path).name)

    data = recipe.data
    paths = moved(data.path) if isinstance(data.path, str) else tuple(map(moved, data.path))
    others = {
        part: None if (path := getattr(data, part)) is None else moved(path)
        for part in ("validation", "test")
    }
    return recipe.model_copy(update={"data": data.model_copy(update={"path": paths, **others})})


def needed_there(recipe: Recipe | Path) -> list[str]:
    """Return the files of this machine that must be copied to /shared/data before the recipe can run."""
    data = (recipe if isinstance(recipe, Recipe) else read_recipe(recipe).recipe).data
    paths = [data.path] if isinstance(data.path, str) else list(data.path)
    return [path for path in [*paths, data.validation, data.test] if path is not None and "://" not in path]


def _skypilot(job: _Job) -> list[dict[str, Any]]:
    """A SkyPilot task: `sky launch skypilot.yaml`."""
    resources: dict[str, Any] = {
        "cpus": f"{job.cpus * job.processes}+",
        "memory": f"{job.memory * job.processes}+",
    }
    if job.gpu is not None:
        resources["accelerators"] = f"{job.gpu}:{job.processes}"
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
            "file_mounts": {_SHARED: {"name": job.volume, "mode": "MOUNT_CACHED"}},
            "setup": "pip install 'trainwright[s3]'\n",
            "run": (
                "mkdir -p /tmp/trainwright\n"
                f"cat > /tmp/trainwright/recipe.yaml <<'RECIPE'\n{job.recipe}RECIPE\n"
                f"{job.command(torchrun).replace(_RECIPE, '/tmp/trainwright/recipe.yaml')}\n"
            ),
        }
    ]


def _kuberay(job: _Job) -> list[dict[str, Any]]:
    """A KubeRay RayJob: `kubectl apply -f kuberay.yaml`."""

    def pod(container: str, limits: dict[str, Any]) -> dict[str, Any]:
        return {
            "spec": {
                "containers": [
                    {
                        "name": container,
                        "image": job.image,
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
                "backoffLimit": 3,
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


def _kubeflow(job: _Job) -> list[dict[str, Any]]:
    """A Kubeflow TrainJob: `kubectl apply -f kubeflow.yaml`. torchrun finds its peers in PET_… variables."""
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
                                            "containers": [{"name": "node", "volumeMounts": _mounts()}],
                                            "volumes": _volumes(job),
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
                    "image": job.image,
                    "numNodes": job.nodes,
                    "numProcPerNode": job.processes,
                    "command": ["sh", "-c", job.command("torchrun -m trainwright")],
                    "resourcesPerNode": {"limits": _limits(job), "requests": _limits(job)},
                },
                "runtimePatches": [patch],
            },
        },
    ]


def _limits(job: _Job) -> dict[str, Any]:
    limits: dict[str, Any] = {
        "cpu": str(job.cpus * job.processes),
        "memory": f"{job.memory * job.processes}Gi",
    }
    if job.gpu is not None:
        limits["nvidia.com/gpu"] = job.processes
    return limits


def _config_map(job: _Job) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{job.name}-recipe"},
        "data": {"recipe.yaml": job.recipe},
    }


def _mounts() -> list[dict[str, Any]]:
    recipe = {"name": "recipe", "mountPath": str(PurePosixPath(_RECIPE).parent)}
    return [recipe, {"name": "shared", "mountPath": _SHARED}]


def _volumes(job: _Job) -> list[dict[str, Any]]:
    return [
        {"name": "recipe", "configMap": {"name": f"{job.name}-recipe"}},
        {"name": "shared", "persistentVolumeClaim": {"claimName": job.volume}},
    ]


def _written(documents: Sequence[dict[str, Any]]) -> str:
    from io import StringIO

    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import LiteralScalarString

    def literal(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: literal(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [literal(inner) for inner in value]
        return LiteralScalarString(value) if isinstance(value, str) and "\n" in value else value

    yaml, stream = YAML(), StringIO()
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump_all([literal(document) for document in documents], stream)
    return stream.getvalue()

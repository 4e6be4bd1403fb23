"""Files that start a recipe on a cluster: SkyPilot, KubeRay and Kubeflow Trainer.

All machines of a cluster see one folder (a bucket or a volume), where the run folder lies; started again
after a failure, each goes on with the run that it finds there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from trainwright.foundation.errors import UserError
from trainwright.foundation.paths import make_folder, write_atomic, writing
from trainwright.recipe.reader import read_recipe
from trainwright.recipe.recipe import Recipe
from trainwright.recipe.writer import dump_recipe
from trainwright.workshop.launch_kinds import SHARED, Job, kubeflow, kuberay, skypilot

_MAKERS = {"skypilot": skypilot, "kuberay": kuberay, "kubeflow": kubeflow}
KINDS = tuple(_MAKERS)


def launch_files(
    recipe: Recipe | str | Path,
    *,
    output: str | Path,
    to: str | Sequence[str] = KINDS,
    nodes: int = 1,
    gpu: str | None = None,
    image: str | None = None,
    volume: str | None = None,
    cpus: int = 4,
    memory: int = 16,
) -> list[Path]:
    """Write files that start a recipe on a cluster.

    Args:
        recipe: what to train; `training.devices` processes, spread over the machines.
        output: folder to write to; it is made.
        to: "skypilot", "kuberay" or "kubeflow", or several of them.
        nodes: machines.
        gpu: kind of GPU as SkyPilot calls it ("H100"): each process gets one; on Kubernetes it may be any.
            Without, GPUs are asked for where the recipe's device is cuda.
        image: container image with Trainwright in it; without, `trainwright:latest`, or with skypilot an
            image of the cloud, and Trainwright is installed there.
        volume: what all machines see at /shared: a volume claim, `shared` by default; with skypilot the
            address of a bucket (s3://team), or the name of one that it makes.
        cpus: cores of each process.
        memory: GB of memory of each process.

    Returns:
        The files, with a copy of the recipe in each.

    Raises:
        UserError: the processes cannot be spread evenly, a name is not known, or a setting does not go with
            the recipe or the kind of cluster.
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
    gpus = _gpus(recipe, gpu, devices // nodes)
    text = dump_recipe(_on_the_cluster(recipe))
    job = Job(
        name=_name(words, text),
        recipe=text,
        nodes=nodes,
        processes=devices // nodes,
        gpus=gpus,
        gpu=gpu,
        image=image,
        volume=volume,
        cpus=cpus,
        memory=memory,
    )
    texts = {kind: _written(_MAKERS[kind](job)) for kind in kinds}  # all, before any is written
    folder = make_folder(Path(output))
    made = []
    for kind, text in texts.items():
        file = folder / f"{kind}.yaml"
        with writing(file):
            write_atomic(file, text)
        made.append(file)
    return made


def _name(words: str, recipe: str) -> str:
    """Return a name that Kubernetes takes; a recipe that was changed has another one, and its own run."""
    name = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:36].rstrip("-") or "run"
    name = name if name[0].isalpha() else f"run-{name}"
    return f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:6]}"


def _gpus(recipe: Recipe, gpu: str | None, processes: int) -> int:
    """Return how many GPUs each machine needs."""
    device = recipe.training.device
    if gpu is not None and device != "auto" and not device.startswith("cuda"):
        raise UserError(
            f"the recipe trains on '{device}', so that a GPU would have nothing to do",
            where=f"--gpu {gpu}",
            fix="set training.device to auto, or leave it out",
        )
    return processes if gpu is not None or device.startswith("cuda") else 0


def _on_the_cluster(recipe: Recipe) -> Recipe:
    """Return the recipe with files of this machine expected in the shared folder, under /shared/data."""
    names = [PurePosixPath(path).name for path in needed_there(recipe)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(
            f"two files of the recipe are called '{twice}', and both would lie in {SHARED}/data",
            fix="rename one, or give the data by URLs",
        )

    def moved(path: str) -> str:
        return path if "://" in path else str(PurePosixPath(SHARED) / "data" / PurePosixPath(path).name)

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

"""Files for clusters: they are what their readers expect, and say what our own command line understands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import trainwright as tw
from trainwright.foundation.errors import UserError
from trainwright.recipe.reader import read_recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "Flats 2026.yaml"
    path.write_text("data: flats.csv\ntargets: {grade: category}\ntraining: {devices: 4, device: cuda}\n")
    return path


def documents(path: Path) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(path.read_text(encoding="utf-8")))


def made(recipe: Path, folder: Path, **more: Any) -> dict[str, list[dict[str, Any]]]:
    files = tw.launch_files(recipe, output=folder, nodes=2, gpu="H100", volume="team", **more)
    return {file.stem: documents(file) for file in files}


def only(found: dict[str, Any], fields: str) -> None:
    """Assert which fields there are; that its reader knows these was looked up in its schema."""
    assert set(found) == set(fields.split())


def understood(words: list[str]) -> str:
    """Return the verb that our command line takes these words for, which it must know all of."""
    import typer

    from trainwright.cli.verbs import app

    command = typer.main.get_command(app)
    with command.make_context("trainwright", ["--debug"]) as context:
        name, inner, rest = command.resolve_command(context, list(words))  # type: ignore[attr-defined]
        with inner.make_context(name, list(rest), parent=context):
            return str(name)


def verbs(script: str) -> list[tuple[str, list[str]]]:
    """Return what stands before each call of Trainwright in `if …; then A; else B; fi`, and its words."""
    line = next(line for line in script.splitlines() if line.startswith("if [ -e "))
    calls = [
        line.partition("; then ")[2].partition("; else ")[0],
        line.partition("; else ")[2].removesuffix("; fi"),
    ]
    split = [shlex.split(call) for call in calls]
    return [
        (" ".join(words[: words.index("trainwright")]), words[words.index("trainwright") + 1 :])
        for words in split
    ]


def test_skypilot(recipe: Path, tmp_path: Path) -> None:
    (task,) = made(recipe, tmp_path)["skypilot"]
    only(task, "name num_nodes resources file_mounts setup run")
    only(task["resources"], "cpus memory accelerators job_recovery")
    assert task["name"].startswith("flats-2026-") and task["num_nodes"] == 2
    assert task["resources"]["accelerators"] == "H100:2"
    assert task["file_mounts"] == {"/shared": {"name": "team", "mode": "MOUNT_CACHED"}}
    inside = tmp_path / "inside.yaml"
    inside.write_text(task["run"].partition("'RECIPE'\n")[2].partition("\nRECIPE\n")[0])
    there = read_recipe(inside).recipe
    assert there.data.path == "/shared/data/flats.csv" and there.training.devices == 4
    for (launcher, words), verb in zip(verbs(task["run"]), ("resume", "train"), strict=True):
        assert "torch.distributed.run" in launcher and "--nproc-per-node=2" in launcher
        assert understood(words) == verb


def test_skypilot_with_a_bucket_and_an_image(recipe: Path, tmp_path: Path) -> None:
    options = {"gpu": "H100", "to": "skypilot"}
    (file,) = tw.launch_files(recipe, output=tmp_path, volume="s3://team", image="team/it:1", **options)
    (task,) = documents(file)
    assert task["file_mounts"]["/shared"] == {"source": "s3://team", "mode": "MOUNT_CACHED"}
    assert task["resources"]["image_id"] == "docker:team/it:1" and "setup" not in task
    (file,) = tw.launch_files(recipe, output=tmp_path, **options)
    (task,) = documents(file)
    assert re.fullmatch(r"trainwright-[0-9a-f]{10}", task["file_mounts"]["/shared"]["name"])


def test_kuberay(recipe: Path, tmp_path: Path) -> None:
    config, job = made(recipe, tmp_path)["kuberay"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    only(spec, "entrypoint shutdownAfterJobFinishes backoffLimit rayClusterSpec")
    only(spec["rayClusterSpec"], "rayVersion headGroupSpec workerGroupSpecs")
    only(spec["rayClusterSpec"]["headGroupSpec"], "rayStartParams template")
    only(
        spec["rayClusterSpec"]["workerGroupSpecs"][0],
        "groupName replicas minReplicas maxReplicas rayStartParams template",
    )
    assert len(job["metadata"]["name"]) <= 47  # KubeRay adds to it
    (workers,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    assert workers["replicas"] == workers["minReplicas"] == workers["maxReplicas"] == 2
    limits = workers["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": 2}
    assert spec["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for pod in (workers, spec["rayClusterSpec"]["headGroupSpec"]):
        inner = pod["template"]["spec"]
        (container,) = inner["containers"]
        only(container, "name image env resources volumeMounts")
        assert {volume["name"] for volume in inner["volumes"]} == {"recipe", "shared"}
        assert inner["volumes"][0]["configMap"]["name"] == config["metadata"]["name"]
    (_, _, script) = shlex.split(spec["entrypoint"])
    for (launcher, words), verb in zip(verbs(script), ("resume", "train"), strict=True):
        assert not launcher and words[-2:] == ["--on", "auto"]
        assert understood(words) == verb


def test_kubeflow(recipe: Path, tmp_path: Path) -> None:
    config, job = made(recipe, tmp_path)["kubeflow"]
    assert (job["apiVersion"], job["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    only(job["spec"], "runtimeRef trainer runtimePatches")
    trainer = job["spec"]["trainer"]
    only(trainer, "image numNodes numProcPerNode command resourcesPerNode")
    assert trainer["image"] == "trainwright:latest"
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 2)
    assert job["spec"]["runtimeRef"]["name"] == "torch-distributed"
    (patch,) = job["spec"]["runtimePatches"]
    only(patch, "manager trainingRuntimeSpec")
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    inner = node["template"]["spec"]["template"]["spec"]
    only(inner, "containers volumes")
    only(inner["containers"][0], "name volumeMounts")  # a patch may set no more for this one
    assert node["name"] == inner["containers"][0]["name"] == "node"
    assert inner["volumes"][1]["persistentVolumeClaim"]["claimName"] == "team"
    assert "recipe.yaml" in config["data"]
    for (launcher, words), verb in zip(verbs(trainer["command"][2]), ("resume", "train"), strict=True):
        assert launcher == "torchrun -m"
        assert understood(words) == verb


def test_gpus_follow_the_recipe(recipe: Path, tmp_path: Path) -> None:
    """Kubernetes counts GPUs of any kind; SkyPilot must know which."""
    (file,) = tw.launch_files(recipe, output=tmp_path, to="kubeflow")
    limits = documents(file)[1]["spec"]["trainer"]["resourcesPerNode"]["limits"]
    assert limits["nvidia.com/gpu"] == 4
    with pytest.raises(UserError, match="SkyPilot asks for their kind; name it with --gpu H100"):
        tw.launch_files(recipe, output=tmp_path, to="skypilot")
    recipe.write_text(recipe.read_text().replace("cuda", "cpu"))
    (file,) = tw.launch_files(recipe, output=tmp_path, to="kubeflow")
    limits = documents(file)[1]["spec"]["trainer"]["resourcesPerNode"]["limits"]
    assert limits == {"cpu": "16", "memory": "64Gi"}
    with pytest.raises(UserError, match="--gpu H100: the recipe trains on 'cpu'"):
        tw.launch_files(recipe, output=tmp_path, gpu="H100")


def test_a_changed_recipe_is_another_run(recipe: Path, tmp_path: Path) -> None:
    def name() -> str:
        return str(made(recipe, tmp_path)["kubeflow"][1]["metadata"]["name"])

    first = name()
    assert name() == first
    recipe.write_text(recipe.read_text() + "seed: 1\n")
    assert name() != first


def test_what_cannot_be_is_said(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="4 processes cannot be spread evenly over 3 machines"):
        tw.launch_files(recipe, output=out, nodes=3)
    with pytest.raises(UserError, match="no cluster called 'slurm'"):
        tw.launch_files(recipe, output=out, to="slurm")
    with pytest.raises(UserError, match=r"--volume s3://team: .* and Kubernetes mounts volume claims"):
        tw.launch_files(recipe, output=out, gpu="H100", volume="s3://team")
    recipe.write_text("data: [a/flats.csv, b/flats.csv]\ntargets: {grade: category}\n")
    with pytest.raises(UserError, match=r"two files of the recipe are called 'flats\.csv'"):
        tw.launch_files(recipe, output=out)
    assert not out.exists()


def test_the_verb_says_what_to_copy(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from trainwright.cli.main import main

    assert main(["launch-files", str(recipe), "-o", str(tmp_path / "out"), "--to", "kubeflow"]) == 0
    out, error = capsys.readouterr()
    assert out.split() == [str(tmp_path / "out" / "kubeflow.yaml")]
    assert "Copy flats.csv to /shared/data" in error

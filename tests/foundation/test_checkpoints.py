"""Where a checkpoint comes from."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from trainwright.foundation.checkpoints import checkpoint_folder, has_safetensors
from trainwright.foundation.errors import RecipeError
from trainwright.foundation.weights_digest import same_weights, weights_digest


def test_a_local_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert checkpoint_folder(str(tmp_path)) == tmp_path
    has_safetensors(tmp_path, "x")


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no checkpoint: it has no config\.json"):
        checkpoint_folder(str(tmp_path))


@pytest.mark.parametrize("inner", ["", "model"])
def test_a_model_of_ours_is_to_be_exported_first(inner: str, tmp_path: Path) -> None:
    (tmp_path / inner).mkdir(exist_ok=True)
    (tmp_path / inner / "language.json").write_text("{}")
    with pytest.raises(RecipeError, match=f"trainwright export {tmp_path} -o"):
        checkpoint_folder(str(tmp_path))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere", "a/b/c", "two words/x"])
def test_what_is_no_name_is_not_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "trainwright.foundation.checkpoints._download", lambda name: pytest.fail(f"asked for {name}")
    )
    with pytest.raises(RecipeError, match="there is no checkpoint folder"):
        checkpoint_folder(name)


def test_offline_mode_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **kwargs: pytest.fail("asked the hub"))
    with pytest.raises(RecipeError, match="the hub cannot be reached"):
        checkpoint_folder("nobody/nothing")


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="it has no weights"):
        has_safetensors(tmp_path, str(tmp_path))


@pytest.mark.parametrize("file", ["pytorch_model.bin", "weights.pt", "model.safetensors"])
def test_a_file_is_no_checkpoint(file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(b"x")
    with pytest.raises(
        RecipeError, match=f"this is another file; name the folder that it lies in, {tmp_path}"
    ):
        checkpoint_folder(str(tmp_path / file))


def test_pickles_are_refused_with_how_to_convert_them(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(
        RecipeError, match=r"pickled \(pytorch_model.bin\).*AutoModelForCausalLM.*AutoTokenizer"
    ):
        has_safetensors(tmp_path, str(tmp_path), auto="AutoModelForCausalLM")


def test_pickles_on_the_hub_are_refused_though_they_are_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    listed = ["config.json", "pytorch_model-00001-of-2.bin", "README.md"]

    def model_info(name: str, **_: Any) -> Any:
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=file) for file in listed])

    monkeypatch.setattr(huggingface_hub, "model_info", model_info)
    with pytest.raises(RecipeError, match=r"weights are pickled \(pytorch_model-00001-of-2.bin\)"):
        has_safetensors(tmp_path, "some/one")
    listed = ["config.json"]
    with pytest.raises(RecipeError, match="some/one: this checkpoint cannot be used: it has no weights"):
        has_safetensors(tmp_path, "some/one")


def test_a_template_of_its_own_file_is_downloaded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    for name in ("config.json", "model.safetensors", "chat_template.jinja", "pytorch_model.bin"):
        (tmp_path / name).write_text("{}")
    taken: list[Path] = []

    def download(name: str, *, allow_patterns: list[str], **_: Any) -> str:
        taken.extend(file for file in tmp_path.iterdir() if any(map(file.match, allow_patterns)))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    checkpoint_folder("some/one")
    assert sorted(file.name for file in taken) == ["chat_template.jinja", "config.json", "model.safetensors"]


def test_a_digest_sees_every_tensor(tmp_path: Path) -> None:
    """The pieces that it is of besides leave out half of a file of 32 MiB."""
    path, number = tmp_path / "model.safetensors", 12
    tensors = {f"small.{place}": np.zeros(2_000, dtype=np.float32) for place in range(number)}
    save_file({"large": np.zeros(1 << 23, dtype=np.float32)} | tensors, path)
    before = weights_digest(str(tmp_path))
    assert same_weights(before, weights_digest(str(tmp_path)))
    header = int.from_bytes(path.read_bytes()[:8], "little")
    entries = json.loads(path.read_bytes()[8 : 8 + header])
    by_pieces = 0
    for name in tensors:
        begin, _ = entries[name]["data_offsets"]
        with path.open("r+b") as stream:
            stream.seek(8 + header + begin + 4_000)
            stream.write(b"x")
        found = weights_digest(str(tmp_path))
        assert not same_weights(before, found), name
        # A digest of an earlier version is still compared, by the pieces that it is of.
        by_pieces += not same_weights(before.partition(":")[0], found)
        with path.open("r+b") as stream:
            stream.seek(8 + header + begin + 4_000)
            stream.write(b"\0")
    assert by_pieces < number

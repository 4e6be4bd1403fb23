"""Where a checkpoint comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainwright.foundation.checkpoints import checkpoint_folder, has_safetensors
from trainwright.foundation.errors import RecipeError


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
        has_safetensors(tmp_path, "x")

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainwright.foundation.errors import ModelFolderError
from trainwright.reporting.manifest import FORMAT, MANIFEST, check_manifest, write_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (folder / "transforms.json").write_text('{"ä": 1}', encoding="utf-8")
    (folder / "tokenizer" / "vocab.json").write_text("{}")
    write_manifest(folder, data_fingerprint="abc", metrics={"y": {"accuracy": 0.9}})
    return folder


def rewrite(folder: Path, **changes: Any) -> None:
    document = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**document, **changes}))


def test_an_untouched_folder_passes_and_says_where_it_came_from(folder: Path) -> None:
    document = check_manifest(folder)
    assert set(document["files"]) == {"model.safetensors", "transforms.json", "tokenizer/vocab.json"}
    assert document["files"]["model.safetensors"]["bytes"] == 10_240
    assert document["format"] == FORMAT
    assert document["data_fingerprint"] == "abc"
    assert document["metrics"] == {"y": {"accuracy": 0.9}}
    assert {"trainwright", "torch"} <= set(document["packages"])


@pytest.mark.parametrize("name", ["model.safetensors", "transforms.json", "tokenizer/vocab.json"])
def test_a_changed_byte_names_the_file(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelFolderError, match=f"'{name}' is not the one that was saved"):
        check_manifest(folder)


@pytest.mark.parametrize(
    "changes", [{"metrics": {"y": {"accuracy": 1.0}}}, {"data_fingerprint": "abd"}, {"hash": ""}]
)
def test_a_change_of_the_manifest_itself_is_found(folder: Path, changes: dict[str, Any]) -> None:
    rewrite(folder, **changes)
    with pytest.raises(ModelFolderError, match="the manifest is damaged"):
        check_manifest(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "transforms.json").unlink()
    with pytest.raises(ModelFolderError, match=r"'transforms\.json' is missing"):
        check_manifest(folder)


def test_a_file_that_does_not_belong_is_named(folder: Path) -> None:
    (folder / "tokenizer" / "evil.pkl").write_bytes(b"x")
    with pytest.raises(ModelFolderError, match=r"'tokenizer/evil\.pkl' does not belong"):
        check_manifest(folder)


def test_what_file_managers_leave_behind_and_a_new_card_do_no_harm(folder: Path) -> None:
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "card.md").write_text("written after the weights were safe")
    check_manifest(folder)
    write_manifest(folder, data_fingerprint="abc", metrics={})
    (folder / "card.md").write_text("changed afterwards")
    with pytest.raises(ModelFolderError, match=r"card\.md"):
        check_manifest(folder)


def test_a_newer_format_asks_for_an_upgrade(folder: Path) -> None:
    rewrite(folder, format=FORMAT + 1)
    with pytest.raises(ModelFolderError, match="newer Trainwright") as error:
        check_manifest(folder)
    assert "upgrade" in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "/etc/passwd",
        "a/../../b",
        "C:/x",
        "..\\x",
        "a//b",
        "./a",
        "",
        ".",
        "a\nb",
        MANIFEST,
        "a/",
        "con:",
    ],
)
def test_a_name_that_leaves_the_folder_is_refused(folder: Path, name: str) -> None:
    rewrite(folder, files={name: {"sha256": "0" * 64, "bytes": 1}})
    with pytest.raises(ModelFolderError, match="no place inside the folder"):
        check_manifest(folder)


def test_links_are_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("x")
    (folder / "weights.bin").symlink_to(outside)
    with pytest.raises(ModelFolderError, match=r"'weights\.bin' is a link"):
        check_manifest(folder)
    with pytest.raises(ModelFolderError, match="is a link"):
        write_manifest(folder, data_fingerprint="abc", metrics={})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"format": "1"}',
        '{"format": 1}',
        '{"format": 1, "files": {"a": 3}}',
        "\udcff",
    ],
)
def test_a_damaged_manifest_is_one_sentence(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ModelFolderError, match="the manifest is damaged"):
        check_manifest(folder)


def test_what_is_no_model_folder_is_said(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ModelFolderError, match="not a model folder"):
            check_manifest(place)

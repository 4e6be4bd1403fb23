"""The manifest of a model folder: what lies in it, byte for byte, and where it came from.

A model is loaded only after its folder agrees with its manifest. That finds damage and mixed-up files; it
is no signature: who can write the folder can write the manifest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any

from trainwright.foundation.errors import ModelFolderError
from trainwright.foundation.hashing import file_sha256, json_hash
from trainwright.foundation.paths import write_json

MANIFEST = "manifest.json"
FORMAT = 1
"""Version of the model folder's layout; a folder of a higher one is refused."""

_PACKAGES = (
    "trainwright",
    "torch",
    "numpy",
    "polars",
    "safetensors",
    "tokenizers",
    "transformers",
    "pillow",
    "soxr",
)
_OWN_HASH = "hash"
"""Key of the hash over everything else in the manifest, which no other file vouches for."""
_MANIFEST_BYTES = 16 * 2**20
# What file managers leave behind; nothing reads them.
_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
# Written after the weights are safe and listed a moment later; for readers only.
_OPTIONAL = frozenset({"card.md"})


def write_manifest(model_folder: Path, *, data_fingerprint: str, metrics: Mapping[str, Any]) -> Path:
    """Write `manifest.json` over all files of a model folder and return its path.

    Args:
        model_folder: the folder, complete but for the manifest.
        data_fingerprint: of the data that the model was trained on.
        metrics: target → metric → value on the test rows; JSON-able.

    Raises:
        ModelFolderError: the folder holds something that a manifest cannot list (a link).
    """
    path = model_folder / MANIFEST
    files = {
        name: {"sha256": file_sha256(file), "bytes": file.stat().st_size}
        for name, file in sorted(_files(model_folder))
    }
    document: dict[str, Any] = {
        "format": FORMAT,
        "files": files,
        "packages": _package_versions(),
        "data_fingerprint": data_fingerprint,
        "metrics": dict(metrics),
    }
    write_json(path, {**document, _OWN_HASH: json_hash(document)})
    return path


def check_manifest(model_folder: Path) -> dict[str, Any]:
    """Compare a model folder with its manifest, byte for byte, and return the manifest.

    Raises:
        ModelFolderError: it is no model folder, a newer version wrote it, a file is missing, was changed or
            does not belong there, or the manifest names a place outside the folder.
    """
    document = _read(model_folder)
    listed = document["files"]
    present = dict(_files(model_folder))
    for name in listed:
        if name not in present:
            raise ModelFolderError(
                f"the file '{name}' is missing",
                where=str(model_folder),
                fix="use a complete copy of the folder",
            )
    for name in present:
        if name not in listed and name not in _OPTIONAL:
            raise ModelFolderError(
                f"the file '{name}' does not belong to this model",
                where=str(model_folder),
                fix="remove it, or use an untouched copy of the folder",
            )
    for name, expected in listed.items():
        file = present[name]
        # The size first: it costs nothing, and most damage is a copy that broke off.
        if file.stat().st_size != expected["bytes"] or file_sha256(file) != expected["sha256"]:
            raise ModelFolderError(
                f"the file '{name}' is not the one that was saved (its hash differs)",
                where=str(model_folder),
                fix="use an undamaged copy of the folder",
            )
    return document


def _read(model_folder: Path) -> dict[str, Any]:
    path = model_folder / MANIFEST
    if not path.is_file():
        raise ModelFolderError(
            f"this is not a model folder (it holds no {MANIFEST})",
            where=str(model_folder),
            fix="name the folder 'model' of a run, or a copy of one",
        )
    damaged = ModelFolderError(
        "the manifest is damaged", where=str(path), fix="use an undamaged copy of the folder"
    )
    if path.stat().st_size > _MANIFEST_BYTES:
        raise damaged
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged from error
    written = document.get("format") if isinstance(document, dict) else None
    if not isinstance(written, int):
        raise damaged
    if written > FORMAT:
        raise ModelFolderError(
            f"a newer Trainwright wrote this model (format {written}; this one reads up to {FORMAT})",
            where=str(model_folder),
            fix="upgrade with 'pip install --upgrade trainwright'",
        )
    files = document.get("files")
    if not isinstance(files, dict) or not all(map(_is_entry, files.values())):
        raise damaged
    for name in files:
        if not _is_safe(name):
            raise ModelFolderError(
                f"the manifest names {name!r}, which is no place inside the folder",
                where=str(path),
                fix="do not trust this folder; get it again from where it was made",
            )
    if document.pop(_OWN_HASH, None) != json_hash(document):
        raise damaged
    return document


def _is_entry(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("sha256"), str)
        and isinstance(value.get("bytes"), int)
    )


def _is_safe(name: str) -> bool:
    """Return whether a name of the manifest is a plain path inside the folder, on every system."""
    parts = PurePosixPath(name).parts
    return (
        bool(parts)
        and "/".join(parts) == name
        and name != MANIFEST
        and name.isprintable()
        and not any(character in name for character in '\\:*?"<>|')
        and not {"/", "..", "."} & set(parts)
    )


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (name with forward slashes, path) of every file but the manifest.

    Raises:
        ModelFolderError: there is a link or something else that is no plain file.
    """
    for root, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(root, name)
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise ModelFolderError(
                    f"'{path.relative_to(folder).as_posix()}' is a link, not a file",
                    where=str(folder),
                    fix="copy the file itself into the folder",
                )
        for name in names:
            path = Path(root, name)
            relative = path.relative_to(folder).as_posix()
            if relative != MANIFEST and name not in _LITTER:
                yield relative, path


def _package_versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions

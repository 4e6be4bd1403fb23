"""Folders of Hugging Face checkpoints: local, in the cache, or downloaded; a refusal comes within seconds."""

from __future__ import annotations

import os
from pathlib import Path

from trainwright.foundation.errors import RecipeError

PROBE_SECONDS = 4.0
"""Longest wait for the hub's first answer; its own client would try for half a minute."""

_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def checkpoint_folder(name: str) -> Path:
    """Return the folder of a checkpoint, downloading it where it is neither local nor in the cache.

    Args:
        name: a local folder, or a name on the hub such as `sentence-transformers/all-MiniLM-L6-v2`.

    Raises:
        RecipeError: there is no such folder or name, or the hub cannot be reached.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise RecipeError(
                "this folder is no checkpoint: it has no config.json",
                where=name,
                fix="name a folder that transformers' save_pretrained wrote",
            )
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        cached = Path(snapshot_download(name, local_files_only=True, allow_patterns=list(_FILES)))
    except (HFValidationError, LocalEntryNotFoundError, ValueError) as error:
        if not isinstance(error, LocalEntryNotFoundError) or _looks_like_path(name):
            raise RecipeError(
                f"there is no checkpoint folder '{name}'",
                fix="give an existing folder or a name as on huggingface.co",
            ) from error
    else:
        if (cached / "config.json").is_file() and any(cached.glob("*.safetensors")):
            return cached
    return _download(name)


def has_safetensors(folder: Path, name: str) -> None:
    """Check that a checkpoint's weights are safetensors: a pickle can run whatever it was made to.

    Raises:
        RecipeError: it has only pickled weights, or none.
    """
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern))
    what = (
        f"its weights are pickled ({pickles[0]}), which can run code when opened"
        if pickles
        else "it has no weights"
    )
    raise RecipeError(
        f"this checkpoint cannot be used: {what}",
        where=name,
        fix="convert it once where you trust it, with transformers: "
        "AutoModel.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER), and name the new folder",
    )


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "~", os.sep)) or name.count("/") > 1 or "\\" in name


def _download(name: str) -> Path:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    offline = RecipeError(
        f"the checkpoint '{name}' is not on this machine and the hub cannot be reached",
        fix="name a local folder, or download it once with a connection",
    )
    if constants.HF_HUB_OFFLINE:
        raise offline
    try:
        with urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=PROBE_SECONDS):
            pass
    except HTTPError:
        pass  # an answer, whatever it says
    except OSError as error:
        raise offline from error
    try:
        return Path(snapshot_download(name, allow_patterns=list(_FILES), etag_timeout=PROBE_SECONDS))
    except GatedRepoError as error:
        raise RecipeError(
            f"the checkpoint '{name}' is given out on request only",
            fix="accept its terms on huggingface.co and log in with `hf auth login`",
        ) from error
    except RepositoryNotFoundError as error:
        raise RecipeError(
            f"there is no checkpoint '{name}' on the hub, or it is private",
            fix="check the name on huggingface.co, or give a local folder",
        ) from error
    except (OSError, HfHubHTTPError) as error:
        raise offline from error

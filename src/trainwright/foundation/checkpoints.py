"""Folders of Hugging Face checkpoints: local, in the cache, or downloaded; a refusal comes within seconds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from fnmatch import fnmatch
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from trainwright.foundation.errors import RecipeError
from trainwright.foundation.hashing import json_hash
from trainwright.foundation.leases import use
from trainwright.foundation.locks import locked
from trainwright.foundation.paths import cache_folder, whole_folder

PROBE_SECONDS = 4.0
"""Longest wait for the hub's first answer; its own client would try for half a minute."""

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_OURS = "language.json"
"""What a folder of a language model of ours has, and no checkpoint."""
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")

_GGUF = ".gguf"
_MAGIC = b"GGUF"
_VERSION = 2


def language_checkpoint(name: str) -> Path:
    """Return the folder of a language model's checkpoint; a GGUF file is made one, once, in the cache.

    Args:
        name: a folder, a GGUF file or the folder of one, or a name on the hub.

    Raises:
        RecipeError: there is none, or the GGUF file is damaged.
    """
    path = Path(name).expanduser()
    if path.suffix.lower() != _GGUF:
        files = sorted(path.glob(f"*{_GGUF}")) if path.is_dir() else []
        if not files or (path / "config.json").is_file():
            return checkpoint_folder(name)
        if len(files) > 1:
            raise RecipeError(
                f"this folder holds {len(files)} GGUF files",
                where=name,
                fix=f"name one of them: {files[0].name}, …",
            )
        path = files[0]
    if not path.is_file():
        raise RecipeError("there is no such GGUF file", where=name, fix="check the path")
    with path.open("rb") as stream:
        if stream.read(4) != _MAGIC:
            raise RecipeError(
                "this is not a GGUF file, or a damaged one", where=name, fix="download it again"
            )
    if find_spec("gguf") is None:
        raise RecipeError(
            "GGUF files need the package gguf", where=name, fix="pip install 'trainwright[gguf]'"
        )
    return _converted(path, name)


def has_encoder_and_decoder(name: str) -> bool:
    """Return whether a checkpoint says that it has an encoder and a decoder.

    Args:
        name: as for `language_checkpoint`.

    Raises:
        RecipeError: there is none, or its configuration cannot be read.
    """
    path = language_checkpoint(name) / "config.json"  # what it says of a bad one is a ValueError too
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(
            "the config.json of this checkpoint cannot be read", where=name, fix="download it again"
        ) from error
    return isinstance(config, dict) and config.get("is_encoder_decoder") is True


def _converted(path: Path, name: str) -> Path:
    """Return a folder with the weights of a GGUF file, which reads a hundred times as fast.

    They are kept in float16, as precise as any quantised weight; those of a file of 32 bits or bfloat16 in
    float32.
    """
    status = path.stat()
    key = json_hash([_VERSION, str(path.resolve()), status.st_size, status.st_mtime_ns])
    folder = cache_folder("checkpoints") / key
    use(folder)
    lock = folder.with_name(f".{key}.lock")
    with locked(lock, busy="the same checkpoint is being converted", fix="wait for it", wait=lambda _: None):
        if not (folder / "config.json").is_file():
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer

            words: dict[str, Any] = {
                "gguf_file": path.name,
                "local_files_only": True,
                "trust_remote_code": False,
            }
            try:
                # Bars of the package gguf go to standard error whatever it is told.
                with quiet(), redirect_stderr(StringIO()):
                    tokenizer = AutoTokenizer.from_pretrained(path.parent, **words)
                    model, report = AutoModelForCausalLM.from_pretrained(
                        path.parent,
                        dtype=torch.float32 if _is_precise(path) else torch.float16,
                        output_loading_info=True,
                        **words,
                    )
            except Exception as error:  # gguf and transformers raise what they like for a bad file
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
                raise RecipeError(
                    f"this GGUF file cannot be read: {reason}", where=name, fix="download it again"
                ) from error
            check_weights(model, report, name)
            # Its numbers are plain ones by now.
            model.hf_quantizer = None
            del model.config.quantization_config
            with whole_folder(folder, durable=False) as scratch, quiet():
                tokenizer.save_pretrained(scratch)
                model.save_pretrained(scratch)
        folder.touch()
    return folder


def _is_precise(path: Path) -> bool:
    """Return whether matrices of a GGUF file have more digits, or larger numbers, than float16 holds."""
    from gguf import GGMLQuantizationType, GGUFReader

    wide = {GGMLQuantizationType.F32, GGMLQuantizationType.BF16, GGMLQuantizationType.F64}
    return any(tensor.tensor_type in wide and len(tensor.shape) > 1 for tensor in GGUFReader(path).tensors)


def check_weights(model: Any, report: Mapping[str, Any], name: str) -> None:
    """Check that a checkpoint had the weights of its model, no more and no less.

    Args:
        model: as transformers loaded it.
        report: what transformers says of loading it.
        name: of the checkpoint.

    Raises:
        RecipeError: a weight was missing, too many, or of another shape.
    """
    # Weights that are tied to others are made, not read; none are where the model says that there are none.
    tied = getattr(model, "all_tied_weights_keys", None)
    tied = getattr(model, "_tied_weights_keys", None) if tied is None else tied
    lacking = sorted(key for key in report["missing_keys"] if key not in set(tied or ()))
    if lacking:
        raise RecipeError(
            f"this checkpoint lacks {len(lacking)} weights of its model, {lacking[0]} among them",
            where=name,
            fix="download it again, or choose one that was saved with its language-model head",
        )
    wrong = sorted(str(key) for key in report.get("mismatched_keys") or ())
    extra = sorted(key for key in report["unexpected_keys"] if not _is_harmless(key))
    if wrong or extra:
        what = f"weights of another shape ({wrong[0]})" if wrong else f"weights too many ({extra[0]})"
        raise RecipeError(
            f"this checkpoint does not fit its own configuration: it has {what}",
            where=name,
            fix="choose another checkpoint, or mend its config.json",
        )


_HARMLESS = ("pooler", "position_ids", "seq_relationship", "inv_freq", "masked_bias", ".attn.bias")
"""Parts of the names of weights that a language model has no use for."""


def _is_harmless(key: str) -> bool:
    return any(part in key for part in _HARMLESS)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' bars and reports off the terminal; what matters in them is checked."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def checkpoint_folder(name: str) -> Path:
    """Return the folder of a checkpoint, downloading it where it is neither local nor in the cache.

    Args:
        name: a local folder, or a name on the hub such as `sentence-transformers/all-MiniLM-L6-v2`.

    Raises:
        RecipeError: there is no such folder or name, or the hub cannot be reached.
    """
    folder = Path(name).expanduser()
    if folder.is_file():
        raise RecipeError(
            "a checkpoint is a folder or a GGUF file, and this is another file",
            where=name,
            fix=f"name the folder that it lies in, {folder.parent}, with its config.json",
        )
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            if any((place / _OURS).is_file() for place in (folder, folder / "model")):
                raise RecipeError(
                    "this is a model of Trainwright, and training begins from checkpoints",
                    where=name,
                    fix=f"write it as one, `trainwright export {name} -o CHECKPOINT`, and name that folder",
                )
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
        # A download that was broken off has left some of the files.
        if (cached / "config.json").is_file() and _weights(cached) and not _lacking(cached):
            return cached
    return _download(name)


def has_safetensors(folder: Path, name: str, *, auto: str = "AutoModel") -> None:
    """Check that a checkpoint's weights are safetensors: a pickle can run whatever it was made to.

    Args:
        folder: the checkpoint's.
        name: of the checkpoint, as the user gave it.
        auto: class of transformers that loads it whole, with its head.

    Raises:
        RecipeError: it has only pickled weights, or none.
    """
    if _weights(folder):
        if lacking := _lacking(folder):
            raise RecipeError(
                f"this checkpoint lacks {lacking[0]}, which its {_INDEX} names",
                where=name,
                fix="download it again",
            )
        return
    pickles = _pickles(folder, name)
    if not pickles:
        raise RecipeError(
            "this checkpoint cannot be used: it has no weights",
            where=name,
            fix=f"download it again, or choose one with a {_WEIGHTS}",
        )
    raise RecipeError(
        "this checkpoint cannot be used: "
        f"its weights are pickled ({pickles[0]}), which can run code when opened",
        where=name,
        fix="convert it once where you trust it, with transformers: "
        f'{auto}.from_pretrained("{name}").save_pretrained("NEW_FOLDER"), then the same with AutoTokenizer, '
        "and name NEW_FOLDER",
    )


def _pickles(folder: Path, name: str) -> list[str]:
    """Return the names of a checkpoint's pickled weights; of one on the hub they were not downloaded."""
    found = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern))
    if found or Path(name).expanduser().exists():
        return found
    from huggingface_hub import model_info

    try:
        listed = [file.rfilename for file in model_info(name, timeout=PROBE_SECONDS).siblings or ()]
    except Exception:  # whatever the hub's HTTP client raises: without a list less is said
        return []
    return sorted(file for file in listed if any(fnmatch(file, pattern) for pattern in _PICKLES))


def _weights(folder: Path) -> bool:
    """Return whether a folder has weights, or a list of them, by the names that transformers looks for."""
    return any((folder / file).is_file() for file in (_WEIGHTS, _INDEX))


def _lacking(folder: Path) -> list[str]:
    """Return the files that a folder's list of weights names and that are not in it."""
    if (folder / _WEIGHTS).is_file() or not (folder / _INDEX).is_file():
        return []
    try:
        named = set(json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return [_INDEX]  # half written
    return sorted(
        str(file) for file in named if Path(str(file)).name != file or not (folder / file).is_file()
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

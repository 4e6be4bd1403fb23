"""Checkpoints: everything that a run needs to go on as if it had never stopped.

A checkpoint is a folder `step-000400` with `tensors.safetensors` (weights, optimiser, random states, best
weights so far) and `state.json` (position and the hash of the tensors). It is written beside, synced to the
disk, and renamed when whole; by a thread, so that training goes on meanwhile.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from torch import Tensor

from trainwright.foundation.hashing import file_sha256
from trainwright.foundation.paths import whole_folder, write_json
from trainwright.foundation.random import stream_seed
from trainwright.foundation.ranks import Ranks


class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: where they lie.
        keep: how many of the newest stay; each holds the best weights so far, too.

    Attributes:
        refused: name of each checkpoint that `newest` passed over → why.
    """

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep
        self.refused: dict[str, str] = {}
        self._writer: Thread | None = None
        self._failure: BaseException | None = None

    def _all(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))

    def begin(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Copy the tensors and write them in a thread; the one before is waited for, so that none pile up.

        Args:
            step, tensors, state: as for `save`.

        Raises:
            UserError: the one before could not be written (a full disk).
        """
        self.wait()
        copies = self.copied(tensors)
        self._writer = Thread(target=self._write, args=(step, copies, dict(state)), name="checkpoint")
        self._writer.start()

    def copied(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return copies in host memory, which training does not change any more."""
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}

    def _write(self, *checkpoint: Any) -> None:
        try:
            self.save(*checkpoint)
        except BaseException as error:  # raised again where somebody waits
            self._failure = error

    def wait(self) -> None:
        """Wait until the checkpoint that was begun is on the disk.

        Raises:
            UserError: it could not be written; those before it are untouched.
        """
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write a checkpoint and remove the oldest ones beyond `keep`.

        Args:
            step: updates done.
            tensors: name → tensor; copied to the CPU.
            state: JSON-able.
        """
        from safetensors.torch import save_file

        with whole_folder(self.folder / f"step-{step:09d}") as scratch:
            save_file(
                {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
                scratch / "tensors.safetensors",
            )
            digest = file_sha256(scratch / "tensors.safetensors")
            write_json(scratch / "state.json", {**state, "sha256": digest})
        for old in self._all()[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)

    def newest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return tensors and state of the newest checkpoint that is whole; None when there is none."""
        for folder in reversed(self._all()):
            state, why = hashes_of(folder)
            if why is None:
                return _tensors_of(folder), state
            self.refused[folder.name] = why
        return None

    def clear(self) -> None:
        """Remove all checkpoints: the run is complete and its model folder holds the weights."""
        shutil.rmtree(self.folder, ignore_errors=True)


def hashes_of(folder: Path) -> tuple[dict[str, Any], str | None]:
    """Return the state of a checkpoint, and why it is not what was written; None where it is."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        known = state["sha256"]
        files = known if isinstance(known, dict) else {"tensors.safetensors": known}
        if all(file_sha256(folder / name) == digest for name, digest in files.items()):
            return state, None
    except (OSError, ValueError, KeyError) as error:
        return {}, str(error).splitlines()[0]
    return state, "its hash is not the one it was written with"


def _tensors_of(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint; those that several processes wrote are put together."""
    from safetensors.torch import load_file

    if (folder / "tensors.safetensors").exists():
        return load_file(folder / "tensors.safetensors")
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    reader = HuggingFaceStorageReader(str(folder))
    known = reader.read_metadata().state_dict_metadata
    tensors = {
        name: torch.empty(entry.size, dtype=entry.properties.dtype)  # type: ignore[union-attr]
        for name, entry in known.items()
    }
    load(tensors, storage_reader=reader, no_dist=True)
    return tensors


def random_states() -> dict[str, Tensor]:
    """Return the state of torch's global generators."""
    states = {"random/cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["random/cuda"] = torch.cuda.get_rng_state()
    return states


def gathered_states(ranks: Ranks) -> dict[str, Tensor]:
    """Return the states of all processes, those of the others with their rank: "random/cpu.1"."""
    own = random_states()
    if ranks.size == 1:
        return own
    import torch.distributed as dist

    every: list[dict[str, Tensor]] = [{} for _ in range(ranks.size)]
    dist.all_gather_object(every, own)
    others = {
        f"{name}.{rank}": state for rank, states in enumerate(every) if rank for name, state in states.items()
    }
    return every[0] | others


def set_random_states(tensors: Mapping[str, Tensor], ranks: Ranks, *, seed: int, step: int) -> None:
    """Put back what `gathered_states` gave; a process that was not there then gets a seed of its own."""
    suffix = f".{ranks.rank}" if ranks.rank else ""
    if f"random/cpu{suffix}" not in tensors:
        torch.manual_seed(stream_seed(seed, "training", ranks.rank, step))
        return
    torch.set_rng_state(tensors[f"random/cpu{suffix}"])
    if f"random/cuda{suffix}" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors[f"random/cuda{suffix}"])

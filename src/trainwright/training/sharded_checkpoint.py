"""Checkpoints of sharded models: every process writes its parts, and any number of processes reads them.

They are written by `torch.distributed.checkpoint` as safetensors, beside, by a thread, and renamed by the
first process when all have finished; nothing in them is a pickle. An unsharded run reads them, and the other
way round.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainwright.foundation.hashing import file_sha256
from trainwright.foundation.paths import make_folder, write_json, writing
from trainwright.foundation.ranks import Ranks
from trainwright.training.checkpoint import Checkpoints, hashes_of
from trainwright.training.sharding import on_host


class ShardedCheckpoints(Checkpoints):
    """The checkpoints of a run whose model is sharded; every process has one, and all call it alike.

    Args:
        folder: where they lie; all processes see it.
        ranks: the processes.
        keep: how many of the newest stay; each holds the best weights so far, too.
    """

    def __init__(self, folder: Path, ranks: Ranks, *, keep: int = 2) -> None:
        super().__init__(folder, keep=keep)
        self.ranks = ranks
        # A group of its own: what the thread sends shall not meet what training sends.
        self._group: Any = torch.distributed.new_group(backend="gloo") if ranks.size > 1 else None

    def copied(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return copies of this process's parts in host memory."""
        return on_host(tensors)

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write a checkpoint together, and remove the oldest ones beyond `keep`.

        Args:
            step: updates done.
            tensors: name → tensor in host memory, sharded or not; the same names in all processes.
            state: JSON-able.
        """
        from torch.distributed.checkpoint.api import CheckpointException
        from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
        from torch.distributed.checkpoint.state_dict_saver import save

        folder = self.folder / f"step-{step:09d}"
        scratch = folder.with_name(f".{folder.name}.parts")
        first = self.ranks.is_first
        if first:
            shutil.rmtree(scratch, ignore_errors=True)
            with writing(make_folder(self.folder)):
                scratch.mkdir()
        self._meet()
        with writing(folder):
            try:
                writer = HuggingFaceStorageWriter(str(scratch), save_distributed=True)
                save(
                    dict(tensors),
                    storage_writer=writer,
                    process_group=self._group,
                    no_dist=self._group is None,
                )
            except CheckpointException as error:
                if first:
                    shutil.rmtree(scratch, ignore_errors=True)
                raise _cause(error) from error
            if first:
                for file in scratch.iterdir():
                    _sync(file)
                hashes = {file.name: file_sha256(file) for file in scratch.glob("*.safetensors")}
                write_json(scratch / "state.json", {**state, "sha256": hashes})
                shutil.rmtree(folder, ignore_errors=True)
                scratch.rename(folder)
                for old in self._all()[: -self.keep]:
                    shutil.rmtree(old, ignore_errors=True)
        self._meet()

    def _meet(self) -> None:
        if self._group is not None:
            torch.distributed.barrier(group=self._group)

    def load(
        self, template: Callable[[set[str]], dict[str, Tensor]]
    ) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return this process's parts of the newest whole checkpoint, and its state; None when there is none.

        Args:
            template: names that the checkpoint has → tensors to fill, sharded or not.
        """
        from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
        from torch.distributed.checkpoint.state_dict_loader import load

        name = self.ranks.from_first(self._newest_whole() if self.ranks.is_first else None)
        if name is None:
            return None
        folder = self.folder / name
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        reader = HuggingFaceStorageReader(str(folder))
        tensors = template(set(reader.read_metadata().state_dict_metadata))
        load(tensors, storage_reader=reader, process_group=self._group, no_dist=self._group is None)
        return tensors, state

    def _newest_whole(self) -> str | None:
        for folder in reversed(self._all()):
            why = hashes_of(folder)[1]
            if why is None:
                return folder.name
            self.refused[folder.name] = why
        return None


def _cause(error: Any) -> BaseException:
    """Return what one process met: a full disk, say."""
    failures = list(error.failures.values())
    cause = failures[0][0] if failures else error
    return cause if isinstance(cause, BaseException) else error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

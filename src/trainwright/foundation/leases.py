"""Which folders of the cache live processes use: what is in use is not removed to make room.

A process has one file with a line for each folder, and holds its lock until it ends, however it ends.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from trainwright.foundation.locks import lock_file, locked
from trainwright.foundation.paths import cache_folder, writing

_NAME = f"{os.getpid()}-{secrets.token_hex(4)}.lease"
_mine: dict[Path, tuple[int, set[Path]]] = {}
"""Folder of leases → the open file of this process there, and what it names."""
_thread = threading.Lock()


def use(folder: Path) -> None:
    """Keep a folder, which may not be there yet, until this process ends.

    Look into the folder only afterwards: before, another process may be removing it.

    Raises:
        UserError: the cache cannot be written to.
    """
    home, folder = cache_folder("in-use"), folder.absolute()
    lease = home / _NAME
    with _thread:
        handle, named = _mine.get(home, (None, set()))
        if handle is not None and not lease.exists():  # the cache was emptied by hand
            os.close(handle)
            handle = None
        if handle is not None and folder in named:
            return
        with writing(lease), _alone(home):
            new = {folder}
            if handle is None:
                handle, new = os.open(lease, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666), named | new
                lock_file(handle, wait=False)
            _mine[home] = handle, named | new
            os.write(handle, b"".join(os.fsencode(path) + b"\n" for path in new))


@contextmanager
def in_use() -> Iterator[set[Path]]:
    """Yield the folders that live processes, this one among them, use; meanwhile no other comes into use."""
    home = cache_folder("in-use")
    with _thread, _alone(home):
        found: set[Path] = set()
        for lease in home.glob("*.lease"):
            with suppress(FileNotFoundError):
                if lease.name != _NAME and _is_left_behind(lease):
                    lease.unlink()
                else:
                    found.update(Path(os.fsdecode(line)) for line in lease.read_bytes().splitlines())
        yield found


def _is_left_behind(lease: Path) -> bool:
    handle = os.open(lease, os.O_RDWR)
    try:
        return lock_file(handle, wait=False)
    finally:
        os.close(handle)


def _alone(home: Path) -> AbstractContextManager[None]:
    return locked(home / ".lock", busy="another process looks at the cache", fix="wait", wait=lambda _: None)

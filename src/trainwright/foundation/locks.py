"""Locks between processes: one run at a time in a folder, one encoding at a time of the same data.

A lock belongs to an open file, so the system lets go of it however the process ends.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainwright.foundation.errors import UserError
from trainwright.foundation.paths import make_folder, writing


@contextmanager
def locked(path: Path, *, busy: str, fix: str, wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold a lock file while entered.

    Args:
        path: the lock file; its folder is made where it is missing, and removed where nothing came there.
        busy: what it means that another process holds it, without a full stop.
        fix: what to do about it.
        wait: wait for the other process, after telling this who it is; without, it is an error.

    Raises:
        UserError: another process holds the lock, or the place cannot be written to.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    make_folder(path.parent)
    try:
        yield from _held(path, busy, fix, wait)
    finally:
        for folder in made:
            with suppress(OSError):  # something is in it
                folder.rmdir()


def _held(path: Path, busy: str, fix: str, wait: Callable[[str], None] | None) -> Iterator[None]:
    while True:
        with writing(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not lock_file(handle, wait=False):
                holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "unknown"
                if wait is None:
                    raise UserError(f"{busy} ({holder})", fix=fix)
                wait(holder)
                lock_file(handle, wait=True)
            if not _is_still_there(path, handle):
                continue  # whoever held it has removed the file: it is no lock any more
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            try:
                yield
            finally:
                with suppress(OSError):
                    path.unlink()
            return
        finally:
            os.close(handle)


def lock_file(handle: int, *, wait: bool) -> bool:
    """Take the lock of an open file; return whether it was free."""
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _is_still_there(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False

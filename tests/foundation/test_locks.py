"""Locks: held by one process, let go of however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from trainwright.foundation.errors import UserError
from trainwright.foundation.locks import locked

_HOLDER = """
import sys, time
from pathlib import Path
from trainwright.foundation.locks import locked
with locked(Path(sys.argv[1]), busy="busy", fix="wait"):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(path: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_second_process_is_told_who_holds_it_and_a_kill_lets_go(tmp_path: Path) -> None:
    lock = tmp_path / "new" / ".run.lock"
    holder = hold(lock)
    with pytest.raises(UserError, match=rf"busy \(process {holder.pid} on .+\); wait"), _mine(lock):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with _mine(lock):
        assert lock.exists()
    assert not lock.exists()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with _mine(tmp_path / "a" / "b" / ".lock"):
        pass
    assert not list(tmp_path.iterdir())
    with _mine(tmp_path / "a" / "b" / ".lock"):
        (tmp_path / "a" / "kept").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["kept"]


def test_who_waits_comes_next(tmp_path: Path) -> None:
    lock, told = tmp_path / ".lock", []
    holder = hold(lock)
    threading.Timer(0.3, holder.kill).start()
    with locked(lock, busy="busy", fix="wait", wait=told.append):
        assert told[0].startswith(f"process {holder.pid}")
        holder.wait()


def _mine(path: Path):  # type: ignore[no-untyped-def]
    return locked(path, busy="busy", fix="wait")

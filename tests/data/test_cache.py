"""The cache: what it lets go of, and what it keeps for whoever uses it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainwright.data.cache import prune
from trainwright.foundation.leases import use

_USER = """
import sys
from pathlib import Path
from trainwright.foundation.leases import use
for folder in sys.argv[1:]:
    use(Path(folder))
print("used", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five folders of 100 bytes, each used an hour after the one before; two and a half have room."""
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TRAINWRIGHT_CACHE_GB", str(250 / 2**30))
    for day, name in enumerate("abcde"):
        folder = tmp_path / "cache" / "sets" / name
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(bytes(100))
        when = time.time() - (5 - day) * 3_600
        os.utime(folder, (when, when))
    return tmp_path / "cache" / "sets"


def names(folder: Path) -> str:
    return "".join(sorted(path.name for path in folder.iterdir()))


def user(*folders: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", _USER, *map(str, folders)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "used\n"
    return process


def test_what_was_used_longest_ago_goes_first(cache: Path) -> None:
    prune(cache / "e")
    assert names(cache) == "de"


def test_what_a_live_process_uses_stays_until_it_dies(cache: Path) -> None:
    one = user(cache / "a", cache / "not-yet-there")
    prune(cache / "e")
    assert names(cache) == "ae"  # d had to make room for a, which was used longest ago
    one.send_signal(signal.SIGKILL)
    one.wait()
    (cache / "f").mkdir()
    (cache / "f" / "file").write_bytes(bytes(100))
    prune(cache / "f")
    assert names(cache) == "ef"
    assert len(list((cache.parent / "in-use").glob("*.lease"))) <= 1  # that of the dead one is gone


def test_what_this_process_uses_stays(cache: Path) -> None:
    use(cache / "b")
    prune(cache / "e")
    assert names(cache) == "be"


def test_room_is_made_for_what_is_to_come(cache: Path) -> None:
    prune(cache / "f", coming=140)
    assert names(cache) == "e"


def test_a_file_in_two_folders_counts_once(cache: Path) -> None:
    for name in "cd":
        (cache / name / "file").unlink()
        os.link(cache / "e" / "file", cache / name / "file")
        when = time.time() - 100
        os.utime(cache / name, (when, when))
    prune(cache / "e")
    assert names(cache) == "bcde"


def test_a_folder_that_is_being_written_stays_for_a_day(cache: Path) -> None:
    for name, days in ((".fresh", 0.5), (".old", 2.0)):
        (cache / name).mkdir()
        (cache / name / "file").write_bytes(bytes(1_000))
        when = time.time() - days * 86_400
        os.utime(cache / name, (when, when))
    prune(cache / "e")
    assert (cache / ".fresh").exists() and not (cache / ".old").exists()

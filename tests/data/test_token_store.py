"""Tokens that are written once: a kill loses no work, and what is damaged is never taken for whole."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainwright.data import token_store
from trainwright.data.token_store import TokenRows, Tokens, TokenWriter, open_tokens
from trainwright.foundation.errors import UserError

NUM_ROWS = 40


class Killed(BaseException):
    """Stands for a signal that no code can answer."""


def rows_of(row: int) -> TokenRows:
    """Return the tokens of a row of the table: always the same; every seventh row is broken."""
    draw = np.random.default_rng(row)
    if row % 7 == 6:
        empty = np.zeros(0, dtype=np.int64)
        return TokenRows(empty, empty.astype(bool), empty, empty, empty, empty, {row: "it says nothing"})
    ids = draw.integers(1, 500, draw.integers(1, 60))
    one = np.ones(1, dtype=np.int64)
    return TokenRows(ids, ids % 2 == 0, len(ids) * one, row * one, 3 * one, 2 * one, counts={"long": 1})


def write(folder: Path, *, flagged: bool = True) -> int:
    """Write all rows that are not there yet; return how many that were."""
    writer = TokenWriter(folder, vocabulary=500, flagged=flagged)
    begun = writer.rows_done
    for row in range(begun, NUM_ROWS):
        writer.append(rows_of(row), rows_done=row + 1)
    writer.close()
    return NUM_ROWS - begun


def content(folder: Path) -> dict[str, Any]:
    found = open_tokens(folder)
    assert found is not None
    return {
        name: np.asarray(value).tolist()
        for name, value in vars(found).items()
        if name not in ("broken", "counts")
    } | {
        "broken": found.broken,
        "counts": found.counts,
    }


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, Any]:
    write(tmp_path / "whole")
    return content(tmp_path / "whole")


def test_what_is_written_is_read(tmp_path: Path, whole: dict[str, Any]) -> None:
    rows = [rows_of(row) for row in range(NUM_ROWS)]
    assert whole["ids"] == np.concatenate([each.ids for each in rows]).tolist()
    assert whole["broken"] == dict.fromkeys(range(6, NUM_ROWS, 7), "it says nothing")
    assert whole["counts"] == {"long": NUM_ROWS - len(whole["broken"])}
    found = open_tokens(tmp_path / "whole")
    assert isinstance(found, Tokens) and found.ids.dtype == np.uint16


@pytest.mark.parametrize("step", ["append", "_commit", "fsync", "write_json"])
@pytest.mark.parametrize("after", [0, 1, 2, 5])
def test_a_kill_anywhere_loses_nothing_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Any], step: str, after: int
) -> None:
    monkeypatch.setattr(token_store, "_COMMIT_TOKENS", 100)
    calls = 0
    target: Any = {"fsync": os, "write_json": token_store}.get(step, TokenWriter)
    real = getattr(target, step)

    def dying(*rest: Any, **words: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise Killed
        return real(*rest, **words)

    monkeypatch.setattr(target, step, dying)
    with pytest.raises(Killed):
        write(tmp_path / "killed")
    monkeypatch.setattr(target, step, real)
    assert open_tokens(tmp_path / "killed") is None
    done = write(tmp_path / "killed")
    if step == "_commit" and after:
        assert done < NUM_ROWS  # what was whole was not done again
    assert content(tmp_path / "killed") == whole


_CHILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from trainwright.data import token_store
import test_token_store
token_store._COMMIT_TOKENS = 100
rows_of = test_token_store.rows_of
def slowly(row):
    time.sleep(0.01)
    return rows_of(row)
test_token_store.rows_of = slowly
print("begun", flush=True)
test_token_store.write(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("seconds", [0.05, 0.15, 0.3])
def test_a_process_that_is_killed_is_gone_on_from(
    tmp_path: Path, whole: dict[str, Any], seconds: float
) -> None:
    command = [sys.executable, "-c", _CHILD, str(tmp_path / "killed"), str(Path(__file__).parent)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"begun\n"
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    child.wait()
    write(tmp_path / "killed")
    assert content(tmp_path / "killed") == whole


@pytest.mark.parametrize("name", ["ids", "trained", "lengths", "rows"])
@pytest.mark.parametrize("harm", ["short", "missing", "empty", "long"])
@pytest.mark.parametrize("done", [True, False])
def test_what_is_damaged_is_written_anew(
    tmp_path: Path, whole: dict[str, Any], name: str, harm: str, done: bool
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tmp_path / "whole", folder)
    path, journal = folder / f"{name}.bin", folder / "tokens.json"
    journal.write_text(json.dumps(json.loads(journal.read_text()) | {"done": done}))
    data = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes({"short": data[:-8], "empty": b"", "long": data + bytes(8)}[harm])
    assert open_tokens(folder) is None
    write(folder)
    assert content(folder) == whole


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"done": true}'])
def test_a_damaged_journal_is_no_journal(tmp_path: Path, whole: dict[str, Any], text: str) -> None:
    (tmp_path / "whole" / "tokens.json").write_text(text)
    assert open_tokens(tmp_path / "whole") is None
    assert write(tmp_path / "whole") == NUM_ROWS
    assert content(tmp_path / "whole") == whole


def test_writing_anew_that_is_killed_leaves_nothing_that_seems_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Any]
) -> None:
    folder = tmp_path / "whole"
    (folder / "ids.bin").write_bytes((folder / "ids.bin").read_bytes()[:-2])
    real = TokenWriter.append

    def dying(self: TokenWriter, samples: TokenRows, *, rows_done: int) -> None:
        real(self, samples, rows_done=rows_done)
        if rows_done == NUM_ROWS:
            raise Killed

    monkeypatch.setattr(TokenWriter, "append", dying)
    with pytest.raises(Killed):
        write(folder)
    monkeypatch.undo()
    assert open_tokens(folder) is None
    write(folder)
    assert content(folder) == whole


def test_a_store_of_another_kind_is_written_anew(tmp_path: Path, whole: dict[str, Any]) -> None:
    folder = tmp_path / "other"
    writer = TokenWriter(folder, vocabulary=100_000, flagged=True)
    writer.append(rows_of(0), rows_done=1)
    writer.close(done=False)
    assert write(folder) == NUM_ROWS
    assert content(folder) == whole


def test_a_full_disk_is_said_and_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Any]
) -> None:
    monkeypatch.setattr(token_store, "_COMMIT_TOKENS", 100)
    calls, real = 0, os.fsync

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="the disk is full; free some space"):
        write(tmp_path / "full")
    monkeypatch.undo()
    write(tmp_path / "full")
    assert content(tmp_path / "full") == whole

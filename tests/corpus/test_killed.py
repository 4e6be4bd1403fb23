"""What calls that were killed leave behind: nothing of it comes into another corpus."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from corpora import PROSE, content, make, write_jsonl

from trainwright.foundation.errors import UserError
from trainwright.workshop import prepare_corpus

OTHER = "Nobody in the village could say where the old road went, for it ended in the wood behind the mill."


class Killed(BaseException):
    """Stands for a signal that no code can answer."""


def test_work_without_a_plan_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = write_jsonl(tmp_path / "other.jsonl", [OTHER])
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE])

    def killed(*rest: object) -> None:
        raise Killed

    monkeypatch.setattr("trainwright.reporting.corpus.write_corpus_report", killed)
    with pytest.raises(Killed):
        make(other, tmp_path / "out", decontaminate=[path])
    monkeypatch.undo()
    (tmp_path / "out" / ".work" / "plan.json").unlink()
    found, _ = make(path, tmp_path / "out")
    assert found["text"].to_list() == [PROSE]


@pytest.mark.parametrize("after", [0, 1, 3, 6])
def test_a_removal_that_was_killed_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Kill `force` after any number of files were removed."""
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE])
    other = write_jsonl(tmp_path / "other.jsonl", [OTHER])
    make(other, tmp_path / "other")
    monkeypatch.setattr(prepare_corpus, "_tidy", lambda work: None)
    make(path, tmp_path / "out")
    monkeypatch.undo()
    removed = 0

    def count(real: object) -> object:
        def counting(*rest: object, **words: object) -> object:
            nonlocal removed
            if removed == after:
                raise Killed
            removed += 1
            return real(*rest, **words)  # type: ignore[operator]

        return counting

    for name in ("unlink", "rmdir"):
        monkeypatch.setattr(os, name, count(getattr(os, name)))
    try:
        make(other, tmp_path / "out", force=True)
    except Killed:
        monkeypatch.undo()
        (tmp_path / "out" / ".lock").unlink(missing_ok=True)
        make(other, tmp_path / "out")
    monkeypatch.undo()
    assert content(tmp_path / "out") == content(tmp_path / "other")


def test_a_finished_corpus_is_compared_before_it_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE])
    other = write_jsonl(tmp_path / "other.jsonl", [OTHER])
    monkeypatch.setattr(prepare_corpus, "_tidy", lambda work: None)
    make(path, tmp_path / "out")
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "out" / ".work" / "pieces")
    with pytest.raises(UserError, match="begun with other sources"):
        make(other, tmp_path / "out")
    with pytest.raises(UserError, match="begun with quality gentle, not strict"):
        make(path, tmp_path / "out", quality="strict")
    found, _ = make(path, tmp_path / "out")
    assert found["text"].to_list() == [PROSE]
    assert not (tmp_path / "out" / ".work").exists()


def test_a_shard_that_is_missing_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE])
    make(path, tmp_path / "whole")

    def killed(*rest: object) -> None:
        raise Killed

    monkeypatch.setattr("trainwright.reporting.corpus.write_corpus_report", killed)
    with pytest.raises(Killed):
        make(path, tmp_path / "out")
    monkeypatch.undo()
    (tmp_path / "out" / "part-00000.parquet").unlink()
    make(path, tmp_path / "out")
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_folder_of_work_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE])
    (tmp_path / "out" / ".work").mkdir(parents=True)
    (tmp_path / "out" / ".work" / "notes.txt").write_text("mine", encoding="utf-8")
    for force in (False, True):
        with pytest.raises(UserError, match="this folder holds other files"):
            make(path, tmp_path / "out", force=force)
    assert (tmp_path / "out" / ".work" / "notes.txt").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("source", ["none.jsonl", "none-*.jsonl", "empty.jsonl", "out/part-00000.parquet"])
def test_force_removes_nothing_where_there_is_nothing_to_read(tmp_path: Path, source: str) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE])
    (tmp_path / "empty.jsonl").touch()
    make(path, tmp_path / "out")
    before = content(tmp_path / "out")
    with pytest.raises(UserError):
        make(tmp_path / source, tmp_path / "out", force=True)
    assert content(tmp_path / "out") == before
    with pytest.raises(UserError, match=r"there is no file or folder 'none\.jsonl'"):
        make(path, tmp_path / "out", force=True, decontaminate=[tmp_path / "none.jsonl"])
    assert content(tmp_path / "out") == before


def _places_where_the_disk_is_written() -> dict[str, tuple[Any, str]]:
    import numpy as np
    import pyarrow.parquet as pq

    from trainwright.corpus import features

    return {
        "a piece or shard": (pq.ParquetWriter, "write_table"),
        "the features": (features, "_blocks"),
        "the decision": (np, "save"),
    }


@pytest.mark.parametrize("place", sorted(_places_where_the_disk_is_written()))
@pytest.mark.parametrize("after", [1, 2])
def test_a_full_disk_is_one_sentence_and_the_same_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, after: int
) -> None:
    monkeypatch.setattr("trainwright.corpus.inputs.SLICE_BYTES", 100)
    for number in range(3):
        write_jsonl(tmp_path / "in" / f"{number}.jsonl", [f"{number} {PROSE}", f"{OTHER} {number}"])
    make(tmp_path / "in", tmp_path / "whole")
    owner, name = _places_where_the_disk_is_written()[place]
    real, steps = getattr(owner, name), 0

    def full(*rest: Any, **words: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps >= after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*rest, **words)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, full)
        with pytest.raises(UserError, match="the disk is full; free some space and run it again"):
            make(tmp_path / "in", tmp_path / "out")
    make(tmp_path / "in", tmp_path / "out")
    assert content(tmp_path / "out") == content(tmp_path / "whole")

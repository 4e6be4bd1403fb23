"""Folders of texts as they are: links that lead nowhere, pipes, files that cannot be read, long ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trainwright.data.open import open_table
from trainwright.data.sources import text
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings


def read(path: Path) -> Table:
    return open_table(DataSettings(path=str(path), format="text"))


def test_one_that_cannot_be_read_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "closed.txt").write_text("secret")
    (tmp_path / "link.txt").symlink_to(tmp_path / "nowhere.txt")
    (tmp_path / "folder.txt").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "z.txt").write_text("two")
    real = text.text_encoding

    def closed(file: Path, **words: str | None) -> str:
        if file.name == "closed.txt":
            raise PermissionError(13, "Permission denied")
        return real(file, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(text, "text_encoding", closed)
    table = read(tmp_path)
    assert table.column("text").to_list() == ["one", "two"]
    assert {row.reason for row in table.quarantined} == {
        "closed.txt: the file cannot be read (Permission denied)",
        "link.txt: the file cannot be read (No such file or directory)",
        "pipe.txt: this is no plain file",
    }


def test_files_of_other_kinds_are_counted(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("a.txt", "b.pdf", "c.pdf", "inner/d.html", "inner/Makefile", "e.jsonl", ".hidden/f.pdf"):
        (tmp_path / name).write_text("one")
    (note,) = read(tmp_path).notes
    assert note.startswith("Left out: 5 files of other kinds (.pdf, ")
    assert note.endswith(", …).")


def test_other_encodings_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.txt").write_text("中文文本" * 9, encoding="gb18030")
    (tmp_path / "c.txt").write_text("café " * 9, encoding="cp1252")
    (tmp_path / "d.txt").write_text("naïf " * 9, encoding="cp1252")
    assert read(tmp_path).notes == [
        "2 files were read as cp1252; if they look wrong, set data.encoding.",
        "1 file was read as gb18030; if it looks wrong, set data.encoding.",
    ]
    assert read(tmp_path / "b.txt").notes == [
        "The text was read as gb18030; if it looks wrong, set data.encoding."
    ]


def test_a_folder_of_nothing_else_says_why(tmp_path: Path) -> None:
    (tmp_path / "link.txt").symlink_to(tmp_path / "nowhere.txt")
    with pytest.raises(DataError, match=r"none of its 1 rows can be read .*No such file"):
        read(tmp_path)


def test_pieces_of_a_long_file_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "DOCUMENT_CHARACTERS", 100)
    lines = "".join(f"line {number}\n" for number in range(60))
    (tmp_path / "a.txt").write_text("short")
    (tmp_path / "b.txt").write_text(lines)
    (tmp_path / "c.txt").write_text("short")
    table = read(tmp_path)
    pieces = table.column("piece").to_list()
    assert pieces == [0, *range(len(pieces) - 2), 0]
    assert "".join(table.column("text").to_list()[1:-1]) == lines

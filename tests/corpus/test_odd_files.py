"""Odd and hostile files: one of them spoils no corpus, and takes no time by the square of its length."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from corpora import PROSE, left, make, write_jsonl
from test_readers import PAGE, record

from trainwright.corpus import streams, work
from trainwright.corpus.document import Document
from trainwright.corpus.encodings import HEAD, encoding_of
from trainwright.corpus.ledger import Ledger
from trainwright.corpus.pieces import _cut
from trainwright.corpus.reader import READERS, Asked, kind_of, whole
from trainwright.corpus.readers.markdown import _front_matter
from trainwright.corpus.repair import repaired
from trainwright.foundation.errors import UserError

ALL = {"near_duplicates": "off", "exact_duplicates": "off"}


def test_halves_of_characters_are_written_as_codes(tmp_path: Path) -> None:
    rows = [{"text": PROSE, "url": "http://example.org/\ud800"}, "\ud800 alone", {"text": 3, "t": "\ud800"}]
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    found, manifest = make(tmp_path / "a.json", tmp_path / "out")
    assert found["url"].to_list() == ["http://example.org/\\ud800"]
    assert manifest["samples"]["read.broken line"][0]["text"] == "\\ud800 alone"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_name_that_is_not_utf8_is_read(tmp_path: Path, workers: int) -> None:
    (tmp_path / "in").mkdir()
    for number in range(2):
        (tmp_path / "in" / os.fsdecode(f"a{number}".encode() + b"\xff.txt")).write_text(f"{PROSE} {number}")
    found, manifest = make(tmp_path / "in", tmp_path / "out", workers=workers, settings=ALL)
    assert [Path(name).name for name in found["source"]] == ["a0\\udcff.txt", "a1\\udcff.txt"]
    assert manifest["num_files_set_aside"] == 0


@pytest.mark.parametrize("charset", ["bogus", "base64", "utf\0-8", "undefined"])
def test_a_charset_that_is_none_is_found(tmp_path: Path, charset: str) -> None:
    odd = record(1).replace(b"charset=utf-8", f"charset={charset}".encode())
    head, _, rest = odd.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    length = len(rest.removesuffix(b"\r\n\r\n"))
    odd = b"\r\n".join([*lines, f"Content-Length: {length}".encode()]) + b"\r\n\r\n" + rest
    (tmp_path / "a.warc").write_bytes(odd + record(2))
    found, _ = make(tmp_path / "a.warc", tmp_path / "out", settings=ALL)
    assert len(found) == 2


def test_plain_text_of_a_crawl_has_the_encoding_that_it_names(tmp_path: Path) -> None:
    text = "Ein schöner Tag über den Bergen, und niemand wusste, wo die Brücke war. " * 3
    made = record(1, page="BODY", kind="text/plain").replace(b"charset=utf-8", b"charset=latin1")
    head, _, rest = made.partition(b"\r\n\r\n")
    rest = rest.removesuffix(b"\r\n\r\n").replace(b"BODY", text.encode("latin-1"))
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    lines.append(f"Content-Length: {len(rest)}".encode())
    (tmp_path / "a.warc").write_bytes(b"\r\n".join(lines) + b"\r\n\r\n" + rest + b"\r\n\r\n")
    found, _ = make(tmp_path / "a.warc", tmp_path / "out")
    assert "schöner" in found["text"][0]


def test_an_encoding_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE, encoding="utf-8")
    for name in ("bogus", "base64"):
        with pytest.raises(UserError, match=f"there is no encoding called '{name}'"):
            make(tmp_path / "a.html", tmp_path / "out", settings={"encoding": name})


def test_an_error_of_the_disk_sets_the_file_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = write_jsonl(tmp_path / "bad.jsonl", [f"{PROSE} {number}" for number in range(6_000)])
    good = write_jsonl(tmp_path / "good.jsonl", [PROSE])
    real = streams.Stream.readinto

    def breaks(self: Any, buffer: memoryview) -> int:
        if self._name == str(bad) and self._given > 5 << 18:
            raise OSError(errno.EIO, "Input/output error", "/somewhere")
        return real(self, buffer)

    monkeypatch.setattr(streams.Stream, "readinto", breaks)
    found, manifest = make([bad, good], tmp_path / "out", settings=ALL)
    assert found["source"].to_list()[-1] == str(good)
    assert len(found) > 1_000
    assert manifest["files_set_aside"] == [
        f"{bad}: the file cannot be read to its end (Input/output error); leave it out or mend it."
    ]


_CRASHES = """
import os, signal
from trainwright.corpus.readers import text
real = text.READERS["text"].read
def read(part, asked, ledger):
    print("a stray word")
    os.write(1, b"and another\\n")
    if part.name.endswith("bad.txt"):
        os.kill(os.getpid(), signal.SIGSEGV)
    yield from real(part, asked, ledger)
object.__setattr__(text.READERS["text"], "read", read)
from trainwright.corpus.worker import main
main()
"""


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_worker_that_prints_or_crashes_spoils_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    from trainwright.corpus import inputs, workers

    monkeypatch.setattr(inputs, "SLICE_BYTES", 900 // pieces)
    for number, name in enumerate(("a.txt", "bad.txt", "c.txt")):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text(f"{number} {PROSE}", encoding="utf-8")
    real = workers.subprocess.Popen

    def popen(command: list[str], **words: Any) -> Any:
        return real([sys.executable, "-c", _CRASHES, command[-1]], **words)

    monkeypatch.setattr(workers.subprocess, "Popen", popen)
    found, manifest = make(tmp_path / "in", tmp_path / "out", workers=2, settings=ALL)
    assert len(found) == 2
    assert manifest["files_set_aside"] == [
        f"{tmp_path / 'in'}/bad.txt: the process that read this file crashed twice; leave it out."
    ]


@pytest.mark.parametrize("kind", ["html", "warc"])
def test_a_page_of_elements_in_elements_is_set_aside(tmp_path: Path, kind: str) -> None:
    deep = PAGE.replace("<p>Nobody", "<div>" * 40_000 + "<p>Nobody")
    flat = PAGE.replace("<p>Nobody", "<p>And so on." * 6_000 + "<p>Nobody")
    if kind == "html":
        for name, page in (("deep.html", deep), ("flat.html", flat)):
            (tmp_path / "in").mkdir(exist_ok=True)
            (tmp_path / "in" / name).write_text(page, encoding="utf-8")
    else:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.warc").write_bytes(record(1, page=deep) + record(2, page=flat))
    begun = time.monotonic()
    found, manifest = make(tmp_path / "in", tmp_path / "out", settings=ALL, quality="off")
    assert time.monotonic() - begun < 10
    assert len(found) >= 1
    if kind == "html":
        assert "stand in one another more than 512 times" in manifest["files_set_aside"][0]
    else:
        assert left(manifest, "read") == {"page too large": 1}


def test_time_does_not_follow_the_square_of_the_length() -> None:
    begun = time.process_time()
    assert _front_matter("---" + "\n" * 200_000 + "x") == 0
    assert _front_matter("---\n" + "\n---" * 100_000 + " x") > 0
    assert _front_matter("---\n" + "a b c: d\n" * 100_000 + "---\n") > 0
    marks = repaired("a" + "\u0301\u0316" * 60_000, Ledger()).decode()
    assert max(map(len, re.findall("[\u0301\u0316]+", marks))) <= 30
    assert marks.count("\u0301") + marks.count("\u0316") + marks.count("á") == 120_000
    long = Document("word " * 1_000_000, "a", "", "text")
    assert sum(len(part.text) for part in _cut(long, 1_000, Ledger())) == 5_000_000
    assert time.process_time() - begun < 4


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_lines_of_utf16_are_read(tmp_path: Path, encoding: str) -> None:
    texts = [f"{number}. {PROSE} 石桥" for number in range(20)]
    lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    (tmp_path / "a.jsonl").write_bytes(lines.encode(encoding))
    found, manifest = make(tmp_path / "a.jsonl", tmp_path / "out", settings={**ALL, "encoding": encoding})
    assert found["text"].to_list() == texts
    assert not manifest["left"]


@pytest.mark.parametrize("shift", range(4))
def test_the_first_megabyte_of_utf16_is_cut_between_characters(shift: int) -> None:
    text = "a" * shift + "\U00020b9fb\n" * HEAD
    assert encoding_of(text.encode("utf-16-le")[:HEAD], name="a", asked=None) == "utf-16-le"
    assert encoding_of(text.encode("utf-16")[:HEAD], name="a", asked=None) == "utf-16"


def test_a_long_file_of_utf16_is_not_cut_between_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("reader", "inputs", "readers.text"):
        monkeypatch.setattr(f"trainwright.corpus.{module}.SLICE_BYTES", 1_001)
    text = "\n".join(f"{number}. {PROSE}" for number in range(50))
    (tmp_path / "a.txt").write_bytes(text.encode("utf-16-le"))
    found, _ = make(tmp_path / "a.txt", tmp_path / "out", quality="off", settings={"encoding": "utf-16-le"})
    assert found["text"].to_list() == [text]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in" / "closed").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text(PROSE, encoding="utf-8")
    real = os.scandir

    def scandir(path: Any = ".") -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found, manifest = make(tmp_path / "in", tmp_path / "out")
    assert len(found) == 1
    assert manifest["files_set_aside"] == [
        f"{tmp_path / 'in'}/closed: the folder cannot be read; check its permissions."
    ]


def test_a_packed_file_of_another_kind_is_counted(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "in").mkdir()
    for name in ("x.csv.gz", "y.tar.gz", "z.gz", "dump.2024.gz"):
        (tmp_path / "in" / name).write_bytes(gzip.compress(f"{PROSE} {name}".encode()))
    found, manifest = make(tmp_path / "in", tmp_path / "out", settings=ALL)
    assert [Path(name).name for name in found["source"]] == ["dump.2024.gz", "z.gz"]
    assert manifest["files_of_other_kinds"] == {".csv.gz": 1, ".tar.gz": 1}


def test_the_plan_does_not_grow_with_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(300):
        write_jsonl(tmp_path / "in" / f"{number}.jsonl", [f"{PROSE} {number}"])

    def stops(*rest: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(work, "make_piece", stops)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "in", tmp_path / "out")
    monkeypatch.undo()
    assert (tmp_path / "out" / ".work" / "plan.json").stat().st_size < 8_000
    _, manifest = make(tmp_path / "in", tmp_path / "out", settings={})
    assert manifest["num_files"] == 300


def test_texts_that_repair_leaves_empty_are_counted(tmp_path: Path) -> None:
    odd = write_jsonl(tmp_path / "a.jsonl", ["\u200b\ufeff", "\x00 \x01"])
    path = write_jsonl(tmp_path / "b.jsonl", [PROSE, "\u2060"])
    found, manifest = make([odd, path], tmp_path / "out", quality="off")
    assert len(found) == manifest["read"]["documents"] == 1
    assert left(manifest, "read") == {"no text": 3}
    with pytest.raises(UserError, match="no document could be read"):
        make(odd, tmp_path / "none", quality="off")


def test_addresses_and_samples_of_doubles_are_masked(tmp_path: Path) -> None:
    url = "http://example.org/?for=anna@example.org"
    rows = [{"text": f"Write to anna@example.org. {PROSE} {more}", "url": url} for more in ("One.", "Two.")]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found, manifest = make(tmp_path / "a.jsonl", tmp_path / "out", settings={"personal": "email"})
    assert found["url"].to_list() == ["http://example.org/?for=<EMAIL>"]
    assert manifest["masked"] == {"email": 2}
    _, manifest = make(tmp_path / "a.jsonl", tmp_path / "off", settings={"personal": "off"})
    assert manifest["samples"]["duplicates.near"]
    assert "anna" not in str(manifest["samples"])


@pytest.mark.parametrize("name", ["rows.parquet", "list.json"])
def test_memory_follows_neither_rows_nor_lists(tmp_path: Path, name: str) -> None:
    """Rows of half a megabyte that pack to nothing, and a list of 3 MB."""
    path = tmp_path / name
    if name.endswith("parquet"):
        pl.DataFrame({"text": ["a b c d " * 65_000] * 100}).write_parquet(path, compression="zstd")
        assert path.stat().st_size < 1 << 17
    else:
        row = json.dumps({"text": PROSE, "others": list(range(40))})
        path.write_text("[" + ",\n".join([row] * 6_000) + "]", encoding="utf-8")
    kind = kind_of(path, name)
    assert kind is not None
    tracemalloc.start()
    read = sum(1 for part in whole(path, name, kind) for _ in READERS[kind].read(part, Asked(), Ledger()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read == (100 if name.endswith("parquet") else 6_000)
    assert peak < (32 << 20 if name.endswith("parquet") else 6 << 20)


def test_memory_follows_no_row_group(tmp_path: Path) -> None:
    """One row group of 32 MB that does not pack: a column of it is streamed."""
    import base64
    import random

    import pyarrow as pa

    draw = random.Random(0)
    texts = [base64.b64encode(draw.randbytes(3_000)).decode() for _ in range(8_000)]
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"text": texts}).write_parquet(path, row_group_size=len(texts), compression="zstd")
    assert path.stat().st_size > 20 << 20
    before, peak, read = pa.total_allocated_bytes(), 0, 0
    for _ in READERS["parquet"].read(whole(path, "rows.parquet", "parquet")[0], Asked(), Ledger()):
        read += 1
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert read == len(texts)
    assert peak < 12 << 20, peak


def test_a_parquet_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwright.corpus.readers.parquet.RATIO_FROM_BYTES", 1 << 20)
    pl.DataFrame({"text": ["a b c d " * 65_000] * 50}).write_parquet(tmp_path / "a.parquet")
    write_jsonl(tmp_path / "b.jsonl", [PROSE])
    sources = [tmp_path / "a.parquet", tmp_path / "b.jsonl"]
    _, manifest = make(sources, tmp_path / "out", quality="off")
    assert "looks like a zip bomb" in manifest["files_set_aside"][0]
    assert manifest["read"]["characters"] < 3 << 20


@pytest.mark.parametrize("tail", ["]", " ] ", ",", "", ', {"text": "cut'])
def test_a_list_is_read_item_by_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tail: str) -> None:
    monkeypatch.setattr("trainwright.corpus.readers.jsonl.BLOCK", 7)
    texts = [f"{number} {PROSE} [,] {{}}" for number in range(3)]
    rows = ", \n".join(json.dumps({"text": text, "n": 12345678901234567890}) for text in texts)
    (tmp_path / "a.json").write_text(f" [{rows}, 1234567890123{tail}", encoding="utf-8")
    found, manifest = make(tmp_path / "a.json", tmp_path / "out", settings=ALL)
    assert found["text"].to_list() == texts
    assert left(manifest, "read") == {"broken line": 1}
    assert manifest["samples"]["read.broken line"][0]["text"] == "1234567890123"
    assert manifest["num_files_set_aside"] == (0 if "]" in tail else 1)

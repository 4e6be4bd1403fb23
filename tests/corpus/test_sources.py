"""What the user names is read: folders by a pattern, archives, links; what is not is named."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from corpora import PROSE, make, write_jsonl

from trainwright.corpus import inputs
from trainwright.corpus.streams import Stream
from trainwright.foundation.errors import UserError

ALL = {"near_duplicates": "off"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))


def names(found: Any, folder: Path) -> list[str]:
    return [name.removeprefix(f"{folder}/") for name in found["source"]]


def crawl(folder: Path) -> Path:
    """Write files, folders and archives, each with a text of its own."""
    for number, name in enumerate(("a.txt", "b/c.txt", "b/d/e.txt", "f.jsonl")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("jsonl"):
            write_jsonl(path, [f"{number} {PROSE}"])
        else:
            path.write_text(f"{number} {PROSE}", encoding="utf-8")
    with zipfile.ZipFile(folder / "g.zip", "w") as archive:
        archive.writestr("inner/h.txt", f"seven {PROSE}")
        archive.writestr("inner/i.txt", f"eight {PROSE}")
    with tarfile.open(folder / "j.tar.gz", "w:gz") as archive:
        archive.add(folder / "f.jsonl", "k.jsonl")
    return folder


def test_a_pattern_means_folders_and_archives_too(tmp_path: Path) -> None:
    folder = crawl(tmp_path / "in")
    found, manifest = make(f"{folder}/*", tmp_path / "out", settings={**ALL, "exact_duplicates": "off"})
    assert names(found, folder) == [
        "a.txt",
        "b/c.txt",
        "b/d/e.txt",
        "f.jsonl",
        "g.zip/h.txt",
        "g.zip/i.txt",
        "j.tar.gz",
    ]
    assert manifest["num_files"] == 7
    assert not manifest["files_set_aside"]
    assert not manifest["files_of_other_kinds"]


@pytest.mark.parametrize("pattern", ["**", "**/*", "b*", "b/**"])
def test_a_pattern_reads_no_file_twice(tmp_path: Path, pattern: str) -> None:
    folder = crawl(tmp_path / "in")
    found, _ = make(f"{folder}/{pattern}", tmp_path / "out", settings={**ALL, "exact_duplicates": "off"})
    below = [name for name in names(found, folder) if name.startswith("b/")]
    assert below == ["b/c.txt", "b/d/e.txt"]
    # `**` is the folder itself, and archives in a folder are not unpacked.
    assert len(found) == {"**": 4, "**/*": 7}.get(pattern, 2)


def test_a_relative_pattern_gives_relative_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crawl(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    found, _ = make("in/b*", tmp_path / "out", settings=ALL)
    assert found["source"].to_list() == ["in/b/c.txt", "in/b/d/e.txt"]


def test_a_range_of_names_is_spread(tmp_path: Path) -> None:
    for number in range(12):
        write_jsonl(tmp_path / f"part-{number:02}.jsonl", [f"{number} {PROSE}"])
    found, _ = make(f"{tmp_path}/part-{{08..10}}.jsonl", tmp_path / "out", settings=ALL)
    assert names(found, tmp_path) == [f"part-{number:02}.jsonl" for number in (8, 9, 10)]


def test_a_damaged_archive_is_named_among_others(tmp_path: Path) -> None:
    folder = crawl(tmp_path / "in")
    (folder / "g.zip").write_bytes((folder / "g.zip").read_bytes()[:60])
    found, manifest = make(f"{folder}/*", tmp_path / "out", settings=ALL)
    assert "g.zip" not in "".join(found["source"])
    assert manifest["files_set_aside"] == [
        f"{folder}/g.zip: the archive is cut off or damaged; copy or download it again."
    ]
    with pytest.raises(UserError, match=r"g\.zip: the archive is cut off or damaged; copy"):
        make(folder / "g.zip", tmp_path / "alone")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_archives_from_a_url_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """What a URL fetches is a file, or of a pattern a folder."""
    folder = crawl(tmp_path / "in")
    shutil.rmtree(folder / "b")
    fetched = {"file": folder / "g.zip", "folder": folder}[kind]
    url = {"file": "https://example.org/g.zip", "folder": "s3://bucket/crawl/*"}[kind]
    monkeypatch.setattr(inputs, "fetch", lambda url: fetched)
    found, _ = make(url, tmp_path / "out", settings={**ALL, "exact_duplicates": "off"})
    ends = [Path(name).name for name in found["source"]]
    wanted = {"file": ["h.txt", "i.txt"], "folder": ["a.txt", "f.jsonl", "h.txt", "i.txt", "j.tar.gz"]}
    assert ends == wanted[kind]


def test_links_that_are_not_followed_are_named(tmp_path: Path) -> None:
    folder = crawl(tmp_path / "in")
    (tmp_path / "elsewhere").mkdir()
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "z.txt").symlink_to(tmp_path / "none.txt")
    (folder / "y.txt").symlink_to(folder / "a.txt")
    os.mkfifo(folder / "pipe.txt")
    found, manifest = make(folder, tmp_path / "out", settings={**ALL, "exact_duplicates": "off"})
    assert "y.txt" in names(found, folder)
    fix = "name what it leads to, or leave it out."
    assert manifest["files_set_aside"] == [
        f"{folder}/linked: links to folders are not followed; {fix}",
        f"{folder}/pipe.txt: this is no file to read; {fix}",
        f"{folder}/z.txt: this is no file to read; {fix}",
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("split", ["line", "paragraph"])
@pytest.mark.parametrize("repair", [True, False])
def test_lines_end_as_on_any_system(tmp_path: Path, end: str, split: str, repair: bool) -> None:
    texts = [f"Number {number} of them. {PROSE[:100]}" for number in ["one", "two", "three", "four"]]
    between = end if split == "line" else f"{end} {end}{end}"
    (tmp_path / "a.txt").write_bytes(between.join(texts).encode())
    words = {"split": split, "repair": repair, **ALL}
    found, _ = make(tmp_path / "a.txt", tmp_path / "out", settings=words)
    assert found["text"].to_list() == texts
    assert found["position"].to_list()[0] == f"{split} 1"


def test_a_line_end_between_two_blocks_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwright.corpus.readers.text.BLOCK", 5)
    (tmp_path / "a.txt").write_bytes(b"abcd\r\nefgh\r\n\r\nijkl")
    found, _ = make(
        tmp_path / "a.txt", tmp_path / "out", settings={"split": "paragraph", **ALL}, quality="off"
    )
    assert found["text"].to_list() == ["abcd\nefgh", "ijkl"]


def test_a_large_dump_is_no_bomb(tmp_path: Path) -> None:
    """It is the ratio that tells, and not the size: nothing of it is held."""
    import gzip

    (tmp_path / "a.gz").write_bytes(gzip.compress(b"text"))
    with Stream(tmp_path / "a.gz", "a.gz") as stream:
        stream._packed, stream._given = 4 << 30, 700 << 30
        assert not stream._is_bomb()
        stream._given = 801 << 30
        assert stream._is_bomb()


def test_a_file_that_is_written_to_while_it_is_read_is_refused(tmp_path: Path) -> None:
    from trainwright.corpus.readers import jsonl

    path = write_jsonl(tmp_path / "a.jsonl", [PROSE, PROSE + " And on."])
    real = jsonl.READERS["jsonl"].read

    def writes(*rest: Any) -> Any:
        yield from real(*rest)
        with path.open("a", encoding="utf-8") as stream:
            stream.write('{"text": "more"}\n')

    object.__setattr__(jsonl.READERS["jsonl"], "read", writes)
    try:
        with pytest.raises(
            UserError, match=r"a\.jsonl: the file has changed since this corpus was begun; begin"
        ):
            make(path, tmp_path / "out")
    finally:
        object.__setattr__(jsonl.READERS["jsonl"], "read", real)
    with pytest.raises(UserError, match="begun with files that have changed since"):
        make(path, tmp_path / "out")
    found, _ = make(path, tmp_path / "out", force=True, settings=ALL)
    assert len(found) >= 2


def test_a_file_that_vanishes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainwright.corpus import work

    first = write_jsonl(tmp_path / "a.jsonl", [PROSE])
    second = write_jsonl(tmp_path / "b.jsonl", [PROSE + " And on."])
    real = work.make_piece

    def vanishes(*rest: Any, **words: Any) -> None:
        second.unlink(missing_ok=True)
        real(*rest, **words)

    monkeypatch.setattr(work, "make_piece", vanishes)
    with pytest.raises(UserError, match=r"b\.jsonl: the file has changed since"):
        make([first, second], tmp_path / "out")

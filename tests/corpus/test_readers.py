"""Readers: what becomes a document, and what broken files are answered with."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from corpora import PROSE, left, make, write_jsonl

from trainwright.corpus import extras
from trainwright.corpus.ledger import Ledger
from trainwright.corpus.reader import READERS, Asked
from trainwright.data.text_file import ENDINGS
from trainwright.foundation.errors import UserError

PAGE = (
    "<html><head><title>T</title><script>var tracker = 1;</script></head><body>"
    "<nav><ul><li><a href='/'>Home</a></li><li><a href='/x'>Imprint</a></li></ul></nav>"
    f"<main><article><h1>The bridge</h1><p>{PROSE}</p><p>Nobody else remembers it.</p></article></main>"
    "<footer>Copyright, all rights reserved</footer></body></html>"
)


def record(number: int, page: str = PAGE, status: str = "200 OK", kind: str = "text/html") -> bytes:
    body = page.replace("The bridge", f"The bridge, {number} of many").encode()
    http = f"HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\n\r\n".encode() + body
    head = (
        "WARC/1.0\r\nWARC-Type: response\r\n"
        f"WARC-Target-URI: http://example.org/{number}\r\nWARC-Record-ID: <urn:uuid:{number}>\r\n"
        "WARC-Date: 2026-01-01T00:00:00Z\r\nContent-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(http)}\r\n\r\n"
    )
    return head.encode() + http + b"\r\n\r\n"


def with_headers(made: bytes, headers: bytes, *, body: bytes | None = None) -> bytes:
    """Return a record of a page with more headers of HTTP, and with another body."""
    head, _, http = made.partition(b"\r\n\r\n")
    http_head, _, content = http.removesuffix(b"\r\n\r\n").partition(b"\r\n\r\n")
    http = http_head + b"\r\n" + headers + b"\r\n\r\n" + (content if body is None else body)
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    lines.append(f"Content-Length: {len(http)}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + http + b"\r\n\r\n"


def chunked(content: bytes) -> bytes:
    parts = [content[at : at + 100] for at in range(0, len(content), 100)]
    return b"".join(f"{len(part):x};a=b\r\n".encode() + part + b"\r\n" for part in parts) + b"0\r\n\r\n"


CODINGS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": lambda content: zlib.compress(content, wbits=-15),
    "br": lambda content: pa.compress(content, "brotli", asbytes=True),
    "zstd": lambda content: pa.compress(content, "zstd", asbytes=True),
    "identity": bytes,
    "gzip, br": lambda content: pa.compress(gzip.compress(content), "brotli", asbytes=True),
}


@pytest.mark.parametrize("coding", sorted(CODINGS))
@pytest.mark.parametrize("in_chunks", [False, True])
def test_pages_are_unpacked_as_their_headers_say(tmp_path: Path, coding: str, in_chunks: bool) -> None:
    body = CODINGS[coding](PAGE.encode())
    headers = b"Content-Encoding: " + coding.encode()
    if in_chunks:
        body, headers = chunked(body), headers + b"\r\nTransfer-Encoding: chunked"
    (tmp_path / "a.warc").write_bytes(record(1) + with_headers(record(2), headers, body=body) + record(3))
    found, manifest = make(tmp_path / "a.warc", tmp_path / "out", settings={"near_duplicates": "off"})
    assert found["url"].to_list() == [f"http://example.org/{number}" for number in (1, 2, 3)]
    assert PROSE in found["text"][1]
    assert not manifest["left"]


@pytest.mark.parametrize("coding", ["br", "gzip", "deflate", "zstd", "compress"])
@pytest.mark.parametrize("body", ["page", "bytes", "cut", "nothing"])
def test_one_page_that_cannot_be_unpacked_does_not_end_a_warc(tmp_path: Path, coding: str, body: str) -> None:
    """What is a page as it is, whatever its headers say, stays; anything else is counted."""
    pack = CODINGS.get(coding, bytes)
    content = {
        "page": None,
        "bytes": bytes(range(256)) * 20,
        "cut": pack((PAGE * 50).encode())[: -len(pack((PAGE * 50).encode())) // 2],
        "nothing": b"",
    }[body]
    odd = with_headers(record(2), f"Content-Encoding: {coding}".encode(), body=content)
    (tmp_path / "a.warc").write_bytes(record(1) + odd + record(3) + record(4))
    found, manifest = make(tmp_path / "a.warc", tmp_path / "out", settings={"near_duplicates": "off"})
    urls = [int(url.rpartition("/")[2]) for url in found["url"]]
    assert [number for number in urls if number != 2] == [1, 3, 4]
    assert not manifest["files_set_aside"]
    assert manifest["read"]["documents"] + sum(left(manifest, "read").values()) == 4
    if body == "page":
        assert 2 in urls
    elif body == "bytes":
        assert left(manifest, "read") == {"page that cannot be unpacked": 1}


def test_a_page_that_unpacks_to_too_much_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwright.corpus.readers.warc.LARGEST_PAGE", 10_000)
    records = [
        with_headers(record(number), b"Content-Encoding: gzip", body=gzip.compress((PAGE * 90).encode()))
        for number in (1, 2)
    ]
    (tmp_path / "a.warc").write_bytes(b"".join(records) + record(3))
    found, manifest = make(tmp_path / "a.warc", tmp_path / "out")
    assert len(found) == 1
    assert left(manifest, "read") == {"page too large": 2}


def pdf(text: str, *, pages: int = 1) -> bytes:
    """Return a PDF of one page, or of the same page several times."""
    stream = f"BT /F1 12 Tf 20 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{'3 0 R ' * pages}] /Count {pages} >>".encode(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 5 0 R"
        b" /Resources << /Font << /F1 4 0 R >> >> >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Length " + str(len(stream)).encode() + b" >>\nstream\n" + stream + b"\nendstream",
    ]
    out, places = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, content in enumerate(objects, start=1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n".encode() + content + b"\nendobj\n")
    table = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.write(b"".join(f"{place:010} 00000 n \n".encode() for place in places))
    out.write(f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF".encode())
    return out.getvalue()


def test_a_text_file_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(PROSE, encoding="utf-8")
    found, _ = make(tmp_path / "a.txt", tmp_path / "out")
    assert found["text"].to_list() == [PROSE]
    assert found["source"].to_list() == [str(tmp_path / "a.txt")]
    assert found["language"].to_list() == ["en"]
    assert found["characters"].to_list() == [len(PROSE)]


@pytest.mark.parametrize("split", ["line", "paragraph"])
def test_lines_or_paragraphs_may_be_documents(tmp_path: Path, split: str) -> None:
    between = "\n" if split == "line" else "\n\n"
    texts = [f"Number {number} of them. {PROSE[:100]}" for number in ["one", "two", "three"]]
    (tmp_path / "a.txt").write_text(between.join(texts), encoding="utf-8")
    found, _ = make(tmp_path / "a.txt", tmp_path / "out", settings={"split": split, "near_duplicates": None})
    assert found["text"].to_list() == texts
    assert found["position"].to_list() == [f"{split} {number}" for number in (1, 2, 3)]


def test_a_long_file_is_cut_between_paragraphs_and_says_so(tmp_path: Path) -> None:
    paragraphs = [f"{number}. {PROSE}" for number in range(200)]
    (tmp_path / "a.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")
    words = {"document_characters": 5_000, "near_duplicates": None, "quality": "off"}
    found, manifest = make(tmp_path / "a.txt", tmp_path / "out", settings=words)
    parts = found["text"].to_list()
    assert len(parts) > 5
    assert max(map(len, parts)) <= 5_000
    assert [line for part in parts for line in part.split("\n\n") if line] == paragraphs
    assert manifest["notes"]["parts of long files"] == len(parts)


def test_front_matter_of_markdown_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(f"---\ntitle: A\n---\n# Bridge\n\n- {PROSE}\n", encoding="utf-8")
    found, _ = make(tmp_path / "a.md", tmp_path / "out")
    assert found["text"][0].startswith("# Bridge")
    assert found["kind"].to_list() == ["markdown"]


@pytest.mark.parametrize("column", ["text", "content", "paragraphs", "lyrics"])
def test_the_text_column_is_found(tmp_path: Path, column: str) -> None:
    value = [PROSE[:100], PROSE[100:]] if column == "paragraphs" else PROSE
    row = {"id": "17", "title": "Bridge", column: value, "n": 3, "url": "http://example.org"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row), encoding="utf-8")
    pl.DataFrame([row]).write_parquet(tmp_path / "b.parquet")
    for name in ("a.jsonl", "b.parquet"):
        found, _ = make(tmp_path / name, tmp_path / f"out {name}")
        assert found["text"].to_list() == ["\n".join(value) if isinstance(value, list) else value]
        assert found["url"].to_list() == ["http://example.org"]


def test_a_column_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "no", "summary": PROSE}), encoding="utf-8")
    found, _ = make(tmp_path / "a.jsonl", tmp_path / "out", settings={"text_column": "summary"})
    assert found["text"].to_list() == [PROSE]
    with pytest.raises(UserError, match=r"a.jsonl: there is no column 'sumary'; did you mean 'summary'"):
        make(tmp_path / "a.jsonl", tmp_path / "other", settings={"text_column": "sumary"})
    assert not (tmp_path / "other").exists()


def test_a_json_list_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"text": PROSE}, 3]), encoding="utf-8")
    found, manifest = make(tmp_path / "a.json", tmp_path / "out")
    assert found["text"].to_list() == [PROSE]
    assert left(manifest, "read") == {"broken line": 1}


def test_broken_lines_are_counted_and_shown(tmp_path: Path) -> None:
    lines = [json.dumps({"text": PROSE}), "{broken", "3", json.dumps({"text": 7}), ""]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found, manifest = make(tmp_path / "a.jsonl", tmp_path / "out")
    assert len(found) == 1
    assert left(manifest, "read") == {"broken line": 2, "no text": 1}
    sample = manifest["samples"]["read.broken line"][0]
    assert sample == {"where": f"{tmp_path / 'a.jsonl'} line 2", "text": "{broken"}


def test_a_line_that_is_too_long_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwright.corpus.readers.jsonl.LONGEST_LINE", 1 << 19)
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE, "x" * (1 << 20), PROSE + " And on."])
    found, manifest = make(path, tmp_path / "out", settings={"near_duplicates": "off"})
    assert len(found) == 2
    assert left(manifest, "read") == {"line too long": 1}


def test_html_gives_the_main_text(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE, encoding="utf-8")
    found, _ = make(tmp_path / "a.html", tmp_path / "out")
    text = found["text"][0]
    assert PROSE in text
    assert not any(word in text for word in ("Imprint", "tracker", "rights reserved"))


@pytest.mark.parametrize("packed", [False, True])
def test_warc_gives_pages_and_counts_the_rest(tmp_path: Path, packed: bool) -> None:
    records = [
        record(1),
        record(2, status="404 Not Found"),
        record(3, kind="image/png", page="\x89PNG"),
        record(4),
    ]
    name = "a.warc.gz" if packed else "a.warc"
    content = b"".join(gzip.compress(each) if packed else each for each in records)
    (tmp_path / name).write_bytes(content)
    found, manifest = make(tmp_path / name, tmp_path / "out", settings={"near_duplicates": "off"})
    assert found["url"].to_list() == ["http://example.org/1", "http://example.org/4"]
    assert left(manifest, "read") == {"page with another status than 200": 1, "record of another kind": 1}


def test_a_warc_that_is_cut_off_gives_what_comes_before(tmp_path: Path) -> None:
    content = b"".join(gzip.compress(record(number)) for number in range(5))
    (tmp_path / "a.warc.gz").write_bytes(content[:-50])
    found, manifest = make(tmp_path / "a.warc.gz", tmp_path / "out", settings={"near_duplicates": "off"})
    assert len(found) >= 4
    assert manifest["files_set_aside"] == [
        f"{tmp_path / 'a.warc.gz'}: the file is cut off or damaged; copy or download it again."
    ]


def test_pdf_gives_its_text(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf("The bridge of stone and the harbour in the evening of the day."))
    found, _ = make(tmp_path / "a.pdf", tmp_path / "out")
    assert found["text"].to_list() == ["The bridge of stone and the harbour in the evening of the day."]


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst"])
def test_packed_files_are_read_and_damage_is_named(tmp_path: Path, ending: str) -> None:
    texts = [f"{number}. {PROSE}" for number in range(2_000)]
    plain = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    packers = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zst": pa.Codec("zstd").compress,
    }
    packed = packers[ending](plain)
    packed = packed if isinstance(packed, bytes) else packed.to_pybytes()
    words = {"near_duplicates": "off", "quality": "off"}
    (tmp_path / f"a.jsonl.{ending}").write_bytes(packed)
    found, _ = make(tmp_path / f"a.jsonl.{ending}", tmp_path / "out", settings=words)
    assert found["text"].to_list() == texts
    (tmp_path / f"cut.jsonl.{ending}").write_bytes(packed[: len(packed) // 2])
    sources = [tmp_path / f"a.jsonl.{ending}", tmp_path / f"cut.jsonl.{ending}"]
    _, manifest = make(sources, tmp_path / "both", settings=words)
    assert [sentence.partition(": ")[2] for sentence in manifest["files_set_aside"]] == [
        "the file is cut off or damaged; copy or download it again."
    ]


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwright.corpus.streams.RATIO_FROM_BYTES", 1 << 20)
    with gzip.open(tmp_path / "a.txt.gz", "wb") as stream:
        for _ in range(20):
            stream.write(b"a " * (1 << 19))
    good = write_jsonl(tmp_path / "b.jsonl", [PROSE])
    _, manifest = make([tmp_path / "a.txt.gz", good], tmp_path / "out", languages=["en"])
    assert "looks like a zip bomb" in manifest["files_set_aside"][0]
    assert manifest["read"]["characters"] < 4 << 20


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"", "the file is empty"),
        ("a.txt", b" \n ", "the file is empty"),
        ("a.txt", bytes(range(256)) * 40, "not a text file"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(100), "no reader is for this kind of file"),
        ("a.jsonl", b"nothing\nof this\n", "no line is a JSON object"),
        ("a.jsonl", b'{"id": 3}\n{"id": 4}\n', r"no column holds text \(columns: id\)"),
        ("a.parquet", b"PAR1 and then nothing", "cut off or damaged"),
        ("a.parquet", b"no parquet at all", "cut off or damaged"),
        ("a.txt", b"PAR1 and then nothing", "this is parquet, not a .txt file"),
        ("a.pdf", b"%PDF-1.4 and then nothing", "cut off or damaged"),
        ("a.warc", b"WARC/1.0\r\nnothing", "damaged|no page"),
        ("a.html", b"<html>\0\0\0", "zero bytes"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says) as caught:
        make(tmp_path / name, tmp_path / "out")
    assert str(tmp_path / name) in str(caught.value)
    assert not (tmp_path / "out").exists()
    # Among others, it is set aside and named.
    (tmp_path / "good.txt").write_text(PROSE, encoding="utf-8")
    found, manifest = make([tmp_path / name, tmp_path / "good.txt"], tmp_path / "out")
    assert len(found) == 1
    assert manifest["num_files_set_aside"] == 1


def test_a_parquet_without_text_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"n": [1, 2]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"no column holds text \(columns: n\); name it with text_column"):
        make(tmp_path / "a.parquet", tmp_path / "out")


def test_encodings_are_told_and_wrong_bytes_counted(tmp_path: Path) -> None:
    chinese = "河从山上流下来，穿过小镇。人们在那里造了一座石桥。晚上他们走过桥去看港口的灯光。" * 5
    (tmp_path / "a.txt").write_bytes(chinese.encode("gb18030"))
    (tmp_path / "b.txt").write_bytes(PROSE.encode("utf-16"))
    (tmp_path / "c.txt").write_bytes(("é" * 20 + PROSE).encode() + b"\xff and so on")
    (tmp_path / "d.txt").write_bytes(("Ein schöner Tag. " * 9).encode("cp1252"))
    found, manifest = make(tmp_path, tmp_path / "out", settings={"near_duplicates": "off", "quality": "off"})
    texts = dict(zip((Path(name).name for name in found["source"]), found["text"], strict=True))
    assert texts["a.txt"] == chinese
    assert texts["b.txt"] == PROSE
    assert "\ufffd and so on" in texts["c.txt"]
    assert "schöner" in texts["d.txt"]
    assert manifest["notes"]["texts with bytes that could not be read"] == 1


def test_folders_are_walked_and_other_files_counted(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a.txt").write_text(PROSE, encoding="utf-8")
    (tmp_path / "in" / "README").write_text(PROSE[::-1].title(), encoding="utf-8")
    (tmp_path / "in" / "b.png").write_bytes(b"\x89PNG")
    (tmp_path / "in" / ".hidden.txt").write_text(PROSE, encoding="utf-8")
    found, manifest = make(tmp_path / "in", tmp_path / "out")
    assert sorted(Path(name).name for name in found["source"]) == ["README", "a.txt"]
    assert manifest["files_of_other_kinds"] == {".png": 1}


def test_globs_are_sorted_and_missing_files_named(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).write_text(f"{name}: {PROSE}", encoding="utf-8")
    found, _ = make(str(tmp_path / "*.txt"), tmp_path / "out", settings={"near_duplicates": "off"})
    assert [Path(name).name for name in found["source"]] == ["a.txt", "b.txt"]
    with pytest.raises(UserError, match=r"did you mean 'a\.txt'"):
        make(tmp_path / "aa.txt", tmp_path / "other")


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return what makes as if a package were not installed."""

    def forget() -> None:
        extras.extra.cache_clear()
        extras.is_there.cache_clear()

    def hide(package: str) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setitem(sys.modules, package, None)

    forget()
    yield hide
    forget()


MISSING = {
    "pypdf": ("a.pdf", pdf("text"), r"PDF files need the package pypdf; .*'trainwright\[pdf\]'"),
    "resiliparse": ("a.html", PAGE.encode(), r"pages of HTML need the package resiliparse; .*\[corpus\]'"),
    "fastwarc": ("a.warc", record(1), r"WARC files need the package fastwarc; .*'trainwright\[corpus\]'"),
    "ftfy": (
        "a.txt",
        "schÃ¶n und schÃ¤dlich".encode(),
        r"broken characters need the package ftfy; .*\[corpus\]'",
    ),
}


@pytest.mark.parametrize("package", sorted(MISSING))
def test_a_missing_extra_is_one_sentence(
    tmp_path: Path, missing: Callable[[str], None], package: str
) -> None:
    missing(package)
    name, content, says = MISSING[package]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says):
        make(tmp_path / name, tmp_path / "out")


def test_without_py3langid_only_an_explicit_wish_needs_it(
    tmp_path: Path, missing: Callable[[str], None]
) -> None:
    german = "Der Fluss kommt von den Hügeln herab und fließt durch die Stadt, in der sie eine Brücke bauten."
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE, "Hello world", german, "石桥" * 20, "1, 2, 3"])
    with_it, manifest = make(path, tmp_path / "with", quality="off")
    assert with_it["language"].to_list()[2] == "de"
    assert "texts whose language needs py3langid" not in manifest["notes"]
    missing("py3langid")
    extras.is_there.cache_clear()
    extras.extra.cache_clear()
    found, manifest = make(path, tmp_path / "out", quality="off")
    assert found["language"].to_list() == ["en", "und", "und", "zh", "und"]
    assert manifest["notes"]["texts whose language needs py3langid"] == 2  # the numbers are in no language
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "texts whose language only py3langid could tell" in report
    found, _ = make(path, tmp_path / "en", quality="off", languages=["en", "zh", "ja", "und"])
    assert len(found) == 5
    with pytest.raises(UserError, match=r"languages other than English, .* need the package py3langid"):
        make(path, tmp_path / "de", quality="off", languages=["en", "de"])
    assert not (tmp_path / "de").exists()


@pytest.mark.parametrize(
    ("front", "is_front"),
    [
        ("title: A\ndate: 2024-01-01", True),
        ("# about it\ntitle: >\n  of two\n  lines\n\ntags:\n- a\n- b", True),
        ("'a key': 1\nLast changed on: today\n\"b\": [\n  1\n]\n标题: 桥", True),
        ("", True),
        ("The first lines. Note: they are no keys.\n\nMore of them.", False),
        ("# A heading", False),
        ("- a list\n- of two", False),
        ("title: A\nand then prose", False),
        ("http://example.org is a link", False),
    ],
)
def test_what_is_between_two_rules_of_markdown_stays_unless_it_is_yaml(
    tmp_path: Path, front: str, is_front: bool
) -> None:
    (tmp_path / "a.md").write_text(f"---\n{front}\n---\n# Bridge\n\n- {PROSE}\n", encoding="utf-8")
    found, manifest = make(tmp_path / "a.md", tmp_path / "out", quality="off")
    assert found["text"][0].startswith("# Bridge" if is_front else f"---\n{front}\n---\n# Bridge")
    assert manifest["notes"] == ({"front matter of Markdown left out": 1} if is_front else {})


def test_front_matter_alone_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("---\ntitle: A\n---\n\n", encoding="utf-8")
    (tmp_path / "b.md").write_text(PROSE, encoding="utf-8")
    found, manifest = make([tmp_path / "a.md", tmp_path / "b.md"], tmp_path / "out")
    assert len(found) == 1
    assert left(manifest, "read") == {"no text": 1}
    assert manifest["samples"]["read.no text"][0]["where"] == str(tmp_path / "a.md")


def test_source_code_is_read_as_training_reads_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, ending in enumerate(sorted(ENDINGS)):
        text = f"Number {number} of many. {PROSE}"
        (tmp_path / "in" / f"a{ending.upper()}").write_text(text, encoding="utf-8")
    (tmp_path / "in" / "Makefile").write_text("all:\n\techo every one of them\n", encoding="utf-8")
    settings = {"near_duplicates": "off"}
    found, manifest = make(tmp_path / "in", tmp_path / "out", quality="off", settings=settings)
    assert len(found) == len(ENDINGS) + 1
    assert set(found["kind"]) == {"text", "markdown"}
    assert not manifest["files_of_other_kinds"]


def warc_record(kind: str, content: bytes, number: int, *, media: str | None) -> bytes:
    """Return a record without headers of HTTP, as WET files have them."""
    lines = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Target-URI: http://example.org/{number}",
        f"WARC-Record-ID: <urn:uuid:{number}>",
        "WARC-Date: 2026-01-01T00:00:00Z",
        *([] if media is None else [f"Content-Type: {media}"]),
        f"Content-Length: {len(content)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n\r\n"


def test_texts_and_resources_of_wet_files_have_the_encoding_that_they_name(tmp_path: Path) -> None:
    german = "Ein schöner Tag über den Bergen, und niemand wusste, wo die Brücke war. "
    content = b"".join(
        [
            warc_record("warcinfo", b"software: x", 0, media="application/warc-fields"),
            warc_record("conversion", f"{german} Eins.".encode(), 1, media="text/plain"),
            warc_record(
                "conversion", f"{german} Zwei.".encode("latin-1"), 2, media="text/plain; charset=latin1"
            ),
            warc_record("conversion", f"{german} Drei.".encode(), 3, media="text/plain; charset=bogus"),
            warc_record("resource", PAGE.encode(), 4, media="text/html"),
            warc_record("resource", b"\x89PNG", 5, media="image/png"),
            warc_record("resource", f"{german} Sechs.".encode(), 6, media=None),
        ]
    )
    (tmp_path / "a.wet").write_bytes(content)
    settings = {"near_duplicates": "off"}
    found, manifest = make(tmp_path / "a.wet", tmp_path / "out", quality="off", settings=settings)
    assert found["url"].to_list() == [f"http://example.org/{number}" for number in range(1, 5)]
    assert [text.rpartition(" ")[2] for text in found["text"][:3]] == ["Eins.", "Zwei.", "Drei."]
    assert all("schöner" in text for text in found["text"][:3])
    assert PROSE in found["text"][3]
    assert left(manifest, "read") == {"record of another kind": 2}


def test_a_pdf_gives_its_pages_unless_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainwright.corpus.readers.pdf._MAX_PAGES", 3)
    (tmp_path / "three.pdf").write_bytes(pdf("The bridge is of stone.", pages=3))
    found, _ = make(tmp_path / "three.pdf", tmp_path / "out", quality="off")
    assert found["text"].to_list() == ["\n\n".join(["The bridge is of stone."] * 3)]
    (tmp_path / "four.pdf").write_bytes(pdf("The bridge is of stone.", pages=4))
    with pytest.raises(UserError, match=r"four\.pdf: the PDF has more than 3 pages; split it up"):
        make(tmp_path / "four.pdf", tmp_path / "none")


@pytest.mark.parametrize("password", ["", "secret"])
def test_a_pdf_with_a_password_is_named(tmp_path: Path, password: str) -> None:
    """One that only its owner may change is read as any other."""
    import pypdf

    writer = pypdf.PdfWriter(io.BytesIO(pdf("The bridge is of stone.")))
    writer.encrypt(password, "owner", algorithm="RC4-128")
    with (tmp_path / "a.pdf").open("wb") as stream:
        writer.write(stream)
    if not password:
        found, _ = make(tmp_path / "a.pdf", tmp_path / "out", quality="off")
        assert found["text"].to_list() == ["The bridge is of stone."]
        return
    with pytest.raises(UserError, match=r"a\.pdf: the PDF needs a password; take the password off"):
        make(tmp_path / "a.pdf", tmp_path / "out")


def test_slices_of_a_parquet_file_know_their_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwright.corpus.readers.parquet.SLICE_BYTES", 2_000)
    texts = [f"Number {number} of many. {PROSE}" for number in range(60)]
    pl.DataFrame({"text": texts}).write_parquet(tmp_path / "a.parquet", row_group_size=4, compression=None)
    slices = READERS["parquet"].slices(tmp_path / "a.parquet", "a.parquet", "parquet")
    assert len(slices) > 5
    for part in reversed(slices):  # whatever other slices are read before
        ledger = Ledger()
        for document in READERS["parquet"].read(part, Asked(), ledger):
            row = int(document.position.removeprefix("row "))
            assert document.text == texts[row]
            texts[row] = ""
    assert not any(texts)

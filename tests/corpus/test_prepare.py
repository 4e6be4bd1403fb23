"""The whole: the same bytes however it is made, going on after `kill -9`, folders, command line, memory."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from corpora import PROSE, content, left, make, write_jsonl

from trainwright.cli.main import main
from trainwright.foundation.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut files into many pieces, here and in processes of their own."""
    for module in ("reader", "inputs", "readers.text", "readers.parquet"):
        monkeypatch.setattr(f"trainwright.corpus.{module}.SLICE_BYTES", 1 << 17)


def many_texts(shared_data: Path, number: int = 1_500) -> list[str]:
    plays = (shared_data / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    draw = random.Random(3)
    texts = [plays[at : at + 700] for at in range(0, 700 * number, 700) if at < len(plays)]
    texts += [draw.choice(texts).upper() for _ in range(60)] + [
        f"{draw.choice(texts)} More." for _ in range(60)
    ]
    texts += [f"{text} Mail me@example.org" for text in texts[:40]] + ["short"] * 5
    draw.shuffle(texts)
    return texts


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


@pytest.mark.usefixtures("small_slices")
def test_the_result_does_not_depend_on_the_number_of_workers(shared_data: Path, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", many_texts(shared_data))
    make(path, tmp_path / "one", settings={"shard_megabytes": 1})
    make(path, tmp_path / "two", settings={"shard_megabytes": 1}, workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert not [name for name in content(tmp_path / "one") if name.startswith(".")]


@pytest.mark.usefixtures("small_slices")
def test_slices_of_a_file_give_what_the_whole_gives(shared_data: Path, tmp_path: Path) -> None:
    texts = many_texts(shared_data)
    path = write_jsonl(tmp_path / "a.jsonl", texts)
    words = {"near_duplicates": "off", "exact_duplicates": False, "personal": "", "repair": False}
    found, _ = make(path, tmp_path / "out", settings=words, quality="off")
    assert found["text"].to_list() == texts
    assert found["id"].n_unique() == len(texts)
    (tmp_path / "b.txt").write_text("\n".join(text.replace("\n", " ") for text in texts), encoding="utf-8")
    lines, _ = make(
        tmp_path / "b.txt", tmp_path / "lines", settings={**words, "split": "line"}, quality="off"
    )
    assert lines["text"].to_list() == [text.replace("\n", " ") for text in texts]


def test_shards_are_cut_by_their_size_and_listed(shared_data: Path, tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "a.jsonl", [f"{n} {text}" for n in range(3) for text in many_texts(shared_data)]
    )
    words = {"shard_megabytes": 1, "near_duplicates": "off", "exact_duplicates": False}
    found, manifest = make(path, tmp_path / "out", settings=words, quality="off")
    assert len(manifest["shards"]) == 4
    assert [shard["file"] for shard in manifest["shards"]] == [f"part-{n:05}.parquet" for n in range(4)]
    assert sum(shard["rows"] for shard in manifest["shards"]) == len(found) == manifest["kept"]["documents"]
    files = content(tmp_path / "out")
    assert all(files[shard["file"]] == shard["sha256"] for shard in manifest["shards"])


def test_counts_add_up(shared_data: Path, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", many_texts(shared_data))
    found, manifest = make(path, tmp_path / "out", quality="strict")
    gone = sum(sum(left(manifest, step).values()) for step in manifest["left"] if step != "read")
    assert manifest["read"]["documents"] == len(found) + gone
    assert manifest["languages"] == {"en": len(found)}


@pytest.mark.parametrize("kills", [1, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_goes_on_and_ends_with_the_same_bytes(
    shared_data: Path, tmp_path: Path, kills: int
) -> None:
    texts = many_texts(shared_data, 700)
    folder = tmp_path / "in"
    for number in range(3):
        write_jsonl(folder / f"{number}.jsonl", [f"{text} {number}" for text in texts])
    words = ["--set", "shard_megabytes=1", "--set", "near_duplicates=0.95", "--workers", "2"]
    sources = [str(path) for path in sorted(folder.iterdir())]
    slicing = (
        "import sys\n"
        "from trainwright.corpus import inputs, reader\n"
        "from trainwright.corpus.readers import text\n"
        "inputs.SLICE_BYTES = reader.SLICE_BYTES = text.SLICE_BYTES = 1 << 18\n"
        "from trainwright.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    )

    def start(output: Path) -> subprocess.Popen[bytes]:
        given = ["prepare", *sources, "-o", str(output), *words, "-q"]
        return subprocess.Popen([sys.executable, "-c", slicing, *given], env=environment())

    begun = time.monotonic()
    assert start(tmp_path / "whole").wait() == 0
    lasted = time.monotonic() - begun
    draw = random.Random(kills)
    killed = 0
    while killed < kills:
        process = start(tmp_path / "broken")
        time.sleep(draw.uniform(0.3, 0.9) * lasted)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += 1
    assert killed >= 1
    if (tmp_path / "broken" / ".work").exists() or not (tmp_path / "broken" / "manifest.json").exists():
        assert start(tmp_path / "broken").wait() == 0
    (tmp_path / "broken" / ".lock").unlink(missing_ok=True)  # of a process that was killed as the last thing
    assert content(tmp_path / "broken") == content(tmp_path / "whole")


def test_work_that_is_whole_is_not_done_again(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainwright.corpus import work

    for module in ("reader", "inputs", "readers.text"):
        monkeypatch.setattr(f"trainwright.corpus.{module}.SLICE_BYTES", 1 << 17)
    path = write_jsonl(tmp_path / "a.jsonl", many_texts(shared_data))
    real, made = work.make_piece, []

    def stops(folder: Path, *rest: object, **more: object) -> None:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(folder.name)
        real(folder, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(work, "make_piece", stops)
    with pytest.raises(KeyboardInterrupt):
        make(path, tmp_path / "out")
    made_first = list(made)
    made.clear()
    with pytest.raises(KeyboardInterrupt):
        make(path, tmp_path / "out")
    assert not set(made) & set(made_first)
    monkeypatch.setattr(work, "make_piece", real)
    make(path, tmp_path / "out")
    make(path, tmp_path / "other")
    assert content(tmp_path / "out") == content(tmp_path / "other")


def test_other_settings_and_sources_are_refused_half_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE])

    def stops(*rest: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainwright.corpus.work.make_piece", stops)
    with pytest.raises(KeyboardInterrupt):
        make(path, tmp_path / "out")
    with pytest.raises(UserError, match="begun with quality gentle, not strict; give the same"):
        make(path, tmp_path / "out", quality="strict")
    write_jsonl(path, [PROSE, PROSE])
    with pytest.raises(UserError, match="begun with files that have changed since"):
        make(path, tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "cache"))
    found, _ = make(path, tmp_path / "out", quality="strict", force=True)
    assert len(found) == 1


def test_a_corpus_inside_its_source_is_not_read(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in" / "a.jsonl", [PROSE])
    make(tmp_path / "in", tmp_path / "in" / "out")
    (tmp_path / "in" / "out" / ".work").mkdir()  # as if it had been killed before it was tidied up
    (tmp_path / "in" / "out" / "manifest.json").unlink()
    found, manifest = make(tmp_path / "in", tmp_path / "in" / "out")
    assert len(found) == manifest["read"]["documents"] == manifest["num_files"] == 1


def test_folders_that_are_finished_or_hold_other_files_are_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE])
    make(path, tmp_path / "out")
    with pytest.raises(
        UserError, match=r"this corpus is finished; name another folder with -o, or add --force"
    ):
        make(path, tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine", encoding="utf-8")
    make(path, tmp_path / "out", force=True)
    assert (tmp_path / "out" / "notes.txt").read_text(encoding="utf-8") == "mine"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "manifest.json").write_text("{}", encoding="utf-8")
    for force in (False, True):
        with pytest.raises(UserError, match=r"holds other files|is finished"):
            make(path, tmp_path / "full", force=force)


def test_the_command_line_prints_the_folder_or_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE, PROSE])
    assert main(["prepare", str(path), "-o", str(tmp_path / "out"), "--json", "--workers", "1"]) == 0
    said, noise = capsys.readouterr()
    document = json.loads(said)
    assert noise == ""
    assert document["kept"] == {"documents": 1, "characters": len(PROSE)}
    assert document["left"]["duplicates"]["exact"]["documents"] == 1
    assert main(["prepare", str(path), "-o", str(tmp_path / "second"), "--workers", "1"]) == 0
    said, noise = capsys.readouterr()
    assert said.strip() == str(tmp_path / "second")
    assert "Kept 1 of 2 documents" in noise
    assert main(["prepare", str(tmp_path / "none"), "-o", str(tmp_path / "third")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_report_stands_alone_and_speaks_two_languages(tmp_path: Path) -> None:
    texts = [PROSE, PROSE, "<script>alert(1)</script>", f"{PROSE} Call 212-555-0199."]
    make(
        write_jsonl(tmp_path / "a.jsonl", texts),
        tmp_path / "out",
        quality="strict",
        settings={"near_duplicates": "off"},
    )
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "What left, and why" in page
    assert "离开" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert not re.findall(r"(?:src|href)=[\"'](?!#)", page)
    assert "http" not in re.sub(r"http-equiv", "", page)


def test_languages_can_be_chosen(tmp_path: Path) -> None:
    german = "Der Fluss kommt aus den Bergen und fließt durch die Stadt, in der die Leute eine Brücke bauten."
    chinese = "河水从山上流下来，穿过小镇，人们在那里造了一座石桥，晚上走过去看港口的灯光。"
    japanese = (
        "川は山から流れてきて町を通り、人々はそこに石の橋を造りました。夜になると港の灯りを見に行きます。"
    )
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE, german, chinese, japanese])
    found, manifest = make(path, tmp_path / "all")
    assert found["language"].to_list() == ["en", "de", "zh", "ja"]
    found, manifest = make(path, tmp_path / "two", languages=["zh", "de"])
    assert found["text"].to_list() == [german, chinese]
    assert left(manifest, "language") == {"en": 1, "ja": 1}


def test_broken_unicode_is_mended(tmp_path: Path) -> None:
    mojibake = "It’s the café of the naïve, they said, and nobody knew".encode().decode("cp1252")
    path = write_jsonl(tmp_path / "a.jsonl", [mojibake, "cafe\u0301 of the river\r\nand\x00 more of it"])
    found, manifest = make(path, tmp_path / "out")
    assert found["text"].to_list() == [
        "It’s the café of the naïve, they said, and nobody knew",
        "café of the river\nand more of it",
    ]
    assert manifest["notes"]["texts with broken characters mended"] == 1


_PEAK = """
import sys
import trainwright as tw
from trainwright.foundation.devices import peak_memory_mb

tw.prepare(sys.argv[1], sys.argv[2], workers=1, quiet=True)
print(peak_memory_mb())
"""


def peak_megabytes(source: Path, output: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(source), str(output)],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def test_memory_does_not_follow_the_size(shared_data: Path, tmp_path: Path) -> None:
    texts = many_texts(shared_data)
    small = write_jsonl(tmp_path / "small.jsonl", texts)
    large = write_jsonl(tmp_path / "large.jsonl", [f"{text} {n}" for n in range(8) for text in texts])
    assert large.stat().st_size > 6 * small.stat().st_size
    first, second = peak_megabytes(small, tmp_path / "a"), peak_megabytes(large, tmp_path / "b")
    assert second < first + 120, (first, second)


@pytest.mark.slow
def test_a_gigabyte_goes_through_in_bounded_memory(shared_data: Path, tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT))
    from benchmarks import corpus

    del shared_data
    lines = {size: corpus.measure(size, tmp_path / f"{size}", workers=2) for size in (100, 1_000)}
    assert lines[1_000]["megabytes"] < lines[100]["megabytes"] + 300
    assert lines[1_000]["recall"] >= 0.95

"""Bad input gets one sentence and exit code 2, and leaves nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import struct
import time
import wave
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from cli_tools import QUICK, Shell, customers, names, write_csv

from trainwright.workshop.model import FILES

PNG = b"\x89PNG\r\n\x1a\n"


def png(width: int = 8, height: int = 8, *, grey: int = 90) -> bytes:
    """Return a picture of one grey; only the first rows are there where it is enormous."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    pixels = (b"\0" + bytes([grey]) * min(width, 1_000)) * min(height, 1_000)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return PNG + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


BAD_PICTURES = {
    "damaged": (PNG + b"nonsense", "damaged"),
    "empty": (b"", "empty"),
    "text": (b"<html>not found</html>", "no image file"),
    "enormous": (png(60_000, 60_000), "pixels"),
}


def pictures(folder: Path, good: int, bad: Sequence[bytes] = ()) -> Path:
    """Make a folder of pictures by class."""
    for number in range(good):
        place = folder / ("cat" if number % 2 else "dog") / f"{number:03}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(png(grey=40 + number))
    for number, content in enumerate(bad):
        (folder / "cat" / f"bad{number}.png").write_bytes(content)
    return folder


def sound(path: Path, seed: int) -> None:
    draw = random.Random(seed)
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(8_000)
        stream.writeframes(struct.pack("<800h", *(draw.randrange(-9_000, 9_000) for _ in range(800))))


# Tables.


def test_missing_target_column_suggests_the_nearest(shell: Shell, data: str) -> None:
    shell.refuse("train", data, "-t", "chrun", says=["good.csv", "'chrun'", "did you mean 'churn'?"])


def test_no_target_says_which_columns_there_are(shell: Shell, data: str) -> None:
    shell.refuse("train", data, says=["no target", "--target", "age, income, colour, churn"])


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"], ids=["nothing", "blanks", "mark"])
def test_empty_file(shell: Shell, content: str) -> None:
    (shell.folder / "empty.csv").write_text(content, encoding="utf-8")
    shell.refuse("train", "empty.csv", "-t", "y", says=["empty.csv", "is empty", "give a file with rows"])


def test_header_only(shell: Shell) -> None:
    (shell.folder / "header.csv").write_text("a,b,y\n")
    shell.refuse("train", "header.csv", "-t", "y", says=["header.csv", "header but no row"])


def test_too_few_rows(shell: Shell) -> None:
    write_csv(shell.folder / "few.csv", customers(4))
    shell.refuse("train", "few.csv", "-t", "churn", says=["few.csv", "4 rows are too few", "give 10 or more"])


def test_one_class_only(shell: Shell) -> None:
    write_csv(shell.folder / "one.csv", customers(churn=["yes"] * 60))
    shell.refuse("train", "one.csv", "-t", "churn", says=["column 'churn'", "only one class", "'yes'"])


def test_target_all_missing(shell: Shell) -> None:
    write_csv(shell.folder / "none.csv", customers(churn=[""] * 60))
    shell.refuse("train", "none.csv", "-t", "churn", says=["column 'churn'", "every value", "missing"])


def test_nan_and_infinity_in_numbers_are_counted_and_said(shell: Shell) -> None:
    ages = [*customers()["age"]]
    ages[3:6] = ["nan", "inf", "-inf"]
    write_csv(shell.folder / "odd.csv", customers(age=ages))
    answer = shell.succeed("train", "odd.csv", "-t", "churn", "--run", "run", *QUICK)
    assert "2 values in column 'age': infinite." in answer.err
    about = json.loads((shell.folder / "run" / "data.json").read_text())
    assert about["counts"] == {"age": {"infinite": 2}}
    (age,) = (column for column in about["columns"] if column["name"] == "age")
    assert age["missing"] == pytest.approx(1 / 60, abs=1e-6)  # NaN is a missing value


def test_mixed_types_in_a_column_are_counted_and_said(shell: Shell) -> None:
    ages = [*customers()["age"]]
    ages[7] = "unknown"
    write_csv(shell.folder / "mixed.csv", customers(age=ages))
    answer = shell.succeed("train", "mixed.csv", "-t", "churn", "--run", "run", *QUICK)
    assert "1 values in column 'age': not numbers." in answer.err
    assert "'unknown'" in answer.err or '"unknown"' in answer.err


def test_duplicate_column_names(shell: Shell, data: str) -> None:
    text = (shell.folder / data).read_text().replace("age,income", "age,age", 1)
    (shell.folder / "twice.csv").write_text(text)
    shell.refuse("train", "twice.csv", "-t", "churn", says=["twice.csv", "two columns", "'age'", "rename"])


def test_wrong_encoding(shell: Shell, data: str) -> None:
    raw = (shell.folder / data).read_bytes().replace(b"red", b"\xe9t\xe9")
    (shell.folder / "latin.csv").write_bytes(raw)
    words = ("train", "latin.csv", "-t", "churn")
    shell.refuse(
        *words, "--set", "data.encoding=utf-8", says=["latin.csv line", "not utf-8", "data.encoding"]
    )
    shell.refuse(*words, "--set", "data.encoding=klingon", says=["latin.csv", "'klingon'", "utf-8"])
    answer = shell.succeed(*words, *QUICK)  # found when it is not asked for, and said
    assert "cp1252" in answer.err


def test_what_is_no_table(shell: Shell) -> None:
    (shell.folder / "photo.png").write_bytes(png())
    shell.refuse("train", "photo.png", "-t", "y", says=["photo.png", "not a text file", "folder of images"])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_parquet(shell: Shell, share: float) -> None:
    path = shell.folder / "cut.parquet"
    pl.DataFrame(customers()).write_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    says = ["cut.parquet", "whole Parquet file" if share else "empty"]
    shell.refuse("train", "cut.parquet", "-t", "churn", says=says)


def test_no_such_file_suggests_the_nearest(shell: Shell, data: str) -> None:
    shell.refuse("train", "god.csv", "-t", "churn", says=["'god.csv'", f"did you mean '{data}'?"])


def test_nothing_to_learn_from(shell: Shell) -> None:
    write_csv(shell.folder / "ids.csv", {"id": range(60), "y": ["a", "b"] * 30})
    shell.refuse("train", "ids.csv", "-t", "y", says=["ids.csv", "no column is left", "'id'"])


# Pictures, sounds, folders and archives.


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_few_bad_pictures_are_set_aside_with_the_reason(shell: Shell, kind: str) -> None:
    content, reason = BAD_PICTURES[kind]
    pictures(shell.folder / "pets", 40, [content])
    answer = shell.succeed("train", "pets", "-t", "label", "--run", "run", *QUICK)
    assert reason in answer.err
    (line,) = (shell.folder / "run" / "quarantine.jsonl").read_text().splitlines()
    set_aside = json.loads(line)
    assert "bad0.png" in set_aside["source"] or "pets" in set_aside["source"]
    assert set_aside["column"] == "image"
    assert reason in set_aside["reason"]


def test_many_bad_pictures_stop_the_run_with_the_reasons(shell: Shell) -> None:
    pictures(shell.folder / "pets", 40, [content for content, _ in BAD_PICTURES.values()])
    shell.refuse(
        *("train", "pets", "-t", "label", *QUICK),
        says=["pets", "4 of 44 rows", "column 'image'", "data.quarantine_limit", "0.05"],
    )


def test_a_picture_in_a_column_that_leaves_the_data_folder(shell: Shell) -> None:
    pictures(shell.folder / "pets", 20)
    paths = sorted(path.relative_to(shell.folder) for path in (shell.folder / "pets").rglob("*.png"))
    columns = {"photo": [f"../{path}" for path in paths], "kind": [path.parts[1] for path in paths]}
    write_csv(shell.folder / "inner" / "table.csv", columns)
    shell.refuse(
        *("train", "inner/table.csv", "-t", "kind", *QUICK),
        says=["column 'photo'", "leaves the data folder"],
    )


def test_pictures_that_are_not_there(shell: Shell) -> None:
    write_csv(
        shell.folder / "table.csv",
        {"photo": [f"pictures/{row}.png" for row in range(40)], "kind": ["a", "b"] * 20},
    )
    shell.refuse(
        *("train", "table.csv", "-t", "kind"), says=["'photo'", "none of the 8 looked for", "pictures/0.png"]
    )


def test_zero_byte_sounds(shell: Shell) -> None:
    rows = 30
    for row in range(rows):
        sound(shell.folder / f"{row}.wav", row)
    (shell.folder / "zero.wav").touch()
    clips = [f"{row}.wav" for row in range(rows)]
    words = ["a", "b"] * (rows // 2)
    write_csv(shell.folder / "one.csv", {"clip": [*clips, "zero.wav"], "word": [*words, "a"]})
    answer = shell.succeed("train", "one.csv", "-t", "word", "--run", "run", *QUICK)
    assert "1 x the file is empty" in answer.err
    write_csv(shell.folder / "many.csv", {"clip": [*clips, *["zero.wav"] * 4], "word": [*words, *words[:4]]})
    shell.refuse(
        *("train", "many.csv", "-t", "word", *QUICK),
        says=["many.csv", "4 of 34 rows", "column 'clip'", "the file is empty"],
    )


def test_a_folder_without_media(shell: Shell) -> None:
    (shell.folder / "papers").mkdir()
    shell.refuse("train", "papers", "-t", "label", says=["papers", "no tables, images or sounds"])
    (shell.folder / "papers" / "thesis.docx").write_text("words")
    shell.refuse("train", "papers", "-t", "label", says=["papers", ".docx", "folder for each class"])


def test_a_zip_bomb(shell: Shell) -> None:
    with zipfile.ZipFile(shell.folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", bytes(80 << 20))
    shell.refuse("train", "bomb.zip", "-t", "y", says=["bomb.zip", "zip bomb", "200 times"])


def test_an_archive_that_writes_outside(shell: Shell) -> None:
    with zipfile.ZipFile(shell.folder / "slip.zip", "w") as archive:
        archive.writestr("../../evil.csv", "a,y\n1,2\n")
    shell.refuse("train", "slip.zip", "-t", "y", says=["slip.zip", "leaves the folder", "'../../evil.csv'"])
    assert not list(shell.folder.parent.parent.glob("**/evil.csv"))


def test_an_address_that_cannot_be_reached(shell: Shell) -> None:
    began = time.monotonic()
    shell.refuse("train", "http://127.0.0.1:9/x.csv", "-t", "y", says=["127.0.0.1", "cannot be reached"])
    assert time.monotonic() - began < 20


def test_a_hub_name_while_offline_ends_within_seconds(
    shell: Shell, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    began = time.monotonic()
    shell.refuse(
        *("train", data, "-t", "churn", "--set", "inputs.colour=text"),
        *("--set", "model.name=pretrained", "--set", "model.checkpoint=no-such/checkpoint", *QUICK),
        says=["'no-such/checkpoint'", "local folder"],
    )
    assert time.monotonic() - began < 30


# Settings.


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("model.encoders.table=tabn", ["model.encoders.table", "'tabn'", "did you mean 'tabm'?"]),
        ("model.name=transfomer", ["model.name", "'transfomer'", "did you mean 'transformer'?"]),
        ("model.encoders.colur=mlp", ["'colur'"]),
        ("model.encoders.table={name: mlp, dept: 3}", ["'dept'", "'mlp'"]),
        ("model.fusion=concatenate", ["model.fusion", "'concatenate'", "concat"]),
        ("model.size=huge", ["model.size", "'huge'", "tiny, small, base"]),
        ("model.sise=tiny", ["'sise'", "did you mean 'size'?"]),
        ("inputs.colour=txt", ["inputs.colour", "'txt'", "did you mean 'text'?"]),
        ("inputs.colour={type: text, max_tokns: 3}", ["'max_tokns'", "did you mean 'max_tokens'?"]),
        ("inputs.colour={max_tokns: 3}", ["'max_tokns'", "inputs.colour"]),
        ("inputs.colur=text", ["good.csv", "'colur'", "did you mean 'colour'?"]),
        ("targets.churn=text", ["targets.churn", "'text'", "category"]),
        ("evaluation.metric=acuracy", ["evaluation.metric", "'acuracy'", "did you mean 'accuracy'?"]),
        ("evaluation.metric=rmse", ["evaluation.metric", "'rmse'", "binary", "roc_auc"]),
        ("evaluation.threshold=acuracy", ["evaluation.threshold", "did you mean 'accuracy'?"]),
        ("evaluation.slices=[colur]", ["good.csv", "'colur'", "did you mean 'colour'?"]),
        ("training.device=gpu", ["training.device", "'gpu'", "cpu"]),
        ("training.batch=lots", ["training.batch", "whole number", "'lots'"]),
        ("training.learning_rate=-1", ["training.learning_rate", "above 0", "-1"]),
        ("training.class_weights={maybe: 2}", ["'maybe'", "no, yes"]),
        ("split.test=0.95", ["split.test", "leave no rows"]),
        ("split.method=group", ["split.method", "add split.column"]),
        ("split={method: group, column: coluor}", ["good.csv", "'coluor'", "did you mean 'colour'?"]),
        ("seed.x=1", ["seed must be a whole number"]),
        ("model.size", ["--set model.size", "path=value"]),
        ("training.class_weights={a", ["--set training.class_weights={a", "not YAML"]),
    ],
)
def test_a_wrong_setting_names_it_and_the_nearest_right_word(
    shell: Shell, data: str, setting: str, says: list[str]
) -> None:
    shell.refuse("train", data, "-t", "churn", *QUICK, "--set", setting, says=says)


@pytest.mark.parametrize("budget", ["0", "0 epochs", "0m", "-3 steps", "20", "abc", "20 parsecs", ""])
def test_a_budget_of_nothing(shell: Shell, data: str, budget: str) -> None:
    shell.refuse(
        *("train", data, "-t", "churn", "--budget", budget),
        says=["--budget", "training.budget", "20m, 10 epochs"],
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("data: good.csv\ntargets: {churn: auto}\nmodle: {size: tiny}\n", "bad.yaml:3:1: "),
        ("data: good.csv\ntargets:\n  churn: catgory\n", "bad.yaml:3:10: "),
        ("data: good.csv\ntargets: {churn: auto}\nmodel:\n  encoders: {table: tabn}\n", "bad.yaml:4:21: "),
        ("data: good.csv\ntargets: {churn: auto}\nevaluation: {metric: acuracy}\n", "bad.yaml:3:22: "),
        ("data: good.csv\n\ttargets: churn", "bad.yaml:2:1: "),
        ("data: good.csv\ntargets: {churn: auto}\nseed: 1\nseed: 2\n", "bad.yaml:4:1: "),
        ("", "bad.yaml"),
    ],
)
def test_a_wrong_recipe_names_line_and_column(shell: Shell, data: str, text: str, says: str) -> None:
    assert data == "good.csv"
    (shell.folder / "bad.yaml").write_text(text)
    shell.refuse("train", "bad.yaml", says=says)


def test_a_flag_on_top_of_a_recipe_is_named_and_not_the_file(shell: Shell, data: str) -> None:
    (shell.folder / "recipe.yaml").write_text(f"data: {data}\ntargets: {{churn: auto}}\n")
    sentence = shell.refuse(
        "train", "recipe.yaml", "--set", "training.bugdet=3m", says=["--set training.bugdet", "'budget'?"]
    )
    assert "recipe.yaml" not in sentence


# Places to write to.


def test_a_run_folder_that_is_not_empty(shell: Shell, data: str) -> None:
    (shell.folder / "mine").mkdir()
    (shell.folder / "mine" / "thesis.txt").write_text("years of work")
    shell.refuse("train", data, "-t", "churn", "--run", "mine", says=["mine", "not empty", "--run"])


@pytest.mark.parametrize("place", ["good.csv", "good.csv/run"])
def test_a_run_folder_where_a_file_stands(shell: Shell, data: str, place: str) -> None:
    shell.refuse("train", data, "-t", "churn", "--run", place, says=[place, "a file"])


def test_an_unwritable_run_folder(shell: Shell, data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)  # chmod does not stop the superuser, whom CI often is
    shell.refuse(
        "train",
        data,
        "-t",
        "churn",
        "--run",
        "locked/run",
        says=["locked/run", "cannot be written", "choose"],
    )


def test_a_place_that_is_no_place(shell: Shell, data: str) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("needs Linux's /proc")
    shell.refuse("train", data, "-t", "churn", "--run", "/proc/run", says="/proc/run")


def test_bad_input_makes_no_run_folder_of_its_own(shell: Shell, data: str) -> None:
    shell.refuse("train", data, "-t", "chrun", says="chrun")
    assert names(shell.folder) == {data: (shell.folder / data).stat().st_size}


@pytest.mark.parametrize("output", ["out.xlsx", "out", "folder/"])
def test_predictions_in_an_unknown_format(
    shell: Shell, data: str, copied: Callable[[str], Path], output: str
) -> None:
    copied("run")
    shell.refuse("predict", "run", data, "-o", output, says=[output.rstrip("/"), ".csv, .jsonl, .parquet"])


def test_predictions_never_replace_the_data(shell: Shell, data: str, copied: Callable[[str], Path]) -> None:
    copied("run")
    before = (shell.folder / data).read_bytes()
    shell.refuse("predict", "run", data, "-o", data, says=[data, "replace the data"])
    shell.refuse("predict", "run", data, "-o", f"./run/../{data}", says="replace the data")
    assert (shell.folder / data).read_bytes() == before


# Full disks. The faults are those that a full disk gives, found by filling one.

DEV_FULL = Path("/dev/full")


def _no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _no_space_in_rust(*_: object, **__: object) -> None:
    from safetensors import SafetensorError

    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def _no_space_in_polars(*_: object, **__: object) -> None:
    raise pl.exceptions.ComputeError(
        "parquet: File out of specification: underlying IO error: No space left on device (os error 28)"
    )


def _fill(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let files whose name ends so lie on a full disk."""
    true_path_open, true_os_open = Path.open, os.open

    def path_open(self: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        full = self.name.endswith(name) and mode[0] in "wa"
        return true_path_open(DEV_FULL if full else self, mode, *rest, **more)

    def os_open(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if f".{name}." not in str(path) or not flags & os.O_EXCL:
            return true_os_open(path, flags, *rest, **more)
        os.close(true_os_open(path, flags, *rest))  # the scratch file is there, and nothing fits into it
        return true_os_open(DEV_FULL, os.O_WRONLY)

    monkeypatch.setattr(Path, "open", path_open)
    monkeypatch.setattr("trainwright.foundation.paths.os.open", os_open)


def _refused_as_full(shell: Shell, *words: str) -> str:
    answer = shell(*words)
    assert answer.code == 2, answer.err
    assert answer.out == ""
    assert answer.err.count("\n") == 1, answer.err
    assert "the disk is full; free some space" in answer.err
    assert not [name for name in names(shell.folder) if Path(name).name.startswith(".")]
    return answer.err


@pytest.mark.skipif(not DEV_FULL.exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("name", ["recipe.yaml", "data.json", "split.npz", "environment.json"])
def test_a_disk_that_is_full_at_the_start_leaves_no_run(
    shell: Shell, data: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _fill(monkeypatch, name)
    before = names(shell.folder)
    _refused_as_full(shell, "train", data, "-t", "churn", "--run", "run", "--quiet", *QUICK)
    assert names(shell.folder) == before


@pytest.mark.skipif(not DEV_FULL.exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize(
    "name", ["events.jsonl", "manifest.json", "card.md", "report.html", "evaluation.json"]
)
def test_a_disk_that_fills_up_later_leaves_a_run_to_go_on_with(
    shell: Shell, data: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with monkeypatch.context() as patched:
        _fill(patched, name)
        _refused_as_full(shell, "train", data, "-t", "churn", "--run", "run", "--quiet", *QUICK)
    run = shell.folder / "run"
    assert (run / "recipe.yaml").exists()
    assert not (run / "evaluation.json").exists()  # it would say that the run is finished
    shell.succeed("resume", "run", "--quiet")
    shell.succeed("predict", "run", data, "-o", "out.csv")
    assert (run / "evaluation.json").exists()
    assert (run / "model" / "card.md").exists()
    assert (run / "report.html").stat().st_size > 100_000


@pytest.mark.parametrize("part", ["weights", "predictions"])
def test_a_disk_that_is_full_for_what_rust_writes(
    shell: Shell, data: str, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    with monkeypatch.context() as patched:
        if part == "weights":
            patched.setattr("safetensors.torch.save_file", _no_space_in_rust)
        else:
            patched.setattr(pl.DataFrame, "write_parquet", _no_space_in_polars)
        _refused_as_full(shell, "train", data, "-t", "churn", "--run", "run", "--quiet", *QUICK)
    shell.succeed("resume", "run", "--quiet")
    shell.succeed("predict", "run", data, "-o", "out.csv")


@pytest.mark.skipif(not DEV_FULL.exists(), reason="needs Linux's /dev/full")
def test_a_disk_that_is_full_for_the_cache(
    shell: Shell, data: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "cache"))
    _fill(monkeypatch, ".bin")
    before = names(shell.folder)
    where = _refused_as_full(shell, "train", data, "-t", "churn", "--quiet", *QUICK)
    assert str(tmp_path / "cache") in where
    assert names(shell.folder) == before
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert {path.parent.name for path in left} <= {"in-use"}  # what this process uses


def test_a_disk_that_is_full_for_checkpoints(
    shell: Shell, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import torch as tensors

    true_save = tensors.save_file

    def save(content: Any, path: Path, *rest: Any) -> None:
        if "step-" in str(path):
            _no_space_in_rust()
        true_save(content, path, *rest)

    monkeypatch.setattr(tensors, "save_file", save)
    words = ("train", data, "-t", "churn", "--run", "run", "--quiet", *QUICK)
    where = _refused_as_full(shell, *words, "--set", "training.checkpoint_minutes=0.0000001")
    assert "run/checkpoints/step-" in where


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
@pytest.mark.skipif(not DEV_FULL.exists(), reason="needs Linux's /dev/full")
def test_a_disk_that_is_full_for_predictions(
    shell: Shell, data: str, copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    copied("run")
    before = names(shell.folder)
    if ending == ".parquet":
        monkeypatch.setattr("pyarrow.parquet.ParquetWriter", _no_space)
    else:
        _fill(monkeypatch, f"{os.getpid()}")  # what the scratch file's name ends with
    _refused_as_full(shell, "predict", "run", data, "-o", f"out{ending}")
    assert names(shell.folder) == before


def test_a_fault_at_every_sync_leaves_whole_files_or_none(
    shell: Shell, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_sync = os.fsync
    calls = 0
    fail_at = -1

    def sync(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == fail_at:
            _no_space()
        true_sync(handle)

    monkeypatch.setattr("trainwright.foundation.paths.os.fsync", sync)
    words = ("train", data, "-t", "churn", "--quiet", *QUICK, "--run")
    shell.succeed(*words, "whole")
    total = calls
    whole = {path.name for path in (shell.folder / "whole").rglob("*")}
    assert total > 10
    for fail_at in range(1, total + 1, max(1, total // 8)):
        calls = 0
        _refused_as_full(shell, *words, f"run{fail_at}")
        run = shell.folder / f"run{fail_at}"
        left = {path.name for path in run.rglob("*")} if run.exists() else set()
        assert left <= whole
        for path in run.rglob("*.json"):
            json.loads(path.read_text())
        if left:
            assert "recipe.yaml" in left


# Models.


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_changed_byte_in_a_model_folder(
    shell: Shell, data: str, copied: Callable[[str], Path], name: str
) -> None:
    file = copied("run") / "model" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    says = (
        ["run/model", "manifest"] if name == "manifest.json" else ["run/model", f"'{name}'", "hash differs"]
    )
    shell.refuse("predict", "run", data, "-o", "out.csv", says=says)
    shell.refuse("evaluate", "run", data, says=says)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9])
def test_a_changed_byte_anywhere_in_the_manifest(
    shell: Shell, data: str, copied: Callable[[str], Path], share: float
) -> None:
    file = copied("run") / "model" / "manifest.json"
    content = bytearray(file.read_bytes())
    place = next(i for i in range(int(len(content) * share), len(content)) if chr(content[i]).isalnum())
    content[place] = ord("7" if content[place] != ord("7") else "8")
    file.write_bytes(content)
    shell.refuse("predict", "run", data, "-o", "out.csv", says="run/model")


def test_a_model_without_one_of_its_files(shell: Shell, data: str, copied: Callable[[str], Path]) -> None:
    (copied("run") / "model" / "transforms.json").unlink()
    shell.refuse(
        "predict", "run", data, "-o", "out.csv", says=["'transforms.json' is missing", "complete copy"]
    )


def test_a_model_of_a_newer_version(shell: Shell, data: str, copied: Callable[[str], Path]) -> None:
    file = copied("run") / "model" / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 99}))
    shell.refuse("predict", "run", data, "-o", "out.csv", says=["newer Trainwright", "99", "upgrade"])


def test_what_is_no_model(shell: Shell, data: str, copied: Callable[[str], Path]) -> None:
    copied("run")
    (shell.folder / "empty").mkdir()
    shell.refuse("predict", "rum", data, "-o", "o.csv", says=["rum", "no such folder", "did you mean 'run'?"])
    shell.refuse("predict", data, "run", "-o", "o.csv", says=[data, "a file, not a folder"])
    shell.refuse("predict", "empty", data, "-o", "o.csv", says=["empty", "not a model folder"])
    shutil.rmtree(shell.folder / "run" / "model")
    shell.refuse("predict", "run", data, "-o", "o.csv", says=["run", "no model yet", "trainwright resume"])


def test_prediction_data_that_lacks_a_column(shell: Shell, data: str, copied: Callable[[str], Path]) -> None:
    copied("run")
    columns = customers()
    del columns["age"]
    write_csv(shell.folder / "lack.csv", columns)
    write_csv(shell.folder / "near.csv", {**columns, "Age": customers()["age"]})
    for verb in (["predict", "run", "lack.csv", "-o", "new/out.csv"], ["evaluate", "run", "lack.csv"]):
        shell.refuse(*verb, says=["lack.csv", "no column 'age'", "add the column"])
    shell.refuse("predict", "run", "near.csv", "-o", "out.csv", says=["near.csv", "rename 'Age' to 'age'"])
    assert data


def test_test_data_without_the_target_or_its_classes(
    shell: Shell, data: str, copied: Callable[[str], Path]
) -> None:
    copied("run")
    write_csv(shell.folder / "other.csv", customers(churn=["perhaps"] * 60))
    shell.refuse("evaluate", "run", "other.csv", says=["other.csv", "no row can be judged"])
    columns = customers()
    del columns["churn"]
    write_csv(shell.folder / "blind.csv", columns)
    shell.refuse("evaluate", "run", "blind.csv", says=["blind.csv", "no column 'churn'"])
    shell.succeed("predict", "run", "blind.csv", "-o", "out.csv")  # predicting needs no target
    assert data


# Seen in peers, and not to be repeated.


def test_nothing_is_written_beside_the_users_file(shell: Shell, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    write_csv(theirs / "good.csv", customers())
    pictures(theirs / "pets", 20)
    before = names(theirs)
    shell.succeed("train", theirs / "good.csv", "-t", "churn", "--run", "table", *QUICK)
    shell.succeed("train", theirs / "pets", "-t", "label", "--run", "pets", *QUICK)
    shell.succeed("predict", "table", theirs / "good.csv", "-o", "out.csv")
    shell.succeed("evaluate", "table", theirs / "good.csv")
    shell.succeed("predict", "pets", theirs / "pets", "-o", "pets.jsonl")
    assert names(theirs) == before
    assert {path.name for path in shell.folder.iterdir()} == {"table", "pets", "out.csv", "pets.jsonl"}


def test_accuracy_is_accuracy(shell: Shell, copied: Callable[[str], Path]) -> None:
    copied("run")
    skewed = customers(100, churn=["yes"] * 90 + ["no"] * 10)
    write_csv(shell.folder / "skewed.csv", skewed)
    shell.succeed("predict", "run", "skewed.csv", "-o", "out.csv")
    said = pl.read_csv(shell.folder / "out.csv")["churn"].to_numpy()
    answer = shell.succeed("evaluate", "run", "skewed.csv", "--json")
    judged = json.loads(answer.out)["targets"]["churn"]["metrics"]["accuracy"]["value"]
    assert judged == pytest.approx(float(np.mean(said == np.array(skewed["churn"]))))


def test_names_from_the_data_cannot_break_the_sentence(shell: Shell) -> None:
    (shell.folder / "odd.csv").write_text('a,"b\nc\x1b[31m",y\n' + "1,2,p\n1,3,q\n" * 20)
    sentence = shell.refuse("train", "odd.csv", "-t", "bb", says="odd.csv")
    assert "\x1b" not in sentence

"""Samples are shared out so that nothing that judges was learned, and as the recipe says or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import trainwright as tw
from trainwright.data.open import open_table
from trainwright.data.sources import text
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError, RecipeError
from trainwright.recipe.recipe import DataSettings, SplitSettings
from trainwright.workshop import language_split
from trainwright.workshop.language_split import Sharing, share_samples


def frame(texts: list[str], **columns: Any) -> Table:
    return open_table(pl.DataFrame({"text": texts, **columns}))


def share(table: Table, *, task: str = "causal-lm", seed: int = 0, **settings: Any) -> Sharing:
    return share_samples(SplitSettings(**settings), table, ["text"], task=task, seed=seed)


def parts_of(sharing: Sharing, values: list[Any]) -> dict[Any, set[int]]:
    """Return value → parts that it is in."""
    assert sharing.part is not None
    found: dict[Any, set[int]] = {}
    for value, part in zip(values, sharing.part.tolist(), strict=True):
        found.setdefault(value, set()).add(part)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_equal_samples_are_in_one_part(seed: int) -> None:
    draw = np.random.default_rng(seed)
    texts = [f"text {number}" for number in draw.integers(0, 150, 300)]
    sharing = share(frame(texts), seed=seed)
    assert all(len(parts) == 1 for parts in parts_of(sharing, texts).values())
    assert np.bincount(sharing.part) == pytest.approx([270, 15, 15], abs=3)
    assert any("samples equal another one and stay in one part" in note for note in sharing.notes)


def test_a_few_samples_over_and_over_may_be_anywhere() -> None:
    texts = [f"text {number % 5}" for number in range(200)]
    sharing = share(frame(texts))
    assert np.bincount(sharing.part).tolist() == [180, 10, 10]
    assert any("equal ones are the rule here" in note for note in sharing.notes)


def test_pieces_of_one_file_are_in_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "DOCUMENT_CHARACTERS", 200)
    for number in range(60):
        lines = [f"file {number} line {line}\n" for line in range(40 if number % 4 == 0 else 3)]
        (tmp_path / f"{number}.txt").write_text("".join(lines))
    table = open_table(DataSettings(path=str(tmp_path), format="text"))
    sharing = share(table)
    files = table.column("file").to_list()
    assert len(files) > 100
    assert all(len(parts) == 1 for parts in parts_of(sharing, files).values())
    assert "The pieces of a document stay in one part (60 documents)." in sharing.notes


def test_few_long_files_are_cut_however_many_their_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "DOCUMENT_CHARACTERS", 100)
    (tmp_path / "one.txt").write_text("".join(f"line {line}\n" for line in range(1000)))
    table = open_table(DataSettings(path=str(tmp_path / "one.txt"), format="text"))
    assert table.num_rows > 50
    sharing = share(table)
    assert sharing.method == "ends" and sharing.part is None


def test_parts_of_a_document_of_a_corpus_are_in_one_part() -> None:
    documents = [f"a.jsonl:{number // 3}" for number in range(240)]
    columns = {
        "id": [str(number) for number in range(240)],
        "source": ["a.jsonl"] * 240,
        "position": [f"line {number // 3} part {number % 3 + 1}" for number in range(240)],
        "characters": [5] * 240,
    }
    sharing = share(frame([f"text {number}" for number in range(240)], **columns))
    assert all(len(parts) == 1 for parts in parts_of(sharing, documents).values())


def test_parts_of_a_document_are_told_by_positions_where_an_older_corpus_says_no_more() -> None:
    """Its long files had positions with commas, and with the byte that a slice begins at."""
    behind = "", " after byte 16,777,216", " after byte 33,554,432"
    positions = [f"part {number:,}{slice}" for slice in behind for number in (1, 999, 1_000)]
    columns = {
        "id": [str(number) for number in range(81 * 9)],
        "source": [f"{number // 9}.txt" for number in range(81 * 9)],
        "position": positions * 81,
        "characters": [5] * (81 * 9),
    }
    texts = [f"text {number}" for number in range(81 * 9)]
    # Among shards of a later version, those of an earlier one name no document.
    for more in ({}, {"document": [None] * (81 * 9)}, {"document": ["a"] * 9 + [None] * (80 * 9)}):
        sharing = share(frame(texts, **columns, **more))
        assert all(len(parts) == 1 for parts in parts_of(sharing, columns["source"]).values())
        assert "The pieces of a document stay in one part (81 documents)." in sharing.notes


@pytest.mark.parametrize("cut", ["by the reader", "into slices", "behind the reader"])
def test_parts_of_a_document_of_a_prepared_corpus_are_in_one_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    """Three long documents among sixty short ones, of which none has its name in its text."""
    if cut == "into slices":
        for module in ("reader", "inputs", "readers.text"):
            monkeypatch.setattr(f"trainwright.corpus.{module}.SLICE_BYTES", 3_000)
    (tmp_path / "in").mkdir()
    for number in range(63):
        lines = "\n".join(f"{number} {line} of the lines." for line in range(900 if number < 3 else 1))
        if cut == "behind the reader":
            row = json.dumps({"text": lines})
            (tmp_path / "in" / f"{number}.jsonl").write_text(row, encoding="utf-8")
        else:
            (tmp_path / "in" / f"{number}.txt").write_text(lines, encoding="utf-8")
    settings = {"document_characters": 1_000, "near_duplicates": "off"}
    tw.prepare(tmp_path / "in", tmp_path / "out", quality="off", settings=settings, workers=1, quiet=True)
    table = open_table(DataSettings(path=str(tmp_path / "out" / "part-00000.parquet")))
    positions = table.column("position").to_list()
    assert any("after byte" in position for position in positions) == (cut == "into slices")
    sources = table.column("source").to_list()
    assert len(sources) > 100
    sharing = share(table)
    assert all(len(parts) == 1 for parts in parts_of(sharing, sources).values())
    assert "The pieces of a document stay in one part (63 documents)." in sharing.notes


def test_a_column_that_names_parts_is_taken() -> None:
    texts = [f"text {number}" for number in range(120)]
    words = [["train", "train", "val", "test"][number % 4] for number in range(120)]
    expected = [[0, 0, 1, 2][number % 4] for number in range(120)]
    for table, settings in (
        (frame(texts, split=words), {}),
        (frame(texts, split=words), {"method": "column"}),
        (frame(texts, mine=words), {"column": "mine"}),
        (frame(texts, mine=words), {"method": "column", "column": "mine"}),
    ):
        sharing = share(table, **settings)
        assert sharing.method == "column"
        assert sharing.part is not None and sharing.part.tolist() == expected
    assert share(frame(texts, split=words), method="random").method == "random"
    assert share(frame(texts, split=["x"] * 120)).method == "random"  # says nothing of parts


def test_what_no_column_names_is_drawn_and_what_straddles_is_counted() -> None:
    texts = [f"text {number // 2}" for number in range(200)]
    words = ["test" if number % 20 == 1 else "train" for number in range(200)]
    sharing = share(frame(texts, split=words))
    assert sharing.part is not None
    assert ((sharing.part == 2) == (np.array(words) == "test")).all()
    assert 5 <= (sharing.part == 1).sum() <= 15
    assert "The source has no validation rows: they are drawn from training." in sharing.notes
    assert any("test samples are training samples too" in note for note in sharing.notes)


def test_files_that_are_given_are_taken(tmp_path: Path) -> None:
    for name, count in (("mine", 80), ("held", 20)):
        lines = [json.dumps({"text": f"{name} {number}"}) + "\n" for number in range(count)]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    data = DataSettings(path=str(tmp_path / "mine.jsonl"), test=str(tmp_path / "held.jsonl"))
    sharing = share(open_table(data))
    assert sharing.method == "given" and sharing.part is not None
    assert (sharing.part[80:] == 2).all() and not (sharing.part[:80] == 2).any()
    assert (sharing.part == 1).any()


def test_a_group_is_in_one_part() -> None:
    speakers = [f"speaker {number % 30}" for number in range(300)]
    sharing = share(
        frame([f"text {number}" for number in range(300)], who=speakers), method="group", column="who"
    )
    assert all(len(parts) == 1 for parts in parts_of(sharing, speakers).values())
    assert sharing.method == "group"


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"method": "given"}, "the source gives no parts"),
        ({"method": "column"}, "no column says which part a row belongs to"),
        ({"column": "wher"}, "there is no column 'wher' to split by; did you mean 'where'"),
        ({"column": "where"}, "'here' names no part of a split"),
        ({"method": "random", "column": "where"}, "split.column has no effect where split.method is random"),
        ({"method": "stratified"}, "not split by stratified"),
        ({"method": "time", "column": "where"}, "not split by time"),
    ],
)
def test_what_cannot_be_done_is_refused(settings: dict[str, Any], why: str) -> None:
    table = frame([f"text {number}" for number in range(100)], where=["here"] * 100)
    with pytest.raises((DataError, RecipeError), match=why):
        share(table, **settings)


def test_equal_rows_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    table = frame([f"once {number // 2}" for number in range(100)])
    first = share(table)

    def refuse(*rest: Any) -> None:
        raise AssertionError("looked at again")

    monkeypatch.setattr(language_split, "first_equal", refuse)
    assert share(table).key == first.key


@pytest.mark.parametrize("task", ["chat", "preference", "sequence-to-sequence"])
@pytest.mark.parametrize("rows", [3, 10, 49])
def test_few_conversations_are_shared_out_by_row(task: str, rows: int) -> None:
    sharing = share(frame([f"text {number}" for number in range(rows)]), task=task)
    assert sharing.part is not None
    assert all((sharing.part == part).any() for part in range(3))
    assert sharing.method == "random"

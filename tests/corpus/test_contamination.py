"""Evaluation sets: what holds a part of one leaves, or the part does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from corpora import PROSE, left, make, write_jsonl

QUESTION = (
    "Which of the three bridges across the river was the first that the people of the town built of stone?"
)
CHINESE = "下列哪一座桥是镇上的人们最早用石头在这条河上建造起来的桥梁呢请选择答案"


def sets(folder: Path) -> Path:
    path = folder / "exam.jsonl"
    rows = [
        {"id": 1, "question": QUESTION, "choices": ["this", "that"]},
        {"id": 2, "passage": {"text": CHINESE}},
    ]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("question", [QUESTION, CHINESE])
def test_texts_with_a_part_of_an_evaluation_set_leave(tmp_path: Path, question: str) -> None:
    chinese = question == CHINESE
    body = "河水从山上流下来。人们晚上走过去看港口的灯光，老人讲起从前的洪水。" if chinese else PROSE
    part = question[5:30] if chinese else " ".join(question.upper().split()[2:16])
    texts = [body, f"{body} {part} {body[::-1]}", f"{'好' if chinese else 'word '}{question[:8]} {body}"]
    path = write_jsonl(tmp_path / "a.jsonl", texts)
    words = {"near_duplicates": "off"}
    found, manifest = make(
        path, tmp_path / "out", decontaminate=[sets(tmp_path)], settings=words, quality="off"
    )
    assert found["text"].to_list() == [texts[0], texts[2]]
    name = str(tmp_path / "exam.jsonl")
    assert left(manifest, "contamination") == {name: 1}
    assert manifest["evaluation_sets"][0] | {"n_grams": 0} == {
        "name": name,
        "texts": 4,
        "too_short": 2,
        "n_grams": 0,
    }
    assert len(manifest["samples"][f"contamination.{name}"]) == 1


def test_the_part_may_be_cut_out(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "a.jsonl", [f"{PROSE} {QUESTION} Write to a@example.org. {PROSE[::-1]}", QUESTION]
    )
    words = {"contaminated": "cut"}
    found, manifest = make(
        path, tmp_path / "out", decontaminate=[sets(tmp_path)], settings=words, quality="off"
    )
    assert len(found) == 1
    text = found["text"][0]
    assert "three bridges" not in text
    assert text.startswith(PROSE)
    assert "<EMAIL>" in text
    assert manifest["notes"][f"texts with parts of {tmp_path / 'exam.jsonl'} cut out"] == 1


def test_a_clean_double_of_what_leaves_stays(tmp_path: Path) -> None:
    """The first of two near doubles holds a question; the second has it cut off in the middle."""
    body = " ".join(f"{PROSE} Chapter {number} of many." for number in range(12))
    texts = [f"{body} {QUESTION}", f"{body} {QUESTION[:20]}"]
    path = write_jsonl(tmp_path / "a.jsonl", texts)
    found, manifest = make(path, tmp_path / "out", decontaminate=[sets(tmp_path)], quality="off")
    assert found["text"].to_list() == texts[1:]
    assert "duplicates" not in manifest["left"]
    near, _ = make(path, tmp_path / "near", quality="off")
    assert len(near) == 1

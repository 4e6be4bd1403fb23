"""Evaluation sets: what holds a part of one leaves, or the part does."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import PROSE, content, left, make, write_jsonl

from trainwright.corpus import contamination
from trainwright.corpus.document import Document
from trainwright.foundation.errors import UserError

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
    whole = f"{PROSE} {QUESTION} Write to a@example.org. {PROSE[::-1]}"
    path = write_jsonl(tmp_path / "a.jsonl", [whole, QUESTION])
    words = {"contaminated": "cut", "personal": "phone"}
    found, manifest = make(
        path, tmp_path / "out", decontaminate=[sets(tmp_path)], settings=words, quality="off"
    )
    assert len(found) == 1
    text = found["text"][0]
    assert "three bridges" not in text
    assert text.startswith(PROSE)
    name = str(tmp_path / "exam.jsonl")
    assert manifest["notes"][f"texts with parts of {name} cut out"] == 1
    # What was read stays, was cut out, or left: no character is lost from the counts.
    cut = manifest["notes"][f"characters of parts of {name} cut out"]
    assert cut == len(whole) - len(text)
    assert manifest["left"]["contamination"] == {name: {"documents": 1, "characters": len(QUESTION)}}
    assert manifest["read"]["characters"] == cut + len(text) + len(QUESTION)


def test_what_stays_of_a_text_that_was_cut_is_masked(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [f"{PROSE} {QUESTION} Write to a@example.org."])
    words = {"contaminated": "cut"}
    found, _ = make(path, tmp_path / "out", decontaminate=[sets(tmp_path)], settings=words, quality="off")
    assert "<EMAIL>" in found["text"][0]


def test_ngrams_of_a_large_set_are_sorted_a_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six hundred batches: what is sorted in all is a small multiple of what there is."""
    monkeypatch.setattr(contamination, "_BATCH_BYTES", 100)
    draw = random.Random(0)
    texts = [" ".join(draw.choices(PROSE.split(), k=30)) for _ in range(300)] * 2
    real, sorted_in_all = np.unique, 0

    def unique(hashes: Any) -> Any:
        nonlocal sorted_in_all
        sorted_in_all += len(hashes)
        return real(hashes)

    monkeypatch.setattr(np, "unique", unique)
    documents = [Document(text, "a", str(number), "text") for number, text in enumerate(texts)]
    made, told = contamination.learn({"exam": documents}, words=13, characters=20)
    monkeypatch.undo()
    grams = {tuple(words[at : at + 13]) for words in map(str.split, texts) for at in range(18)}
    assert len(made.hashes) == told["exam"]["n_grams"]
    assert len(made.hashes) == len({tuple(map(_plain, gram)) for gram in grams})
    assert (np.diff(made.hashes.astype(np.float64)) >= 0).all()
    assert sorted_in_all < 6 * len(texts) * 18


def _plain(word: str) -> str:
    return word.strip(".,").lower()


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


CHINESE_PAGE = (
    "河水从山上流下来，穿过小镇，人们在那里造了一座石桥，晚上走过去看港口的灯光。老人讲起从前的洪水。" * 3
)
MIXED = (
    "请说明 Python 中的 list 和 tuple 有什么区别，并给出 append 与 extend 的例子，再写出每一步的时间复杂度"
)


@pytest.mark.parametrize("question", [QUESTION, CHINESE, MIXED])
@pytest.mark.parametrize("page", [PROSE, CHINESE_PAGE, ""])
def test_a_question_is_found_in_a_page_of_whatever_language(tmp_path: Path, question: str, page: str) -> None:
    """A page in Chinese may hold a question in English, and the other way round."""
    (tmp_path / "exam.jsonl").write_text(json.dumps({"question": question}), encoding="utf-8")
    texts = [f"{page}\n{page[::-1]}\n{question}\n{page}", f"{page}{PROSE} {CHINESE_PAGE} {question[:9]}"]
    path = write_jsonl(tmp_path / "a.jsonl", texts)
    words = {"settings": {"near_duplicates": "off"}, "quality": "off"}
    found, manifest = make(path, tmp_path / "out", decontaminate=tmp_path / "exam.jsonl", **words)
    assert found["text"].to_list() == texts[1:]
    assert manifest["evaluation_sets"][0]["too_short"] == 0


def test_thirteen_characters_in_common_are_too_few(tmp_path: Path) -> None:
    """Of characters 20 are needed, wherever they stand: 13 make a usual phrase."""
    (tmp_path / "exam.jsonl").write_text(json.dumps({"question": CHINESE}), encoding="utf-8")
    texts = [f"{PROSE} {CHINESE[:19]} {PROSE[::-1]}", f"{CHINESE[3:22]}。{CHINESE_PAGE}"]
    path = write_jsonl(tmp_path / "a.jsonl", texts)
    found, _ = make(path, tmp_path / "out", decontaminate=[tmp_path / "exam.jsonl"], quality="off")
    assert len(found) == 2


def test_any_part_of_a_mixed_set_is_found(tmp_path: Path) -> None:
    """Stretches of 40 tokens of random mixtures of languages hold an n-gram of one kind or the other."""
    draw = random.Random(5)
    tokens = [draw.choice(["list", "tuple", "value", "key"]) + f"{n}" for n in range(200)]
    tokens = [
        draw.choice("河水从山上流下来穿过小镇人们在那里造") if draw.random() < 0.5 else t for t in tokens
    ]
    (tmp_path / "exam.jsonl").write_text(json.dumps({"question": " ".join(tokens)}), encoding="utf-8")
    texts = [
        f"{number} {page} {' '.join(tokens[at : at + 40])}"
        for number, (at, page) in enumerate(
            (at, page) for at in range(0, 160, 10) for page in (PROSE, CHINESE)
        )
    ]
    path = write_jsonl(tmp_path / "a.jsonl", [*texts, PROSE])
    words = {"settings": {"near_duplicates": "off"}, "quality": "off"}
    found, _ = make(path, tmp_path / "out", decontaminate=[tmp_path / "exam.jsonl"], **words)
    assert found["text"].to_list() == [PROSE]


BROKEN_SETS = {
    "a broken line": (
        "a.jsonl",
        b'{"question": "broken',
        r"exam: a part of .* \(broken line: 1, the first in .*a.jsonl",
    ),
    "an empty file": (
        "empty.jsonl",
        b"",
        r"exam: 1 of the files .* \(.*empty.jsonl: the file is empty; leave it out\)",
    ),
    "a kind without a reader": (
        "mmlu.csv",
        b"question,answer\nx,y\n",
        r"exam: no reader is for some .* \(.csv: 1\)",
    ),
    "a damaged file": ("b.parquet", b"PAR1 and nothing", "b.parquet: the Parquet file is cut off or damaged"),
}


@pytest.mark.parametrize("case", sorted(BROKEN_SETS))
def test_an_evaluation_set_is_read_whole_or_not_at_all(tmp_path: Path, case: str) -> None:
    name, broken, says = BROKEN_SETS[case]
    folder = tmp_path / "exam"
    folder.mkdir()
    good = json.dumps({"question": QUESTION, "note": ""}).encode()
    (folder / "a.jsonl").write_bytes(good + b"\n")
    with (folder / name).open("ab") as stream:
        stream.write(broken)
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE])
    make(path, tmp_path / "out")
    before = content(tmp_path / "out")
    with pytest.raises(UserError, match=says):
        make(path, tmp_path / "out", decontaminate=[folder], force=True)
    assert content(tmp_path / "out") == before
    (folder / "a.jsonl").write_bytes(good)
    found, manifest = make(path, tmp_path / "out", decontaminate=[folder / "a.jsonl"], force=True)
    assert len(found) == 1
    assert manifest["evaluation_sets"][0]["texts"] == 1

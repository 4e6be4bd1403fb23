"""Scores of written texts, against values worked out by hand and the library that papers use."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.evaluation.text_scores import bleu_and_chrf, exact_match, rouge_l, rouge_n, words_of


def test_exact_match_is_but_for_case_and_space() -> None:
    assert exact_match(
        ["Paris", " the  CAT ", "no"], [["paris"], ["a dog", "The cat"], ["yes"]]
    ) == pytest.approx(2 / 3)


def test_rouge_l_by_hand() -> None:
    # "police kill the gunman" and "police killed the gunman" share police, the, gunman: 3 of 4 and 3 of 4.
    assert rouge_l(["police kill the gunman"], [["police killed the gunman"]]) == pytest.approx(0.75)
    # Order counts: the longest common subsequence is "the gunman".
    assert rouge_l(["the gunman kill police"], [["police killed the gunman"]]) == pytest.approx(0.5)
    assert rouge_l(["a", ""], [["b", "a"], ["x"]]) == pytest.approx(0.5)


def test_rouge_of_words_and_pairs_by_hand() -> None:
    ours, theirs = ["the cat sat on the mat"], [["the cat lay on the mat"]]
    assert rouge_n(ours, theirs, 1) == pytest.approx(5 / 6)
    # the cat, on the, the mat: 3 of 5 and 3 of 5.
    assert rouge_n(ours, theirs, 2) == pytest.approx(3 / 5)
    # A word counts as often as both have it; the best of the references counts.
    assert rouge_n(["the the the"], [["a b", "the cat"]], 1) == pytest.approx(2 / 5)
    assert rouge_n(["cat"], [["cat"]], 2) == 0
    assert rouge_n(["", "a"], [[""], [""]], 1) == pytest.approx(0.5)


def _longest(first: list[str], second: list[str]) -> int:
    """The textbook's table."""
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if one == other else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=12),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=12),
)
def test_rouge_l_finds_the_longest_subsequence(first: list[str], second: list[str]) -> None:
    common = _longest(first, second)
    precision, recall = common / len(first), common / len(second)
    expected = 2 * precision * recall / (precision + recall) if common else 0.0
    assert rouge_l([" ".join(first)], [[" ".join(second)]]) == pytest.approx(expected)


def test_chinese_is_counted_by_characters() -> None:
    assert words_of("我喜欢 cats!") == ["我", "喜", "欢", "cats", "!"]
    assert rouge_l(["我喜欢猫"], [["我喜欢狗"]]) == pytest.approx(0.75)


def test_bleu_and_chrf_of_the_same_texts_are_100() -> None:
    texts = ["the cat sat on the mat", "it was raining all day long"]
    same = bleu_and_chrf(texts, [[text] for text in texts])
    assert same == pytest.approx({"bleu": 100, "chrf": 100})
    other = bleu_and_chrf(["a dog", "sun"], [[text, "another one"] for text in texts])
    assert other["bleu"] < 5 and other["chrf"] < 30


@pytest.mark.parametrize(
    ("cut", "text", "reference"),
    [
        ("zh", "我很喜欢小猫和小狗。", "我很喜欢小猫和小鸟。"),
        ("char", "私は毎日猫にごはんをあげます。", "私は毎日犬にごはんをあげます。"),
        ("char", "나는 매일 고양이에게 밥을 준다.", "나는 매일 강아지에게 밥을 준다."),
        # A word of another script is no other language.
        ("13a", "the sign 猫 stands for a small cat", "the sign 猫 stands for a little cat"),
        ("zh", "我用 Python 写了一个很小的程序。", "我用 Python 写了一个很大的程序。"),
    ],
)
def test_bleu_cuts_by_the_script_of_most_letters(cut: str, text: str, reference: str) -> None:
    from sacrebleu.metrics import BLEU

    found = bleu_and_chrf([text], [[reference]])["bleu"]
    assert found == pytest.approx(BLEU(tokenize=cut).corpus_score([text], [[reference]]).score)
    assert found > 20


def test_without_sacrebleu_there_is_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    assert bleu_and_chrf(["a"], [["a"]]) == {}

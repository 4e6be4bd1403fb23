"""Settings of a corpus: what cannot be meant is one sentence, and never an error of Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from corpora import PROSE, make, write_jsonl

from trainwright.corpus.languages import CODES, UNKNOWN
from trainwright.corpus.minhash import BANDS, ROWS
from trainwright.corpus.settings import CorpusSettings, with_changes
from trainwright.foundation.errors import DataError, UserError


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        (
            "languages",
            ["English"],
            "there is no language 'English' among those that are told apart; give codes",
        ),
        ("languages", ["en", "EN"], "there is no language 'EN'"),
        ("languages", [3], r"languages is '\[3\]'; give a word, or a list of words"),
        ("languages", 3, "languages is '3'; give a word"),
        ("personal", {"email": 3, "phones": 4}, "there is no kind of personal data 'phones'"),
        ("split", ["line"], "split is .*; give a word"),
        ("split", None, "split is 'None'; give a word"),
        ("encoding", 8, "encoding is '8'; give a word"),
        ("shard_megabytes", "inf", "shard_megabytes is 'inf'; give a number"),
        ("shard_megabytes", float("nan"), "shard_megabytes is 'nan'; give a number"),
        ("shard_megabytes", "off", "shard_megabytes is 'off'; give a whole number"),
        ("shard_megabytes", 2.5, "shard_megabytes is '2.5'; give a whole number"),
        ("shard_megabytes", [1], "shard_megabytes is .*; give a number"),
        ("repair", [True], "repair is .*; say true or false"),
        ("rules", "off", "rules is 'off'; give quality=off for none"),
        ("rules", None, "rules is 'None'; give quality=off"),
        ("rules.gopher_few_words", "nan", "rules.gopher_few_words is 'nan'; give a number, or off"),
        ("rules.gopher_few_words", float("inf"), "rules.gopher_few_words is 'inf'; give a number, or off"),
        ("rules", {"gopher_few_words": "x"}, "rules.gopher_few_words is 'x'; give a number, or off"),
        ("near_duplicates", 0.6, "near_duplicates is 0.6; give off, or a similarity from 0.75 to 1"),
        ("near_duplicates", 1.5, "near_duplicates is 1.5"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(name: str, value: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        with_changes(CorpusSettings(), {name: value})


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"personal": ["email"]}, "personal", ("email",)),
        ({"personal": "email,card"}, "personal", ("email", "card")),
        ({"personal": "off"}, "personal", ()),
        ({"personal": None}, "personal", ()),
        ({"languages": ["en"]}, "languages", ("en",)),
        ({"languages": "en"}, "languages", ("en",)),
        ({"languages": ["en, zh", "de"]}, "languages", ("en", "zh", "de")),
        (["languages=en,zh"], "languages", ("en", "zh")),
        ("shard_megabytes=64", "shard_megabytes", 64),
        ({"near_duplicates": "off"}, "near_duplicates", None),
        ({"near_duplicates": 0.75}, "near_duplicates", 0.75),
        ({"rules": {"gopher_few_words": 5}}, "rules", {"gopher_few_words": 5.0}),
        ({"text_column": "none"}, "text_column", None),
    ],
)
def test_what_is_meant_is_taken(changes: Any, name: str, value: Any) -> None:
    made = with_changes(CorpusSettings(), changes)
    assert getattr(made, name) == value
    assert CorpusSettings.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_a_language_may_be_one_word(tmp_path: Path) -> None:
    german = "Der Fluss kommt aus den Bergen und fließt durch die Stadt, in der die Leute eine Brücke bauten."
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE, german])
    found, _ = make(path, tmp_path / "out", languages="de")
    assert found["text"].to_list() == [german]
    with pytest.raises(UserError, match="there is no language 'German'"):
        make(path, tmp_path / "none", languages=["German"])


def test_the_languages_are_those_that_are_told_apart() -> None:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    told = set(LanguageIdentifier.from_model_file(MODEL_FILE).labels)
    assert (told - {"zxx", "yue", "wuu"}) | {UNKNOWN} == CODES


def test_a_corpus_of_nothing_is_refused_and_leaves_no_work(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE, PROSE + " And on.", "short"])
    with pytest.raises(
        DataError, match=r"of 3 documents that were read none stays \(en: 2, \w+: 1\); choose other languages"
    ):
        make(path, tmp_path / "out", languages=["fr"])
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    found, _ = make(path, tmp_path / "out", languages=["en"])
    assert len(found) == 1


def test_the_least_similarity_is_one_that_is_found() -> None:
    assert 1 - (1 - 0.75**ROWS) ** BANDS > 0.98

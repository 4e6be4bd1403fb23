from __future__ import annotations

import pickle

import pytest

from trainwright.foundation.errors import (
    DataError,
    ModelFolderError,
    RecipeError,
    TrainwrightError,
    UserError,
    did_you_mean,
    nearest,
)


@pytest.mark.parametrize(
    ("where", "fix", "sentence"),
    [
        (None, None, "the file is empty."),
        ("a.csv", None, "a.csv: the file is empty."),
        (None, "add rows", "the file is empty; add rows."),
        ("a.csv:1:1", "add rows", "a.csv:1:1: the file is empty; add rows."),
        ("a.csv", "did you mean 'b.csv'?", "a.csv: the file is empty; did you mean 'b.csv'?"),
    ],
)
def test_the_sentence_says_where_what_and_fix(where: str | None, fix: str | None, sentence: str) -> None:
    assert str(UserError("the file is empty", where=where, fix=fix)) == sentence


@pytest.mark.parametrize("kind", [UserError, RecipeError, DataError, ModelFolderError])
def test_user_errors_are_value_errors_that_exit_with_2(kind: type[UserError]) -> None:
    error = kind("no")
    assert isinstance(error, ValueError)
    assert isinstance(error, TrainwrightError)
    assert (error.exit_code, TrainwrightError.exit_code) == (2, 1)


def test_an_error_crosses_process_borders_unchanged() -> None:
    error = DataError("the file is empty", where="a.csv", fix="add rows")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is DataError
    assert str(copy) == str(error)
    assert (copy.what, copy.where, copy.fix) == (error.what, error.where, error.fix)


@pytest.mark.parametrize(
    ("word", "words", "expected"),
    [
        ("categroy", ["number", "category"], "category"),
        ("TEXT", ["text", "image"], "text"),
        ("Stars", ["stars", "price"], "stars"),
        ("zzz", ["text", "image"], None),
        ("x", [], None),
    ],
)
def test_nearest(word: str, words: list[str], expected: str | None) -> None:
    assert nearest(word, words) == expected


def test_did_you_mean_names_the_nearest_word_or_what_there_is() -> None:
    assert did_you_mean("txet", ["image", "text"]) == "did you mean 'text'?"
    assert did_you_mean("zzz", ["image", "text"]) == "choose one of: image, text"
    many = [f"column {i}" for i in range(30)]
    assert did_you_mean("zzz", many, limit=2) == "choose one of: column 0, column 1 (and 28 more)"
    assert did_you_mean("zzz", []) == "leave it out"

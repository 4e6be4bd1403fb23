from __future__ import annotations

import time

import pytest

from trainwright.foundation.errors import RecipeError
from trainwright.recipe.parse import MAX_BYTES, MAX_DEPTH, MAX_VALUES, parse_yaml


def value(text: str) -> object:
    parsed, _, repeated = parse_yaml(text, "r.yaml")
    assert not repeated
    return parsed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5_000", 5000),
        ("-3", -3),
        ("+7", 7),
        ("007", 7),
        ("0x1F", 31),
        ("0o17", 15),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("2.", 2.0),
        ("1_000.5", 1000.5),
        ("-.inf", float("-inf")),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("yes", "yes"),
        ("off", "off"),
        ("20m", "20m"),
        ("1:30", "1:30"),
        ("2024-01-02", "2024-01-02"),
        ("10 epochs", "10 epochs"),
        ("'5'", "5"),
        ('"true"', "true"),
        ("1.2.3", "1.2.3"),
        ("_5", "_5"),
        ("-_", "-_"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_words_without_quotes(text: str, expected: object) -> None:
    found = value(f"a: {text}")["a"]
    assert found == expected
    assert type(found) is type(expected)


def test_keys_are_texts_as_written() -> None:
    text = "2024: a\nyes: b\nnull: c\n1.0: d\n'x': e\n2024-01-02: f\n"
    assert value(text) == {"2024": "a", "yes": "b", "null": "c", "1.0": "d", "x": "e", "2024-01-02": "f"}


def test_json_is_yaml() -> None:
    assert value('{"data": "a\\u00e9.csv", "n": [1, 2.5, null, true]}') == {
        "data": "aé.csv",
        "n": [1, 2.5, None, True],
    }


def test_an_empty_text_is_null() -> None:
    assert value("") is None
    assert value("# only a comment\n") is None


def test_positions_are_those_an_editor_shows() -> None:
    text = "data: a.csv\ninputs:\n  价格: {type: number, bins: [1, 22]}\n  b:\n"
    _, positions, _ = parse_yaml(text, "r.yaml")
    assert positions.locate(("data",)) == "r.yaml:1:7"
    assert positions.locate(("data",), key=True) == "r.yaml:1:1"
    assert positions.locate(("inputs", "价格", "type")) == "r.yaml:3:14"
    assert positions.locate(("inputs", "价格", "bins"), key=True) == "r.yaml:3:22"
    assert positions.locate(("inputs", "价格", "bins", 1)) == "r.yaml:3:32"


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("a: [1,\nb: 2\n", "r.yaml:1:4", "this is not YAML"),
        ("a: 'x\n", "r.yaml:1:4", "close the quote"),
        ("a: \t- b\n", "r.yaml:1:4", "indent with spaces, not with tabs"),
        ("a: b: c\n", "r.yaml:1:5", "put quotes around the text if the colon belongs to it"),
        ("a:\n  b: 1\n c: 2\n", "r.yaml:3:2", "same indentation"),
        ('a: "\\q"\n', "r.yaml:1:6", "use single quotes"),
        ("a: @x\n", "r.yaml:1:4", "put quotes around the text"),
        ("a: 1\nbcd\n", "r.yaml:2:1", "write 'key: value'"),
        ("a: *.csv\n", "r.yaml:1:4", r"put quotes around a text that starts with \*"),
        ("a: *\n", "r.yaml:1:5", "put quotes around the text"),
        ("a: &x 1\n", "r.yaml:1:4", "no anchors"),
        ("a: !!python/object/apply:os.system [ls]\n", "r.yaml:1:4", "no tags"),
        ("a: !!str 5\n", "r.yaml:1:4", "no tags"),
        ("? !!str a\n: 5\n", "r.yaml:1:3", "no tags"),
        ("<<: {a: 1}\n", "r.yaml:1:1", "no merge keys"),
        ("? [a]\n: 1\n", "r.yaml:1:3", "a key must be a text"),
        ("a: 1\n---\nb: 2\n", "r.yaml:2:1", "second document"),
        ("a: 1\nb: \x07\n", "r.yaml:2:4", r"control character \(U\+0007\); remove it"),
    ],
)
def test_what_is_no_yaml_is_answered_with_its_place_and_a_cure(text: str, where: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        parse_yaml(text, "r.yaml")
    assert caught.value.where == where


def test_a_key_written_twice_is_reported_and_the_first_is_kept() -> None:
    text = "a: 1\nb:\n  c: 1\n  c: {d: [1, 2]}\na: 2\n"
    parsed, positions, repeated = parse_yaml(text, "r.yaml")
    assert parsed == {"a": 1, "b": {"c": 1}}
    places = [(mistake.what, positions.locate(mistake.path, key=True)) for mistake in repeated]
    assert places == [
        ("b.c is written twice, first in line 3", "r.yaml:4:3"),
        ("a is written twice, first in line 1", "r.yaml:5:1"),
    ]
    assert positions.locate(("b", "c")) == "r.yaml:3:6"


BOMBS = {
    "deep list": "[" * MAX_BYTES,
    "deep mapping": "{a: " * (MAX_BYTES // 4),
    "deep dashes": "- " * (MAX_BYTES // 2),
    "deep questions": "? " * (MAX_BYTES // 2),
    "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
    "itself": "a: &a [*a]\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_they_grow(name: str) -> None:
    began = time.monotonic()
    with pytest.raises(RecipeError):
        parse_yaml(BOMBS[name], "r.yaml")
    assert time.monotonic() - began < 10  # the parser alone would need minutes


def test_limits_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    assert value("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    with pytest.raises(RecipeError, match="nested deeper than 32 levels"):
        value("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2))
    assert MAX_VALUES > 40_000  # twenty thousand columns and their types
    monkeypatch.setattr("trainwright.recipe.parse.MAX_VALUES", 5)
    assert value("[1, 2, 3, 4]") == [1, 2, 3, 4]
    with pytest.raises(RecipeError, match="holds more than 5 values"):
        value("[1, 2, 3, 4, 5]")

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.foundation.errors import RecipeError
from trainwright.recipe.overrides import apply_overrides, build_recipe, with_setting
from trainwright.recipe.positions import dotted, undotted
from trainwright.recipe.reader import parse_recipe

BASE: dict[str, Any] = {"data": "a.csv", "targets": {"y": "category"}}


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("model.size=tiny", {"model": {"size": "tiny"}}),
        ("training.budget=10 epochs", {"training": {"budget": "10 epochs"}}),
        ("training.budget = 20m", {"training": {"budget": "20m"}}),
        ("training.learning_rate=1e-3", {"training": {"learning_rate": 0.001}}),
        ("training.class_weights={a: 1, b: 2}", {"training": {"class_weights": {"a": 1, "b": 2}}}),
        ("evaluation.slices=[a, b]", {"evaluation": {"slices": ["a", "b"]}}),
        ("evaluation.baselines=false", {"evaluation": {"baselines": False}}),
        ("model.checkpoint=", {"model": {"checkpoint": None}}),
        ("data.query=select * from t", {"data": {"path": "a.csv", "query": "select * from t"}}),
        ("data.query=a='b c'", {"data": {"path": "a.csv", "query": "a='b c'"}}),
        ("data.delimiter=;", {"data": {"path": "a.csv", "delimiter": ";"}}),
        ("inputs.title=text", {"inputs": {"title": "text"}}),
        ('inputs."the.price".type=number', {"inputs": {"the.price": {"type": "number"}}}),
        ("inputs.'a=b'=number", {"inputs": {"a=b": "number"}}),
        ("inputs.the price=number", {"inputs": {"the price": "number"}}),
        ("inputs.价格=number", {"inputs": {"价格": "number"}}),
        ("targets.y.min_count=2", {"targets": {"y": {"type": "category", "min_count": 2}}}),
    ],
)  # fmt: skip
def test_a_flag_sets_one_value(flag: str, expected: dict[str, Any]) -> None:
    assert apply_overrides(BASE, [flag]) == {**BASE, **expected}


def test_later_flags_win_and_short_forms_are_written_out() -> None:
    flags = ["model.encoders.x=cnn", "model.encoders.x.dropout=0.2", "seed=1", "seed=2"]
    assert apply_overrides(BASE, flags) == {
        **BASE,
        "model": {"encoders": {"x": {"name": "cnn", "dropout": 0.2}}},
        "seed": 2,
    }


def test_the_mapping_is_left_as_it_was() -> None:
    mapping = {"model": {"encoders": {"x": "cnn"}}}
    apply_overrides(mapping, ["model.encoders.x.dropout=0.2", "model.size=tiny"])
    assert mapping == {"model": {"encoders": {"x": "cnn"}}}


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("model", "this sets nothing; write path=value"),
        ("=3", "'' is not a path of keys"),
        ("model..size=3", "'model..size' is not a path of keys"),
        ("model.=3", "is not a path of keys"),
        ('inputs."a=3', "this sets nothing"),
        ("model.size=[1", "this is not YAML"),
        ("model.size=&a", "no anchors"),
        ("training={budget: 1m, budget: 2m}", "budget is written twice"),
        ("data.path.x=1", "data.path has no keys beneath it; set data.path itself"),
        ("seed.x=1", "seed has no keys beneath it; set seed itself"),
        (
            "model.size=smal",
            "model.size must be tiny, small, base or large, not 'smal'; did you mean 'small'?",
        ),
        ("model.sizes=small", "there is no key 'sizes' under model; did you mean 'size'?"),
        ("training.budget=0s", "training.budget: a budget must be greater than 0"),
        ("inputs.y=text", "the target 'y' is also an input"),
        ("split.test=0.99", "leave no rows to train on"),
    ],
)
def test_errors_name_the_flag(flag: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build_recipe({**BASE, "seed": 4}, overrides=[flag])
    assert caught.value.where == f"--set {flag}"
    assert words in str(caught.value)


def test_flags_build_the_recipe_that_the_file_says() -> None:
    text = (
        "data: {path: a.csv, delimiter: ';'}\n"
        "inputs: {title: text, photo: {type: image, size: 64}}\n"
        "targets: {y: category}\n"
        "training: {budget: 20m}\nmodel: {encoders: {title: {name: cnn}}}\n"
    )
    flags = ["data.delimiter=';'", "inputs={title: text, photo: {type: image, size: 64}}"]
    flags += ["training.budget=20m", "model.encoders.title=cnn"]
    assert build_recipe(BASE, "command line", overrides=flags) == parse_recipe(text, "r.yaml").recipe


def test_a_mistake_in_a_mapping_names_its_source_and_path() -> None:
    with pytest.raises(RecipeError, match=r"^command line: training.budget: '5' is not a budget"):
        build_recipe({**BASE, "training": {"budget": "5"}}, "command line")


def test_with_setting_takes_any_value() -> None:
    assert with_setting(BASE, ("inputs", "a.b"), {"type": "text"}, where="settings") == {
        **BASE,
        "inputs": {"a.b": {"type": "text"}},
    }


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4).map(tuple))
def test_any_path_can_be_written(path: tuple[str, ...]) -> None:
    assert undotted(dotted(path), where="test") == path

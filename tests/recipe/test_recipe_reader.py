from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.foundation.errors import RecipeError
from trainwright.recipe.budget import Budget
from trainwright.recipe.emit import emit
from trainwright.recipe.kinds import kind_at
from trainwright.recipe.parse import MAX_BYTES
from trainwright.recipe.reader import parse_recipe, read_recipe
from trainwright.recipe.recipe import Recipe

WHOLE = """\
data: {path: [a.csv, b.csv], delimiter: ";"}
inputs:
  title: text
  photo: {type: image, size: 64}
  price:
targets: {stars: category}
model: {size: tiny, encoders: {title: cnn, photo: {name: vit, patch: 4}}}
training: {budget: 20m, class_weights: {1: 2, 2: 0.5}}
evaluation: {slices: [country]}
split:
seed: 5
"""
SECTIONS = {
    name: list(section.model_fields)
    for name in Recipe.model_fields
    if (kind := kind_at(Recipe, [name])) is not None and (section := kind.model) is not None
}
HEAD = "data: a.csv\ntargets: {y: category}\n"


def test_a_recipe_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(WHOLE)
    read = read_recipe(path)
    recipe = read.recipe
    assert recipe.data.path == ("a.csv", "b.csv")
    assert recipe.data.delimiter == ";"
    assert {name: (column.type, column.options) for name, column in recipe.inputs.items()} == {
        "title": ("text", {}),
        "photo": ("image", {"size": 64}),
        "price": ("auto", {}),
    }
    assert recipe.model.encoders["photo"].options == {"patch": 4}
    assert recipe.training.budget == Budget(1200, "seconds")
    assert recipe.training.class_weights == {"1": 2.0, "2": 0.5}
    assert recipe.evaluation.slices == ("country",)
    assert recipe.split == Recipe.model_fields["split"].get_default(call_default_factory=True)
    assert recipe.seed == 5
    assert read.positions.locate(("inputs", "photo", "size")) == f"{path}:4:30"
    assert read.mapping["inputs"]["price"] is None


MISTAKES = [
    # unknown keys
    ("data: a\ntarget:\n  y: category\n", "2:1", "there is no key 'target' in a recipe; did you mean 'targe"),
    (HEAD + "modle: {}\n", "3:1", "there is no key 'modle' in a recipe; did you mean 'model'?"),
    (HEAD + "model:\n  siez: tiny\n", "4:3", "there is no key 'siez' under model; did you mean 'size'?"),
    (HEAD + "budget: 20m\n", "3:1", "write training.budget: it belongs under 'training'"),
    (HEAD + "zzz: 1\n", "3:1", "choose one of: data, inputs, targets, task, split, model, language"),
    ("data: {pth: a}\ntargets: {y: text}\n", "1:8", "there is no key 'pth' under data; did you mean 'path'?"),
    # missing and empty
    ("targets: {y: text}\n", "1:1", "data is missing; add it: where the rows come from."),
    ("data: a\n", "1:1", "targets is missing; add it"),
    ("data: {}\ntargets: {y: text}\n", "1:7", "data.path is missing; add it"),
    ("data: a\ntargets: {}\n", "2:10", "targets is empty; give a mapping of names to their settings"),
    ("data: a\ntargets:\n", "2:1", "targets is empty; give"),
    ("data: ''\ntargets: {y: text}\n", "1:7", "data.path is empty; give text or a list of texts"),
    ("data: []\ntargets: {y: text}\n", "1:7", "data.path is empty; give"),
    (HEAD + "seed:\n", "3:1", "seed has no value; give a whole number"),
    ("data: a\ntargets: {y: {type: }}\n", "2:15", "targets.y.type has no value; give text"),
    # wrong types
    (HEAD + "seed: many\n", "3:7", "seed must be a whole number from 0 to below 2**63, not 'many'."),
    (HEAD + "seed: '3'\n", "3:7", "not '3'; take the quotes away"),
    (HEAD + "seed: 3.0\n", "3:7", "not 3.0; write 3"),
    (HEAD + "seed: true\n", "3:7", "not true."),
    (HEAD + "training: {learning_rate: true}\n", "3:27", "training.learning_rate must be a number above 0, "),
    (HEAD + "training: {learning_rate: [1]}\n", "3:27", "not a list."),
    (HEAD + "training: adamw\n", "3:11", "training must be a section, not 'adamw'; write its keys beneath i"),
    (HEAD + "training: [adamw]\n", "3:11", "training must be a section, not a list"),
    ("data: 2024\ntargets: {y: text}\n", "1:7", "data must be text, a list of texts or a section, not 2024;"),
    ("data: [a, 1]\ntargets: {y: text}\n", "1:7", "data.path[1] must be text, not 1; put quotes around it"),
    ("data: {path: [a, 1]}\ntargets: {y: text}\n", "1:18", "data.path[1] must be text, not 1"),
    ("data: a\ntargets: y\n", "2:10", "targets must be a mapping of names to their settings, not 'y'; write"),
    ("data: a\ntargets: {y: 3}\n", "2:14", "targets.y must be text or a section, not 3; put quotes around i"),
    (HEAD + "inputs: {x.z: {type: 1}}\n", "3:22", 'inputs."x.z".type must be text, not 1'),
    (HEAD + "evaluation: {baselines: yes}\n", "3:25", "evaluation.baselines must be true or false, not 'yes"),
    (HEAD + "evaluation: {slices: a}\n", "3:22", "evaluation.slices must be a list of texts, not 'a'"),
    (HEAD + "evaluation: {slices: [a, 1]}\n", "3:26", "evaluation.slices[1] must be text, not 1"),
    (HEAD + "model: {encoders: {x: {name: 1}}}\n", "3:30", "model.encoders.x.name must be text, not 1"),
    # wrong values
    (HEAD + "model: {size: smal}\n", "3:15", "model.size must be tiny, small, base or large, not 'smal'; di"),
    (HEAD + "training: {batch: 0}\n", "3:19", "training.batch must be a whole number of at least 1, not 0"),
    (HEAD + "training: {clip: -1}\n", "3:18", "training.clip must be a number of at least 0, not -1"),
    (HEAD + "training: {warmup: .nan}\n", "3:20", "training.warmup must be a number from 0 to below 1, not "),
    (HEAD + "training: {clip: .inf}\n", "3:18", "not inf"),
    (HEAD + "evaluation: {coverage: 1}\n", "3:24", "must be a number above 0.5 and below 1, not 1"),
    (HEAD + "seed: 9223372036854775808\n", "3:7", "not 9223372036854775808"),
    (HEAD + "training: {class_weights: balancd}\n", "3:27", "not 'balancd'; did you mean 'balanced'?"),
    (HEAD + "training: {class_weights: {a: b}}\n", "3:31", "training.class_weights.a must be a number of at"),
    (HEAD + "training: {class_weights: 3}\n", "3:27", "must be none, balanced or a mapping of names to numb"),
    # budgets
    (HEAD + "training: {budget: 0m}\n", "3:20", "training.budget: a budget must be greater than 0; write a "),
    (HEAD + "training: {budget: 0}\n", "3:20", "training.budget: 0 is not a budget; write"),
    (HEAD + "training: {budget: 20}\n", "3:20", "training.budget: 20 is not a budget; write"),
    (HEAD + "training: {budget: soon}\n", "3:20", "training.budget: 'soon' is not a budget; write"),
    (HEAD + "training: {budget: {m: 20}}\n", "3:20", "is not a budget; write"),
    # contradictions
    (HEAD + "split: {validation: 0.9}\n", "3:21", "validation (0.9) and test (0.2) leave no rows to train o"),
    (HEAD + "split: {test: 0.9}\n", "3:15", "leave no rows to train on"),
    (HEAD + "split: {method: group}\n", "3:17", "a split by group needs the column to split by; add split.c"),
    (HEAD + "inputs: {x: text, y: text}\n", "3:22", "the target 'y' is also an input, and would be predicte"),
    # keys written twice
    (HEAD + "seed: 1\nseed: 2\n", "4:1", "seed is written twice, first in line 3; keep one of them"),
    # no mapping
    ("", None, "this recipe is empty; write at least"),
    ("- a\n", "1:1", "a recipe is a mapping of keys to values; write at least"),
    ("a.csv", "1:1", "a recipe is a mapping of keys to values"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "words"), MISTAKES)
def test_a_mistake_is_answered_with_its_place_and_a_cure(text: str, place: str | None, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "r.yaml")
    assert caught.value.where == (f"r.yaml:{place}" if place else "r.yaml")
    assert words in str(caught.value)
    assert "more mistake" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_first_mistake_by_position_is_told_and_the_others_counted() -> None:
    text = "data: a\ntargets: {y: text}\nseed: -1\ntraining:\n  clip: -1\n  clip: 1\nmodle: 1\n"
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "r.yaml")
    assert str(caught.value).startswith("r.yaml:3:7: seed must be")
    assert "(and 3 more mistakes)" in str(caught.value)
    with pytest.raises(RecipeError, match=r"r.yaml:2:7: seed must be .* \(and 1 more mistake\)"):
        parse_recipe("data: a\nseed: -1\nseed: 2\ntargets: {y: text}\n", "r.yaml")


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
PIECES = [
    *WHOLE,
    "\n  ",
    ": ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a ",
    "!!x ",
    "- ",
    "? ",
    "'",
    '"',
    "#",
    "\t",
    "|",
    "%",
    "---\n",
]


def answer(text: str) -> None:
    """Read a recipe; whatever is wrong with it must be one sentence with a place."""
    try:
        parse_recipe(text, "r.yaml")
    except RecipeError as error:
        assert str(error).startswith("r.yaml"), text
        assert str(error).endswith((".", "?")), text
        assert "Input should" not in str(error), text


@given(st.text(max_size=40))
def test_any_text_is_answered_in_a_sentence(text: str) -> None:
    answer(text)


@given(st.integers(0, len(WHOLE)), st.integers(0, 4), st.lists(st.sampled_from(PIECES), max_size=3))
@settings(max_examples=300, deadline=None)
def test_any_slip_of_the_hand_is_answered_in_a_sentence(start: int, removed: int, added: list[str]) -> None:
    answer(WHOLE[:start] + "".join(added) + WHOLE[start + removed :])


@given(st.sampled_from([(n, k) for n in SECTIONS for k in SECTIONS[n]]), ANY)
@settings(max_examples=300, deadline=None)
def test_any_value_anywhere_is_answered_in_a_sentence(path: tuple[str, str], value: object) -> None:
    section, key = path
    mapping = {"data": {"path": "a"}, "targets": {"y": "x"}}
    mapping[section] = {**mapping.get(section, {}), key: value}
    answer(emit(mapping))


def test_other_files_are_refused(tmp_path: Path) -> None:
    def fails(path: Path, words: str, place: str = "") -> None:
        with pytest.raises(RecipeError) as caught:
            read_recipe(path)
        assert caught.value.where == f"{path}{place}"
        assert words in str(caught.value)

    (tmp_path / "recipe.yaml").write_text(HEAD)
    fails(tmp_path / "recpie.yaml", f"there is no such file; did you mean '{tmp_path / 'recipe.yaml'}'?")
    fails(tmp_path / "no" / "recipe.yaml", "there is no such file; check the path")
    fails(tmp_path, "this is a folder; name the recipe file in it")
    fails(tmp_path / "recipe.yaml" / "x", "this file cannot be read")
    (tmp_path / "utf16.yaml").write_text(HEAD, encoding="utf-16")
    fails(tmp_path / "utf16.yaml", "this is not UTF-8 text; save the file as UTF-8", ":1:1")
    (tmp_path / "gbk.yaml").write_bytes(b"data: a\ntargets:\n  " + "价格: text\n".encode("gb18030"))
    fails(tmp_path / "gbk.yaml", "this is not UTF-8 text", ":3:3")
    (tmp_path / "huge.yaml").write_bytes(b"# " + b"x" * MAX_BYTES)
    fails(tmp_path / "huge.yaml", "a recipe is at most 1 MiB")


def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(RecipeError, match="at most 1 MiB"):
        read_recipe("/dev/zero")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_text(HEAD, encoding="utf-8-sig")
    assert read_recipe(path).recipe.data.path == "a.csv"


def test_flags_override_the_file_and_are_named_in_errors() -> None:
    text = HEAD + "training:\n  clip: -1\n"
    read = parse_recipe(text, "r.yaml", overrides=["training.clip=2", "model.size=tiny"])
    assert (read.recipe.training.clip, read.recipe.model.size) == (2.0, "tiny")
    assert read.mapping["training"] == {"clip": 2}
    assert read.positions.locate(("training", "clip")) == "--set training.clip=2"
    assert read.positions.locate(("targets", "y")) == "r.yaml:2:14"
    with pytest.raises(RecipeError) as caught:
        parse_recipe(HEAD, "r.yaml", overrides=["training.clip=-2", "model.size=smal"])
    assert str(caught.value) == (
        "--set training.clip=-2: training.clip must be a number of at least 0, not -2 (and 1 more mistake)."
    )


def test_a_recipe_is_frozen() -> None:
    recipe = parse_recipe(HEAD, "r.yaml").recipe
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 1


def test_reading_imports_nothing_heavy() -> None:
    code = (
        "import sys; from trainwright.recipe import reader, writer, overrides\n"
        "heavy = {'torch', 'numpy', 'polars', 'ruamel', 'transformers', 'sklearn', 'PIL', 'pyarrow'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

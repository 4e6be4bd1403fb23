"""Schema inference on real tables and on columns made to be misread."""

from __future__ import annotations

import datetime
import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.data.frame_table import FrameTable
from trainwright.data.infer import infer_schema
from trainwright.data.inference.sample import SAMPLE_ROWS, sample_rows
from trainwright.data.open import open_table
from trainwright.data.schema import Schema
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings, FeatureSettings, SplitSettings

AUTO = FeatureSettings()
ROWS = 200


def infer(table: Table, target: str, **inputs: str) -> Schema:
    asked = {name: FeatureSettings(type=kind) for name, kind in inputs.items()}
    return infer_schema(table, inputs=asked, targets={target: AUTO})


def type_of(values: list[object] | pl.Series, *, name: str = "x", root: str | None = None) -> str:
    column = pl.Series(name, values)
    target = pl.Series("y", np.arange(len(column)) % 2).cast(pl.String)
    other = pl.Series("z", np.linspace(0, 1, len(column)))
    table = FrameTable(pl.DataFrame([column, other, target]), root=root)
    return infer(table, "y")[name].type


def target_type(values: list[object] | pl.Series) -> str:
    column = pl.Series("y", values)
    frame = pl.DataFrame([column, pl.Series("z", np.linspace(0, 1, len(column)))])
    return infer(FrameTable(frame), "y")["y"].type


def spread(values: list[object], rows: int = ROWS) -> list[object]:
    return [values[row % len(values)] for row in range(rows)]


# Real data: what an expert would choose.

REAL = {
    ("adult_census/data.csv", "income"): {
        "age fnlwgt education_num capital_gain capital_loss hours_per_week": "number",
        "workclass education marital_status occupation race sex native_country": "category",
        "income": "category",
    },
    ("titanic/data.csv", "Survived"): {
        "PassengerId": "id-like",
        "Survived": "category",
        "Pclass Age SibSp Parch Fare": "number",
        "Name": "text",
        "Sex Ticket Cabin Embarked": "category",
    },
    ("telco_churn/data.csv", "churn"): {
        "churn": "category",
        "female senior_citizen phone_service": "boolean",
        "multiple_lines contract payment_method": "category",
        "tenure monthly_charges total_charges": "number",
    },
    ("german_credit/data.csv", "class"): {
        "duration credit_amount age installment_rate": "number",
        "checking_status purpose telephone foreign_worker": "category",
        "class": "category",
    },
    ("mammography_imbalanced/data.csv", "label"): {"x0 x5": "number", "label": "category"},
    ("insurance_charges/data.csv", "charges"): {
        "age bmi children charges": "number",
        "smoker": "boolean",
        "region": "category",
    },
    ("california_housing/data.csv", "median_house_value"): {
        "longitude total_bedrooms median_house_value": "number",
        "ocean_proximity": "category",
    },
    ("petfinder/data.csv", "AdoptionSpeed"): {
        "PetID RescuerID": "id-like",
        "Description": "text",
        "Name Breed1 Color3 State Type": "category",
        "Age Fee PhotoAmt": "number",
        "AdoptionSpeed": "category",
    },
    ("houses/data.csv", "price"): {
        "house_id": "id-like",
        "zipcode": "category",
        "bedrooms bathrooms area price": "number",
        "img_frontal img_kitchen": "image",
    },
    ("fsdd/labels.csv", "label"): {
        "path": "audio",
        "label group": "category",
        "sr channels": "constant",
        "seconds": "number",
    },
    ("sms_spam/data.csv", "label"): {"text": "text", "label": "category"},
    ("banking77/train.csv", "label"): {"text": "text", "label": "category"},
    ("chnsenticorp_htl/data.csv", "label"): {"text": "text", "label": "category"},
    ("thucnews_titles/test.csv", "label"): {"text": "text", "label": "category"},
    ("ml_latest_small/ratings.csv", "rating"): {
        "userId movieId": "category",
        "rating timestamp": "number",
    },
    ("ml_latest_small/movies.csv", "genres"): {"movieId": "id-like", "title": "text", "genres": "set"},
}


@pytest.mark.parametrize(("file", "target"), REAL, ids=[file for file, _ in REAL])
def test_real_tables_get_the_types_an_expert_would_choose(file: str, target: str, shared_data: Path) -> None:
    schema = infer(open_table(DataSettings(path=str(shared_data / file))), target)
    for names, expected in REAL[file, target].items():
        for name in names.split():
            assert schema[name].type == expected, (name, schema[name])
            assert schema[name].reason


def test_a_split_column_is_used_for_the_split_and_not_learned_from(shared_data: Path) -> None:
    schema = infer(open_table(DataSettings(path=str(shared_data / "adult_census/data.csv"))), "income")
    assert schema.split_column == "split"
    assert schema["split"].role == "left out"
    assert "split" in schema["split"].reason


# Strays and words for missing.


def test_a_few_stray_words_do_not_turn_numbers_into_something_else() -> None:
    values = [f"{value / 7:.3f}" for value in range(1000)]
    values[10] = values[500] = values[999] = "see note"
    table = FrameTable(pl.DataFrame({"x": values, "y": spread(["a", "b"], 1000)}))
    column = infer(table, "y")["x"]
    assert column.type == "number"
    assert column.reason == 'numbers in 99.7 % of 1,000 values; 3 strays such as "see note"'


@pytest.mark.parametrize("word", ["?", "NA", "", " ", "null", "None", "nan", "-", "N/A"])
def test_words_for_missing_are_missing(word: str) -> None:
    values = [word if row % 3 == 0 else f"{row * 1.5}" for row in range(ROWS)]
    table = FrameTable(pl.DataFrame({"x": values, "y": spread(["a", "b"])}))
    column = infer(table, "y")["x"]
    assert (column.type, column.missing) == ("number", pytest.approx(67 / 200))


def test_numbers_with_a_repeated_word_are_numbers_and_mixtures_are_not() -> None:
    assert type_of([f"{row * 0.37:.2f}" if row % 8 else "unknown" for row in range(ROWS)]) == "number"
    assert type_of([f"{row % 30}" if row % 2 else "abc"[row % 3] for row in range(ROWS)]) == "category"


@settings(max_examples=25, deadline=None)
@given(strays=st.integers(0, 8), seed=st.integers(0, 1000))
def test_strays_below_five_percent_never_change_a_column_of_numbers(strays: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = [f"{value:.4f}" for value in generator.normal(size=ROWS)]
    for row in generator.choice(ROWS, strays, replace=False):
        values[row] = ["2024-01-01", "yes", "abc def ghi", "12:30", "1;2"][row % 5]
    assert type_of(values) == "number"


# Numbers as people write them.


@pytest.mark.parametrize(
    "form",
    ["{:,}", "${:,.2f}", "€ {}", "{:,} EUR", "{:_}", "{}%", "{}元"],
)
def test_numbers_as_people_write_them_are_numbers(form: str) -> None:
    values: list[object] = [form.format(7 * row * row) for row in range(ROWS)]
    assert type_of(values) == "number"
    assert target_type(values) == "number"


def test_the_reason_shows_how_numbers_are_written() -> None:
    values = [f"{row * 31.5:,.2f}" for row in range(ROWS)]
    table = FrameTable(pl.DataFrame({"x": values, "z": values, "y": spread(["a", "b"])}))
    assert infer(table, "y")["x"].reason == (
        'numbers in all of 200 values, 168 written like "1,008.00"'  # the first 32 have no comma
    )
    losses = [f"({row})" if row % 3 == 0 else f"{row * 7}" for row in range(1, ROWS)] + ["see note"]
    table = FrameTable(pl.DataFrame({"x": losses, "y": spread(["a", "b"])}))
    assert infer(table, "y")["x"].reason == (
        'numbers in 99.5 % of 200 values, 66 written like "(3)"; 1 stray such as "see note"'
    )


@pytest.mark.parametrize(
    "values",
    [
        [f"{200 + row} {row * 7 % 900 + 100} {row * 13 % 900 + 100}" for row in range(ROWS)],  # telephones
        [f"{200 + row}\u00a0{row * 7 % 900 + 100}\u00a0{row * 13 % 900 + 100}" for row in range(ROWS)],
        [f"+49 {200 + row} {row * 7 % 900 + 100}" for row in range(ROWS)],
        [f"({200 + row}) 555-{1000 + row}" for row in range(ROWS)],
        [f"({row % 40 + 200})" for row in range(ROWS)],  # area codes
        [f"({row % 4 + 1},{row + 100})" for row in range(ROWS)],  # pairs
        [",".join(str(100 + (row + step) % 6 * 7) for step in range(1 + row % 3)) for row in range(ROWS)],
        [f"{row % 12 + 1},{row % 60:02}" for row in range(ROWS)],  # decimal commas
        [f"00{row % 9}" for row in range(ROWS)],
        [f"$00{row % 9}" for row in range(ROWS)],
        [f"{row % 24}:{row % 60:02}" for row in range(ROWS)],
        [f"2024-{row % 12 + 1:02}-05" for row in range(ROWS)],
        [f"{row % 5}.{row % 7}.{row}" for row in range(ROWS)],
    ],
)
def test_what_only_looks_like_an_amount_is_none(values: list[object]) -> None:
    assert type_of(values) != "number"


def test_amounts_of_nothing_and_one_are_no_yes_and_no() -> None:
    assert type_of(spread(["$0", "$1"])) == "category"
    assert type_of(spread(["$0", "$1", "$2"])) == "number"


def test_prices_of_six_digits_are_no_codes() -> None:
    assert type_of([f"{100_000 + 1_237 * row:,}" for row in range(ROWS)], name="price") == "number"


# Codes, ids and constants.


def test_leading_zeros_make_codes() -> None:
    assert type_of(spread([f"0{code}" for code in range(2100, 2130)])) == "category"


@pytest.mark.parametrize("name", ["zip", "zipcode", "postal_code", "userId", "customer id", "ProductID"])
def test_whole_numbers_named_as_codes_are_categories(name: str) -> None:
    assert type_of(spread([str(code) for code in range(90001, 90040)]), name=name) == "category"


@pytest.mark.parametrize("name", ["bedrooms", "paid", "video", "width", "candidate_age", "grid"])
def test_names_that_only_contain_the_letters_of_an_id_are_not_ids(name: str) -> None:
    assert type_of([str(3 * value % 997) for value in range(ROWS)], name=name) == "number"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("PassengerId", [str(10_000 + 7 * row) for row in range(ROWS)]),
        ("anything", [str(row) for row in range(ROWS)]),
        ("key", [f"{row * 2654435761 % 2**32:08x}" for row in range(ROWS)]),
        ("uuid", [f"{row:08d}-aaaa-4bbb-8ccc-{row * 31:012d}" for row in range(ROWS)]),
        ("order_id", [row * 3 for row in range(ROWS)]),
    ],
)
def test_ids_are_left_out_and_said(name: str, values: list[object]) -> None:
    frame = pl.DataFrame({name: values, "z": np.linspace(0, 1, ROWS), "y": spread(["a", "b"])})
    column = infer(FrameTable(frame), "y")[name]
    assert (column.type, column.role) == ("id-like", "left out")
    assert "new rows" in column.reason


def test_an_id_that_is_asked_for_is_learned_from() -> None:
    frame = pl.DataFrame({"id": [str(row) for row in range(ROWS)], "y": spread(["a", "b"])})
    schema = infer_schema(FrameTable(frame), inputs={"id": AUTO}, targets={"y": AUTO})
    assert (schema["id"].type, schema["id"].role) == ("number", "input")


def test_unique_measurements_are_no_ids() -> None:
    assert type_of([f"{row**0.5:.5f}" for row in range(ROWS)]) == "number"
    assert type_of([str(row * row) for row in range(ROWS)], name="population") == "number"


@pytest.mark.parametrize("values", [["7"] * ROWS, [None] * ROWS, [1.5] * ROWS, ["NA"] * ROWS])
def test_constants_are_left_out(values: list[object]) -> None:
    assert type_of(pl.Series(values, dtype=pl.Float64 if values[0] == 1.5 else pl.String)) == "constant"


def test_one_word_or_nothing_may_tell_something() -> None:
    assert type_of(spread(["pool", "", ""])) == "category"


def test_a_constant_sample_is_checked_against_the_whole_column() -> None:
    rows = 3 * SAMPLE_ROWS
    rare = ["0"] * rows
    absent = sorted(set(range(rows)) - set(sample_rows(rows, SAMPLE_ROWS, 0).tolist()))[:40]
    for row in absent:
        rare[row] = str(row)
    same = ["5"] * rows
    twice = [f"{row // 2 * 7919 % 100_003:06x}" for row in range(rows)]
    frame = pl.DataFrame(
        {
            "rare": rare,
            "same": same,
            "twice": twice,
            "z": np.linspace(0, 1, rows),
            "y": spread(["a", "b"], rows),
        }
    )
    table = FrameTable(frame)
    schema = infer(table, "y")
    assert schema["rare"].type == "number"
    assert schema["same"].type == "constant"
    assert schema["twice"].type == "category"  # unique among a third of the rows, not in the column
    assert schema.num_sampled == SAMPLE_ROWS


# Words, names and text.


def test_text_is_told_from_categories() -> None:
    words = [
        "the",
        "cat",
        "sat",
        "on",
        "a",
        "mat",
        "and",
        "saw",
        "that",
        "dogs",
        "run",
        "fast",
        "in",
        "parks",
    ]
    generator = np.random.default_rng(0)
    sentences = [" ".join(generator.choice(words, 7)) for _ in range(ROWS)]
    assert type_of(sentences) == "text"
    assert type_of(spread(["very good indeed", "not so good at all", "quite bad in the end"])) == "category"
    assert type_of(["今天的天气非常好我们去公园" + chr(0x4E00 + row) for row in range(ROWS)]) == "text"
    assert type_of(spread(["北京", "上海", "广州"])) == "category"
    assert type_of([f"{first} {last}" for first in "ABCDEFGHIJ" for last in map(str, range(20))]) == "text"


def test_single_words_that_all_differ_are_spelled_out_not_thrown_away() -> None:
    names = [
        "".join(chr(97 + (row * step) % 26) for step in (1, 3, 7, 11, 19)) + chr(97 + row // 26)
        for row in range(ROWS)
    ]
    assert type_of(names, name="surname") == "text"


@pytest.mark.parametrize(
    "values",
    [
        ["yes", "no"],
        ["TRUE", "False"],
        ["0", "1"],
        ["Y", "N"],
        [True, False],
        [0, 1],
        ["是", "否"],
    ],
)
def test_yes_and_no_are_boolean(values: list[object]) -> None:
    assert type_of(spread(values)) == "boolean"


def test_other_pairs_are_categories() -> None:
    assert type_of(spread(["male", "female"])) == "category"
    assert type_of(spread(["1", "2"])) == "category"


# Dates.


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d",
        "%d/%m/%Y",
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%SZ",
        "%d %B %Y",
        "%Y年%m月%d日",
        "%d.%m.%Y",
    ],
)
def test_dates_are_dates(form: str) -> None:
    start = datetime.datetime(2021, 3, 1, 8, 30)
    values = [(start + datetime.timedelta(days=row)).strftime(form) for row in range(ROWS)]
    values[3] = "unknown"
    assert type_of(values) == "date"


def test_what_is_no_date() -> None:
    assert type_of([str(1_500_000_000 + 86_400 * row) for row in range(ROWS)]) == "number"  # epoch seconds
    assert type_of(spread([f"1.{row}.{row % 7}" for row in range(40)])) != "date"  # versions
    assert type_of([f"192.168.{row}.1" for row in range(ROWS)]) != "date"


def test_typed_dates_are_dates() -> None:
    assert type_of(pl.Series([datetime.date(2020, 1, 1 + row % 28) for row in range(ROWS)])) == "date"
    moments = [datetime.datetime(2020, 1, 1 + row % 28, 12) for row in range(ROWS)]
    for unit in ("ms", "us", "ns"):
        assert type_of(pl.Series(moments, dtype=pl.Datetime(unit, "UTC"))) == "date"


# Lists, sets and arrays.


def test_sets() -> None:
    combinations = ["Comedy|Drama", "Drama", "Action|Comedy|War", "War", "Action", "Drama|War", "Comedy"]
    assert type_of(spread(combinations)) == "set"
    assert type_of(pl.Series(spread([["a"], ["a", "b"], []]))) == "set"
    assert infer(FrameTable(pl.DataFrame({"x": spread(combinations), "y": spread(["a", "b"])})), "y")[
        "x"
    ].options == {"delimiter": "|"}


def test_commas_in_names_and_prose_are_no_sets() -> None:
    assert (
        type_of(spread([f"{city}, {state}" for city in ("Paris", "Salem", "Troy") for state in ("OR", "TX")]))
        == "category"
    )
    assert type_of([f"Well, this is number {row}, and it is fine, really" for row in range(ROWS)]) == "text"


def test_numbers_in_lists() -> None:
    assert type_of(pl.Series([[1.0, 2.0, row] for row in range(ROWS)])) == "vector"
    assert type_of(pl.Series([[1.0] * (1 + row % 5) for row in range(ROWS)])) == "sequence"
    assert type_of(pl.Series(np.random.default_rng(0).normal(size=(ROWS, 8)))) == "vector"
    assert type_of([f"[{row}, 2.5, -1]" for row in range(ROWS)]) == "vector"
    assert (
        type_of([" ".join(str(row + step) for step in range(4 + row % 3)) for row in range(ROWS)])
        == "sequence"
    )


def test_arrays_of_pixels_are_images() -> None:
    generator = np.random.default_rng(0)
    grey = generator.integers(0, 255, size=(50, 8, 8), dtype=np.uint8)
    colour = generator.integers(0, 255, size=(50, 3, 12, 12), dtype=np.uint8)
    assert type_of(pl.Series(grey)) == "image"
    assert type_of(pl.Series(colour)) == "image"
    assert type_of(pl.Series(generator.normal(size=(50, 16, 16)))) == "image"
    assert type_of(pl.Series(generator.normal(size=(50, 40, 3)))) == "sequence"


# Media.


def png() -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    return buffer.getvalue()


def test_media_files_are_told_by_name_and_looked_for(tmp_path: Path) -> None:
    paths = [f"photos/{row}.JPG" for row in range(ROWS)]
    assert type_of(paths, root=str(tmp_path)) != "image"  # none is there
    (tmp_path / "photos").mkdir()
    for path in paths:
        (tmp_path / path).write_bytes(png())
    assert type_of(paths, root=str(tmp_path)) == "image"
    assert type_of([f"https://example.org/{row}.png" for row in range(ROWS)]) == "image"


def test_media_bytes_are_told_by_how_they_begin() -> None:
    assert type_of([png() + bytes([row % 256]) for row in range(ROWS)]) == "image"
    assert type_of([b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes([row % 256]) for row in range(ROWS)]) == "audio"
    assert type_of([b"\x00\x01" + bytes([row % 256]) for row in range(ROWS)]) == "unknown"
    assert type_of([{"bytes": png() + bytes([row % 256]), "path": None} for row in range(ROWS)]) == "image"


# Targets.


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1], "category"),
        (["yes", "no"], "category"),
        ([True, False], "boolean"),
        (["-1", "1"], "category"),
        (["1", "2", "3", "4", "5"], "category"),
        ([1.0, 2.0, 3.0], "category"),
        (["0.5", "1", "1.5", "2"], "number"),
        ([f"{value * 1.1:.2f}" for value in range(150)], "number"),
        ([str(value) for value in range(18, 91)], "number"),
        (["low", "middle", "high"], "category"),
        (["a|b", "a", "b|c|a", "c", "b"], "set"),
    ],
)
def test_targets(values: list[object], expected: str) -> None:
    assert target_type(spread(values, 400)) == expected


def test_ratings_are_offered_as_class_order_and_number() -> None:
    frame = pl.DataFrame({"stars": spread(["1", "2", "3", "4", "5"]), "x": np.linspace(0, 1, ROWS)})
    column = infer(FrameTable(frame), "stars")["stars"]
    assert [kind for kind, _ in column.alternatives] == ["ordinal", "number"]
    assert all(reason for _, reason in column.alternatives)


def test_class_numbers_under_the_name_of_classes() -> None:
    frame = pl.DataFrame(
        {"label": spread([str(value) for value in range(77)], 770), "x": np.linspace(0, 1, 770)}
    )
    assert infer(FrameTable(frame), "label")["label"].type == "category"


# The user's word.


def test_what_is_asked_for_stands() -> None:
    frame = pl.DataFrame(
        {"x": spread(["1", "2", "3"]), "z": spread(["a", "b"]), "y": spread(["1", "2", "4"])}
    )
    schema = infer_schema(
        FrameTable(frame),
        inputs={"x": FeatureSettings.model_validate({"type": "category", "min_count": 3})},
        targets={"y": FeatureSettings(type="ordinal")},
    )
    assert (schema["x"].type, schema["x"].options) == ("category", {"min_count": 3})
    assert schema["x"].alternatives[0][0] == "number"
    assert schema["y"].type == "ordinal"
    assert (schema["z"].role, schema["z"].reason) == ("left out", "not among the inputs asked for")


def test_a_recipe_with_all_inputs_named_still_finds_the_split_column() -> None:
    words = ["train", "test"]
    frame = pl.DataFrame({"x": np.linspace(0, 1, ROWS), "y": spread(["a", "b"]), "split": spread(words)})
    named = infer_schema(FrameTable(frame), inputs={"x": FeatureSettings(type="number")}, targets={"y": AUTO})
    assert named.split_column == infer(FrameTable(frame), "y").split_column == "split"
    asked = infer_schema(FrameTable(frame), inputs={"x": AUTO, "split": AUTO}, targets={"y": AUTO})
    assert (asked["split"].role, asked.split_column) == ("input", "split")


def test_the_groups_of_a_split_are_not_learned_from() -> None:
    frame = pl.DataFrame(
        {"who": spread(["a", "b", "c"]), "x": np.linspace(0, 1, ROWS), "y": spread(["1", "2"])}
    )
    split = SplitSettings(method="group", column="who")
    for inputs in ({}, {"x": AUTO}):
        schema = infer_schema(FrameTable(frame), inputs=inputs, targets={"y": AUTO}, split=split)
        assert schema["who"].role == "left out"
        assert schema["who"].reason.startswith("groups of the split")


# Bad input: one sentence.


def table(**columns: list[object]) -> FrameTable:
    return FrameTable(pl.DataFrame(columns), name="rows.csv")


@pytest.mark.parametrize(
    ("rows", "inputs", "target", "said"),
    [
        (table(x=spread([1, 2]), price=spread([1, 2])), {}, "prise", "did you mean 'price'"),
        (table(x=spread([1, 2]), y=spread([1, 2])), {"X1": AUTO}, "y", "no column 'X1'"),
        (table(x=spread([1, 2]), y=spread([1, 2])), {"y": AUTO}, "y", "both an input and a target"),
        (table(x=[], y=[]), {}, "y", "there are no rows"),
        (table(x=[1, 2], y=[0, 1]), {}, "y", "2 rows are too few"),
        (table(x=spread([1, 2]), y=spread(["", "?"])), {}, "y", "every value of the target is missing"),
        (table(x=spread([1, 2]), y=spread(["a"])), {}, "y", "only one class"),
        (table(x=spread([1, 2]), y=[f"k{row}q" for row in range(ROWS)]), {}, "y", "no class to learn"),
        (
            table(x=spread([1, 2]), y=spread(["2020-01-01", "2020-01-02", "2021-05-05"])),
            {},
            "y",
            "cannot be a target",
        ),
        (table(x=spread([1]), y=spread(["a", "b"])), {}, "y", "no column is left to learn from"),
    ],
)
def test_bad_input_is_one_sentence(
    rows: FrameTable, inputs: dict[str, FeatureSettings], target: str, said: str
) -> None:
    with pytest.raises(DataError) as caught:
        infer_schema(rows, inputs=inputs, targets={target: AUTO})
    message = str(caught.value)
    assert said in message
    assert "rows.csv" in message
    assert "\n" not in message


# The schema itself.


def test_the_schema_shows_and_goes_to_json() -> None:
    frame = pl.DataFrame({"x": spread(["1.5", "", "3"]), "one": spread(["c"]), "y": spread(["a", "b"])})
    schema = infer(FrameTable(frame), "y")
    lines = schema.table()
    assert [line[0] for line in lines] == ["y", "x", "one"]
    assert lines[1][1:4] == ("number", "33.5%", "1.5, 3")
    document = json.loads(json.dumps(schema.to_json()))
    assert document[0]["name"] == "x"
    assert document[0]["missing"] == pytest.approx(0.335)
    assert document[2]["role"] == "target"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=12)), min_size=20, max_size=60), st.text(max_size=8))
def test_any_column_of_strings_gets_a_type_and_a_reason(values: list[str | None], name: str) -> None:
    frame = pl.DataFrame(
        [
            pl.Series(f"x{name}", values, dtype=pl.String),
            pl.Series("z", np.linspace(0, 1, len(values))),
            pl.Series("y", np.arange(len(values)) % 2),
        ]
    )
    column = infer(FrameTable(frame), "y").columns[0]
    assert column.type
    assert column.reason
    assert (column.role == "left out") == (column.type in {"id-like", "constant", "unknown"})


def test_the_same_seed_gives_the_same_schema() -> None:
    rows = 2 * SAMPLE_ROWS
    values = np.random.default_rng(0).normal(size=rows)
    frame = pl.DataFrame({"x": values, "y": spread(["a", "b"], rows)})
    assert infer(FrameTable(frame), "y") == infer(FrameTable(frame), "y")

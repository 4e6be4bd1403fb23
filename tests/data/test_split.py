"""The split: every row in one part, copies and groups together, shares kept, and said what was done."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.data.frame_table import FrameTable
from trainwright.data.infer import infer_schema
from trainwright.data.open import open_table
from trainwright.data.schema import Column, Schema
from trainwright.data.split import PARTS, Split, make_split
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings, FeatureSettings, SplitSettings


def schema_of(
    table: FrameTable,
    *,
    target_type: str = "category",
    left_out: tuple[str, ...] = (),
    split: str | None = None,
) -> Schema:
    """Everything is an input but `y`, the target, and what is left out."""
    columns = tuple(
        Column(
            name,
            target_type if name == "y" else "date" if dtype == pl.Date else "number",
            "target" if name == "y" else "left out" if name in left_out else "input",
            "for the test",
        )
        for name, dtype in table.schema.items()
    )
    return Schema(columns, table.num_rows, table.num_rows, split)


def split_of(
    table: FrameTable,
    *,
    seed: int = 0,
    usable: np.ndarray | None = None,
    target_type: str = "category",
    left_out: tuple[str, ...] = (),
    named: str | None = None,
    **asked: object,
) -> Split:
    schema = schema_of(table, target_type=target_type, left_out=left_out, split=named)
    return make_split(table, schema, SplitSettings(**asked), seed, usable=usable)


def parts_of(split: Split, rows: int) -> np.ndarray:
    """Part of every row; -1 for rows in none. Fails where a row is in two."""
    part = np.full(rows, -1)
    for index, name in enumerate(PARTS):
        mine = split.indices[name]
        assert mine.dtype == np.int64
        assert (np.diff(mine) > 0).all()
        assert (part[mine] == -1).all()
        part[mine] = index
    return part


def frame(rows: int, classes: int = 3, seed: int = 0) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    return pl.DataFrame(
        {"x": generator.normal(size=rows), "y": generator.integers(0, classes, rows).astype(str)}
    )


# What holds for every drawn split.


@settings(max_examples=60, deadline=None)
@given(
    distinct=st.integers(40, 120),
    copies=st.integers(0, 60),
    classes=st.integers(1, 5),
    seed=st.integers(0, 99),
    method=st.sampled_from(["random", "stratified", "auto"]),
    test=st.sampled_from([0.0, 0.1, 0.2, 0.4]),
)
def test_drawn_splits_are_disjoint_complete_near_their_shares_and_keep_copies_together(
    distinct: int, copies: int, classes: int, seed: int, method: str, test: float
) -> None:
    generator = np.random.default_rng(seed)
    unique = frame(distinct, classes, seed)
    rows = generator.permutation(
        np.concatenate([np.arange(distinct), generator.integers(0, distinct, copies)])
    )
    table = FrameTable(unique[rows])
    split = split_of(table, method=method, test=test, seed=seed)
    part = parts_of(split, len(rows))
    assert (part >= 0).all()
    for row in range(distinct):
        assert len(set(part[rows == row])) <= 1
    for index, share in ((1, 0.16), (2, test)):
        largest = np.bincount(rows).max()
        assert abs((part == index).sum() - share * len(rows)) <= largest * (classes + 1) + 1
    again = split_of(table, method=method, test=test, seed=seed)
    assert all(np.array_equal(split.indices[name], again.indices[name]) for name in PARTS)


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 40), min_size=2, max_size=30), seed=st.integers(0, 99))
def test_every_class_of_three_rows_is_in_every_part_and_smaller_ones_in_training(
    sizes: list[int], seed: int
) -> None:
    sizes = [30, 30, *sizes]
    classes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    table = FrameTable(pl.DataFrame({"x": np.arange(len(classes)), "y": classes.astype(str)}))
    split = split_of(table, seed=seed)
    part = parts_of(split, len(classes))
    for index, size in enumerate(sizes):
        mine = part[classes == index]
        assert set(mine) == ({0, 1, 2} if size >= 3 else {0})
        if size >= 10:
            assert abs((mine == 2).sum() - 0.2 * size) <= 1.5
    too_small = [str(index) for index, size in enumerate(sizes) if size < 3]
    assert any("too few rows" in note for note in split.notes) == bool(too_small)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 30), min_size=12, max_size=60), seed=st.integers(0, 99))
def test_groups_never_straddle_and_parts_come_near_their_shares(sizes: list[int], seed: int) -> None:
    group = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    table = FrameTable(frame(len(group), seed=seed).with_columns(who=pl.Series([f"g{g}" for g in group])))
    split = split_of(table, method="group", column="who", seed=seed, left_out=("who",))
    part = parts_of(split, len(group))
    assert all(len(set(part[group == index])) == 1 for index in range(len(sizes)))
    for index, share in ((1, 0.16), (2, 0.2)):
        assert abs((part == index).mean() - share) <= max(sizes) / len(group) + 0.02


def test_assignment_depends_on_the_order_of_rows_and_not_on_their_values() -> None:
    one = FrameTable(frame(100))
    other = FrameTable(frame(100).with_columns(x=pl.col("x") * 3 + 1))
    for name in PARTS:
        assert np.array_equal(split_of(one).indices[name], split_of(other).indices[name])


def test_another_seed_gives_another_split() -> None:
    table = FrameTable(frame(100))
    assert not np.array_equal(
        split_of(table, seed=0).indices["test"], split_of(table, seed=1).indices["test"]
    )


def test_shares_are_exact_without_copies() -> None:
    split = split_of(FrameTable(frame(1000)), target_type="number")
    assert {name: len(rows) for name, rows in split.indices.items()} == {
        "training": 640,
        "validation": 160,
        "test": 200,
    }
    assert split.method == "random"


def test_many_small_classes_keep_the_shares() -> None:
    rows = 4000
    table = FrameTable(pl.DataFrame({"x": np.arange(rows), "y": (np.arange(rows) % 500).astype(str)}))
    split = split_of(table)
    assert len(split.indices["test"]) == pytest.approx(800, abs=10)
    assert len(split.indices["validation"]) == pytest.approx(640, abs=10)


def test_copies_are_found_whatever_the_values_are() -> None:
    nested = [[1.0, 2.0], [3.0], [1.0, 2.0], None] * 30
    data = pl.DataFrame(
        {"x": nested, "w": ["a", "b", "a", None] * 30, "z": [float("nan"), 1.0] * 60, "y": ["1", "2"] * 60}
    )
    keyed = data.with_columns(pl.Series("k", np.arange(120) // 4))  # 30 distinct rows of each kind
    part = parts_of(split_of(FrameTable(keyed)), 120)
    assert (part[0::4] == part[2::4]).all()


def test_a_copy_with_another_target_stays_with_the_first() -> None:
    unique = frame(60)
    flipped = unique.with_columns(y=pl.lit("other"))
    part = parts_of(split_of(FrameTable(pl.concat([unique, flipped]))), 120)
    assert (part[:60] == part[60:]).all()


def test_columns_that_are_left_out_do_not_hide_copies() -> None:
    twice = pl.concat([frame(60), frame(60)]).with_columns(id=pl.arange(0, 120))
    part = parts_of(split_of(FrameTable(twice), left_out=("id",)), 120)
    assert (part[:60] == part[60:]).all()


def test_inputs_that_everyone_shares_are_no_copies() -> None:
    generator = np.random.default_rng(0)
    table = FrameTable(
        pl.DataFrame({"x": generator.integers(0, 4, 400), "y": generator.integers(0, 2, 400).astype(str)})
    )
    split = split_of(table)
    assert {name: len(rows) for name, rows in split.indices.items()} == {
        "training": 256,
        "validation": 64,
        "test": 80,
    }
    assert any("share, and may be in any part" in note for note in split.notes)


def test_a_handful_of_different_inputs_leaves_every_class_in_training() -> None:
    inputs = np.repeat([0.0, 1.0, 2.0], [10, 6, 4])
    table = FrameTable(pl.DataFrame({"x": inputs, "y": inputs.astype(int).astype(str)}))
    split = split_of(table)
    for rows in split.indices.values():
        assert len(rows) > 0
    assert set(inputs[split.indices["training"]]) == {0.0, 1.0, 2.0}


def test_rows_that_cannot_be_used_are_in_no_part() -> None:
    usable = np.random.default_rng(0).random(200) < 0.7
    part = parts_of(split_of(FrameTable(frame(200)), usable=usable), 200)
    assert ((part >= 0) == usable).all()


def test_without_takes_rows_out() -> None:
    split = split_of(FrameTable(frame(100)))
    smaller = split.without(np.array([0, 5, 99]))
    assert sum(map(len, smaller.indices.values())) == 97
    assert not np.isin([0, 5, 99], np.concatenate(list(smaller.indices.values()))).any()


def test_no_test_part_is_made_when_none_is_asked_for() -> None:
    split = split_of(FrameTable(frame(100)), test=0)
    assert len(split.indices["test"]) == 0
    assert len(split.indices["validation"]) == 16


# Given parts.


def test_given_parts_stand_and_validation_is_drawn_from_training() -> None:
    given_part = np.array([0] * 80 + [2] * 20, dtype=np.int8)
    table = FrameTable(
        pl.concat([frame(80), frame(80)[:20]]), part=given_part
    )  # the test repeats training rows
    split = split_of(table)
    part = parts_of(split, 100)
    assert split.method == "given"
    assert (part[80:] == 2).all()
    assert (part[:80] == 1).sum() == pytest.approx(16, abs=1)
    repeated = int(np.isin(np.arange(20), split.indices["training"]).sum())
    assert any(f"{repeated} test rows have the same inputs as a training row" in note for note in split.notes)
    assert any("no validation rows" in note for note in split.notes)


def test_all_given_parts_are_left_as_they_are() -> None:
    given_part = np.array([0, 1, 2, 0] * 25, dtype=np.int8)
    part = parts_of(split_of(FrameTable(frame(100), part=given_part)), 100)
    assert (part == given_part).all()


def test_a_missing_test_part_is_drawn_from_training_too() -> None:
    table = FrameTable(frame(100).with_columns(split=pl.Series(["train"] * 84 + ["dev"] * 16)))
    part = parts_of(split_of(table, named="split", left_out=("split",)), 100)
    assert (part[84:] == 1).all()
    assert (part == 2).sum() == pytest.approx(20, abs=1)


def test_a_column_names_the_parts_in_many_words() -> None:
    words = ["Train", "VAL", "test", "training", "validation", "holdout"]
    table = FrameTable(frame(120).with_columns(which=pl.Series([words[row % 6] for row in range(120)])))
    split = split_of(table, method="column", column="which", left_out=("which",))
    part = parts_of(split, 120)
    assert (part == np.arange(120) % 3).all()
    assert split.column == "which"


def test_adult_census_keeps_its_own_test_rows(shared_data: Path) -> None:
    table = open_table(DataSettings(path=str(shared_data / "adult_census/data.csv")))
    schema = infer_schema(table, inputs={}, targets={"income": FeatureSettings()})
    split = make_split(table, schema, SplitSettings(), 0)
    assert (split.method, split.column) == ("column", "split")
    assert len(split.indices["test"]) == (table.column("split") == "test").sum()
    income = (table.column("income") == ">50K").to_numpy()
    shares = [income[split.indices[name]].mean() for name in ("training", "validation")]
    assert shares[0] == pytest.approx(shares[1], abs=1e-3)


# Groups and time.


def test_six_speakers_are_shared_out_four_one_one() -> None:
    speaker = np.arange(3000) % 6
    table = FrameTable(frame(3000).with_columns(who=pl.Series(speaker).cast(pl.String)))
    part = parts_of(split_of(table, method="group", column="who", left_out=("who",)), 3000)
    assert sorted(len(set(speaker[part == index])) for index in range(3)) == [1, 1, 4]


def test_groups_keep_classes_balanced_where_they_can() -> None:
    generator = np.random.default_rng(0)
    group = np.repeat(np.arange(60), 10)
    lean = (generator.random(60) < 0.5)[group]
    y = np.where(generator.random(600) < np.where(lean, 0.8, 0.2), "a", "b")
    table = FrameTable(pl.DataFrame({"x": np.arange(600), "who": group, "y": y}))
    split = split_of(table, method="group", column="who", left_out=("who",))
    shares = [(y[split.indices[name]] == "a").mean() for name in PARTS]
    assert max(shares) - min(shares) < 0.08


def test_rows_without_a_group_are_groups_of_one() -> None:
    who = [None, *["a", "b", "c", "d", "e"] * 19, None, None, None, None]
    split = split_of(
        FrameTable(frame(100).with_columns(who=pl.Series(who))),
        method="group",
        column="who",
        left_out=("who",),
    )
    assert any("5 rows without a group" in note for note in split.notes)


def test_copies_join_groups() -> None:
    generator = np.random.default_rng(0)
    group = generator.integers(0, 40, 400)
    x = np.arange(400)
    other = next(row for row in range(1, 400) if group[row] != group[0])
    x[other] = x[0]
    table = FrameTable(pl.DataFrame({"x": x, "who": group, "y": (np.arange(400) % 2).astype(str)}))
    for seed in range(5):
        part = parts_of(split_of(table, method="group", column="who", left_out=("who",), seed=seed), 400)
        assert part[0] == part[other]
        assert all(len(set(part[group == index])) == 1 for index in range(40))


def test_the_latest_rows_are_the_test() -> None:
    days = [
        datetime.date(2024, 1, 1) + datetime.timedelta(days=int(day))
        for day in np.random.default_rng(0).permutation(200)
    ]
    table = FrameTable(frame(200).with_columns(day=pl.Series(days)))
    split = split_of(table, method="time", column="day")
    day = np.array(days)
    assert day[split.indices["training"]].max() < day[split.indices["validation"]].min()
    assert day[split.indices["validation"]].max() < day[split.indices["test"]].min()
    assert len(split.indices["test"]) == 40


@pytest.mark.parametrize("write", [lambda day: day.strftime("%d/%m/%Y"), lambda day: str(day.toordinal())])
def test_times_may_be_written_as_text(write) -> None:  # type: ignore[no-untyped-def]
    days = [datetime.date(2023, 6, 1) + datetime.timedelta(days=day) for day in range(200)]
    table = FrameTable(frame(200).with_columns(when=pl.Series([write(day) for day in days])))
    split = split_of(table, method="time", column="when")
    assert split.indices["test"].tolist() == list(range(160, 200))


def test_no_moment_is_in_two_parts() -> None:
    year = np.sort(np.random.default_rng(0).integers(2000, 2020, 500))
    table = FrameTable(frame(500).with_columns(year=pl.Series(year)))
    split = split_of(table, method="time", column="year")
    years = [set(year[split.indices[name]]) for name in PARTS]
    assert not years[0] & years[1]
    assert not years[1] & years[2]


# Bad input.


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"method": "group", "column": "X"}, "did you mean 'x'"),
        ({"method": "given"}, "the source gives no parts"),
        ({"method": "column"}, "no column says which part"),
        ({"method": "time", "column": "y"}, "values are times"),
        ({"method": "column", "column": "y"}, "names no part of a split"),
        ({"method": "group", "column": "pair"}, "no row is left for"),
    ],
)
def test_a_split_that_cannot_be_made_is_one_sentence(asked: dict[str, object], said: str) -> None:
    table = FrameTable(
        frame(60).with_columns(y=pl.Series(["a", "b", "c"] * 20), pair=pl.Series(["p", "q"] * 30))
    )
    with pytest.raises(DataError) as caught:
        split_of(table, **asked)
    assert said in str(caught.value)


def test_stratified_needs_classes() -> None:
    with pytest.raises(DataError, match="needs a target with classes"):
        split_of(FrameTable(frame(60)), method="stratified", target_type="number")


# Size.


def test_large_tables_take_bounded_memory_for_each_row() -> None:
    import tracemalloc

    rows = 400_000
    table = FrameTable(frame(rows))
    schema = schema_of(table)
    tracemalloc.start()
    make_split(table, schema, SplitSettings(), 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / rows < 160  # bytes

"""What the layers below say of real data can be read in Chinese."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trainwright.data.frames import frame_table
from trainwright.data.infer import infer_schema
from trainwright.data.open import open_table
from trainwright.data.split import make_split
from trainwright.features.base import FEATURES, Context
from trainwright.recipe.recipe import DataSettings, FeatureSettings, SplitSettings, TrainingSettings
from trainwright.reporting.language import said
from trainwright.reporting.phrases import PHRASES
from trainwright.workshop.choices import choose

DATES = ["3/4/2024", "5/6/2024"]
GREY = np.arange(2 * 9 * 7, dtype=np.uint16).reshape(2, 9, 7)


def wav(seconds: float, rate: int) -> bytes:
    import io

    import soundfile

    stream = io.BytesIO()
    tone = np.sin(np.arange(round(seconds * rate)) / 5)
    soundfile.write(stream, tone.astype(np.float32), rate, format="WAV")
    return stream.getvalue()


def assert_translated(sentences: list[str]) -> None:
    """Fail where a sentence is not, as a whole, one of the phrases."""
    missing = [text for text in sentences if said(text, PHRASES).template not in PHRASES]
    assert not missing, "add these to reporting/phrases.py"


@pytest.mark.parametrize(
    ("kind", "values", "options", "count"),
    [
        ("number", ["1", "2", "3"], {}, 1),
        ("number", ["1"] * 99 + ["1e9", "many; or few", "inf"], {}, 3),
        ("date", DATES, {}, 1),
        ("date", [*DATES, "13/4/2024", "14/4/2024", "4/13/2024"], {}, 2),
        ("date", [*DATES, "13/4/2024", "4/13/2024", "4/14/2024"], {}, 2),
        ("boolean", ["yes", "no", "perhaps"], {}, 1),
        ("category", ["a", "a", "b"], {}, 1),
        ("ordinal", ["low", "high", "middle"], {}, 1),
        ("set", ["a|b", "a|b", "a|c"], {}, 1),
        ("image", GREY, {"size": 8}, 3),
        ("audio", [wav(0.5, 8_000), wav(0.1, 16_000)], {"sample_rate": 16_000, "max_seconds": 0.2}, 2),
        ("audio", [np.zeros(800, np.float32)], {"sample_rate": 8_000}, 1),
    ],
)
def test_what_transforms_notice_is_translated(
    kind: str, values: Any, options: dict[str, Any], count: int
) -> None:
    feature = FEATURES[kind]("column", FEATURES[kind].Options(**options))
    feature.fit(pl.Series("column", values), Context())
    assert len(feature.notes()) == count, feature.notes()
    assert_translated(list(feature.notes()))


def _rows(**more: Any) -> pl.DataFrame:
    draw = np.random.default_rng(0)
    return pl.DataFrame({"x": draw.normal(size=60), "y": ["a", "b", "c"] * 20}).with_columns(**more)


@pytest.mark.parametrize(
    ("data", "split", "says"),
    [
        (_rows(), {}, "same share of every class"),
        (_rows(x=pl.int_range(60) // 2), {}, "repeat the inputs"),
        (_rows(x=pl.int_range(60) % 2), {}, "the rule here, not copies"),
        (_rows(y=pl.when(pl.int_range(60) < 1).then(pl.lit("z")).otherwise("y")), {}, "too few rows to be"),
        ({"train": _rows()}, {}, "no validation and no test rows"),
        ({"train": _rows(), "test": _rows()}, {}, "no validation rows"),
        ({"train": _rows(), "validation": _rows()}, {}, "no test rows"),
        ({"train": _rows(), "test": _rows()}, {}, "test rows have the same inputs"),
        ({"train": _rows(), "validation": _rows()}, {}, "validation rows have the same inputs"),
        (
            _rows(p=pl.Series(["train", None, "test"] * 20)),
            {"method": "column", "column": "p"},
            "name no part",
        ),
        (_rows(g=pl.int_range(60) // 5), {"method": "group", "column": "g"}, "group of 'g' is in two parts"),
        (_rows(g=pl.Series([None, "a", "b", "c"] * 15)), {"method": "group", "column": "g"}, "groups of one"),
        (
            _rows(x=pl.int_range(60) // 2, g=(pl.int_range(60) + 1) // 2),
            {"method": "group", "column": "g"},
            "join most groups",
        ),
        (_rows(t=pl.int_range(60)), {"method": "time", "column": "t"}, "latest rows by 't'"),
        (
            _rows(t=pl.when(pl.int_range(60) > 0).then(pl.int_range(60))),
            {"method": "time", "column": "t"},
            "without a time",
        ),
    ],
)
def test_what_the_split_notices_is_translated(data: Any, split: dict[str, Any], says: str) -> None:
    table, settings = frame_table(data), SplitSettings(**split)
    schema = infer_schema(
        table, inputs={"x": FeatureSettings(type="number")}, targets={"y": FeatureSettings()}, split=settings
    )
    notes = make_split(table, schema, settings, 0).notes
    assert any(says in note for note in notes), notes
    assert_translated([*notes, *(column.reason for column in schema.columns)])


@pytest.mark.parametrize("kind", ["table", "text", "image", "audio", "sequence", "pretrained"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_why_training_goes_as_it_does_is_translated(kind: str, optimizer: Any) -> None:
    for why in (
        "GPUs compute in it several times faster",
        "this CPU multiplies matrices 2.2 times faster in it",
    ):
        found = choose(
            TrainingSettings(optimizer=optimizer),
            kinds=[kind],
            num_rows=5_000,
            learning_rate=1e-3,
            precision=("bfloat16", why),
        )
        assert {"batch", "learning_rate", "budget", "precision"} <= set(found.reasons)
        assert_translated([f"training.{field}: {reason}" for field, reason in found.reasons.items()])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", " x,y\n1,2\n", "Spaces around"),
        ("a.csv", ",y\n1,2\n3,4\n", "without a name"),
        ("a.csv", "x;y\n1;2\n3;4\n", "divided by semicolons"),
        ("a.csv", "x\ty\n1\t2\n3\t4\n", "divided by tabs"),
        ("a.csv", "x|y\n1|2\n3|4\n", "divided by bars"),
        ("a.csv", "x,y\n1,2\n,\n3,4\n", "1 line without"),
        ("a.csv", "x,y\n1,2\n,\n,\n3,4\n", "2 lines without"),
        ("a.csv", "x,y\n1,2\nx,y\n3,4\n", "1 repeated header line"),
        ("a.csv", "x,y\n1,2\nx,y\n3,4\nx,y\n5,6\n", "2 repeated header lines"),
        ("a.csv", "x,y\n1,caf\xe9\n", "was read as"),
        ("a.json", '{"n": 1,\n"rows": [{"x": 1}, {"x": 2}]}', "under the key"),
    ],
)
def test_what_the_readers_notice_is_translated(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    notes = open_table(DataSettings(path=str(tmp_path / name))).notes
    assert any(says in note for note in notes), notes
    assert_translated(list(notes))


@pytest.mark.parametrize(
    ("file", "target", "split"),
    [
        ("titanic/data.csv", "Survived", SplitSettings()),
        ("petfinder/data.csv", "AdoptionSpeed", SplitSettings(method="group", column="RescuerID")),
        ("adult_census/data.csv", "income", SplitSettings()),
        ("insurance_charges/data.csv", "charges", SplitSettings()),
        ("fsdd/labels.csv", "label", SplitSettings(method="group", column="group")),
    ],
)
def test_reasons_and_notes_are_translated(
    shared_data: Path, file: str, target: str, split: SplitSettings
) -> None:
    table = open_table(DataSettings(path=str(shared_data / file)))
    schema = infer_schema(table, inputs={}, targets={target: FeatureSettings()}, seed=0)
    sentences = [*table.notes, *make_split(table, schema, split, 0).notes]
    for column in schema.columns:
        sentences += [column.reason, *(reason for _, reason in column.alternatives)]
    missing = [text for text in sentences if not re.search(r"[\u4e00-\u9fff]", said(text, PHRASES).zh)]
    assert not missing, "add these to reporting/phrases.py"

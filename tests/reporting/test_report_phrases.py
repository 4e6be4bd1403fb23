"""What the layers below say of real data can be read in Chinese."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trainwright.data.infer import infer_schema
from trainwright.data.open import open_table
from trainwright.data.split import make_split
from trainwright.recipe.recipe import DataSettings, FeatureSettings, SplitSettings
from trainwright.reporting.language import said
from trainwright.reporting.phrases import PHRASES


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

"""Every kind of target and mixture of inputs, from the frame to the prediction."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

import trainwright as tw
from trainwright.foundation.errors import DataError

Quick = dict[str, Any]
Names = tuple[str, ...]


def _with_targets(rows: pl.DataFrame) -> pl.DataFrame:
    draw = np.random.default_rng(1)
    size = rows["size"].fill_null(50)
    labels = [[word for word in ("old", "new", "big") if draw.random() > 0.5] for _ in range(len(rows))]
    return rows.with_columns(
        (2 * size + 100).alias("price"),
        (size / 20).cast(pl.Int64).clip(1, 5).alias("stars"),
        pl.Series("tags", labels),
    )


STARS = ("1", "2", "3", "4", "5")


@pytest.mark.parametrize(
    ("target", "kind", "task", "classes"),
    [
        ("price", "number", "regression", ()),
        ("garden", "boolean", "binary", ("false", "true")),
        ("stars", "ordinal", "ordinal", STARS),
        ("stars", "category", "multiclass", STARS),
        ("tags", "set", "multilabel", ("big", "new", "old")),
    ],
)
def test_each_kind_of_target(
    rows: pl.DataFrame,
    quick: Quick,
    tmp_path: Path,
    target: str,
    kind: str,
    task: str,
    classes: tuple[str, ...],
) -> None:
    data = _with_targets(rows)
    others = {"price", "garden", "stars", "tags"} - {target}
    run = tw.train(
        data.drop(others),
        target=target,
        recipe={"targets": {target: kind}},
        budget="20 steps",
        settings=quick,
        run=tmp_path / "run",
    )
    assert run.evaluation["targets"][target]["task"] == task
    found = tw.predict(run, data)
    more = [f"probability of {name}" for name in classes] or ["low", "high"]
    assert found.columns == [target, *(f"{target}: {what}" for what in more)]
    assert found.null_count().sum_horizontal().item() == 0
    if task == "regression":
        assert (found["price: low"] <= found["price"]).all()
        assert (found["price"] <= found["price: high"]).all()
    elif task != "multilabel":
        np.testing.assert_allclose(found[:, 1:].sum_horizontal().to_numpy(), 1, atol=1e-5)
    with np.load(run.path / "split.npz") as split:
        again = tw.evaluate(run, data[split["test"]])["targets"][target]["metrics"]
    values = {name: metric["value"] for name, metric in again.items()}
    assert values == pytest.approx(run.metrics["test"], rel=1e-4, abs=1e-5, nan_ok=True)
    difference = tw.compare(run, run)["targets"][target]["difference"]
    assert difference == {"value": 0, "low": 0, "high": 0}


def test_labels_are_written_to_csv_as_the_set_type_reads_them(
    rows: pl.DataFrame, quick: Quick, tmp_path: Path
) -> None:
    data = _with_targets(rows).drop("price", "stars")
    run = tw.train(data, target="tags", budget="5 steps", settings=quick, run=tmp_path / "run")
    path = tw.predict(run, data, tmp_path / "out.csv", keep=["tags"])
    read = pl.read_csv(path).with_columns(pl.col(pl.String).fill_null(""))
    expected = tw.predict(run, data)
    for written, labels in ((read["tags"], expected["tags"]), (read["tags: true"], data["tags"])):
        assert written.to_list() == ["|".join(some) for some in labels.to_list()]


def test_several_targets_are_learned_together_and_each_may_be_missing(
    rows: pl.DataFrame, quick: Quick, tmp_path: Path
) -> None:
    every = pl.int_range(pl.len())
    data = _with_targets(rows).select(
        "size",
        "note",
        pl.when(every % 4 != 1).then("price").alias("price"),
        pl.when(every % 30 > 2).then("grade").alias("grade"),
    )
    neither = ((every % 4 == 1) & (every % 30 <= 2)).sum()
    unusable = data.select(neither).item()
    run = tw.train(
        data,
        target=["grade", "price"],
        budget="20 steps",
        settings={**quick, "evaluation.baselines": True, "training.sampling": "balanced"},
        run=tmp_path / "run",
    )
    assert run.metrics["test"].keys() == {"grade", "price"}
    assert all(judged["baselines"] for judged in run.evaluation["targets"].values())
    described = json.loads((run.path / "data.json").read_text())
    assert described["quarantined"]["count"] == unusable > 0
    assert described["counts"]["price"] == {
        "rows without this target, learned from for the others": data["price"].null_count() - unusable
    }
    written = pl.read_parquet(run.path / "predictions.parquet")
    truth = data["grade"].gather(written["row"])
    assert truth.null_count() > 0
    assert written["grade: true"].to_list() == truth.to_list()
    found = tw.predict(run, data)
    assert set(found.columns) >= {"grade", "grade: probability of high", "price", "price: low", "price: high"}
    judged = tw.evaluate(run, data)
    assert (judged["rows"], judged["set_aside"]) == (len(data), unusable)
    assert tw.compare(run, run)["targets"]["price"]["difference"]["value"] == 0


def _picture(bright: bool, draw: np.random.Generator) -> bytes:
    pixels = draw.integers(100 * bright, 100 + 100 * bright, (12, 12, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def test_any_input_of_a_mixture_may_be_missing(rows: pl.DataFrame, quick: Quick, tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    bright = draw.random(len(rows)) > 0.5
    every = pl.int_range(pl.len())
    data = pl.DataFrame(
        {
            "photo": [_picture(one, draw) for one in bright],
            "note": rows["note"],
            "size": rows["size"],
            "light": np.where(bright, "day", "night"),
        }
    ).with_columns(
        pl.when(every % 5 != 0).then("photo").alias("photo"),
        pl.when(every % 7 != 0).then("note").alias("note"),
    )
    run = tw.train(data, target="light", budget="30 steps", settings=quick, run=tmp_path / "run")
    modalities = {name: feature.type for name, feature in run.model.encoding.inputs.items()}
    assert modalities == {"photo": "image", "note": "text", "size": "number"}
    shown = run.evaluation["targets"]["light"]["contributions"]
    assert {line["input"] for line in shown} == {"photo", "note", "size"}
    found = tw.predict(run, data)
    assert found["light"].null_count() == 0
    nothing = data[:3].with_columns(pl.lit(None).alias(name) for name in ("photo", "note", "size"))
    chances = tw.predict(run, nothing)["light: probability of day"]
    assert chances.is_finite().all()
    assert chances.n_unique() == 1


def test_a_row_that_cannot_be_read_is_null_and_says_why(
    rows: pl.DataFrame, quick: Quick, tmp_path: Path
) -> None:
    draw = np.random.default_rng(3)
    bright = draw.random(60) > 0.5
    data = pl.DataFrame({"photo": [_picture(one, draw) for one in bright], "light": bright})
    run = tw.train(data, target="light", budget="5 steps", settings=quick, run=tmp_path / "run")
    torn = data.with_columns(
        pl.when(pl.int_range(pl.len()) == 4).then(pl.lit(b"no picture")).otherwise("photo").alias("photo")
    )
    found = tw.predict(run, torn)
    assert found["light"].is_null().arg_true().to_list() == [4]
    assert found["not predicted"].is_not_null().arg_true().to_list() == [4]
    assert found["not predicted"][4].startswith("column 'photo': ")
    assert tw.evaluate(run, torn)["set_aside"] == 1
    estimator = tw.TrainwrightClassifier(size="tiny", budget="5 steps").fit(data[["photo"]], bright)
    with pytest.raises(DataError, match="row 4 cannot be read"):
        estimator.predict(torn[["photo"]])


def test_what_is_heard_of_a_mixture_is_said(run: tw.Run) -> None:
    views = run.evaluation["targets"]["grade"]["views"]
    assert [view["input"] for view in views] == [None, "table", "note"]
    assert sum(view["share"] for view in views) == pytest.approx(1)
    page = run.report.read_text(encoding="utf-8")
    assert "all inputs together" in page
    assert "所有输入一起" in page
    alone = tw.Run(run.path).model
    assert alone.tasks["grade"].shares_ == tuple(view["share"] for view in views)


@pytest.mark.parametrize(
    ("encoder", "gain", "asked", "expected"),
    [
        ("transformer", 2.0, "auto", "bfloat16"),
        ("transformer", 1.1, "auto", "float32"),
        ("transformer", 2.0, "float32", "float32"),
        ("bag", 2.0, "auto", "float32"),
    ],
)
def test_precision_is_chosen_by_model_and_machine_and_written_down(
    rows: pl.DataFrame,
    quick: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    encoder: str,
    gain: float,
    asked: str,
    expected: str,
) -> None:
    monkeypatch.setattr("trainwright.foundation.bfloat16.cpu_gain", lambda: gain)
    settings = {**quick, "inputs.note": "text", "model.name": encoder, "training.precision": asked}
    found = tw.train(rows, target="grade", budget="4 steps", settings=settings, run=tmp_path / "run")
    assert found.recipe.training.precision == expected
    # What the run was made with counts when it is made again, whatever is measured then.
    monkeypatch.setattr("trainwright.foundation.bfloat16.cpu_gain", lambda: 3.0 - gain)
    again = tw.train(found.path / "recipe.yaml", run=tmp_path / "again")
    assert again.recipe.training.precision == expected
    weights = [(run.path / "model" / "model.safetensors").read_bytes() for run in (found, again)]
    assert weights[0] == weights[1]

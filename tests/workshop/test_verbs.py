"""The verbs that look at a finished run: predict, evaluate, compare, runs, report; and init and demo."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import trainwright as tw
from trainwright.foundation.errors import DataError, ModelFolderError, RecipeError, UserError
from trainwright.training.events import read_events
from trainwright.workshop.demos import DEMOS


def test_a_run_says_where_everything_is(run: tw.Run) -> None:
    summary = run.summary()
    assert run.finished and not run.interrupted
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert {Path(summary[part]) for part in ("run", "model", "report")} == {
        run.path,
        run.path / "model",
        run.report,
    }
    assert summary["metrics"].keys() == {"test", "validation"}
    assert 0.6 < summary["metrics"]["test"]["roc_auc"] <= 1
    assert summary["headline"] == {"grade": "roc_auc"}
    assert {path.name for path in run.path.iterdir()} == {
        "recipe.yaml",
        "data.json",
        "environment.json",
        "events.jsonl",
        "quarantine.jsonl",
        "split.npz",
        "model",
        "evaluation.json",
        "predictions.parquet",
        "report.html",
    }


def test_what_transforms_noticed_is_written_with_its_column(run: tw.Run) -> None:
    data = json.loads((run.path / "data.json").read_text())
    assert data["notes"] == []
    assert list(data["column_notes"]) == ["size"]
    assert data["column_notes"]["size"][0].startswith("standard scaling: ")
    assert run.model.encoding.notes() == data["column_notes"]


def test_train_explains_what_is_missing(rows: pl.DataFrame, run: tw.Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not empty"):
        tw.train(rows, target="grade", run=run.path)
    with pytest.raises(UserError, match="did you mean 'grade'"):
        tw.train(rows, target="grad", run=tmp_path / "run")
    with pytest.raises(UserError, match="--target"):
        tw.train(rows, run=tmp_path / "run")
    with pytest.raises(RecipeError, match="did you mean 'size'"):
        tw.train(rows, target="grade", settings=["model.sice=tiny"], run=tmp_path / "run")
    with pytest.raises(UserError, match="greater than 0"):
        tw.train(rows, target="grade", budget="0 steps", run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


class TestPredict:
    def test_gives_a_row_for_each_row(self, run: tw.Run, rows: pl.DataFrame) -> None:
        found = tw.predict(run, rows)
        assert found.columns == ["grade", "grade: probability of high", "grade: probability of low"]
        assert len(found) == len(rows)
        assert found["grade"].null_count() == 0
        assert_frame_equal(found, run.model.predict(rows))
        alone = tw.predict(run, rows[17:18])
        assert_frame_equal(alone, found[17:18], rel_tol=1e-5)
        assert tw.predict(run, rows, probabilities=False).columns == ["grade"]

    def test_agrees_with_what_the_run_wrote_about_its_test_rows(
        self, run: tw.Run, rows: pl.DataFrame
    ) -> None:
        written = pl.read_parquet(run.path / "predictions.parquet")
        found = tw.predict(run, rows[written["row"].to_numpy()])
        assert_frame_equal(found, written.select(found.columns), rel_tol=1e-5)
        assert written["grade: true"].to_list() == rows["grade"].gather(written["row"]).to_list()

    def test_any_name_of_a_model_will_do(self, run: tw.Run, rows: pl.DataFrame) -> None:
        expected = tw.predict(run, rows[:20])
        for model in (
            run.model,
            run.path,
            str(run.path),
            run.path / "model",
            tw.Model.load(run.path / "model"),
        ):
            assert_frame_equal(tw.predict(model, rows[:20]), expected)

    @pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
    def test_a_file_holds_the_same_as_the_frame(
        self, run: tw.Run, rows: pl.DataFrame, tmp_path: Path, ending: str
    ) -> None:
        source = tmp_path / f"rows.{ending}"
        {"csv": rows.write_csv, "jsonl": rows.write_ndjson, "parquet": rows.write_parquet}[ending](source)
        path = tw.predict(run, source, tmp_path / "new" / f"out.{ending}")
        assert path == tmp_path / "new" / f"out.{ending}"
        assert [file.name for file in path.parent.iterdir()] == [path.name]
        read = {"csv": pl.read_csv, "jsonl": pl.read_ndjson, "parquet": pl.read_parquet}[ending](path)
        assert read["not predicted"].null_count() == len(rows)
        expected = tw.predict(run, rows)
        assert_frame_equal(read.drop("not predicted"), expected, check_dtypes=False, rel_tol=1e-5)

    def test_pandas_comes_back_as_pandas_with_its_index(self, run: tw.Run, rows: pl.DataFrame) -> None:
        frame = rows.to_pandas().sample(frac=1, random_state=0)
        expected = tw.predict(run, rows).to_pandas()
        for found in (tw.predict(run, frame), tw.predict(run, frame, keep=["city"])):
            assert isinstance(found, pd.DataFrame)
            assert found.index.equals(frame.index)
            pd.testing.assert_frame_equal(found.sort_index()[list(expected)], expected, rtol=1e-5)
        twice = frame.set_index(["city", "size"], drop=False)
        assert tw.predict(run, twice).index.equals(twice.index)

    def test_more_columns_in_another_order_change_nothing(self, run: tw.Run, rows: pl.DataFrame) -> None:
        other = rows.select(pl.lit(1).alias("new"), *reversed(rows.columns)).drop("grade")
        assert_frame_equal(tw.predict(run, other), tw.predict(run, rows))

    def test_a_missing_column_is_refused_and_the_nearest_named(
        self, run: tw.Run, rows: pl.DataFrame, tmp_path: Path
    ) -> None:
        for output in (None, tmp_path / "out.csv"):
            with pytest.raises(DataError, match=r"no column 'size'.*rename 'sizes' to 'size'"):
                tw.predict(run, rows.rename({"size": "sizes"}), output)
        with pytest.raises(DataError, match=r"no column 'note'.*add the column"):
            tw.predict(run, rows.drop("note"))
        assert list(tmp_path.iterdir()) == []

    def test_keeps_columns_beside_the_predictions(
        self, run: tw.Run, rows: pl.DataFrame, tmp_path: Path
    ) -> None:
        found = tw.predict(run, rows, keep=["sold", "grade", "sold"])
        assert found.columns[:2] == ["sold", "grade: true"]
        assert found["grade: true"].to_list() == rows["grade"].to_list()
        assert_frame_equal(found[:, 2:], tw.predict(run, rows))
        with pytest.raises(DataError, match="did you mean 'city'"):
            tw.predict(run, rows, keep=["citi"])
        with pytest.raises(DataError, match="called like one of the predictions"):
            again = rows.with_columns(pl.lit(1).alias("not predicted"))
            tw.predict(run, again, tmp_path / "out.csv", keep=["not predicted"])
        with_bytes = rows.with_columns(pl.lit(b"\xff").alias("scan"))
        with pytest.raises(DataError, match=r"'scan' holds bytes.*\.parquet"):
            tw.predict(run, with_bytes, tmp_path / "out.jsonl", keep=["scan"])
        assert list(tmp_path.iterdir()) == []
        path = tw.predict(run, with_bytes, tmp_path / "out.parquet", keep=["scan"])
        assert pl.read_parquet(path)["scan"].unique().to_list() == [b"\xff"]

    def test_the_output_is_checked_before_any_work(self, run: tw.Run, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"\.csv, \.jsonl, \.parquet"):
            tw.predict(run, "no such file", tmp_path / "out.xlsx")
        data = tmp_path / "rows.csv"
        data.write_text("size\n1\n")
        with pytest.raises(UserError, match="would replace the data"):
            tw.predict(run, data, data)
        assert data.read_text() == "size\n1\n"

    def test_says_what_it_noticed(
        self, run: tw.Run, rows: pl.DataFrame, capfd: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        rows = rows.with_columns(pl.lit("Paris").alias("city"))
        tw.predict(run, rows, tmp_path / "out.csv", quiet=False)
        out, err = capfd.readouterr()
        assert out == ""
        assert "300 values in column 'city': rare or unseen levels" in err

    def test_what_is_no_model_is_explained(self, rows: pl.DataFrame, run: tw.Run, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no such folder"):
            tw.predict(tmp_path / "nothing", rows)
        with pytest.raises(ModelFolderError, match="not a model folder"):
            tw.predict(tmp_path, rows)
        unfinished = shutil.copytree(run.path, tmp_path / "unfinished")
        shutil.rmtree(unfinished / "model")
        with pytest.raises(UserError, match="trainwright resume"):
            tw.predict(unfinished, rows)


class TestQuery:
    @pytest.fixture
    def database(self, rows: pl.DataFrame, tmp_path: Path) -> str:
        """The rows in an SQLite file that has another table too."""
        path = tmp_path / "homes.db"
        with closing(sqlite3.connect(path)) as connection:
            rows.to_pandas().to_sql("flats", connection, index=False)
            connection.execute("CREATE TABLE houses (id)")
            connection.commit()
        return f"sqlite:///{path}"

    def test_says_which_rows_of_a_database(self, run: tw.Run, rows: pl.DataFrame, database: str) -> None:
        for verb in (tw.predict, tw.evaluate):
            with pytest.raises(DataError, match=r"flats, houses\); set data\.query \(--query of predict"):
                verb(run, database)
        query = "SELECT * FROM flats LIMIT 20"
        found = tw.predict(run, database, query=query)
        assert_frame_equal(found, tw.predict(run, rows[:20]), rel_tol=1e-5)
        assert_frame_equal(run.model.predict(database, query=query), found)
        assert (
            tw.predict(run, database, query="flats", keep=["city"])["city"].to_list()
            == rows["city"].to_list()
        )
        assert tw.evaluate(run, database, query=query)["rows"] == 20

    def test_is_refused_where_there_is_no_database(self, run: tw.Run, rows: pl.DataFrame) -> None:
        for data in (rows, run.path.parents[1] / "flats.csv"):
            with pytest.raises(UserError, match=r"a query needs.*leave"):
                tw.predict(run, data, query="flats")


class TestEvaluate:
    def test_finds_what_the_run_found_on_its_test_rows(self, run: tw.Run, rows: pl.DataFrame) -> None:
        with np.load(run.path / "split.npz") as split:
            test = split["test"]
        found = tw.evaluate(run, rows[test])
        assert (found["rows"], found["set_aside"]) == (len(test), 0)
        judged = found["targets"]["grade"]
        values = {name: metric["value"] for name, metric in judged["metrics"].items()}
        assert values == pytest.approx(run.metrics["test"], abs=1e-6)
        mine = run.evaluation["targets"]["grade"]["metrics"]["roc_auc"]
        assert judged["metrics"]["roc_auc"]["low"] == pytest.approx(mine["low"], abs=1e-6)
        assert json.loads(json.dumps(found, allow_nan=False)) == found

    def test_rows_without_a_known_target_are_set_aside_and_counted(
        self, run: tw.Run, rows: pl.DataFrame
    ) -> None:
        some = rows[:50].with_columns(
            pl.when(pl.int_range(50) < 3).then(pl.lit("middling")).otherwise(pl.col("grade")).alias("grade")
        )
        found = tw.evaluate(run.path, some.with_columns(pl.col("grade").replace("", None)))
        assert (found["rows"], found["set_aside"]) == (50, 3)
        with pytest.raises(DataError, match="no row can be judged"):
            tw.evaluate(run, rows.with_columns(pl.lit("middling").alias("grade")))

    def test_needs_the_target(self, run: tw.Run, rows: pl.DataFrame) -> None:
        with pytest.raises(DataError, match=r"no column 'grade'.*rename 'grades'"):
            tw.evaluate(run, rows.rename({"grade": "grades"}))


class TestCompare:
    def test_a_run_differs_from_itself_by_nothing(self, run: tw.Run) -> None:
        found = tw.compare(run, run.path)
        assert found["settings"] == []
        assert found["targets"]["grade"]["difference"] == {"value": 0, "low": 0, "high": 0}
        assert all(line["first"] == line["second"] for line in found["targets"]["grade"]["metrics"])
        assert json.loads(json.dumps(found, allow_nan=False)) == found

    def test_says_which_settings_differ_and_which_way_is_better(
        self, run: tw.Run, quick: dict[str, Any], tmp_path: Path
    ) -> None:
        data = run.path.parents[1] / "flats.csv"
        worse = tw.train(
            data,
            target="grade",
            budget="1 steps",
            settings={**quick, "training.learning_rate": 1e-9},
            run=tmp_path / "run",
        )
        found = tw.compare(run, worse)
        changed = {line["field"]: (line["first"], line["second"]) for line in found["settings"]}
        assert changed["training.budget"] == ("20 steps", "1 step")
        assert {"data.path", "training.learning_rate", "training.budget"} == set(changed)
        there = found["targets"]["grade"]["difference"]
        back = tw.compare(worse, run)["targets"]["grade"]["difference"]
        assert there["value"] < 0 < back["value"]
        assert there["low"] <= there["value"] <= there["high"]
        assert there["value"] == pytest.approx(
            worse.metrics["test"]["roc_auc"] - run.metrics["test"]["roc_auc"]
        )
        assert back["value"] == pytest.approx(-there["value"])

    def test_says_why_there_is_no_difference_to_give(
        self, run: tw.Run, rows: pl.DataFrame, quick: dict[str, Any], tmp_path: Path
    ) -> None:
        train = {"target": "grade", "budget": "1 steps", "settings": quick}
        seed = tw.train(run.path.parents[1] / "flats.csv", **train, seed=1, run=tmp_path / "seed")
        assert "different rows" in tw.compare(run, seed)["targets"]["grade"]["why"]
        data = tw.train(rows[:200], **train, run=tmp_path / "data")
        assert "different data" in tw.compare(run, data)["targets"]["grade"]["why"]
        target = tw.train(rows, **{**train, "target": "garden"}, run=tmp_path / "target")
        with pytest.raises(UserError, match="no target in common"):
            tw.compare(run, target)

    def test_needs_judged_runs(self, run: tw.Run, tmp_path: Path) -> None:
        folder = shutil.copytree(run.path, tmp_path / "unjudged")
        (folder / "evaluation.json").unlink()
        with pytest.raises(UserError, match="not been judged"):
            tw.compare(run, folder)
        with pytest.raises(UserError, match=r"recipe\.yaml"):
            tw.compare(run, tmp_path)


class TestRuns:
    def test_lists_the_best_first_and_the_unfinished_last(self, run: tw.Run, tmp_path: Path) -> None:
        for name, value in (("b", 0.7), ("a", 0.8), ("c", None)):
            folder = shutil.copytree(run.path, tmp_path / name)
            judged = json.loads((folder / "evaluation.json").read_text())
            judged["targets"]["grade"]["metrics"]["roc_auc"]["value"] = value
            (folder / "evaluation.json").write_text(json.dumps(judged))
        shutil.copytree(run.path, tmp_path / "0")
        (tmp_path / "0" / "evaluation.json").unlink()
        (tmp_path / "notes").mkdir()
        (tmp_path / "notes" / "recipe.yaml").write_text("data: my.csv\n")
        found = tw.runs(tmp_path)
        assert [Path(line["run"]).name for line in found][:2] == ["a", "b"]
        assert {Path(line["run"]).name for line in found[2:]} == {"0", "c"}
        best = found[0]
        assert (best["data"], best["target"], best["metric"]) == ("flats.csv", "grade", "roc_auc")
        assert best["low"] < best["high"]
        unfinished = next(line for line in found if Path(line["run"]).name == "0")
        assert (unfinished["value"], unfinished["verdict"]) == (None, "not finished")

    def test_smaller_errors_come_first(self, run: tw.Run, tmp_path: Path) -> None:
        for name, value in (("far", 9.0), ("near", 2.0)):
            folder = shutil.copytree(run.path, tmp_path / name)
            judged = json.loads((folder / "evaluation.json").read_text())
            judged["targets"]["grade"]["metrics"]["roc_auc"] |= {"value": value, "greater_is_better": False}
            (folder / "evaluation.json").write_text(json.dumps(judged))
        assert [Path(line["run"]).name for line in tw.runs(tmp_path)] == ["near", "far"]

    def test_a_folder_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no such folder"):
            tw.runs(tmp_path / "runs")
        assert tw.runs(tmp_path) == []


def test_report_is_written_again_from_the_folder_alone(run: tw.Run, tmp_path: Path) -> None:
    moved = shutil.copytree(run.path, tmp_path / run.path.name)
    (moved / "report.html").unlink()
    assert tw.report(moved) == moved / "report.html"
    assert (moved / "report.html").read_bytes() == run.report.read_bytes()
    (moved / "evaluation.json").unlink()
    with pytest.raises(UserError, match="trainwright resume"):
        tw.report(moved)


class TestInit:
    def test_writes_a_recipe_that_trains_to_the_same_weights(
        self,
        run: tw.Run,
        quick: dict[str, Any],
        weights: Callable[[Any], str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(run.path.parents[1])
        text = tw.init("flats.csv", target="grade", output="recipe.yaml")
        monkeypatch.chdir(tmp_path)
        recipe = run.path.parents[1] / "recipe.yaml"
        assert recipe.read_text() == text
        assert re.search(r"^ *size: number +# \w", text, flags=re.MULTILINE)
        again = tw.train(recipe, budget="20 steps", settings=quick, run=tmp_path / "run")
        recipe.unlink()
        assert weights(again) == weights(run)

    def test_does_not_overwrite(self, run: tw.Run, tmp_path: Path) -> None:
        data = run.path.parents[1] / "flats.csv"
        output = tmp_path / "recipe.yaml"
        output.write_text("mine")
        with pytest.raises(UserError, match="--force"):
            tw.init(data, target="grade", output=output)
        assert output.read_text() == "mine"
        text = tw.init(data, target="grade", output=output, force=True)
        assert output.read_text() == text == tw.init(data, target="grade", output=None)


def test_demo_trains_on_what_comes_with_scikit_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="did you mean 'cancer'"):
        tw.demo("cancr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("digits", 0.95), ("cancer", 0.93)])
def test_the_demos_teach_well(tmp_path: Path, name: str, least: float) -> None:
    run = tw.demo(name, run=tmp_path / "run")
    assert run.metrics["test"]["accuracy"] > least


def test_a_python_without_its_source_has_another_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(UserError, match="without the source of its library"):
        tw.demo("words", run=tmp_path / "run")


@pytest.mark.slow
def test_the_demo_of_words_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwright.workshop.demos.words._MOST_CHARACTERS", 200_000)
    asked = dict(DEMOS["words"]()) | {"budget": "20 steps"}
    run = tw.train(**asked, run=tmp_path / "run")
    assert run.metrics["test"]["bits_per_byte"] < 6  # at random 8
    assert isinstance(run.model.generate("def read(", max_tokens=8), str)
    events = read_events(run.path / "events.jsonl")
    *_, samples = [event["samples"] for event in events if event["kind"] == "samples"]
    assert [sample["prompt"] for sample in samples] == ["def read(", "class Error("]

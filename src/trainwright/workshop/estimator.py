"""scikit-learn estimators: a Trainwright model wherever a pipeline or a grid search wants one."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import assert_all_finite, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from trainwright.data.encoded import Array
from trainwright.data.frames import frame_table
from trainwright.data.infer import FEWEST_ROWS
from trainwright.foundation.errors import DataError
from trainwright.workshop.model import Model

if TYPE_CHECKING:
    from trainwright.tasks.base import Task
    from trainwright.workshop.prepare import Prepared


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share.

    Attributes:
        model_: the trained `trainwright.Model`.
    """

    model_: Model

    _split: str
    """How validation rows are drawn: never by a column that happens to be called "split"."""

    def __init__(
        self,
        *,
        size: str = "small",
        budget: str | None = None,
        random_state: int | np.random.RandomState | None = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.size = size
        self.budget = budget
        self.random_state = random_state
        self.settings = settings

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "model_" in state:
            state["model_"] = _packed(state["model_"])
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        super().__setstate__({**state, "model_": _unpacked(state["model_"])} if "model_" in state else state)

    def _rows(self, X: Any, *, reset: bool) -> pl.DataFrame:
        """Return checked rows under the names of their columns: those of a frame, or x0, x1, … for an array.

        Args:
            X: [rows, columns].
            reset: remember the columns; else compare them with those of `fit`.
        """
        if hasattr(X, "columns"):  # a frame keeps the types of its columns
            validate_data(self, X, reset=reset, skip_check_array=True)
            return pl.concat(frame_table(X).chunks())
        array = validate_data(
            self,
            X,
            reset=reset,
            dtype=None,
            ensure_all_finite="allow-nan",
            ensure_min_samples=FEWEST_ROWS if reset else 1,
        )
        return pl.concat(frame_table({f"x{i}": column for i, column in enumerate(array.T)}).chunks())

    def _checked(self, X: Any, y: Any) -> tuple[pl.DataFrame, Array]:
        """Return the rows and their targets [rows]."""
        validate_data(self, y=y, skip_check_array=True)  # says when there is none
        target = column_or_1d(y, warn=True)
        assert_all_finite(target, input_name="y")
        rows = self._rows(X, reset=True)
        check_consistent_length(rows, target)
        return rows, target

    def _fit(self, X: Any, rows: pl.DataFrame, target: pl.Series, kind: str) -> None:
        import torch

        from trainwright.workshop.ask import ask_recipe
        from trainwright.workshop.judging import calibrate
        from trainwright.workshop.train import fit_frame

        name = "target"
        while name in rows.columns:
            name += "_"
        recipe, frame, _ = ask_recipe(
            rows.with_columns(target.alias(name)),
            target=None,
            recipe={"inputs": _types(X, rows), "targets": {name: kind}},
            budget=self.budget,
            seed=self._seed(),
            settings={
                "model.size": self.size,
                "split.method": self._split,
                "split.validation": 0.2,
                "split.test": 0.0,
                # What cannot be learned from is warned of: a search must not stop at one odd fold.
                "data.quarantine_limit": 1.0,
                **(self.settings or {}),
            },
        )
        # The caller's random numbers are its own.
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            job = fit_frame(recipe, frame)
        _warn(job.prepared)
        self.model_ = job.model()
        calibrate(self.model_, job.prepared)

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _scores(self, X: Any) -> tuple[Task, Array]:
        """Return the task and its scores for rows [rows, scores].

        Raises:
            DataError: a row cannot be read; a prediction is never made up.
        """
        check_is_fitted(self, "model_")
        table = frame_table(self._rows(X, reset=False))
        ((name, task),) = self.model_.tasks.items()
        scores: list[Array] = []
        done = 0
        for chunk in self.model_.encoding.chunks(table, self.model_.context(table), targets=False):
            if chunk.broken:
                row, (column, reason) = min(chunk.broken.items())
                raise DataError(
                    f"row {done + row} cannot be read ({reason})", where=f"column '{column}'", fix="mend it"
                )
            scores.append(self.model_.scores(chunk)[name])
            done += chunk.num_rows
        return task, np.concatenate(scores)


class TrainwrightClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A classifier for tables, as scikit-learn knows them.

    Frames (pandas, polars) keep the types of their columns: numbers, booleans, categories and dates are
    taken as such, and strings are looked at: categories, texts, numbers, dates. Missing values are welcome.
    A fifth of the rows tells when to stop and calibrates the probabilities; `trainwright.train` is the one
    that also keeps test rows, compares with simple models and writes a report. Nothing is written to disk.
    A pickle holds the files of the model folder, which our own loader reads and checks.

    Args:
        size: the dial: "tiny", "small", "base" or "large".
        budget: when to stop: "20m", "10 epochs" or "5_000 steps"; by the data without.
        random_state: seed of every random draw.
        settings: other fields of the recipe by dotted name: {"model.dropout": 0.2}.

    Attributes:
        classes_: class labels, sorted [classes].
        model_: the trained `trainwright.Model`.
        n_features_in_: number of columns.
        feature_names_in_: names of the columns, where they are all strings.
    """

    _split = "stratified"

    def fit(self, X: Any, y: Any) -> TrainwrightClassifier:
        """Train on X [rows, columns] and the class of each row, y [rows]."""
        rows, labels = self._checked(X, y)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"The classifier needs two classes; y has only one class: {self.classes_[0]!r}.")
        self._fit(X, rows, pl.Series(codes).cast(pl.String), "category")
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class in the order of `classes_`, float64 [rows, classes]."""
        task, scores = self._scores(X)
        # A class that only validation rows had was never seen: its probability is 0.
        probabilities = np.zeros((len(scores), len(self.classes_)))
        probabilities[:, _codes(task)] = scores
        return probabilities

    def predict(self, X: Any) -> Array:
        """Return the class of each row, [rows]: the likeliest, or by the threshold asked for."""
        task, scores = self._scores(X)
        labels: Array = self.classes_[_codes(task)[task.decide(scores)]]
        return labels


class TrainwrightRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A regressor for tables, as scikit-learn knows them; arguments as `TrainwrightClassifier`.

    Attributes:
        model_: the trained `trainwright.Model`.
        n_features_in_: number of columns.
        feature_names_in_: names of the columns, where they are all strings.
    """

    _split = "random"

    def fit(self, X: Any, y: Any) -> TrainwrightRegressor:
        """Train on X [rows, columns] and the value of each row, y [rows]."""
        rows, values = self._checked(X, y)
        self._fit(X, rows, pl.Series(values.astype(np.float64)), "number")
        return self

    def predict(self, X: Any) -> Array:
        """Return the value of each row, float64 [rows]."""
        _, scores = self._scores(X)
        return scores[:, 0].astype(np.float64)


def _types(X: Any, rows: pl.DataFrame) -> dict[str, str]:
    """Return the feature type of each column: what is stored decides, strings are looked at.

    A search over columns must not be second-guessed: numbers stay numbers, whatever they look like.
    """
    stored = [str(kind).lower() for kind in X.dtypes] if hasattr(X, "columns") else [""] * rows.width
    return {
        name: "category" if word.startswith(("categor", "enum")) else _type(kind)
        for (name, kind), word in zip(rows.schema.items(), stored, strict=True)
    }


def _type(kind: pl.DataType) -> str:
    if kind.is_numeric():
        return "number"
    if kind == pl.Boolean:
        return "boolean"
    return "date" if isinstance(kind, pl.Date | pl.Datetime) else "auto"


def _warn(prepared: Prepared) -> None:
    """Say what was not learned from, in the way that scikit-learn's users expect and filter."""
    said = [
        f"column '{column.name}' is left out: {column.reason}."
        for column in prepared.schema.columns
        if column.role == "left out"
    ]
    unread = prepared.quarantined
    if unread:
        said.append(
            f"{len(unread)} of {prepared.table.num_rows} rows were set aside, the first because of "
            f"column '{unread[0].column}': {unread[0].reason}."
        )
    for what in said:
        warnings.warn(what, UserWarning, stacklevel=4)


def _codes(task: Task) -> Array:
    """Return the position in `classes_` of each class of the task, int64 [classes]."""
    assert task.classes is not None
    return np.array([int(name) for name in task.classes])


def _packed(model: Model) -> dict[str, bytes]:
    """Return the files of the model's folder by name."""
    from trainwright.reporting.manifest import write_manifest

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model.save(folder)
        write_manifest(folder, data_fingerprint="", metrics={})
        return {file.name: file.read_bytes() for file in folder.iterdir()}


def _unpacked(files: Mapping[str, bytes]) -> Model:
    with tempfile.TemporaryDirectory() as place:
        for name, content in files.items():
            (Path(place) / Path(name).name).write_bytes(content)
        model = Model.load(place)
    model.path = None
    return model

"""scikit-learn estimators: a Trainwright model wherever a pipeline or a grid search wants one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

_TARGET = "target"


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share."""

    def __init__(
        self,
        *,
        size: str = "small",
        budget: str | None = None,
        random_state: int | None = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.size = size
        self.budget = budget
        self.random_state = random_state
        self.settings = settings

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.non_deterministic = False
        return tags

    def _frame(self, X: Any, *, reset: bool) -> pl.DataFrame:
        """Return checked rows under the column names that the model knows."""
        if hasattr(X, "columns"):  # a pandas or polars frame keeps the types of its columns
            validate_data(self, X, reset=reset, skip_check_array=True)
            frame = X if isinstance(X, pl.DataFrame) else pl.from_pandas(X)
            return frame.rename(dict(zip(frame.columns, map(str, frame.columns), strict=True)))
        array = validate_data(
            self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan", ensure_min_samples=1
        )
        if array.dtype.kind not in "biuf":
            array = array.astype(str) if array.dtype.kind in "US" else array
        return pl.DataFrame(
            {
                f"x{i}": pl.Series(list(array[:, i]), strict=False) if array.dtype == object else array[:, i]
                for i in range(array.shape[1])
            }
        )

    def _fit(self, frame: pl.DataFrame, target: Any, kind: str) -> None:
        from trainwright.workshop.ask import ask_recipe
        from trainwright.workshop.train import fit_recipe

        settings: dict[str, Any] = {
            "model.size": self.size,
            "split.test": 0.0,
            "split.validation": 0.2,
            **(self.settings or {}),
        }
        asked = {
            "targets": {_TARGET: kind},
            # Every column is used as it is: a search over columns must not be second-guessed.
            "inputs": {name: _type_of(frame[name]) for name in frame.columns},
        }
        recipe, rows, _ = ask_recipe(
            frame.with_columns(pl.Series(_TARGET, target)),
            target=None,
            recipe={**asked, "data": "data.parquet"},
            budget=self.budget,
            seed=self._seed(),
            settings=settings,
        )
        with tempfile.TemporaryDirectory() as folder:
            self.model_ = fit_recipe(recipe, rows, folder=Path(folder) / "run").model()

    def _seed(self) -> int:
        if self.random_state is None:
            return int(np.random.default_rng().integers(2**31))
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(self.random_state.randint(2**31))

    def _scores(self, X: Any) -> Any:
        check_is_fitted(self, "model_")
        frame = self._frame(X, reset=False)
        from trainwright.data.open import open_table

        table = open_table(frame)
        chunks = self.model_.encoding.chunks(table, self.model_.context(table), targets=False)
        return np.concatenate([self.model_.scores(chunk)[_TARGET] for chunk in chunks])


def _type_of(values: pl.Series) -> str:
    if values.dtype == pl.Boolean:
        return "boolean"
    if values.dtype.is_temporal():
        return "date"
    return "number" if values.dtype.is_numeric() else "category"


class TrainwrightClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A classifier for tables, as scikit-learn knows them.

    Args:
        size: the dial: "tiny", "small", "base" or "large".
        budget: when to stop: "20m", "10 epochs" or "5_000 steps"; by the data without.
        random_state: seed of every random draw.
        settings: other fields of the recipe by dotted name.

    Attributes:
        classes_: class labels, sorted [classes].
        model_: the trained `trainwright.Model`.
    """

    def fit(self, X: Any, y: Any) -> TrainwrightClassifier:
        """Train on X [rows, columns] and the class of each row, y [rows]."""
        frame, labels = self._checked(X, y)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"The classifier needs two classes; y has only one class: {self.classes_[0]!r}.")
        self._fit(frame, [str(code) for code in codes], "category")
        return self

    def _checked(self, X: Any, y: Any) -> tuple[pl.DataFrame, Any]:
        from sklearn.utils import check_consistent_length, column_or_1d

        if y is None:
            raise ValueError("This estimator requires y to be passed, but the target y is None.")
        frame = self._frame(X, reset=True)
        labels = column_or_1d(y, warn=True)
        check_consistent_length(frame, labels)
        return frame, labels

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class, [rows, classes]."""
        scores = self._scores(X)
        order = [int(name) for name in self.model_.tasks[_TARGET].classes]
        answer = np.zeros((len(scores), len(self.classes_)))
        answer[:, order] = scores
        return answer

    def predict(self, X: Any) -> Any:
        """Return the class of each row, [rows]."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class TrainwrightRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A regressor for tables, as scikit-learn knows them; arguments as `TrainwrightClassifier`."""

    def fit(self, X: Any, y: Any) -> TrainwrightRegressor:
        """Train on X [rows, columns] and the value of each row, y [rows]."""
        from sklearn.utils import check_array, check_consistent_length, column_or_1d

        if y is None:
            raise ValueError("This estimator requires y to be passed, but the target y is None.")
        frame = self._frame(X, reset=True)
        values = column_or_1d(check_array(y, ensure_2d=False, dtype="numeric"), warn=True).astype(float)
        check_consistent_length(frame, values)
        self._fit(frame, values, "number")
        return self

    def predict(self, X: Any) -> Any:
        """Return the value of each row, [rows]."""
        return self._scores(X)[:, 0].astype(np.float64)

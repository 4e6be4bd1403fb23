"""Trainwright: bring data; get a trained, honestly judged model, and know why it is as good as it is.

>>> import trainwright as tw
>>> run = tw.train("reviews.csv", target="stars")
>>> run.model.predict("new.csv")

Every verb of the command line is a function of the same name here. They are imported when first used, so
that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainwright.foundation.errors import UserError as UserError
    from trainwright.recipe.recipe import Recipe as Recipe
    from trainwright.workshop.compare import compare as compare
    from trainwright.workshop.demo import demo as demo
    from trainwright.workshop.estimator import TrainwrightClassifier as TrainwrightClassifier
    from trainwright.workshop.estimator import TrainwrightRegressor as TrainwrightRegressor
    from trainwright.workshop.evaluate import evaluate as evaluate
    from trainwright.workshop.export import export as export
    from trainwright.workshop.generate import chat as chat
    from trainwright.workshop.generate import generate as generate
    from trainwright.workshop.init import init as init
    from trainwright.workshop.launch_files import launch_files as launch_files
    from trainwright.workshop.load import load as load
    from trainwright.workshop.model import Model as Model
    from trainwright.workshop.predict import predict as predict
    from trainwright.workshop.prepare_corpus import prepare as prepare
    from trainwright.workshop.report import report as report
    from trainwright.workshop.resume import resume as resume
    from trainwright.workshop.run import Run as Run
    from trainwright.workshop.runs import runs as runs
    from trainwright.workshop.schema import schema as schema
    from trainwright.workshop.text_model import TextModel as TextModel
    from trainwright.workshop.train import train as train

__version__ = "0.1.0"

_PLACES = {
    "Model": "workshop.model",
    "Recipe": "recipe.recipe",
    "Run": "workshop.run",
    "TrainwrightClassifier": "workshop.estimator",
    "TrainwrightRegressor": "workshop.estimator",
    "UserError": "foundation.errors",
    "TextModel": "workshop.text_model",
    "chat": "workshop.generate",
    "compare": "workshop.compare",
    "demo": "workshop.demo",
    "evaluate": "workshop.evaluate",
    "export": "workshop.export",
    "generate": "workshop.generate",
    "init": "workshop.init",
    "launch_files": "workshop.launch_files",
    "load": "workshop.load",
    "predict": "workshop.predict",
    "prepare": "workshop.prepare_corpus",
    "report": "workshop.report",
    "resume": "workshop.resume",
    "runs": "workshop.runs",
    "schema": "workshop.schema",
    "train": "workshop.train",
}

__all__ = [*sorted(_PLACES), "__version__"]  # noqa: PLE0604 (names are resolved by __getattr__)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'trainwright' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"trainwright.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

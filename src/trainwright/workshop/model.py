"""A model folder: weights, transforms, tasks, recipe; loads anywhere and executes nothing it holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from trainwright.data.batch_plan import plan_batches
from trainwright.data.encoded import Array, EncodedRows
from trainwright.data.open import open_table
from trainwright.data.table import Table
from trainwright.data.urls import redacted_settings
from trainwright.features.base import Context
from trainwright.features.encoding import Encoding
from trainwright.foundation.devices import choose_device, num_cpus
from trainwright.foundation.errors import DataError, ModelFolderError, UserError, nearest
from trainwright.foundation.paths import write_atomic, write_json
from trainwright.recipe.recipe import DataSettings, Recipe

if TYPE_CHECKING:
    import torch

    from trainwright.models.multimodal import MultimodalModel
    from trainwright.tasks.base import Task

FILES = (
    "model.safetensors",
    "transforms.json",
    "transforms.safetensors",
    "tasks.json",
    "recipe.yaml",
    "card.md",
)


UNREAD = "not predicted"
"""Prediction column that says why a row has no prediction; null for all others."""


class Model:
    """A trained model.

    Attributes:
        recipe: what it was made from.
        encoding: fitted transforms.
        tasks: task of each target, calibrated.
        network: the torch module, in evaluation mode.
        path: the folder it came from; None while it has none.
    """

    def __init__(
        self,
        recipe: Recipe,
        encoding: Encoding,
        tasks: Mapping[str, Task],
        network: MultimodalModel,
        *,
        path: Path | None = None,
    ) -> None:
        self.recipe = recipe
        self.encoding = encoding
        self.tasks = dict(tasks)
        self.network = network.eval()
        self.path = path

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "auto") -> Model:
        """Load a model folder after checking it against its manifest.

        Raises:
            ModelFolderError: it is no model folder, a byte has changed, or a newer version wrote it.
        """
        import torch
        from safetensors.torch import load_file

        from trainwright.recipe.reader import read_recipe
        from trainwright.reporting.manifest import check_manifest
        from trainwright.workshop.assemble import assemble, make_tasks

        folder = Path(folder)
        check_manifest(folder)
        recipe = read_recipe(folder / "recipe.yaml").recipe
        encoding = Encoding.load(folder)
        tasks = make_tasks(recipe, encoding)
        # Weights are drawn only to be replaced: the caller's random numbers stay as they are.
        with torch.random.fork_rng(devices=[]):
            network = assemble(recipe, encoding, tasks)
        try:
            states = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
            for name, task in tasks.items():
                task.load(states[name])
            network.load_state_dict(load_file(folder / "model.safetensors"))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelFolderError(
                f"the weights do not fit the recipe ({str(error).splitlines()[0]})",
                where=str(folder),
                fix="use an undamaged copy of the folder",
            ) from error
        return cls(recipe, encoding, tasks, network.to(choose_device(device)), path=folder)

    def save(self, folder: Path) -> None:
        """Write weights, transforms, tasks and recipe into a folder; card and manifest come after.

        The recipe is written without the passwords of its URLs.
        """
        from safetensors.torch import save_file

        from trainwright.recipe.writer import dump_recipe

        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()},
            folder / "model.safetensors",
        )
        # The library makes the file readable to its owner alone; a model is there to be shared.
        (folder / "model.safetensors").chmod(0o644)
        self.encoding.save(folder)
        write_json(folder / "tasks.json", {name: task.state() for name, task in self.tasks.items()})
        # With the shape of a pretrained encoder written out: loading needs no checkpoint.
        whole = self.recipe.model_copy(
            update={"data": redacted_settings(self.recipe.data), "model": self.network.architecture()}
        )
        write_atomic(folder / "recipe.yaml", dump_recipe(whole))

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def predict(self, data: Any, *, query: str | None = None, probabilities: bool = True) -> Any:
        """Predict for a frame, file, folder or anything else that `train` takes.

        Args:
            data: rows with at least the input columns; others are ignored.
            query: table or SELECT, where the data is a database.
            probabilities: also return a probability for each class, and an interval for each number.

        Returns:
            One row for each row given, in the same order: a pandas frame for a pandas frame, else a polars
            one. Rows that cannot be read are null; a column `not predicted` then says why.
        """
        table = open_data(data, query)
        frames = [frame for frame, _ in self.predict_chunks(table, probabilities=probabilities)]
        return handed_back(pl.concat(frames), data)

    def predict_chunks(
        self, table: Table, *, probabilities: bool = True
    ) -> Iterator[tuple[pl.DataFrame, dict[str, dict[str, int]]]]:
        """Yield predictions chunk by chunk, in bounded memory, with what happened to values in each chunk."""
        self.check_columns(table)
        for chunk in self.encoding.chunks(table, self.context(table), targets=False):
            scores = self.scores(chunk)
            columns: dict[str, Any] = {}
            for name, task in self.tasks.items():
                made = task.frame(scores[name])
                columns |= made if probabilities else {name: made[name]}
            why = pl.Series(UNREAD, _reasons(chunk), dtype=pl.String)
            known = [pl.when(why.is_null()).then(pl.col(name)).alias(name) for name in columns]
            frame = pl.DataFrame(columns).with_columns(known).with_columns(why)
            yield frame, chunk.counts

    def context(self, table: Table) -> Context:
        """Return what the transforms need beside a table's values."""
        return Context(root=table.root, seed=self.recipe.seed, workers=num_cpus())

    def scores(
        self, rows: EncodedRows, index: Array | None = None, *, by_view: bool = False
    ) -> dict[str, Array]:
        """Return each target's scores for encoded rows, in the order of the rows.

        Args:
            rows: encoded rows.
            index: the rows wanted; all of them without.
            by_view: return the scores of every view of the inputs alone, [rows, views, scores].
        """
        import torch

        from trainwright.evaluation.score_sheet import ScoreSheet
        from trainwright.training.feed import Feed
        from trainwright.workshop.speed import ahead_of

        views = self.network.views
        index = np.arange(rows.num_rows) if index is None else index
        sheet = ScoreSheet(len(index))
        lengths = rows.lengths()
        plan = plan_batches(
            len(index),
            batch=self.evaluation_batch,
            shuffle=False,
            lengths=None if lengths is None else lengths[index],
        )
        feed = Feed(rows.batch, self.device, ahead=ahead_of(rows, self.device))
        parts = [plan[number] for number in range(len(plan))]
        with torch.inference_mode():
            for part, batch in zip(parts, feed.each([index[part] for part in parts]), strict=True):
                outputs = self.network(batch.inputs)
                for name, task in self.tasks.items():
                    mine = outputs[name]
                    sheet.put(name, part, task.view_scores(mine, views) if by_view else task.scores(mine))
        if not len(plan):
            return {
                name: task.scores(torch.zeros(0, self.network.members, task.outputs)).numpy()
                for name, task in self.tasks.items()
            }
        return sheet.arrays()

    @property
    def evaluation_batch(self) -> int:
        """Rows a step when no gradient is kept: four times as many as in training."""
        return max(4 * (self.recipe.training.batch or 64), 256)

    def check_columns(self, table: Table, *, targets: bool = False) -> None:
        """Refuse rows that lack a column, and name the nearest one there is.

        Raises:
            DataError: a column is missing; it is never made up.
        """
        needed = [*self.encoding.columns, *(self.encoding.targets if targets else ())]
        missing = [name for name in needed if name not in table.schema]
        if not missing:
            return
        near = nearest(missing[0], [name for name in table.schema if name not in needed])
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(
            f"there is no column '{missing[0]}'{more}, which the model was trained with",
            where=table.name,
            fix=f"rename '{near}' to '{missing[0]}'"
            if near
            else "add the column; leave single cells empty where unknown",
        )


def _reasons(rows: EncodedRows) -> list[str | None]:
    reasons: list[str | None] = [None] * rows.num_rows
    for row, (column, reason) in rows.broken.items():
        reasons[row] = f"column '{column}': {reason}"
    return reasons


def handed_back(predictions: pl.DataFrame, data: Any) -> Any:
    """Return predictions as the caller's kind of frame, with the index of `data` where that is pandas'."""
    if predictions[UNREAD].null_count() == len(predictions):
        predictions = predictions.drop(UNREAD)
    if type(data).__module__.split(".")[0] == "pandas":
        return predictions.to_pandas().set_index(data.index)
    return predictions


def open_data(data: Any, query: str | None = None) -> Table:
    """Open what a verb was given: a path, several paths, or a frame; of a database the rows of a query."""
    if isinstance(data, Path):
        data = str(data)
    if isinstance(data, str) or (isinstance(data, list | tuple) and data and isinstance(data[0], str)):
        return open_table(DataSettings(path=data if isinstance(data, str) else tuple(data), query=query))
    if query is not None:
        raise UserError("a query needs a database, and this is a frame", fix="leave the query out")
    return open_table(data)

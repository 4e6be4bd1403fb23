"""Loading a model, whatever kind it is and whatever names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainwright.foundation.errors import UserError
from trainwright.foundation.paths import check_folder
from trainwright.workshop.model import Model
from trainwright.workshop.text_model import ABOUT, TextModel


def load_folder(folder: str | Path, *, device: str = "auto") -> Any:
    """Return the `Model` or `TextModel` of a model folder.

    Raises:
        ModelFolderError: it is no model folder, a byte has changed, or a newer version wrote it.
    """
    kind = TextModel if (Path(folder) / ABOUT).is_file() else Model
    return kind.load(folder, device=device)


def load(model: Any) -> Any:
    """Return a `Model` or `TextModel` from a model, a run, or the folder of either.

    Raises:
        UserError: the folder is of a run that has no model yet.
    """
    from trainwright.workshop.run import Run

    if isinstance(model, Model | TextModel):
        return model
    if isinstance(model, Run):
        return model.model
    folder = Path(model)
    inner = folder / "model"
    if inner.is_dir():
        return load_folder(inner)
    if (folder / "events.jsonl").is_file():
        raise UserError(
            "this run has no model yet", where=str(folder), fix=f"go on with `trainwright resume {folder}`"
        )
    return load_folder(check_folder(folder))

"""`export`: a model in the form that other software reads."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from trainwright.foundation.checkpoints import quiet
from trainwright.foundation.errors import UserError, did_you_mean
from trainwright.foundation.paths import whole_folder

KINDS = ("hf",)


def export(model: Any, output: str | Path, *, to: str = "hf", merge: bool = False) -> Path:
    """Write a language model as a folder that transformers loads with `from_pretrained`.

    A model fine-tuned by a sliver becomes an adapter as peft reads it, or with `merge` a whole model.

    Args:
        model: a model, a run, or the folder of either.
        output: folder to write; must be new or empty.
        to: "hf".
        merge: work the sliver into the weights of its base.

    Returns:
        The folder.

    Raises:
        UserError: the folder is not empty, or the model is of another kind.
    """
    from trainwright.models.exchange import to_transformers
    from trainwright.models.language.pretrained import Pretrained
    from trainwright.models.language.slivers import Sliver
    from trainwright.workshop.load import load
    from trainwright.workshop.text_model import TextModel

    if to not in KINDS:
        raise UserError(f"a model is not exported to '{to}'", fix=did_you_mean(to, KINDS))
    place = Path(output)
    if place.exists() and (place.is_file() or any(place.iterdir())):
        raise UserError("there is something already", where=str(place), fix="name a new folder with -o")
    found = load(model)
    if not isinstance(found, TextModel):
        raise UserError(
            "only language models are exported to hf",
            where=str(found.path or "the model"),
            fix="predict with this one, or load it with trainwright.load",
        )
    network = found.network
    if merge and not isinstance(network, Sliver):
        raise UserError("there is nothing to merge: all of the model was trained", fix="leave --merge out")
    with whole_folder(place) as scratch:
        if isinstance(network, Sliver) and not merge:
            if network.peft is None:
                raise UserError(
                    "bottleneck adapters have no form that other software reads",
                    fix="train with tuning: lora instead",
                )
            network.save_adapter(scratch)
        else:
            if isinstance(network, Sliver):
                # Merging spoils a model: the caller's stays as it is.
                theirs = (network if isinstance(model, str | Path) else deepcopy(network)).merged()
            elif isinstance(network, Pretrained):
                theirs = network.model
            else:
                special = {role: found.tokenizer.id_of(role) for role in found.tokenizer.special}
                theirs = to_transformers(
                    network, context=found.recipe.language.context or 1024, special=special
                )
            if network.causal:
                end = found.tokenizer.end
                theirs.generation_config.eos_token_id = [end, *sorted(found.tokenizer.stops - {end})]
            with quiet():
                theirs.save_pretrained(scratch)
        found.save_tokenizer(scratch)
    return place

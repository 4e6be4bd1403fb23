"""Several adapters on one base: each with the recipe and the tokenizer of the model that it is from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainwright.features.language.tokenizer import LanguageTokenizer
from trainwright.foundation.errors import ModelFolderError, UserError, did_you_mean
from trainwright.foundation.weights_digest import same_weights
from trainwright.recipe.recipe import Recipe

if TYPE_CHECKING:
    from trainwright.models.language.base import LanguageModel
    from trainwright.models.language.slivers import Sliver

_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Adapter:
    """What comes with an adapter.

    Attributes:
        recipe: what it was trained from.
        tokenizer: cuts its texts; its chat template is that of the training.
    """

    recipe: Recipe
    tokenizer: LanguageTokenizer


def adapters_of(network: LanguageModel) -> tuple[str, ...]:
    """Return the names of the adapters that a network has."""
    from trainwright.models.language.slivers import Sliver

    return network.adapters if isinstance(network, Sliver) else ()


def put_adapter(network: LanguageModel, folder: str | Path, name: str) -> Adapter:
    """Put the adapter of another model on a network's base, use it, and return what comes with it.

    Args:
        network: a sliver on the same base.
        folder: of the other model, or of its run.
        name: for it.

    Raises:
        UserError: the network takes no adapters, or the name cannot be used.
        ModelFolderError: the folder is damaged, or holds no adapter that fits the base.
    """
    from trainwright.recipe.reader import read_recipe
    from trainwright.reporting.manifest import check_manifest
    from trainwright.workshop.language_network import ADAPTER

    sliver = _sliver(network)
    if not _NAME.fullmatch(name) or name in sliver.adapters:
        what = "there is already" if name in sliver.adapters else "there cannot be"
        raise UserError(
            f"{what} an adapter called '{name}'", fix="choose another name, of letters, digits, - and _"
        )
    place = Path(folder)
    place = place / "model" if (place / "model").is_dir() else place
    check_manifest(place)
    _check_base(place, sliver)
    found = Adapter(read_recipe(place / "recipe.yaml").recipe, LanguageTokenizer.load(place))
    sliver.load_adapter(place / ADAPTER, name, found.recipe.tuning)
    return found


def switch_adapter(network: LanguageModel, name: str) -> None:
    """Use another of a network's adapters.

    Raises:
        UserError: it has none of that name.
    """
    known = adapters_of(network)
    if name not in known:
        raise UserError(
            f"the model has no adapter called '{name}'",
            fix=did_you_mean(name, known) if known else "load a model that was fine-tuned by a sliver",
        )
    if len(known) > 1:
        _sliver(network).use_adapter(name)


def _sliver(network: LanguageModel) -> Sliver:
    from trainwright.models.language.slivers import Sliver

    if not isinstance(network, Sliver):
        raise UserError(
            "only a model that was fine-tuned by a sliver takes adapters",
            fix="load one that was trained with tuning: lora",
        )
    return network


def _check_base(place: Path, sliver: Sliver) -> None:
    """Check that a folder is of an adapter, and of one that was trained on the same weights."""
    from trainwright.workshop.text_model import ABOUT, read_about

    about = read_about(place) if (place / ABOUT).is_file() else {"family": "other"}
    if about["family"] != "sliver":
        raise ModelFolderError(
            "this model is no adapter: all of it was trained",
            where=str(place),
            fix="load it by itself with trainwright.load",
        )
    if None not in {about.get("base"), sliver.base} and not same_weights(about["base"], str(sliver.base)):
        raise ModelFolderError(
            "this adapter was trained on another base: its weights are others",
            where=str(place),
            fix="load it by itself with trainwright.load",
        )

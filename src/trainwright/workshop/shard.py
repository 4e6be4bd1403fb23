"""Whether several processes share the model out among them, and how it becomes one again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from trainwright.foundation.errors import RecipeError
from trainwright.foundation.ranks import Ranks

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainwright.models.multimodal import MultimodalModel
    from trainwright.recipe.recipe import Recipe, TrainingSettings
    from trainwright.tasks.base import Task
    from trainwright.workshop.prepare import Prepared


def sharding_choice(
    settings: TrainingSettings, network: nn.Module, device: torch.device, ranks: Ranks
) -> tuple[Literal["on", "off"], str]:
    """Return whether each process holds a part of the model only, and why where it is worth a word.

    Args:
        settings: the recipe's.
        network: the model, in host memory.
        device: where it will train.
        ranks: the processes.
    """
    if ranks.size == 1:
        return "off", "this setting has no effect: there is one process" if settings.sharding == "on" else ""
    if settings.sharding != "auto":
        return settings.sharding, ""
    from trainwright.training.sharding import need

    here = int(os.environ.get("LOCAL_WORLD_SIZE", ranks.size))
    found = need(network, device, ema=settings.ema > 0, processes_here=here)
    return ("off", "") if found.fits else ("on", found.said(ranks.size))


def sharded_network(
    network: MultimodalModel, settings: TrainingSettings, device: torch.device
) -> MultimodalModel:
    """Return the network with its parts shared out.

    Raises:
        RecipeError: a setting needs whole matrices in one process, or layers that join later.
    """
    from trainwright.models.encoders.pretrained import Pretrained
    from trainwright.training.sharding import shard

    gradual = any(
        isinstance(encoder, Pretrained) and encoder.options.finetune == "gradual"
        for encoder in network.encoders
    )
    check_shardable(settings, gradual=gradual)
    shard(network, device)
    return network


def check_shardable(settings: TrainingSettings, *, gradual: bool = False) -> None:
    """Check that a model which is shared out among processes can learn as the recipe says.

    Args:
        settings: the recipe's.
        gradual: layers join training one after another.

    Raises:
        RecipeError: a setting needs whole matrices in one process, or layers that join later.
    """
    refused = {
        "training.optimizer: muon": settings.optimizer == "muon",
        "training.l1": settings.l1 > 0,
        "finetune: gradual": gradual,
    }
    for name, asked in refused.items():
        if asked:
            raise RecipeError(
                f"{name} does not go with a model that is shared out among processes",
                where="training.sharding",
                fix="leave it out, or set training.sharding to off",
            )


def unsharded_network(
    network: MultimodalModel,
    recipe: Recipe,
    prepared: Prepared,
    tasks: Mapping[str, Task],
    ranks: Ranks,
) -> MultimodalModel:
    """Return the whole network in the first process, in host memory; in others the one with their part."""
    from trainwright.training.sharding import whole_state
    from trainwright.workshop.assemble import assemble

    state = whole_state(network, ranks)
    if not ranks.is_first:
        return network
    whole = assemble(
        recipe.model_copy(update={"model": network.architecture()}), prepared.encoding, dict(tasks)
    )
    whole.load_state_dict(state)
    return whole.eval()

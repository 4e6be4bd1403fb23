"""Putting a model together from recipe, transforms and tasks; the same for training and for loading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trainwright.data.encoded import EncodedRows, Ragged
from trainwright.features.encoding import Encoding
from trainwright.foundation.errors import RecipeError
from trainwright.recipe.recipe import Recipe
from trainwright.tasks.base import TASKS, Task

if TYPE_CHECKING:
    from trainwright.models.multimodal import MultimodalModel
    from trainwright.training.optimizers import ParameterGroup

_CLASS_TASKS = {"category": "multiclass", "boolean": "binary", "ordinal": "ordinal"}


def make_tasks(recipe: Recipe, encoding: Encoding) -> dict[str, Task]:
    """Return the task of every target: its feature type decides."""
    tasks: dict[str, Task] = {}
    for name, feature in encoding.targets.items():
        spec = feature.target_spec()
        kind = {"number": "regression", "set": "multilabel"}.get(feature.type) or _CLASS_TASKS[feature.type]
        if kind in {"multiclass", "ordinal"} and len(spec["classes"]) == 2:
            kind = "binary"
        tasks[name] = TASKS[kind](name, spec, class_weights=_class_weights(recipe, name, spec))
    return tasks


def _class_weights(recipe: Recipe, target: str, spec: Mapping[str, object]) -> list[float] | None:
    """Return a weight for each class in order; None where all weigh the same."""
    wanted = recipe.training.class_weights
    classes = spec.get("classes")
    if wanted == "none" or not isinstance(classes, list):
        return None
    if wanted == "balanced":
        counts = spec["counts"]
        assert isinstance(counts, list)
        total = sum(counts)
        return [total / (len(counts) * max(count, 1)) for count in counts]
    names = [str(name) for name in classes]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise RecipeError(
            f"class_weights names '{unknown[0]}', which is no class of '{target}'",
            where="training.class_weights",
            fix=f"the classes are: {', '.join(names[:12])}",
        )
    return [wanted.get(name, 1.0) for name in names]


def assemble(recipe: Recipe, encoding: Encoding, tasks: Mapping[str, Task]) -> MultimodalModel:
    """Build the network, starting at the base rates of the targets.

    Args:
        recipe: model settings.
        encoding: fitted transforms.
        tasks: from `make_tasks`.
    """
    import torch

    from trainwright.models.defaults import GroupSpec
    from trainwright.models.multimodal import MultimodalModel

    groups = {name: GroupSpec(name, group.modality, group.spec) for name, group in encoding.groups().items()}
    outputs = {name: task.outputs for name, task in tasks.items()}
    network = MultimodalModel.build(groups, outputs, recipe.model, encoding.stems())
    for name, task in tasks.items():
        bias = task.initial_bias()
        if bias is not None:
            network.set_bias(name, torch.from_numpy(bias))
    return network


def narrow(network: MultimodalModel, rows: EncodedRows) -> None:
    """Let pretrained encoders of texts learn the embeddings of the tokens that the rows hold alone.

    Args:
        network: changed in place; its `state_dict` stays that of the whole model.
        rows: all rows that it will be trained and judged on.
    """
    from trainwright.models.encoders.pretrained import Pretrained
    from trainwright.models.layers.live_embedding import ids_met

    for group, encoder in zip(network.groups, network.encoders, strict=True):
        if group.modality == "text" and isinstance(encoder, Pretrained):
            tokens = rows.arrays[f"{group.name}.tokens"]
            assert isinstance(tokens, Ragged)
            encoder.narrow(ids_met(tokens.values, group.spec["vocabulary"]))


def kinds(network: MultimodalModel) -> list[str]:
    """Return what each encoder is, as the choices of the loop see it: its modality, or "pretrained"."""
    from trainwright.models.encoders.pretrained import Pretrained

    return [
        "pretrained" if isinstance(encoder, Pretrained) else group.modality
        for group, encoder in zip(network.groups, network.encoders, strict=True)
    ]


def parameter_groups(network: MultimodalModel, weight_decay: float) -> list[ParameterGroup]:
    """Return the network's parameters as the optimiser takes them, by name."""
    from trainwright.training.optimizers import ParameterGroup

    names = {id(parameter): name for name, parameter in network.named_parameters()}
    hidden = frozenset(names[id(parameter)] for parameter in network.hidden_matrices())
    return [
        ParameterGroup(
            {names[id(parameter)]: parameter for parameter in group["params"]},
            group["weight_decay"],
            group["lr_scale"],
            hidden,
        )
        for group in network.parameter_groups(weight_decay)
    ]

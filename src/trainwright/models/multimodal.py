"""The model of a run: an encoder for every input, their fusion, and a head for every target."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.foundation.errors import RecipeError, did_you_mean
from trainwright.models.base import Encoder
from trainwright.models.defaults import FUSION_WIDTHS, GroupSpec, resolve_encoders, resolve_settings
from trainwright.models.encoders.pretrained import Pretrained
from trainwright.models.fusion.base import FUSIONS, Fusion
from trainwright.models.heads import Head
from trainwright.models.initialisation import initialise
from trainwright.recipe.recipe import EncoderSettings, ModelSettings

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "table": ("dense", "index"),
    "text": ("tokens", "tokens.lengths"),
    "image": ("pixels",),
    "audio": ("samples", "samples.lengths"),
    "sequence": ("values", "values.lengths"),
}
"""Kind of input → the batch fields that its stem or encoder takes."""

_HEAD_LEARNING_RATE = 1e-3
"""Least AdamW peak of fusion and heads, which always start from random weights."""


class MultimodalModel(nn.Module):
    """Inputs → outputs of every target; `build` makes one.

    Attributes:
        groups: the inputs, in the order of `present`.
        targets: target names.
        members: ensemble members of the outputs, those of one view of the inputs after those of another.
        views: views of the inputs (see `Fusion`).
        learning_rate: a good AdamW peak for its most delicate part; `parameter_groups` scales the others.
        ragged: whether rows have different lengths.
        packs: whether rows may be read end to end.
    """

    def __init__(
        self,
        groups: Collection[GroupSpec],
        encoders: Mapping[str, Encoder],
        fusion: Fusion,
        heads: Mapping[str, Head],
        *,
        stems: Mapping[str, nn.Module | None],
        settings: ModelSettings,
    ) -> None:
        super().__init__()
        self.groups, self.targets, self.settings = tuple(groups), tuple(heads), settings
        # Lists, because a column's name may hold what the key of a ModuleDict may not (a dot, 'items').
        self.stems = nn.ModuleList(stems.get(group.name) or nn.Identity() for group in self.groups)
        self.encoders = nn.ModuleList(encoders[group.name] for group in self.groups)
        self.fusion = fusion
        self.heads = nn.ModuleList(heads.values())
        self.views = fusion.views
        self.members = max(encoder.members for encoder in encoders.values()) * self.views
        self.learning_rate = min(encoder.learning_rate for encoder in encoders.values())
        kinds = {group.modality for group in self.groups}
        self.ragged = bool(kinds & {"text", "audio", "sequence"})
        self.packs = "text" in kinds

    @classmethod
    def build(
        cls,
        groups: Mapping[str, GroupSpec],
        targets: Mapping[str, int],
        settings: ModelSettings,
        stems: Mapping[str, nn.Module | None],
    ) -> MultimodalModel:
        """Return a model with initial weights, drawn from torch's global generator.

        Args:
            groups: input name → what it is.
            targets: target name → outputs its task asks for.
            settings: the recipe's; or what `architecture` gave, for a model whose weights come from a folder.
            stems: input name → the module that prepares its batch fields on the device, where it has one.

        Raises:
            RecipeError: the settings name what there is not, or what does not fit the inputs.
        """
        choices = resolve_encoders(groups.values(), settings)
        resolved = resolve_settings(groups.values(), settings)
        if resolved.fusion not in FUSIONS:
            raise RecipeError(
                f"there is no fusion called '{resolved.fusion}'",
                where="model.fusion",
                fix=did_you_mean(resolved.fusion, FUSIONS),
            )
        encoders = {
            name: choices[name].encoder(group.spec, choices[name].options, group.modality)
            for name, group in groups.items()
        }
        fusion = FUSIONS[resolved.fusion](
            {name: encoder.width for name, encoder in encoders.items()},
            width=FUSION_WIDTHS[settings.size_],
            dropout=settings.dropout or 0.0,
            modality_dropout=settings.modality_dropout,
        )
        initialise(fusion, matrices="xavier")
        members = max(encoder.members for encoder in encoders.values()) * fusion.views
        heads = {target: Head(fusion.width, outputs, members=members) for target, outputs in targets.items()}
        return cls(list(groups.values()), encoders, fusion, heads, stems=stems, settings=resolved)

    def architecture(self) -> ModelSettings:
        """Return settings from which `build` makes a model of this shape without any checkpoint.

        For model folders: weights of a model built from them are random until they are loaded.
        """
        encoders = dict(self.settings.encoders)
        for group, encoder in zip(self.groups, self.encoders, strict=True):
            if isinstance(encoder, Pretrained):
                options = encoders[group.name].options | {"config": encoder.config}
                encoders[group.name] = EncoderSettings(name=encoders[group.name].name, **options)
        return self.settings.model_copy(update={"encoders": encoders})

    def forward(self, inputs: Mapping[str, Tensor], *, hide: Collection[str] = ()) -> dict[str, Tensor]:
        """Return target → outputs [batch, members, outputs].

        Args:
            inputs: batch fields by '<input>.<field>': 'table.dense' and 'table.index'; tokens, samples or
                values with their '.lengths' (and on the host their '.total'); 'pixels' with 'present'.
            hide: inputs to treat as missing, to measure what they contribute; with a single input this has no
                effect.
        """
        vectors, present = {}, []
        for group, stem, encoder in zip(self.groups, self.stems, self.encoders, strict=True):
            fields = {field: inputs[f"{group.name}.{field}"] for field in _FIELDS[group.modality]}
            there = _present(group, inputs, fields)
            if self.training and group.modality in {"image", "audio"} and len(self.groups) > 1:
                rows = borrowed_rows(there)
                fields = {field: values[rows] for field, values in fields.items()}
            taken = self._prepared(group.modality, stem, encoder, fields)
            if group.modality == "text" and getattr(encoder, "takes_total", False):
                total = inputs.get(f"{group.name}.tokens.total")
                vectors[group.name] = encoder(*taken, None if total is None else int(total))
            else:
                vectors[group.name] = encoder(*taken)
            present.append(torch.zeros_like(there) if group.name in hide else there)
        hidden = self.fusion(vectors, torch.stack(present, dim=1))
        return {target: head(hidden) for target, head in zip(self.targets, self.heads, strict=True)}

    @staticmethod
    def _prepared(
        modality: str, stem: nn.Module, encoder: nn.Module, fields: Mapping[str, Tensor]
    ) -> tuple[Tensor, ...]:
        """Return what the encoder takes: through the stem, except for encoders of raw samples."""
        if isinstance(stem, nn.Identity) or getattr(encoder, "raw", False):
            values = tuple(fields.values())
            return (values[0].float(),) if modality == "image" else values
        prepared = stem(fields)
        return prepared if isinstance(prepared, tuple) else (prepared,)

    def set_bias(self, target: str, bias: Tensor) -> None:
        """Start a target's outputs at `bias` [outputs]."""
        head = self.heads[self.targets.index(target)]
        assert isinstance(head, Head)
        head.set_bias(bias)

    def blocks(self) -> Sequence[nn.Module]:
        """Return the modules whose repeated blocks are compiled."""
        return list(self.encoders)

    def unfreeze(self, progress: float) -> None:
        """Set which layers of pretrained encoders learn when this share (0 to 1) of training is done."""
        for encoder in self.encoders:
            if isinstance(encoder, Pretrained):
                encoder.unfreeze(progress)

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Return groups for an optimiser: {"params", "weight_decay", "lr_scale"}.

        Matrices decay; biases, norms, embeddings and scales do not. `lr_scale` multiplies the learning rate:
        an encoder's own rate over `learning_rate`, less for the lower layers of a pretrained one.
        """
        decaying = set(map(id, _decaying(self)))
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for parameters, scale in self._scaled():
            for parameter in parameters:
                groups.setdefault((scale, id(parameter) in decaying), []).append(parameter)
        return [
            {"params": parameters, "weight_decay": weight_decay if decays else 0.0, "lr_scale": scale}
            for (scale, decays), parameters in groups.items()
        ]

    def hidden_matrices(self) -> list[nn.Parameter]:
        """Return the matrices and kernels between layers: those of encoders and fusion, not of heads."""
        parts = list(itertools.chain(self.encoders.modules(), self.fusion.modules()))
        kernels = {id(part.weight) for part in parts if isinstance(part, nn.Conv1d | nn.Conv2d)}
        decaying = itertools.chain(_decaying(self.encoders), _decaying(self.fusion))
        return [weight for weight in decaying if weight.dim() == 2 or id(weight) in kernels]

    def _scaled(self) -> Iterator[tuple[list[nn.Parameter], float]]:
        rates = []
        for encoder in self.encoders:
            assert isinstance(encoder, Encoder)
            rates.append(encoder.learning_rate)
            scale = encoder.learning_rate / self.learning_rate
            if isinstance(encoder, Pretrained):
                for parameters, layer_scale, _ in encoder.parameter_groups():
                    yield parameters, scale * layer_scale
            else:
                yield list(encoder.parameters()), scale
        rest = [*self.stems.parameters(), *self.fusion.parameters(), *self.heads.parameters()]
        yield rest, max(_HEAD_LEARNING_RATE, *rates) / self.learning_rate


def borrowed_rows(present: Tensor) -> Tensor:
    """Return int64 [batch]: each row's own index, or for a missing row that of one which is there.

    Batch norm would learn the statistics of blank pictures otherwise. What is computed for a missing row is
    replaced by the fusion. Nothing here waits for the device.

    Args:
        present: bool [batch].
    """
    own = torch.arange(present.shape[0], device=present.device)
    there_first = torch.argsort(present.to(torch.int8), descending=True, stable=True)
    place = (~present).cumsum(0) % present.sum().clamp(min=1)
    return torch.where(present, own, there_first[place])


def _present(group: GroupSpec, inputs: Mapping[str, Tensor], fields: Mapping[str, Tensor]) -> Tensor:
    """Return bool [batch]: the rows that have this input."""
    if group.modality == "image":
        return inputs[f"{group.name}.present"]
    first, second = fields.values()
    return (
        second > 0
        if group.modality != "table"
        else torch.ones_like(first[:, 0] if first.shape[1] else second[:, 0], dtype=torch.bool)
    )


def _decaying(module: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters that weight decay is meant for."""
    for part in module.modules():
        spared = getattr(part, "no_decay", ())
        if isinstance(part, nn.Embedding):
            continue
        for name, parameter in part.named_parameters(recurse=False):
            if parameter.dim() >= 2 and name.startswith("weight") and name not in spared:
                yield parameter

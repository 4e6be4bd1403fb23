"""The model of a run: inputs of every kind to outputs of every target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainwright.foundation.errors import RecipeError
from trainwright.models.defaults import DEFAULT_ENCODERS, GroupSpec
from trainwright.models.multimodal import MultimodalModel, borrowed_rows
from trainwright.recipe.recipe import ModelSettings

NAMES = {"table": "table", "body.text": "text", "items": "image", "call": "audio", "pulse": "sequence"}
MISSING = 1
"""The row of `batch` that has only its table columns."""

Specs = dict[str, dict[str, Any]]


class ImageStem(nn.Module):
    """Stands for the feature's stem: takes the batch fields, gives floats."""

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return inputs["pixels"].float() / 255 - 0.5


class AudioStem(nn.Module):
    """Stands for the feature's stem: 16 samples a frame."""

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        samples, lengths = inputs["samples"], inputs["samples.lengths"]
        return samples.float().unflatten(1, (-1, 16)) / 32768, lengths // 16


STEMS: dict[str, nn.Module | None] = {"items": ImageStem(), "call": AudioStem(), "table": None}


@pytest.fixture
def groups(specs: Specs) -> dict[str, GroupSpec]:
    return {name: GroupSpec(name, modality, specs[modality]) for name, modality in NAMES.items()}


@pytest.fixture
def batch(specs: Specs) -> dict[str, Tensor]:
    lengths, samples = torch.tensor([7, 0, 4, 9]), torch.tensor([160, 0, 64, 96])
    image = specs["image"]
    present = torch.tensor([True, False, True, True])
    pixels = torch.randint(0, 256, (4, 3, image["height"], image["width"]), dtype=torch.uint8)
    return {
        "table.dense": torch.randn(4, 4),
        "table.index": torch.tensor([[0, 1, 2], [3, 39, 4], [2, 2, 2], [1, 1, 1]]),
        "body.text.tokens": torch.randint(1, 60, (4, 9)) * (torch.arange(9) < lengths[:, None]),
        "body.text.tokens.lengths": lengths,
        "items.pixels": pixels * present[:, None, None, None],
        "items.present": present,
        "call.samples": torch.randint(-9000, 9000, (4, 160), dtype=torch.int16),
        "call.samples.lengths": samples,
        "pulse.values": torch.randn(4, 9, 3),
        "pulse.values.lengths": lengths,
    }


def build(groups: dict[str, GroupSpec], **settings: Any) -> MultimodalModel:
    chosen = ModelSettings.model_validate({"size": "tiny"} | settings)
    return MultimodalModel.build(groups, {"stars": 5, "price": 1}, chosen, STEMS)


@pytest.mark.parametrize("fusion", ["auto", "concat", "gated", "attention"])
def test_all_kinds_of_inputs_and_several_targets(
    groups: dict[str, GroupSpec], batch: dict[str, Tensor], fusion: str
) -> None:
    model = build(groups, fusion=fusion)
    outputs, members = model(batch), model.members
    assert members > 2  # tabm's, which the two members of text are shared out to
    assert outputs["stars"].shape == (4, members, 5)
    assert outputs["price"].shape == (4, members, 1)
    sum(value.sum() for value in outputs.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", list(NAMES))
def test_each_kind_alone(groups: dict[str, GroupSpec], batch: dict[str, Tensor], name: str) -> None:
    model = build({name: groups[name]})
    outputs = model({key: value for key, value in batch.items() if key.startswith(name)})
    assert outputs["stars"].shape == (4, model.members, 5)
    assert outputs["stars"].isfinite().all()


def test_what_a_missing_input_holds_does_not_matter(
    groups: dict[str, GroupSpec], batch: dict[str, Tensor]
) -> None:
    model = build(groups).eval()
    before = model(batch)["stars"]
    batch["items.pixels"][MISSING] = 200
    batch["call.samples"][MISSING] = 5000
    batch["body.text.tokens"][MISSING] = 3
    torch.testing.assert_close(model(batch)["stars"], before)


def test_rows_do_not_see_each_other(groups: dict[str, GroupSpec], batch: dict[str, Tensor]) -> None:
    model = build(groups).eval()
    together = model(batch)["price"]
    for row in range(4):
        alone = model({key: value[row : row + 1] for key, value in batch.items()})["price"]
        torch.testing.assert_close(alone, together[row : row + 1], rtol=1e-4, atol=1e-5)


def test_hiding_an_input_is_the_same_as_missing_it(
    groups: dict[str, GroupSpec], batch: dict[str, Tensor]
) -> None:
    model = build(groups).eval()
    hidden = model(batch, hide={"items"})["stars"]
    missing = model(batch | {"items.present": torch.zeros(4, dtype=torch.bool)})["stars"]
    torch.testing.assert_close(hidden, missing)
    assert not torch.allclose(hidden, model(batch)["stars"])


def test_blank_pictures_stay_out_of_batch_norm(
    groups: dict[str, GroupSpec], batch: dict[str, Tensor]
) -> None:
    two = {name: groups[name] for name in ("table", "items")}
    first, second = build(two).train(), build(two).train()
    second.load_state_dict(first.state_dict())
    first(batch)
    batch["items.pixels"][MISSING] = 255
    second(batch)
    after, also = first.state_dict(), second.state_dict()
    running = [key for key in after if "running" in key]
    assert running
    assert all(torch.equal(after[key], also[key]) for key in running)


@pytest.mark.parametrize("present", [[1, 0, 0, 1, 0, 0, 0], [0, 0, 0], [1, 1], [0, 1]])
def test_rows_are_borrowed_from_those_there(present: list[int]) -> None:
    there = torch.tensor(present, dtype=torch.bool)
    rows = borrowed_rows(there)
    own = torch.arange(len(present))
    assert torch.equal(rows[there], own[there])
    if there.any():
        assert there[rows].all()
        borrowed = rows[~there].bincount(minlength=len(present))[there]
        assert borrowed.max() - borrowed.min() <= 1  # shared out evenly


def test_weight_decay_is_for_matrices(groups: dict[str, GroupSpec]) -> None:
    model = build(groups)
    parameters = model.parameter_groups(0.1)
    grouped = [parameter for group in parameters for parameter in group["params"]]
    assert sorted(map(id, grouped)) == sorted(map(id, model.parameters()))
    decays = {id(p): group["weight_decay"] for group in parameters for p in group["params"]}
    names = {name: decays[id(parameter)] for name, parameter in model.named_parameters()}
    assert {0.0, 0.1} == set(names.values())
    for name, decay in names.items():
        spared = any(word in name for word in ("bias", "norm", "numbers", "categories", "scale", "missing"))
        assert decay == 0.0 or not spared, name
    for part in model.modules():
        if isinstance(part, nn.Embedding | nn.LayerNorm | nn.BatchNorm2d):
            assert all(decays[id(parameter)] == 0 for parameter in part.parameters())
        elif isinstance(part, nn.Linear | nn.Conv2d):
            assert decays[id(part.weight)] == 0.1


def test_learning_rates_keep_their_ratio(groups: dict[str, GroupSpec]) -> None:
    two = {name: groups[name] for name in ("table", "pulse")}
    model = build(two, encoders={"table": "ft_transformer", "pulse": "tcn"})
    scales = {id(p): group["lr_scale"] for group in model.parameter_groups(0.0) for p in group["params"]}
    rates = [scales[id(next(encoder.parameters()))] * model.learning_rate for encoder in model.encoders]
    assert rates == pytest.approx([encoder.learning_rate for encoder in model.encoders])
    assert model.learning_rate == min(rates)


def test_outputs_start_at_the_bias(groups: dict[str, GroupSpec], batch: dict[str, Tensor]) -> None:
    model = build({"table": groups["table"]})
    before, bias = model(batch)["stars"], torch.arange(5.0)
    model.set_bias("stars", bias)
    model.eval()
    with torch.no_grad():
        for head in model.heads:
            head.linear.weight.zero_()
    torch.testing.assert_close(model(batch)["stars"], bias.expand_as(before))


def test_a_model_folder_needs_only_architecture_and_weights(
    groups: dict[str, GroupSpec], batch: dict[str, Tensor]
) -> None:
    model = build(
        groups, fusion="gated", name="cnn", encoders={"pulse": {"name": "lstm", "hidden": 5}}
    ).eval()
    stored = model.architecture().model_dump_json()
    again = MultimodalModel.build(
        groups, {"stars": 5, "price": 1}, ModelSettings.model_validate_json(stored), STEMS
    ).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(batch)["stars"], model(batch)["stars"])


def test_an_unknown_fusion_is_answered(groups: dict[str, GroupSpec]) -> None:
    with pytest.raises(
        RecipeError, match=r"model\.fusion: there is no fusion called 'gate'; did you mean 'gated'"
    ):
        build(groups, fusion="gate")


def test_defaults_cover_every_kind(make_encoder: Callable[..., Any]) -> None:
    for modality, name in DEFAULT_ENCODERS.items():
        assert modality in make_encoder(name, modality).modalities

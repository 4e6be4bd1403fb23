"""A sliver changes nothing before the first step, has the size it should have, and leaves the base alone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from trainwright.foundation.errors import ModelFolderError, RecipeError
from trainwright.models.language.pretrained import Pretrained
from trainwright.models.language.slivers import VIRTUAL, Sliver
from trainwright.models.layers.packing import packing
from trainwright.recipe.recipe import TuningSettings

LENGTHS = torch.tensor([2, 5, 9])
TOKENS = torch.arange(16) * 7 % 90
WIDTH, INNER, LAYERS = 32, 48, 2
METHODS = ["lora", "dora", "rslora", "ia3", "adapter", "prompt", "prefix"]


def base(kind: str = "llama") -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    if kind == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(vocab_size=90, n_embd=WIDTH, n_layer=LAYERS, n_head=4, n_positions=64)
        )
    shape = LlamaConfig(
        vocab_size=90,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    return LlamaForCausalLM(shape)


def sliver(method: str, kind: str = "llama", **more: Any) -> Sliver:
    settings = TuningSettings(method=method, rank=4, tokens=3, **more)  # type: ignore[arg-type]
    return Sliver(base(kind), causal=True, settings=settings).eval()


def logits(network: Pretrained) -> torch.Tensor:
    return network.logits(network.states(TOKENS, packing(LENGTHS)))


def learn(network: Sliver) -> None:
    """Move the sliver away from where it began."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.learned().values():
            parameter.add_(0.05 * torch.randn_like(parameter))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("method", [method for method in METHODS if method not in VIRTUAL])
def test_at_first_it_is_the_base(method: str, kind: str) -> None:
    network = sliver(method, kind)
    expected = logits(Pretrained(base(kind), causal=True).eval())
    torch.testing.assert_close(logits(network), expected)
    learn(network)
    assert not torch.allclose(logits(network), expected)


# Of a Llama with 2 layers, 4 heads of 8 and 2 heads of keys: q, k, v, o, gate, up, down.
IN = (32, 32, 32, 32, 32, 32, 48)
OUT = (32, 16, 16, 32, 48, 48, 32)
LORA = LAYERS * sum(4 * (i + o) for i, o in zip(IN, OUT, strict=True))
SIZES = {
    "lora": LORA,
    "rslora": LORA,
    "dora": LORA + LAYERS * sum(OUT),  # and a magnitude for each output
    "ia3": LAYERS * (16 + 16 + INNER),  # keys, values, and what the perceptron's last layer takes
    "adapter": LAYERS * 2 * (WIDTH * 4 + 4 + 4 * WIDTH + WIDTH),
    "prompt": 3 * WIDTH,
    "prefix": 3 * LAYERS * 2 * 16,
}


@pytest.mark.parametrize("method", METHODS)
def test_it_has_exactly_so_many_parameters(method: str) -> None:
    network = sliver(method)
    assert sum(p.numel() for p in network.learned().values()) == SIZES[method]
    assert sum(tensor.numel() for tensor in network.state_dict().values()) == SIZES[method]


@pytest.mark.parametrize("method", METHODS)
def test_the_base_stays_as_it_is(method: str) -> None:
    network = sliver(method)

    def digest() -> str:
        found = hashlib.sha256()
        for name, parameter in sorted(network.named_parameters()):
            if not parameter.requires_grad:
                found.update(name.encode() + parameter.detach().numpy().tobytes())
        return found.hexdigest()

    before = digest()
    optimizer = torch.optim.SGD(network.learned().values(), lr=0.1)
    network.train()
    for _ in range(3):
        optimizer.zero_grad()
        logits(network).logsumexp(-1).sum().backward()
        missing = [name for name, p in network.learned().items() if p.grad is None]
        assert not missing
        optimizer.step()
    assert digest() == before


@pytest.mark.parametrize("method", ["lora", "dora", "rslora", "ia3"])
def test_merged_is_unmerged(method: str) -> None:
    network = sliver(method)
    learn(network)
    expected = logits(network)
    merged = Pretrained(network.merged(), causal=True).eval()
    torch.testing.assert_close(logits(merged), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", ["prompt", "adapter"])
def test_what_weights_cannot_hold_is_not_merged(method: str) -> None:
    with pytest.raises(RecipeError, match=f"{method} cannot be merged"):
        sliver(method).merged()


@pytest.mark.parametrize("method", ["lora", "dora", "rslora", "ia3", "prompt", "prefix"])
def test_peft_reads_it(method: str, tmp_path: Path) -> None:
    from peft import PeftModel

    network = sliver(method)
    learn(network)
    network.save_adapter(tmp_path)
    theirs = PeftModel.from_pretrained(base(), tmp_path).eval()  # its own base
    row = TOKENS[7:].unsqueeze(0)
    with torch.no_grad():
        found = theirs(input_ids=row, attention_mask=torch.ones_like(row)).logits[0, -9:]
    torch.testing.assert_close(logits(network)[7:], found, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", ["lora", "dora", "ia3"])
def test_several_on_one_base(method: str, tmp_path: Path) -> None:
    first, second = sliver(method), sliver(method)
    learn(second)
    second.save_adapter(tmp_path / "second")
    before, wanted = logits(first), logits(second)
    first.load_adapter(tmp_path / "second", "b", second.settings)
    torch.testing.assert_close(logits(first), wanted)
    assert (first.adapters, first.adapter) == (("default", "b"), "b")
    # What is saved is the one in use, by the names that a model of it alone has.
    other = sliver(method)
    other.load_state_dict(first.state_dict())
    torch.testing.assert_close(logits(other), wanted)
    first.save_adapter(tmp_path / "saved")
    names = [{file.name for file in (tmp_path / place).iterdir()} for place in ("second", "saved")]
    assert names[0] == names[1]
    assert (tmp_path / "saved" / WEIGHTS).read_bytes() == (tmp_path / "second" / WEIGHTS).read_bytes()
    first.use_adapter("default")
    torch.testing.assert_close(logits(first), before)
    first.load_state_dict(second.state_dict())
    torch.testing.assert_close(logits(first), wanted)


WEIGHTS = "adapter_model.safetensors"


def test_an_adapter_that_does_not_fit_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    first = sliver("lora")
    before = logits(first)
    sliver("lora", "gpt2").save_adapter(tmp_path / "gpt2")
    for place in (tmp_path / "gpt2", tmp_path / "nowhere"):
        with pytest.raises(ModelFolderError, match="does not fit"):
            first.load_adapter(place, "b", first.settings)
    with pytest.raises(ModelFolderError, match="an adapter of ia3 does not go beside one of lora"):
        first.load_adapter(tmp_path, "b", TuningSettings(method="ia3"))
    assert (first.adapters, first.adapter) == (("default",), "default")
    torch.testing.assert_close(logits(first), before)


@pytest.mark.parametrize("method", METHODS)
def test_its_state_comes_back(method: str) -> None:
    network, other = sliver(method), sliver(method)
    learn(network)
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(logits(other), logits(network))
    with pytest.raises(RuntimeError, match="missing"):
        other.load_state_dict({})


@pytest.mark.parametrize("method", ["lora", "prompt", "prefix"])
def test_it_generates_as_it_reads(method: str) -> None:
    network = sliver(method)
    learn(network)
    row = TOKENS[7:].unsqueeze(0)
    cache = network.begin(torch.tensor([0]), 9)
    pieces = [
        network.step(row[:, :5], cache),
        network.step(row[:, 5:6], cache),
        network.step(row[:, 6:], cache),
    ]
    torch.testing.assert_close(
        network.logits(torch.cat(pieces, 1))[0], logits(network)[7:], atol=1e-5, rtol=1e-5
    )


def test_targets_in_one_word() -> None:
    def size(targets: Any) -> int:
        return sum(p.numel() for p in sliver("lora", targets=targets).learned().values())

    attention, mlp, everything = size("attention"), size("mlp"), size("all")
    assert attention + mlp == everything == size("auto")
    assert size(("q_proj",)) == LAYERS * 4 * (32 + 32)
    with pytest.raises(RecipeError, match="no layer of the model is called 'w_q'"):
        size("w_q")

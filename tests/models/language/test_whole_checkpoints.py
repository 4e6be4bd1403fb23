"""A checkpoint is opened where all of its weights are there and are safe to open, and else refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from text_checkpoints import byte_level, network

from trainwright.foundation import checkpoints
from trainwright.foundation.checkpoints import checkpoint_folder
from trainwright.foundation.errors import RecipeError
from trainwright.models.language.checkpoint import load_checkpoint

WEIGHTS = "model.safetensors"


def saved(folder: Path, kind: str = "llama", **more: Any) -> dict[str, torch.Tensor]:
    """Save a checkpoint and return its weights."""
    made = network(kind)
    for name, value in more.items():
        setattr(made.config, name, value)
    made.save_pretrained(folder)
    return load_file(folder / WEIGHTS)


def write(folder: Path, state: dict[str, torch.Tensor]) -> None:
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})


def test_an_output_layer_that_is_missing_is_no_random_one(tmp_path: Path) -> None:
    state = saved(tmp_path)
    assert "lm_head.weight" in state
    write(tmp_path, {name: tensor for name, tensor in state.items() if name != "lm_head.weight"})
    with pytest.raises(RecipeError, match=r"lacks 1 weights of its model, lm_head.weight among them"):
        load_checkpoint(str(tmp_path), "causal")


def test_one_that_is_tied_need_not_be_there(tmp_path: Path) -> None:
    state = saved(tmp_path, "gpt2")
    assert "lm_head.weight" not in state
    found = load_checkpoint(str(tmp_path), "causal")
    assert found.lm_head.weight is found.transformer.wte.weight
    write(tmp_path, {name: tensor for name, tensor in state.items() if "wte" not in name})
    with pytest.raises(RecipeError, match=r"lacks 1 weights of its model, transformer.wte.weight"):
        load_checkpoint(str(tmp_path), "causal")


def test_a_pickle_beside_other_tensors_is_not_opened(tmp_path: Path) -> None:
    state = saved(tmp_path)
    (tmp_path / WEIGHTS).rename(tmp_path / "adapter_model.safetensors")

    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({**state, "trap": Trap()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(RecipeError, match=r"its weights are pickled \(pytorch_model.bin\)"):
        load_checkpoint(str(tmp_path), "causal")
    # Nor where a list promises tensors that are not there.
    (tmp_path / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    with pytest.raises(RecipeError, match=r"lacks model-1\.safetensors"):
        load_checkpoint(str(tmp_path), "causal")
    assert not (tmp_path / "sprung").exists()


def test_a_list_of_weights_leads_nowhere_else(tmp_path: Path) -> None:
    saved(tmp_path / "other")
    state = saved(tmp_path / "this")
    (tmp_path / "this" / WEIGHTS).unlink()
    index = {"metadata": {}, "weight_map": dict.fromkeys(state, f"../other/{WEIGHTS}")}
    (tmp_path / "this" / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    with pytest.raises(RecipeError, match=r"lacks ../other/model.safetensors"):
        load_checkpoint(str(tmp_path / "this"), "causal")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of two files in the hub's cache, and a hub that would be asked for what is missing."""
    import huggingface_hub

    def download(name: str, *, local_files_only: bool = False, **_: Any) -> str:
        if not local_files_only:
            raise AssertionError("it downloads")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(checkpoints, "_download", lambda name: Path("downloaded") / name)
    made = network()
    made.save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    return tmp_path


def test_a_download_that_was_broken_off_goes_on(cache: Path) -> None:
    assert checkpoint_folder("some/one") == cache
    assert load_checkpoint(str(cache), "causal") is not None
    shard = next(cache.glob("model-*.safetensors"))
    kept = shard.read_bytes()
    shard.unlink()
    assert checkpoint_folder("some/one") == Path("downloaded/some/one")
    shard.write_bytes(kept)
    index = cache / f"{WEIGHTS}.index.json"
    listed = index.read_text()
    index.unlink()  # the weights came first
    assert checkpoint_folder("some/one") == Path("downloaded/some/one")
    index.write_text(listed[:100])
    assert checkpoint_folder("some/one") == Path("downloaded/some/one")


NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v"} | {
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def gguf_name(name: str) -> str:
    if name.startswith("model.layers."):
        number, _, part = name.removeprefix("model.layers.").partition(".")
        return f"blk.{number}.{NAMES[part.removesuffix('.weight')]}.weight"
    whole = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    return f"{whole[name.removesuffix('.weight')]}.weight"


def paired(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """Return queries or keys in the order of llama.cpp, which rotates neighbours."""
    return tensor.view(heads, 2, -1, tensor.shape[1]).transpose(1, 2).reshape(tensor.shape)


def write_gguf(path: Path, model: Any, *, without: str = "", half: bool = False) -> None:
    """Write a Llama and a byte-level tokenizer as llama.cpp would."""
    gguf = pytest.importorskip("gguf")
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(config.vocab_size)
    state = json.loads(byte_level().backend_tokenizer.to_str())["model"]
    tokens = sorted(state["vocab"], key=state["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [3 if token[0] == "<" and token[-1] == ">" and len(token) > 2 else 1 for token in tokens]
    )
    writer.add_token_merges([" ".join(pair) for pair in state["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    for name, tensor in model.state_dict().items():
        if name == without:
            continue
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        turned = next((paired(tensor, number) for part, number in heads.items() if part in name), tensor)
        kind = np.float16 if half and tensor.dim() > 1 else np.float32
        writer.add_tensor(gguf_name(name), turned.numpy().astype(kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("half", [False, True])
def test_a_gguf_file_gives_its_own_logits(half: bool, tmp_path: Path) -> None:
    model = network(vocabulary=len(byte_level()))
    write_gguf(tmp_path / "model.gguf", model, half=half)
    found = load_checkpoint(str(tmp_path / "model.gguf"), "causal").eval()
    tokens = torch.arange(5, 25).unsqueeze(0)
    with torch.no_grad():
        expected, given = model(input_ids=tokens).logits, found(input_ids=tokens).logits
    exact = (given - expected).abs().max() / expected.abs().max()
    # Numbers of 32 bits stay what they are.
    assert exact < (5e-3 if half else 1e-6)


def test_a_gguf_file_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    model = network(vocabulary=len(byte_level()))
    write_gguf(tmp_path / "model.gguf", model, without="model.layers.1.mlp.up_proj.weight")
    for _ in "once", "again":  # nothing of it is kept
        with pytest.raises(RecipeError, match=r"lacks 1 weights of its model, model.layers.1.mlp.up_proj"):
            load_checkpoint(str(tmp_path / "model.gguf"), "causal")

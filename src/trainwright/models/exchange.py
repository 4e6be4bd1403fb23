"""Our language models as transformers knows them: other names, the same numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainwright.foundation.checkpoints import quiet
from trainwright.models.language.base import LanguageModel
from trainwright.models.language.bert import BERT
from trainwright.models.language.gpt import GPT

_BLOCK = {
    "attention.query.weight": "self_attn.q_proj.weight",
    "attention.key.weight": "self_attn.k_proj.weight",
    "attention.value.weight": "self_attn.v_proj.weight",
    "attention.out.weight": "self_attn.o_proj.weight",
    "attention.query_norm.weight": "self_attn.q_norm.weight",
    "attention.key_norm.weight": "self_attn.k_norm.weight",
    "attention_norm.weight": "input_layernorm.weight",
    "perceptron_norm.weight": "post_attention_layernorm.weight",
    "perceptron.gate.weight": "mlp.gate_proj.weight",
    "perceptron.up.weight": "mlp.up_proj.weight",
    "perceptron.out.weight": "mlp.down_proj.weight",
}
"""Names within a block of GPT → those of Qwen3 and Llama."""

_ENCODER_BLOCK = {
    "attention_norm.weight": "attn_norm.weight",
    "attention.query_key_value.weight": "attn.Wqkv.weight",
    "attention.out.weight": "attn.Wo.weight",
    "perceptron_norm.weight": "mlp_norm.weight",
    "perceptron.up.weight": "mlp.Wi.weight",
    "perceptron.out.weight": "mlp.Wo.weight",
}
"""Names within a block of BERT → those of ModernBERT."""


def to_transformers(network: LanguageModel, *, context: int, special: dict[str, int | None]) -> Any:
    """Return a model of transformers with the weights of one of ours, in float32.

    A GPT becomes a Qwen3, or without norms of queries and keys a Llama; a squared ReLU becomes a gate by the
    same matrix, as relu(x)² = relu(x) · x. A BERT becomes a ModernBERT.

    Args:
        network: a GPT or BERT.
        context: most tokens that it was trained on.
        special: role of a special token (`eos_token`, …) → its id.
    """
    ids = {f"{role}_id": number for role, number in special.items() if number is not None}
    with quiet(), torch.no_grad():
        model = (
            _decoder(network, context, ids) if isinstance(network, GPT) else _encoder(network, context, ids)
        )
    return model.eval()


def _decoder(network: GPT, context: int, ids: dict[str, int]) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

    options = network.options
    shape: dict[str, Any] = {
        "vocab_size": network.vocabulary,
        "hidden_size": options.width_,
        "intermediate_size": options.inner_,
        "num_hidden_layers": options.depth,
        "num_attention_heads": options.heads_,
        "num_key_value_heads": options.key_heads_,
        "head_dim": options.width_ // options.heads_,
        "hidden_act": "silu" if options.activation == "swiglu" else "relu",
        "max_position_embeddings": context,
        "rms_norm_eps": network.norm.eps,
        "tie_word_embeddings": options.tied,
        "rope_parameters": {"rope_type": "default", "rope_theta": options.rope_base},
        "attention_bias": False,
        **{role: ids.get(role) for role in ("bos_token_id", "eos_token_id", "pad_token_id")},
    }
    if options.qk_norm:
        model: Any = Qwen3ForCausalLM(Qwen3Config(**shape))
    else:
        model = LlamaForCausalLM(LlamaConfig(**shape, mlp_bias=False))
    state: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        if name.startswith("layers."):
            _, layer, inner = name.split(".", 2)
            state[f"model.layers.{layer}.{_BLOCK[inner]}"] = tensor
            if options.activation == "relu2" and inner == "perceptron.up.weight":
                state[f"model.layers.{layer}.mlp.gate_proj.weight"] = tensor
    state["model.embed_tokens.weight"] = network.embedding.weight
    state["model.norm.weight"] = network.norm.weight
    state["lm_head.weight"] = (
        network.embedding if network.unembedding is None else network.unembedding
    ).weight
    model.load_state_dict(state)
    return model


def _encoder(network: LanguageModel, context: int, ids: dict[str, int]) -> Any:
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    assert isinstance(network, BERT), type(network).__name__
    options = network.options
    kinds = ("full_attention", "sliding_attention")
    model = ModernBertForMaskedLM(
        ModernBertConfig(
            vocab_size=network.vocabulary,
            hidden_size=options.width_,
            intermediate_size=options.inner_,
            num_hidden_layers=options.depth,
            num_attention_heads=options.heads_,
            local_attention=2 * options.window,
            layer_types=[kinds[layer % options.global_every > 0] for layer in range(options.depth)],
            max_position_embeddings=context,
            norm_eps=network.norm.eps,
            rope_parameters={
                kind: {"rope_type": "default", "rope_theta": base}
                for kind, base in zip(kinds, (options.global_base, options.local_base), strict=True)
            },
            pad_token_id=ids.get("pad_token_id"),
            cls_token_id=ids.get("cls_token_id"),
            sep_token_id=ids.get("sep_token_id"),
            bos_token_id=ids.get("cls_token_id"),
            eos_token_id=ids.get("sep_token_id"),
        )
    )
    state: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        if name.startswith("layers."):
            _, layer, inner = name.split(".", 2)
            state[f"model.layers.{layer}.{_ENCODER_BLOCK[inner]}"] = tensor
    state |= {
        "model.embeddings.tok_embeddings.weight": network.embedding.weight,
        "model.embeddings.norm.weight": network.embedding_norm.weight,
        "model.final_norm.weight": network.norm.weight,
        "head.dense.weight": network.head.weight,
        "head.norm.weight": network.head_norm.weight,
        "decoder.weight": network.embedding.weight,
        "decoder.bias": network.bias,
    }
    model.load_state_dict(state)
    return model

"""Encoders with decoders of other architectures: the library's own loss, or a refusal."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainwright.foundation.errors import RecipeError
from trainwright.models.language.encoder_decoder import EncoderDecoder

SOURCE, TARGET = torch.tensor([7, 8, 9, 20, 21, 1]), torch.tensor([40, 41, 42, 1])
LIKE_T5: dict[str, Any] = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
LIKE_BART: dict[str, Any] = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2}
LIKE_BART |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
LIKE_BART |= {"encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1, "decoder_start_token_id": 2}

READ = {
    "mt5": LIKE_T5,
    "umt5": LIKE_T5,
    "longt5": LIKE_T5,
    "led": LIKE_BART
    | {"attention_window": 8, "max_encoder_position_embeddings": 64, "max_decoder_position_embeddings": 64},
    "blenderbot": LIKE_BART,
    "bigbird_pegasus": LIKE_BART | {"attention_type": "original_full"},
}
REFUSED = {
    "plbart": LIKE_BART,
    "m2m_100": LIKE_BART,
    "switch_transformers": LIKE_T5 | {"num_experts": 2, "num_sparse_encoder_layers": 1},
}


def made(kind: str, shape: dict[str, Any]) -> Any:
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=90, **shape | SPECIAL)
    return AutoModelForSeq2SeqLM.from_config(config).eval()


@pytest.mark.parametrize("kind", READ)
def test_the_loss_is_the_librarys(kind: str) -> None:
    theirs = made(kind, READ[kind])
    with torch.no_grad():
        expected = theirs(input_ids=SOURCE.unsqueeze(0), labels=TARGET.unsqueeze(0)).loss
        network = EncoderDecoder(theirs).eval()
        found = network.logits(network.states_of_pairs([SOURCE], [TARGET]))
    loss = torch.nn.functional.cross_entropy(found, TARGET)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_reads_in_another_way_is_refused(kind: str) -> None:
    with pytest.raises(RecipeError, match="is not read here as transformers reads it"):
        EncoderDecoder(made(kind, REFUSED[kind]))

"""Hugging Face transformers that read rows end to end, through the library's own attention interface.

Nothing of the library is changed: an attention function is registered under a name of ours, and a model is
told to use it. Whether a model can be read so is found out by trying, on two short rows.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.models.layers.dropout import Dropout
from trainwright.models.layers.packing import Packing, attend, by_length, packing

_PADDED, _PACKED = "sdpa", "trainwright_packed"
_UNKNOWN = ("sliding_window", "softcap", "position_bias", "s_aux")
"""Kinds of attention that rows end to end are not read with here."""
_PROBE_LENGTHS = (3, 5)
_SAME = 1e-3
"""States of a packed and of a padded row that lie closer, relative to their size, are the same."""


def read_packed(model: Any, tokens: Tensor, packed: Packing, *, place_shift: int) -> Tensor:
    """Return the states of rows end to end, [tokens, width].

    Args:
        model: a transformer for which `place_shift` is known.
        tokens: ids [tokens].
        packed: how the rows lie.
        place_shift: place of a row's first token in the model's table of positions.
    """
    _use(model, _PACKED)
    states = model(
        input_ids=tokens.unsqueeze(0),
        position_ids=(packed.position + place_shift).unsqueeze(0),
        packed=packed,
    )
    return _states(states).squeeze(0)


def read_padded(model: Any, tokens: Tensor, attended: Tensor) -> Tensor:
    """Return the states of rows side by side, [batch, time, width].

    Args:
        model: any transformer over tokens.
        tokens: ids [batch, time].
        attended: which of them are seen, bool [batch, time].
    """
    use_padded(model)
    return _states(model(input_ids=tokens, attention_mask=attended.long()))


def _states(found: Any) -> Tensor:
    """Return the states that a model gave; one with a head gives what its output layer took, or logits."""
    states = getattr(found, "last_hidden_state", None)
    return found.logits if states is None else states  # type: ignore[no-any-return]


@torch.no_grad()
def place_shift(model: Any) -> int | None:
    """Return where the places of tokens begin in the model's table; None where it cannot read rows packed.

    BERT's begin at 0, RoBERTa's behind the padding token. A model with attention of its own kind ignores what
    it is given, and so gives other states: it is read padded.
    """
    if _attention_of(model) != _PADDED:  # the library's own name for attention that can be exchanged
        return None
    training = model.training
    device = next(model.parameters()).device  # a base of few bits is on its GPU already
    lengths = torch.tensor(_PROBE_LENGTHS, device=device)
    tokens = torch.arange(10, 20, device=device).view(2, 5) % model.config.vocab_size
    model.eval()
    try:
        mask = torch.arange(5, device=device) < lengths.unsqueeze(1)
        expected = read_padded(model, tokens, mask)[mask]
        packed = by_length(packing(lengths, total=sum(_PROBE_LENGTHS), longest=max(_PROBE_LENGTHS)))
        for shift in {0: None, (getattr(model.config, "pad_token_id", None) or 0) + 1: None}:
            states = read_packed(model, packed.pack(tokens), packed, place_shift=shift)
            states = states[: len(expected)]  # what fills a GPU's shapes up stands behind them
            if torch.allclose(states, expected, rtol=_SAME, atol=_SAME * float(expected.abs().max())):
                return shift
    except (TypeError, ValueError, RuntimeError, IndexError, KeyError, AttributeError):
        pass  # a model of another kind can refuse in any of these ways
    finally:
        model.train(training)
    _use(model, _PADDED)
    return None


def lighten(model: nn.Module) -> None:
    """Give a model our dropout, which draws a third as long on a CPU, in place of torch's."""
    for module in list(model.modules()):
        for name, part in list(module.named_children()):
            if type(part) is nn.Dropout:
                lighter = Dropout(part.p)
                lighter.__dict__["p"] = part.p  # attention modules read it there
                setattr(module, name, lighter.train(part.training))


def _attention_of(model: Any) -> str | None:
    return getattr(model.config, "_attn_implementation", None)


def use_padded(model: Any) -> None:
    """Let a model read rows side by side, as it does by itself."""
    if _attention_of(model) == _PACKED:
        _use(model, _PADDED)


def _use(model: Any, attention: str) -> None:
    if _attention_of(model) != attention:
        _register()
        model.set_attn_implementation(attention)


@cache
def _register() -> None:
    from transformers import AttentionInterface

    # No mask function goes with it: the library then makes none, as for other attention that needs none.
    AttentionInterface.register(_PACKED, _attention)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packed: Packing,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attend within packed rows; [1, heads, tokens, head_width] in, [1, tokens, heads, head_width] out.

    Attention weights are not dropped in training, which FlashAttention over rows of different lengths cannot.
    """
    asked = {name for name in _UNKNOWN if others.get(name) is not None}
    if attention_mask is not None or asked:
        raise ValueError(f"packed rows cannot be read with {asked or 'a mask'}")
    causal = bool(getattr(module, "is_causal", False) if is_causal is None else is_causal)
    query, key, value = (part.squeeze(0).transpose(0, 1) for part in (query, key, value))
    return attend(query, key, value, packed, scale=scaling, causal=causal).unsqueeze(0), None

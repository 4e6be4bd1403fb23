"""Any Hugging Face language model behind the interface of ours.

Rows are read packed where the model can (see `packed_transformers`), else padded. The output layer is taken
off, so that logits are made of the tokens that are learned alone. Both are tried on a few tokens when a
checkpoint is loaded: what does not give the checkpoint's own logits is not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.models.language.base import Cache, LanguageModel, LanguageOptions
from trainwright.models.layers.packing import Packing
from trainwright.models.packed_transformers import place_shift, read_packed, read_padded, use_padded

_SAME = 1e-3
_LEARNING_RATE, _WIDTH, _POWER, _MOST = 5e-5, 2_000, 0.8, 1e-3
"""A good peak rate for a model of that width, how it falls with the width, and the highest: a tenth of LoRA's
as Schulman et al. fitted it over 14 models (2025, 'LoRA Without Regret')."""
_CAPPING = "final_logit_softcapping"
"""Field of a configuration: what the library holds logits within, behind the output layer (Gemma 2)."""


class Pretrained(LanguageModel):
    """A model of transformers with a causal or masked head.

    Args:
        model: the model, float32.
        causal: whether tokens see earlier ones alone.

    Attributes:
        base: digest of the checkpoint's weights; None for one that is nobody's checkpoint.
        packs_rows: whether rows are read end to end.
    """

    Options = LanguageOptions
    base: str | None = None

    def __init__(self, model: Any, *, causal: bool) -> None:
        super().__init__()
        self.options = LanguageOptions()
        self.model = model
        self.causal = causal
        self.vocabulary = int(model.get_input_embeddings().weight.shape[0])
        self.learning_rate = min(_LEARNING_RATE * (_WIDTH / self.shape[1]) ** _POWER, _MOST)
        self.context = _most_tokens(model)
        self.capping = getattr(model.config.get_text_config(), _CAPPING, None)
        self._split = self._splits()
        self._shift: int | None = None
        self._shift = self._place_shift()

    @property
    def packs_rows(self) -> bool:
        """Whether rows are read end to end."""
        return self._shift is not None

    @property
    def shape(self) -> tuple[int, int]:
        """Layers and width, for what a step costs."""
        config = self.model.config
        width = self.model.get_input_embeddings().weight.shape[1]
        return int(getattr(config, "num_hidden_layers", 1)), int(getattr(config, "hidden_size", width))

    @contextmanager
    def _headless(self) -> Iterator[None]:
        """Let the model give what its output layer takes, where layer and `capping` are all that follows."""
        if not self._split:
            yield
            return
        layer, config = self.model.get_output_embeddings(), self.model.config.get_text_config()
        layer.forward = _identity
        if self.capping is not None:
            setattr(config, _CAPPING, None)
        try:
            yield
        finally:
            del layer.forward
            if self.capping is not None:
                setattr(config, _CAPPING, self.capping)

    def _place_shift(self) -> int | None:
        """Return where places begin in the model's table; None where rows are read padded."""
        with self._headless():
            return place_shift(self.model)

    @torch.no_grad()
    def _splits(self) -> bool:
        """Return whether the output layer, applied by itself, gives the model's logits."""
        layer = self.model.get_output_embeddings()
        if not isinstance(layer, nn.Linear):
            return False
        tokens = torch.arange(5, device=layer.weight.device).unsqueeze(0) % self.vocabulary
        training = self.model.training
        self.model.eval()
        use_padded(self.model)
        try:
            expected = self.model(input_ids=tokens).logits
            self._split = True
            with self._headless():
                states = self.model(input_ids=tokens).logits
            given = self.logits(states)
        finally:
            self.model.train(training)
        return same(given, expected)

    def states(self, tokens: Tensor, packed: Packing) -> Tensor:
        """Return what the output layer takes of each token, [tokens, width] (or logits, see `output`)."""
        # By calling, as what holds the parts of a sharded model together listens to calls.
        return self(tokens, packed)  # type: ignore[no-any-return]

    def forward(self, tokens: Tensor, packed: Packing) -> Tensor:
        """Return the states of rows end to end (see `states`)."""
        with self._headless():
            if self._shift is not None and _packs(self.model, tokens):
                return read_packed(self.model, tokens, packed, place_shift=self._shift)
            padded, inside = side_by_side(tokens, packed)
            return read_padded(self.model, padded, inside)[inside]

    def output(self) -> tuple[Tensor, Tensor | None] | None:
        """Return the matrix and bias that turn states into logits; None where states are logits."""
        if not self._split:
            return None
        layer = self.model.get_output_embeddings()
        return layer.weight, layer.bias

    def begin(self, pads: Tensor, limit: int) -> TransformersCache:
        """Return the cache of a new batch."""
        return TransformersCache(pads)

    def step(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Read some more tokens of every row; return their states."""
        assert isinstance(cache, TransformersCache)
        use_padded(self.model)
        new = tokens.shape[1]
        place = torch.arange(cache.length + new, device=tokens.device)
        mask = place >= cache.pads.unsqueeze(1)
        positions = (place[cache.length :] - cache.pads.unsqueeze(1)).clamp(min=0)
        with self._headless():
            found = self.model(
                input_ids=tokens,
                attention_mask=mask.long(),
                position_ids=positions,
                past_key_values=cache.kept,
                use_cache=True,
            )
        cache.kept = found.past_key_values
        cache.length += new
        return found.logits  # type: ignore[no-any-return]


def _most_tokens(model: Any) -> int | None:
    """Return how many tokens a model has places for; None without a limit."""
    places: int | None = getattr(model.config, "max_position_embeddings", None)
    for name, part in model.named_modules():
        # Places of RoBERTa and its like begin behind that of padding.
        if isinstance(part, nn.Embedding) and part.num_embeddings == places and "position" in name:
            return places if part.padding_idx is None else places - part.padding_idx - 1
    return places


def _identity(states: Tensor) -> Tensor:
    return states


def same(found: Tensor, expected: Tensor) -> bool:
    """Return whether numbers lie so close, relative to their size, that another computation explains it."""
    if found.shape != expected.shape:
        return False
    return bool(torch.allclose(found, expected, rtol=_SAME, atol=_SAME * float(expected.abs().max())))


def side_by_side(tokens: Tensor, packed: Packing) -> tuple[Tensor, Tensor]:
    """Return rows filled up to the longest, shortest first, and where tokens are: both [batch, time]."""
    lengths = packed.lengths.sort(stable=True).values
    inside = torch.arange(int(lengths.max()), device=tokens.device) < lengths.unsqueeze(1)
    padded = tokens.new_zeros(inside.shape)
    padded[inside] = tokens[: int(lengths.sum())]
    return padded, inside


class TransformersCache:
    """The library's own cache of keys and values.

    Args:
        pads: empty places of each row, int64 [batch].
    """

    def __init__(self, pads: Tensor) -> None:
        self.pads, self.length = pads, 0
        self.kept: Any = None

    def keep(self, rows: Tensor) -> None:
        """Keep some rows of the batch, int64 [kept], and forget the others."""
        self.pads = self.pads[rows]
        if self.kept is not None:
            self.kept.batch_select_indices(rows)


def _packs(model: Any, tokens: Tensor) -> bool:
    """Return whether rows can be read packed where they are: on a GPU only in half precision."""
    from trainwright.models.layers.packing import packs

    config = model.config
    heads = getattr(config, "num_attention_heads", None) or 1
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return packs(tokens.device, int(width))

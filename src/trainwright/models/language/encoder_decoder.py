"""Any Hugging Face model with an encoder and a decoder behind the interface of ours: T5, BART and their like.

Rows are read padded. A source is encoded once, and the decoder looks at what came of it: in training for all
tokens of the target at once, in use for one after the other. That this gives the checkpoint's own logits is
tried when it is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from trainwright.foundation.errors import RecipeError, UserError
from trainwright.models.language.base import Cache
from trainwright.models.language.pretrained import Pretrained, same
from trainwright.models.layers.packing import Packing

_LIMITS = ("max_position_embeddings", "max_encoder_position_embeddings", "max_decoder_position_embeddings")
"""Names of the sizes of tables of positions; models with relative positions have none."""


class EncoderDecoder(Pretrained):
    """A model of transformers that reads one text and writes another.

    Args:
        model: the model, float32.
        causal: its decoder always is.

    Raises:
        RecipeError: it is not read here as transformers reads it.
    """

    encodes = True

    def __init__(self, model: Any, *, causal: bool = True) -> None:
        assert causal
        super().__init__(model, causal=True)
        limits = [limit for name in _LIMITS if (limit := getattr(model.config, name, None))]
        self.context = min(limits, default=None)

    @property
    def beginning(self) -> list[int]:
        """Ids that the decoder begins with: the one that stands before every target, and one that is forced.

        Raises:
            RecipeError: the checkpoint does not say.
        """
        config, generation = self.model.config, self.model.generation_config
        start = getattr(config, "decoder_start_token_id", None)
        start = generation.decoder_start_token_id if start is None else start
        if start is None:
            raise RecipeError(
                "this checkpoint does not say which token its decoder starts with",
                where="model.checkpoint",
                fix="add decoder_start_token_id to its config.json",
            )
        forced = generation.forced_bos_token_id
        return [int(start)] if forced is None else [int(start), int(forced)]

    def encode(self, tokens: Tensor, attended: Tensor) -> Encoded:
        """Return what the encoder makes of some sources.

        Args:
            tokens: ids [batch, time], filled up on the right.
            attended: which of them are seen, int64 [batch, time].
        """
        found = self.model.get_encoder()(input_ids=tokens, attention_mask=attended)
        return Encoded(found.last_hidden_state, attended)

    def decode(
        self, tokens: Tensor, encoded: Encoded, *, past: Any = None, keep: bool = False
    ) -> tuple[Any, Any]:
        """Return the states of some tokens of the targets [batch, time, width], and the library's cache.

        Args:
            tokens: ids [batch, time].
            encoded: their sources.
            past: the cache so far.
            keep: whether there shall be one.
        """
        from transformers.modeling_outputs import BaseModelOutput

        def ask() -> Any:
            return self.model(
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded.states),
                attention_mask=encoded.attended,
                decoder_input_ids=tokens,
                past_key_values=self._past(len(tokens)) if past is None else past,
                use_cache=keep,
            )

        if not self._split:
            found = ask()
            return found.logits, found.past_key_values
        # What the output layer is given is what is wanted. It gives nothing on, so that what is done to
        # logits behind it costs nothing: BART adds a bias.
        layer = self.model.get_output_embeddings()
        caught: list[Tensor] = []

        def catch(states: Tensor) -> Tensor:
            caught.append(states)
            return states.new_zeros(*states.shape[:-2], 0, layer.out_features)

        layer.forward = catch
        try:
            found = ask()
        finally:
            del layer.forward
        return caught[0], found.past_key_values

    def _past(self, batch: int) -> Any:
        """Return the keys and values that a decoder of so many rows begins with; None without."""
        return None

    def told(self, sources: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """Return the states at which each token of the targets is told, [batch, target_time, width].

        Args:
            sources: ids [batch, time], filled up on the right.
            lengths: tokens of each source, int64 [batch].
            targets: ids [batch, target_time], filled up on the right.
        """
        attended = torch.arange(sources.shape[1], device=sources.device) < lengths.unsqueeze(1)
        start = targets.new_full((len(targets), 1), self.beginning[0])
        shifted = torch.cat([start, targets[:, :-1]], dim=1)
        states, _ = self.decode(shifted, self.encode(sources, attended.long()))
        return states  # type: ignore[no-any-return]

    def states_of_pairs(self, before: Sequence[Tensor], behind: Sequence[Tensor]) -> Tensor:
        """Return the states at which targets are told from their sources, [tokens of behind, width]."""
        sources = pad_sequence(list(before), batch_first=True)
        targets = pad_sequence(list(behind), batch_first=True)
        lengths = torch.tensor([len(ids) for ids in before], device=sources.device)
        states = self.told(sources, lengths, targets)
        return torch.cat([row[: len(ids)] for row, ids in zip(states, behind, strict=True)])

    def opened(self, prompts: Sequence[Sequence[int]]) -> tuple[Encoded, list[list[int]]]:
        """Return what the encoder makes of some prompts, and what every text begins with."""
        longest = max(map(len, prompts))
        if self.context is not None and longest > self.context:
            raise UserError(
                f"the text has {longest:,} tokens, and the model reads at most {self.context:,}",
                fix="shorten it",
            )
        device = next(self.parameters()).device
        rows = [torch.tensor(prompt, dtype=torch.int64, device=device) for prompt in prompts]
        attended = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        encoded = self.encode(pad_sequence(rows, batch_first=True), attended)
        return encoded, [list(self.beginning) for _ in prompts]

    def step(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Read some more tokens of every row; return their states."""
        assert isinstance(cache, DecoderCache)
        states, cache.kept = self.decode(tokens, cache.encoded, past=cache.kept, keep=True)
        cache.length += tokens.shape[1]
        return states  # type: ignore[no-any-return]

    def states(self, tokens: Tensor, packed: Packing) -> Tensor:
        """There are none of a text alone: see `told`."""
        raise NotImplementedError("a model with an encoder and a decoder reads pairs")

    def output(self) -> tuple[Tensor, Tensor | None] | None:
        """Return the matrix and bias that turn states into logits; None where states are logits."""
        found = super().output()
        added = getattr(self.model, "final_logits_bias", None)  # BART and its kin; no parameter
        if found is None or added is None:
            return found
        weight, bias = found
        return weight, added[0] if bias is None else bias + added[0]

    @torch.no_grad()
    def _splits(self) -> bool:
        """Return whether the output layer, applied by itself, gives the model's logits.

        Raises:
            RecipeError: neither it nor the model, asked part by part, does.
        """
        layer = self.model.get_output_embeddings()
        device = next(self.model.parameters()).device
        tokens = torch.arange(5, device=device).unsqueeze(0) % self.vocabulary
        length = torch.tensor([5], device=device)
        training = self.model.training
        self.model.eval()
        try:
            shifted = torch.cat([tokens.new_full((1, 1), self.beginning[0]), tokens[:, :-1]], dim=1)
            expected = self.model(input_ids=tokens, decoder_input_ids=shifted).logits
            for self._split in (True, False) if isinstance(layer, nn.Linear) else (False,):
                try:
                    if not self._shifts_as(shifted, tokens):  # mBART's targets begin with their language
                        break
                    found = self.logits(self.told(tokens, length, tokens))
                    stepped = self.logits(self._stepped(tokens, shifted))
                except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):
                    continue  # a model of another kind can refuse in any of these ways
                if same(found, expected) and same(stepped, expected):
                    return self._split
        finally:
            self.model.train(training)
        raise RecipeError(
            f"{type(self.model).__name__} is not read here as transformers reads it",
            where="model.checkpoint",
            fix="choose a checkpoint of another architecture, such as T5, BART, Marian or Pegasus",
        )

    def _shifts_as(self, shifted: Tensor, targets: Tensor) -> bool:
        """Return whether the model itself reads the targets so: behind one token that starts them all."""
        shift = getattr(self.model, "prepare_decoder_input_ids_from_labels", None)
        if shift is None or getattr(self.model.config, "decoder_start_token_id", None) is None:
            return True
        return torch.equal(shift(targets), shifted)

    def _stepped(self, sources: Tensor, targets: Tensor) -> Tensor:
        """Return the states of some targets that are read token by token at their end, with a cache."""
        cache = self.encode(sources, torch.ones_like(sources)).begin()
        return torch.cat([self.step(part, cache) for part in torch.split(targets, [3, 1, 1], dim=1)], dim=1)

    def _place_shift(self) -> None:
        """Rows are read padded."""


@dataclass(frozen=True)
class Encoded:
    """What the encoder made of some sources.

    Attributes:
        states: [batch, time, width].
        attended: which of them are seen, int64 [batch, time].
    """

    states: Tensor
    attended: Tensor

    def begin(self) -> DecoderCache:
        """Return the cache of the texts that are written for them."""
        return DecoderCache(self)

    def kept(self, rows: Tensor) -> Encoded:
        """Return what was made of some of them, int64 [kept]."""
        return Encoded(self.states[rows], self.attended[rows])


class DecoderCache:
    """The library's own cache of keys and values, of the decoder's tokens and of the source.

    Args:
        encoded: the sources.
    """

    def __init__(self, encoded: Encoded) -> None:
        self.encoded, self.length = encoded, 0
        self.kept: Any = None

    def keep(self, rows: Tensor) -> None:
        """Keep some rows of the batch, int64 [kept], and forget the others."""
        self.encoded = self.encoded.kept(rows)
        if self.kept is not None:
            self.kept.batch_select_indices(rows)

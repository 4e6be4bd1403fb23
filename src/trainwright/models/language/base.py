"""What a language model is, whoever wrote it: tokens → states → logits, packed in training, cached in use.

A new family is one new file in `models/language` with a subclass under `@LANGUAGE_MODELS.register("name")`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Protocol, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from trainwright.foundation.registry import Registry
from trainwright.models.layers.chunked_cross_entropy import capped, rows_at_once
from trainwright.models.layers.packing import Packing, attend


class LanguageOptions(BaseModel):
    """The options of a family. `for_size` gives the defaults that `model.size` stands for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def for_size(cls, size: str) -> dict[str, Any]:
        """Return the fields that follow from the size dial."""
        return {}


DEPTHS = {"tiny": 4, "small": 6, "base": 12, "large": 24}
HEAD_WIDTH = 64


class ScaledOptions(LanguageOptions):
    """Options of which `depth` decides the rest: 64 of width and one head for each layer."""

    depth: int = Field(6, ge=1, le=512, description="Layers.")
    width: int | None = Field(None, ge=2, description="Width of the states; 64 for each layer.")
    heads: int | None = Field(None, ge=1, description="Heads of attention; one for 64 of width.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of activations dropped in training.")

    @classmethod
    def for_size(cls, size: str) -> dict[str, Any]:
        """Return the depth of a size."""
        return {"depth": DEPTHS[size]}

    @model_validator(mode="after")
    def _even(self) -> Self:
        if self.width_ % (2 * self.heads_):
            raise ValueError(f"width {self.width_} is no even multiple of {self.heads_} heads")
        return self

    @property
    def width_(self) -> int:
        """Width of the states."""
        return self.width or HEAD_WIDTH * self.depth

    @property
    def heads_(self) -> int:
        """Heads of queries."""
        return self.heads or max(1, self.width_ // HEAD_WIDTH)


class Attention(Protocol):
    """How tokens see each other: a model says what it looks for, and never how the tokens lie."""

    def __call__(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, window: int | None = None
    ) -> Tensor:
        """Return what each query takes, shaped like the query.

        Args:
            layer: number of the layer, for whoever keeps keys and values.
            query: [..., heads, head_width].
            key, value: [..., key_heads, head_width].
            window: tokens seen to each side; all without.
        """
        ...


class Cache(Protocol):
    """Keys and values of the tokens so far."""

    length: int
    """Places that are filled."""

    def keep(self, rows: Tensor) -> None:
        """Keep some rows of the batch, int64 [kept], and forget the others."""
        ...


class Source(Protocol):
    """What an encoder made of some prompts, once; a decoder looks at it for every token."""

    def begin(self) -> Cache:
        """Return the cache of the texts that are written for them."""
        ...

    def kept(self, rows: Tensor) -> Source:
        """Return that of some of the prompts, int64 [kept]."""
        ...


class LanguageModel(nn.Module, ABC):
    """Tokens → states → logits.

    Class attributes:
        Options: its options model.
        objectives: the tasks it can learn.
        encodes: whether an encoder reads the prompt, and what a decoder writes is another text.

    Attributes:
        options: what it was built from.
        vocabulary: number of token ids.
        learning_rate: a good AdamW peak for it.
        context: most tokens that it reads; None without a limit.
        trained_context: most tokens that it was trained on, where it could read more; None if unknown.
        capping: logits are held between plus and minus so much (see `capped`); None without.
        ragged, packs: rows have different lengths, and are read end to end.
        causal: whether a token sees earlier ones alone.
    """

    Options: ClassVar[type[LanguageOptions]] = LanguageOptions
    objectives: ClassVar[frozenset[str]] = frozenset()
    encodes: ClassVar[bool] = False

    options: Any
    vocabulary: int
    learning_rate: float
    context: int | None = None
    trained_context: int | None = None
    capping: float | None = None
    ragged = packs = True
    causal: bool = True

    @abstractmethod
    def states(self, tokens: Tensor, packed: Packing) -> Tensor:
        """Return what the model makes of each token, [tokens, width].

        Args:
            tokens: ids of rows end to end, int64 [tokens].
            packed: how the rows lie.
        """

    def read_out(self, states: Tensor) -> Tensor:
        """Return what the output matrix takes, [..., width]: the states, or what a head makes of them."""
        return states

    @abstractmethod
    def output(self) -> tuple[Tensor, Tensor | None] | None:
        """Return the matrix [vocabulary, width] and bias [vocabulary] that turn states into logits.

        None where states are logits already, because the model's output is more than a layer and `capping`.
        """

    def logits(self, states: Tensor) -> Tensor:
        """Return logits [..., vocabulary] of states [..., width]."""
        output = self.output()
        if output is None:
            return states
        logits = nn.functional.linear(self.read_out(states), *output)
        return logits if self.capping is None else capped(logits, self.capping)

    def at_once(self, tokens: int) -> int:
        """Return how many of so many tokens are read at a time where nothing is learned.

        That is all of them, or where states are logits already, as many as are held together.
        """
        if self.output() is not None:
            return tokens
        return min(tokens, rows_at_once(self.vocabulary, next(self.parameters()).device))

    def states_of_pairs(self, before: Sequence[Tensor], behind: Sequence[Tensor]) -> Tensor:
        """Return the states at which targets are told, pair after pair, [tokens of behind, width].

        Args:
            before: what an encoder reads, ids int64 [tokens] each.
            behind: the targets.
        """
        raise NotImplementedError(f"{type(self).__name__} has no encoder")

    def opened(self, prompts: Sequence[Sequence[int]]) -> tuple[Source | None, list[list[int]]]:
        """Return what an encoder makes of some prompts, and the ids that the texts to be written begin with.

        Without an encoder that is nothing, and the prompts.
        """
        return None, [list(prompt) for prompt in prompts]

    def begin(self, pads: Tensor, limit: int) -> Cache:
        """Return the cache of a new batch.

        Args:
            pads: places to the left of each row that hold no token, int64 [batch].
            limit: most places that will be filled.
        """
        raise NotImplementedError(f"{type(self).__name__} does not generate")

    def step(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Read some more tokens of every row, [batch, time]; return their states [batch, time, width]."""
        raise NotImplementedError(f"{type(self).__name__} does not generate")

    def blocks(self) -> Sequence[nn.Module]:
        """Return the modules whose repeated blocks are compiled."""
        return [self]

    @property
    def shape(self) -> tuple[int, int]:
        """Layers and width, for what a step costs."""
        return self.options.depth, self.options.width_

    def unfreeze(self, progress: float) -> None:
        """Set which layers learn when this share (0 to 1) of training is done: all of them."""

    def decaying(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the parameters that weight decay is meant for: matrices, but no embeddings."""
        tables = {id(part.weight) for part in self.modules() if isinstance(part, nn.Embedding)}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad and parameter.dim() >= 2 and id(parameter) not in tables:
                yield name, parameter

    def hidden_matrices(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the matrices between layers: neither embeddings nor the output."""
        output = self.output()
        for name, parameter in self.decaying():
            if parameter.dim() == 2 and (output is None or parameter is not output[0]):
                yield name, parameter


LANGUAGE_MODELS: Registry[type[LanguageModel]] = Registry("model", package="trainwright.models.language")


class PackedAttention:
    """Attention within rows that lie end to end (see `models.layers.packing`).

    Args:
        packed: how the rows lie.
        causal: see earlier tokens alone.
    """

    def __init__(self, packed: Packing, *, causal: bool) -> None:
        self.packed, self.causal = packed, causal

    def __call__(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, window: int | None = None
    ) -> Tensor:
        """Return what each query takes, [tokens, heads, head_width]."""
        return attend(query, key, value, self.packed, causal=self.causal, window=window)


class KeyValueCache:
    """Keys and values of the tokens so far, and attention of new tokens to them.

    Rows of a batch end at the same place: shorter ones have empty places to their left.

    Args:
        pads: empty places of each row, int64 [batch].
        limit: most places.
    """

    def __init__(self, pads: Tensor, limit: int) -> None:
        self.pads, self.limit, self.length = pads, limit, 0
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._mask: Tensor | None = None

    def positions(self, new: int) -> Tensor:
        """Return the places of the next tokens in their own rows, int64 [batch, new]; 0 for empty ones."""
        place = torch.arange(self.length, self.length + new, device=self.pads.device)
        return (place - self.pads.unsqueeze(1)).clamp(min=0)

    def ready(self, new: int) -> None:
        """Make the mask of the next tokens, the same for all layers."""
        device = self.pads.device
        query = torch.arange(self.length, self.length + new, device=device).unsqueeze(1)
        key = torch.arange(self.length + new, device=device)
        seen = (key <= query) & (key >= self.pads.view(-1, 1, 1))
        # An empty place sees itself, so that no softmax is over nothing.
        self._mask = (seen | (key == query)).unsqueeze(1)  # [batch, 1, new, places]

    def done(self, new: int) -> None:
        """Count tokens that all layers have seen."""
        self.length += new

    def __call__(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, window: int | None = None
    ) -> Tensor:
        """Return what each query takes, [batch, time, heads, head_width]."""
        assert window is None, "no model that generates looks through a window"
        batch, new, heads, width = key.shape
        if layer not in self._kept:
            room = key.new_empty(2, batch, heads, self.limit, width)
            self._kept[layer] = (room[0], room[1])
        keys, values = self._kept[layer]
        end = self.length + new
        keys[:, :, self.length : end] = key.transpose(1, 2)
        values[:, :, self.length : end] = value.transpose(1, 2)
        mixed = nn.functional.scaled_dot_product_attention(
            query.transpose(1, 2),
            keys[:, :, :end],
            values[:, :, :end],
            attn_mask=self._mask,
            enable_gqa=query.shape[2] != heads,
        )
        return mixed.transpose(1, 2)

    def keep(self, rows: Tensor) -> None:
        """Keep some rows of the batch, int64 [kept], and forget the others."""
        self.pads = self.pads[rows]
        self._kept = {layer: (keys[rows], values[rows]) for layer, (keys, values) in self._kept.items()}

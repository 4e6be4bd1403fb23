"""Fine-tuning by a sliver: few new parameters on a base that stays as it is.

LoRA (Hu et al. 2021), rank-stabilised LoRA (Kalajdzievski 2023), DoRA (Liu et al. 2024), (IA)³ (Liu et al.
2022), prompt tuning (Lester et al. 2021) and prefix tuning (Li & Liang 2021) through peft; bottleneck
adapters (Houlsby et al. 2019) are ours. All but virtual tokens change nothing before the first step.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.foundation.errors import ModelFolderError, RecipeError
from trainwright.models.language.base import Cache
from trainwright.models.language.encoder_decoder import Encoded, EncoderDecoder
from trainwright.models.language.pretrained import Pretrained, TransformersCache, same, side_by_side
from trainwright.models.language.sliver_layers import adapter_targets, ia3_targets, targets, width_of
from trainwright.models.layers.packing import Packing
from trainwright.models.packed_transformers import use_padded
from trainwright.recipe.recipe import TuningSettings

VIRTUAL = frozenset({"prompt", "prefix"})
"""Methods that put virtual tokens before a text, for which rows are read padded."""

_LOW_RANK = frozenset({"lora", "dora", "rslora"})
_ADAPTER = "adapter"
_FIRST = "default"
"""What peft calls the adapter that a model is made with."""


class Sliver(Pretrained):
    """A pretrained model of which a sliver learns.

    Its state is that of the sliver alone: checkpoints and model folders hold no copy of the base.

    Args:
        model: the base.
        causal: whether tokens see earlier ones alone.
        settings: which sliver.

    Attributes:
        settings: of the adapter in use.
    """

    def __init__(self, model: Any, *, causal: bool, settings: TuningSettings) -> None:
        super().__init__(model, causal=causal)
        self.settings = settings
        self._tuned = {_FIRST: settings}
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        self._peft: list[Any] = []  # a list, so that the base is no part of it twice
        if settings.method == _ADAPTER:
            _add_adapters(self.model, settings)
        else:
            self._wrap(_peft_model(self.model, settings, causal=causal, encodes=self.encodes))

    def _wrap(self, peft: Any) -> None:
        self._peft = [peft]
        if self.settings.method in VIRTUAL:
            self.prompt = peft.prompt_encoder  # the only part that is not within the base
            self._shift = None
            self.context = _room(self.context, self.settings.tokens)

    @property
    def peft(self) -> Any:
        """The base as peft wraps it; None for bottleneck adapters."""
        return self._peft[0] if self._peft else None

    def learned(self) -> dict[str, nn.Parameter]:
        """Return the parameters of the sliver by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the tensors of the sliver."""
        kept = set(self.learned())
        state = super().state_dict(*args, **kwargs)
        # A folder holds one adapter: whichever is in use stands there as the first does.
        return {
            _named_for(name, self.adapter, _FIRST): tensor for name, tensor in state.items() if name in kept
        }

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Take back what `state_dict` gave."""
        kept = set(self.learned())
        given = {_named_for(name, _FIRST, self.adapter): tensor for name, tensor in state_dict.items()}
        if strict and set(given) != kept:
            odd = sorted(set(given) ^ kept)[0]
            raise RuntimeError(f"{odd} is {'too many' if odd in given else 'missing'}")
        return super().load_state_dict(given, strict=False, assign=assign)

    def forward(self, tokens: Tensor, packed: Packing) -> Tensor:
        """Return the states of rows end to end (see `states`)."""
        if self.settings.method not in VIRTUAL:
            return super().forward(tokens, packed)
        padded, inside = side_by_side(tokens, packed)
        asked = self._behind_virtual(padded, inside)
        use_padded(self.model)
        with self._headless():
            states = self.model(**asked).logits
        # Virtual tokens of a prompt stand before the others.
        return states[:, -padded.shape[1] :][inside]  # type: ignore[no-any-return]

    def step(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Read some more tokens of every row; return their states."""
        if self.settings.method not in VIRTUAL:
            return super().step(tokens, cache)
        assert isinstance(cache, TransformersCache)
        new = tokens.shape[1]
        inside = torch.arange(cache.length + new, device=tokens.device) >= cache.pads.unsqueeze(1)
        if cache.kept is None:
            asked = self._behind_virtual(tokens, inside)
        else:
            asked = {"input_ids": tokens, "past_key_values": cache.kept, **self._mask(inside)}
        # Places are counted over what is seen: with virtual tokens before the padding to the left.
        places = (asked["attention_mask"].cumsum(1) - 1).clamp(min=0)
        read = asked["inputs_embeds"].shape[1] if "inputs_embeds" in asked else new
        use_padded(self.model)
        with self._headless():
            found = self.model(**asked, position_ids=places[:, -read:], use_cache=True)
        cache.kept = found.past_key_values
        cache.length += new
        return found.logits[:, -new:]  # type: ignore[no-any-return]

    def _behind_virtual(self, tokens: Tensor, inside: Tensor) -> dict[str, Any]:
        """Return what the base is given to read tokens behind the virtual ones.

        Args:
            tokens: ids [batch, time].
            inside: which of them are there, bool [batch, time].
        """
        virtual = self.peft.get_prompt(len(tokens))
        if self.settings.method == "prefix":  # keys and values
            return {"input_ids": tokens, "past_key_values": virtual, **self._mask(inside)}
        embedded = self.model.get_input_embeddings()(tokens)
        return {
            "inputs_embeds": torch.cat([virtual.to(embedded.dtype), embedded], dim=1),
            **self._mask(inside),
        }

    def _mask(self, inside: Tensor) -> dict[str, Tensor]:
        """Return the mask of tokens that are there and of the virtual ones before them, int64."""
        virtual = inside.new_ones(len(inside), self.settings.tokens)
        return {"attention_mask": torch.cat([virtual, inside], dim=1).long()}

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the adapters on the base; the one that it was made with is "default"."""
        return tuple(self._tuned)

    @property
    def adapter(self) -> str:
        """Name of the adapter in use."""
        return _FIRST if self.peft is None else str(self.peft.active_adapter)

    def save_adapter(self, folder: Path) -> None:
        """Write the adapter in use as peft reads it; nothing of bottlenecks, which it does not know."""
        if self.peft is None:
            return
        with _silent():
            self.peft.save_pretrained(
                str(folder), save_embedding_layers=False, selected_adapters=[self.adapter]
            )
        (folder / "README.md").unlink(missing_ok=True)
        if self.adapter != _FIRST:  # the library puts it into a folder of its name
            for file in (folder / self.adapter).iterdir():
                file.rename(folder / file.name)
            (folder / self.adapter).rmdir()

    def load_adapter(self, folder: Path, name: str, settings: TuningSettings) -> None:
        """Put a further adapter on the base, and use it.

        Args:
            folder: where `save_adapter` wrote it.
            name: for it, of letters, digits, "-" and "_"; new.
            settings: of its training.

        Raises:
            ModelFolderError: it does not fit the base, or its method allows one adapter alone.
        """
        kind = _kind(settings.method)
        if kind is None or kind != _kind(self.settings.method):
            raise ModelFolderError(
                f"an adapter of {settings.method} does not go beside one of {self.settings.method}",
                where=str(folder),
                fix="load each model by itself: LoRA and its kin share a base, and so does (IA)³ with itself",
            )
        device = str(next(self.parameters()).device)
        try:
            with _silent():
                self.peft.load_adapter(str(folder), adapter_name=name, torch_device=device)
        except (ValueError, OSError, RuntimeError, KeyError) as error:
            if name in self.peft.peft_config:  # made, and not filled
                self.peft.delete_adapter(name)
            raise ModelFolderError(
                f"this adapter does not fit the model ({str(error).splitlines()[0]})",
                where=str(folder),
                fix="load it on the base that it was trained on",
            ) from error
        self._tuned[name] = settings
        self.use_adapter(name)

    def use_adapter(self, name: str) -> None:
        """Use one of `adapters`."""
        assert self.peft is not None
        self.peft.set_adapter(name)
        self.settings = self._tuned[name]

    def merged(self) -> Any:
        """Return the base with the sliver worked into its weights: a model like any other. Spoils this one.

        Raises:
            RecipeError: the method adds what weights of the base cannot hold.
        """
        if self.peft is None or self.settings.method in VIRTUAL:
            raise RecipeError(
                f"{self.settings.method} cannot be merged into the base",
                where="tuning.method",
                fix="keep the adapter beside it, or train with lora",
            )
        use_padded(self.model)
        return self.peft.merge_and_unload()


class EncoderDecoderSliver(Sliver, EncoderDecoder):
    """A model with an encoder and a decoder of which a sliver learns.

    Virtual tokens of a prompt stand before the source, those of a prefix before the target.

    Args:
        model, causal, settings: as of `Sliver`.

    Attributes:
        virtual: "prompt" or "prefix" where there are virtual tokens, once there are.

    Raises:
        RecipeError: the method does not fit the architecture.
    """

    virtual: str | None = None

    def __init__(self, model: Any, *, causal: bool = True, settings: TuningSettings) -> None:
        super().__init__(model, causal=causal, settings=settings)
        if settings.method in VIRTUAL:
            self.virtual = settings.method
        if self.virtual == "prompt":
            self._check_embeddings()

    @torch.no_grad()
    def _check_embeddings(self) -> None:
        """Check that the encoder takes embeddings as they are: Marian's scales those that it looks up."""
        tokens = torch.arange(5, device=next(self.parameters()).device).unsqueeze(0) % self.vocabulary
        encoder, training = self.model.get_encoder(), self.training
        self.eval()
        expected = encoder(input_ids=tokens).last_hidden_state
        found = encoder(inputs_embeds=self.model.get_input_embeddings()(tokens)).last_hidden_state
        self.train(training)
        if not same(found, expected):
            raise RecipeError(
                f"{type(self.model).__name__} takes no virtual tokens before its source",
                where="tuning.method",
                fix="set it to prefix or lora",
            )

    def encode(self, tokens: Tensor, attended: Tensor) -> Encoded:
        """Return what the encoder makes of some sources, behind the virtual tokens of a prompt."""
        if self.virtual != "prompt":
            return super().encode(tokens, attended)
        virtual = self.peft.get_prompt(len(tokens))
        embedded = torch.cat([virtual, self.model.get_input_embeddings()(tokens)], dim=1)
        attended = torch.cat([attended.new_ones(virtual.shape[:2]), attended], dim=1)
        found = self.model.get_encoder()(inputs_embeds=embedded, attention_mask=attended)
        return Encoded(found.last_hidden_state, attended)

    def _past(self, batch: int) -> Any:
        """Return the keys and values of a prefix."""
        return self.peft.get_prompt(batch) if self.virtual == "prefix" else None

    def states(self, tokens: Tensor, packed: Packing) -> Tensor:
        """There are none of a text alone: see `told`."""
        return EncoderDecoder.states(self, tokens, packed)

    def forward(self, sources: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:  # type: ignore[override]
        """Return the states of targets (see `told`)."""
        return EncoderDecoder.forward(self, sources, lengths, targets)

    def step(self, tokens: Tensor, cache: Any) -> Tensor:
        """Read some more tokens of every row; return their states."""
        return EncoderDecoder.step(self, tokens, cache)


def _kind(method: str) -> str | None:
    """Return what adapters that share a base have in common; None of a method that allows one alone."""
    if method in _LOW_RANK:
        return "lora"
    return method if method == "ia3" else None


def _named_for(name: str, adapter: str, other: str) -> str:
    """Return a tensor's name with another adapter's name in it."""
    if adapter == other:
        return name
    return re.sub(rf"(\b(?:lora_\w+|ia3_l)\.){re.escape(adapter)}(?=\.|$)", rf"\g<1>{other}", name)


def _room(context: int | None, virtual: int) -> int | None:
    """Return how many tokens can be read behind virtual ones, which take places too.

    Raises:
        RecipeError: none can.
    """
    if context is not None and virtual >= context:
        raise RecipeError(
            f"the model reads at most {context} tokens, and {virtual} virtual ones leave no room",
            where="tuning.tokens",
            fix=f"set it to {max(context // 4, 1)} or less",
        )
    return None if context is None else context - virtual


def _peft_model(model: Any, settings: TuningSettings, *, causal: bool, encodes: bool) -> Any:
    import peft

    task = peft.TaskType.CAUSAL_LM if causal else peft.TaskType.FEATURE_EXTRACTION
    if encodes:
        task = peft.TaskType.SEQ_2_SEQ_LM
    method = settings.method
    config: Any
    if method in _LOW_RANK:
        config = peft.LoraConfig(
            task_type=task,
            r=settings.rank,
            lora_alpha=settings.alpha if settings.alpha is not None else 2 * settings.rank,
            lora_dropout=settings.dropout,
            target_modules=targets(model, settings),
            use_dora=method == "dora",
            use_rslora=method == "rslora",
        )
    elif method == "ia3":
        keys, out = ia3_targets(model, settings)
        config = peft.IA3Config(task_type=task, target_modules=keys + out, feedforward_modules=out)
    elif method == "prompt":
        # Of two parts the library would make tokens for both, and use those of the encoder.
        more: dict[str, Any] = {"num_transformer_submodules": 1} if encodes else {}
        config = peft.PromptTuningConfig(task_type=task, num_virtual_tokens=settings.tokens, **more)
    else:
        more = _decoder_shape(model.config) if encodes else {}
        config = peft.PrefixTuningConfig(task_type=task, num_virtual_tokens=settings.tokens, **more)
    with _silent():
        return peft.get_peft_model(model, config)


def _decoder_shape(config: Any) -> dict[str, int]:
    """Return layers, heads and width of a decoder's keys, where they can differ from the encoder's."""
    layers = getattr(config, "num_decoder_layers", None) or getattr(config, "decoder_layers", None)
    heads = getattr(config, "decoder_attention_heads", None) or config.num_attention_heads
    width = getattr(config, "d_kv", None) or config.hidden_size // heads
    return {
        "num_layers": layers or config.num_hidden_layers,
        "num_attention_heads": heads,
        "token_dim": heads * width,
    }


@contextmanager
def _silent() -> Iterator[None]:
    """Keep remarks of peft off the terminal that are about its own hub and defaults."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Bottleneck(nn.Module):
    """A layer whose output goes through a narrow perceptron beside it (Houlsby et al. 2019).

    Args:
        layer: the frozen layer.
        width: of its output.
        rank: of the bottleneck.
    """

    def __init__(self, layer: nn.Module, width: int, rank: int) -> None:
        super().__init__()
        self.layer = layer
        self.down = nn.Linear(width, rank)
        self.up = nn.Linear(rank, width)
        nn.init.normal_(self.down.weight, std=0.02)
        nn.init.zeros_(self.down.bias)
        # Nothing is added before the first step.
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    @property
    def weight(self) -> Tensor:
        """Weight of the frozen layer, whose type T5 asks for."""
        return self.layer.weight  # type: ignore[return-value]

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the layer's output with what the bottleneck adds."""
        out: Tensor = self.layer(hidden)
        # The base may be held in fewer bits than what learns.
        added: Tensor = self.up(nn.functional.gelu(self.down(out.to(self.down.weight.dtype))))
        return out + added.to(out.dtype)


def _add_adapters(model: Any, settings: TuningSettings) -> None:
    """Put a bottleneck behind the last layer of each attention and each perceptron."""
    for name in adapter_targets(model, settings):
        parent, _, last = name.rpartition(".")
        layer = model.get_submodule(name)
        bottleneck = Bottleneck(layer, width_of(layer), settings.rank).to(layer.weight.device)
        setattr(model.get_submodule(parent), last, bottleneck)

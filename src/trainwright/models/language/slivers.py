"""Fine-tuning by a sliver: few new parameters on a base that stays as it is.

LoRA (Hu et al. 2021), rank-stabilised LoRA (Kalajdzievski 2023), DoRA (Liu et al. 2024), (IA)³ (Liu et al.
2022), prompt tuning (Lester et al. 2021) and prefix tuning (Li & Liang 2021) through peft; bottleneck
adapters (Houlsby et al. 2019) are ours. All but virtual tokens change nothing before the first step.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.foundation.errors import ModelFolderError, RecipeError
from trainwright.models.language.encoder_decoder import Encoded, EncoderDecoder
from trainwright.models.language.pretrained import Pretrained, same
from trainwright.models.layers.packing import Packing
from trainwright.models.packed_transformers import use_padded
from trainwright.recipe.recipe import TuningSettings

VIRTUAL = frozenset({"prompt", "prefix"})
"""Methods that put virtual tokens before a text, for which rows are read padded."""

_ATTENTION = ("attn", "attention")
_PERCEPTRON = ("mlp", "ffn", "feed_forward", "intermediate", "dense_relu_dense")
_KEYS_AND_VALUES = ("k_proj", "v_proj", "key", "value", "c_attn", "query_key_value", "qkv_proj", "k", "v")
_PERCEPTRON_OUT = ("down_proj", "c_proj", "wo", "fc2", "fc_out", "dense_4h_to_h", "output.dense", "w2")
_ATTENTION_OUT = ("o_proj", "out_proj", "c_proj", "output.dense", "Attention.o")
_ADAPTER = "adapter"


class Sliver(Pretrained):
    """A pretrained model of which a sliver learns.

    Its state is that of the sliver alone: checkpoints and model folders hold no copy of the base.

    Args:
        model: the base.
        causal: whether tokens see earlier ones alone.
        settings: which sliver.

    Attributes:
        base: digest of the base's weights; None for one that is nobody's checkpoint.
    """

    base: str | None = None

    def __init__(self, model: Any, *, causal: bool, settings: TuningSettings) -> None:
        super().__init__(model, causal=causal)
        self.settings = settings
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
        return {name: tensor for name, tensor in state.items() if name in kept}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Take back what `state_dict` gave."""
        kept = set(self.learned())
        if strict and set(state_dict) != kept:
            odd = sorted(set(state_dict) ^ kept)[0]
            raise RuntimeError(f"{odd} is {'too many' if odd in state_dict else 'missing'}")
        return super().load_state_dict(state_dict, strict=False, assign=assign)

    def states(self, tokens: Tensor, packed: Packing) -> Tensor:
        """Return what the output layer takes of each token, [tokens, width]."""
        if self.settings.method not in VIRTUAL:
            return super().states(tokens, packed)
        lengths = packed.lengths.sort(stable=True).values
        inside = torch.arange(int(lengths.max()), device=tokens.device) < lengths.unsqueeze(1)
        padded = tokens.new_zeros(inside.shape)
        padded[inside] = tokens[: int(lengths.sum())]
        use_padded(self.model)
        with self._headless():
            states = self.peft(input_ids=padded, attention_mask=inside.long()).logits
        # Virtual tokens of a prompt stand before the others.
        return states[:, -padded.shape[1] :][inside]  # type: ignore[no-any-return]

    def step(self, tokens: Tensor, cache: Any) -> Tensor:
        """Read some more tokens of every row; return their states."""
        if self.settings.method not in VIRTUAL:
            return super().step(tokens, cache)
        # Virtual tokens and a cache of keys do not go together for all models: texts are read again.
        cache.kept = tokens if cache.kept is None else torch.cat([cache.kept, tokens], dim=1)
        cache.length = cache.kept.shape[1]
        mask = torch.arange(cache.length, device=tokens.device) >= cache.pads.unsqueeze(1)
        use_padded(self.model)
        with self._headless():
            states = self.peft(input_ids=cache.kept, attention_mask=mask.long()).logits
        return states[:, -tokens.shape[1] :]  # type: ignore[no-any-return]

    def save_adapter(self, folder: Path) -> None:
        """Write the sliver as peft reads it; of bottleneck adapters nothing, which it does not know."""
        if self.peft is not None:
            with _silent():
                self.peft.save_pretrained(str(folder), save_embedding_layers=False)
            (folder / "README.md").unlink(missing_ok=True)

    def load_adapter(self, folder: Path, name: str) -> None:
        """Put a further adapter of the same kind on the base, and use it.

        Raises:
            ModelFolderError: it does not fit the base.
        """
        if self.peft is None:
            raise ModelFolderError(
                "bottleneck adapters cannot be exchanged", where=str(folder), fix="load each model by itself"
            )
        try:
            with _silent():
                self.peft.load_adapter(str(folder), adapter_name=name)
        except (ValueError, OSError, RuntimeError, KeyError) as error:
            raise ModelFolderError(
                f"this adapter does not fit the model ({str(error).splitlines()[0]})",
                where=str(folder),
                fix="load it on the base that it was trained on",
            ) from error
        self.use_adapter(name)

    def use_adapter(self, name: str) -> None:
        """Use one of the adapters that are loaded."""
        assert self.peft is not None
        self.peft.set_adapter(name)

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
            self.context = None if self.context is None else self.context - settings.tokens
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

    def step(self, tokens: Tensor, cache: Any) -> Tensor:
        """Read some more tokens of every row; return their states."""
        return EncoderDecoder.step(self, tokens, cache)


def _peft_model(model: Any, settings: TuningSettings, *, causal: bool, encodes: bool) -> Any:
    import peft

    task = peft.TaskType.CAUSAL_LM if causal else peft.TaskType.FEATURE_EXTRACTION
    if encodes:
        task = peft.TaskType.SEQ_2_SEQ_LM
    method = settings.method
    config: Any
    if method in {"lora", "dora", "rslora"}:
        config = peft.LoraConfig(
            task_type=task,
            r=settings.rank,
            lora_alpha=settings.alpha if settings.alpha is not None else 2 * settings.rank,
            lora_dropout=settings.dropout,
            target_modules=_targets(model, settings),
            use_dora=method == "dora",
            use_rslora=method == "rslora",
        )
    elif method == "ia3":
        keys, out = _ia3_targets(model, settings)
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


def _linear_names(model: Any) -> list[str]:
    """Return the paths of linear layers within the model, without the output layer."""
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    return [
        name
        for name, part in model.named_modules()
        if isinstance(part, nn.Linear | Conv1D) and part is not head
    ]


def _targets(model: Any, settings: TuningSettings) -> list[str]:
    """Return the paths of the layers that get a sliver.

    Raises:
        RecipeError: there is none.
    """
    names, asked = _linear_names(model), settings.targets
    if asked in {"auto", "all"}:
        found = names
    elif asked == "attention":
        found = [name for name in names if _is_in(name, _ATTENTION)]
    elif asked == "mlp":
        inside = [name for name in names if _is_in(name, _PERCEPTRON)]
        found = inside or [name for name in names if not _is_in(name, _ATTENTION)]
    else:
        wanted = [asked] if isinstance(asked, str) else list(asked)
        found = []
        for word in wanted:
            matches = [name for name in names if name == word or name.endswith(f".{word}")]
            if not matches:
                last = sorted({name.rpartition(".")[2] for name in names})
                raise RecipeError(
                    f"no layer of the model is called '{word}'",
                    where="tuning.targets",
                    fix=f"set it to attention, mlp, all, or some of: {', '.join(last[:12])}",
                )
            found += matches
    if not found:
        raise RecipeError(
            f"the model has no layer that tuning.targets: {asked} means",
            where="tuning.targets",
            fix="set it to all",
        )
    return list(dict.fromkeys(found))


def _is_in(name: str, parts: Sequence[str]) -> bool:
    return any(part in name.lower() for part in parts)


def _ia3_targets(model: Any, settings: TuningSettings) -> tuple[list[str], list[str]]:
    """Return the layers whose outputs, and those whose inputs, are scaled."""
    if settings.targets not in {"auto", "all"}:
        names = _targets(model, settings)
        out = [name for name in names if name.endswith(_PERCEPTRON_OUT) and not _is_in(name, _ATTENTION)]
        return [name for name in names if name not in out], out
    names = _linear_names(model)
    keys = [name for name in names if name.rpartition(".")[2] in _KEYS_AND_VALUES]
    out = [name for name in names if name.endswith(_PERCEPTRON_OUT) and not _is_in(name, _ATTENTION)]
    if not keys or not out:
        raise RecipeError(
            "the keys and values of this model were not recognised for ia3",
            where="tuning.targets",
            fix="name its layers, or choose lora",
        )
    return keys, out


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
        added: Tensor = self.up(nn.functional.gelu(self.down(out)))
        return out + added


def _add_adapters(model: Any, settings: TuningSettings) -> None:
    """Put a bottleneck behind the last layer of each attention and each perceptron."""
    names = _linear_names(model)
    if settings.targets in {"auto", "all"}:
        chosen = [name for name in names if name.endswith(_ATTENTION_OUT)]
        chosen += [name for name in names if name.endswith(_PERCEPTRON_OUT)]
        chosen = list(dict.fromkeys(chosen))
    else:
        chosen = _targets(model, settings)
    if not chosen:
        raise RecipeError(
            "the last layers of attention and perceptron were not recognised",
            where="tuning.targets",
            fix="name them, or choose lora",
        )
    for name in chosen:
        parent, _, last = name.rpartition(".")
        layer: Any = model.get_submodule(name)
        width = layer.out_features if isinstance(layer, nn.Linear) else layer.nf  # Conv1D of GPT-2
        bottleneck = Bottleneck(layer, width, settings.rank).to(layer.weight.device)
        setattr(model.get_submodule(parent), last, bottleneck)

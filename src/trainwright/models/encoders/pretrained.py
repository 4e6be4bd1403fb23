"""Any Hugging Face encoder as an encoder of text, images or waveforms.

Sources: Devlin et al. 2019 (fine-tuning a pretrained encoder); Howard & Ruder 2018, 'Universal Language Model
Fine-tuning' (a learning rate for each layer, gradual unfreezing); Reimers & Gurevych 2019 (mean of token
states as the sentence's vector). Only safetensors are read and no code from a checkpoint is run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainwright.foundation.errors import RecipeError
from trainwright.models.base import ENCODERS, Encoder, EncoderOptions
from trainwright.models.checkpoints import Checkpoint, build, layers_of, load
from trainwright.models.layers.dropout import Dropout
from trainwright.models.layers.live_embedding import LiveEmbedding
from trainwright.models.layers.masking import length_mask, masked_mean
from trainwright.models.layers.packing import packing, packs
from trainwright.models.packed_transformers import lighten, place_shift, read_packed, read_padded

_WORTH_NARROWING = 0.9
"""Share of a vocabulary that is met, above which all of it is learned."""
FULLY_THAWED = 0.5
"""Share of training after which gradual unfreezing has reached the embeddings."""


class PretrainedOptions(EncoderOptions):
    """Options of `pretrained`."""

    checkpoint: str | None = Field(None, description="Hugging Face name or local folder.")
    finetune: Literal["full", "frozen", "gradual"] = Field(
        "full", description="full: all layers learn; frozen: none; gradual: from the last layer to the first."
    )
    pooling: Literal["auto", "mean", "cls"] = Field(
        "auto",
        description="The row's vector: mean of all states, or the first (auto: for vision transformers).",
    )
    layer_decay: float = Field(
        0.9, gt=0, le=1, description="Learning rate of a layer over that of the layer above it."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of the row's vector dropped in training.")
    config: dict[str, Any] | None = Field(
        None,
        description="The checkpoint's shape, kept in model folders: with it the encoder is built without the "
        "checkpoint, and its weights must come from the model folder.",
    )


@ENCODERS.register("pretrained")
class Pretrained(Encoder):
    """A pretrained encoder and pooling over its states.

    Attributes:
        raw: whether `forward` takes a batch's samples (int16 [batch, time], lengths) rather than the frames
            of the audio stem: speech encoders do.
        config: what `options.config` needs to build it again without its checkpoint.

    Args:
        spec: spec of the input.
        options: with a `checkpoint`, or with a `config` from a model folder.
        modality: "text", "image" or "audio".

    Raises:
        RecipeError: the checkpoint cannot be had, is not safe to open, or does not fit the input.
    """

    modalities = ("text", "image", "audio")
    Options = PretrainedOptions
    learning_rate = 1e-4
    products = True
    takes_total = True

    def __init__(self, spec: dict[str, Any], options: PretrainedOptions, modality: str) -> None:
        super().__init__(spec, options, modality)
        if options.config is None and options.checkpoint is None:
            raise RecipeError(
                "the encoder 'pretrained' needs a checkpoint",
                fix="set model.checkpoint to a Hugging Face name or a local folder",
            )
        self.modality, self.options = modality, options
        name = options.checkpoint or "the model folder's checkpoint"
        source = build(options.config) if options.config is not None else load(str(options.checkpoint))
        self.model, self.config = source.model, source.config
        self.raw = modality == "audio"
        _check_fit(source, spec, modality, name)
        self.first_state = options.pooling == "cls" or (options.pooling == "auto" and source.has_class_token)
        if modality == "image":
            self._set_pixels(spec, source)
        self.normalise_waveform = bool(source.processor.get("do_normalize", False))
        self.masks_waveform = source.setting("feat_extract_norm") == "layer"
        self.dropout = Dropout(options.dropout)
        lighten(self.model)
        self.longest = spec.get("max_tokens")
        self.place_shift = place_shift(self.model) if modality == "text" else None
        widths = source.setting("hidden_sizes")
        self.width = int(widths[-1] if widths else source.setting("hidden_size"))
        self.unfreeze(0.0)

    def _set_pixels(self, spec: Mapping[str, Any], source: Checkpoint) -> None:
        # The image stem has normalised by the input's own statistics; the checkpoint was trained with others.
        mean = torch.tensor(source.processor.get("image_mean", [0.5] * 3))
        std = torch.tensor(source.processor.get("image_std", [0.5] * 3))
        own_mean, own_std = torch.tensor(spec["mean"]), torch.tensor(spec["std"])
        scale, shift = own_std / std, (own_mean - mean) / std
        self.register_buffer("scale", scale.view(1, -1, 1, 1).float(), persistent=False)
        self.register_buffer("shift", shift.view(1, -1, 1, 1).float(), persistent=False)
        side = source.setting("image_size") if source.has_class_token else None
        self.image_size = (side, side) if isinstance(side, int) else tuple(side) if side else None

    scale: Tensor
    shift: Tensor

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float, int]]:
        """Return (parameters, learning-rate scale, layer index) from the embeddings (index 0) upward.

        A frozen checkpoint has none; layers that gradual unfreezing has yet to reach are there.
        """
        if self.options.finetune == "frozen":
            return []
        groups = layers_of(self.model)
        return [
            (parameters, self.options.layer_decay ** (len(groups) - 1 - index), index)
            for index, parameters in enumerate(groups)
        ]

    def unfreeze(self, progress: float) -> None:
        """Set which layers learn, a pure function of how far training is.

        Args:
            progress: share of training done, 0 to 1. Only "gradual" depends on it: the last layer learns from
                the start, one more after another joins it, and all do from `FULLY_THAWED` on.
        """
        groups = layers_of(self.model)
        thawed = {
            "full": len(groups),
            "frozen": 0,
            "gradual": max(1, math.ceil(min(1.0, progress / FULLY_THAWED) * len(groups))),
        }[self.options.finetune]
        for index, parameters in enumerate(groups):
            for parameter in parameters:
                parameter.requires_grad_(index >= len(groups) - thawed)

    def narrow(self, met: Tensor) -> None:
        """Learn the embeddings of those tokens alone that are met, bool [vocabulary]; the others stay.

        Tokens that training never meets have no gradient, and embeddings do not decay.
        """
        table = self.model.get_input_embeddings()
        learns = bool(met.any()) and float(met.float().mean()) < _WORTH_NARROWING
        if learns and type(table) is nn.Embedding and len(met) <= table.num_embeddings:
            met = F.pad(met, (0, table.num_embeddings - len(met)))
            self.model.set_input_embeddings(LiveEmbedding(table, met).train(table.training))

    def train(self, mode: bool = True) -> Pretrained:
        """Set training mode; a frozen checkpoint stays in evaluation mode: it has nothing to learn."""
        super().train(mode)
        if self.options.finetune == "frozen":
            self.model.eval()
        return self

    def forward(self, *inputs: Any) -> Tensor:
        """Return [batch, 1, width]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.options.finetune != "frozen"):
            pooled = getattr(self, f"_{self.modality}")(*inputs)
        return self.dropout(pooled).unsqueeze(1)  # type: ignore[no-any-return]

    def _text(self, tokens: Tensor, lengths: Tensor, total: int | None = None) -> Tensor:
        if self.place_shift is not None and packs(tokens.device, self._head_width()):
            packed = packing(lengths, total=total, longest=self.longest)
            states = read_packed(self.model, packed.pack(tokens), packed, place_shift=self.place_shift)
            return packed.first(states) if self.first_state else packed.mean(states)
        tokens = tokens if tokens.shape[1] else F.pad(tokens, (0, 1))
        mask = length_mask(lengths, tokens.shape[1])
        first = torch.arange(tokens.shape[1], device=tokens.device) == 0
        # A row without tokens attends to one, as a softmax over nothing is NaN; the mean leaves it out.
        states = read_padded(self.model, tokens, mask | first)
        return states[:, 0] if self.first_state else masked_mean(states, mask)

    def _head_width(self) -> int:
        config = self.model.config
        return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)

    def _image(self, pixels: Tensor) -> Tensor:
        pixels = pixels * self.scale + self.shift
        if pixels.shape[1] == 1:
            pixels = pixels.expand(-1, 3, -1, -1)
        if self.image_size is not None and tuple(pixels.shape[2:]) != self.image_size:
            pixels = F.interpolate(pixels, size=self.image_size, mode="bilinear", antialias=True)
        states = self.model(pixel_values=pixels).last_hidden_state
        if states.dim() == 4:  # [batch, width, height, width] of a convolutional net
            return states.mean(dim=(2, 3))  # type: ignore[no-any-return]
        return states[:, 0] if self.first_state else states.mean(dim=1)  # type: ignore[no-any-return]

    def _audio(self, samples: Tensor, lengths: Tensor) -> Tensor:
        # The convolutions of a speech encoder need 400 samples for their first state.
        wave = F.pad(samples.float() / 32768, (0, max(0, 400 - samples.shape[1])))
        mask = length_mask(lengths, wave.shape[1])
        if self.normalise_waveform:
            count = lengths.clamp(min=1).unsqueeze(1)
            mean = wave.masked_fill(~mask, 0).sum(1, keepdim=True) / count
            centred = (wave - mean).masked_fill(~mask, 0)
            wave = centred / (centred.square().sum(1, keepdim=True) / count + 1e-7).sqrt()
        padded = length_mask(lengths.clamp(min=400), wave.shape[1]).long() if self.masks_waveform else None
        states = self.model(wave, attention_mask=padded).last_hidden_state
        steps = self.model._get_feat_extract_output_lengths(lengths.clamp(min=400))
        return masked_mean(states, length_mask(steps, states.shape[1]) & (lengths > 0).unsqueeze(1))


def _check_fit(source: Checkpoint, spec: Mapping[str, Any], modality: str, name: str) -> None:
    def refuse(what: str, fix: str) -> None:
        raise RecipeError(what, where=name, fix=fix)

    kind = {"input_ids": "text", "pixel_values": "image", "input_values": "audio"}.get(
        source.model.main_input_name
    )
    if kind != modality or (modality == "audio" and source.setting("conv_stride") is None):
        takes = {"text": "tokens", "image": "pixels", "audio": "waveforms"}[modality]
        refuse(
            f"this checkpoint ({source.setting('model_type')}) does not take {takes}",
            f"choose one that encodes {modality}",
        )
    if modality == "text":
        longest, known = source.setting("max_position_embeddings"), source.setting("vocab_size")
        if longest is not None and spec.get("max_tokens", 0) > longest:
            refuse(f"it reads at most {longest} tokens", f"set max_tokens of the input to {longest} or less")
        if spec["vocabulary"] > known:
            refuse(
                f"it knows {known} tokens and the input has {spec['vocabulary']}",
                "let the input use the checkpoint's tokenizer",
            )
    if modality == "audio":
        rate = source.processor.get("sampling_rate", 16_000)
        if spec["sample_rate"] != rate:
            refuse(f"it listens at {rate} Hz", f"set sample_rate of the input to {rate}")

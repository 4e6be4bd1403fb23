"""The network of a language model: built, put on a checkpoint, saved into a model folder, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from trainwright.foundation.errors import ModelFolderError, RecipeError
from trainwright.recipe.explain import explain
from trainwright.recipe.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from trainwright.models.language.base import LanguageModel
    from trainwright.models.language.checkpoint import Kind
    from trainwright.models.language.pretrained import Pretrained
    from trainwright.recipe.recipe import TuningSettings
    from trainwright.training.optimizers import ParameterGroup

WEIGHTS, ADAPTER = "model.safetensors", "adapter"
_FAMILIES = {"masked-lm": "bert"}
"""Task → the family that learns it where the recipe does not say; else gpt."""


def family_of(recipe: Recipe) -> str:
    """Return the family of a recipe's model.

    Raises:
        RecipeError: it is none that learns the task.
    """
    from trainwright.models.language.base import LANGUAGE_MODELS

    asked, task = recipe.model.name, recipe.task
    assert task is not None
    if recipe.model.checkpoint is not None and asked in {"auto", "pretrained"}:
        return "pretrained"
    name = _FAMILIES.get(task, "gpt") if asked == "auto" else asked
    if name == "pretrained":
        raise RecipeError(
            "name: pretrained needs a checkpoint",
            where="model.checkpoint",
            fix="set it to a local folder, a GGUF file or a name on the hub",
        )
    family = LANGUAGE_MODELS[name]
    if task not in family.objectives:
        raise RecipeError(
            f"{name} does not learn {task}",
            where="model.name",
            fix=f"set it to {_FAMILIES.get(task, 'gpt')}, or task to one of: "
            f"{', '.join(sorted(family.objectives))}",
        )
    if recipe.model.checkpoint is not None:
        raise RecipeError(
            f"a checkpoint has no effect on {name}, which starts from random weights",
            where="model.checkpoint",
            fix="leave it out, or set model.name to pretrained",
        )
    if recipe.tuning.method != "full":
        raise RecipeError(
            f"tuning: {recipe.tuning.method} needs a pretrained model",
            where="tuning.method",
            fix="name one with model.checkpoint, or set it to full",
        )
    return name


def build_network(recipe: Recipe, vocabulary: int) -> LanguageModel:
    """Return a model from random weights, drawn from torch's global generator.

    Args:
        recipe: its `model` says what to build.
        vocabulary: number of token ids.

    Raises:
        RecipeError: an option is wrong.
    """
    from trainwright.models.language.base import LANGUAGE_MODELS

    settings = recipe.model
    family = LANGUAGE_MODELS[family_of(recipe)]
    given = dict(settings.options)
    if settings.dropout is not None:
        given.setdefault("dropout", settings.dropout)
    try:
        options = family.Options(**{**family.Options.for_size(settings.size_), **given})
    except ValidationError as error:
        raise explain(error, family.Options, None, ("model", "options")) from error
    return family(vocabulary, options)


def count_parameters(recipe: Recipe, vocabulary: int, *, depth: int) -> int | None:
    """Return how many parameters a model of so many layers has; no memory is taken for them.

    None where the options that the recipe gives do not fit that depth.
    """
    import torch

    options = {**recipe.model.options, "depth": depth}
    deep = recipe.model_copy(update={"model": recipe.model.model_copy(update={"options": options})})
    try:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in build_network(deep, vocabulary).parameters())
    except RecipeError:
        return None


def kind_of(recipe: Recipe) -> Kind:
    """Return which kind of model a recipe's checkpoint is loaded as.

    Raises:
        RecipeError: it has an encoder and a decoder, and the task is learned by one of them alone.
    """
    from trainwright.foundation.checkpoints import has_encoder_and_decoder

    name, task = recipe.model.checkpoint, recipe.task
    assert name is not None
    if has_encoder_and_decoder(name):
        if task != "sequence-to-sequence":
            part = "an encoder" if task == "masked-lm" else "a decoder"
            raise RecipeError(
                f"this checkpoint has an encoder and a decoder, and {task} is learned by {part} alone",
                where=name,
                fix=f"set task to sequence-to-sequence, or choose a checkpoint that is {part}",
            )
        return "sequence-to-sequence"
    return "masked" if task == "masked-lm" else "causal"


def objective_of(task: str, *, encodes: bool) -> str:
    """Return the word of what is learned, by which samples are read and losses are found.

    Args:
        task: the recipe's.
        encodes: whether the model has an encoder and a decoder.
    """
    return "encoder-decoder" if encodes else task


def load_pretrained(recipe: Recipe) -> Pretrained:
    """Return the checkpoint's model, and on it the sliver that the recipe asks for."""
    from trainwright.foundation.weights_digest import weights_digest
    from trainwright.models.language.checkpoint import load_checkpoint, trained_context

    name = recipe.model.checkpoint
    assert name is not None
    kind = kind_of(recipe)
    held, more = _held(recipe)
    model = load_checkpoint(name, kind, dtype=held, **more)
    tuning = None if recipe.tuning.method == "full" else recipe.tuning
    network = _behind_ours(model, kind, tuning=tuning)
    network.trained_context = trained_context(name, model)
    network.base = weights_digest(name)
    return network


def _behind_ours(model: Any, kind: Kind, *, tuning: TuningSettings | None = None) -> Pretrained:
    """Return a model of transformers behind our interface, with a sliver or without."""
    from trainwright.models.language.encoder_decoder import EncoderDecoder
    from trainwright.models.language.pretrained import Pretrained
    from trainwright.models.language.slivers import EncoderDecoderSliver, Sliver

    if kind == "sequence-to-sequence":
        return EncoderDecoder(model) if tuning is None else EncoderDecoderSliver(model, settings=tuning)
    causal = kind == "causal"
    return (
        Pretrained(model, causal=causal) if tuning is None else Sliver(model, causal=causal, settings=tuning)
    )


def _held(recipe: Recipe) -> tuple[torch.dtype, dict[str, Any]]:
    """Return how the weights of a base are held, and what else the library is told for it.

    Raises:
        RecipeError: a base that learns is to be held in few bits, or there is no GPU for that.
    """
    import torch

    base = recipe.tuning.base
    if base == "float32":
        return torch.float32, {}
    if recipe.tuning.method == "full":
        raise RecipeError(
            f"a base that learns is not held in {base}",
            where="tuning.base",
            fix="set it to float32, or tuning.method to lora",
        )
    if base == "bfloat16":
        return torch.bfloat16, {}
    if not torch.cuda.is_available():
        raise RecipeError(
            f"a base of {base} needs an NVIDIA GPU", where="tuning.base", fix="set it to float32 or bfloat16"
        )
    if find_spec("bitsandbytes") is None:
        raise RecipeError(
            f"a base of {base} needs the package bitsandbytes",
            where="tuning.base",
            fix="pip install 'trainwright[quantized]'",
        )
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_8bit=base == "8bit",
        load_in_4bit=base == "4bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return torch.bfloat16, {"quantization_config": config}


def save_network(network: LanguageModel, folder: Path) -> None:
    """Write weights, and what it takes to build the network again."""
    from trainwright.models.language.checkpoint import config_of, generation_of
    from trainwright.models.language.pretrained import Pretrained
    from trainwright.models.language.slivers import Sliver
    from trainwright.workshop.text_model import write_about

    about: dict[str, Any] = {"vocabulary": network.vocabulary, "context": network.context}
    if isinstance(network, Sliver):
        about |= {
            "family": "sliver",
            "causal": network.causal,
            "tuning": network.settings.model_dump(mode="json"),
            "base": network.base,
        }
        network.save_adapter(folder / ADAPTER)
    elif isinstance(network, Pretrained):
        about |= {"family": "pretrained", "causal": network.causal, "config": config_of(network.model)}
        if network.encodes:
            about |= {"encodes": True, "generation": generation_of(network.model)}
    else:
        about |= {"family": _word_of(network), "options": network.options.model_dump(mode="json")}
    write_about(folder, about)
    save_weights(network.state_dict(), folder / WEIGHTS)


def save_weights(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write tensors as safetensors; of those that share memory the first is written."""
    from safetensors.torch import save_file

    kept: dict[str, torch.Tensor] = {}
    seen: set[tuple[int, tuple[int, ...]]] = set()
    for name, tensor in state.items():
        place = (tensor.data_ptr(), tuple(tensor.shape))
        if tensor.numel() and place in seen:
            continue
        seen.add(place)
        kept[name] = tensor.detach().cpu().contiguous()
    save_file(kept, path, metadata={"format": "pt"})
    path.chmod(0o644)  # the library makes it readable to its owner alone


def load_network(folder: Path, recipe: Recipe) -> LanguageModel:
    """Return the network of a model folder.

    Raises:
        ModelFolderError: the weights do not fit, or the base of a sliver is gone or another.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from trainwright.workshop.text_model import read_about

    about = read_about(folder)
    try:
        # Weights are drawn only to be replaced: the caller's random numbers stay as they are.
        with torch.random.fork_rng(devices=[]):
            if about["family"] == "sliver":
                network = _on_base(recipe, about, folder)
            else:
                _check_size(about, folder / WEIGHTS)
                network = _described(about)
                if about["family"] == "pretrained":
                    network = _behind_ours(network, _kind_in(about))
        state = load_file(folder / WEIGHTS)
        _untie(network, state)
        # Of tensors that share memory one was written.
        tied = {name: tensor for name, tensor in network.state_dict().items() if name in _tied(network)}
        network.load_state_dict(tied | state)
    except ModelFolderError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelFolderError(
            f"the weights do not fit the model ({str(error).splitlines()[0]})",
            where=str(folder),
            fix="use an undamaged copy of the folder",
        ) from error
    return network


def _kind_in(about: Mapping[str, Any]) -> Kind:
    """Return which kind of pretrained model a folder describes."""
    if about.get("encodes"):
        return "sequence-to-sequence"
    return "causal" if about["causal"] else "masked"


def _described(about: Mapping[str, Any]) -> Any:
    """Return the network that a folder describes, with random weights; of a pretrained one the library's."""
    from trainwright.models.language.base import LANGUAGE_MODELS
    from trainwright.models.language.checkpoint import build_model

    if about["family"] == "pretrained":
        return build_model(about["config"], _kind_in(about), generation=about.get("generation"))
    family = LANGUAGE_MODELS[about["family"]]
    return family(about["vocabulary"], family.Options(**about["options"]))


_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers")
"""What configurations call the number of layers."""


def _check_size(about: Mapping[str, Any], weights: Path) -> None:
    """Check that a network has no more numbers than there are weights for, before memory is taken for it.

    Raises:
        ValueError: it has.
    """
    import torch
    from safetensors import safe_open

    with safe_open(weights, framework="pt") as held:
        stored = [math.prod(held.get_slice(name).get_shape()) for name in held.keys()]  # noqa: SIM118
    layers = [about.get("config", {}).get(name) or 0 for name in _LAYERS]
    if max(layers) <= len(stored):
        with torch.device("meta"):
            needed = sum(parameter.numel() for parameter in _described(about).parameters())
        if needed <= sum(stored):
            return
    raise ValueError("it describes a larger model than there are weights for")


def _on_base(recipe: Recipe, about: Mapping[str, Any], folder: Path) -> LanguageModel:
    """Return a sliver, its values not loaded yet, on the base that it was trained on.

    Raises:
        ModelFolderError: the base cannot be loaded, or is another.
    """
    from trainwright.foundation.weights_digest import same_weights

    name = recipe.model.checkpoint
    try:
        network = load_pretrained(recipe)
    except RecipeError as error:
        raise ModelFolderError(
            f"the base that this model was trained on, {name}, cannot be loaded: {error.what}",
            where=str(folder),
            fix="load it where that base is, and a GPU if tuning.base needs one",
        ) from error
    assert network.base is not None
    if not same_weights(about.get("base") or network.base, network.base):
        raise ModelFolderError(
            f"{name} is not the base that this model was trained on: its weights are others",
            where=str(folder),
            fix="put the one there that it was trained on",
        )
    return network


def _untie(network: LanguageModel, state: Mapping[str, torch.Tensor]) -> None:
    """Make two weights of one where the folder has both: the library ties T5's output whatever it is."""
    from torch import nn

    first: dict[int, str] = {}
    for name, parameter in list(network.named_parameters(remove_duplicate=False)):
        if id(parameter) in first and {name, first[id(parameter)]} <= state.keys():
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, nn.Parameter(parameter.detach().clone()))
        first.setdefault(id(parameter), name)


def _tied(network: LanguageModel) -> set[str]:
    """Return the names of weights that are the same as others."""
    first: dict[int, str] = {}
    found = set()
    for name, tensor in network.state_dict(keep_vars=True).items():
        if id(tensor) in first:
            found |= {name, first[id(tensor)]}
        first.setdefault(id(tensor), name)
    return found


def _word_of(network: LanguageModel) -> str:
    from trainwright.models.language.base import LANGUAGE_MODELS

    return next(word for word, family in LANGUAGE_MODELS.items() if type(network) is family)


def language_groups(network: LanguageModel, weight_decay: float) -> list[ParameterGroup]:
    """Return the parameters that learn as the optimiser takes them: matrices decay, the rest does not."""
    from trainwright.training.optimizers import ParameterGroup

    decaying = dict(network.decaying())
    hidden = frozenset(name for name, _ in network.hidden_matrices())
    others = {
        name: parameter
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and name not in decaying
    }
    groups = [
        ParameterGroup(decaying, weight_decay, 1.0, hidden),
        ParameterGroup(others, 0.0, 1.0, frozenset()),
    ]
    return [group for group in groups if group.params]

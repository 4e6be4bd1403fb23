"""The job of a language model: texts or conversations, and the tokens that are to be told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trainwright.data.splits.parts import PARTS
from trainwright.foundation.devices import autocast, choose_device
from trainwright.foundation.errors import DataError, RecipeError
from trainwright.foundation.random import stream_seed
from trainwright.foundation.ranks import ALONE, Ranks
from trainwright.foundation.weights_digest import same_weights
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.choices import Choices
from trainwright.workshop.job import Events, Job, choose_engine
from trainwright.workshop.language_choices import (
    VALIDATION_TOKENS,
    batch_tokens_of,
    choose_language,
    context_of,
    depth_for,
    evaluate_every,
)
from trainwright.workshop.language_context import fit_to_context
from trainwright.workshop.language_cost import cost_of, numbers_of
from trainwright.workshop.language_data import LanguageData, describe_language, prepare_language
from trainwright.workshop.language_network import (
    build_network,
    count_parameters,
    family_of,
    kind_of,
    language_groups,
    load_pretrained,
    objective_of,
)
from trainwright.workshop.language_prompts import check_prompts, written
from trainwright.workshop.language_reading import mask_token_of, reading_of
from trainwright.workshop.start import write_start
from trainwright.workshop.text_model import TextModel

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainwright.features.language.tokenizer import LanguageTokenizer
    from trainwright.models.language.base import LanguageModel
    from trainwright.tasks.language import LanguageTask
    from trainwright.training.loop import Judgement, Outcome, Trainer

_GPU_SHARE = 64
"""How many times as much a GPU reads of validation."""


@dataclass
class LanguageJob(Job):
    """A run between preparation and training."""

    recipe: Recipe
    data: LanguageData
    network: LanguageModel
    task: LanguageTask
    choices: Choices
    parameters: int = 0
    place: Path | None = None
    outcome: Outcome | None = None
    cost: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:  # type: ignore[override]
        """What the data is called."""
        return self.data.table.name

    @property
    def seconds(self) -> dict[str, float]:  # type: ignore[override]
        """Step → time it took."""
        return self.data.seconds

    def model(self) -> TextModel:
        """Return the model as it is now."""
        return TextModel(self.recipe, self.data.tokenizer, self.network)

    def over(self, network: Any) -> LanguageJob:
        """Return the same job over another network."""
        return replace(self, network=network)

    def threads(self) -> AbstractContextManager[int]:
        """Leave torch its threads: every step is products of large matrices."""
        import torch

        return nullcontext(torch.get_num_threads())

    def describe(self) -> dict[str, Any]:
        """Return what `data.json` holds: beside the data's, the digest of the checkpoint's weights."""
        base = getattr(self.network, "base", None)
        return describe_language(self.data) | ({} if base is None else {"base": base})

    def write_start(self, place: Path, *, in_memory: bool, base: Path | None) -> None:
        """Write what is known before training.

        Raises:
            RecipeError: the run goes on, and the checkpoint is not the one that it began from.
        """
        document = self.describe()
        self._check_base(place, document)
        write_start(
            place,
            self.recipe,
            table=self.data.table,
            document=document,
            quarantined=self.data.quarantined,
            indices=self.data.indices,
            in_memory=in_memory,
            base=base,
        )

    def _check_base(self, place: Path, document: Mapping[str, Any]) -> None:
        if not (place / "data.json").is_file():
            return
        kept = json.loads((place / "data.json").read_text(encoding="utf-8")).get("base")
        if kept is not None and not same_weights(kept, document.get("base", "")):
            raise RecipeError(
                "this is not the checkpoint that the run began from: its weights are others",
                where=self.recipe.model.checkpoint,
                fix="put the one there that it began from, or train anew",
            )

    def facts(self) -> dict[str, Any]:
        """Return what is said of the model before training: parameters, operations, memory."""
        return self.cost

    def whole(self, ranks: Ranks) -> None:
        """Make a network whole again whose parts the processes held."""
        if self.sharded:
            from trainwright.training.sharding import whole_state

            state = whole_state(self.network, ranks)
            if ranks.is_first:
                self.network = _fresh(self.recipe, self.data.tokenizer.vocabulary)
                self.network.load_state_dict(state)

    def judge(self, began: float) -> None:
        """Judge the trained network, and write model, report and, last, the evaluation."""
        from trainwright.workshop.language_judging import judge_language

        judge_language(self, began)

    def trainer(
        self,
        checkpoints: Any = None,
        events: Events = lambda *_, **__: None,
        stop: Callable[[], bool] = lambda: False,
        ranks: Ranks = ALONE,
    ) -> Trainer:
        """Return what trains the network."""
        from trainwright.training.feed import AHEAD
        from trainwright.training.loop import Trainer

        settings = self.recipe.training
        assert settings.batch_tokens is not None and settings.weight_decay is not None
        return Trainer(
            self.network,
            language_groups(self.network, settings.weight_decay),
            self.task,
            self.task.batches(self.data.indices["training"], budget=settings.batch_tokens, training=True),
            self._judge(events, ranks),
            self.loop_settings(ahead=AHEAD if self.device.type == "cuda" else 0),
            events,
            checkpoints,
            stop,
            self.network.unfreeze,
            ranks,
        )

    def _judge(self, events: Events, ranks: Ranks) -> Callable[[nn.Module], Judgement]:
        """Return what judges the model on validation, and lets it write."""
        from trainwright.training.loop import Judgement
        from trainwright.workshop.language_judging import figures, measured

        assert self.recipe.training.batch_tokens is not None
        budget = self.network.at_once(self.recipe.training.batch_tokens)
        batches = self.task.batches(self.data.indices["validation"], budget=budget, training=False)
        plan = batches.plan(0)
        most = VALIDATION_TOKENS if self.device.type == "cpu" else _GPU_SHARE * VALIDATION_TOKENS
        parts, read = [], 0
        for number in range(len(plan)):
            parts.append(plan[number])
            read += batches.size(plan[number])
            if read >= most:
                break

        def judge(network: nn.Module) -> Judgement:
            sums, counts = measured(self.task, network, batches, parts, self.device, ranks)
            means = (sums.sum(axis=1) / max(counts.sum(), 1)).tolist()
            if ranks.is_first and not self.sharded:
                said = self.samples(network)
                if said:
                    events("samples", samples=said)
            return Judgement(-means[0], means[0], figures(self.task, means))

        return judge

    def samples(self, network: Any) -> list[dict[str, str]]:
        """Return what the model makes of some prompts: [{"prompt", "text"}]."""
        return written(self.recipe, self.data, self.task, network)


def language_job(recipe: Recipe, frame: Any, base: Path | None, ranks: Ranks = ALONE) -> LanguageJob:
    """Prepare the data of a recipe and return the job of its language model."""
    from trainwright.tasks.language import LANGUAGE_TASKS

    device = choose_device(recipe.training.device)
    batch_tokens = batch_tokens_of(recipe, device)
    depth: int | None = None
    if family_of(recipe) == "pretrained":
        network, data = _on_checkpoint(recipe, frame, base)
    else:
        data = prepare_language(recipe, frame, base=base)
        recipe, depth = _sized(recipe, data, batch_tokens, device, ranks)
        network = _seeded(recipe, data.tokenizer)
    language = data.recipe.language.model_copy(update=_reads(recipe, network))
    assert recipe.task is not None and language.context is not None
    sharding, why = _place(network, recipe, device, ranks)
    training = recipe.training.model_copy(update={"batch_tokens": batch_tokens, "sharding": sharding})
    resolved = data.recipe.model_copy(
        update={"model": recipe.model, "language": language, "training": training}
    )
    objective = objective_of(recipe.task, encodes=network.encodes)
    task = LANGUAGE_TASKS[objective](data.tokens, reading_of(resolved, data.tokenizer))
    if depth is not None:
        data.notes.append(f"The model has {depth} layers: what the budget and the training texts can teach.")
    fit_to_context(data, task)
    check_prompts(recipe, data, network)
    batches = task.batches(data.indices["training"], budget=batch_tokens, training=True)
    plan = batches.plan(0)
    if not len(plan):
        raise DataError(
            "no text is long enough to learn from", where=data.table.name, fix="give longer texts"
        )
    steps_per_epoch = max(1, -(-len(plan) // training.accumulation))
    tokens = int(batches.size(plan.rows))
    choices = choose_language(
        resolved, network, tokens=tokens, steps_per_epoch=steps_per_epoch, precision=_precision(device)
    )
    reasons = dict(choices.reasons)
    if recipe.training.batch_tokens is None:
        rows = f"about {batch_tokens // language.context} rows of {language.context} tokens"
        reasons["batch_tokens"] = f"{batch_tokens} ({rows})"
    if why:
        reasons["sharding"] = f"{sharding} ({why})"
    choices = replace(choices, reasons=reasons)
    # What the model thinks before its first step is compared with what it thinks in training: as precisely.
    with autocast(device, choices.training.precision):
        asked = np.concatenate([data.indices[part] for part in PARTS])
        task.prepare(network, asked, budget=batch_tokens)
    job = LanguageJob(
        resolved.model_copy(update={"training": choices.training}),
        data,
        network,
        task,
        choices,
        parameters=sum(numbers_of(parameter) for parameter in network.parameters()),
    )
    tokens_a_step = tokens / len(plan) * training.accumulation
    job.cost = cost_of(network, tokens_a_step=tokens_a_step, context=language.context)
    if sharding == "on":
        from trainwright.training.sharding import reshard

        reshard(network)
        off = choices.training.model_copy(update={"compile": "off"})
        job.recipe = job.recipe.model_copy(update={"training": off})
        return job
    choose_engine(job, ranks)
    # A time budget has become a number of steps only now.
    every = evaluate_every(job.choices.steps, steps_per_epoch, tokens_a_step=tokens / steps_per_epoch)
    job.choices = replace(job.choices, evaluate_every=every)
    return job


def _on_checkpoint(recipe: Recipe, frame: Any, base: Path | None) -> tuple[LanguageModel, LanguageData]:
    """Return a checkpoint's network, and the data cut by its tokenizer.

    The weights come first: what is wrong with them is said in seconds, and texts may be cut for hours.
    """
    from trainwright.features.language.checkpoint import load_language_tokenizer

    assert recipe.model.checkpoint is not None
    tokenizer = load_language_tokenizer(recipe.model.checkpoint)
    network = _seeded(recipe, tokenizer)
    _reads(recipe, network)
    mask_token_of(recipe, tokenizer)
    data = prepare_language(
        recipe, frame, base=base, checkpoint=tokenizer, encodes=kind_of(recipe) == "sequence-to-sequence"
    )
    return network, data


def _sized(
    recipe: Recipe, data: LanguageData, batch_tokens: int, device: torch.device, ranks: Ranks
) -> tuple[Recipe, int | None]:
    """Return the recipe with a depth for a new model whose size it leaves open, and that depth."""
    model = recipe.model
    if model.size is not None or {"depth", "width"} & {*model.options}:
        return recipe, None
    found = depth_for(
        recipe,
        lambda depth: count_parameters(recipe, data.tokenizer.vocabulary, depth=depth),
        tokens=_training_tokens(data),
        batch_tokens=batch_tokens,
        device=device,
        devices=ranks.size,
    )
    depth = ranks.from_first(found)
    sized = model.model_copy(update={"options": {**model.options, "depth": depth}})
    return recipe.model_copy(update={"model": sized}), depth


def _seeded(recipe: Recipe, tokenizer: LanguageTokenizer) -> LanguageModel:
    """Return the network before its first step, with a place for every token that there is."""
    import torch

    torch.manual_seed(stream_seed(recipe.seed, "model"))
    network = _fresh(recipe, tokenizer.vocabulary)
    _check_vocabulary(recipe, tokenizer, network)
    return network


def _reads(recipe: Recipe, network: LanguageModel) -> dict[str, Any]:
    """Return what the settings of texts leave open: the context, and what becomes of longer ones."""
    context, long = context_of(recipe, network), recipe.language.long
    if network.context is not None and context > network.context:
        raise RecipeError(
            f"the model reads at most {network.context} tokens, and the context is {context}",
            where="language.context",
            fix=f"set it to {network.context} or less",
        )
    if long == "auto":
        long = "split" if recipe.task in {"causal-lm", "masked-lm"} else "truncate"
    if network.encodes and long == "split":
        raise RecipeError(
            "a source and its target are not split",
            where="language.long",
            fix="set it to truncate, or leave it out",
        )
    return {"context": context, "long": long}


def _place(
    network: LanguageModel, recipe: Recipe, device: torch.device, ranks: Ranks
) -> tuple[Literal["on", "off"], str]:
    """Put the network where it is trained; return whether it is shared out, and why."""
    from trainwright.workshop.shard import check_shardable, sharding_choice

    sharding, why = ranks.from_first(sharding_choice(recipe.training, network, device, ranks))
    if sharding == "on":
        from trainwright.training.sharding import shard

        check_shardable(recipe.training)
        shard(network, device)
    else:
        network.to(device)
    return sharding, why


def _training_tokens(data: LanguageData) -> int:
    index = data.indices["training"]
    return int(sum(data.tokens.lengths[index + part].sum() for part in range(data.parts_each)))


def _fresh(recipe: Recipe, vocabulary: int) -> LanguageModel:
    return load_pretrained(recipe) if family_of(recipe) == "pretrained" else build_network(recipe, vocabulary)


def _check_vocabulary(recipe: Recipe, tokenizer: LanguageTokenizer, network: LanguageModel) -> None:
    """Refuse tokens that the model has no place for, even if no text of the data has them: others will."""
    if tokenizer.vocabulary > network.vocabulary:
        raise RecipeError(
            f"the tokenizer gives ids up to {tokenizer.vocabulary - 1}, and the model knows "
            f"{network.vocabulary} tokens",
            where=recipe.model.checkpoint or "language.tokenizer",
            fix="use the tokenizer that belongs to the checkpoint, or give the model more with transformers' "
            "resize_token_embeddings",
        )


def _precision(device: Any) -> tuple[Literal["float32", "bfloat16"], str]:
    from trainwright.foundation.bfloat16 import WORTH_IT, cpu_gain

    if device.type == "cuda":
        return "bfloat16", "GPUs compute in it several times faster"
    if device.type == "cpu" and (gain := cpu_gain()) >= WORTH_IT:
        return "bfloat16", f"this CPU multiplies matrices {gain:.1f} times faster in it"
    return "float32", ""

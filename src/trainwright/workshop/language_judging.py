"""Judging a language model: loss, perplexity and bits per byte beside what counting tells; samples."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trainwright.data.encoded import Array
from trainwright.evaluation.bootstrap import wilson
from trainwright.evaluation.ngrams import NGrams
from trainwright.foundation.devices import autocast, peak_memory_mb
from trainwright.foundation.paths import whole_folder, write_json
from trainwright.foundation.random import numpy_stream
from trainwright.foundation.ranks import ALONE, Ranks
from trainwright.reporting.card import write_card
from trainwright.reporting.manifest import write_manifest
from trainwright.reporting.report import write_report

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainwright.data.token_batches import Cutting
    from trainwright.data.token_store import Tokens
    from trainwright.features.language.tokenizer import LanguageTokenizer
    from trainwright.tasks.language import LanguageBatches, LanguageTask
    from trainwright.workshop.language_data import LanguageData
    from trainwright.workshop.language_job import LanguageJob

_MOST_TOKENS = 1 << 21
"""Tokens of a part that the end of a run reads."""
_ORDERS = 4
_COUNTED_TOKENS = 1 << 22
"""Training tokens that n-grams are counted in."""
_HEADLINES = ("reward_accuracy", "bits_per_byte", "perplexity", "loss")
"""What names how good a model is: the first of these that there is."""
_MEASURES = {
    "loss": ("loss in nats", False),
    "reward_accuracy": ("reward accuracy", True),
    "reward_margin": ("reward margin", True),
}
"""Measure → what it is called, and whether more is better."""
_LEAST_BATCHES, _WANTED_BATCHES = 8, 40

Sums = npt.NDArray[np.float64]


def figures(task: LanguageTask, means: Sequence[float]) -> dict[str, float]:
    """Return the metrics beside the loss.

    Args:
        task: what is learned.
        means: of its measures; the first is the loss in nats.
    """
    found = dict(zip(task.measures[1:], means[1:], strict=True))
    if task.unit == "token":
        found["perplexity"] = math.exp(min(means[0], 700))
    return found


def measured(
    task: LanguageTask,
    network: nn.Module,
    batches: LanguageBatches,
    parts: Sequence[Array],
    device: torch.device,
    ranks: Ranks = ALONE,
) -> tuple[Sums, Sums]:
    """Return the sums of the task's measures, [measures, batches], and their counts, [batches].

    Of the logits few are held at a time: those of a batch only by a model that gives nothing else (see
    `LanguageModel.at_once`).

    Args:
        task: what is learned.
        network: the model, in evaluation mode.
        batches: a part.
        parts: the rows of each batch.
        device: where the model is.
        ranks: the processes that share the rows out.
    """
    import torch

    from trainwright.training.sharding import is_sharded

    sums = torch.zeros(len(task.measures) + 1, len(parts), device=device)
    together = is_sharded(network)
    with torch.no_grad():
        for number, part in enumerate(parts):
            rows = ranks.share(part)
            if together and not len(rows):  # all compute it together: it repeats a row of another's
                task.measured(network, batches.batch(part[:1]).to(device))
            elif len(rows):
                sums[:-1, number], sums[-1:, number] = task.measured(network, batches.batch(rows).to(device))
    ranks.add_up(sums)
    found = sums.cpu().double().numpy()  # MPS has no numbers of 64 bits
    return found[:-1], found[-1]


def judge_language(job: LanguageJob, began: float) -> None:
    """Judge a trained language model and write model folder, report and, last, the evaluation."""
    place, outcome, data = job.place, job.outcome, job.data
    assert place is not None and outcome is not None
    (place / "evaluation.json").unlink(missing_ok=True)
    # The model is whole on disk before judging begins: a run that is stopped now has lost nothing.
    with whole_folder(place / "model") as scratch:
        job.model().save(scratch)
        write_manifest(scratch, data_fingerprint=data.table.fingerprint, metrics={})
    tick = time.monotonic()
    network = job.network.eval()
    part = "test" if len(data.indices["test"]) else "validation"
    parts = {name: _judged(job, network, name) for name in dict.fromkeys((part, "validation"))}
    baseline = None
    simple = _BASELINES.get(str(data.recipe.task))
    if job.recipe.evaluation.baselines and simple is not None:
        baseline = simple(job, part)
    samples = job.samples(network)
    data.seconds["judge"] = time.monotonic() - tick
    timings = {name: round(value, 3) for name, value in data.seconds.items()}
    timings["total"] = round(time.monotonic() - began, 3)
    document = {
        "targets": {},
        "language": {
            "task": data.recipe.task,
            "unit": job.task.unit,
            "parts": parts,
            "baseline": baseline,
            **_verdict(parts[part]["metrics"], baseline),
            "samples": samples,
        },
        "part": part,
        "timings": timings,
        "peak_memory_mb": round(peak_memory_mb()),
        "stopped": outcome.reason,
    }
    metrics = {name: found["value"] for name, found in parts[part]["metrics"].items()}
    write_card(place, place / "model", evaluation=document)
    write_manifest(
        place / "model", data_fingerprint=data.table.fingerprint, metrics={str(data.recipe.task): metrics}
    )
    write_report(place, evaluation=document)
    write_json(place / "evaluation.json", document)


def _verdict(metrics: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the metric that names how good a model is, and what it is beside the simple one."""
    metric = next(name for name in _HEADLINES if name in metrics)
    figure = metrics[metric]
    simple = None if baseline is None else baseline["metrics"].get(metric)
    sign, end = (1, "low") if figure["greater_is_better"] else (-1, "high")
    least = figure["value"] if figure[end] is None else figure[end]
    if simple is None:
        outcome = "no baseline"
    elif sign * (least - simple) > 0:
        outcome = "better"
    else:
        outcome = "worse" if sign * (figure["value"] - simple) < 0 else "as good"
    return {"metric": metric, "verdict": {"outcome": outcome}}


def _judged(job: LanguageJob, network: nn.Module, part: str) -> dict[str, Any]:
    """Return the metrics of a part with their intervals."""
    assert job.recipe.training.batch_tokens is not None
    index = job.data.indices[part]
    tokens = int(job.data.tokens.lengths_of(index).sum())
    # Batches small enough that there are some to resample; a pair is in one batch, however long it is.
    least = job.task.reading.context if job.task.unit == "token" else 1
    budget = min(job.recipe.training.batch_tokens, max(least, tokens // _WANTED_BATCHES))
    budget = job.network.at_once(budget)
    batches = job.task.batches(index, budget=budget, training=False)
    plan = batches.plan(0)
    shares, read = [], 0
    for number in range(len(plan)):
        shares.append(plan[number])
        read += batches.size(plan[number])
        if read >= _MOST_TOKENS:
            break
    whole = len(shares) == len(plan)
    # As in training and its evaluations: a GPU reads so much in full precision many times as slowly.
    with autocast(job.device, job.recipe.training.precision):
        sums, counts = measured(job.task, network, batches, shares, job.device)
    scales = {}
    if job.recipe.task == "causal-lm":
        texts = text_read(job.data.tokens, job.data.tokenizer, batches.cutting, np.concatenate(shares))
        scales = {f"bits_per_{unit}": float(counts.sum() / max(size, 1)) for unit, size in texts.items()}
    return {
        f"{job.task.unit}s": int(counts.sum()),
        "batches": len(shares),
        "whole": whole,
        "read": read,
        "of": tokens,
        "metrics": _metrics(job, sums, counts, scales),
    }


def text_read(tokens: Tokens, tokenizer: LanguageTokenizer, cutting: Cutting, rows: Array) -> dict[str, int]:
    """Return bytes and characters of the text that is told in some pieces of texts.

    Args:
        tokens: of texts, each behind the token that stands before every text.
        tokenizer: that cut them.
        cutting: names the pieces.
        rows: the pieces; with one all before it in its text.
    """
    pieces = cutting.pieces(rows)
    owners = np.searchsorted(tokens.offsets, pieces.starts, side="right") - 1
    samples, place = np.unique(owners, return_inverse=True)
    read = np.zeros(len(samples), dtype=np.int64)
    # The last token of a piece tells the one behind it.
    np.maximum.at(read, place, pieces.starts + pieces.lengths + 1 - tokens.offsets[owners])
    return _sizes_of(tokens, tokenizer, samples, read)


def _sizes_of(tokens: Tokens, tokenizer: LanguageTokenizer, samples: Array, read: Array) -> dict[str, int]:
    """Return bytes and characters of some texts of which so many tokens are read, the first ones."""
    whole = read >= tokens.lengths[samples]
    size = int(tokens.sizes[samples[whole]].sum())
    characters = int(tokens.characters[samples[whole]].sum())
    for first, count in zip(tokens.offsets[samples[~whole]].tolist(), read[~whole].tolist(), strict=True):
        text = tokenizer.decode(tokens.ids[first + 1 : first + count])
        size, characters = size + len(text.encode()), characters + len(text)
    return {"byte": size, "character": characters}


def _metrics(job: LanguageJob, sums: Sums, counts: Sums, scales: Mapping[str, float]) -> dict[str, Any]:
    """Return measures, perplexity and bits: {"title", "value", "low", "high", "greater_is_better"} each."""
    settings, total = job.recipe.evaluation, counts.sum()
    means = sums.sum(axis=1) / max(total, 1)
    ends: npt.NDArray[np.float64] | None = None
    if settings.bootstrap and len(counts) >= _LEAST_BATCHES:
        random = numpy_stream(job.recipe.seed, "bootstrap")
        drawn = random.integers(len(counts), size=(settings.bootstrap, len(counts)))
        draws = sums[:, drawn].sum(axis=2) / np.maximum(counts[drawn].sum(axis=1), 1)
        tail = (1 - settings.confidence) / 2
        ends = np.quantile(draws, [tail, 1 - tail], axis=1).T  # [measures, 2]

    def figure(
        title: str, turn: Callable[[float], float] = float, *, number: int = 0, greater: bool = False
    ) -> dict[str, Any]:
        low, high = (None, None) if ends is None else map(turn, ends[number].tolist())
        value = turn(float(means[number]))
        return {"title": title, "value": value, "low": low, "high": high, "greater_is_better": greater}

    found: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(job.task.measures):
        title, greater = _MEASURES[name]
        found[name] = figure(title, number=number, greater=greater)
    if "reward_accuracy" in found and settings.bootstrap:
        # Pairs are right or wrong by themselves: where all are right, resampling would be sure of it.
        share = found["reward_accuracy"]
        share["low"], share["high"] = wilson(share["value"], int(total), settings.confidence)
    if job.task.unit == "token":
        found["perplexity"] = figure("perplexity", lambda nats: math.exp(min(nats, 700)))
    for name, scale in scales.items():
        bits = partial(operator.mul, scale / math.log(2))
        found[name] = figure(name.replace("_", " "), bits)
    return found


def _untrained(job: LanguageJob, part: str) -> dict[str, Any]:
    """Return what the model that training starts from reaches: its rewards are zero; it prefers neither."""
    del job, part
    return {
        "name": "start",
        "metrics": {"loss": math.log(2), "reward_accuracy": 0.5, "reward_margin": 0.0},
    }


def _counted(job: LanguageJob, part: str) -> dict[str, Any]:
    """Return what n-grams of tokens, counted in the training texts or targets, reach on a part."""
    data = job.data
    ids, offsets, all_of_it = _end_to_end(data, "training", _COUNTED_TOKENS)
    counted = {"read": len(ids), "whole": all_of_it}
    model = NGrams(ids, offsets, data.tokenizer.vocabulary, order=_ORDERS)
    ids, offsets, _ = _end_to_end(data, part, _MOST_TOKENS)
    nats = model.nats(ids, offsets)
    told = np.ones(len(ids), dtype=bool)
    told[offsets[:-1][np.diff(offsets) > 0]] = False  # the first of a text is told from nothing
    loss = float(nats[told].mean())
    found = {"loss": loss, "perplexity": math.exp(min(loss, 700))}
    if data.recipe.task == "causal-lm":
        samples = data.indices[part][: len(offsets) - 1]
        bits = float(nats[told].sum()) / math.log(2)
        for unit, size in _sizes_of(data.tokens, data.tokenizer, samples, np.diff(offsets)).items():
            found[f"bits_per_{unit}"] = bits / max(size, 1)
    return {"name": "ngrams", "order": _ORDERS, **counted, "metrics": found}


def _end_to_end(data: LanguageData, part: str, most: int) -> tuple[Array, Array, bool]:
    """Return the ids of a part's first samples, where each begins, and whether they are all.

    Of pairs they are the targets'. Before a target stands the token that its source ends with, as what a text
    begins with.
    """
    tokens = data.tokens
    pieces: list[Array] = []
    total = 0
    for sample in data.indices[part].tolist():
        first, last = int(tokens.offsets[sample]), int(tokens.offsets[sample + 1])
        if tokens.trained is not None:
            first += max(int(np.argmax(tokens.trained[first:last])) - 1, 0)
        if pieces and total + last - first > most:
            break
        pieces.append(tokens.ids[first:last])
        total += last - first
    offsets = np.cumsum([0, *map(len, pieces)])
    whole = len(pieces) == len(data.indices[part]) and total <= most
    return np.concatenate(pieces)[:most].astype(np.int64), np.minimum(offsets, most).astype(np.int64), whole


_BASELINES: Mapping[str, Callable[[LanguageJob, str], dict[str, Any]]] = {
    "causal-lm": _counted,
    "sequence-to-sequence": _counted,
    "preference": _untrained,
}
"""Task → the simple model beside it; n-grams of targets are the same whatever the source."""

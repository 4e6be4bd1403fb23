"""Judging a language model: loss, perplexity and bits per byte beside what counting tells; samples."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trainwright.data.encoded import Array
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

    from trainwright.tasks.language import LanguageBatches, LanguageTask
    from trainwright.workshop.language_data import LanguageData
    from trainwright.workshop.language_job import LanguageJob

_MOST_TOKENS = 1 << 21
"""Tokens of a part that the end of a run reads."""
_ORDERS = 4
_COUNTED = frozenset({"causal-lm", "sequence-to-sequence"})
"""Tasks of which counting tells something: of targets that which is the same whatever the source."""
_COUNTED_TOKENS = 1 << 22
"""Training tokens that n-grams are counted in."""
_HEADLINES = ("bits_per_byte", "perplexity", "loss")
"""What names how good a model is: the first of these that there is."""
_LEAST_BATCHES, _WANTED_BATCHES = 8, 40

Sums = npt.NDArray[np.float64]


def figures(task: LanguageTask, loss: float) -> dict[str, float]:
    """Return the metrics that follow from a mean loss in nats."""
    if task.unit != "token":
        return {}
    return {"perplexity": math.exp(min(loss, 700))}


def loss_of(
    task: LanguageTask,
    network: nn.Module,
    batches: LanguageBatches,
    parts: Sequence[Array],
    device: torch.device,
    ranks: Ranks = ALONE,
) -> tuple[Sums, Sums]:
    """Return sum and count of the loss of each batch, [batches]; logits are never held.

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

    sums = torch.zeros(2, len(parts), device=device)
    together = is_sharded(network)
    with torch.no_grad():
        for number, part in enumerate(parts):
            rows = ranks.share(part)
            if together and not len(rows):  # all compute it together: it repeats a row of another's
                task(network, batches.batch(part[:1]).to(device))
            elif len(rows):
                loss = task(network, batches.batch(rows).to(device))
                sums[0, number], sums[1, number] = loss.sum[0], loss.count[0]
    ranks.add_up(sums)
    found = sums.cpu().double().numpy()
    return found[0], found[1]


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
    if job.recipe.evaluation.baselines and data.recipe.task in _COUNTED:
        baseline = _counted(job, part)
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
    """Return the metric that names how good a model is, and what it is beside counting."""
    metric = next(name for name in _HEADLINES if name in metrics)
    figure = metrics[metric]
    counted = None if baseline is None else baseline["metrics"].get(metric)
    highest = figure["value"] if figure["high"] is None else figure["high"]
    if counted is None:
        outcome = "no baseline"
    elif highest < counted:
        outcome = "better"
    else:
        outcome = "worse" if figure["value"] > counted else "as good"
    return {"metric": metric, "verdict": {"outcome": outcome}}


def _judged(job: LanguageJob, network: nn.Module, part: str) -> dict[str, Any]:
    """Return the metrics of a part with their intervals."""
    assert job.recipe.training.batch_tokens is not None
    index = job.data.indices[part]
    tokens = int(job.data.tokens.lengths[index].sum())
    # Batches small enough that there are some to resample.
    budget = min(job.recipe.training.batch_tokens, max(job.task.reading.context, tokens // _WANTED_BATCHES))
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
        sums, counts = loss_of(job.task, network, batches, shares, job.device)
    split = job.task.reading.long == "split"
    scales = _scales(job.data, part, sums, counts) if whole and split else {}
    return {
        "tokens": int(counts.sum()),
        "batches": len(shares),
        "whole": whole,
        "metrics": _metrics(job, sums, counts, scales),
    }


def _scales(data: LanguageData, part: str, sums: Sums, counts: Sums) -> dict[str, float]:
    """Return tokens for each byte and character of a part: what turns nats a token into bits of text."""
    if data.recipe.task != "causal-lm":
        return {}
    index = data.indices[part]
    total = counts.sum()
    return {
        "bits_per_byte": float(total / max(data.tokens.sizes[index].sum(), 1)),
        "bits_per_character": float(total / max(data.tokens.characters[index].sum(), 1)),
    }


def _metrics(job: LanguageJob, sums: Sums, counts: Sums, scales: Mapping[str, float]) -> dict[str, Any]:
    """Return loss, perplexity and bits, each {"value", "low", "high"} by resampling batches."""
    settings = job.recipe.evaluation
    loss = sums.sum() / max(counts.sum(), 1)
    low = high = None
    if settings.bootstrap and len(sums) >= _LEAST_BATCHES:
        random = numpy_stream(job.recipe.seed, "bootstrap")
        drawn = random.integers(len(sums), size=(settings.bootstrap, len(sums)))
        losses = sums[drawn].sum(axis=1) / np.maximum(counts[drawn].sum(axis=1), 1)
        tail = (1 - settings.confidence) / 2
        low, high = np.quantile(losses, [tail, 1 - tail]).tolist()

    def figure(title: str, turn: Any) -> dict[str, Any]:
        return {
            "title": title,
            "value": turn(loss),
            "low": None if low is None else turn(low),
            "high": None if high is None else turn(high),
        }

    found = {"loss": figure("loss in nats", float)}
    if job.task.unit == "token":
        found["perplexity"] = figure("perplexity", lambda nats: math.exp(min(nats, 700)))
    for name, share in scales.items():
        found[name] = figure(name.replace("_", " "), lambda nats, share=share: nats * share / math.log(2))
    return found


def _counted(job: LanguageJob, part: str) -> dict[str, Any]:
    """Return what n-grams of tokens, counted in the training texts or targets, reach on a part."""
    data = job.data
    ids, offsets = _end_to_end(data, "training", _COUNTED_TOKENS)
    model = NGrams(ids, offsets, data.tokenizer.vocabulary, order=_ORDERS)
    ids, offsets = _end_to_end(data, part, _MOST_TOKENS)
    nats = model.nats(ids, offsets)
    told = np.ones(len(ids), dtype=bool)
    told[offsets[:-1][np.diff(offsets) > 0]] = False  # the first of a text is told from nothing
    loss = float(nats[told].mean())
    whole = int(offsets[-1]) == int(data.tokens.lengths[data.indices[part]].sum())
    index = data.indices[part]
    found = {"loss": loss, "perplexity": math.exp(min(loss, 700))}
    if whole and data.recipe.task == "causal-lm":
        bits = float(nats[told].sum()) / math.log(2)
        found["bits_per_byte"] = bits / max(int(data.tokens.sizes[index].sum()), 1)
        found["bits_per_character"] = bits / max(int(data.tokens.characters[index].sum()), 1)
    return {"name": "ngrams", "order": _ORDERS, "metrics": found}


def _end_to_end(data: LanguageData, part: str, most: int) -> tuple[Array, Array]:
    """Return the ids of a part's first samples, and where each begins; of a pair the target's.

    Before a target stands the token that its source ends with, as what a text begins with.
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
    return np.concatenate(pieces)[:most].astype(np.int64), np.minimum(offsets, most).astype(np.int64)

"""The loop trains a checkpoint as a plain loop over transformers would: the same losses, step by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trainwright as tw
from trainwright.features.language.train import train_tokenizer
from trainwright.training.events import read_events

STEPS, RATE, DECAY, CLIP = 20, 1e-3, 0.1, 1.0
WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "ran",
    "on",
    "under",
    "mat",
    "tree",
    "and",
    "it",
    "was",
    "old",
    "red",
]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(WORDS, int(draw.integers(5, 40)))) for _ in range(200)]


def checkpoint(kind: str, texts: list[str], folder: Path) -> Any:
    """Return a small GPT-2 or BERT with random weights, saved with a tokenizer."""
    import transformers as hf

    masked = kind == "bert"
    tokenizer = train_tokenizer(texts, kind="wordpiece" if masked else "bpe", vocabulary=300, masked=masked)
    torch.manual_seed(0)
    if masked:
        shape = hf.BertConfig(
            vocab_size=300,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=128,
            max_position_embeddings=64,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        model: Any = hf.BertForMaskedLM(shape)
    else:
        model = hf.GPT2LMHeadModel(
            hf.GPT2Config(
                vocab_size=300,
                n_embd=64,
                n_layer=2,
                n_head=4,
                n_positions=64,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
            )
        )
    model.save_pretrained(folder)
    tokenizer.save(folder)
    return model


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_losses_are_those_of_a_plain_loop(kind: str, texts: list[str], tmp_path: Path) -> None:
    model = checkpoint(kind, texts, tmp_path / "checkpoint")
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    settings = {
        "model.checkpoint": str(tmp_path / "checkpoint"),
        "language.context": 48,
        "training.batch_tokens": 256,
        "training.learning_rate": RATE,
        "training.weight_decay": DECAY,
        "training.schedule": "constant",
        "training.warmup": 0,
        "training.clip": CLIP,
        "training.precision": "float32",
        "evaluation.sample_tokens": 0,
        "evaluation.bootstrap": 0,
    }
    task = "masked-lm" if kind == "bert" else "causal-lm"
    run = tw.train(str(path), task=task, budget=f"{STEPS} steps", settings=settings, run=tmp_path / "run")
    ours = [event["loss"] for event in read_events(run.path / "events.jsonl") if event["kind"] == "step"]

    from trainwright.tasks.language import LABELS, LENGTHS, TOKENS, WHERE
    from trainwright.workshop.language_job import language_job

    job = language_job(run.recipe, None, run.path)
    batches = job.trainer().batches
    # transformers' own padded forward pass and loss, torch's own AdamW.
    decayed = {name for name, p in model.named_parameters() if p.dim() >= 2 and "embeddings" not in name}
    decayed -= {"transformer.wte.weight", "transformer.wpe.weight"}
    groups = [
        {"params": [p for name, p in model.named_parameters() if name in decayed], "weight_decay": DECAY},
        {"params": [p for name, p in model.named_parameters() if name not in decayed], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    model.train()
    theirs: list[float] = []
    epoch, place, plan = 0, 0, batches.plan(0)
    while len(theirs) < STEPS:
        if place == len(plan):
            epoch, place = epoch + 1, 0
            plan = batches.plan(epoch)
        batch = batches.batch(plan[place])
        place += 1
        lengths = batch.inputs[LENGTHS]
        inside = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
        tokens = torch.zeros(inside.shape, dtype=torch.int64)
        tokens[inside] = batch.inputs[TOKENS]
        labels = torch.full(inside.shape, -100)
        flat = torch.full((int(lengths.sum()),), -100)
        if WHERE in batch.inputs:
            flat[batch.inputs[WHERE]] = batch.targets[LABELS]
        else:
            flat[:] = batch.targets[LABELS]
        labels[inside] = flat
        logits = model(input_ids=tokens, attention_mask=inside.long()).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        theirs.append(loss.item())
    assert len(ours) == STEPS
    assert ours[-1] < ours[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)

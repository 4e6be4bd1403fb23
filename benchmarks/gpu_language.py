"""How fast do language models train on one GPU, beside what people use? A JSON line each.

    python -m benchmarks.gpu_language [gpt124m gpt1b bert shakespeare] [--rounds 1] [--out FILE]
    python -m benchmarks.gpu_language --small    (on a CPU: it works there, and its figures say nothing)

gpt124m      12 layers of 768, rows of 1,024 tokens, 65,536 in an update, bfloat16; beside Trainer with
             torch_compile and a plain loop. Goals on an H100: 1.45 times Trainer's tokens a second; MFU of
             48 %
gpt1b        1.1 billion parameters, 20 layers of 2,048, rows of 2,048 tokens, 16,384 in an update; beside
             the plain loop. Goal: MFU of 62 %
bert         masked language modelling by a BERT-base, the same network on both sides. Ours packs texts of
             real lengths; Trainer pads 64 of them to the longest, as `run_mlm.py --line_by_line` does, as
             they come and sorted by length. Goal: 2.5 times the tokens a second, padding not counted
shakespeare  6 layers of 384 over the characters of tinyshakespeare: seconds from the call to the first
             evaluation at 1.47 nats a character on its last tenth. Goal: 60 s

Weights are random, and so are tokens but for shakespeare's. Decoders are trained by AdamW on all sides; ours
by Muon, too, which is its default. Steps are timed without waiting for the device in between, behind a
warm-up in which everything is compiled. A peer's update that does not fit into memory is done in halves.

The plain loop is the same model file, compiled whole: rows side by side, all logits at once, fused AdamW.
MFU is 6N + 12·L·d·T operations a token over the 989 TFLOP/s that an H100 has in bfloat16 (Chowdhery et al.
2022, 'PaLM'); N leaves out a table of positions. `--text FILE` is for shakespeare where tinyshakespeare is
not in `../shared/data`; `--set NAME=VALUE` changes the recipe of our sides.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pairs
from benchmarks.gpu import Line, rate

PEAK = 989e12
"""Operations a second of an H100 in bfloat16, without sparsity."""
TARGET_LOSS, TARGET_SECONDS = 1.47, 60
SHAKESPEARE = pairs.DATA / "tinyshakespeare" / "input.txt"


@dataclass(frozen=True)
class Shape:
    """What is trained.

    Attributes:
        vocabulary: tokens that there are.
        depth, width, heads: of the network.
        context: tokens of a row at most.
        rows: rows of an update; of bert those of the peer.
        warm_up, timed: updates.
    """

    vocabulary: int
    depth: int
    width: int
    heads: int
    context: int
    rows: int
    warm_up: int = 20
    timed: int = 60

    @property
    def tokens(self) -> int:
        """Tokens of an update."""
        return self.rows * self.context

    @property
    def num_rows(self) -> int:
        """Rows of all updates: nobody begins anew in the midst of what is timed."""
        return self.rows * (self.warm_up + self.timed)

    @property
    def options(self) -> dict[str, int]:
        """The options of our families."""
        return {"depth": self.depth, "width": self.width, "heads": self.heads}


SHAPES = {
    "gpt124m": Shape(50_304, 12, 768, 12, context=1_024, rows=64),
    "gpt1b": Shape(50_304, 20, 2_048, 16, context=2_048, rows=8, warm_up=10, timed=30),
    "bert": Shape(30_522, 12, 768, 12, context=512, rows=64),
    "shakespeare": Shape(260, 6, 384, 6, context=256, rows=64),
}
_SMALL = {"depth": 2, "width": 32, "heads": 2, "context": 32, "rows": 4, "warm_up": 1, "timed": 2}
_KEPT = 4
"""Texts of validation and of test, which a recipe must have."""


def mfu(tokens_per_second: float, *, parameters: int, layers: int, width: int, context: int) -> float:
    """Return which share of the GPU's operations a training uses.

    Args:
        tokens_per_second: of the training.
        parameters: that multiply something.
        layers, width: of the network.
        context: tokens of a row.
    """
    return tokens_per_second * (6 * parameters + 12 * layers * width * context) / PEAK


def _with_mfu(found: Line, shape: Shape) -> Line:
    sizes = {"layers": shape.depth, "width": shape.width, "context": shape.context}
    return found | {"mfu": mfu(found["tokens_per_second"], parameters=found["parameters"], **sizes)}


def _on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _now() -> float:
    """Return the time at which all that was asked of the device is done."""
    import torch

    if _on_gpu():
        torch.cuda.synchronize()
    return time.perf_counter()


# Data.


def tokenizer_of(shape: Shape) -> Any:
    """Return a tokenizer of whole words: a text of random words has as many tokens, and two at its ends."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    roles = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    words = [*roles.values(), *(f"w{number}" for number in range(shape.vocabulary - len(roles)))]
    backend = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {f"{role}_token": text for role, text in roles.items()}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


def texts_of(shape: Shape, lengths: Sequence[int]) -> list[str]:
    """Return texts of so many random words each."""
    draw, words = np.random.default_rng(0), shape.vocabulary - 5
    return [" ".join(f"w{word}" for word in draw.integers(0, words, length).tolist()) for length in lengths]


LENGTHS = (1, 6, 12, 17, 23, 28, 33, 38, 45, 51, 59, 67, 75, 84, 95, 108, 124, 147, 181, 258, 1_394)
"""Tokens of descriptions of pets (PetFinder, 2,994 texts) by BERT's WordPiece: least, 5 %, 10 %, …, most."""


def real_lengths(shape: Shape) -> list[int]:
    """Return how many words texts have, cut off where the context ends; enough of them for both sides."""
    shares = np.random.default_rng(1).random(3 * shape.num_rows)
    lengths = np.interp(shares, np.linspace(0, 1, len(LENGTHS)), LENGTHS)
    return [int(length) for length in lengths.round().clip(1, shape.context - 2)]


# Ours.


def timed(texts: list[str], task: str, settings: Mapping[str, Any], shape: Shape, more: list[str]) -> Line:
    """Time updates of a run's own loop, made ready as `train` does it."""
    import torch

    from trainwright.foundation.random import stream_seed
    from trainwright.workshop.ask import ask_recipe
    from trainwright.workshop.language_job import language_job

    parts = ["training"] * len(texts) + ["validation"] * _KEPT + ["test"] * _KEPT
    asked, frame, base = ask_recipe(
        {"text": [*texts, *2 * texts[:_KEPT]], "split": parts},
        target=None,
        task=task,
        budget="1_000_000 steps",
        settings=[*_as_words({"evaluation.sample_tokens": 0, **settings}), *more],
    )
    job = language_job(asked, frame, base)
    torch.manual_seed(stream_seed(0, "training"))
    found = rate(job, warm_up=shape.warm_up, timed=shape.timed)
    chosen = job.recipe.training
    names = ("optimizer", "compile", "batch_tokens")
    return {**found, **{name: getattr(chosen, name) for name in names}, "parameters": job.parameters}


def _as_words(settings: Mapping[str, Any]) -> list[str]:
    """Return settings as `--set` has them."""
    return [f"{name}={json.dumps(value)}" for name, value in settings.items()]


def our_gpt(shape: Shape, more: list[str], *, optimizer: str = "adamw") -> Line:
    """Time our loop over rows of equal length."""
    from transformers import BertConfig

    with tempfile.TemporaryDirectory() as place:
        tokenizer_of(shape).save_pretrained(place)
        BertConfig().save_pretrained(place)  # any: a folder without a config.json is no checkpoint
        settings = {
            "model.options": shape.options,
            "language.tokenizer": place,
            "language.context": shape.context,
            "training.batch_tokens": shape.tokens,
            "training.optimizer": optimizer,
            "training.compile": "on" if _on_gpu() else "off",
        }
        # With the two at their ends, of which the last is only told, these are rows of the whole context.
        texts = texts_of(shape, [shape.context - 1] * shape.num_rows)
        return _with_mfu(timed(texts, "causal-lm", settings, shape, more), shape)


def our_bert(shape: Shape, more: list[str]) -> Line:
    """Time our loop over packed texts, from a checkpoint with random weights."""
    import transformers

    with tempfile.TemporaryDirectory() as place:
        transformers.BertForMaskedLM(bert_config(shape)).save_pretrained(place)
        tokenizer_of(shape).save_pretrained(place)
        settings = {"model.checkpoint": place, "language.context": shape.context}
        return timed(texts_of(shape, real_lengths(shape)), "masked-lm", settings, shape, more)


def bert_config(shape: Shape) -> Any:
    """Return the configuration of a BERT."""
    from transformers import BertConfig

    return BertConfig(
        vocab_size=shape.vocabulary,
        num_hidden_layers=shape.depth,
        hidden_size=shape.width,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.width,
        max_position_embeddings=shape.context,
    )


# Peers.


def in_halves(measure: Callable[[int], Line], rows: int) -> Line:
    """Return what was measured in the fewest micro-batches (1, 2, 4, …) that fit into memory.

    Args:
        measure: number of micro-batches → line.
        rows: rows of an update.
    """
    import torch

    parts = 1
    while True:
        try:
            return measure(parts) | {"micro_batches": parts}
        except torch.OutOfMemoryError:
            if parts == rows:
                raise
        gc.collect()
        torch.cuda.empty_cache()
        parts *= 2


def plain_gpt(shape: Shape) -> Line:
    """Time a plain loop over our model file."""
    return _with_mfu(in_halves(partial(_plain, shape), shape.rows), shape)


def _plain(shape: Shape, parts: int) -> Line:
    import torch
    import torch.nn.functional as F

    from trainwright.models.language.base import LANGUAGE_MODELS

    device = torch.device("cuda" if _on_gpu() else "cpu")
    torch.manual_seed(0)
    family = LANGUAGE_MODELS["gpt"]
    model = family(shape.vocabulary, family.Options(**shape.options)).to(device)
    rows = shape.rows // parts
    positions = torch.arange(shape.context, device=device).expand(rows, -1)

    def attention(layer: int, query: Any, key: Any, value: Any, *, window: int | None = None) -> Any:
        across = [part.transpose(1, 2) for part in (query, key, value)]  # [rows, heads, time, head_width]
        return F.scaled_dot_product_attention(*across, is_causal=True).transpose(1, 2)

    def loss_of(tokens: Any) -> Any:
        logits = model.logits(model(tokens[:, :-1], positions, attention))
        return F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())

    measured = torch.compile(loss_of) if _on_gpu() else loss_of
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, fused=True)
    tokens = torch.randint(shape.vocabulary, (shape.num_rows, shape.context + 1), device=device)
    began = 0.0
    for step in range(shape.warm_up + shape.timed):
        if step == shape.warm_up:
            began = _now()
        for part in range(parts):
            first = (step * parts + part) * rows
            with torch.autocast(device.type, torch.bfloat16, enabled=_on_gpu()):
                loss = measured(tokens[first : first + rows]) / parts
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    seconds = _now() - began
    return {
        "tokens_per_second": shape.timed * shape.tokens / seconds,
        "steps_per_second": shape.timed / seconds,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def trainer_gpt(shape: Shape) -> Line:
    """Time Trainer with torch_compile on a GPT-2 of the same shape, without dropout."""

    def measure(parts: int) -> Line:
        import torch
        import transformers

        torch.manual_seed(0)
        config = transformers.GPT2Config(
            vocab_size=shape.vocabulary,
            n_positions=shape.context,
            n_embd=shape.width,
            n_layer=shape.depth,
            n_head=shape.heads,
            use_cache=False,
            **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
        )
        model = transformers.GPT2LMHeadModel(config)
        positions = model.transformer.wpe.weight.numel()
        parameters = sum(parameter.numel() for parameter in model.parameters()) - positions
        rows = torch.randint(shape.vocabulary, (shape.num_rows, shape.context))
        data = [{"input_ids": row, "labels": row} for row in rows]
        found = trainer_rate(
            model, data, transformers.default_data_collator, shape, parts, torch_compile=_on_gpu()
        )
        return found | {"parameters": parameters}

    return _with_mfu(in_halves(measure, shape.rows), shape)


def trainer_bert(shape: Shape, *, order: str = "random") -> Line:
    """Time Trainer on padded texts, as `run_mlm.py` sets it up."""

    def measure(parts: int) -> Line:
        import torch
        import transformers

        torch.manual_seed(0)
        model = transformers.BertForMaskedLM(bert_config(shape))
        tokenizer = tokenizer_of(shape)
        ids = tokenizer(texts_of(shape, real_lengths(shape)), return_token_type_ids=False)["input_ids"]
        data = [{"input_ids": row} for row in ids]
        collate = transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
        return trainer_rate(model, data, collate, shape, parts, train_sampling_strategy=order)

    return in_halves(measure, shape.rows)


def trainer_rate(
    model: Any, data: list[dict[str, Any]], collate: Any, shape: Shape, parts: int, **more: Any
) -> Line:
    """Time Trainer's updates; padding is no token."""
    import transformers

    seen: list[Any] = []
    clock: list[float] = []

    class Counting(transformers.Trainer):
        def training_step(self, model: Any, inputs: dict[str, Any], *words: Any, **named: Any) -> Any:
            mask = inputs.get("attention_mask")
            seen.append(inputs["input_ids"].numel() if mask is None else mask.sum())
            return super().training_step(model, inputs, *words, **named)

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step in {shape.warm_up, shape.warm_up + shape.timed}:
                clock.append(_now())
            if state.global_step == shape.warm_up:
                seen.clear()

    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as place:
        arguments = transformers.TrainingArguments(
            place,
            max_steps=shape.warm_up + shape.timed,
            per_device_train_batch_size=shape.rows // parts,
            gradient_accumulation_steps=parts,
            dataloader_num_workers=4 if _on_gpu() else 0,
            remove_unused_columns=False,
            bf16=_on_gpu(),
            use_cpu=not _on_gpu(),
            optim="adamw_torch_fused",
            learning_rate=1e-4,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=0,
            **more,
        )
        Counting(model, arguments, data_collator=collate, train_dataset=data, callbacks=[Clock()]).train()
    begin, end = clock
    return {
        "tokens_per_second": sum(map(int, seen)) / (end - begin),
        "steps_per_second": shape.timed / (end - begin),
    }


# From a text to a loss.


def shakespeare(shape: Shape, more: list[str], *, text: Path, budget: str) -> Line:
    """Train on characters; return when validation was good enough."""
    import trainwright as tw
    from trainwright.training.events import read_events

    settings = {
        "model.options": {**shape.options, "dropout": 0.2},
        "language.vocabulary": shape.vocabulary,  # bytes, which are its characters, and what ends a text
        "language.context": shape.context,
        "training.batch_tokens": shape.tokens,
        "training.early_stopping": 0,
        "split.validation": 0.1,
        "split.test": 0.0,
        "evaluation.sample_tokens": 0,
        "evaluation.baselines": False,
    }
    with tempfile.TemporaryDirectory() as place:
        called = time.time()
        run = tw.train(
            str(text),
            task="causal-lm",
            budget=budget,
            settings=[*_as_words(settings), *more],
            run=Path(place) / "run",
        )
        events = list(read_events(run.path / "events.jsonl"))
        judged = [event for event in events if event["kind"] == "evaluation"]
        stop = next(event for event in events if event["kind"] == "stop")
        taken = [event["time"] - called for event in judged if event["loss"] <= TARGET_LOSS]
        return {
            "seconds_to_target": taken[0] if taken else None,
            "reached": bool(taken) and taken[0] < TARGET_SECONDS,
            "loss": run.metrics["validation"]["loss"],
            "steps": stop["step"],
            "seconds": stop["seconds"],
            "tokens_per_second": stop["rows_per_second"],
            "optimizer": run.recipe.training.optimizer,
        }


def sides(case: str, words: argparse.Namespace) -> dict[str, Callable[[], Line]]:
    """Return who takes part in a case, ours first."""
    shape, more = SHAPES[case], words.set
    if words.small:
        shape = replace(shape, vocabulary=min(shape.vocabulary, 500), **_SMALL)
    if case == "shakespeare":
        budget = "20 steps" if words.small else f"{words.seconds}s"
        return {"trainwright": partial(shakespeare, shape, more, text=words.text, budget=budget)}
    if case == "bert":
        return {
            "trainwright": partial(our_bert, shape, more),
            "Trainer": partial(trainer_bert, shape),
            "Trainer, by length": partial(trainer_bert, shape, order="group_by_length"),
        }
    found: dict[str, Callable[[], Line]] = {
        "trainwright": partial(our_gpt, shape, more),
        "trainwright, Muon": partial(our_gpt, shape, more, optimizer="muon"),
        "plain loop": partial(plain_gpt, shape),
    }
    return found | ({"Trainer": partial(trainer_gpt, shape)} if case == "gpt124m" else {})


def asked(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", choices=[*SHAPES, []], default=[], help="all without")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=45, help="of training, of shakespeare")
    parser.add_argument("--text", type=Path, default=SHAKESPEARE, help="of shakespeare")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of our recipes")
    parser.add_argument("--small", action="store_true", help="small enough for a CPU")
    parser.add_argument("--who", help="one side, in this process")
    parser.add_argument("--out", type=Path)
    return parser.parse_args(words)


def main() -> None:
    """Compare, each side in a process of its own."""
    words = asked()
    if words.who:
        (case,) = words.cases
        print(json.dumps(sides(case, words)[words.who]()))
        return
    passed_on = ["--seconds", str(words.seconds), "--text", str(words.text), *["--small"] * words.small]
    passed_on += [word for setting in words.set for word in ("--set", setting)]
    failed = []
    for case in words.cases or SHAPES:
        own = ("benchmarks.gpu_language", case, *passed_on, "--who")
        measures = {who: partial(_turn, *own, who) for who in sides(case, words)}
        try:
            pairs.compare(case, measures, by="tokens_per_second", rounds=words.rounds, out=words.out)
        except subprocess.CalledProcessError as error:  # it has said why; the other cases go on
            failed.append(f"{case}, {error.cmd[-1]}")
    if failed:
        sys.exit(f"failed: {'; '.join(failed)}")


def _turn(*words: str | int) -> Line:
    """Return what a side measured; the last word is the round, and every round is the same."""
    return pairs.ours(*map(str, words[:-1]))


if __name__ == "__main__":
    main()

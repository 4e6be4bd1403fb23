"""Hugging Face Trainer on a text classification: rows a second behind a warm-up, and accuracy."""

from __future__ import annotations

import argparse
import json
import tempfile
import time

import numpy as np
import polars as pl
import torch
import transformers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

WARM_UP = 5


class Clock(TrainerCallback):
    """Times the steps behind the warm-up."""

    began = ended = 0.0

    def on_step_end(self, args, state, control, **_):
        self.ended = time.perf_counter()
        if state.global_step == WARM_UP:
            self.began = self.ended


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("checkpoint", "train", "text", "label", "mode"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--test")
    parser.add_argument("--steps", type=int, default=-1)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    transformers.logging.set_verbosity_error()
    tokenizer = AutoTokenizer.from_pretrained(words.checkpoint)

    frame = pl.read_csv(words.train, infer_schema=False)
    labels = sorted(frame[words.label].unique())

    def rows(frame: pl.DataFrame) -> list[dict[str, object]]:
        tokens = tokenizer(frame[words.text].to_list(), truncation=True, max_length=128)["input_ids"]
        return [
            {"input_ids": ids, "labels": labels.index(label)}
            for ids, label in zip(tokens, frame[words.label], strict=True)
        ]

    tuned = {
        # What helps on this machine; bfloat16 where the processor has the instructions.
        "per_device_train_batch_size": words.batch,
        "train_sampling_strategy": "group_by_length",
        "bf16": torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.cpu._is_avx512_bf16_supported(),
        "torch_compile": words.mode == "compiled",
    }
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            use_cpu=True,
            max_steps=words.steps,
            num_train_epochs=words.epochs,
            learning_rate=1e-4 if words.mode != "default" else 5e-5,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=words.seed,
            **({} if words.mode == "default" else tuned),
        )
        model = AutoModelForSequenceClassification.from_pretrained(words.checkpoint, num_labels=len(labels))
        clock = Clock()
        trainer = Trainer(
            model,
            arguments,
            data_collator=DataCollatorWithPadding(tokenizer),
            train_dataset=rows(frame),
            callbacks=[clock],
        )
        trainer.train()
        steps = trainer.state.global_step - WARM_UP
        rate = steps * arguments.per_device_train_batch_size / (clock.ended - clock.began)
        found = {
            "rows_per_second": rate,
            "batch": arguments.per_device_train_batch_size,
            "bf16": arguments.bf16,
        }
        if words.test:
            test = rows(pl.read_csv(words.test, infer_schema=False))
            judged = trainer.predict(test)  # whose order is not that of the rows, where they are grouped
            found["accuracy"] = float(np.mean(judged.predictions.argmax(1) == judged.label_ids))
    print(json.dumps(found))


if __name__ == "__main__":
    main()

"""How fast is fine-tuning a small pretrained encoder, beside Hugging Face Trainer?

    python -m benchmarks.minilm [trec6 banking77 sms_spam] [--rounds 3] [--out FILE]
    python -m benchmarks.minilm --quality trec6    (one pass over the data, and accuracy on the test rows)

The packaged MiniLM-L6 on the same rows, 2 cores. Ours is a default recipe. The peers are Trainer as it comes
(8 rows a step, dynamic padding) and Trainer as an expert sets it (as many rows a step as ours, texts grouped
by length, bfloat16 where the processor has it). Rows a second are of whole steps, behind a warm-up of five;
nobody evaluates meanwhile. Trainer drops attention weights in training, packed rows do not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import pairs, peers
from benchmarks.quality import minilm

WARM_UP = 5
FILES = {
    name: "data.csv" if name == "sms_spam" else "train.csv" for name in ("trec6", "banking77", "sms_spam")
}


def step_rate(name: str, steps: int) -> dict[str, Any]:
    """Time steps of our loop, as a default recipe sets it up."""
    from trainwright.workshop.ask import ask_recipe
    from trainwright.workshop.prepare import prepare
    from trainwright.workshop.table_job import table_job

    asked, frame, base = ask_recipe(
        str(pairs.DATA / name / FILES[name]),
        target="label",
        recipe=None,
        budget="10_000 steps",
        seed=0,
        settings={"inputs.text": "text", "model.name": "pretrained", "model.checkpoint": minilm()},
    )
    job = table_job(prepare(asked, frame, base=base, cache=False))
    times = job.trainer().time_steps()
    taken = [next(times) for _ in range(WARM_UP + steps)][WARM_UP:]
    batch = job.recipe.training.batch or 1
    settings = job.recipe.training
    return {
        "rows_per_second": batch * steps / sum(taken),
        "median_step_ms": 1000 * statistics.median(taken),
        "batch": batch,
        "precision": settings.precision,
    }


def trainer(name: str, mode: str, steps: int, seed: int) -> dict[str, Any]:
    """Time steps of Trainer."""
    steps = steps * 4 if mode == "default" else steps  # as many rows
    words = ("--train", str(pairs.DATA / name / FILES[name]), "--steps", str(steps + WARM_UP))
    return peers.run("trainer", "trainer_text", *_COMMON, *words, "--mode", mode, "--seed", str(seed))


_COMMON = ("--checkpoint", minilm(), "--text", "text", "--label", "label")


def quality(name: str) -> None:
    """One pass over the data each: accuracy on the test rows beside the time it took."""
    import tempfile

    import trainwright as tw

    folder = pairs.DATA / name
    with tempfile.TemporaryDirectory() as place:
        run = tw.train(
            str(folder / "train.csv"),
            target="label",
            budget="1 epoch",
            run=Path(place) / "run",
            settings={
                "inputs.text": "text",
                "data.test": str(folder / "test.csv"),
                "model.name": "pretrained",
                "model.checkpoint": minilm(),
                "evaluation.baselines": False,
            },
        )
        print(json.dumps({"who": "trainwright", "metrics": run.metrics["test"]}, default=str))
    for mode in ("tuned", "default"):
        words = ("--train", str(folder / "train.csv"), "--test", str(folder / "test.csv"), "--mode", mode)
        print(
            json.dumps({"who": f"Trainer, {mode}", **peers.run("trainer", "trainer_text", *_COMMON, *words)})
        )


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(FILES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ours", action="store_true", help="time our steps in this process, and print them")
    parser.add_argument("--quality", action="store_true")
    words = parser.parse_args()
    for name in words.names:
        if words.ours:
            print(json.dumps(step_rate(name, words.steps)))
        elif words.quality:
            quality(name)
        else:
            own = ("benchmarks.minilm", name, "--ours", "--steps", str(words.steps))
            pairs.compare(
                f"MiniLM on {name}",
                {
                    "trainwright": lambda _, own=own: pairs.ours(*own),
                    "Trainer, tuned": partial(trainer, name, "tuned", words.steps),
                    "Trainer, default": partial(trainer, name, "default", words.steps),
                },
                by="rows_per_second",
                rounds=words.rounds,
                out=words.out,
            )
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""How fast and how true is a run on a GPU? Everything that needs one, in one script; a JSON line each.

    python -m benchmarks.gpu [bert cifar10 switches equal] [--out FILE]
    python -m benchmarks.gpu --tiny    (minutes on a CPU: it works there, and its figures say nothing)

bert      a BERT-base shape with random weights on texts of lognormal length (median 60 words, at most 512),
          through a recipe: texts and tokens a second, peak memory, rate of the products alone
cifar10   CIFAR-10 from `../shared/data` to an accuracy of 94 %, with a recipe: seconds and accuracy
switches  compiled blocks, recorded micro-batches and rows on the device, each on and off, for a table,
          pictures and texts: steps a second
equal     the same small trainings on the CPU and here, float32 and without dropout: how far losses and
          weights part

Steps are timed without waiting for the device in between, after a warm-up in which everything is compiled
and recorded. A case that fails has a line with its error, and the others go on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks import pairs

WARM_UP, TIMED = 20, 100
TARGET_ACCURACY = 0.94
Line = dict[str, Any]


def job_of(data: Any, target: str, settings: dict[str, Any], budget: str = "1_000_000 steps") -> Any:
    """Return a run made ready, as `train` makes it."""
    import torch

    from trainwright.foundation.random import stream_seed
    from trainwright.workshop.ask import ask_recipe
    from trainwright.workshop.prepare import prepare
    from trainwright.workshop.table_job import table_job

    quick = {"evaluation.baselines": False, "training.early_stopping": 0}
    asked, frame, base = ask_recipe(
        data, target=target, recipe=None, budget=budget, seed=0, settings=quick | settings
    )
    prepared = prepare(asked, frame, base=base, cache=False)
    torch.manual_seed(stream_seed(0, "model"))
    return table_job(prepared)


def trainer_of(job: Any) -> Any:
    """Return the trainer of a run."""
    import torch

    from trainwright.foundation.random import stream_seed

    torch.manual_seed(stream_seed(0, "training"))
    return job.trainer(events=_say_notes)


def _say_notes(kind: str, **values: Any) -> None:
    if kind == "note":
        emit({"note": values["text"]})


def windows_of(trainer: Any) -> Iterator[tuple[list[Any], Any]]:
    """Yield window after window with its place, as the loop has them."""
    from trainwright.training.loop import Position

    step = 0
    for epoch in itertools.count():
        plan = trainer._plan(epoch)
        for window in range(len(plan)):
            yield [plan[window]], Position(step=step, epoch=epoch, window=window)
            step += 1


def rate(job: Any, *, warm_up: int, timed: int) -> Line:
    """Time steps of a run's own loop; the host waits for the device at the beginning and at the end."""
    import torch

    from trainwright.workshop.speed import compiled_network

    trainer = trainer_of(job)
    cuda = next(job.network.parameters()).device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    with compiled_network(job.network, job.recipe, _say_notes):
        trainer._begin()
        trainer.model.train()
        done = steps = 0
        losses: list[Any] = []
        began = time.perf_counter()
        for steps, (window, place) in enumerate(windows_of(trainer)):
            if steps in {warm_up, warm_up + timed}:
                seconds, began = _waited(cuda, began)
            if steps == warm_up + timed:
                break
            if steps == warm_up:
                warm, done = seconds, 0
            losses.append(trainer._step(window, place).loss)
            done += sum(map(trainer.batches.size, window))
        trainer._guard.settle()
        trainer._feed.close()
    return {
        f"{trainer.batches.unit}_per_second": done / seconds,
        "steps_per_second": timed / seconds,
        "warm_up_seconds": warm,
        "loss": float(torch.stack(losses[-10:]).mean()),
        "peak_gb": torch.cuda.max_memory_allocated() / 2**30 if cuda else None,
        "precision": job.recipe.training.precision,
        "batch": job.recipe.training.batch,
    }


def _waited(cuda: bool, began: float) -> tuple[float, float]:
    import torch

    if cuda:
        torch.cuda.synchronize()
    now = time.perf_counter()
    return now - began, now


# Texts.


def bert_folder(folder: Path, *, tiny: bool) -> str:
    """Write a checkpoint of BERT-base's shape, with random weights and a tokenizer of whole words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    vocabulary = 500 if tiny else 30_522
    small = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    torch.manual_seed(0)
    config = BertConfig(vocab_size=vocabulary, **(small if tiny else {}))
    BertModel(config).save_pretrained(folder)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = special + [f"w{number}" for number in range(vocabulary - len(special))]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    return str(folder)


def texts(rows: int, *, vocabulary: int, longest: int, seed: int = 0) -> pl.DataFrame:
    """Return texts of lognormal length (median 60 words), whose first word says the label."""
    draw = np.random.default_rng(seed)
    lengths = np.clip(draw.lognormal(np.log(60), 0.8, rows).round().astype(int), 3, longest - 2)
    label = draw.integers(0, 2, rows)
    # Ten words for each label, so that there is something to learn.
    first = label * 10 + draw.integers(0, 10, rows)
    body = [draw.integers(20, vocabulary - 4, length - 1) for length in lengths]
    return pl.DataFrame(
        {
            "text": [
                " ".join([f"w{head}", *(f"w{word}" for word in tail)])
                for head, tail in zip(first.tolist(), body, strict=True)
            ],
            "label": label.astype(str),
        }
    )


def bert(words: argparse.Namespace) -> Iterator[Line]:
    """Fine-tune a BERT-base."""
    tiny = words.tiny
    rows, batch = (300, 16) if tiny else (20_000, 64)
    longest = 64 if tiny else 512
    frame = texts(rows, vocabulary=500 if tiny else 30_522, longest=longest)
    with tempfile.TemporaryDirectory() as name:
        checkpoint = bert_folder(Path(name), tiny=tiny)
        for compiling in ("off", "on"):
            if compiling == "on" and tiny:
                continue  # C++ for every number of tokens
            settings = {
                "inputs.text": {"type": "text", "max_tokens": longest},
                "model.name": "pretrained",
                "model.checkpoint": checkpoint,
                "training.batch": batch,
                "training.compile": compiling,
            }
            job = job_of(frame, "label", settings)
            found = rate(job, warm_up=_warm_up(words), timed=_timed(words))
            mean = float(job.prepared.rows.lengths().mean())
            matrices = sum(p.numel() for p in job.network.hidden_matrices())
            tokens = found["rows_per_second"] * mean
            # Six operations for each weight and token: forward once, backward twice; attention is left out.
            yield {**found, "compile": compiling, "mean_tokens": mean, "tokens_per_second": tokens} | {
                "teraflops": 6 * matrices * tokens / 1e12
            }


# Pictures.


def cifar10(words: argparse.Namespace) -> Iterator[Line]:
    """Train to 94 %."""
    import trainwright as tw

    data = pairs.DATA / "cifar10"
    for size, optimizer in (("base", "adamw"), ("base", "muon"), ("large", "muon")):
        with tempfile.TemporaryDirectory() as name:
            train, test = data / "train.parquet", data / "test.parquet"
            if words.tiny:
                for part in (train, test):
                    pl.read_parquet(part, n_rows=600).write_parquet(Path(name) / part.name)
                train, test = (Path(name) / part.name for part in (train, test))
            settings = {
                "data.test": str(test),
                "split.validation": 0.04,
                "model.size": "tiny" if words.tiny else size,
                "training.batch": 64 if words.tiny else 512,
                "training.optimizer": optimizer,
                "training.label_smoothing": 0.1,
                "training.ema": 0.99,
                "evaluation.baselines": False,
            }
            began = time.perf_counter()
            epochs = 1 if words.tiny else words.epochs
            run = tw.train(
                str(train), target="label", budget=f"{epochs} epochs", settings=settings, run=Path(name) / "r"
            )
            accuracy = run.metrics["test"]["accuracy"]
            yield {
                "size": size,
                "optimizer": optimizer,
                "epochs": epochs,
                "accuracy": accuracy,
                "reached": accuracy >= TARGET_ACCURACY,
                "seconds": time.perf_counter() - began,
                "train_seconds": run.evaluation["timings"]["train"],
                "graphs": run.recipe.training.graphs,
                "compile": run.recipe.training.compile,
            }
        if words.tiny or accuracy >= TARGET_ACCURACY:
            return


# Switches.


def table(rows: int) -> pl.DataFrame:
    """Return a table of 20 numbers and a category, and a target that follows from them."""
    draw = np.random.default_rng(0)
    numbers = draw.normal(size=(rows, 20)).astype(np.float32)
    kind = draw.integers(0, 8, rows)
    told = numbers[:, 0] * numbers[:, 1] + numbers[:, 2] + (kind % 3 - 1)
    frame = pl.DataFrame({f"x{at}": numbers[:, at] for at in range(20)})
    return frame.with_columns(
        pl.Series("kind", kind.astype(str)), pl.Series("y", np.where(told > 0, "yes", "no"))
    )


def pictures(rows: int, side: int = 32) -> pl.DataFrame:
    """Return coloured noise, brighter for one label."""
    draw = np.random.default_rng(0)
    label = draw.integers(0, 2, rows)
    pixels = draw.integers(0, 200, (rows, side, side, 3)) + 40 * label[:, None, None, None]
    shape = pl.Array(pl.UInt8, (side, side, 3))
    return pl.DataFrame(
        {"photo": pl.Series(pixels.astype(np.uint8), dtype=shape), "label": label.astype(str)}
    )


def small_cases(*, tiny: bool) -> dict[str, tuple[pl.DataFrame, str, dict[str, Any]]]:
    """Return name → rows, target and settings of a table, pictures and texts."""
    rows, size = (400, "tiny") if tiny else (20_000, "small")
    written = texts(rows, vocabulary=500, longest=128)
    return {
        "table": (table(rows), "y", {"model.size": size, "training.batch": 256}),
        "pictures": (pictures(rows), "label", {"model.size": size, "training.batch": 128}),
        "vit": (pictures(rows), "label", {"model.size": size, "model.name": "vit", "training.batch": 128}),
        "texts": (
            written,
            "label",
            {"inputs.text": "text", "model.name": "transformer", "model.size": size, "training.batch": 128},
        ),
    }


def switches(words: argparse.Namespace) -> Iterator[Line]:
    """Time every combination of what can be switched."""
    for name, (frame, target, settings) in small_cases(tiny=words.tiny).items():
        for compiling, graphs, on_device in itertools.product(("off", "on"), ("off", "on"), (False, True)):
            if words.tiny and (compiling, graphs) != ("off", "on"):
                continue
            if name == "table" and compiling == "on":
                continue  # it has no blocks
            chosen = settings | {"training.compile": compiling, "training.graphs": graphs}
            job = job_of(frame, target, chosen)
            if not on_device:
                job = replace(job, rows=job.prepared.rows)
            found = rate(job, warm_up=_warm_up(words), timed=_timed(words))
            yield {
                "of": name,
                "compile": job.recipe.training.compile,
                "graphs": job.recipe.training.graphs,
                "on_device": job.rows is not job.prepared.rows,
                **found,
            }


# Truth.


def equal(words: argparse.Namespace) -> Iterator[Line]:
    """Train on the CPU and here, and compare."""
    import torch

    here = "cuda" if torch.cuda.is_available() else "cpu"
    steps = 10 if words.tiny else 50
    still = {"model.dropout": 0.0, "training.precision": "float32", "model.size": "tiny"}
    augment = {"inputs.photo": {"type": "image", "augment": {"strength": 0.0}}}
    for name, (frame, target, settings) in small_cases(tiny=True).items():
        more = augment if "photo" in frame.columns else {}
        ways: dict[str, dict[str, Any]] = {"cpu": {"training.device": "cpu"}, here: {"training.device": here}}
        ways["plain"] = {"training.device": here, "training.graphs": "off"}
        found = {
            way: _trained(frame, target, settings | still | more | how, steps) for way, how in ways.items()
        }
        for way in (here, "plain"):
            losses, weights = found[way]
            yield {
                "of": name,
                "way": way,
                "loss": losses[-1],
                "most_loss_apart": float(np.abs(np.subtract(losses, found["cpu"][0])).max()),
                "weights_apart": float((weights - found["cpu"][1]).norm() / found["cpu"][1].norm()),
            }


def _trained(frame: pl.DataFrame, target: str, settings: dict[str, Any], steps: int) -> tuple[Any, Any]:
    import torch

    trainer = trainer_of(job_of(frame, target, settings, budget=f"{steps} steps"))
    trainer._begin()
    trainer.model.train()
    losses = [
        float(trainer._step(window, place).loss)
        for window, place in itertools.islice(windows_of(trainer), steps)
    ]
    trainer._feed.close()
    weights = torch.cat([p.detach().float().cpu().flatten() for p in trainer.model.parameters()])
    return losses, weights


def _warm_up(words: argparse.Namespace) -> int:
    return 3 if words.tiny else WARM_UP


def _timed(words: argparse.Namespace) -> int:
    return 5 if words.tiny else TIMED


CASES: dict[str, Callable[[argparse.Namespace], Iterator[Line]]] = {
    "bert": bert,
    "cifar10": cifar10,
    "switches": switches,
    "equal": equal,
}


def emit(line: Line) -> None:
    """Print a line, and append it to the file that was asked for."""
    text = json.dumps(line)
    print(text, flush=True)
    if OUT is not None:
        with OUT.open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")


OUT: Path | None = None


def main() -> None:
    """Measure."""
    global OUT  # noqa: PLW0603
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], default=[], help="all without")
    parser.add_argument("--epochs", type=int, default=30, help="of cifar10")
    parser.add_argument("--tiny", action="store_true", help="small enough for a CPU")
    parser.add_argument("--out", type=Path)
    words = parser.parse_args()
    OUT = words.out
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    emit({**pairs.machine(), "gpu": gpu, "tiny": words.tiny})
    for name in words.cases or list(CASES):
        try:
            for line in CASES[name](words):
                emit({"case": name, **line})
        except Exception as error:
            emit({"case": name, "error": f"{type(error).__name__}: {error}"})
            traceback.print_exc()


if __name__ == "__main__":
    main()

"""How good is a small language model after five minutes on two cores, beside a plain PyTorch loop?

    python -m benchmarks.language shakespeare [--seconds 300] [--out FILE]
    python -m benchmarks.language ngrams crosswoz_zh chinese_poetry [--seconds 300] [--out FILE]
                                 [--depth 2] [--width 128] [--batch-tokens 2048]

shakespeare: the same decoder (4 layers of 128, 4 heads, bytes as tokens, 128 of context) on the first 90 % of
tinyshakespeare, judged on the last 10 %; equal seconds of training, set-up and judging left out. Ours is
`trainwright.train` with the default optimiser, the peer a loop as tutorials write it: random windows, AdamW
at 1e-3 with betas 0.9 and 0.99, cosine decay after a warm-up of 5 %, 12 windows a step. Both look
at the first 16,384 tokens of what judges them while they train, the peer 20 times, ours 20 times at most, and
are judged with the weights that were best there.

ngrams: a model of the default shape, or of the depth, width and tokens a step that are given, beside what
counting n-grams of the same tokens in the same texts tells; bits per character.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pairs

DEPTH, WIDTH, HEADS, CONTEXT, ROWS = 4, 128, 4, 128, 12
EVALUATIONS = 20
TEXT = pairs.DATA / "tinyshakespeare" / "input.txt"
SETTINGS: dict[str, Any] = {
    "model.options": {"depth": DEPTH, "width": WIDTH, "heads": HEADS},
    "language.vocabulary": 260,
    "language.context": CONTEXT,
    "split.validation": 0.1,
    "split.test": 0.0,
    "evaluation.sample_tokens": 0,
    "evaluation.baselines": False,
    "training.early_stopping": 0,
}


def ours(seconds: int) -> dict[str, Any]:
    """Train for so long; return validation bits per byte."""
    import trainwright as tw
    from trainwright.training.events import read_events

    with tempfile.TemporaryDirectory() as place:
        run = tw.train(
            str(TEXT), task="causal-lm", budget=f"{seconds}s", settings=SETTINGS, run=Path(place) / "run"
        )
        stop = next(event for event in read_events(run.path / "events.jsonl") if event["kind"] == "stop")
        return {
            "bits_per_byte": run.metrics["validation"]["bits_per_byte"],
            "loss": run.metrics["validation"]["loss"],
            "steps": stop["step"],
            "seconds": stop["seconds"],
            "tokens_per_second": stop["rows_per_second"],
            "optimizer": run.recipe.training.optimizer,
            "batch_tokens": run.recipe.training.batch_tokens,
        }


def judged(model: Any, tokens: Any) -> float:
    """Return the mean loss of a model over windows that lie side by side."""
    import torch
    import torch.nn.functional as F

    from trainwright.models.layers.packing import packing

    model.eval()
    total, last = 0.0, len(tokens) - 1
    with torch.no_grad():
        for start in range(0, last, ROWS * CONTEXT):
            end = min(start + ROWS * CONTEXT, last)
            # Windows of the whole context, and before them what is left over: packed rows lie shortest first.
            whole, rest = divmod(end - start, CONTEXT)
            lengths = torch.tensor([*[rest] * bool(rest), *[CONTEXT] * whole])
            logits = model.logits(model.states(tokens[start:end], packing(lengths)))
            total += float(F.cross_entropy(logits, tokens[start + 1 : end + 1], reduction="sum"))
    model.train()
    return total / last


def _better(best: tuple[float, dict[str, Any]], model: Any, tokens: Any) -> tuple[float, dict[str, Any]]:
    """Return the better of the best weights so far and those of now, with their loss."""
    loss = judged(model, tokens)
    if loss >= best[0]:
        return best
    return loss, {name: tensor.clone() for name, tensor in model.state_dict().items()}


def plain(seconds: int) -> dict[str, Any]:
    """Train the same model in a plain loop for so long; return validation bits per byte."""
    import torch
    import torch.nn.functional as F

    from trainwright.models.language.base import LANGUAGE_MODELS
    from trainwright.models.layers.packing import packing
    from trainwright.workshop.language_choices import VALIDATION_TOKENS

    torch.manual_seed(0)
    data = torch.from_numpy(np.frombuffer(TEXT.read_bytes(), dtype=np.uint8).astype(np.int64))
    cut = len(data) * 9 // 10
    training, validation = data[:cut], data[cut:]
    family = LANGUAGE_MODELS["gpt"]
    model = family(256, family.Options(depth=DEPTH, width=WIDTH, heads=HEADS))
    packed = packing(torch.full((ROWS,), CONTEXT))

    def loss_of(rows: torch.Tensor, targets: torch.Tensor, packed: Any) -> torch.Tensor:
        return F.cross_entropy(model.logits(model.states(rows.flatten(), packed)), targets.flatten())

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        starts = torch.randint(len(training) - CONTEXT - 1, (ROWS,))
        rows = torch.stack([training[start : start + CONTEXT] for start in starts])
        return rows, torch.stack([training[start + 1 : start + CONTEXT + 1] for start in starts])

    decayed = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))
    for _ in range(3):  # how long a step takes
        began = time.perf_counter()
        loss_of(*batch(), packed).backward()
        taken = time.perf_counter() - began
    planned = max(int(seconds / taken), 1)
    best: tuple[float, dict[str, torch.Tensor]] = math.inf, {}
    looked = step = 0
    began = time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        share = max(spent / seconds, step / planned)
        rate = (
            1e-3 * min(1.0, (share + 1e-3) / 0.05) * (0.1 + 0.45 * (1 + math.cos(math.pi * min(share, 1.0))))
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss_of(*batch(), packed).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if (time.perf_counter() - began) * EVALUATIONS >= (looked + 1) * seconds:
            looked += 1
            best = _better(best, model, validation[: VALIDATION_TOKENS + 1])
    trained = time.perf_counter() - began
    model.load_state_dict(best[1])
    loss = judged(model, validation)
    return {
        "bits_per_byte": loss / math.log(2),
        "loss": loss,
        "steps": step,
        "seconds": trained,
        "tokens_per_second": step * ROWS * CONTEXT / trained,
        "optimizer": "adamw",
        "batch_tokens": ROWS * CONTEXT,
    }


def beside_counting(name: str, seconds: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Train on a data set; return bits per character beside those of n-grams.

    Args:
        name: of the data set.
        seconds: of training.
        settings: other fields of the recipe.
    """
    import trainwright as tw
    from trainwright.training.events import read_events

    with tempfile.TemporaryDirectory() as place:
        if name == "crosswoz_zh":
            sources = [str(pairs.DATA / name / file) for file in ("val.jsonl", "test.jsonl")]
        else:
            sources = [str(pairs.DATA / name / "tang_10k.jsonl")]
        run = tw.train(
            sources,
            task="causal-lm",
            budget=f"{seconds}s",
            settings={"evaluation.sample_tokens": 0, "split.method": "random", **settings},
            run=Path(place) / "run",
        )
        language, shape = run.evaluation["language"], run.model.network.options
        stop = next(event for event in read_events(run.path / "events.jsonl") if event["kind"] == "stop")
        return {
            "depth": shape.depth,
            "width": shape.width_,
            "batch_tokens": run.recipe.training.batch_tokens,
            "budget_seconds": seconds,
            "steps": stop["step"],
            "bits_per_character": run.metrics["test"]["bits_per_character"],
            "ngrams": language["baseline"]["metrics"]["bits_per_character"],
            "vocabulary": run.model.tokenizer.vocabulary,
            "tokens": language["parts"]["test"]["tokens"],
        }


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("question", choices=["shakespeare", "ngrams"])
    parser.add_argument("names", nargs="*", default=["crosswoz_zh", "chinese_poetry"])
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--depth", type=int, help="layers, of ngrams")
    parser.add_argument("--width", type=int, help="of the states, of ngrams")
    parser.add_argument("--batch-tokens", type=int, help="tokens a step, of ngrams")
    parser.add_argument("--out", type=Path)
    words = parser.parse_args()
    options = {name: value for name in ("depth", "width") if (value := getattr(words, name))}
    settings = {"model.options": options} if options else {}
    settings |= {"training.batch_tokens": words.batch_tokens} if words.batch_tokens else {}
    asked: dict[str, Any] = (
        {"trainwright": lambda: ours(words.seconds), "plain loop": lambda: plain(words.seconds)}
        if words.question == "shakespeare"
        else {name: lambda name=name: beside_counting(name, words.seconds, settings) for name in words.names}
    )
    for who, measure in asked.items():
        line = {"question": words.question, "who": who, **measure(), **pairs.machine()}
        print(json.dumps(line), flush=True)
        if words.out:
            with words.out.open("a") as stream:
                stream.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()

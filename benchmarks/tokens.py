"""How many tokens a second are made of English texts and of conversations, beside transformers' tokenizer?

    python -m benchmarks.tokens [--megabytes 60] [--rounds 2] [--out FILE]

News of AG News, drawn again and again until there is enough of them, to the tokens of SmolLM2 (a byte-level
BPE of 49,152). Ours is from the JSONL file to the finished token cache; the peer calls the same tokenizer of
transformers on 1,000 texts at a time, as `datasets.map(batched=True)` does, and writes the ids to one file.
Conversations are the same texts in four turns, of which the assistant's are learned.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks import pairs
from benchmarks.sliver import checkpoint

_BATCH = 1_000


def texts(megabytes: int) -> list[str]:
    """Return news, each of four drawn ones, until they have so many megabytes."""
    news = pl.read_csv(pairs.DATA / "ag_news" / "data.csv")["text"].to_list()
    random = np.random.default_rng(0)
    found, size = [], 0
    while size < megabytes << 20:
        found.append(" ".join(news[number] for number in random.integers(len(news), size=4)))
        size += len(found[-1])
    return found


def write(place: Path, megabytes: int, kind: str) -> Path:
    """Write the texts, or conversations of four turns, as JSONL."""
    file = place / f"{kind}.jsonl"
    with file.open("w", encoding="utf-8") as stream:
        for text in texts(megabytes):
            quarter = len(text) // 4
            turns = [text[at * quarter : (at + 1) * quarter] for at in range(4)]
            messages = [
                {"role": role, "content": turn}
                for role, turn in zip(("user", "assistant") * 2, turns, strict=True)
            ]
            stream.write(json.dumps({"text": text} if kind == "texts" else {"messages": messages}) + "\n")
    return file


def ours(kind: str, megabytes: int) -> dict[str, Any]:
    """Time the cutting of a file into cached tokens."""
    from trainwright.features.language.checkpoint import load_language_tokenizer
    from trainwright.recipe.overrides import build_recipe
    from trainwright.workshop.language_data import prepare_language

    tokenizer = load_language_tokenizer(checkpoint())
    with tempfile.TemporaryDirectory() as place:
        os.environ["TRAINWRIGHT_CACHE"] = f"{place}/cache"
        file = write(Path(place), megabytes, kind)
        task = "causal-lm" if kind == "texts" else "chat"
        recipe = build_recipe({"data": str(file), "task": task})
        data = prepare_language(recipe, checkpoint=tokenizer)
        number, seconds = len(data.tokens.ids), data.seconds["tokenise"]
        return {"tokens_per_second": number / seconds, "tokens": number, "seconds": seconds}


def theirs(megabytes: int) -> dict[str, Any]:
    """Time transformers' tokenizer on the same texts."""
    from transformers import AutoTokenizer

    from trainwright.foundation.checkpoints import language_checkpoint

    tokenizer = AutoTokenizer.from_pretrained(language_checkpoint(checkpoint()))
    with tempfile.TemporaryDirectory() as place:
        file, number = write(Path(place), megabytes, "texts"), 0
        began = time.perf_counter()
        with file.open(encoding="utf-8") as lines, (Path(place) / "ids.bin").open("wb") as out:
            rows = [json.loads(line)["text"] for line in lines]
            for first in range(0, len(rows), _BATCH):
                for ids in tokenizer(rows[first : first + _BATCH])["input_ids"]:
                    np.asarray(ids, dtype=np.int32).tofile(out)
                    number += len(ids)
        seconds = time.perf_counter() - began
        return {"tokens_per_second": number / seconds, "tokens": number, "seconds": seconds}


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--who", choices=["texts", "chats", "theirs"])
    parser.add_argument("--out", type=Path)
    words = parser.parse_args()
    if words.who:
        size = words.megabytes
        print(json.dumps(theirs(size) if words.who == "theirs" else ours(words.who, size)))
        return
    own = ("benchmarks.tokens", "--megabytes", str(words.megabytes), "--who")
    names = {
        "trainwright": "texts",
        "transformers' tokenizer": "theirs",
        "trainwright, conversations": "chats",
    }
    pairs.compare(
        "tokens of English",
        {name: partial(lambda _, side: pairs.ours(*own, side), side=side) for name, side in names.items()},
        by="tokens_per_second",
        rounds=words.rounds,
        out=words.out,
    )


if __name__ == "__main__":
    main()

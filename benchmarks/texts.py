"""Texts made from a seed, and real ones among them: documents of a few hundred words, as JSON Lines.

Words are drawn from the words of real texts as often as they stand there (two in a row at a time, so that a
sentence reads like one); one document in ten is real and comes as it is, one in twenty is a copy of one
before with a few words changed, one in fifty an exact copy. One in ten holds an e-mail address, a telephone
number or a number of a card. A part is Chinese.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from benchmarks.pairs import DATA

CHINESE = 0.1
_COPY, _EXACT, _REAL = 0.05, 0.02, 0.1


def real_texts() -> tuple[list[str], list[str]]:
    """Return English and Chinese texts of the real data sets."""
    import polars as pl

    english = [
        " ".join(row) for row in pl.read_csv(DATA / "ag_news" / "data.csv").select("title", "text").rows()
    ]
    plays = (DATA / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    english += [plays[at : at + 2_000] for at in range(0, len(plays), 2_000)]
    lines = (DATA / "chinese_poetry" / "tang_10k.jsonl").read_text(encoding="utf-8").splitlines()
    return english, [json.loads(line)["text"] for line in lines]


def write(path: Path, num_bytes: int, *, seed: int = 0) -> bytes:
    """Write documents of about `num_bytes` in all; return what each is, a letter of `KINDS` a document."""
    draw = random.Random(seed)
    english, chinese = real_texts()
    words = " ".join(english).split()
    signs = [line for text in chinese for line in text.split("\n")]
    recent: list[str] = []
    drawn: set[str] = set()
    kinds = bytearray()
    written = 0
    with path.open("w", encoding="utf-8") as stream:
        while written < num_bytes:
            lot = draw.random()
            kind = "m"
            if recent and lot < _EXACT:
                text, kind = draw.choice(recent), "e"
            elif recent and lot < _EXACT + _COPY:
                text, kind = _changed(draw.choice(recent), draw), "n"
            elif lot < _EXACT + _COPY + _REAL:
                text = draw.choice(english if draw.random() > CHINESE else chinese)
                kind = "a" if text in drawn else "r"
                drawn.add(text)
            elif draw.random() < CHINESE:
                text = "\n".join(draw.choices(signs, k=draw.randint(20, 60)))
            else:
                text = _made(words, draw)
            if lot > 1 - _REAL:
                text += f" Write to person{len(kinds)}@example.org or {draw.randint(200, 999)}-555-0100."
            row = {"text": text, "url": f"https://example.org/{len(kinds)}"}
            line = json.dumps(row, ensure_ascii=False)
            stream.write(line + "\n")
            written += len(line.encode()) + 1
            kinds += kind.encode()
            if kind != "m":
                continue
            if len(recent) < 5_000:
                recent.append(text)
            else:
                recent[draw.randrange(5_000)] = text
    return bytes(kinds)


KINDS = {
    "m": "made",
    "r": "real",
    "a": "real, and drawn again",
    "e": "exact copy",
    "n": "copy with one part in a hundred changed",
}


def _made(words: list[str], draw: random.Random) -> str:
    found: list[str] = []
    for _ in range(draw.randint(100, 400)):
        place = draw.randrange(len(words) - 2)
        found += words[place : place + 2]
        if draw.random() < 0.08:
            found[-1] += "."
        if draw.random() < 0.01:
            found[-1] += ".\n\n"
    return " ".join(found)


def _changed(text: str, draw: random.Random) -> str:
    between = " " if text.isascii() else ""
    units = text.split(" ") if between else list(text)
    for _ in range(max(1, len(units) // 100)):
        units[draw.randrange(len(units))] = "changed" if between else "改"
    return between.join(units)

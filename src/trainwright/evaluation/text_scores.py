"""How well written texts match those that were wanted: exact match, BLEU, chrF and ROUGE-L.

BLEU and chrF are sacrebleu's (Post 2018), so that they are those that papers report. ROUGE-L (Lin 2004) is
the F-measure of the longest common subsequence of words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

_WORDS = re.compile(r"\w+|[^\w\s]")
_HAN = re.compile(r"[\u3400-\u9fff\u3040-\u30ff\uac00-\ud7af]")


def exact_match(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return the share of texts that are one of their references, but for case and white space."""
    same = [
        any(_plain(text) == _plain(reference) for reference in some)
        for text, some in zip(texts, references, strict=True)
    ]
    return float(np.mean(same))


def rouge_l(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return the mean ROUGE-L F-measure, 0 to 1; of several references the best counts."""
    best = [
        max(_rouge_l(words_of(text), words_of(reference)) for reference in some)
        for text, some in zip(texts, references, strict=True)
    ]
    return float(np.mean(best))


def bleu_and_chrf(texts: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return corpus `bleu` and `chrf`, each 0 to 100; neither where sacrebleu is not installed."""
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError:
        return {}
    most = max(map(len, references))
    # sacrebleu takes the first references of all texts, then the second: a missing one is None.
    turned = [[some[number] if number < len(some) else None for some in references] for number in range(most)]
    chinese = any(_HAN.search(reference) for some in references for reference in some)
    bleu = BLEU(tokenize="zh" if chinese else "13a", effective_order=False)
    return {
        "bleu": float(bleu.corpus_score(list(texts), turned).score),
        "chrf": float(CHRF().corpus_score(list(texts), turned).score),
    }


def words_of(text: str) -> list[str]:
    """Return the words of a text; of scripts without spaces the characters."""
    words: list[str] = []
    for word in _WORDS.findall(text.lower()):
        words += list(word) if _HAN.search(word) else [word]
    return words


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _rouge_l(ours: Sequence[str], theirs: Sequence[str]) -> float:
    if not ours or not theirs:
        return float(not ours and not theirs)
    ids = {word: number for number, word in enumerate(dict.fromkeys([*ours, *theirs]))}
    wanted = np.array([ids[word] for word in theirs])
    # Longest common subsequence, a row at a time: row[j] of the first i words and the first j + 1.
    row = np.zeros(len(wanted) + 1, dtype=np.int64)
    for word in ours:
        matched = np.where(wanted == ids[word], row[:-1] + 1, row[1:])
        row[1:] = np.maximum.accumulate(matched)
    common = int(row[-1])
    if not common:
        return 0.0
    precision, recall = common / len(ours), common / len(theirs)
    return 2 * precision * recall / (precision + recall)

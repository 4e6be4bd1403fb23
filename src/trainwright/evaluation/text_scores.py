"""How well written texts match those that were wanted: exact match, BLEU, chrF and ROUGE.

BLEU and chrF are sacrebleu's (Post 2018), so that they are those that papers report. ROUGE (Lin 2004) is an
F-measure: ROUGE-1 and ROUGE-2 of the words and pairs of words that both have, ROUGE-L of the longest common
subsequence of words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np

_WORDS = re.compile(r"\w+|[^\w\s]")
_WIDE = re.compile(r"[\u3400-\u9fff\u3040-\u30ff\uac00-\ud7af]")
_KANA_OR_HANGUL = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")
_LETTER = re.compile(r"[^\W\d_]")
_NOT_CHINESE = 0.1
"""Share of kana or hangul among characters without spaces between words that tells Japanese and Korean."""


def exact_match(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return the share of texts that are one of their references, but for case and white space."""
    same = [
        any(_plain(text) == _plain(reference) for reference in some)
        for text, some in zip(texts, references, strict=True)
    ]
    return float(np.mean(same))


def rouge_l(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return the mean ROUGE-L F-measure, 0 to 1; of several references the best counts."""
    return _mean_best(texts, references, lambda ours, theirs: _f1(_subsequence(ours, theirs), ours, theirs))


def rouge_n(texts: Sequence[str], references: Sequence[Sequence[str]], order: int) -> float:
    """Return the mean ROUGE F-measure of runs of words, 0 to 1; of several references the best counts.

    Of two texts that are too short for a run the score is 0.
    """

    def score(ours: Sequence[str], theirs: Sequence[str]) -> float:
        mine, wanted = _runs(ours, order), _runs(theirs, order)
        common = (Counter(mine) & Counter(wanted)).total()
        return _f1(common, mine, wanted) if mine or wanted or not (ours or theirs) else 0.0

    return _mean_best(texts, references, score)


def _mean_best(
    texts: Sequence[str],
    references: Sequence[Sequence[str]],
    score: Callable[[Sequence[str], Sequence[str]], float],
) -> float:
    """Return the mean over texts of the best score of their words beside those of a reference."""
    best = [
        max(score(ours, words_of(reference)) for reference in some)
        for ours, some in zip(map(words_of, texts), references, strict=True)
    ]
    return float(np.mean(best))


def _runs(words: Sequence[str], order: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[start:] for start in range(order)), strict=False))


def bleu_and_chrf(texts: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return corpus `bleu` and `chrf`, each 0 to 100; neither where sacrebleu is not installed."""
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError:
        return {}
    most = max(map(len, references))
    # sacrebleu takes the first references of all texts, then the second: a missing one is None.
    turned = [[some[number] if number < len(some) else None for some in references] for number in range(most)]
    bleu = BLEU(tokenize=_cut_by(list(chain.from_iterable(references))), effective_order=False)
    return {
        "bleu": float(bleu.corpus_score(list(texts), turned).score),
        "chrf": float(CHRF().corpus_score(list(texts), turned).score),
    }


def _cut_by(references: Sequence[str]) -> str:
    """Return sacrebleu's tokenizer for the script that most letters are of.

    That for Chinese cuts neither kana nor hangul; those for Japanese and Korean need packages of their own,
    so these are cut into characters.
    """
    letters, wide, others = (
        sum(len(kind.findall(text)) for text in references) for kind in (_LETTER, _WIDE, _KANA_OR_HANGUL)
    )
    if 2 * wide <= letters:
        return "13a"
    return "char" if others > _NOT_CHINESE * wide else "zh"


def words_of(text: str) -> list[str]:
    """Return the words of a text; of scripts without spaces the characters."""
    words: list[str] = []
    for word in _WORDS.findall(text.lower()):
        words += list(word) if _WIDE.search(word) else [word]
    return words


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _f1(common: int, ours: Sequence[object], theirs: Sequence[object]) -> float:
    """Return the F-measure of what two texts have in common; nothing is all of nothing."""
    if not ours or not theirs:
        return float(not ours and not theirs)
    return 2 * common / (len(ours) + len(theirs))


def _subsequence(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    ids = {word: number for number, word in enumerate(dict.fromkeys([*ours, *theirs]))}
    wanted = np.array([ids[word] for word in theirs])
    # A row at a time: row[j] of the first i words and the first j + 1.
    row = np.zeros(len(wanted) + 1, dtype=np.int64)
    for word in ours:
        matched = np.where(wanted == ids[word], row[:-1] + 1, row[1:])
        row[1:] = np.maximum.accumulate(matched)
    return int(row[-1])

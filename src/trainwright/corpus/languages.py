"""Which language a text is in.

Chinese and Japanese are told by their script, English by its function words, both from the words that are
there already; everything else by py3langid (Lui and Baldwin 2012, 'langid.py'), which is slow, on its first
few hundred characters. Where that is not installed, the language of the others stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from trainwright.corpus.extras import extra, is_there
from trainwright.corpus.ledger import Ledger
from trainwright.corpus.measures import word_hashes
from trainwright.corpus.tokens import Tokens

UNKNOWN = "und"
"""ISO 639 for a language that cannot be told."""

CODES = frozenset(
    (
        "ace af am an ar ary arz as az ba bcl be bg bn br bs ca crh cs cy da de dz el en eo es et eu ext "
        "fa fi fo fr fuv fy ga gcf gcr gd gl gom grc gu gug guw ha hbo he hi hr ht hu hy id ig is it ja "
        "jv ka kab kik kk km kn ko ku ky la lb lg lij ln lo lt ltg lv mg mk ml mn mr ms mt my ne nl nn no "
        "nso oc om or pa pcm pl ps pt qu ro ru rw sa sdh se si sk sl sn so sq sr st sv sw ta te tg th tk "
        "tl tr tt ug uk ur uz uzs vec vi vo wa xh yo zh zu "
        f"{UNKNOWN}"
    ).split()
)
"""Languages that are told apart."""

_LOOKED_AT = 250
_ENGLISH = word_hashes(
    (
        "the",
        "and",
        "of",
        "to",
        "is",
        "was",
        "with",
        "that",
        "for",
        "this",
        "are",
        "it",
        "have",
        "from",
        "which",
        "you",
    )
)
_SHARE, _DIFFERENT = 0.12, 4
"""Of English words every fourth is one of these; of other languages' hardly one in fifty."""

_KANA_SHARE = 0.05

_CLASSIFIER = "py3langid"
_TOLD_WITHOUT = frozenset({"en", "zh", "ja", UNKNOWN})


def check_can_tell(languages: Iterable[str]) -> None:
    """Refuse languages that only a package tells which is not installed.

    Raises:
        UserError: the package for one of them is not installed.
    """
    if not _TOLD_WITHOUT.issuperset(languages):
        _classifier()


def languages_of(tokens: Tokens, texts: Sequence[bytes], ledger: Ledger) -> list[str]:
    """Return the language of each text as a code of ISO 639: `en`, `zh`; count those that stay untold."""
    found = [UNKNOWN] * len(texts)
    counts = np.maximum(tokens.counts, 1)
    english = np.zeros(len(texts), dtype=np.int64)
    different = np.zeros(len(texts), dtype=np.int64)
    for word in _ENGLISH:
        places = np.bincount(tokens.text_of[tokens.hashes == word], minlength=len(texts))
        english += places
        different += places > 0
    sure = (different >= _DIFFERENT) & (english >= _SHARE * counts) & ~tokens.cjk
    cjk = tokens.cjk
    lead, second = tokens.codes[tokens.starts[tokens.wide]], tokens.codes[tokens.starts[tokens.wide] + 1]
    owners = tokens.text_of[tokens.wide]
    signs = np.bincount(owners[lead != 0xF0], minlength=len(texts))  # without emoji
    kana = np.bincount(owners[(lead == 0xE3) & (second <= 0x83)], minlength=len(texts))
    for number in np.flatnonzero(tokens.counts > 0).tolist():
        if sure[number]:
            found[number] = "en"
        elif cjk[number]:
            japanese = kana[number] >= _KANA_SHARE * signs[number]
            found[number] = UNKNOWN if not signs[number] else "ja" if japanese else "zh"
        else:
            found[number] = _guess(texts[number], ledger)
    return found


def _guess(text: bytes, ledger: Ledger) -> str:
    part = text[: 4 * _LOOKED_AT].decode(errors="ignore")[:_LOOKED_AT]
    if not any(map(str.isalpha, part)):
        return UNKNOWN
    if not is_there(_CLASSIFIER):
        ledger.note("texts whose language needs py3langid")
        return UNKNOWN
    code = str(_classifier().classify(part)[0])
    return UNKNOWN if code == "zxx" else {"yue": "zh", "wuu": "zh"}.get(code, code)


def _classifier() -> Any:
    return extra(_CLASSIFIER, need="languages other than English, Chinese and Japanese")

"""What is done with a batch of documents: repair, language, quality, signatures, evaluation sets, masking."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from trainwright.corpus.contamination import Contamination, without
from trainwright.corpus.document import Document
from trainwright.corpus.features import HEAVY, LIGHT, Rows
from trainwright.corpus.languages import languages_of
from trainwright.corpus.ledger import SAMPLE_CHARACTERS, Ledger
from trainwright.corpus.measures import Flags, Measures
from trainwright.corpus.minhash import bands, signatures, sorted_grams
from trainwright.corpus.personal import KINDS, masked, masked_batch
from trainwright.corpus.repair import repaired
from trainwright.corpus.rule import judge
from trainwright.corpus.settings import CorpusSettings
from trainwright.corpus.tokens import Tokens, tokens_of

_LOWER = bytes(range(256)).lower()
_SPACES = b" \t\n\r\x0b\x0c"


@dataclass(frozen=True)
class Cleaned:
    """The documents of a batch that no step so far has dropped.

    Attributes:
        documents: where they come from.
        texts: their texts in UTF-8.
        languages: code of ISO 639 of each.
        light: features, see `features.LIGHT`.
        heavy: features, see `features.HEAVY`.
    """

    documents: list[Document]
    texts: list[bytes]
    languages: list[str]
    light: Rows
    heavy: Rows


def clean(
    documents: Sequence[Document],
    settings: CorpusSettings,
    *,
    contamination: Contamination | None,
    ledger: Ledger,
) -> Cleaned:
    """Take documents through all steps that look at one document alone.

    Args:
        documents: the batch, as it was read.
        settings: what to do.
        contamination: n-grams of evaluation sets.
        ledger: where is counted what leaves, and why.

    Raises:
        UserError: a package that is needed is not installed.
    """
    texts = [_encoded(document, settings, ledger) for document in documents]
    documents, texts = _with_text(documents, texts, ledger)
    tokens = tokens_of(texts)
    ledger.read[0] += len(texts)
    ledger.read[1] += int(tokens.characters.sum())
    languages = languages_of(tokens, texts, ledger)
    for language in languages:
        ledger.languages[language] = ledger.languages.get(language, 0) + 1
    alive = _of_languages(documents, texts, languages, tokens, settings, ledger)
    keys = sorted_grams(tokens)
    measures = Measures(
        tokens,
        keys,
        markdown=np.array([document.kind == "markdown" for document in documents], dtype=bool),
        english=np.array([language == "en" for language in languages], dtype=bool),
    )
    alive &= _judged(documents, texts, measures, alive, settings, ledger)
    kept = np.flatnonzero(alive)
    numbers: list[int] = kept.tolist()
    light, heavy = np.zeros(len(kept), dtype=LIGHT), np.zeros(len(kept), dtype=HEAVY)
    if settings.near_duplicates is not None:
        found, signed = signatures(keys, tokens.num_texts)
        heavy["signature"], light["signed"] = found[kept], signed[kept]
        heavy["bands"] = bands(heavy["signature"])
    digests = b"".join(_digest(texts[number]) for number in numbers)
    light["exact"] = np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)
    places = np.full(tokens.num_texts, -1)
    places[kept] = np.arange(len(kept))
    if contamination is not None:
        _meet(texts, tokens, contamination, places, light, settings)
    if settings.personal:
        _mask(texts, tokens, kept, places, light, settings)
    if settings.personal:
        documents = _mask_urls(documents, kept, places, light, settings)
    remaining = [texts[number] for number in numbers]
    light["bytes"] = [len(text) for text in remaining]
    light["characters"] = [len(text) if text.isascii() else len(text.decode()) for text in remaining]
    return Cleaned(
        [documents[number] for number in numbers],
        remaining,
        [languages[number] for number in numbers],
        light,
        heavy,
    )


def _encoded(document: Document, settings: CorpusSettings, ledger: Ledger) -> bytes:
    if settings.repair:
        return repaired(document.text, ledger)
    return document.text.encode(errors="replace")


def _with_text(
    documents: Sequence[Document], texts: Sequence[bytes], ledger: Ledger
) -> tuple[list[Document], list[bytes]]:
    """Return the documents of which repair has left something; count the others."""
    pairs = list(zip(documents, texts, strict=True))
    for document, text in pairs:
        if not text.strip():
            ledger.leave("read", "no text", 0, where=document.where)
    kept = [(document, text) for document, text in pairs if text.strip()]
    return [document for document, _ in kept], [text for _, text in kept]


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text.translate(_LOWER, _SPACES), digest_size=16).digest()


def _shown(text: bytes) -> str:
    return text[: 8 * SAMPLE_CHARACTERS].decode(errors="ignore")


def _of_languages(
    documents: Sequence[Document],
    texts: Sequence[bytes],
    languages: Sequence[str],
    tokens: Tokens,
    settings: CorpusSettings,
    ledger: Ledger,
) -> Flags:
    """Return the texts in a language to keep; count the others."""
    if not settings.languages:
        return np.ones(len(texts), dtype=bool)
    alive = np.isin(np.array(languages, dtype=np.str_), settings.languages)
    for number in np.flatnonzero(~alive).tolist():
        ledger.leave(
            "language",
            languages[number],
            int(tokens.characters[number]),
            where=documents[number].where,
            text=_shown(texts[number]),
        )
    return np.asarray(alive, dtype=bool)


def _judged(
    documents: Sequence[Document],
    texts: Sequence[bytes],
    measures: Measures,
    alive: Flags,
    settings: CorpusSettings,
    ledger: Ledger,
) -> Flags:
    """Return the texts that no rule speaks against; count the others by the first rule, and by all."""
    limits = settings.thresholds
    names = list(limits)
    first, fired = judge(measures, limits, gentle=settings.quality == "gentle")
    for name, flags in fired.items():
        number = int((flags & alive).sum())
        if number:
            ledger.fired[name] = ledger.fired.get(name, 0) + number
    for text in np.flatnonzero((first >= 0) & alive).tolist():
        ledger.leave(
            "quality",
            names[first[text]],
            int(measures.tokens.characters[text]),
            where=documents[text].where,
            text=_shown(texts[text]),
        )
    return first < 0


def _mask(
    texts: list[bytes],
    tokens: Tokens,
    kept: npt.NDArray[np.int64],
    places: npt.NDArray[np.int64],
    light: Rows,
    settings: CorpusSettings,
) -> None:
    """Mask personal data, and note how much there was."""
    cut = kept[light["set"] > 0] if settings.contaminated == "cut" else kept[:0]
    for number in cut.tolist():  # of these the batch holds what they were before
        text, counts = masked(texts[number].decode(), settings.personal)
        texts[number] = text.encode()
        _note_masked(light, places[number], counts)
    for number, data, counts in masked_batch(tokens, np.setdiff1d(kept, cut), settings.personal):
        texts[number] = data
        _note_masked(light, places[number], counts)


def _mask_urls(
    documents: Sequence[Document],
    kept: npt.NDArray[np.int64],
    places: npt.NDArray[np.int64],
    light: Rows,
    settings: CorpusSettings,
) -> list[Document]:
    """Return the documents with personal data in their addresses masked, and note how much there was."""
    found = list(documents)
    for number in kept.tolist():
        url = found[number].url
        if url:
            shown, counts = masked(url, settings.personal)
            if counts:
                found[number] = replace(found[number], url=shown)
                _note_masked(light, places[number], counts)
    return found


def _note_masked(light: Rows, place: int, counts: Mapping[str, int]) -> None:
    for kind, count in counts.items():
        column = KINDS.index(kind)
        light["masked"][place, column] = min(int(light["masked"][place, column]) + count, 65_535)


def _meet(
    texts: list[bytes],
    tokens: Tokens,
    contamination: Contamination,
    places: npt.NDArray[np.int64],
    light: Rows,
    settings: CorpusSettings,
) -> None:
    """Note which texts meet an evaluation set, and cut the parts out where that was asked for."""
    found = contamination.find(tokens)
    for number in np.unique(found.texts).tolist():
        place = places[number]
        if place < 0:
            continue
        here = found.texts == number
        light["set"][place] = found.sets[here].min() + 1
        if settings.contaminated == "cut":
            offset = tokens.bounds[number]
            spans = zip(found.begins[here] - offset, found.ends[here] - offset, strict=True)
            texts[number] = without(texts[number], spans)
            light["cut"][place] = tokens.characters[number] - len(texts[number].decode())

"""From a recipe to tokens: open, tell the format, train or load a tokenizer, tokenise once, share out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from trainwright.data.cache import prune
from trainwright.data.open import open_table
from trainwright.data.splits.parts import PARTS
from trainwright.data.table import Quarantined, Table
from trainwright.data.token_store import TokenRows, Tokens, TokenWriter, open_tokens
from trainwright.features.language.formats import REMARKS, Format, Sample, choose_format
from trainwright.features.language.samples import UNTRAINED, parts_of, read_samples, text_of, tokenized
from trainwright.features.language.tokenizer import FILE, LanguageTokenizer
from trainwright.features.language.train import KINDS, Kind, sampled, train_tokenizer, vocabulary_for
from trainwright.foundation.errors import DataError, RecipeError
from trainwright.foundation.hashing import json_hash
from trainwright.foundation.leases import use
from trainwright.foundation.locks import locked
from trainwright.foundation.paths import cache_folder, whole_folder
from trainwright.recipe.recipe import Recipe
from trainwright.workshop.language_network import objective_of
from trainwright.workshop.language_source import as_text
from trainwright.workshop.language_split import FEW, Sharing, share_samples

Array = npt.NDArray[Any]

_VERSION = 3
"""Version of the cached tokens; raised when they change."""

_ROWS, _CHUNK_BYTES, _LOOKED_AT = 4_096, 1 << 25, 64
_IN_MEMORY_BYTES = 1 << 30
_TOKENS_AT_ONCE = 1 << 22
"""Tokens that are looked at at a time: they may be more than memory holds."""


@dataclass
class LanguageData:
    """Samples that are ready to be learned.

    Attributes:
        recipe: with format, tokenizer and shares filled in.
        table: the raw rows.
        form: word of their format.
        names: the format's names → columns.
        tokenizer: cuts texts.
        tokens: all samples.
        indices: part → samples, int64.
        quarantined: rows set aside.
        notes: what was decided or noticed, one sentence each.
        trained_tokenizer: whether the tokenizer was made for this data.
        shared_out: how samples were shared out (see `Sharing`).
        seconds: step → time it took.
        cached: the tokens came from an earlier run.
        encodes: whether an encoder reads the sources.
    """

    recipe: Recipe
    table: Table
    form: str
    names: Mapping[str, str]
    tokenizer: LanguageTokenizer
    tokens: Tokens
    indices: dict[str, Array]
    quarantined: list[Quarantined]
    notes: list[str] = field(default_factory=list)
    trained_tokenizer: bool = False
    shared_out: str = "random"
    seconds: dict[str, float] = field(default_factory=dict)
    cached: bool = False
    encodes: bool = False

    @property
    def parts_each(self) -> int:
        """Rows of tokens that a sample has."""
        return parts_of(_task(self.recipe))


def prepare_language(
    recipe: Recipe,
    source: Any = None,
    *,
    base: Path | None = None,
    checkpoint: LanguageTokenizer | None = None,
    encodes: bool = False,
) -> LanguageData:
    """Open the data of a recipe and make it tokens.

    Args:
        recipe: what the user asked for; with a task.
        source: a frame in memory, instead of `recipe.data`.
        base: folder that relative paths of the recipe start from.
        checkpoint: the tokenizer of the model that is fine-tuned.
        encodes: whether that model has an encoder, which reads the sources.

    Raises:
        DataError: nothing can be learned from this data, and why.
    """
    task, settings = _task(recipe), recipe.language
    began = time.monotonic()
    table = open_table(as_text(recipe.data, base or Path()) if source is None else source, base=base)
    word, form, names = choose_format(
        list(table.schema), task=task, asked=settings.format, called=settings.columns, where=table.name
    )
    notes = list(table.notes)
    sharing = share_samples(recipe.split, table, sorted(set(names.values())), task=task, seed=recipe.seed)
    notes += sharing.notes
    seconds = {"open": time.monotonic() - began}
    began = time.monotonic()
    made, tokenizer = _tokenizer(recipe, checkpoint, table, form, names, sharing)
    seconds["tokenizer"] = time.monotonic() - began
    began = time.monotonic()
    objective = objective_of(task, encodes=encodes)
    tokens, cached = _tokens(objective, table, word, form, names, sharing, tokenizer)
    seconds["tokenise"] = time.monotonic() - began
    _check_marks(tokens, tokenizer, table)
    quarantined = [*table.quarantined, *_set_aside(table, tokens.broken)]
    _check_quarantine(quarantined, table, recipe.data.quarantine_limit)
    counted = ((note, tokens.counts.get(word, 0)) for word, note in REMARKS.items())
    notes += [note.format(count=f"{count:,}") for note, count in counted if count]
    indices = sharing.indices(tokens.rows, tokens.sizes, parts_of(task))
    for part in ("training", "validation"):
        if not len(indices[part]):
            raise DataError(
                f"no samples are left for {part}", where=table.name, fix="give more samples or another split"
            )
    _check_ends(tokens, tokenizer, table, task)
    language = settings.model_copy(update={"format": word})
    split = recipe.split.model_copy(update={"validation": sharing.validation, "test": sharing.test})
    resolved = recipe.model_copy(update={"language": language, "split": split})
    return LanguageData(
        recipe=resolved,
        table=table,
        form=word,
        names=names,
        tokenizer=tokenizer,
        tokens=tokens.in_memory(_IN_MEMORY_BYTES),
        indices=indices,
        quarantined=quarantined,
        notes=notes,
        trained_tokenizer=made,
        shared_out=sharing.method,
        seconds=seconds,
        cached=cached,
        encodes=encodes,
    )


def _samples(
    table: Table, form: Format, names: Mapping[str, str], sharing: Sharing, *, skip: int = 0
) -> Iterator[tuple[list[Sample], list[int], dict[int, str], int]]:
    """Yield samples, their rows, broken rows, and the number of rows so far; `skip` rows are left out."""
    done, columns = 0, sorted(set(names.values()))
    for frame in table.chunks(columns, size=rows_at_once(table, columns)):
        first, done = done, done + len(frame)
        if done <= skip:
            continue
        kept = frame[max(skip - first, 0) :]
        samples, rows, broken = read_samples(kept, form, names, max(first, skip))
        if sharing.part is None:
            rows = [row for row in rows for _ in PARTS]
            samples = [part for sample in samples for part in sharing.cut(sample)]
        yield samples, rows, broken, done


def rows_at_once(table: Table, columns: Sequence[str]) -> int:
    """Return how many rows are read at a time: a row may be a word or four million characters."""
    if not table.num_rows:
        return _ROWS
    some = np.unique(np.linspace(0, table.num_rows - 1, _LOOKED_AT).astype(np.int64))
    typical = table.take(some, columns).estimated_size() / len(some)
    return min(max(int(_CHUNK_BYTES / max(typical, 1)), 1), _ROWS)


def _tokenizer(
    recipe: Recipe,
    checkpoint: LanguageTokenizer | None,
    table: Table,
    form: Format,
    names: Mapping[str, str],
    sharing: Sharing,
) -> tuple[bool, LanguageTokenizer]:
    """Return whether the tokenizer was made for this data, and the tokenizer."""
    settings, masked = recipe.language, recipe.task == "masked-lm"
    template = _template(settings.template)
    if checkpoint is not None:
        if settings.tokenizer != "auto":
            raise RecipeError(
                "a pretrained model reads with the tokenizer that it was trained with",
                where="language.tokenizer",
                fix="leave it out",
            )
        return False, checkpoint.with_template(template)
    if settings.tokenizer not in {"auto", *KINDS}:
        from trainwright.features.language.checkpoint import load_language_tokenizer

        return False, load_language_tokenizer(settings.tokenizer).with_template(template)
    kind: Kind = "wordpiece" if masked else "bpe"
    if settings.tokenizer in KINDS:
        kind = next(known for known in KINDS if known == settings.tokenizer)
    key = json_hash(
        [
            *(_VERSION, table.fingerprint, form.kind, dict(names), kind),
            # How many tokens suit the texts follows from them: they need not be counted to find it here.
            *(settings.vocabulary or "auto", masked, sharing.key),
        ]
    )
    folder = cache_folder("tokenizers") / key
    use(folder)
    with _locked(folder, "a tokenizer for the same data is being trained"):
        if not (folder / FILE).is_file():
            broken: dict[int, str] = {}
            texts = _training_texts(table, form, names, sharing, broken)
            characters = sum(map(len, texts()))
            _check_quarantine(_set_aside(table, broken), table, recipe.data.quarantine_limit)
            if not characters:
                raise DataError(
                    "there is no text to train a tokenizer on", where=table.name, fix="give more text"
                )
            vocabulary = settings.vocabulary or vocabulary_for(characters)
            made = train_tokenizer(
                sampled(texts(), characters), kind=kind, vocabulary=vocabulary, masked=masked
            )
            with whole_folder(folder, durable=False) as scratch:
                made.save(scratch)
            prune(folder)
        folder.touch()
        return True, LanguageTokenizer.load(folder).with_template(template)


def _training_texts(
    table: Table, form: Format, names: Mapping[str, str], sharing: Sharing, broken: dict[int, str]
) -> Callable[[], Iterator[str]]:
    """Return what yields the texts of training; rows that are none are put into `broken`."""

    def texts() -> Iterator[str]:
        for samples, rows, unusable, _ in _samples(table, form, names, sharing):
            broken.update(unusable)
            for number, (sample, row) in enumerate(zip(samples, rows, strict=True)):
                part = number % len(PARTS) if sharing.part is None else sharing.part[row]
                if part == 0:
                    yield text_of(sample)

    return texts


def _template(word: str) -> str | None:
    """Return the text of the chat template that the recipe names; None for the tokenizer's own or ours."""
    from trainwright.features.language.template import CHATML, PLAIN

    ours = {"auto": None, "chatml": CHATML, "plain": PLAIN}
    if word in ours:
        return ours[word]
    path = Path(word).expanduser()
    if not path.is_file():
        raise RecipeError(
            f"there is no chat template '{word}'",
            where="language.template",
            fix="set it to auto, chatml or plain, or name a file with a Jinja template",
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise RecipeError(
            "the chat template cannot be read", where=word, fix="give a text file in UTF-8"
        ) from error


def _tokens(
    task: str,
    table: Table,
    word: str,
    form: Format,
    names: Mapping[str, str],
    sharing: Sharing,
    tokenizer: LanguageTokenizer,
) -> tuple[Tokens, bool]:
    """Return the samples as tokens, from the cache of an earlier run where there is one."""
    read_as = "text" if task in {"causal-lm", "masked-lm"} else task
    key = json_hash(
        [_VERSION, table.fingerprint, word, dict(names), read_as, tokenizer.hash_key]
        + ([sharing.key] if sharing.part is None else [])
    )
    folder = cache_folder("tokens") / key
    use(folder)
    with _locked(folder, "the same texts are being tokenised"):
        found = open_tokens(folder)
        if found is not None:
            folder.touch()
            return found, True
        flagged = read_as != "text"
        # A scratch folder by a name that the next process knows: what is whole in it need not be done again.
        writer = TokenWriter(folder, vocabulary=tokenizer.vocabulary, flagged=flagged)
        for samples, rows, broken, done in _samples(table, form, names, sharing, skip=writer.rows_done):
            made: TokenRows = tokenized(samples, rows, tokenizer, task=task, where=table.where)
            made.broken |= broken
            writer.append(made, rows_done=done)
        writer.close()
        prune(folder)
        found = open_tokens(folder)
        assert found is not None, folder
        return found, False


def _locked(folder: Path, busy: str) -> Any:
    lock = folder.with_name(f".{folder.name}.lock")
    return locked(lock, busy=busy, fix="wait for it", wait=lambda _: None)


def _set_aside(table: Table, broken: Mapping[int, str]) -> list[Quarantined]:
    return [
        Quarantined(source=table.where(row), position=None, reason=reason, row=row)
        for row, reason in sorted(broken.items())
    ]


def _check_quarantine(quarantined: Sequence[Quarantined], table: Table, limit: float) -> None:
    total = table.num_rows + sum(row.row is None for row in quarantined)
    if len(quarantined) <= limit * total:
        return
    first = next((row for row in quarantined if row.row is not None), quarantined[0])
    where = first.source if first.row is not None else table.name
    share = f"{len(quarantined):,} of {total:,} samples cannot be used"
    raise DataError(
        f"{share}; the first: {first.reason}",
        where=where,
        fix=f"mend them, or raise data.quarantine_limit above {limit:g}",
    )


def _check_marks(tokens: Tokens, tokenizer: LanguageTokenizer, table: Table) -> None:
    """Refuse a chat template by which nothing is learned of any conversation: no row is at fault then."""
    if not len(tokens.rows) and UNTRAINED in tokens.broken.values():
        raise DataError(
            "the chat template marks nothing that the assistant says",
            where=table.name,
            fix=f"set language.template to {tokenizer.our_template}, or to one with {{% generation %}}",
        )


def _check_ends(tokens: Tokens, tokenizer: LanguageTokenizer, table: Table, task: str) -> None:
    """Refuse samples by which the end of a turn is never learned."""
    if task not in {"chat", "preference"}:
        return
    assert tokens.trained is not None
    stops = np.fromiter(tokenizer.stops, dtype=np.int64)
    for start in range(0, len(tokens.ids), _TOKENS_AT_ONCE):
        some = slice(start, start + _TOKENS_AT_ONCE)
        if np.isin(tokens.ids[some][tokens.trained[some] > 0], stops).any():
            return
    raise DataError(
        "the model would never learn to stop: the chat template ends the assistant's turn with no "
        "special token that is learned",
        where=table.name,
        fix=f"set language.template to {tokenizer.our_template}, or to a template that ends a turn inside "
        "{% generation %}",
    )


def _task(recipe: Recipe) -> str:
    assert recipe.task is not None
    return recipe.task


def describe_language(data: LanguageData) -> dict[str, Any]:
    """Return what `data.json` holds of a language model's data."""
    tokens, tokenizer = data.tokens, data.tokenizer
    parts = {}
    for part in PARTS:
        index = data.indices[part]
        inside = tokens.lengths_of(index)
        if data.parts_each == 2:
            inside = inside + tokens.lengths_of(index + 1)
        parts[part] = {
            "samples": len(index),
            "tokens": int(inside.sum()),
            "bytes": int(tokens.sizes[index // data.parts_each].sum()),
        }
    reasons = Counter(row.reason for row in data.quarantined)
    return {
        "kind": "language",
        "name": data.table.name,
        "fingerprint": data.table.fingerprint,
        "task": data.recipe.task,
        "format": data.form,
        "columns": [],
        "rows": data.table.num_rows,
        "names": dict(data.names),
        "parts": parts,
        "split": {
            "method": data.shared_out,
            "rows": {part: len(data.indices[part]) for part in PARTS},
            "notes": [],
        },
        "tokenizer": {
            "vocabulary": tokenizer.vocabulary,
            "made": data.trained_tokenizer,
            "fertility": fertility(data),
        },
        "lengths": _quantiles(tokens.lengths),
        "shown": shown(data),
        "quarantined": {
            "count": len(data.quarantined),
            "reasons": [{"reason": reason, "count": count} for reason, count in reasons.most_common(20)],
        },
        "notes": data.notes,
        "column_notes": {},
        "counts": tokens.counts,
    }


def _quantiles(lengths: Array) -> dict[str, int]:
    if not len(lengths):
        return {}
    shares = {"min": 0.0, "median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: int(np.quantile(lengths, share)) for name, share in shares.items()}


_SCRIPTS = {
    "Latin": r"\p{Latin}",
    "Han": r"\p{Han}",
    "Kana": r"[\p{Hiragana}\p{Katakana}]",
    "Hangul": r"\p{Hangul}",
    "Cyrillic": r"\p{Cyrillic}",
    "Greek": r"\p{Greek}",
    "Arabic": r"\p{Arabic}",
    "Hebrew": r"\p{Hebrew}",
    "Devanagari": r"\p{Devanagari}",
    "Bengali": r"\p{Bengali}",
    "Tamil": r"\p{Tamil}",
    "Thai": r"\p{Thai}",
    "digits": r"\p{N}",
}
_OTHER, _SIGNS = "other", r"[\p{L}\p{So}]"
"""What texts are called of whose letters and pictures most belong to none of these scripts."""
_FERTILITY_TEXTS = 200
_FERTILITY_CHARACTERS = 2_000


def fertility(data: LanguageData) -> list[dict[str, Any]]:
    """Return characters per token by script, from some texts: how much of a language fits into a context.

    A text counts for the script of most of its letters.
    """
    texts = _some_texts(data, _FERTILITY_TEXTS, _FERTILITY_CHARACTERS)
    if not texts:
        return []
    frame = pl.DataFrame({"text": texts}).with_columns(
        *(pl.col("text").str.count_matches(pattern).alias(name) for name, pattern in _SCRIPTS.items()),
        signs=pl.col("text").str.count_matches(_SIGNS),
        characters=pl.col("text").str.len_chars(),
        words=pl.col("text").str.count_matches(r"\S+"),
        tokens=pl.Series([len(ids) for ids in data.tokenizer.encode(texts)]),
    )
    known = frame.select(list(_SCRIPTS)).to_numpy().astype(np.int64)
    letters = known.sum(axis=1) - frame["digits"].to_numpy().astype(np.int64)
    others = np.maximum(frame["signs"].to_numpy().astype(np.int64) - letters, 0)
    names = np.asarray([_OTHER, *_SCRIPTS])[np.column_stack([others, known]).argmax(axis=1)]
    grouped = (
        frame.with_columns(script=pl.Series(names))
        .group_by("script")
        .agg(pl.len().alias("texts"), pl.col("characters", "words", "tokens").sum())
        .sort("characters", descending=True)
    )
    return [
        {
            "script": row["script"],
            "texts": row["texts"],
            "characters_per_token": round(row["characters"] / max(row["tokens"], 1), 3),
            "tokens_per_word": round(row["tokens"] / max(row["words"], 1), 3),
        }
        for row in grouped.to_dicts()
    ]


def _some_texts(data: LanguageData, number: int, characters: int) -> list[str]:
    """Return about so many beginnings of texts from all over the training rows; of few texts some pieces."""
    rows = np.unique(data.tokens.rows[data.indices["training"] // data.parts_each])
    if not len(rows):
        return []
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, number).astype(np.int64))]
    form, columns = _format_of(data), sorted(set(data.names.values()))
    pieces_each = -(-number // len(chosen)) if len(chosen) < FEW else 1
    texts: list[str] = []
    at_once = rows_at_once(data.table, columns)
    for start in range(0, len(chosen), at_once):
        frame = data.table.take(chosen[start : start + at_once], columns)
        samples, _, _ = read_samples(frame, form, data.names, 0)
        for text in map(text_of, samples):
            step = max(-(-len(text) // pieces_each), characters)
            texts += [text[at : at + characters] for at in range(0, len(text), step)][:pieces_each]
    return texts


def _format_of(data: LanguageData) -> Format:
    from trainwright.features.language.formats import FORMATS

    return FORMATS[data.form]


_SHOWN_SAMPLES, _SHOWN_TOKENS, _SHOWN_BEFORE = 3, 200, 50
"""Samples and tokens that are shown; where what is learned comes late, so many of those before it."""


def shown(data: LanguageData) -> list[list[dict[str, Any]]]:
    """Return the tokens of some samples as text, each with whether it is learned: for people to look at.

    A sample of which the first tokens teach nothing is shown from shortly before those that do. Of a masked
    model no token is marked: which are hidden differs from epoch to epoch.
    """
    tokens, found = data.tokens, []
    for sample in data.indices["training"][:_SHOWN_SAMPLES].tolist():
        begin, end = int(tokens.offsets[sample]), int(tokens.offsets[sample + data.parts_each])
        first = begin
        if tokens.trained is not None:
            learned = int(np.argmax(tokens.trained[begin:end] > 0))
            first += learned - _SHOWN_BEFORE if learned > _SHOWN_TOKENS - _SHOWN_BEFORE else 0
        last = min(end, first + _SHOWN_TOKENS)
        ids = tokens.ids[first:last]
        if tokens.trained is None:
            flags = np.full(len(ids), _task(data.recipe) != "masked-lm")
        else:
            flags = tokens.trained[first:last] > 0
        pieces = zip(_readable(data.tokenizer, ids), flags.tolist(), strict=True)
        lines = [("… ", False)] * (first > begin) + [*pieces] + [(" …", False)] * (last < end)
        found.append([{"text": text, "trained": flag} for text, flag in lines])
    return found


def _readable(tokenizer: LanguageTokenizer, ids: Array) -> list[str]:
    """Return the text of each token; characters of several tokens stand at the last of them."""
    pieces: list[str] = []
    held: list[int] = []
    for token in ids.tolist():
        held.append(token)
        text = tokenizer.decode(held, special=True)
        if text.endswith("\ufffd") and len(held) < 4:
            pieces.append("")
            continue
        pieces.append(text)
        held = []
    return pieces

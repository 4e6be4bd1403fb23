"""Samples as tokens: what a row becomes for each task, and which of its tokens are trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from trainwright.data.token_store import TokenRows
from trainwright.features.language.formats import UNANSWERED, Format, Sample, Unusable
from trainwright.features.language.pairs import PairFrames
from trainwright.features.language.template import Turn
from trainwright.features.language.tokenizer import Flags, Ids, LanguageTokenizer, Shown
from trainwright.foundation.errors import DataError, RecipeError

UNTRAINED = "no token of it is trained"
"""Why a conversation is set aside in which the template marks nothing of what the assistant says."""

_BLOCK = 1 << 16
"""Longer texts are cut for the tokenizer's threads, where no token can lie across the cut."""


def parts_of(task: str) -> int:
    """Return how many rows of tokens a sample has: a better and a worse answer, or one."""
    return 2 if task == "preference" else 1


def read_samples(
    frame: pl.DataFrame, form: Format, names: Mapping[str, str], first_row: int
) -> tuple[list[Sample], list[int], dict[int, str]]:
    """Return the samples of some rows, the rows they are from, and why others are unusable."""
    columns = {name: frame.get_column(column) for name, column in names.items()}
    samples: list[Sample] = []
    rows: list[int] = []
    broken: dict[int, str] = {}
    listed = [column.to_list() for column in columns.values()]
    for number, values in enumerate(zip(*listed, strict=True)):
        try:
            samples.append(form.read(dict(zip(columns, values, strict=True))))
            rows.append(first_row + number)
        except Unusable as error:
            broken[first_row + number] = str(error)
    return samples, rows, broken


def text_of(sample: Sample) -> str:
    """Return a sample as plain text: turns and answers on lines of their own."""
    if sample.turns:
        return "\n".join(turn.text for turn in sample.turns)
    return f"{sample.text}\n{sample.chosen}" if sample.chosen else sample.text


def tokenized(
    samples: Sequence[Sample],
    rows: Sequence[int],
    tokenizer: LanguageTokenizer,
    *,
    task: str,
    where: Callable[[int], str],
) -> TokenRows:
    """Return samples as tokens.

    Args:
        samples: in the format of the task.
        rows: where they are from.
        tokenizer: cuts and decodes.
        task: see the recipe; "encoder-decoder" where an encoder reads the sources.
        where: row → what messages call it.

    Raises:
        RecipeError: the chat template fails on a conversation.
    """
    if task in {"causal-lm", "masked-lm"}:
        return _texts(samples, rows, tokenizer)
    if task == "chat":
        return _chats(samples, rows, tokenizer, where)
    if task == "preference":
        return _preferences(samples, rows, tokenizer, where)
    return _pairs(samples, rows, tokenizer, PairFrames.of(tokenizer, encodes=task == "encoder-decoder"))


def _texts(samples: Sequence[Sample], rows: Sequence[int], tokenizer: LanguageTokenizer) -> TokenRows:
    texts = [text_of(sample) for sample in samples]
    unanswered = sum(sample.remarks.count(UNANSWERED) for sample in samples)
    before = [np.asarray([tokenizer.first], dtype=np.int32)]
    end = np.asarray([tokenizer.end], dtype=np.int32)
    blocks: list[str] = []
    owners: list[int] = []
    for number, text in enumerate(texts):
        for block in blocks_of(text) if tokenizer.cuts_anywhere else [text]:
            blocks.append(block)
            owners.append(number)
    parts: list[list[Ids]] = [list(before) for _ in texts]
    for owner, ids in zip(owners, tokenizer.encode(blocks), strict=True):
        parts[owner].append(ids)
    lengths = [sum(map(len, part)) + 1 for part in parts]
    flat = [piece for part in parts for piece in (*part, end)]
    return TokenRows(
        ids=np.concatenate(flat) if flat else np.zeros(0, dtype=np.int32),
        trained=None,
        lengths=np.asarray(lengths, dtype=np.int64),
        rows=np.asarray(rows, dtype=np.int64),
        sizes=np.asarray([len(text.encode()) for text in texts], dtype=np.int64),
        characters=np.asarray([len(text) for text in texts], dtype=np.int64),
        # Of a conversation that is read as a text every turn is learned: the other remarks do not hold.
        counts={UNANSWERED: unanswered} if unanswered else {},
    )


def blocks_of(text: str) -> Iterator[str]:
    """Yield pieces of a text, cut between a line and the next that begins with no space.

    There a byte-level tokenizer cuts in any case: the ids are those of the whole text.
    """
    place = 0
    while len(text) - place > _BLOCK:
        cut = text.find("\n", place + _BLOCK // 2)
        while cut >= 0 and (
            text[cut - 1].isspace() or text[cut + 1 : cut + 2].isspace() or cut + 1 >= len(text)
        ):
            cut = text.find("\n", cut + 1)
        if cut < 0:
            break
        yield text[place : cut + 1]
        place = cut + 1
    yield text[place:]


def _chats(
    samples: Sequence[Sample],
    rows: Sequence[int],
    tokenizer: LanguageTokenizer,
    where: Callable[[int], str],
) -> TokenRows:
    done = _Collector()
    shown: list[Shown] = []
    whose: list[tuple[int, Sample]] = []
    for sample, row in zip(samples, rows, strict=True):
        try:
            shown += _shown([sample.turns], tokenizer, row, where)
            whose.append((row, sample))
        except DataError as error:
            done.broken[row] = error.what
    for (row, sample), (ids, trained) in zip(whose, tokenizer.cut(shown), strict=True):
        if trained.any():
            done.add(row, [(ids, trained)], "".join(turn.text for turn in sample.turns), sample.remarks)
        else:
            done.broken[row] = UNTRAINED
    return done.rows()


def _preferences(
    samples: Sequence[Sample],
    rows: Sequence[int],
    tokenizer: LanguageTokenizer,
    where: Callable[[int], str],
) -> TokenRows:
    done = _Collector()
    shown: list[Shown] = []
    whose: list[tuple[int, Sample]] = []
    for sample, row in zip(samples, rows, strict=True):
        chats = [[*sample.turns, Turn("assistant", answer)] for answer in (sample.chosen, sample.rejected)]
        try:
            shown += _shown(chats, tokenizer, row, where)
            whose.append((row, sample))
        except DataError as error:
            done.broken[row] = error.what
    cut = tokenizer.cut(shown)
    for (row, sample), better, worse in zip(whose, cut[::2], cut[1::2], strict=True):
        # Only the last answer is judged: what went before is the same in both.
        parts = [(ids, _last_span(trained)) for ids, trained in (better, worse)]
        if all(trained.any() for _, trained in parts):
            done.add(row, parts, text_of(sample))
        else:
            done.broken[row] = UNTRAINED
    return done.rows()


def _shown(
    chats: Sequence[Sequence[Turn]], tokenizer: LanguageTokenizer, row: int, where: Callable[[int], str]
) -> list[Shown]:
    """Return the conversations of a row as `cut` takes them.

    Raises:
        DataError: the template refuses one.
        RecipeError: the template fails on one, and on which. Such rows are not set aside: they tell of the
            template, and it may fail on the next ones as slowly.
    """
    try:
        return [tokenizer.show(turns) for turns in chats]
    except RecipeError as error:
        raise RecipeError(f"{error.what} (on {where(row)})", where=error.where, fix=error.fix) from error


def _pairs(
    samples: Sequence[Sample], rows: Sequence[int], tokenizer: LanguageTokenizer, frames: PairFrames
) -> TokenRows:
    """Return each source and, behind it, its target, of which all is learned."""
    done = _Collector()
    sources = tokenizer.encode([source_of(sample) for sample in samples])
    targets = tokenizer.encode([sample.chosen or sample.turns[-1].text for sample in samples])
    for sample, row, asked, target in zip(samples, rows, sources, targets, strict=True):
        if sample.turns and not sample.turns[-1].learned:
            done.broken[row] = "its last answer is not to be learned"
            continue
        source = frames.source(asked)
        ids = np.concatenate([source, frames.target(target)])
        trained = np.arange(len(ids)) >= len(source)
        # What went before the last answer is the source, and never learned.
        ends = [word for word in sample.remarks if word == UNANSWERED]
        done.add(row, [(ids, trained)], sample.chosen or sample.turns[-1].text, ends)
    return done.rows()


def source_of(sample: Sample) -> str:
    """Return the source of a pair; of a conversation all that was said before its last answer."""
    return sample.text or "\n".join(turn.text for turn in sample.turns[:-1])


def _last_span(trained: Flags) -> Flags:
    """Return the last run of trained tokens alone."""
    found = np.flatnonzero(trained)
    if not len(found):
        return trained
    gaps = np.flatnonzero(np.diff(found) > 1)
    kept = np.zeros_like(trained)
    kept[found[gaps[-1] + 1 :] if len(gaps) else found] = True
    return kept


class _Collector:
    """Adds samples up."""

    def __init__(self) -> None:
        self._ids: list[Ids] = []
        self._trained: list[Flags] = []
        self._rows: list[int] = []
        self._sizes: list[int] = []
        self._characters: list[int] = []
        self._counts: Counter[str] = Counter()
        self.broken: dict[int, str] = {}

    def add(
        self, row: int, parts: Sequence[tuple[Ids, Flags]], text: str, remarks: Sequence[str] = ()
    ) -> None:
        self._counts.update(remarks)
        for ids, trained in parts:
            self._ids.append(ids)
            self._trained.append(trained)
        self._rows.append(row)
        self._sizes.append(len(text.encode()))
        self._characters.append(len(text))

    def rows(self) -> TokenRows:
        def joined(parts: Sequence[npt.NDArray[Any]], kind: Any) -> npt.NDArray[Any]:
            return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)

        return TokenRows(
            ids=joined(self._ids, np.int32),
            trained=joined(self._trained, bool),
            lengths=np.asarray([len(ids) for ids in self._ids], dtype=np.int64),
            rows=np.asarray(self._rows, dtype=np.int64),
            sizes=np.asarray(self._sizes, dtype=np.int64),
            characters=np.asarray(self._characters, dtype=np.int64),
            broken=self.broken,
            counts=dict(self._counts),
        )

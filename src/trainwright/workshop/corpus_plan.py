"""The plan of a corpus: which files, in which pieces, with which settings; the same for whoever goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trainwright
from trainwright.corpus.contamination import MOST_SETS, Contamination, learn
from trainwright.corpus.document import Document, whole_characters
from trainwright.corpus.inputs import Inputs, find, pieces_of
from trainwright.corpus.ledger import MOST_SENTENCES, Ledger
from trainwright.corpus.reader import READERS, Asked
from trainwright.corpus.settings import CorpusSettings
from trainwright.corpus.streams import cannot_be_read
from trainwright.corpus.work import Work
from trainwright.data.urls import redacted
from trainwright.foundation.errors import DataError, UserError
from trainwright.foundation.hashing import json_hash
from trainwright.foundation.paths import make_folder, write_json


@dataclass(frozen=True)
class Wanted:
    """What a call asks for.

    Attributes:
        settings: what the corpus is made with.
        sources: names of the sources.
        found: their files.
        sets: evaluation set → its files.
    """

    settings: CorpusSettings
    sources: list[str]
    found: Inputs
    sets: dict[str, Inputs]

    def to_json(self) -> dict[str, Any]:
        """Return what a call that comes again must ask for, too."""
        return {
            "version": trainwright.__version__,
            "settings": self.settings.to_json(),
            "sources": self.sources,
            "num_files": len(self.found.files),
            "files": json_hash(self.found.files),
            "evaluation": [[name, json_hash(each.files)] for name, each in self.sets.items()],
        }


@dataclass(frozen=True)
class Learned:
    """What evaluation sets hold.

    Attributes:
        contamination: their n-grams.
        counts: set → how many texts and n-grams it has.
    """

    contamination: Contamination
    counts: dict[str, dict[str, int]]


def look(
    sources: Sequence[str], evaluation: Sequence[str], settings: CorpusSettings, *, output: Path
) -> Wanted:
    """Find the files that a call names.

    Args:
        sources: files, folders, globs, archives or URLs.
        evaluation: the same of evaluation sets.
        settings: what the corpus is made with.
        output: folder of the corpus, which is not read.

    Raises:
        UserError: there is nothing there, or an evaluation set cannot be read as a whole.
    """
    found = find(sources, Path(), skip=output)
    sets = {whole_characters(redacted(name)): find([name], Path()) for name in evaluation}
    if len(sets) > MOST_SETS:
        raise UserError(
            f"there are {len(sets)} evaluation sets", fix=f"give {MOST_SETS} at most: a folder counts as one"
        )
    for name, files in sets.items():
        _check_whole(name, files)
    return Wanted(settings, [whole_characters(redacted(source)) for source in sources], found, sets)


def _check_whole(name: str, files: Inputs) -> None:
    """Refuse an evaluation set of which a part would be passed over."""
    if files.wrong:
        number = len(files.wrong)
        raise DataError(
            f"{number:,} of the files of this evaluation set cannot be read "
            f"({whole_characters(files.wrong[0]).removesuffix('.')})",
            where=name,
            fix="mend them, or name the files that count",
        )
    if files.others:
        endings = ", ".join(f"{ending}: {count:,}" for ending, count in sorted(files.others.items()))
        raise DataError(
            f"no reader is for some files of this evaluation set ({endings})",
            where=name,
            fix="write them as JSON Lines, or name the files that count",
        )


def learn_sets(wanted: Wanted) -> Learned | None:
    """Read the evaluation sets; None without.

    Raises:
        UserError: a part of one cannot be read.
    """
    if not wanted.sets:
        return None
    settings = wanted.settings
    texts = {name: _texts(name, files, settings) for name, files in wanted.sets.items()}
    return Learned(*learn(texts, words=settings.ngram_words, characters=settings.ngram_characters))


def _texts(name: str, files: Inputs, settings: CorpusSettings) -> Iterator[Document]:
    """Yield every text of an evaluation set; what cannot be read of it is an error."""
    asked = Asked(encoding=settings.encoding, all_texts=True)
    ledger = Ledger()
    for part in files.slices:
        try:
            yield from READERS[part.kind].read(part, asked, ledger)
        except (UserError, MemoryError):
            raise
        except Exception as error:  # a damaged file ends in whatever its parts are read by
            raise cannot_be_read(part.name, error) from error
    for reason, (number, _) in ledger.left.get("read", {}).items():
        if reason != _EMPTY:
            raise DataError(
                f"a part of this evaluation set cannot be read ({reason}: {number:,}, "
                f"the first in {ledger.samples[f'read.{reason}'][0]['where']})",
                where=name,
                fix="mend it, or name the files that count",
            )


_EMPTY = "no text"
"""What readers call a row in which there is nothing to read."""


def write_plan(work: Work, wanted: Wanted, learned: Learned | None) -> None:
    """Write what is to be done, the plan last.

    Args:
        work: the folder of work.
        wanted: what was asked for.
        learned: what evaluation sets hold.
    """
    make_folder(work.path)
    counts: Mapping[str, dict[str, int]] = {}
    if learned is not None:
        learned.contamination.save(work.contamination_path)
        counts = learned.counts
    found = wanted.found
    write_json(
        work.plan_path,
        {
            **wanted.to_json(),
            "bytes": sum(part.num_bytes for part in found.slices),
            "pieces": work.write_pieces(pieces_of(found.slices)),
            "num_wrong": len(found.wrong),
            "wrong": list(map(whole_characters, found.wrong[:MOST_SENTENCES])),
            "others": dict(sorted(found.others.items())),
            "evaluation_sets": [{"name": name, **counts[name]} for name in wanted.sets],
        },
    )


def check_same(work: Work, wanted: Wanted) -> None:
    """Refuse to go on with other settings or sources than the work was begun with.

    Raises:
        UserError: what is other.
    """
    asked = wanted.to_json()
    folder = str(work.path.parent)
    fix = "give the same ones, name another folder with -o, or add --force to begin again"
    before, now = work.plan["settings"], asked["settings"]
    for name, value in now.items():
        if before.get(name) != value:
            raise UserError(
                f"this corpus was begun with {name} {_word(before.get(name))}, not {_word(value)}",
                where=folder,
                fix=fix,
            )
    for name, what in (
        ("sources", "other sources"),
        ("files", "files that have changed since"),
        ("evaluation", "other evaluation sets"),
        ("version", "another version of Trainwright"),
    ):
        if work.plan.get(name) != asked[name]:
            raise UserError(f"this corpus was begun with {what}", where=folder, fix=fix)


def _word(value: Any) -> str:
    return "off" if value is None else str(value)

"""The plan of a corpus: which files, in which pieces, with which settings; the same for whoever goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import trainwright
from trainwright.corpus.contamination import MOST_SETS, learn
from trainwright.corpus.document import Document, whole_characters
from trainwright.corpus.inputs import find, pieces_of
from trainwright.corpus.ledger import MOST_SENTENCES, Ledger
from trainwright.corpus.reader import READERS, Asked, Slice
from trainwright.corpus.settings import CorpusSettings
from trainwright.corpus.work import Work
from trainwright.data.urls import redacted
from trainwright.foundation.errors import UserError
from trainwright.foundation.hashing import json_hash
from trainwright.foundation.paths import make_folder, write_json
from trainwright.workshop.corpus_progress import CorpusProgress


def begin(
    work: Work,
    sources: Sequence[str],
    evaluation: Sequence[str],
    settings: CorpusSettings,
    *,
    progress: CorpusProgress,
) -> None:
    """Write the plan, or check that the one that is there is the same.

    Raises:
        UserError: nothing can be read, or the folder was begun with other settings or sources.
    """
    base = Path()
    with progress.working("Looking for files"):
        found = find(sources, base, skip=work.path.parent)
        sets = {whole_characters(redacted(name)): find([name], base) for name in evaluation}
    if len(sets) > MOST_SETS:
        raise UserError(
            f"there are {len(sets)} evaluation sets", fix=f"give {MOST_SETS} at most: a folder counts as one"
        )
    asked = {
        "version": trainwright.__version__,
        "settings": settings.to_json(),
        "sources": [whole_characters(redacted(source)) for source in sources],
        "num_files": len(found.files),
        "files": json_hash(found.files),
        "evaluation": [[name, json_hash(each.files)] for name, each in sets.items()],
    }
    if work.is_begun:
        _check_same(work, asked)
        work.remove_scratch()
        progress.say("Going on from what is there.")
        return
    told: dict[str, dict[str, int]] = {}
    if sets:
        with progress.working("Reading evaluation sets"):
            texts = {name: _texts(each.slices, settings) for name, each in sets.items()}
            contamination, told = learn(
                texts, words=settings.ngram_words, characters=settings.ngram_characters
            )
        make_folder(work.path)
        contamination.save(work.contamination_path)
    make_folder(work.path)
    write_json(
        work.plan_path,
        {
            **asked,
            "bytes": sum(part.num_bytes for part in found.slices),
            "pieces": work.write_pieces(pieces_of(found.slices)),
            "num_wrong": len(found.wrong),
            "wrong": list(map(whole_characters, found.wrong[:MOST_SENTENCES])),
            "others": dict(sorted(found.others.items())),
            "evaluation_sets": [{"name": name, **told[name]} for name in sets],
        },
    )


def _texts(slices: Sequence[Slice], settings: CorpusSettings) -> Iterator[Document]:
    asked = Asked(encoding=settings.encoding, all_texts=True)
    for part in slices:
        yield from READERS[part.kind].read(part, asked, Ledger())


def _check_same(work: Work, asked: dict[str, Any]) -> None:
    """Refuse to go on with other settings than the work was begun with."""
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

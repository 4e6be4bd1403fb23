"""Tables that lie deeper in a fetched folder than the source of folders looks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from trainwright.data.archive import is_archive
from trainwright.data.samples import holds_samples
from trainwright.data.source import Place, table_suffixes
from trainwright.data.splits.parts import PART_WORDS


def tables_below(whole: Place, *, is_pattern: bool) -> list[Place]:
    """Return the places of what was fetched: its folder, or each table where some lie further down.

    A folder of a store is only the beginning of names: tables that a writer has put into `year=2024/` belong
    to it. Names that begin with a dot or an underscore are notes of such writers.

    Args:
        whole: the folder.
        is_pattern: the user named its files by a pattern, archives and text files among them.
    """
    from trainwright.data.sources.folder import MEDIA, TEXT_ENDINGS

    endings = table_suffixes() if is_pattern else table_suffixes() - TEXT_ENDINGS
    media = frozenset().union(*MEDIA.values())
    found, is_deep = [], False
    for file in _files(whole.path):
        ending = file.suffix.lower()
        if ending in media:
            return [whole]
        is_table = ending in endings and (ending != ".tar" or holds_samples(file))
        if is_table or (is_pattern and is_archive(file)):
            above = file.relative_to(whole.path).parts[:-1]
            found.append(whole.within(file))
            is_deep |= not is_table or len(above) > 1 or any(one.lower() not in PART_WORDS for one in above)
    return sorted(found, key=lambda place: place.path) if is_deep else [whole]


def _files(folder: Path) -> Iterator[Path]:
    for path, folders, names in os.walk(folder):
        folders[:] = [one for one in folders if one[0] not in "._"]
        yield from (Path(path, name) for name in names if name[0] not in "._")

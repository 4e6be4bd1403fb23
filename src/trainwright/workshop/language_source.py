"""Which data holds texts: files that are read as texts, and the shards of a prepared corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from trainwright.data.locate import locate, source_of
from trainwright.data.source import table_suffixes
from trainwright.data.sources.folder import TEXT_ENDINGS
from trainwright.data.sources.text import files_below
from trainwright.data.text_file import ENDINGS
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings

_ABOUT = frozenset({"readme", "license", "licence", "notice", "changelog", "citation"})
"""Names of texts that lie beside data and say something of it."""
_PACKED = (".gz", ".bz2", ".xz")


def as_text(data: DataSettings, base: Path) -> DataSettings:
    """Return the settings by which text files are read as texts, and a prepared corpus by its shards.

    What a path is is told by the files that it leads to: a glob's, a URL's, an archive's.

    Args:
        data: the recipe's.
        base: folder that relative paths start from.

    Raises:
        DataError: some of it are texts and some tables, or a corpus is not finished.
    """
    if data.format != "auto":
        return data
    paths = [data.path] if isinstance(data.path, str) else list(data.path)
    shards = [_shards(base / Path(path).expanduser()) if "://" not in path else None for path in paths]
    if any(shards):
        found = [place for path, shard in zip(paths, shards, strict=True) for place in shard or [path]]
        data, paths = data.model_copy(update={"path": tuple(found)}), found
    given = [path for path in (*paths, data.validation, data.test) if path is not None]
    kinds = {kind: name for name, kind in _kinds(given, base)}
    if len(kinds) > 1:
        raise DataError(
            "texts and tables cannot be read together",
            where=f"{kinds[True]} and {kinds[False]}",
            fix="give files of one kind, or set data.format to text",
        )
    return data.model_copy(update={"format": "text"}) if True in kinds else data


def _kinds(paths: Iterable[str], base: Path) -> Iterable[tuple[str, bool]]:
    """Yield the name of every file or folder, and whether it holds texts."""
    for path in paths:
        if source_of(path) is not None:
            yield path, False
            continue
        for place in locate(path, base):
            yield place.name, _holds_text(place.path)


def _shards(folder: Path) -> list[str] | None:
    """Return the shards of a folder that `trainwright prepare` made; None for any other."""
    if not (folder / "manifest.json").is_file():
        if (folder / ".work" / "plan.json").is_file():
            raise DataError(
                "this corpus is not finished", where=str(folder), fix="run trainwright prepare again"
            )
        return None
    return [str(path.resolve()) for path in sorted(folder.glob("part-*.parquet"))] or None


def _holds_text(path: Path) -> bool:
    """Return whether a path is a text file, or a folder of more text files than tables.

    What describes the data, such as a README, does not count where there is anything else.
    """
    if path.is_file():
        return path.suffix.lower() in ENDINGS
    if not path.is_dir():
        return False
    tables = table_suffixes() - TEXT_ENDINGS
    found: Counter[str] = Counter()
    for _, name, ending in files_below(path):
        inner = Path(name.lower().removesuffix(ending)).suffix if ending in _PACKED else ending
        if inner in tables:
            found["tables"] += 1
        elif ending in ENDINGS:
            found["about" if name.lower().removesuffix(ending) in _ABOUT else "texts"] += 1
    if not found["tables"]:
        return found["texts"] + found["about"] > 0
    return found["texts"] > found["tables"]

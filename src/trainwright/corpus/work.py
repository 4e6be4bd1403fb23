"""The folder in which a corpus is made: what is to be done, and what of it is whole."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from trainwright.corpus.contamination import Contamination
from trainwright.corpus.features import Features
from trainwright.corpus.pieces import At, Report, make_piece, nowhere
from trainwright.corpus.reader import Slice
from trainwright.corpus.resolve import PLAN as SHARDS
from trainwright.corpus.settings import CorpusSettings
from trainwright.corpus.shards import make_shard, read_marker
from trainwright.foundation.paths import write_atomic

NAME = ".work"
_PLAN, _PIECES, _CONTAMINATION = "plan.json", "pieces.jsonl", "contamination.npz"

_PLAIN = [each.name for each in dataclasses.fields(Slice) if each.name != "path"]


@dataclass(frozen=True)
class Work:
    """A folder of work.

    Attributes:
        path: the folder, inside that of the corpus.
    """

    path: Path

    @cached_property
    def plan(self) -> dict[str, Any]:
        """What is to be done."""
        found: dict[str, Any] = json.loads((self.path / _PLAN).read_text(encoding="utf-8"))
        return found

    @property
    def is_begun(self) -> bool:
        """Whether there is a plan."""
        return (self.path / _PLAN).exists()

    @property
    def is_rest(self) -> bool:
        """Whether this is a folder of work without a plan, and nothing else is in it."""
        ours = {"pieces", "features", "shards", "resolved", _PIECES, _CONTAMINATION}
        return self.path.is_dir() and all(
            path.name in ours or path.name.startswith(".") for path in self.path.iterdir()
        )

    @cached_property
    def settings(self) -> CorpusSettings:
        """What the corpus is made with."""
        return CorpusSettings.from_json(self.plan["settings"])

    @cached_property
    def contamination(self) -> Contamination | None:
        """n-grams of evaluation sets; None without."""
        return Contamination.load(self.contamination_path) if self.plan["evaluation_sets"] else None

    @property
    def contamination_path(self) -> Path:
        """Where the n-grams of evaluation sets are."""
        return self.path / _CONTAMINATION

    @property
    def plan_path(self) -> Path:
        """Where the plan is."""
        return self.path / _PLAN

    @property
    def resolved(self) -> Path:
        """The folder with the decision on all documents."""
        return self.path / "resolved"

    @cached_property
    def features(self) -> Features:
        """Features of all documents, where all pieces are made."""
        return Features(self.path / "features")

    @cached_property
    def pieces(self) -> list[Path]:
        """Folders of the first pass, in order."""
        return [self.path / "pieces" / f"{number:06}" for number in range(len(self.plan["pieces"]))]

    @cached_property
    def shards(self) -> list[dict[str, Any]]:
        """Which documents each shard holds."""
        found: list[dict[str, Any]] = json.loads((self.resolved / SHARDS).read_text(encoding="utf-8"))
        return found

    def marker(self, number: int) -> Path:
        """Return the file that says that a shard is whole."""
        return self.path / "shards" / f"{number:05}.json"

    def pieces_left(self) -> list[int]:
        """Return the pieces that are still to be made."""
        return [number for number, piece in enumerate(self.pieces) if not piece.exists()]

    def shards_left(self) -> list[int]:
        """Return the shards that are still to be written."""
        return [number for number in range(len(self.shards)) if not self._is_whole(number)]

    def _is_whole(self, number: int) -> bool:
        with suppress(FileNotFoundError):
            shard = read_marker(self.marker(number))
            return bool((self.path.parent / shard["file"]).stat().st_size == shard["bytes"])
        return False

    def remove_scratch(self) -> None:
        """Remove what processes that were killed have left half made."""
        for kind in ("", "pieces", "shards"):
            for scratch in (self.path / kind).glob(".*"):
                if scratch.is_dir():
                    shutil.rmtree(scratch, ignore_errors=True)
                else:
                    scratch.unlink(missing_ok=True)

    def write_pieces(self, pieces: Sequence[Sequence[Slice]]) -> list[tuple[int, int]]:
        """Write what each piece is made of, a line each; return where each line begins, and bytes to read."""
        lines = [_line(piece) for piece in pieces]
        begins = accumulate(map(len, lines), initial=0)
        write_atomic(self.path / _PIECES, b"".join(lines))
        sizes = [sum(part.num_bytes for part in piece) for piece in pieces]
        return list(zip(begins, sizes, strict=False))

    def slices(self, number: int) -> list[Slice]:
        """Return what a piece is made of: no process holds the names of all files."""
        with (self.path / _PIECES).open("rb") as stream:
            stream.seek(self.plan["pieces"][number][0])
            return [Slice(Path(path), *rest) for path, *rest in json.loads(stream.readline())]

    def do(
        self, task: str, number: int, report: Report, *, crashed: Collection[int] = (), at: At = nowhere
    ) -> None:
        """Make a piece or a shard.

        Args:
            task: "piece" or "shard".
            number: which of them.
            report: told of documents and bytes as they are done.
            crashed: slices of a piece that are set aside, for their readers killed the process.
            at: told which slice of a piece comes now.

        Raises:
            UserError: the sources or the disk do not allow it.
        """
        if task == "piece":
            make_piece(
                self.pieces[number],
                self.slices(number),
                self.settings,
                contamination=self.contamination,
                report=report,
                crashed=crashed,
                at=at,
            )
            return
        make_shard(
            self.path.parent,
            self.marker(number),
            number,
            self.shards[number],
            resolved=self.resolved,
            pieces=self.pieces,
            starts=self.features.starts,
            report=report,
        )


def _line(slices: Sequence[Slice]) -> bytes:
    # In ASCII: paths may hold bytes that are not UTF-8.
    values = [[str(part.path), *(getattr(part, name) for name in _PLAIN)] for part in slices]
    return json.dumps(values).encode() + b"\n"

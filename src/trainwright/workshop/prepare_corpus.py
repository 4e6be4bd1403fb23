"""`prepare`: a corpus for a language model, from files of texts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trainwright.corpus.languages import check_can_tell
from trainwright.corpus.settings import CorpusSettings, with_changes
from trainwright.corpus.work import NAME, Work
from trainwright.foundation.devices import num_cpus
from trainwright.foundation.errors import DataError, UserError
from trainwright.foundation.locks import locked
from trainwright.foundation.paths import check_folder, make_folder, writing
from trainwright.workshop.corpus_plan import check_same, learn_sets, look, write_plan
from trainwright.workshop.corpus_progress import CorpusProgress

MANIFEST, REPORT = "manifest.json", "report.html"
CLEARING = ".clearing"
"""A folder that is there while an earlier corpus is removed: whoever finds it removes the rest first."""


@dataclass(frozen=True)
class Corpus:
    """A finished corpus.

    Attributes:
        path: its folder: `part-*.parquet` with a column `text`, `manifest.json`, `report.html`.
    """

    path: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What is in it, what left and why."""
        found: dict[str, Any] = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
        return found

    def summary(self) -> dict[str, Any]:
        """Return the manifest without samples and names of files, and where everything is."""
        long = {"samples", "files_set_aside", "sources"}
        manifest = {name: value for name, value in self.manifest.items() if name not in long}
        return {"corpus": str(self.path), "report": str(self.path / REPORT), **manifest}


def prepare(
    sources: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    languages: str | Sequence[str] = (),
    quality: str = "gentle",
    decontaminate: str | Path | Sequence[str | Path] = (),
    settings: Mapping[str, Any] | Sequence[str] = (),
    workers: int | None = None,
    force: bool = False,
    quiet: bool = False,
) -> Corpus:
    """Make a corpus for a language model: read, repaired, filtered, without doubles, masked, in shards.

    Killed at any moment, the same call goes on from what is whole on the disk, and ends with the same bytes.
    The result does not depend on the number of workers.

    Args:
        sources: files, folders, globs, archives or URLs of texts, Markdown, JSONL, Parquet, HTML, WARC, PDF.
        output: folder to make.
        languages: languages to keep, as codes of ISO 639 or one of them; all by default.
        quality: how strict the rules of quality are: "off", "gentle" or "strict".
        decontaminate: evaluation sets, in files of the same kinds; texts that hold a part of one leave.
        settings: any other setting, `{"shard_megabytes": 64, "rules.gopher_few_words": 20}`.
        workers: processes; as many as there are cores by default. With 1 all is done in this process, which
            a file that crashes a reader ends, too.
        force: make it again where there is one; that goes once the sources and sets have been found.
        quiet: say nothing.

    Returns:
        The corpus.

    Raises:
        UserError: nothing can be read, a package is missing, or the folder holds something else.
    """
    folder = Path(output)
    chosen = with_changes(CorpusSettings(), {"languages": languages, "quality": quality})
    wanted = with_changes(chosen, settings)
    check_can_tell(wanted.languages)
    given, evaluation = _names(sources), _names(decontaminate)
    if not given:
        raise UserError("there is nothing to read", fix="name files or folders of texts")
    count = num_cpus() if workers is None else workers
    if count < 1:
        raise UserError(f"workers is {count}", fix="give 1 or more")
    _check_output(folder, force)
    with (
        locked(
            folder / ".lock",
            busy="another process prepares this corpus",
            fix="wait for it, or choose another folder",
        ),
        CorpusProgress(quiet=quiet) as progress,
    ):
        work = _begun(folder, given, evaluation, wanted, force=force, progress=progress)
        if not (folder / MANIFEST).exists():
            try:
                _make(work, folder, progress, workers=count, here=workers == 1)
            except DataError:  # nothing could be read, or stays: there is nothing to go on from
                _clear(folder)
                raise
        _tidy(work)
        made = Corpus(folder)
        progress.finished(made.manifest, folder / REPORT)
    return made


def _names(given: str | Path | Sequence[str | Path]) -> list[str]:
    return [str(given)] if isinstance(given, str | Path) else list(map(str, given))


def _begun(
    folder: Path,
    sources: Sequence[str],
    evaluation: Sequence[str],
    settings: CorpusSettings,
    *,
    force: bool,
    progress: CorpusProgress,
) -> Work:
    """Return the folder of work with a plan: the one that is there, where it is the same, or a new one."""
    with progress.working("Looking for files"):
        wanted = look(sources, evaluation, settings, output=folder)
    work = Work(folder / NAME)
    is_cleared = force or (folder / CLEARING).exists()
    if work.is_begun and not is_cleared:
        # A finished corpus is compared, too: its work was not tidied up, and the call may ask for another.
        check_same(work, wanted)
        work.remove_scratch()
        progress.say("Going on from what is there.")
        return work
    with progress.working("Reading evaluation sets"):
        learned = learn_sets(wanted)
    # Only now, when the sources and sets of the new corpus are known to be there, does the old one go.
    if is_cleared:
        _clear(folder)
    _remove(work.path)  # what it holds without a plan may be of other sources
    write_plan(work, wanted, learned)
    return work


def _make(work: Work, folder: Path, progress: CorpusProgress, *, workers: int, here: bool) -> None:
    from trainwright.corpus.features import gather
    from trainwright.corpus.manifest import manifest_of
    from trainwright.corpus.resolve import resolve
    from trainwright.corpus.workers import do_all
    from trainwright.foundation.paths import write_json
    from trainwright.reporting.corpus import write_corpus_report

    for name in ("pieces", "shards"):
        make_folder(work.path / name)
    with progress.bytes("Reading", work.plan["bytes"], done=_bytes_done(work)) as report:
        do_all(work, "piece", work.pieces_left(), workers=workers, here=here, report=report)
    if not work.resolved.exists():
        with progress.working("Looking for doubles"):
            if not work.features.folder.exists():
                gather(work.features.folder, work.pieces)
            names = [each["name"] for each in work.plan["evaluation_sets"]]
            resolve(work.resolved, work.pieces, work.features, work.settings, sets=names)
    rows = sum(shard["rows"] for shard in work.shards)
    left = work.shards_left()
    done = rows - sum(work.shards[number]["rows"] for number in left)
    with progress.documents("Writing", rows, done=done) as report:
        do_all(work, "shard", left, workers=workers, here=here, report=report)
    manifest = manifest_of(work)
    write_corpus_report(folder / REPORT, manifest)
    write_json(folder / MANIFEST, manifest)  # the last: where it is, the corpus is finished


def _bytes_done(work: Work) -> int:
    left = set(work.pieces_left())
    return sum(num_bytes for number, (_, num_bytes) in enumerate(work.plan["pieces"]) if number not in left)


def _check_output(folder: Path, force: bool) -> None:
    """Refuse a folder that is finished, or that holds something else."""
    if not folder.exists():
        return
    check_folder(folder)
    if (folder / CLEARING).exists():
        return
    begun, finished = Work(folder / NAME).is_begun, (folder / MANIFEST).exists()
    if finished and not begun and not force:
        raise UserError(
            "this corpus is finished", where=str(folder), fix="name another folder with -o, or add --force"
        )
    if (
        not begun
        and not Work(folder / NAME).is_rest
        and not (finished and _is_ours(folder))
        and any(path.name != ".lock" for path in folder.iterdir())
    ):
        raise UserError("this folder holds other files", where=str(folder), fix="name a new folder with -o")


def _is_ours(folder: Path) -> bool:
    with suppress(ValueError, OSError):
        return bool(json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("kind") == "corpus")
    return False


def _clear(folder: Path) -> None:
    """Remove what an earlier call made, and nothing else; the next call goes on with it if this is killed."""
    make_folder(folder / CLEARING)
    with writing(folder):
        for path in (folder / MANIFEST, folder / REPORT, *folder.glob("part-*.parquet")):
            path.unlink(missing_ok=True)
    _remove(folder / NAME)
    _remove(folder / CLEARING)


def _tidy(work: Work) -> None:
    """Remove the work of a finished corpus, the plan last: by it a call that comes again is compared."""
    with writing(work.path):
        for path in work.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != work.plan_path:
                path.unlink()
    _remove(work.path)


def _remove(folder: Path) -> None:
    with writing(folder), suppress(FileNotFoundError):
        shutil.rmtree(folder)

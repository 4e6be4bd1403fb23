"""The manifest of a corpus: settings, counts of each step and rule, samples, shards with their hashes."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from trainwright.corpus.ledger import Ledger
from trainwright.corpus.pieces import LEDGER
from trainwright.corpus.reader import READERS
from trainwright.corpus.rule import RULES
from trainwright.corpus.shards import read_marker
from trainwright.corpus.work import Work
from trainwright.foundation.errors import DataError
from trainwright.foundation.hashing import json_hash

_MOST_NAMES = 1_000
_MOST_REASONS = 5
_STEPS = ("read", "language", "quality", "contamination", "duplicates")


def manifest_of(work: Work) -> dict[str, Any]:
    """Return the manifest of a corpus whose shards are all written.

    It holds no time and no path of this machine: the same sources and settings give the same bytes.

    Raises:
        DataError: no document was read, or none stays.
    """
    ledger = Ledger.from_json(json.loads((work.resolved / LEDGER).read_text(encoding="utf-8")))
    plan = work.plan
    shards = [read_marker(work.marker(number)) for number in range(len(work.shards))]
    wrong = [*plan["wrong"], *ledger.files]
    if not ledger.read[0]:
        _refuse(plan, ledger, wrong)
    if not shards:
        _refuse_empty(plan, ledger)
    languages: Counter[str] = Counter()
    for shard in shards:
        languages.update(shard.pop("languages"))
    manifest = {
        "kind": "corpus",
        "trainwright": plan["version"],
        "settings": plan["settings"],
        "thresholds": {
            name: {"threshold": threshold, "beyond": RULES[name].beyond, "source": RULES[name].source}
            for name, threshold in work.settings.thresholds.items()
        },
        "sources": plan["sources"],
        "num_files": plan["num_files"],
        "read": _counted(ledger.read),
        "kept": {
            "documents": sum(shard["rows"] for shard in shards),
            "characters": sum(shard["characters"] for shard in shards),
        },
        "left": {
            step: {reason: _counted(count) for reason, count in sorted(ledger.left[step].items())}
            for step in _STEPS
            if step in ledger.left
        },
        "rules_that_fired": dict(sorted(ledger.fired.items())),
        "masked": dict(sorted(ledger.masked.items())),
        "notes": dict(sorted(ledger.notes.items())),
        "languages_read": dict(sorted(ledger.languages.items())),
        "languages": dict(sorted(languages.items())),
        "evaluation_sets": plan["evaluation_sets"],
        "files_of_other_kinds": plan["others"],
        "num_files_set_aside": plan["num_wrong"] + ledger.num_files,
        "files_set_aside": wrong[:_MOST_NAMES],
        "samples": dict(sorted(ledger.samples.items())),
        "shards": shards,
    }
    return {**manifest, "fingerprint": json_hash(manifest)}


def _counted(count: list[int]) -> dict[str, int]:
    return {"documents": count[0], "characters": count[1]}


def _refuse(plan: dict[str, Any], ledger: Ledger, wrong: list[str]) -> None:
    """Say why nothing could be read: with the sentence of the file, where it is only one."""
    if len(wrong) == 1:
        raise DataError(wrong[0].removesuffix("."))
    reasons = {reason: count[0] for reason, count in ledger.left.get("read", {}).items()}
    why = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.items())
    raise DataError(
        f"no document could be read ({why or f'{len(wrong):,} files are damaged'})",
        where=", ".join(plan["sources"][:3]),
        fix=f"give files of these kinds: {', '.join(READERS)}",
    )


def _refuse_empty(plan: dict[str, Any], ledger: Ledger) -> None:
    """Say which steps have taken everything."""
    reasons = (
        (reason, count[0]) for step in _STEPS[1:] for reason, count in ledger.left.get(step, {}).items()
    )
    most = sorted(reasons, key=lambda each: (-each[1], each[0]))[:_MOST_REASONS]
    raise DataError(
        f"of {ledger.read[0]:,} documents that were read none stays "
        f"({', '.join(f'{reason}: {count:,}' for reason, count in most)})",
        where=", ".join(plan["sources"][:3]),
        fix="choose other languages, rules or evaluation sets",
    )

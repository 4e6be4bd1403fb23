"""What left the corpus and why: counts that add up, and the first few samples of each reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainwright.corpus.document import whole_characters
from trainwright.corpus.personal import KINDS, masked

SAMPLES = 5
"""Samples of each reason."""

SAMPLE_CHARACTERS = 300

MOST_SENTENCES = 1_000
"""Files that are named one by one; beyond, they are only counted."""


@dataclass
class Ledger:
    """Counts of one piece of work, or of all together.

    Adding ledgers up in the order of the pieces gives the same whatever worked on them.

    Attributes:
        read: documents and characters that were read.
        left: step → reason → documents and characters that left.
        fired: rule → documents that it speaks against, also those that another took first.
        notes: what was changed and stayed, by name.
        languages: language → documents that were read in it.
        masked: kind of personal data → places.
        samples: "step.reason" → the first few, each with `where` and `text`.
        files: sentences about files that could not be read, or not to their end.
        num_files: how many such files there are.
    """

    read: list[int] = field(default_factory=lambda: [0, 0])
    left: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    fired: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)
    masked: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    num_files: int = 0

    def leave(self, step: str, reason: str, characters: int, *, where: str, text: str = "") -> None:
        """Count a document that left, and keep it as a sample while there is room."""
        count = self.left.setdefault(step, {}).setdefault(reason, [0, 0])
        count[0] += 1
        count[1] += characters
        self.sample(f"{step}.{reason}", where, text)

    def sample(self, name: str, where: str, text: str, **more: str) -> None:
        """Keep a sample while there is room; what is personal in its texts is masked, whatever the settings.

        Args:
            name: "step.reason".
            where: where the text is.
            text: the text.
            more: further texts, as the one that it is a double of.
        """
        samples = self.samples.setdefault(name, [])
        if len(samples) < SAMPLES:
            shown = {"text": _shown(text), **{key: _shown(value) for key, value in more.items()}}
            samples.append({"where": whole_characters(where), **shown})

    def note(self, name: str, number: int = 1) -> None:
        """Count something that changed a document, or a part of one that was passed over."""
        if number:
            self.notes[name] = self.notes.get(name, 0) + number

    def set_aside(self, sentence: str) -> None:
        """Name a file that could not be read, or not to its end."""
        self.num_files += 1
        if len(self.files) < MOST_SENTENCES:
            self.files.append(whole_characters(sentence))

    def add(self, other: Ledger) -> None:
        """Add the counts of what comes behind."""
        self.read = [mine + theirs for mine, theirs in zip(self.read, other.read, strict=True)]
        for step, reasons in other.left.items():
            for reason, count in reasons.items():
                known = self.left.setdefault(step, {}).setdefault(reason, [0, 0])
                known[0] += count[0]
                known[1] += count[1]
        for mine, theirs in (
            (self.fired, other.fired),
            (self.notes, other.notes),
            (self.languages, other.languages),
            (self.masked, other.masked),
        ):
            for name, number in theirs.items():
                mine[name] = mine.get(name, 0) + number
        for name, samples in other.samples.items():
            known_samples = self.samples.setdefault(name, [])
            known_samples.extend(samples[: SAMPLES - len(known_samples)])
        self.num_files += other.num_files
        self.files.extend(other.files[: MOST_SENTENCES - len(self.files)])

    def to_json(self) -> dict[str, Any]:
        """Return the ledger as JSON-able values."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Ledger:
        """Take back what `to_json` gave."""
        return cls(**value)


def _shown(text: str) -> str:
    shown, _ = masked(whole_characters(text[: 2 * SAMPLE_CHARACTERS]), KINDS)
    return shown[:SAMPLE_CHARACTERS]

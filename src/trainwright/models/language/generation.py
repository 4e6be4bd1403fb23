"""Generation: one token after another, with the keys and values of those before kept.

What is drawn for a text depends on its own prompt and the seed, and not on what is generated beside it; texts
of one prompt, done together, are drawn by numbers of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainwright.foundation.errors import UserError
from trainwright.foundation.random import numpy_stream
from trainwright.models.language.base import LanguageModel, Source

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        max_tokens: most new tokens.
        temperature: 0 takes the likeliest; 1 draws by the model's chances, less sharpens them.
        top_k: draw among so many of the likeliest; 0 for all.
        top_p: draw among the likeliest that have this share of the chances together (Holtzman et al. 2020).
        repetition_penalty: above 1 makes tokens less likely that were there before (Keskar et al. 2019).
        seed: of the draws.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, fine, what in (
            ("max_tokens", self.max_tokens >= 1, "1 or more"),
            ("temperature", self.temperature >= 0, "0 or more"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("repetition_penalty", self.repetition_penalty > 0, "above 0"),
        ):
            if not fine:
                raise UserError(f"{name} is {getattr(self, name)}", fix=f"set it to {what}")


@torch.inference_mode()
def generate(
    model: LanguageModel,
    prompts: Sequence[Ids],
    sampling: Sampling,
    *,
    stops: frozenset[int],
    context: int | None = None,
    cached: bool = True,
) -> Iterator[list[int | None]]:
    """Yield the next token of every text, None for those that have ended, until all have.

    Of a prompt that is longer than the context its end is read (see `most_read`). A text that fills the
    context goes on with its later half; one that a decoder writes beside a prompt, which an encoder has read,
    ends there.

    Args:
        model: a causal model, in evaluation mode.
        prompts: ids, at least one each; an encoder reads them once.
        sampling: how tokens are chosen.
        stops: ids that end a text; they are yielded.
        context: most tokens that the model shall read at once.
        cached: keep keys and values; without, everything is read again for every token.
    """
    if not len(prompts):
        return
    device = next(model.parameters()).device
    if not all(map(len, prompts)):
        raise UserError("there is nothing to go on with", fix="give a prompt of at least one token")
    source, texts = model.opened([prompt.tolist() for prompt in prompts])
    draws = _draws(prompts, sampling.seed)
    active = list(range(len(texts)))
    reader = _Reader(model, device, source, context=context, new=sampling.max_tokens, cached=cached)
    most = sampling.max_tokens
    if source is not None and reader.limit is not None:
        most = min(most, reader.limit - len(texts[0]) + 1)
    for _ in range(most):
        logits = reader.read([texts[number] for number in active])
        chosen: list[int | None] = [None] * len(texts)
        tokens = _choose(logits.float(), [texts[number] for number in active], sampling, active, draws)
        still = []
        for place, (number, token) in enumerate(zip(active, tokens, strict=True)):
            chosen[number] = token
            texts[number].append(token)
            if token not in stops:
                still.append(place)
        yield chosen
        if not still:
            return
        if len(still) < len(active):
            reader.keep(still)
            active = [active[place] for place in still]


def most_read(limit: int, new: int) -> int:
    """Return how many tokens of a prompt are read that is too long: all but the room for what is written.

    Half of the limit is read at least, however much is to be written.

    Args:
        limit: most tokens that are read at once.
        new: most tokens that will be written.
    """
    return max(limit + 1 - new, limit // 2, 1)  # the last that is written is not read


def _draws(prompts: Sequence[Ids], seed: int) -> list[np.random.Generator]:
    """Return the random numbers of each text: by its prompt, and by its place among those of the same one."""
    before: Counter[bytes] = Counter()
    found = []
    for prompt in prompts:
        ids = np.asarray(prompt, dtype=np.int64)
        found.append(numpy_stream(seed, "generate", before[ids.tobytes()], *ids.tolist()))
        before[ids.tobytes()] += 1
    return found


class _Reader:
    """Reads what is new of some texts and gives the logits of what follows."""

    def __init__(
        self,
        model: LanguageModel,
        device: torch.device,
        source: Source | None,
        *,
        context: int | None,
        new: int,
        cached: bool,
    ) -> None:
        limits = [limit for limit in (context, model.context) if limit]
        self.model, self.device, self.source, self.cached = model, device, source, cached
        self.new = new
        self.limit = min(limits) if limits else None
        self._cache: Any = None
        self._room = 0
        self._starts: list[int] = []

    def read(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Return logits [texts, vocabulary]."""
        if self._cache is not None and self._cache.length < self._room:
            states = self.model.step(self._tensor([[text[-1]] for text in texts]), self._cache)
            return self.model.logits(states[:, -1])
        self._starts = [self._start(text, start) for text, start in self._with_starts(texts)]
        seen = [text[start:] for text, start in zip(texts, self._starts, strict=True)]
        longest = max(map(len, seen))
        pads = torch.tensor([longest - len(text) for text in seen], device=self.device)
        rows = self._tensor([[0] * (longest - len(text)) + list(text) for text in seen])
        self._room = self.limit or longest + 4096
        room = max(self._room, longest)
        cache = self.model.begin(pads, room) if self.source is None else self.source.begin()
        states = self.model.step(rows, cache)
        self._cache = cache if self.cached else None
        return self.model.logits(states[:, -1])

    def _with_starts(self, texts: Sequence[Sequence[int]]) -> Iterator[tuple[Sequence[int], int]]:
        starts = self._starts or [0] * len(texts)
        yield from zip(texts, starts, strict=True)

    def _start(self, text: Sequence[int], start: int) -> int:
        """Return where reading a text begins: behind what does not fit, and then with room for more."""
        if self.limit is None or len(text) - start <= self.limit:
            return start
        begun = bool(self._starts)
        return len(text) - (max(self.limit // 2, 1) if begun else most_read(self.limit, self.new))

    def _tensor(self, rows: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor(rows, dtype=torch.int64, device=self.device)

    def keep(self, places: Sequence[int]) -> None:
        """Forget the texts that have ended."""
        self._starts = [self._starts[place] for place in places]
        rows = torch.tensor(places, device=self.device)
        if self.source is not None:
            self.source = self.source.kept(rows)
        if self._cache is not None:
            self._cache.keep(rows)


def _choose(
    logits: Tensor,
    texts: Sequence[Sequence[int]],
    sampling: Sampling,
    active: Sequence[int],
    draws: Sequence[np.random.Generator],
) -> list[int]:
    """Return the next token of each text."""
    if sampling.repetition_penalty != 1:
        for row, text in enumerate(texts):
            seen = torch.tensor(sorted(set(text)), device=logits.device)
            before = logits[row, seen]
            penalty = sampling.repetition_penalty
            logits[row, seen] = torch.where(before > 0, before / penalty, before * penalty)
    if sampling.temperature == 0:
        return [int(token) for token in logits.argmax(-1)]
    if logits.device.type == "mps":  # it has no numbers of 64 bits
        logits = logits.cpu()
    ordered, order = (logits / sampling.temperature).sort(dim=-1, descending=True, stable=True)
    chances = ordered.double().softmax(-1)
    if sampling.top_k:
        chances[:, sampling.top_k :] = 0
    if sampling.top_p < 1:
        # The first whose predecessors have less than the share is still in.
        chances[chances.cumsum(-1) - chances >= sampling.top_p] = 0
    ladder = chances.cumsum(-1)
    drawn = torch.tensor([[draws[number].random()] for number in active], device=logits.device)
    place = torch.searchsorted(ladder, drawn * ladder[:, -1:], right=True).clamp(max=logits.shape[1] - 1)
    return [int(token) for token in order.gather(1, place)[:, 0]]

"""Tokens that become text one after the other, in time that does not grow with the text.

What a token adds can depend on those before it: a space at its beginning, a character of which it is the last
byte. So a few tokens are decoded with it, and what they alone give is taken off.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainwright.features.language.tokenizer import LanguageTokenizer

_BEFORE = 8
"""Tokens of the text before that the first are decoded with."""
_BROKEN = "\ufffd"
_MOST_BROKEN = 24
"""More signs for broken characters than tokens that wait for their last byte can give."""


class TextStream:
    """A text that is written token by token; characters appear when whole, and stop texts end it.

    Args:
        tokenizer: decodes.
        stop: texts at which it ends; they are no part of it. That which begins first counts.
        before: ids of a text that it goes on with; none where it is a text of its own.

    Attributes:
        ended: a stop text was there.
    """

    def __init__(
        self, tokenizer: LanguageTokenizer, *, stop: Sequence[str] = (), before: Sequence[int] = ()
    ) -> None:
        self.ended = False
        self._tokenizer = tokenizer
        self._stop = [text for text in stop if text]
        self._window = [int(token) for token in before[-_BEFORE:]]
        while self._window and tokenizer.decode(self._window).startswith(_BROKEN):
            del self._window[0]  # the last bytes of a character
        self._known = len(tokenizer.decode(self._window))
        self._read = len(self._window)
        self._taken = 0
        self._held = ""

    def add(self, token: int) -> str:
        """Return what a token adds to the text that is sure by now."""
        self._window.append(int(token))
        added = self._tokenizer.decode(self._window)[self._known :]
        whole = added.rstrip(_BROKEN)
        if len(added) - len(whole) > _MOST_BROKEN:
            whole = added
        piece = whole[self._taken :]
        self._taken = len(whole)
        if whole and whole == added:
            # These are what the next are decoded with.
            self._window = self._window[self._read :]
            self._known, self._read, self._taken = (
                len(self._tokenizer.decode(self._window)),
                len(self._window),
                0,
            )
        return self._shown(piece)

    def rest(self) -> str:
        """Return what was held back, at the end."""
        if self.ended:
            return ""
        piece = self._tokenizer.decode(self._window)[self._known + self._taken :]
        held, self._held = self._held, ""
        return held + piece

    def _shown(self, piece: str) -> str:
        """Return what can be shown: up to a stop text, and not what may be the beginning of one."""
        text = self._held + piece
        places = [place for stop in self._stop if (place := text.find(stop)) >= 0]
        self.ended = bool(places)
        until = min(places) if places else len(text) - max((_overlap(text, s) for s in self._stop), default=0)
        self._held = text[until:]
        return text[:until]


def _overlap(text: str, stop: str) -> int:
    """Return how many last characters of a text are the first of a stop text."""
    return next(
        (size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0
    )

"""Sources and targets as a model reads them: with the special tokens that stand around each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainwright.features.language.tokenizer import Ids, LanguageTokenizer
from trainwright.foundation.errors import RecipeError


@dataclass(frozen=True)
class PairFrames:
    """What stands before and behind a source, and before and behind a target: ids.

    A decoder alone reads one text: its first token, the source, the token that ends a text, the target, and
    that token again. An encoder and a decoder read two, each with what the tokenizer itself puts around a
    text: T5's ends both with </s>, BART's also begins both with <s>.
    """

    before_source: Ids
    behind_source: Ids
    before_target: Ids
    behind_target: Ids

    @classmethod
    def of(cls, tokenizer: LanguageTokenizer, *, encodes: bool) -> PairFrames:
        """Return the frames of a tokenizer.

        Args:
            tokenizer: cuts the texts.
            encodes: whether an encoder reads the source.

        Raises:
            RecipeError: it marks languages, and so frames each source and target in another way.
        """
        end = np.asarray([tokenizer.end], dtype=np.int32)
        if not encodes:
            first = np.asarray([tokenizer.first], dtype=np.int32)
            return cls(first, end, end[:0], end)
        before, behind = tokenizer.frame
        roles = {tokenizer.id_of(role) for role in ("bos_token", "eos_token", "cls_token", "sep_token")}
        other = [token for token in (*before.tolist(), *behind.tolist()) if token not in roles]
        if other:
            # mBART and NLLB: what stands around a text depends on its language, which no column tells.
            mark = tokenizer.decode(other[:1], special=True)
            raise RecipeError(
                f"this tokenizer marks the language of a text ({mark}), which is not supported",
                where="model.checkpoint",
                fix="choose a checkpoint without language codes, such as T5, BART, Marian or Pegasus",
            )
        ended = len(behind) > 0 and int(behind[-1]) == tokenizer.end
        # A target that never ends would teach the model never to stop.
        return cls(before, behind, before, behind if ended else np.concatenate([behind, end]))

    def source(self, ids: Ids) -> Ids:
        """Return a whole source."""
        return np.concatenate([self.before_source, ids, self.behind_source]).astype(np.int32)

    def target(self, ids: Ids, *, ended: bool = True) -> Ids:
        """Return a whole target, or one that may go on."""
        behind = self.behind_target if ended else self.behind_target[:0]
        return np.concatenate([self.before_target, ids, behind]).astype(np.int32)

"""Long short-term memory, read in both directions.

Sources: Hochreiter & Schmidhuber 1997, 'Long Short-Term Memory'; Gers et al. 2000 for the forget gate;
pooling over all states as Conneau et al. 2017, 'Supervised Learning of Universal Sentence Representations'.
"""

from __future__ import annotations

from torch import nn

from trainwright.models.base import ENCODERS
from trainwright.models.layers.recurrent import RecurrentEncoder


@ENCODERS.register("lstm")
class Lstm(RecurrentEncoder):
    """Bidirectional LSTM layers, pooled over time."""

    layer = nn.LSTM

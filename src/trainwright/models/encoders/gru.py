"""Gated recurrent units, read in both directions: three quarters of an LSTM's arithmetic.

Source: Cho et al. 2014, 'Learning Phrase Representations using RNN Encoder-Decoder'.
"""

from __future__ import annotations

from torch import nn

from trainwright.models.base import ENCODERS
from trainwright.models.layers.recurrent import RecurrentEncoder


@ENCODERS.register("gru")
class Gru(RecurrentEncoder):
    """Bidirectional GRU layers, pooled over time."""

    layer = nn.GRU

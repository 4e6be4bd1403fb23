"""Initial weights: named schemes for matrices and a rule for every type of layer.

Every draw comes from torch's global generator, which the trainer seeds: the same seed gives the same weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

Scheme = Literal["auto", "xavier", "he", "truncated_normal", "orthogonal"]
Fill = Callable[[Tensor], object]


def _truncated_normal(weight: Tensor) -> Tensor:
    return nn.init.trunc_normal_(weight, std=0.02, a=-0.04, b=0.04)


def _he(weight: Tensor) -> Tensor:
    # fan_out keeps the size of gradients through strided convolutions (He et al. 2015, as for ResNets).
    mode: Literal["fan_in", "fan_out"] = "fan_out" if weight.dim() == 4 else "fan_in"
    return nn.init.kaiming_normal_(weight, mode=mode, nonlinearity="relu")


SCHEMES: dict[str, Fill] = {
    "xavier": nn.init.xavier_uniform_,
    "he": _he,
    "truncated_normal": _truncated_normal,
    "orthogonal": nn.init.orthogonal_,
}
"""Scheme → function that fills a matrix [out, in, ...] in place.

xavier: Glorot & Bengio 2010, for tanh and linear layers. he: He et al. 2015, for ReLU. truncated_normal:
standard deviation 0.02, cut at two of them, for attention (Devlin et al. 2019). orthogonal: Saxe et al.
2014, for deep and recurrent nets.
"""


@runtime_checkable
class SelfInitialised(Protocol):
    """A module with parameters of its own that fills them itself."""

    def initialise_parameters(self, fill: Fill) -> None:
        """Fill the module's direct parameters; `fill` is for its matrices [out, in]."""
        ...


def initialise(module: nn.Module, scheme: Scheme = "auto", *, matrices: str = "he") -> None:
    """Fill all parameters of a module by layer type.

    Linear and convolution weights follow the scheme, their biases are 0. Recurrent weights are orthogonal
    gate by gate (Saxe et al. 2014) and the forget gate of an LSTM starts open (bias 1, Jozefowicz et al.
    2015). Norms start as the identity. Rows of embedding tables have length about 1.

    Args:
        module: filled in place, submodules included.
        scheme: a name from `SCHEMES`; "auto" takes `matrices`.
        matrices: the scheme that suits this architecture.
    """
    fill = SCHEMES[matrices if scheme == "auto" else scheme]
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, SelfInitialised):
                part.initialise_parameters(fill)
            elif isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d):
                fill(part.weight)
                if part.bias is not None:
                    part.bias.zero_()
            elif isinstance(part, nn.Embedding):
                part.weight.normal_(std=part.embedding_dim**-0.5)
            elif isinstance(part, nn.LayerNorm | nn.BatchNorm1d | nn.BatchNorm2d):
                part.reset_parameters()
            elif isinstance(part, nn.LSTM | nn.GRU):
                _recurrent(part, fill)


def _recurrent(layer: nn.LSTM | nn.GRU, fill: Fill) -> None:
    hidden = layer.hidden_size
    for name, parameter in layer.named_parameters(recurse=False):
        if name.startswith("weight_ih"):
            for gate in torch.split(parameter, hidden):
                fill(gate)
        elif name.startswith("weight_hh"):
            for gate in torch.split(parameter, hidden):
                nn.init.orthogonal_(gate)
        else:
            parameter.zero_()
            if isinstance(layer, nn.LSTM) and name.startswith("bias_ih"):
                parameter[hidden : 2 * hidden] = 1.0  # order of gates: input, forget, cell, output

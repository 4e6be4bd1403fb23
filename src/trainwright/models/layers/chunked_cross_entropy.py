"""Cross-entropy of a linear layer's outputs that never holds all of them.

With a vocabulary of 50,000 the outputs of 16,000 tokens are 3 GB, their gradient as much again. Here they are
made some rows at a time, and the gradients at once with them: loss is a sum, so its gradient is known up to a
factor before anybody asks (Hsu et al. 2024, 'Liger Kernel'; Wijmans et al. 2024, 'Cut Your Losses').
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

IGNORED = -100
"""A target that counts for nothing."""
_NUMBERS = 1 << 24
"""Outputs held at a time: 64 MB in float32."""
_GPU_SHARE = 40
"""A GPU holds outputs in this part of its memory, 2 GB of 80: each chunk reads and writes the gradient of the
whole matrix, and 64 MB at a time that would be hundreds of times a step."""


def chunked_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    smoothing: float = 0.0,
    cap: float | None = None,
    rows: int | None = None,
) -> Tensor:
    """Return the sum over rows of the cross-entropy in nats of `hidden @ weight.T + bias`, a float32 scalar.

    Products are in autocast's type where it is on, logarithms in float32 or better. Gradients of gradients
    there are none.

    Args:
        hidden: [rows, width].
        weight: [classes, width].
        targets: int64 [rows]; `IGNORED` counts for nothing.
        bias: [classes].
        smoothing: share of the target spread over all classes.
        cap: outputs are held within it (see `capped`).
        rows: rows at a time; as many as 64 MB of outputs hold, on a GPU a fortieth of its memory.
    """
    rows = rows or rows_at_once(len(weight), hidden.device)
    kind = hidden.device.type
    if torch.is_autocast_enabled(kind):
        half = torch.get_autocast_dtype(kind)
        hidden, weight = hidden.to(half), weight.to(half)
        bias = None if bias is None else bias.to(half)
    return _ChunkedCrossEntropy.apply(hidden, weight, bias, targets, smoothing, cap, rows)  # type: ignore


def capped(outputs: Tensor, cap: float) -> Tensor:
    """Return outputs that are held between plus and minus `cap` by tanh (Gemma 2; Bello et al. 2016)."""
    return (outputs / cap).tanh() * cap


def rows_at_once(classes: int, device: torch.device) -> int:
    """Return the rows whose outputs are held together.

    It follows from the size of a GPU and not from what is free of it: the same run has the same sums.

    Args:
        classes: outputs of a row.
        device: where they are made.
    """
    numbers = _NUMBERS
    if device.type == "cuda":
        memory: int = torch.cuda.get_device_properties(device).total_memory
        numbers = max(numbers, memory // _GPU_SHARE // 4)
    return max(1, numbers // classes)


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        smoothing: float,
        cap: float | None,
        rows: int,
    ) -> Tensor:
        needs = context.needs_input_grad[:3]
        precise = torch.promote_types(hidden.dtype, torch.float32)
        total = torch.zeros((), dtype=precise, device=hidden.device)
        of_hidden = torch.zeros_like(hidden) if needs[0] else None
        # Added up over many chunks, so in full precision.
        of_weight = torch.zeros_like(weight, dtype=precise) if needs[1] else None
        of_bias = torch.zeros_like(bias, dtype=precise) if bias is not None and needs[2] else None
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, len(hidden), rows):
                part, truth = hidden[start : start + rows], targets[start : start + rows]
                outputs = part @ weight.mT if bias is None else torch.addmm(bias, part, weight.mT)
                outputs = outputs.to(precise)
                if cap is not None:
                    outputs = capped(outputs, cap)
                log_p = outputs.log_softmax(-1)
                known = (truth != IGNORED).to(precise)
                chosen = truth.clamp(min=0).unsqueeze(1)
                loss = -log_p.gather(1, chosen).squeeze(1)
                if smoothing:
                    loss = (1 - smoothing) * loss - smoothing * log_p.mean(1)
                total += (known * loss).sum()
                if not any(needs):
                    continue
                # d loss / d outputs = p - target
                gradient = log_p.exp_()
                gradient -= smoothing / gradient.shape[1]
                gradient.scatter_add_(1, chosen, torch.full_like(chosen, smoothing - 1, dtype=precise))
                gradient *= known.unsqueeze(1)
                if cap is not None:
                    gradient *= 1 - (outputs / cap).square()
                if of_bias is not None:
                    of_bias += gradient.sum(0)
                gradient = gradient.to(hidden.dtype)
                if of_hidden is not None:
                    of_hidden[start : start + rows] = gradient @ weight
                if of_weight is not None:
                    of_weight += gradient.mT @ part
        context.dtypes = (hidden.dtype, weight.dtype, None if bias is None else bias.dtype)
        context.save_for_backward(of_hidden, of_weight, of_bias)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        # Times the factor before it is rounded: in half precision the factor itself would be off by 1 in 500.
        kept = (
            None if part is None else (part.to(factor.dtype) * factor).to(dtype)
            for part, dtype in zip(context.saved_tensors, context.dtypes, strict=True)
        )
        return (*kept, None, None, None, None)

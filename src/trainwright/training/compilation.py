"""Compilation: the blocks that a model repeats, each as one whole graph, from outside the model.

Blocks of one class and shape share their program, so that a deep model costs the compilation of one block.
Only training steps are compiled: what is judged is computed as the saved model will compute it.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_MOST_PROGRAMS = 64
"""Programs of one class of blocks: a ResNet has eight shapes of them, each fixed and with free sizes."""


def repeated_blocks(parts: Iterable[nn.Module]) -> list[nn.Module]:
    """Return the blocks that some parts of a model repeat.

    Blocks are the children of a list that are of one class, several, and made of layers themselves; those
    within another block are a part of it.
    """
    found: list[nn.Module] = []
    for part in parts:
        _add_blocks(part, found)
    return found


def _add_blocks(part: nn.Module, found: list[nn.Module]) -> None:
    blocks: list[nn.Module] = []
    if isinstance(part, nn.ModuleList | nn.Sequential):
        composed = [child for child in part if _is_composed(child)]
        counts = Counter(map(type, composed))
        blocks = [child for child in composed if counts[type(child)] > 1]
    found += blocks
    taken = set(map(id, blocks))
    for child in part.children():
        if id(child) not in taken:
            _add_blocks(child, found)


def _is_composed(module: nn.Module) -> bool:
    """Return whether a module has layers, learns, and does something itself: a list of blocks is none."""
    lists = nn.ModuleList | nn.ModuleDict | nn.Sequential
    return not isinstance(module, lists) and bool(list(module.children())) and bool(list(module.parameters()))


def has_compiler(device: torch.device) -> bool:
    """Return whether programs can be compiled here: on a CPU it takes a C++ compiler, on a GPU Triton too."""
    compiler = any(map(shutil.which, (os.environ.get("CXX", "g++"), "c++", "g++", "clang++")))
    if device.type != "cuda":
        return compiler
    from importlib.util import find_spec

    return compiler and find_spec("triton") is not None


@contextmanager
def compiled(parts: Iterable[nn.Module], say: Callable[[str], None]) -> Iterator[None]:
    """Compile the repeated blocks of some parts in place; names in the model's state stay what they are.

    A block that is no whole graph, or that would need more and more programs, is named once and left as it
    is, and so are all of its class.

    Args:
        parts: parts of a model.
        say: hears the sentence about a class that is left as it is.
    """
    import torch._dynamo.config as settings

    blocks = repeated_blocks(parts)
    refused: set[type[nn.Module]] = set()

    def refuse(block: nn.Module, error: BaseException) -> None:
        kind = type(block)
        if kind not in refused:
            refused.add(kind)
            say(f"{kind.__name__} is not compiled ({_first_line(error)})")
        for other in blocks:
            if type(other) is kind:
                _set_call(other, None)

    for block in blocks:
        _compile(block, refuse)
    try:
        with settings.patch(recompile_limit=_MOST_PROGRAMS):
            yield
    finally:
        for block in blocks:
            _set_call(block, None)


def _compile(block: nn.Module, refuse: Callable[[nn.Module, BaseException], None]) -> None:
    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

    block.compile(fullgraph=True)
    program: Callable[..., Any] | None = block._compiled_call_impl
    plain: Callable[..., Any] = block._call_impl
    assert program is not None

    def call(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return plain(*args, **kwargs)
        try:
            return program(*args, **kwargs)
        except (FailOnRecompileLimitHit, TorchDynamoException) as error:
            refuse(block, error)
        # Nothing of it has been computed: a graph is whole before it is run.
        return plain(*args, **kwargs)

    _set_call(block, call)


def _set_call(block: nn.Module, call: Callable[..., Any] | None) -> None:
    """Set what calling a block does: where `Module.compile` puts its program."""
    block._compiled_call_impl = call


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__

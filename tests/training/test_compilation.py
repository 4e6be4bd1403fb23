"""Blocks compiled in place: the same numbers, the same names; what cannot be compiled is named and left."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainwright.models.layers.attention import TransformerBlock
from trainwright.models.layers.planes import BasicBlock
from trainwright.training.compilation import compiled, has_compiler, repeated_blocks

CPU = torch.device("cpu")


class Block(nn.Module):
    """Two layers; `breaks` looks at a number, which no graph can."""

    def __init__(self, *, breaks: bool = False) -> None:
        super().__init__()
        self.layer, self.norm, self.breaks = nn.Linear(4, 4), nn.LayerNorm(4), breaks

    def forward(self, hidden: Tensor) -> Tensor:
        if self.breaks and float(hidden.detach().sum()) > 1e9:
            return hidden
        return hidden + self.norm(self.layer(hidden).relu())


class Broken(Block):
    def __init__(self) -> None:
        super().__init__(breaks=True)


class Outer(Block):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleList([Block(), Block()])


class Model(nn.Module):
    def __init__(self, *kinds: type[Block]) -> None:
        super().__init__()
        self.stem = nn.Linear(3, 4)
        self.blocks = nn.ModuleList(kind() for kind in kinds)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.stem(inputs)
        for block in self.blocks:
            hidden = block(hidden)
        return hidden


def kinds(blocks: list[nn.Module]) -> list[str]:
    return [type(block).__name__ for block in blocks]


def test_blocks_are_what_a_list_repeats() -> None:
    transformer = nn.ModuleList(TransformerBlock(8, 2, dropout=0.0) for _ in range(3))
    assert kinds(repeated_blocks([nn.ModuleDict({"blocks": transformer})])) == ["TransformerBlock"] * 3
    stages = nn.Sequential(BasicBlock(4, 4), BasicBlock(4, 8, stride=2), nn.Flatten())
    assert kinds(repeated_blocks([stages])) == ["BasicBlock"] * 2
    # Layers alone are no blocks, nor is one of its kind.
    assert not repeated_blocks(
        [nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), TransformerBlock(8, 2, dropout=0))]
    )
    # Lists are looked into, and blocks are taken whole.
    nested = nn.ModuleList(nn.Sequential(Outer(), Outer()) for _ in range(2))
    assert kinds(repeated_blocks([nested])) == ["Outer"] * 4


@pytest.fixture
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile with another backend: whole graphs are looked for all the same, and C++ takes half a minute."""
    torch._dynamo.reset()
    compile_module = nn.Module.compile
    monkeypatch.setattr(
        nn.Module, "compile", lambda self, **how: compile_module(self, backend=request.param, **how)
    )


quickly = pytest.mark.parametrize("backend", ["aot_eager"], indirect=True)


@pytest.fixture
def trained() -> Callable[..., tuple[Tensor, list[Tensor]]]:
    def train(model: nn.Module, rows: int = 5) -> tuple[Tensor, list[Tensor]]:
        torch.manual_seed(1)
        model.zero_grad()
        loss = model(torch.randn(rows, 3)).square().mean()
        loss.backward()
        return loss.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]

    return train


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    "backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)], indirect=True
)
def test_compiled_blocks_give_the_same_numbers_and_names(trained: Any) -> None:
    torch.manual_seed(0)
    model = Model(Block, Block)
    plain, names = copy.deepcopy(model), list(model.state_dict())
    said: list[str] = []
    counted: list[Any] = []
    with compiled([model], said.append):
        assert list(model.state_dict()) == names
        torch._dynamo.utils.counters.clear()
        for rows in (5, 5, 7, 9):
            for mine, other in zip(trained(model, rows)[1], trained(plain, rows)[1], strict=True):
                torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)
        with torch.no_grad():  # what is judged is what the saved model will give
            assert torch.equal(model(torch.ones(2, 3)), plain(torch.ones(2, 3)))
        counted.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
        clone = copy.deepcopy(model)
        assert torch.equal(trained(clone)[0], trained(plain)[0])
    assert not said
    assert counted == [2]  # both blocks share a program for the first shape, and one for all others
    assert not any(part._compiled_call_impl for part in model.modules())
    assert all(map(torch.equal, trained(model)[1], trained(plain)[1]))


@pytest.mark.usefixtures("backend")
@quickly
def test_a_block_that_is_no_whole_graph_is_named_once_and_left(trained: Any) -> None:
    torch.manual_seed(0)
    model = Model(Broken, Broken, Broken)
    plain = copy.deepcopy(model)
    said: list[str] = []
    with compiled([model], said.append):
        for _ in range(2):
            assert all(map(torch.equal, trained(model)[1], trained(plain)[1]))
            assert not any(part._compiled_call_impl for part in model.modules())  # not tried again and again
    assert len(said) == 1 and said[0].startswith("Broken is not compiled (")


@pytest.mark.usefixtures("backend")
@quickly
def test_a_block_that_needs_ever_more_programs_is_named_once_and_left(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainwright.training.compilation._MOST_PROGRAMS", 1)
    model = Model(Block, Block)
    plain = copy.deepcopy(model)
    said: list[str] = []
    with compiled([model], said.append):
        for rows in (5, 6):
            torch.testing.assert_close(trained(model, rows)[0], trained(plain, rows)[0])
    assert len(said) == 1 and said[0].startswith("Block is not compiled (")


def test_a_compiler_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert not has_compiler(CPU)
    assert not has_compiler(torch.device("cuda"))

"""Rows end to end give what rows side by side give."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from trainwright.models.encoders.transformer import Transformer, TransformerOptions
from trainwright.models.layers import packing as module
from trainwright.models.layers.packing import Packing, attend, packing, packs
from trainwright.models.packed_transformers import place_shift, read_packed, read_padded

CPU = torch.device("cpu")


def padded_rows(lengths: list[int], *shape: int) -> Tensor:
    return torch.randn(len(lengths), max([*lengths, 1]), *shape)


def alone(query: Tensor, key: Tensor, value: Tensor, *, causal: bool) -> Tensor:
    """Attention of one row [time, heads, width], by its definition."""
    scores = torch.einsum("qhd,khd->hqk", query, key) / query.shape[-1] ** 0.5
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[1:]).triu(1).bool(), -torch.inf)
    return torch.einsum("hqk,khd->qhd", scores.softmax(-1), value)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.booleans())
def test_each_row_sees_itself_alone(lengths: list[int], causal: bool) -> None:
    sizes = torch.tensor(lengths)
    packed = packing(sizes)
    rows = [padded_rows(lengths, 2, 4) for _ in range(3)]
    mixed = attend(*(packed.pack(part) for part in rows), packed, causal=causal)
    assert len(mixed) == max(sum(lengths), 1)
    for row, length in enumerate(lengths):
        expected = alone(*(part[row, :length] for part in rows), causal=causal)
        torch.testing.assert_close(mixed[(packed.row == row) & packed.inside], expected)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_pooling_is_over_a_rows_own_tokens(lengths: list[int]) -> None:
    packed, rows = packing(torch.tensor(lengths)), padded_rows(lengths, 5)
    states = packed.pack(rows)
    for row, length in enumerate(lengths):
        mean = rows[row, :length].mean(0) if length else torch.zeros(5)
        first = rows[row, 0] if length else torch.zeros(5)
        torch.testing.assert_close(packed.mean(states)[row], mean)
        torch.testing.assert_close(packed.first(states)[row], first)


def on_a_gpu(lengths: list[int], **known: int) -> Packing:
    """What a packing is where only the device knows the lengths; made on tensors without values."""
    return packing(torch.tensor(lengths, device="cuda"), **known)


@pytest.mark.parametrize("total", [1, 300, 2000, 5000])
def test_on_a_gpu_few_shapes_come_again_and_the_host_never_waits(total: int) -> None:
    with FakeTensorMode():  # a value that the host asks for is an error here
        packed = on_a_gpu([3] * 16, total=total, longest=512)
        tokens = len(packed.row)
        assert total <= tokens < max(total * 1.125, total + 128)
        assert tokens % 32 == 0
        assert packed.groups is None
        assert packed.longest >= max(512, tokens - total)
        assert packed.cu_seqlens.dtype == torch.int32 and packed.cu_seqlens.shape == (18,)


def test_on_a_gpu_attention_is_flash_attention_over_different_lengths() -> None:
    calls: list[str] = []
    with FakeTensorMode(), _Names(calls):
        packed = on_a_gpu([9] * 16, total=144, longest=32)
        part = torch.empty(len(packed.row), 4, 8, device="cuda", dtype=torch.bfloat16)
        mixed = attend(part, part, part, packed)
        assert mixed.shape == part.shape
    assert any("_varlen_attn" in call for call in calls)


@pytest.mark.parametrize("shares", [True, False])
def test_on_a_gpu_shared_heads_are_said_to_be_or_repeated(
    shares: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch 2.11 knows no enable_gqa; a stand-in for either attends to one row, as the CPU does."""
    asked: list[dict[str, Any]] = []

    def newer(
        query: Tensor, key: Tensor, value: Tensor, *_: Any, enable_gqa: bool = False, **others: Any
    ) -> Tensor:
        asked.append({"heads": key.shape[1], "enable_gqa": enable_gqa})
        parts = (part.float().transpose(0, 1) for part in (query, key, value))
        mixed = torch.nn.functional.scaled_dot_product_attention(*parts, enable_gqa=enable_gqa)
        return mixed.transpose(0, 1)

    def older(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *cu: Any,
        scale: float | None = None,
        window_size: Any = (-1, -1),
    ) -> Tensor:
        return newer(query, key, value, *cu)

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", newer if shares else older)
    monkeypatch.setattr(module, "_SHARES_HEADS", shares)
    known = packing(torch.tensor([7]))
    query, key, value = torch.randn(7, 6, 4), torch.randn(7, 2, 4), torch.randn(7, 2, 4)
    away = replace(known, groups=None)
    found = attend(query, key, value, away)
    torch.testing.assert_close(found, attend(query, key, value, known), rtol=0.05, atol=0.02)  # 16 bits
    attend(query, query, query, away)
    assert asked == [
        {"heads": 2 if shares else 6, "enable_gqa": shares},
        {"heads": 6, "enable_gqa": False},
    ]


class _Names(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes the names of the operators that run."""

    def __init__(self, calls: list[str]) -> None:
        super().__init__()
        self.calls = calls

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls.append(str(func))
        return func(*args, **(kwargs or {}))


def test_32_bit_numbers_are_not_packed_on_a_gpu() -> None:
    assert packs(CPU, 33)
    assert not packs(torch.device("cuda"), 32)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_it_is_what_a_cpu_gives() -> None:
    spec = {"vocabulary": 50, "max_tokens": 32, "pad": 0}
    encoder = Transformer(spec, TransformerOptions(width=64, heads=4), "text").eval()
    lengths = torch.tensor([5, 32, 0, 17])
    tokens = torch.randint(50, (4, 32))
    expected = encoder(tokens, lengths, None)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert packs(torch.device("cuda"), encoder.head_width)
        found = encoder.cuda()(tokens.cuda(), lengths.cuda(), int(lengths.sum()))
    torch.testing.assert_close(found.float().cpu(), expected, rtol=0.05, atol=0.05)


def test_fillings_reach_no_row_and_no_gradient() -> None:
    lengths = torch.tensor([3, 1])
    exact = packing(lengths)
    filled = Packing(
        row=torch.cat([exact.row, torch.tensor([0, 0])]),
        position=torch.cat([exact.position, torch.tensor([0, 0])]),
        inside=torch.cat([exact.inside, torch.tensor([False, False])]),
        lengths=lengths,
        cu_seqlens=exact.cu_seqlens,
        longest=3,
        groups=(*(exact.groups or ()), (1, 2)),
    )
    rows = padded_rows([3, 1], 2, 4).requires_grad_()
    results = []
    for packed in (exact, filled):
        part = packed.pack(rows)
        pooled = packed.mean(attend(part, part, part, packed).flatten(1))
        (gradient,) = torch.autograd.grad(pooled.square().sum(), rows)
        results.append((pooled, gradient))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


COMMON = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
KINDS: dict[str, tuple[dict[str, Any], int | None]] = {
    "bert": ({}, 0),
    "electra": ({"embedding_size": 16}, 0),
    "distilbert": ({"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}, 0),
    "roberta": ({}, 2),  # its table begins behind the padding token, 1
    "xlm-roberta": ({}, 2),
    "modernbert": ({}, None),  # looks through a window
    "deberta-v2": ({"relative_attention": True, "pos_att_type": ["c2p"]}, None),  # attention of its own
    "mpnet": ({}, None),
    "qwen3": (
        {"num_key_value_heads": 1, "vocab_size": 1000, "head_dim": 8},
        0,
    ),  # causal, heads share keys
}


@pytest.mark.parametrize("kind", KINDS)
def test_packed_only_where_it_is_the_same(kind: str) -> None:
    from transformers import AutoConfig, AutoModel

    shape, expected = KINDS[kind]
    model = AutoModel.from_config(AutoConfig.for_model(kind, **COMMON | shape)).eval()
    shift = place_shift(model)
    assert shift == expected
    lengths, tokens = torch.tensor([4, 11, 7, 11]), torch.randint(10, 900, (4, 11))
    mask = torch.arange(11) < lengths[:, None]
    with torch.no_grad():
        padded = read_padded(model, tokens, mask)
        assert padded.isfinite().all()
        if shift is None:
            return
        packed = packing(lengths)
        states = read_packed(model, packed.pack(tokens), packed, place_shift=shift)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(states[packed.row == row], padded[row, :length], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["roberta", "qwen3", "mpnet"])
def test_it_is_tried_where_only_the_device_knows_lengths(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a base of few bits is, which is on its GPU from the beginning: shapes are filled up there."""
    from transformers import AutoConfig, AutoModel

    shape, expected = KINDS[kind]
    model = AutoModel.from_config(AutoConfig.for_model(kind, **COMMON | shape)).eval()
    monkeypatch.setattr(module, "_is_host", lambda _: False)
    assert place_shift(model) == expected

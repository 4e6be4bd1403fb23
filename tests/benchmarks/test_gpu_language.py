"""The benchmark of language models on a GPU: its arithmetic, and that every side runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gpu_language import SHAPES, asked, in_halves, mfu, sides


def test_mfu_is_what_a_pencil_says() -> None:
    # 6 · 10 + 12 · 2 · 3 · 5 = 420 operations a token
    half = 989e12 / 420 / 2
    assert mfu(half, parameters=10, layers=2, width=3, context=5) == pytest.approx(0.5)
    # 372,000 · (744,000,000 + 113,246,208) = 3.189e14
    found = mfu(372_000, parameters=124_000_000, layers=12, width=768, context=1_024)
    assert found == pytest.approx(0.3224, abs=1e-4)


def test_an_update_that_does_not_fit_is_done_in_halves() -> None:
    import torch

    def measure(parts: int, most: int) -> dict[str, int]:
        if 8 // parts > most:
            raise torch.OutOfMemoryError
        return {"rows": 8 // parts}

    assert in_halves(lambda parts: measure(parts, 2), 8) == {"rows": 2, "micro_batches": 4}
    with pytest.raises(torch.OutOfMemoryError):
        in_halves(lambda parts: measure(parts, 0), 8)


SIDES = [(case, who) for case in SHAPES for who in sides(case, asked(["--small"]))]


@pytest.mark.parametrize(
    ("case", "who"),
    [pytest.param(*side, marks=[] if side == SIDES[0] else pytest.mark.slow) for side in SIDES],
)
def test_every_side_runs(case: str, who: str, tmp_path: Path) -> None:
    text = tmp_path / "input.txt"
    text.write_text("to be, or not to be: that is the question.\n" * 200, encoding="utf-8")
    found = sides(case, asked(["--small", "--text", str(text)]))[who]()
    assert found["tokens_per_second"] > 0
    if case.startswith("gpt"):
        assert 0 < found["mfu"] < 1

from __future__ import annotations

import pytest

from trainwright.foundation.devices import choose_device, environment, num_cpus, peak_memory_mb
from trainwright.foundation.errors import RecipeError


def test_a_device_of_this_machine_is_found() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device().type in {"cpu", "cuda", "mps"}


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cpu:x", "", "cuda:", "cuda:-1", "xla"])
def test_a_device_that_is_not_here_is_answered_with_those_that_are(name: str) -> None:
    with pytest.raises(
        RecipeError, match=r"there is no device .* here; set training.device to one of: auto, cpu"
    ):
        choose_device(name)


def test_the_environment_names_what_results_depend_on() -> None:
    found = environment()
    assert found["packages"]["torch"]
    assert found["cores"] == num_cpus() >= 1
    assert found["processor"]


def test_peak_memory_is_in_mebibytes() -> None:
    before = peak_memory_mb()
    block = bytearray(200 * 2**20)
    assert 5 < before < peak_memory_mb() < 1e6
    del block

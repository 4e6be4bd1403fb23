from __future__ import annotations

import sys
import threading
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from trainwright.foundation import registry as module
from trainwright.foundation.errors import RecipeError, UserError
from trainwright.foundation.registry import Registry

_MODULE = """
import {holder}
@{holder}.ENTRIES.register("{name}")
class Entry:
    called = "{name}"
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A package of two entries, 'alpha' and 'beta', whose registry is `<package>.ENTRIES`."""
    name = f"entries_{abs(hash(request.node.nodeid))}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from trainwright.foundation.registry import Registry\n"
        f"ENTRIES = Registry('test entry', package='{name}')\n"
    )
    for entry in ("beta", "alpha"):
        (folder / f"{entry}_file.py").write_text(_MODULE.format(holder=name, name=entry))
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for known in [known for known in sys.modules if known.split(".")[0] == name]:
        del sys.modules[known]


def _registry(package: Path) -> Registry[type]:
    return __import__(package.name).ENTRIES


def test_a_new_entry_is_one_new_file(package: Path) -> None:
    (package / "gamma.py").write_text(_MODULE.format(holder=package.name, name="gamma"))
    entries = _registry(package)
    assert list(entries) == ["alpha", "beta", "gamma"]
    assert entries["gamma"].called == "gamma"
    assert [name for name, _ in entries.items()] == ["alpha", "beta", "gamma"]
    assert "alpha" in entries
    assert "delta" not in entries


def test_nothing_is_imported_before_the_first_look_up(package: Path) -> None:
    entries = _registry(package)
    assert f"{package.name}.alpha_file" not in sys.modules
    assert "alpha" in entries
    assert f"{package.name}.alpha_file" in sys.modules


def test_an_unknown_word_is_answered_with_the_nearest(package: Path) -> None:
    with pytest.raises(RecipeError, match=r"there is no test entry called 'alhpa'; did you mean 'alpha'\?"):
        _registry(package)["alhpa"]
    with pytest.raises(RecipeError, match="choose one of: alpha, beta"):
        _registry(package)["zzz"]


def test_a_module_that_fails_to_import_is_not_forgotten(package: Path) -> None:
    (package / "zeta.py").write_text("raise ImportError('broken')")
    entries = _registry(package)
    for _ in range(2):  # the second look-up must not find half a registry
        with pytest.raises(ImportError, match="broken"):
            entries["alpha"]
    (package / "zeta.py").write_text("")
    assert entries["alpha"].called == "alpha"


def test_a_thread_never_sees_half_a_registry(package: Path) -> None:
    (package / "aaa.py").write_text("import time\ntime.sleep(0.2)\n")
    entries = _registry(package)
    seen: list[list[str]] = []
    threads = [threading.Thread(target=lambda: seen.append(list(entries))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [["alpha", "beta"]] * 4


def test_two_entries_of_one_name_are_our_mistake() -> None:
    entries: Registry[object] = Registry("thing", package="trainwright.foundation")
    entries.register("one")(int)
    entries.register("one")(int)
    with pytest.raises(AssertionError, match="two entries are called 'one'"):
        entries.register("one")(float)


def _plug_in(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    found = EntryPoints([EntryPoint(name, value, "trainwright.test_entry")])
    monkeypatch.setattr(module, "_installed", lambda: found)


def test_third_parties_add_entries(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _plug_in(monkeypatch, "ordered", "collections:OrderedDict")
    entries = _registry(package)
    assert list(entries) == ["alpha", "beta", "ordered"]
    assert entries["ordered"].__name__ == "OrderedDict"


def test_a_broken_plug_in_is_named(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _plug_in(monkeypatch, "odd", "no_such_module_here:Thing")
    with pytest.raises(UserError, match=r"package no_such_module_here:Thing: the test entry 'odd' cannot be"):
        _registry(package)["alpha"]


def test_a_plug_in_cannot_take_a_name(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _plug_in(monkeypatch, "alpha", "collections:OrderedDict")
    with pytest.raises(UserError, match="brings another test entry called 'alpha'"):
        _registry(package)["alpha"]

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from trainwright.foundation.errors import UserError
from trainwright.reporting.vendored import SCRIPTS, VENDOR, vendored_scripts


def test_scripts_are_those_of_the_release_and_can_stand_in_a_page() -> None:
    scripts = vendored_scripts()
    assert [script.name for script in scripts] == list(SCRIPTS)
    for script in scripts:
        assert "</script" not in script.code.lower()
        assert "<!--" not in script.code
        assert "\r" not in script.code
        assert "sourceMappingURL" not in script.code
        assert "Redistribution and use in source and binary forms" in script.licence


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_changed_byte_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "vendor"
    shutil.copytree(VENDOR, folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: this chart script is not the one"):
        vendored_scripts(folder)


def test_a_missing_script_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    shutil.copytree(VENDOR, folder)
    (folder / SCRIPTS[0]).unlink()
    with pytest.raises(UserError, match="install Trainwright again"):
        vendored_scripts(folder)

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.foundation.hashing import file_sha256, json_hash

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_a_hash_never_changes() -> None:
    """Caches and model folders of earlier versions are found by it."""
    assert json_hash({"a": [1, 2.5, None, True], "价": "格"}) == "5850a06141bdce4ad25bbe127daf9313"


@given(st.dictionaries(st.text(max_size=3), JSON, min_size=2, max_size=4))
def test_the_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    assert json_hash(value) == json_hash(dict(reversed(value.items())))


@given(JSON, JSON)
def test_other_values_have_other_hashes(one: object, other: object) -> None:
    assert (json_hash(one) == json_hash(other)) == (repr_json(one) == repr_json(other))


def repr_json(value: object) -> str:
    """The value as text in which True and 1 differ and the order of keys does not show."""
    if isinstance(value, dict):
        return "keys" + repr(sorted((key, repr_json(item)) for key, item in value.items()))
    return repr([repr_json(item) for item in value]) if isinstance(value, list) else repr(value)


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", Path("a")])
def test_what_is_no_json_has_no_hash(value: object) -> None:
    with pytest.raises(TypeError):
        json_hash([value])


def test_file_sha256(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # the example of FIPS 180-2, appendix B.1
    assert file_sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    data = bytes(range(256)) * 20_000
    path.write_bytes(data)
    assert file_sha256(path) == hashlib.sha256(data).hexdigest()

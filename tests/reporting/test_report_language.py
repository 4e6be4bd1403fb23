from __future__ import annotations

import re
import string

import pytest
from sample_parts import HOSTILE

from trainwright.reporting import catalogs
from trainwright.reporting.language import LANGUAGES, Message, both, many, said, verbatim
from trainwright.reporting.phrases import PHRASES

TRANSLATED = LANGUAGES[1:]


def ids(message_id: str | tuple[str, ...]) -> tuple[str, ...]:
    return message_id if isinstance(message_id, tuple) else (message_id,)


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("language", TRANSLATED)
def test_catalog_holds_exactly_the_messages_of_the_code(language: str) -> None:
    collected = {message.id for message in catalogs.collect() if message.id}
    stored = {message.id for message in catalogs.read(language) if message.id}
    assert len(collected) > 250
    assert stored == collected, "run python -m trainwright.reporting.catalogs"


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_message_is_translated_with_the_same_fields(language: str) -> None:
    for message in catalogs.read(language):
        if not message.id:
            continue
        translations = ids(message.string)
        assert all(translations), f"no translation: {message.id}"
        assert not message.fuzzy
        for translation in translations:
            assert fields(translation) == fields(ids(message.id)[-1]), message.id


@pytest.mark.parametrize("language", TRANSLATED)
def test_compiled_catalog_is_that_of_the_source(language: str) -> None:
    compiled = catalogs.catalog_path(language).with_suffix(".mo").read_bytes()
    assert compiled == catalogs.compiled(catalogs.read(language)), (
        "run python -m trainwright.reporting.catalogs"
    )


def test_message_speaks_both_languages() -> None:
    message = both("Column: {column}.", column="age")
    assert (message.en, message.zh) == ("Column: age.", "依据的列：age。")
    assert (
        str(message.__html__()) == '<span lang="en">Column: age.</span><span lang="zh">依据的列：age。</span>'
    )


def test_messages_nest() -> None:
    message = both("lead of this model in {metric}", metric=both("accuracy"))
    assert (message.en, message.zh) == ("lead of this model in accuracy", "本模型在准确率上的领先")


@pytest.mark.parametrize(("count", "words"), [(1, "1 row could not"), (3, "3 rows could not")])
def test_plurals_follow_the_count(count: int, words: str) -> None:
    one, several = (
        "{count} row could not be used and was set aside.",
        "{count} rows could not be used and were set aside.",
    )
    message = many(one, several, count=count)
    assert message.en.startswith(words)
    assert message.zh == f"有 {count} 行无法使用，已搁置。"


@pytest.mark.parametrize("text", HOSTILE[:7])
def test_values_are_escaped_and_never_read_as_templates(text: str) -> None:
    message = both("Column: {column}.", column=text)
    assert message.en == f"Column: {text}."
    html = str(message.__html__())
    assert "<script" not in html
    assert "<img" not in html


def test_text_that_turns_its_direction_is_isolated() -> None:
    assert str(verbatim("a\u202eb").__html__()) == "<bdi>a\u202eb</bdi>"
    assert str(verbatim("שלום").__html__()) == "<bdi>שלום</bdi>"
    assert str(verbatim("北京 café 95\u00a0%").__html__()) == "北京 café 95\u00a0%"


def test_a_sentence_of_a_lower_layer_is_recognised() -> None:
    message = said("3 different values in 6,000 rows; rare ones will share a level", PHRASES)
    assert message.en == "3 different values in 6,000 rows; rare ones will share a level"
    assert message.zh == "6,000 行中有 3 个不同的值；罕见的值将共用一个等级"


def test_a_sentence_is_recognised_with_a_capital_and_a_full_stop() -> None:
    message = said("Each part has the same share of every class of 'y'.", PHRASES)
    assert message.en == "Each part has the same share of every class of 'y'."
    assert message.zh == "每一部分中，“y”各类的比例相同"


@pytest.mark.parametrize(
    "sentence", ["nobody wrote this before", "", "x" * 100_000, "{count} %s {{", *HOSTILE[:6]]
)
def test_an_unknown_sentence_is_shown_as_it_is(sentence: str) -> None:
    message = said(sentence, PHRASES)
    assert message.en == message.zh == sentence


def test_every_phrase_reads_back_as_itself() -> None:
    for phrase in PHRASES:
        values = {name: f"{index}7" for index, name in enumerate(sorted(fields(phrase)), start=1)}
        sentence = phrase.format(**values)
        message = said(sentence, PHRASES)
        assert message.en == sentence
        assert message.zh == Message(phrase, values).zh, f"a wider phrase stands before: {phrase}"
        assert re.search(r"[\u4e00-\u9fff]", message.zh)

"""Rules of quality: each has a text that only it drops, and ordinary texts stay."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from corpora import PROSE, left, make, write_jsonl

from trainwright.corpus.rule import RULES
from trainwright.foundation.errors import UserError

_NOUNS = [
    "river",
    "hill",
    "town",
    "bridge",
    "stone",
    "evening",
    "light",
    "harbour",
    "wood",
    "flood",
    "child",
    "tree",
    "road",
    "house",
    "market",
]
_VERBS = [
    "crosses to",
    "follows and",
    "passes with",
    "meets that",
    "leaves of",
    "watches",
    "reaches to",
    "joins and",
    "covers with",
    "borders",
    "feeds",
]
_PLAIN = [
    "crosses",
    "follows",
    "passes",
    "meets",
    "leaves",
    "watches",
    "reaches",
    "joins",
    "covers",
    "borders",
    "feeds",
]


def prose(sentences: int = 20, *, ends: str = ".", start: int = 0) -> str:
    """Return sentences of which no five words in a row come twice."""
    return " ".join(sentence(number) + ends for number in range(start, start + sentences))


def sentence(number: int) -> str:
    first, second, third = (_NOUNS[place % 15] for place in (number, number * 7 + 3, number * 4 + 1))
    return f"The {first} {number} {_VERBS[number % 11]} {second}{number * 3} in {third}{number}"


def lines(count: int, *, begins: str = "", ends: str = ".", start: int = 0) -> str:
    return "\n".join(f"{begins}{sentence(number)}{ends}" for number in range(start, start + count))


def covered(size: int) -> str:
    """Return a text of which stretches of just `size` words come three times: about a tenth of it again."""
    filler = [f"w{number}x{number * 7 % 1000}" for number in range(2_000)]
    stretch = [f"said{part}again" for part in range(size)]
    words: list[str] = []
    for number in range(3):
        words += [*filler[number * 40 : number * 40 + 40], *stretch]
    return " ".join(words)


STRICT: dict[str, str] = {
    "gopher_few_words": "The river runs down from the hills. It passes the town. And that is all of it.",
    "gopher_many_words": " ".join(f"the w{number} and of{number}." for number in range(25_100)),
    "gopher_short_words": "The to. "
    + " ".join(f"{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(80))
    + ". And. Be. Of.",
    "gopher_long_words": "The and of. "
    + " ".join(f"incomprehensibility{n}ly" for n in range(80))
    + ". Yes. To it.",
    "gopher_symbols": prose()
    + " "
    + " ".join(f"#{noun}{number}" for number, noun in enumerate(_NOUNS * 2))
    + ".",
    "gopher_bullets": lines(22, begins="-"),
    "gopher_ellipses": lines(12, ends="…") + "\n" + lines(20, start=40),
    "gopher_alphabetic": prose(8) + " " + " ".join(f"{n * 37}" for n in range(60)) + ".",
    "gopher_stop_words": " ".join(
        f"Our {_NOUNS[n % 15]} {n} {_PLAIN[n % 11]} your{n} {_NOUNS[n * 7 % 15]} since{n} it was ours{n}."
        for n in range(12)
    ),
    "repeated_lines": "\n".join(
        [*(prose(1, start=n) for n in range(20)), *["Yes."] * 12, prose(2, start=30)]
    ),
    "repeated_line_characters": "\n".join(
        [*(prose(1, start=n) for n in range(20)), *[f"A line of the {n % 4} kind." for n in range(24)]]
    ),
    "repeated_paragraphs": "\n\n".join(
        [*(prose(1, start=n) for n in range(20)), *["So he said.\nYes."] * 11]
    ),
    "repeated_paragraph_characters": "\n\n".join(
        [*(prose(1, start=n) for n in range(20)), *[prose(12, start=30)] * 2]
    ),
    "c4_curly_brackets": prose() + " A {bracket} stands here.",
    "c4_lorem_ipsum": prose() + " Lorem ipsum stands for text.",
    "c4_policy_lines": lines(16)
    + "\nPlease read the privacy policy of us."
    + "\nTo use it turn JavaScript on.",
    "c4_terminal_punctuation": lines(30, ends="") + "\n" + prose(3, start=50),
    "c4_few_sentences": prose(20, ends=" and") + " so on.",
}
"""Rule → a text that leaves under it alone, in the strict quality."""


@pytest.mark.parametrize("name", sorted(STRICT))
def test_each_rule_has_a_text_that_only_it_drops(tmp_path: Path, name: str) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [STRICT[name], prose()])
    words = {"near_duplicates": "off", "document_characters": 2_000_000}
    _, manifest = make(path, tmp_path / "out", quality="strict", settings=words)
    fired = manifest["rules_that_fired"]
    related = {key: value for key, value in fired.items() if not _implied(name, key)}
    assert related == {name: 1}, fired
    words[f"rules.{name}"] = "off"
    words |= {f"rules.{key}": "off" for key in fired if key != name}
    kept, _ = make(path, tmp_path / "off", quality="strict", settings=words)
    assert len(kept) == 2


def _implied(name: str, other: str) -> bool:
    """Return whether one rule hardly fires alone: a line that comes again holds n-grams that do."""
    repetition = ("repeated_", "top_")
    return name != other and name.startswith(repetition) and other.startswith(repetition)


@pytest.mark.parametrize("size", [5, 6, 7, 8, 9, 10])
def test_repeated_grams_are_measured_by_their_length(tmp_path: Path, size: int) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [covered(size), PROSE])
    rules = {f"rules.repeated_{n:02}_grams": 0.06 for n in range(5, 11)}
    _, manifest = make(path, tmp_path / "out", quality="off", settings=rules)
    fired = {int(name.split("_")[1]) for name in manifest["rules_that_fired"]}
    assert fired == set(range(5, size + 1))


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_top_gram_is_measured(tmp_path: Path, size: int) -> None:
    stretch = " ".join(f"{word}ly" for word in ["slow", "quick", "bright", "dark"][:size])
    text = " ".join(f"{stretch} filler{number} w{number}" for number in range(40))
    path = write_jsonl(tmp_path / "a.jsonl", [text, prose()])
    _, manifest = make(path, tmp_path / "out", quality="strict")
    assert manifest["rules_that_fired"][f"top_{size}_gram"] == 1


@pytest.mark.parametrize(("size", "times"), [(2, 22), (3, 13), (4, 9)])
def test_the_top_gram_of_chinese_is_twice_as_many_characters(tmp_path: Path, size: int, times: int) -> None:
    """A little more than the strict share of 400 characters, of which no others come twice."""
    others = iter(range(0x4E00, 0x9000))

    def text(times: int) -> str:
        gap = 400 // times - 2 * size
        filler = ("".join(chr(next(others)) for _ in range(gap)) for _ in range(times))
        return "".join(f"{piece}{'河水从山上流下来'[: 2 * size]}" for piece in filler)

    rest = "".join(chr(next(others)) for _ in range(100))
    path = write_jsonl(tmp_path / "a.jsonl", [text(times), text(times) + rest])
    rules = {f"rules.top_{size}_gram": RULES[f"top_{size}_gram"].strict}
    found, manifest = make(path, tmp_path / "out", quality="off", settings=rules)
    assert manifest["rules_that_fired"] == {f"top_{size}_gram": 1}
    assert found["text"][0].endswith(rest)


def test_the_top_gram_may_be_of_long_words(tmp_path: Path) -> None:
    """Four words of twenty letters, once in 64 words, are a sixth of a text of short ones."""
    stretch = " ".join(f"{noun * 4:.20}" for noun in _NOUNS[:4])
    text = " ".join(f"{stretch} " + " ".join(f"w{n}{m}" for m in range(60)) for n in range(10, 19))
    path = write_jsonl(tmp_path / "a.jsonl", [text, prose()])
    _, manifest = make(path, tmp_path / "out", quality="off", settings={"rules.top_4_gram": 0.16})
    assert manifest["rules_that_fired"] == {"top_4_gram": 1}


def test_every_rule_is_tested() -> None:
    others = {f"repeated_{n:02}_grams" for n in range(5, 11)} | {f"top_{n}_gram" for n in (2, 3, 4)}
    assert set(RULES) == set(STRICT) | others


def test_the_docs_have_the_thresholds_of_all_rules() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "prepare.md").read_text(encoding="utf-8")
    known, told = list(RULES), []
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        names = re.findall(r"`(\w+)`", cells[0])
        if not line.startswith("| `") or not names or names[0] not in RULES:
            continue
        if "…" in cells[0]:
            names = known[known.index(names[0]) : known.index(names[1]) + 1]
        told += names
        for cell, quality in zip(cells[2:4], ("gentle", "strict"), strict=True):
            assert cell == _in_words(names, quality), (cell, names)
    assert sorted(told) == sorted(RULES)


def _in_words(names: list[str], quality: str) -> str:
    """Return the thresholds of some rules, as the docs have them in one cell."""
    thresholds = [getattr(RULES[name], quality) for name in names]
    sides = [RULES[name].beyond for name in names]
    if len(names) > 4:
        return f"{sides[0]} {thresholds[0]:g} … {thresholds[-1]:g}"
    words = [
        "–" if threshold is None else "any" if (threshold, side) == (0, "above") else f"{side} {threshold:,g}"
        for threshold, side in zip(thresholds, sides, strict=True)
    ]
    words = list(dict.fromkeys(words))
    if len(set(sides)) == 1:  # the side is said once
        words[1:] = [word.removeprefix(f"{sides[0]} ") for word in words[1:]]
    return ", ".join(words)


def test_the_gentle_quality_keeps_ordinary_texts(shared_data: Path, tmp_path: Path) -> None:
    plays = (shared_data / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    texts = [plays[at : at + 3_000] for at in range(0, 600_000, 3_000)]
    poems = (
        (shared_data / "chinese_poetry" / "tang_10k.jsonl").read_text(encoding="utf-8").splitlines()[:2_000]
    )
    texts += [json.loads(line)["text"] for line in poems]
    path = write_jsonl(tmp_path / "a.jsonl", texts)
    root = Path(__file__).resolve().parents[2]
    kept, manifest = make([path, root / "README.md", root / "docs"], tmp_path / "out")
    gone = sum(left(manifest, "quality").values())
    assert gone <= 0.005 * manifest["read"]["documents"], left(manifest, "quality")
    assert "README.md" in {Path(name).name for name in kept["source"]}
    pages = len(list((root / "docs").rglob("*.md"))) + 1
    assert (kept["kind"] == "markdown").sum() >= pages - 1


def test_programs_may_have_curly_brackets(tmp_path: Path) -> None:
    code = "\n".join(f"int value_{n}(int a) {{ return a + {n}; }}" for n in range(30))
    kept, manifest = make(write_jsonl(tmp_path / "a.jsonl", [code]), tmp_path / "out")
    assert len(kept) == 1, manifest["left"]


def test_a_document_counts_under_the_first_rule_and_every_rule_that_fires(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", ["Lorem ipsum {dolor}."])
    _, manifest = make([path, write_jsonl(tmp_path / "b.jsonl", [PROSE])], tmp_path / "out", quality="strict")
    assert left(manifest, "quality") == {"c4_curly_brackets": 1}
    assert set(manifest["rules_that_fired"]) > {"c4_curly_brackets", "c4_lorem_ipsum", "gopher_few_words"}
    assert manifest["samples"]["quality.c4_curly_brackets"][0]["text"] == "Lorem ipsum {dolor}."


def test_thresholds_can_be_set_and_wrong_names_are_answered(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [PROSE, prose(60)])
    _, manifest = make(path, tmp_path / "out", settings=["rules.gopher_few_words=300"])
    assert left(manifest, "quality") == {"gopher_few_words": 1}
    assert manifest["thresholds"]["gopher_few_words"]["threshold"] == 300
    with pytest.raises(
        UserError, match="there is no rule 'gopher_few_word'; did you mean 'gopher_few_words'"
    ):
        make(path, tmp_path / "b", settings=["rules.gopher_few_word=5"])
    with pytest.raises(UserError, match="there is no quality 'strikt'; did you mean 'strict'"):
        make(path, tmp_path / "b", quality="strikt")
    with pytest.raises(UserError, match="there is no setting 'shard_megabyte'"):
        make(path, tmp_path / "b", settings={"shard_megabyte": 5})


def test_a_song_with_a_chorus_stays(tmp_path: Path) -> None:
    """What comes again counts from its second time on: here a little over a fifth."""
    chorus = "\n".join(sentence(number) for number in range(300, 306))
    song = "\n\n".join(f"{lines(12, start=at, ends=',')}\n\n{chorus}" for at in (0, 20, 40))
    found, manifest = make(write_jsonl(tmp_path / "a.jsonl", [song]), tmp_path / "out")
    assert len(found) == 1, manifest["rules_that_fired"]


WITHOUT_SPACES = {
    "Thai": "แม่น้ำไหลลงมาจากภูเขาและผ่านเมืองที่ผู้คนสร้างสะพานหินไว้",
    "Khmer": "ទន្លេហូរចុះពីភ្នំហើយឆ្លងកាត់ទីក្រុងដែលមនុស្សបានសង់ស្ពានថ្ម",
    "Lao": "ແມ່ນ້ຳໄຫຼລົງມາຈາກພູເຂົາແລະຜ່ານເມືອງທີ່ຜູ້ຄົນສ້າງຂົວຫີນ",
    "Burmese": "မြစ်သည်တောင်များမှစီးဆင်းလာပြီးမြို့ကိုဖြတ်သန်းသွားသည်",
    "Tibetan": "གཙང་པོ་རི་ནས་བབས་ཏེ་གྲོང་ཁྱེར་བརྒྱུད་ནས་འགྲོ་བ་ཡིན",
}


def test_languages_without_spaces_stay(tmp_path: Path) -> None:
    texts = [text for each in WITHOUT_SPACES.values() for text in (each, f"{each} {each[::-1]}")]
    found, manifest = make(write_jsonl(tmp_path / "a.jsonl", texts), tmp_path / "out")
    assert len(found) == 10, manifest["rules_that_fired"]


def test_lines_end_as_sentences_of_their_language_do(tmp_path: Path) -> None:
    """Hindi, Urdu and others have signs of their own; a poem in English may have none."""
    path = write_jsonl(tmp_path / "a.jsonl", [prose(), *(lines(22, ends=sign) for sign in "।۔؟«»“།။។։።")])
    _, manifest = make(path, tmp_path / "out", quality="strict")
    assert "c4_terminal_punctuation" not in manifest["rules_that_fired"]
    _, manifest = make(write_jsonl(tmp_path / "b.jsonl", [lines(22, ends="")]), tmp_path / "poem")
    assert "c4_terminal_punctuation" not in manifest["rules_that_fired"]

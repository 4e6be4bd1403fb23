"""Personal data: masked where form and check digit say so, and ordinary numbers left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpora import PROSE, make, write_jsonl
from hypothesis import given
from hypothesis import strategies as st

from trainwright.corpus.check_digits import IBAN_LENGTHS, is_iban, is_resident_id, luhn
from trainwright.corpus.personal import KINDS, masked, masked_batch
from trainwright.corpus.tokens import tokens_of

MASKED = {
    "write to anna.smith+news@mail.example.co.uk today": "write to <EMAIL> today",
    "联系anna@example.cn吧": "联系<EMAIL>吧",
    "call +49 30 1234 5678 now": "call <PHONE> now",
    "call (212) 555-0100, or 212-555-0199.": "call <PHONE>, or <PHONE>.",
    "电话13800138000。": "电话<PHONE>。",
    "010-12345678": "<PHONE>",
    "card 4111 1111 1111 1111 is charged": "card <CARD> is charged",
    "5500-0000-0000-0004": "<CARD>",
    "IBAN DE89 3704 0044 0532 0130 00 BIC": "IBAN <IBAN> BIC",
    "GB29NWBK60161331926819,": "<IBAN>,",
    "身份证11010519491231002X号": "身份证<RESIDENT_ID>号",
    "from 8.8.8.8 came": "from <IP> came",
    "from 2001:4860:4860::8888 came": "from <IP> came",
    "http://[2001:4860:4860::8888]/": "http://[<IP>]/",
    "4111111111111111 12/25": "<CARD> 12/25",
    "4111 1111 1111 1111 123": "<CARD> 123",
    "1 4111111111111111": "1 <CARD>",
    "3782 822463 10005": "<CARD>",
    "41111111 11111111": "<CARD>",
    "RE12 DE89 3704 0044 0532 0130 00": "RE12 <IBAN>",
    "iban de89 3704 0044 0532 0130 00, bic": "iban <IBAN>, bic",
    "write to _john@x.com": "write to <EMAIL>",
    "see..anna@x.com": "see..<EMAIL>",
    "info@müller.de and müller@web.de": "<EMAIL> and <EMAIL>",
    "o'brien@x.ie": "<EMAIL>",
    "иван@почта.рф": "<EMAIL>",
    "+49 (0)30 1234567": "<PHONE>",
    "+33 1 23 45 67 89 in 2024": "<PHONE> in 2024",
    "+49 30 1234 5678 2024-01-02": "<PHONE> 2024-01-02",
    "+1 (212) 555-0100 2024": "<PHONE> 2024",
    "+7 912 345-67-89": "<PHONE>",
    "+8613800138000": "<PHONE>",
}

LEFT = (
    *("card 4111 1111 1111 1112 is wrong", "order 1234567890123456", "pi is 3.14159265358979323846"),
    *("DE88 3704 0044 0532 0130 00", "110105194912310021", "110105194913310024"),
    *("192.168.1.10 and 127.0.0.1 and 10.0.0.1", "::1 and fe80::1", "at 12:30:45 on 2026-11-26"),
    *(
        "version 1.2.3",
        "300.400.500.600",
        "1,234,567,890 people",
        "ISBN 978-3-16-148410-0",
        "user @ home",
        "a@b",
    ),
    *("x[1::2] and a::b", "std::vector<int>::at", "+1.23456789", "+49.123456789", "GMT +8 2024-01-02"),
    *("UTC +1 2024-01-02 12:30", "version 1.2.3.4", "Version: 8.8.8.8", "v 1.2.3.4", "v1.2.3.4"),
    *("it12 and some words of it that are no account", "4532 6712 3399 1239 4400 4111 1111 1111 1111 1111"),
    *("in 1999-2000 and 2001", "13800138000123", "0.13800138000", "10 000 000 000"),
)


@pytest.mark.parametrize("text", MASKED)
def test_personal_data_is_masked(text: str) -> None:
    assert masked(text, KINDS)[0] == MASKED[text]


@pytest.mark.parametrize("text", LEFT)
def test_ordinary_numbers_are_left(text: str) -> None:
    assert masked(text, KINDS) == (text, {})


@given(st.text("0123456789", min_size=1, max_size=18))
def test_one_digit_makes_a_number_pass_luhn(digits: str) -> None:
    assert sum(luhn(digits + last) for last in "0123456789") == 1


@given(st.text("0123456789", min_size=2, max_size=18), st.data())
def test_luhn_sees_every_single_mistake(digits: str, data: st.DataObject) -> None:
    number = next(digits + last for last in "0123456789" if luhn(digits + last))
    place = data.draw(st.integers(0, len(number) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != number[place]]))
    assert not luhn(number[:place] + other + number[place + 1 :])


@given(st.sampled_from(sorted(IBAN_LENGTHS)), st.data())
def test_iban_has_two_check_digits_and_sees_every_single_mistake(country: str, data: st.DataObject) -> None:
    size = IBAN_LENGTHS[country] - 4
    account = data.draw(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=size, max_size=size))
    value = int("".join(str(int(sign, 36)) for sign in account + country + "00"))
    number = f"{country}{98 - value % 97:02}{account}"
    assert is_iban(number)
    place = data.draw(st.integers(4, len(number) - 1))
    wrong = chr(ord(number[place]) + 1) if number[place] not in "9Z" else "0A"[number[place] == "Z"]
    assert not is_iban(number[:place] + wrong + number[place + 1 :])
    assert not is_iban(number[:-1])


@given(st.dates(), st.integers(0, 999), st.integers(110000, 659999))
def test_one_sign_makes_a_resident_id(day: object, order: int, place: int) -> None:
    body = f"{place}{day:%Y%m%d}".replace(" ", "0")
    body = body[:6] + body[6:].zfill(8) + f"{order:03}"
    if body[6:10] >= "1000":
        assert sum(is_resident_id(body + last) for last in "0123456789X") == 1


@given(
    st.lists(
        st.tuples(st.sampled_from([*MASKED, *LEFT, PROSE, "中文句子。", "é" * 90]), st.integers(0, 300)),
        min_size=1,
        max_size=8,
    )
)
def test_looking_around_signs_finds_what_looking_everywhere_finds(parts: list[tuple[str, int]]) -> None:
    text = "".join(f"{part} {'word ' * (room // 5)}" for part, room in parts)
    tokens = tokens_of([b"before 8.8.8.8", text.encode(), b"after"])
    found = {
        number: (data.decode(), counts) for number, data, counts in masked_batch(tokens, [0, 1, 2], KINDS)
    }
    whole, counts = masked(text, KINDS)
    assert found.get(1, (text, {})) == (whole, counts)
    assert found[0][0] == "before <IP>"


def test_a_corpus_holds_placeholders_and_counts_of_what_stays(tmp_path: Path) -> None:
    texts = [
        f"{PROSE} Write to a@example.org.",
        f"{PROSE} Write to a@example.org.",
        f"Hm. {PROSE[40:]} 4111111111111111",
    ]
    found, manifest = make(write_jsonl(tmp_path / "a.jsonl", texts), tmp_path / "out")
    assert found["text"].to_list()[0] == f"{PROSE} Write to <EMAIL>."
    assert manifest["masked"] == {"email": 1, "card": 1}
    assert "example.org" not in str(manifest["samples"])
    again, _ = make(tmp_path / "a.jsonl", tmp_path / "off", settings={"personal": "card"})
    assert again["text"].to_list()[0].endswith("a@example.org.")


NUMBERS = {
    **{"BI": "BI4210000100010000332045181", "DJ": "DJ2100010000000154000100186", "FK": "FK88SC123456789012"},
    **{"MN": "MN121234123456789123", "NI": "NI45BAPR00000013000003558124", "OM": "OM810180000001299123456"},
    **{
        "RU": "RU0304452522540817810538091310419",
        "SD": "SD2129010501234001",
        "SO": "SO211000001001000100141",
    },
    **{"YE": "YE15CBYE0001018861234567891234"},
}
"""Examples of the registry (SWIFT, IBAN registry)."""


@pytest.mark.parametrize("country", NUMBERS)
def test_numbers_of_the_registry_are_accounts(country: str) -> None:
    assert masked(f"to {NUMBERS[country]} today", KINDS)[0] == "to <IBAN> today"


def test_masking_takes_no_time_by_the_square_of_the_length() -> None:
    import time

    begun = time.process_time()
    for part in ("4111 ", "a.", "+49 30 ", "DE89 3704 ", "1.2.3.4.", "2001:", "x@", "1"):
        masked(part * (60_000 // len(part)), KINDS)
    assert time.process_time() - begun < 4

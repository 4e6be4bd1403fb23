"""No part of a password survives in what messages and files show of a URL."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.data.urls import (
    has_password,
    is_left_out,
    public_name,
    redacted,
    redacted_settings,
    without_mark,
    without_password,
)
from trainwright.recipe.recipe import DataSettings

PASSWORDS = st.text(min_size=1).filter(lambda text: not text.startswith("$"))


@given(PASSWORDS)
def test_no_part_of_a_password_survives(password: str) -> None:
    written = quote(password, safe="")
    for before, after in (
        ("postgresql://me:", "@host:5432/db?options=a@b"),
        ("mysql+pymysql://me@server:", "@host/db"),
        ("postgresql://me@host/db?sslmode=require&password=", "&application_name=x"),
        ("s3://key:", "@bucket/a@b:c/d.csv"),
        ("simplecache::s3://key:", "@bucket/d.csv"),
        ("zip://a.csv::sftp://me:", "@host/a.zip"),
        ("https://host/d.csv?year=2024&X-Amz-Signature=", "&b=1"),
        ("https://host/d.csv?access_token=", ""),
    ):
        assert redacted(f"{before}{written}{after}") == f"{before}***{after}"
    for user in (f"me:{written}", written, f"{written}:x-oauth-basic"):
        url = f"https://{user}@host:8080/npm/pkg@1.2/d.csv"
        assert redacted(url) == "https://***@host:8080/npm/pkg@1.2/d.csv"
        assert public_name(url) == "https://host:8080/npm/pkg@1.2/d.csv"


@given(PASSWORDS.filter(lambda text: not ("@" in text and "?" in text)))
def test_nor_one_that_should_have_been_encoded(password: str) -> None:
    url = f"postgresql://me:{password}@host/db"
    assert redacted(url) == "postgresql://me:***@host/db"
    assert public_name(url) == "postgresql://host/db"


@given(st.text())
def test_what_was_left_out_once_is_left_out(text: str) -> None:
    for url in (text, f"https://{text}", f"postgresql://{text}", f"zip://a::s3://{text}"):
        assert redacted(redacted(url)) == redacted(url)
        assert has_password(redacted(url)) == has_password(url)


@pytest.mark.parametrize(
    "url",
    [
        "flats.csv",
        "C:/data/a:b@c.csv",
        "sqlite:///C:/data/a:b@c.db?mode=ro",
        "postgresql://me@host:5432/db?sslkey=/home/me/key&passfile=/home/me/.pgpass",
        "snowflake://me@account/db?private_key_file=key.p8&authenticator=externalbrowser",
        "abfs://container@account.dfs.core.windows.net/d.csv",
        "https://host:8080/feed/@me/d.csv?author=x&sort=key",
        "http://[::1]:8080/@me/d.csv",
        "hf://datasets/owner/name@main/d.csv",
        "sftp://me@host/d.csv",
    ],
)
def test_what_holds_no_secret_stays_as_it_is(url: str) -> None:
    assert redacted(url) == url
    assert not has_password(url)


def test_a_variable_of_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "secret")
    for url in (
        "postgresql://me:$SHOP@host/db",
        "mysql://me:${SHOP}@host/db",
        "mysql://host/db?password=$SHOP",
    ):
        assert redacted(url) == url
    # Only databases read them, and a password may begin with a dollar.
    assert redacted("https://me:$SHOP@host/d.csv") == "https://***@host/d.csv"
    monkeypatch.delenv("SHOP")
    assert redacted("postgresql://me:$SHOP@host/db") == "postgresql://me:***@host/db"
    assert redacted("postgresql://me:$HOME!@host/db") == "postgresql://me:***@host/db"


def test_the_settings_of_all_parts_are_redacted() -> None:
    settings = DataSettings(
        path=("a.csv", "https://t@h/b.csv"), test="https://h/c.csv?token=t", query="select 1"
    )
    shown = redacted_settings(settings)
    assert shown.path == ("a.csv", "https://***@h/b.csv")
    assert (shown.validation, shown.test, shown.query) == (None, "https://h/c.csv?token=***", "select 1")


def test_the_mark_is_known_and_taken_out() -> None:
    assert is_left_out("postgresql://me:***@host/db")
    assert not is_left_out("postgresql://me:secret@host/db?x=***")
    assert without_mark("postgresql://me:***@host/db") == "postgresql://me@host/db"
    assert without_mark("postgresql://h/db?password=***&a=1&token=***") == "postgresql://h/db?a=1"


def test_messages_hold_no_piece_of_a_password() -> None:
    assert without_password("no host 'ret@host'", "postgresql://me:sec@ret@host/shop") == "no host '***@host'"
    assert without_password("a b and a%20b", "postgresql://me:a%20b@host/shop") == "*** and ***"
    assert without_password("bad 'pw'", "https://me:pw@host/") == "bad '***'"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://me:pw@host/a.csv?sig=x#y", "https://host/a.csv"),
        ("https://host/@user/a.csv", "https://host/@user/a.csv"),
        ("https://host:8080/@user/a.csv", "https://host:8080/@user/a.csv"),
        ("postgresql://me:p?w/x@host/db", "postgresql://host/db"),
        ("zip://a.csv::https://me:pw@host/a.zip?key=x", "zip://a.csv::https://host/a.zip"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("owner/name", "owner/name"),
    ],
)
def test_names_hold_no_secrets(url: str, name: str) -> None:
    assert public_name(url) == name

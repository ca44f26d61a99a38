from __future__ import annotations

import pytest

from kg.settings.secrets import HIDDEN, is_confidential, masked, masked_text, secrets_in_addresses


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "Password",
        "neo4j_password",
        "passwort",
        "passwd",
        "pwd",
        "secret",
        "token",
        "api_key",
        "apiKey",
        "auth",
    ],
)
def test_a_key_that_asks_for_a_secret_is_one(key: str) -> None:
    assert is_confidential(key)


@pytest.mark.parametrize("key", ["password_env", "password_file", "author", "uri", "user", "path", 3, None])
def test_other_keys_are_none(key: object) -> None:
    assert not is_confidential(key)


def test_secrets_are_masked_at_any_depth_and_all_else_is_kept() -> None:
    data = {
        "neo4j": {"password": "s", "uri": "neo4j://ada:s@host:7687", "timeout": 5, "user": "ada"},
        "list": [{"token": ["s"]}, "bolt:s@host", "http://a/b?c=d", None, 1.5],
    }
    assert masked(data) == {
        "neo4j": {"password": HIDDEN, "uri": f"neo4j://{HIDDEN}@host:7687", "timeout": 5, "user": "ada"},
        "list": [{"token": HIDDEN}, f"{HIDDEN}@host", "http://a/b?c=d", None, 1.5],
    }
    assert data["neo4j"]["password"] == "s"  # noqa: S105


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("get https://ada:s@host/x.csv now", "get https://***@host/x.csv now"),
        ("s3://key:se/cr@et@bucket/a", "s3://***@bucket/a"),
        ("https://ghp_s@host/x", "https://***@host/x"),
        ("jdbc:postgresql://ada:s@host/d", "jdbc:postgresql://***@host/d"),
        ("'https://host/x?a=1&token=s#f'", "'https://host/x?a=1&token=***#f'"),
        ("http://host/x?X-Amz-Signature=s&X-Amz-Credential=s;sig=s", None),
        ("bolt://host?password=s", "bolt://host?password=***"),
    ],
)
def test_accounts_and_secrets_in_addresses_are_masked_in_a_text(text: str, shown: str | None) -> None:
    shown = shown or "http://host/x?X-Amz-Signature=***&X-Amz-Credential=***;sig=***"
    assert masked_text(text) == shown
    (line,) = secrets_in_addresses({"sources": [{"files": [text]}]})
    assert line.startswith("sources.0.files.0 has an address with an account or a secret")
    (line,) = secrets_in_addresses({text: 1})
    assert line.startswith(shown)


@pytest.mark.parametrize(
    "text",
    [
        "https://host/@ada",
        "http://host:8080/a:b@c",
        "ada@example.org",
        "mailto:a@b",
        "http://a/b?c=d&e=f",
        "a=b?c",
        "x://",
    ],
)
def test_other_addresses_and_texts_stay(text: str) -> None:
    assert masked_text(text) == text
    assert not list(secrets_in_addresses({text: [text]}))

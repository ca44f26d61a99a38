from __future__ import annotations

import pytest

from kg.settings.secrets import HIDDEN, is_confidential, masked


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

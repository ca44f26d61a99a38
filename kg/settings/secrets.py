"""Passwords have no place in a configuration, and none in a message about one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

HIDDEN = "***"
ADVICE = (
    "no password belongs into a configuration, which is copied into runs and logs: put it into the environment "
    "variable that `password_env` names (NEO4J_PASSWORD), or into a file that `password_file` names"
)

_SECRET = re.compile(
    r"passwor[dt]|passwd|passphrase|\bpwd\b|secret|token|credential|(api|access)_?key|^auth$|signature|^sig$",
    re.IGNORECASE,
)
_WHERE_IT_IS = re.compile(r"_(env|file)$", re.IGNORECASE)
_USER_IN_ADDRESS = re.compile(r"[^/\s]+@")
# Up to the last @ before the path; a password may hold a "/" that should have been escaped, a port is none.
_ACCOUNT = re.compile(
    r"(?<![\w+.-])([a-z][a-z0-9+.-]*://)(?:[^\s/?#'\"<>]*@|[^\s/?#'\"<>@:]+:(?!\d{1,5}[/?#])[^\s?#'\"<>]*@)",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"([?&;]([\w.~%-]+)=)[^\s&;#'\"<>]+")


def is_confidential(key: object) -> bool:
    """Whether a key of a configuration asks for a secret; `password_env` and `password_file` say only where one is."""
    return isinstance(key, str) and bool(_SECRET.search(key)) and not _WHERE_IT_IS.search(key)


def masked_text(text: str) -> str:
    """A text in which every address lost its account and the secrets of its query: for messages, logs and records."""
    text = _ACCOUNT.sub(rf"\1{HIDDEN}@", text)
    return _PARAMETER.sub(lambda match: match[1] + HIDDEN if is_confidential(match[2]) else match[0], text)


def secrets_in_addresses(data: Any, key: str = "") -> Iterator[str]:
    """A line for each text in plain data that holds an address with an account or a secret in it."""
    if isinstance(data, Mapping):
        for name, value in data.items():
            place = f"{key}.{name}" if key else str(name)
            yield from secrets_in_addresses(name, masked_text(place))
            yield from secrets_in_addresses(value, masked_text(place))
    elif isinstance(data, list | tuple):
        for at, value in enumerate(data):
            yield from secrets_in_addresses(value, f"{key}.{at}")
    elif isinstance(data, str) and masked_text(data) != data:
        yield (
            f"{key} has an address with an account or a secret in it: take it out, for a configuration is copied into "
            "runs and logs. Sources are files: download what the address names, and name the file"
        )


def masked(value: Any) -> Any:
    """Plain data with secrets and the accounts in addresses taken out, to be shown in a message."""
    if isinstance(value, Mapping):
        return {key: HIDDEN if is_confidential(key) else masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked(inner) for inner in value]
    return _USER_IN_ADDRESS.sub(f"{HIDDEN}@", masked_text(value)) if isinstance(value, str) else value

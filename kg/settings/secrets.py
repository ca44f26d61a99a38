"""Passwords have no place in a configuration, and none in a message about one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
ADVICE = (
    "no password belongs into a configuration, which is copied into runs and logs: put it into the environment "
    "variable that `password_env` names (NEO4J_PASSWORD), or into a file that `password_file` names"
)

_SECRET = re.compile(r"passwor[dt]|passwd|passphrase|\bpwd\b|secret|token|credential|api_?key|^auth$", re.IGNORECASE)
_WHERE_IT_IS = re.compile(r"_(env|file)$", re.IGNORECASE)
_USER_IN_ADDRESS = re.compile(r"[^/\s]+@")


def is_confidential(key: object) -> bool:
    """Whether a key of a configuration asks for a secret; `password_env` and `password_file` say only where one is."""
    return isinstance(key, str) and bool(_SECRET.search(key)) and not _WHERE_IT_IS.search(key)


def masked(value: Any) -> Any:
    """Plain data with secrets and the accounts in addresses taken out, to be shown in a message."""
    if isinstance(value, Mapping):
        return {key: HIDDEN if is_confidential(key) else masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked(inner) for inner in value]
    return _USER_IN_ADDRESS.sub(f"{HIDDEN}@", value) if isinstance(value, str) else value

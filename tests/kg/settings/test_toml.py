from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kg.settings.toml import toml_key, toml_value

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(TEXTS, VALUES)
def test_what_is_written_is_read_again(key: str, value: Any) -> None:
    assert tomllib.loads(f"{toml_key(key)} = {toml_value(value)}\n") == {key: value}


def test_plain_keys_need_no_quotes() -> None:
    assert toml_value({"user": "a", "Book-Title": ["b"], "x y": 1}) == '{ user = "a", Book-Title = ["b"], "x y" = 1 }'

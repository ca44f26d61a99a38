"""Settings are checked in Python and from a file alike, and an error says where, what and what instead."""

from __future__ import annotations

import pickle
import traceback
from typing import Any, ClassVar

import pytest
from pydantic import Field, field_validator, model_validator

from kg.errors import ConfigError
from kg.settings import Settings, validate


class Depth(Settings):
    least: int = Field(default=1, ge=0, description="The least depth.")
    words: tuple[str, ...] = Field(default=(), max_length=2, description="Words.")


class Search(Settings):
    section: ClassVar[str] = "search"

    rate: float = Field(default=0.5, gt=0, le=1, description="A rate.")
    kind: str = Field(default="a", pattern="^[a-z]$", description="A kind.")
    user: str | dict[str, int] = Field(default="", description="A user, or numbers of users.")
    depth: Depth = Field(default=Depth(), description="How deep.")
    more: list[Depth] = Field(default=[], description="Other depths.")

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "z":
            raise ValueError("z is the end: take an earlier one")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Search:
        if self.kind == "b" and self.rate > 0.5:
            raise ValueError("kind b and a rate above 0.5 do not go together")
        return self


BAD = [
    ({"rate": 0}, "rate = 0 must be above 0"),
    ({"rate": 1.5}, "rate = 1.5 must be at most 1"),
    ({"rate": "x"}, 'rate = "x" must be a valid number'),
    ({"rate": float("nan")}, "rate = NaN must be "),
    ({"rate": float("inf")}, "rate = Infinity must be "),
    ({"kind": "B"}, 'kind = "B": string should match pattern'),
    ({"kind": "z"}, "kind: z is the end: take an earlier one"),
    ({"kind": "b", "rate": 0.7}, "kind b and a rate above 0.5 do not go together"),
    ({"kid": "a"}, "kid: unknown key, did you mean 'kind'?"),
    ({"qqq": "a"}, "qqq: unknown key; the keys there are rate, kind, user, depth, more"),
    ({"depth": {"leest": 1}}, "depth.leest: unknown key, did you mean 'least'?"),
    ({"depth": {"least": -1}}, "depth.least = -1 must be at least 0"),
    ({"depth": {"words": ["a", "b", "c"]}}, 'depth.words = ["a", "b", "c"]: tuple should have at most 2 items'),
    ({"more": [{}, {"lest": 1}]}, "more.1.lest: unknown key, did you mean 'least'?"),
    ({"password": "geheim"}, "password: no password belongs into a configuration"),
    ({"depth": "//me:geheim@host"}, 'depth = "//***@host" must be '),
]


@pytest.mark.parametrize(("values", "message"), BAD)
def test_a_bad_value_is_named_with_its_key_and_what_to_write(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as in_python:
        Search(**values)
    with pytest.raises(ConfigError) as in_a_file:
        validate(Search, values, where="my.toml")
    assert message in str(in_python.value)
    assert str(in_python.value).startswith("search")
    assert str(in_a_file.value).startswith("my.toml has 1 problem:\n  ")
    assert message in str(in_a_file.value)
    for caught in (in_python, in_a_file):
        assert "geheim" not in "".join(traceback.format_exception(caught.value))


def test_the_names_that_pydantic_gives_to_the_sides_of_a_union_are_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Search, {"user": {"a": "b"}})
    assert 'user = {"a": "b"} must be a valid string\n  user.a = "b" must be a valid integer' in str(caught.value)


def test_all_problems_are_named_at_once() -> None:
    values = {"rate": 2, "depth": {"least": -1, "x": 0}}
    with pytest.raises(ConfigError, match=r"^search.rate = 2 .*; search.depth.least = -1 .*; search.depth.x: unknown"):
        Search(**values)
    with pytest.raises(ConfigError, match=r"3 problems:\n  rate = 2 .*\n  depth.least = -1 .*\n  depth.x: unknown"):
        validate(Search, values)


def test_a_file_is_taken_as_it_is_written() -> None:
    for values, message in (
        ({"rate": "0.5"}, 'rate = "0.5" must be a valid number'),
        ({"depth": {"least": 1.0}}, "depth.least = 1.0 must be a valid integer"),
        ({"depth": {"least": True}}, "depth.least = true must be a valid integer"),
        ({"depth": {"least": 2**63}}, "depth.least = 9223372036854775808 is larger than any number that TOML has"),
        ({"more": [{"least": -(2**63) - 1}]}, "more.0.least = -9223372036854775809 is larger than any number"),
    ):
        with pytest.raises(ConfigError) as caught:
            validate(Search, values)
        assert message in str(caught.value)
    assert validate(Search, {"depth": {"words": ["a"]}}).depth.words == ("a",)
    assert validate(Search, {}) == Search()


def test_a_changed_copy_is_checked_and_the_object_itself_stays() -> None:
    search = Search(rate=0.25, depth=Depth(least=3))
    changed = search.changed(kind="b")
    assert (search.kind, changed.kind, changed.rate, changed.depth.least) == ("a", "b", 0.25, 3)
    with pytest.raises(ConfigError, match=r"search.rate = 0 must be above 0"):
        search.changed(rate=0)
    with pytest.raises(ConfigError, match="do not go together"):
        changed.changed(rate=0.7)
    with pytest.raises(ConfigError, match="did you mean 'rate'"):
        search.changed(rat=0.7)
    with pytest.raises(ConfigError, match=r"search.depth.least = -1"):
        search.changed(depth={"least": -1})
    with pytest.raises(ValueError, match="frozen"):
        search.rate = 0.3  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(changed)) == changed  # noqa: S301 - ranks are started with it

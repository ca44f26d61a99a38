"""The filter language: what it reads, what it writes, and its mistakes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kg.errors import ConfigError
from recall.control.filters import Moment, Now, parse_filter, where
from recall.control.filters.expression import And, Compare, Missing, Not, Or, Within

NAMES = st.one_of(
    st.sampled_from(["year", "genre", "^sequel_of", "movie.director.person", "and", "now", "original title", "日付"]),
    st.text(st.characters(exclude_characters="`", exclude_categories=["Cs"]), min_size=1, max_size=8),
)
VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: float(repr(value))),
    st.booleans(),
    st.integers(-(10**9) + 1, 10**9 - 1).map(Now),
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(
        lambda value: Moment.of(value.replace(microsecond=0, tzinfo=UTC))
    ),
)
LEAVES = st.one_of(
    st.builds(Compare, NAMES, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), VALUES),
    st.builds(Within, NAMES, st.lists(VALUES, min_size=1, max_size=3).map(tuple)),
    st.builds(Missing, NAMES),
)
FILTERS = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.builds(Not, parts),
        st.builds(And, st.lists(parts, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(parts, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


class TestText:
    @given(FILTERS)
    def test_what_it_writes_it_reads(self, expression):
        assert parse_filter(str(expression)) == expression

    @pytest.mark.parametrize(
        ("text", "expression"),
        [
            ("year >= 1990", where("year") >= 1990),
            ("genre in [\"Drama\", 'Horror']", where("genre").within(["Drama", "Horror"])),
            ('not tagged "slow"', ~(where("tagged") == "slow")),
            ('genre not in ["Drama"]', ~where("genre").within(["Drama"])),
            ("in_stock", where("in_stock") == True),  # noqa: E712
            ("not in_stock", ~(where("in_stock") == True)),  # noqa: E712
            ("expires > now", where("expires") > Now()),
            ("added > now - 30d", where("added") > Now(-30 * 86_400)),
            ("added < 2024-05-01", where("added") < date(2024, 5, 1)),
            ("added < 2024-05-01T12:00+02:00", where("added") < datetime(2024, 5, 1, 10, tzinfo=UTC)),
            ("year is missing", where("year").missing()),
            ("year is not missing", ~where("year").missing()),
            ("`original title` == 'x'", where("original title") == "x"),
            ("price <= -1.5e2", where("price") <= -150.0),
            ("android = 1 or notes = 2", (where("android") == 1) | (where("notes") == 2)),
            (
                "a = 1 or b = 2 and not c = 3",
                (where("a") == 1) | ((where("b") == 2) & ~(where("c") == 3)),
            ),
            ("(a = 1 or b = 2) and c = 3", ((where("a") == 1) | (where("b") == 2)) & (where("c") == 3)),
        ],
    )
    def test_what_it_means(self, text, expression):
        assert parse_filter(text) == expression

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "the filter is empty"),
            ("  \n", "the filter is empty"),
            ("year >=", "ends too early"),
            ("year >= 1990 and", "ends too early"),
            ("year => 1990", "at character 7"),
            ("genre in []", "at character 11"),
            ('genre in "Drama"', "at character 10"),
            ("year ~ 1990", "at character 6, at '~'"),
            ("__import__('os').system('id')", "at character 11"),
            ('title = "open', "at character 9"),
            ("(year = 1", "ends too early"),
            ("added > 2024-13-01", "no date or time"),
            ("price > 1e999", "too large"),
            (f"price > {'9' * 5000}", "too large"),
            ('title = "\\q"', "backslash"),
            ("not " * 200 + "a", "more than 100 parts"),
            ("a = 1 or " * 20_000 + "a = 1", "more than 100,000"),
            ("year = 1990; drop", "at character 12"),
        ],
    )
    def test_mistakes_are_shown(self, text, message):
        with pytest.raises(ConfigError, match=message):
            parse_filter(text)

    def test_brackets_may_be_many(self):
        assert parse_filter("(" * 5000 + "a = 1" + ")" * 5000) == (where("a") == 1)

    def test_what_is_no_text(self):
        with pytest.raises(ConfigError, match="is a text or made by where"):
            parse_filter(5)


class TestPython:
    def test_times_are_utc_unless_they_say_more(self):
        there = timezone(timedelta(hours=2))
        assert Moment.of(datetime(2024, 5, 1, 12)) == Moment.of(datetime(2024, 5, 1, 14, tzinfo=there))
        assert str(Moment.of(date(2024, 5, 1))) == "2024-05-01T00:00:00"

    def test_numbers_of_numpy(self):
        assert (where("year") == np.int32(3)) == parse_filter("year = 3")
        assert str(where("a") < 2**80) == "a < 1.2089258196146292e+24"

    def test_joined_parts_are_flat(self):
        a, b, c = (where(name) == 1 for name in "abc")
        assert ((a & b) & c) == And((a, b, c))
        assert str(a & (b | ~c)) == "a = 1 and (b = 1 or (not c = 1))"

    def test_mistakes_are_named(self):
        year = where("year")
        with pytest.raises(ConfigError, match="join filters with &"):
            1990 <= year <= 2000  # noqa: B015
        with pytest.raises(ConfigError, match="join filters with &"):
            bool((year > 1) and (year < 5))
        with pytest.raises(ConfigError, match="in parentheses"):
            (year > 1) & 5
        for value in (None, [1], float("nan"), 3j):
            with pytest.raises(ConfigError, match="compares with"):
                year == value  # noqa: B015
        with pytest.raises(ConfigError, match=r"write \['Drama'\]"):
            where("genre").within("Drama")
        with pytest.raises(ConfigError, match="no values"):
            where("genre").within([])
        for name in ("", "a`b", 5):
            with pytest.raises(ConfigError, match="by its name"):
                where(name)

"""Queries as plain data, each of its own kind and limits, answered together as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from kg.arrays import ranges
from kg.times import utc_seconds
from recall.contracts import RULE_COLUMNS
from recall.serve.questions import Asker, Person, Query, RecommendRequest, TimedItem, Turned
from recall.serve.recommender import Recommender

QUERY = "query"  # column: the number of the query in the request
Numbered = tuple[int, Query]


def recommend_table(recommender: Recommender, request: RecommendRequest) -> Any:
    """Candidates as an Arrow table, by query and rank.

    Returns:
        Columns `query` (int64, its number in the request), `user_id` (null for somebody new), `item_id`, `score`,
        `rank`, `source`, `title` where titles are asked for, `round` and `moves` where the run has rules, and a column
        for each channel where its scores are asked for.
    """
    recommender = turned(recommender, request)
    distinct: dict[str, list[int]] = {}
    for number, query in enumerate(request.queries):
        distinct.setdefault(repr(query), []).append(number)
    asked = [(numbers[0], request.queries[numbers[0]]) for numbers in distinct.values()]
    tables = [
        (_of_users if is_user else _of_people)(recommender, request, queries, rule, limited=limited)
        for (is_user, rule, limited, _), queries in _groups(request, asked).items()
    ]
    table = pa.concat_tables(tables)
    of_query = table[QUERY].to_numpy()
    order = np.argsort(of_query, kind="stable")
    numbers = of_query[order]
    # The rows of each query, again for those that are equal to it.
    first = np.empty(len(request.queries), dtype=np.int64)
    for equal in distinct.values():
        first[equal] = equal[0]
    starts, ends = np.searchsorted(numbers, first), np.searchsorted(numbers, first, side="right")
    rows = pa.array(order[ranges(starts, ends - starts)])
    answered = pa.array(np.repeat(np.arange(len(first)), ends - starts))
    table = table.take(rows).set_column(table.column_names.index(QUERY), QUERY, answered)
    names = [QUERY, "user_id", "item_id", "score", "rank", "source", *(["title"] if request.titles else [])]
    rules = () if recommender.control is None else [name for name, _ in RULE_COLUMNS]
    return table.select([*names, *rules, *(recommender.pipeline.asked if request.channel_scores else ())])


def weighted(recommender: Recommender, weights: Mapping[str, float] | None) -> Recommender:
    """The Recommender under the weights of a request; itself where the request has none."""
    return recommender if weights is None else recommender.with_weights(weights)


def turned(recommender: Recommender, request: Turned) -> Recommender:
    """The Recommender under the weights and rules of a request."""
    return weighted(recommender, request.weights).with_rules(diversity=request.diversity, long_tail=request.long_tail)


def _groups(
    request: RecommendRequest, asked: Sequence[Numbered]
) -> dict[tuple[bool, str | None, bool, int], list[Numbered]]:
    """The queries that one call can answer: alike in kind, filter and candidates, and no user twice."""
    groups: dict[tuple[bool, str | None, bool, int], list[Numbered]] = {}
    times: dict[tuple[bool, str | None, bool, str], int] = {}
    for number, query in asked:
        is_user = query.user_id is not None
        rule = request.filter if query.filter is None else query.filter
        limited = query.candidates is not None
        time = 0
        if query.user_id is not None:
            key = (is_user, rule, limited, query.user_id.strip())
            time = times[key] = times.get(key, -1) + 1
        groups.setdefault((is_user, rule, limited, time), []).append((number, query))
    return groups


def _of_users(
    recommender: Recommender, request: RecommendRequest, queries: Sequence[Numbered], rule: str | None, *, limited: bool
) -> Any:
    users = [str(query.user_id) for _, query in queries]

    def by_user(values: Sequence[Any]) -> Mapping[str, Any]:
        # An id is the same without the blanks around it, and answers have it so.
        return {name: value for user, value in zip(users, values, strict=True) for name in (user, user.strip())}

    limits: dict[str, Any] = {
        name: value if shared else by_user(value)
        for name, (value, shared) in _limits(request, [query for _, query in queries], limited=limited).items()
    }
    answer = recommender.recommend(
        users,
        **limits,
        filter=rule,
        on_unknown=request.on_unknown,
        exclude_seen=request.exclude_seen,
        titles=request.titles,
        channel_scores=request.channel_scores,
        context={QUERY: pa.array([number for number, _ in queries], type=pa.int64())},
    )
    return answer.table


def _of_people(
    recommender: Recommender, request: RecommendRequest, queries: Sequence[Numbered], rule: str | None, *, limited: bool
) -> Any:
    people = [person_arguments(query) for _, query in queries]
    given = dict.fromkeys(name for person in people for name in person)
    absent: dict[str, Any] = {"history": [], "liked": [], "disliked": [], "text": None, "attributes": {}}
    limits: dict[str, Any] = {
        name: value for name, (value, _) in _limits(request, [query for _, query in queries], limited=limited).items()
    }
    answer = recommender.recommend_for(
        **{name: [person.get(name, absent[name]) for person in people] for name in given},
        **limits,
        filter=rule,
        on_unknown="raise" if request.on_unknown == "raise" else "skip",
        exclude_seen=request.exclude_seen,
        titles=request.titles,
        channel_scores=request.channel_scores,
        context={QUERY: pa.array([number for number, _ in queries], type=pa.int64())},
    ).table
    nobody = pa.nulls(answer.num_rows, pa.string())
    return answer.set_column(answer.column_names.index("user_id"), "user_id", nobody)


def _limits(request: RecommendRequest, queries: Sequence[Query], *, limited: bool) -> dict[str, tuple[Any, bool]]:
    """k, exclude and candidates of a group: (a value for all, True), or (one for each, False)."""
    counts = [request.k if query.k is None else query.k for query in queries]
    limits: dict[str, tuple[Any, bool]] = {"k": (counts[0], True) if len(set(counts)) == 1 else (counts, False)}
    barred = request.exclude or []
    if any(query.exclude for query in queries):
        limits["exclude"] = ([[*barred, *(query.exclude or [])] for query in queries], False)
    else:
        limits["exclude"] = (barred or None, True)
    if limited:
        limits["candidates"] = ([query.candidates for query in queries], False)
    else:
        limits["candidates"] = (request.candidates, True)
    return limits


def person_arguments(asker: Asker | Person) -> dict[str, Any]:
    """The arguments that describe somebody new, without those that are not given."""
    given = {name: getattr(asker, name) for name in Person.model_fields}
    history = given["history"]
    if history and isinstance(history[0], TimedItem):
        given["history"] = [(entry.item_id, utc_seconds(entry.time)) for entry in history]
    return {name: value for name, value in given.items() if value is not None}

"""Questions put to a Recommender, and its answers as plain data. Nothing here knows HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from kg.arrays import ranges
from kg.errors import UnknownIdError
from kg.times import utc_seconds
from recall.contracts import CANDIDATE_SCHEMA, RULE_COLUMNS, PairScores
from recall.explain.drawing.reason_graph import ReasonGraph
from recall.runs.layout import CURRENT
from recall.runs.registry import RunsFolder
from recall.runs.report import Report
from recall.serve.lookup import NodeFacts
from recall.serve.recommender import Recommender
from recall.service.questions import (
    Asker,
    CypherRequest,
    ExplainRequest,
    FeedbackRequest,
    Person,
    Query,
    RecommendRequest,
    ScoreRequest,
    SimilarRequest,
    TimedItem,
)

QUERY = "query"  # column: the number of the query in the request
Numbered = tuple[int, Query]


def recommend_table(recommender: Recommender, request: RecommendRequest) -> Any:
    """Candidates as an Arrow table, by query and rank.

    Returns:
        Columns `query` (int64, its number in the request), `user_id` (null for somebody new), `item_id`, `score`,
        `rank`, `source`, `title` where titles are asked for, `round` and `moves` where the run has rules, and a column
        for each channel where its scores are asked for.
    """
    recommender = _weighted(recommender, request.weights)
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


def recommend_reply(recommender: Recommender, request: RecommendRequest, table: Any) -> dict[str, Any]:
    """The table of `recommend_table` as `recall.service.replies.RecommendReply`."""
    answers: list[dict[str, Any]] = [{"user_id": query.user_id, "candidates": []} for query in request.queries]
    plain = [*CANDIDATE_SCHEMA.names, QUERY, "title", *(name for name, _ in RULE_COLUMNS)]
    channels = [name for name in table.column_names if name not in plain]
    for row in table.drop_columns(["user_id"]).to_pylist():
        if request.channel_scores:
            row["channels"] = {name: row.pop(name) for name in channels}
        answers[row.pop(QUERY)]["candidates"].append(row)
    return _reply(recommender, answers=answers)


def similar(recommender: Recommender, request: SimilarRequest) -> dict[str, Any]:
    """See `recall.service.replies.SimilarReply`."""
    asked = list(dict.fromkeys(request.item_ids))
    answer = recommender.similar(
        asked, k=request.k, by=request.by, on_unknown=request.on_unknown, titles=request.titles
    )
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in answer:
        entry = {"item_id": row["similar_id"], "score": row["score"], "rank": row["rank"]}
        rows.setdefault(row["item_id"], []).append(entry | ({"title": row["title"]} if request.titles else {}))
    # The graph has ids without blanks around them.
    answers = [{"item_id": item, "similar": rows.get(item, rows.get(item.strip(), []))} for item in asked]
    return _reply(recommender, answers=answers)


def score(recommender: Recommender, request: ScoreRequest) -> dict[str, Any]:
    """See `recall.service.replies.ScoreReply`."""
    recommender = _weighted(recommender, request.weights)
    pairs = [(pair.user_id, pair.item_id) for pair in request.pairs]
    answer = recommender.score(pairs, on_unknown=request.on_unknown, titles=request.titles)
    plain = [*PairScores.schema.names, *(["title"] if request.titles else [])]
    channels = [name for name in answer.table.column_names if name not in plain]
    rows = [
        {name: row[name] for name in plain} | {"channels": {name: row[name] for name in channels}} for row in answer
    ]
    return _reply(recommender, scores=rows)


def explain(recommender: Recommender, request: ExplainRequest) -> dict[str, Any]:
    """See `recall.service.replies.ExplainReply`. Other users are counted, never named."""
    recommender = _weighted(recommender, request.weights)
    depth: dict[str, Any] = {"max_hops": request.max_hops, "paths": request.paths}
    if request.user_id is not None:
        explanations = recommender.explain([(request.user_id, item) for item in request.item_ids], **depth)
    else:
        explanations = recommender.explain_for(request.item_ids, **_person(request), **depth)
    rows = [explanation.to_json() | {"drawing": ReasonGraph(explanation).to_json()} for explanation in explanations]
    return _reply(recommender, explanations=rows)


def feedback(recommender: Recommender, request: FeedbackRequest) -> dict[str, Any]:
    """See `recall.service.replies.FeedbackReply`."""
    added = recommender.add_feedback(event.model_dump(exclude_none=True) for event in request.events)
    return _reply(recommender, **asdict(added))


def node(recommender: Recommender, node_type: str | None, node_id: str, *, neighbours: int) -> dict[str, Any]:
    """See `recall.service.replies.NodeReply`; an item where no type is given."""
    kind = recommender.graph.schema.item_type if node_type is None else node_type
    return _reply(recommender, **_node_data(recommender.lookup.node(kind, node_id, neighbours=neighbours)))


def history(recommender: Recommender, user_id: str, *, limit: int) -> dict[str, Any]:
    """See `recall.service.replies.HistoryReply`."""
    rows = recommender.lookup.user_history(user_id)
    return _reply(recommender, user_id=user_id, count=len(rows), history=rows[:limit])


def search(recommender: Recommender, kind: Any, text: str, *, limit: int) -> dict[str, Any]:
    """See `recall.service.replies.SearchReply`."""
    return _reply(recommender, kind=kind, hits=recommender.lookup.search(kind, text, limit=limit))


def runs(recommender: Recommender) -> dict[str, Any]:
    """See `recall.service.replies.RunsReply`; a run outside of a runs folder is alone."""
    run = recommender.run
    summaries = [] if run is None else RunsFolder.of(run).summaries()
    rows = [
        {
            "name": summary.run.name,
            "current": summary.current,
            "answers": summary.run == run,
            "created": summary.created,
            "bytes": summary.bytes,
            "metrics": summary.metrics,
            "refused": list(summary.rejected),
            "problem": summary.problem,
        }
        for summary in summaries
    ]
    return _reply(recommender, runs=rows)


def run_report(recommender: Recommender, name: str) -> dict[str, Any]:
    """See `recall.service.replies.RunReply`.

    Raises:
        UnknownIdError: there is no run of that name in the folder.
        ArtifactError: it has no report that can be read.
    """
    run = recommender.run
    if run is not None and name not in (run.name, CURRENT):
        folder = RunsFolder.of(run)
        # Compared with what is there: no name ever becomes a path.
        run = next((there for there in (*folder.runs(), *folder.rejected()) if there.name == name), None)
    if run is None:
        raise UnknownIdError(f"there is no run {name!r} in the folder of runs: GET /runs names them")
    return _reply(recommender, name=run.name, report=Report.load(run).to_json())


def cypher(recommender: Recommender, request: CypherRequest, *, seconds: float) -> dict[str, Any]:
    """See `recall.service.replies.CypherReply`."""
    return _reply(recommender, rows=recommender.cypher(request.query, request.parameters, timeout=seconds))


def run_name(recommender: Recommender) -> str:
    """The name of the run that a Recommender answers from."""
    return "" if recommender.run is None else recommender.run.name


def _weighted(recommender: Recommender, weights: Mapping[str, float] | None) -> Recommender:
    return recommender if weights is None else recommender.with_weights(weights)


def _reply(recommender: Recommender, **content: Any) -> dict[str, Any]:
    return {"run": run_name(recommender), **content}


def _node_data(facts: NodeFacts) -> dict[str, Any]:
    neighbours = [
        {**asdict(part), "relation": part.relation.name, "nodes": [{"id": id, "title": t} for id, t in part.nodes]}
        for part in facts.neighbours
    ]
    return {
        "type": facts.type,
        "id": facts.id,
        "title": facts.title,
        "attributes": dict(facts.attributes),
        "neighbours": neighbours,
        "liked_by": facts.liked_by,
    }


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
    people = [_person(query) for _, query in queries]
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


def _person(asker: Asker | Person) -> dict[str, Any]:
    """The arguments that describe somebody new, without those that are not given."""
    given = {name: getattr(asker, name) for name in Person.model_fields}
    history = given["history"]
    if history and isinstance(history[0], TimedItem):
        given["history"] = [(entry.item_id, utc_seconds(entry.time)) for entry in history]
    return {name: value for name, value in given.items() if value is not None}

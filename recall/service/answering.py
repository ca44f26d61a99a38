"""Questions put to a Recommender, and its answers as plain data. Nothing here knows HTTP."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from kg.errors import UnknownIdError
from recall.contracts import CANDIDATE_SCHEMA, RULE_COLUMNS, PairScores, with_channels
from recall.explain.drawing.reason_graph import drawn_json
from recall.runs.layout import CURRENT
from recall.runs.registry import RunsFolder
from recall.runs.report import Report
from recall.serve.query_answers import QUERY, person_arguments, turned, weighted
from recall.serve.questions import RecommendRequest
from recall.serve.recommender import Recommender
from recall.service.questions import CypherRequest, ExplainRequest, FeedbackRequest, ScoreRequest, SimilarRequest


def recommend_reply(recommender: Recommender, request: RecommendRequest, table: Any) -> dict[str, Any]:
    """The table of `recommend_table` as `recall.service.replies.RecommendReply`."""
    answers: list[dict[str, Any]] = [{"user_id": query.user_id, "candidates": []} for query in request.queries]
    plain = [*CANDIDATE_SCHEMA.names, QUERY, "title", *(name for name, _ in RULE_COLUMNS)]
    channels = [name for name in table.column_names if name not in plain]
    for row in table.drop_columns(["user_id"]).to_pylist():
        answers[row.pop(QUERY)]["candidates"].append(with_channels(row, channels) if request.channel_scores else row)
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
    recommender = weighted(recommender, request.weights)
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
    recommender = turned(recommender, request)
    depth: dict[str, Any] = {"max_hops": request.max_hops, "paths": request.paths, "k": request.k}
    if request.user_id is not None:
        explanations = recommender.explain([(request.user_id, item) for item in request.item_ids], **depth)
    else:
        explanations = recommender.explain_for(request.item_ids, **person_arguments(request), **depth)
    return _reply(recommender, explanations=[drawn_json(explanation) for explanation in explanations])


def feedback(recommender: Recommender, request: FeedbackRequest) -> dict[str, Any]:
    """See `recall.service.replies.FeedbackReply`."""
    added = recommender.add_feedback(event.model_dump(exclude_none=True) for event in request.events)
    return _reply(recommender, **asdict(added))


def node(recommender: Recommender, node_type: str | None, node_id: str, *, neighbours: int) -> dict[str, Any]:
    """See `recall.service.replies.NodeReply`; an item where no type is given."""
    kind = recommender.graph.schema.item_type if node_type is None else node_type
    return _reply(recommender, **recommender.lookup.node(kind, node_id, neighbours=neighbours).to_json())


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
    rules = recommender.rules if run == recommender.run else None
    return _reply(recommender, name=run.name, report=Report.load(run).to_json(), rules=rules)


def cypher(recommender: Recommender, request: CypherRequest, *, seconds: float) -> dict[str, Any]:
    """See `recall.service.replies.CypherReply`."""
    return _reply(recommender, rows=recommender.cypher(request.query, request.parameters, timeout=seconds))


def run_name(recommender: Recommender) -> str:
    """The name of the run that a Recommender answers from."""
    return "" if recommender.run is None else recommender.run.name


def _reply(recommender: Recommender, **content: Any) -> dict[str, Any]:
    return {"run": run_name(recommender), **content}

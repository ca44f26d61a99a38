"""How long the Cypher of explanations takes on both stores, beside the search in memory that it checks.

The bundled movies; each pair is a user and one of the most popular movies that the user has not seen, so the paths are
many. Every query runs once with a cold cache of plans ("first") and once more ("again"), one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.movies_data import bundled
from benchmarks.neo4j.run import Context
from kg import KnowledgeGraph
from kg.cypher.query import CypherQuery, pair_query, path_query
from kg.stores.base import Store
from kg.stores.embedded.build import write_store
from kg.stores.embedded.store import EmbeddedStore
from kg.stores.neo4j.write.load import load_into
from kg.topology.adjacency import Adjacency
from kg.topology.paths import path_exists
from kg.topology.search import PathFinder
from recall.channels import Popularity
from recall.contracts import Query
from recall.quality.assess import single

USERS, ITEMS, PATHS = 40, 5, 1000


def run(context: Context) -> list[dict[str, Any]]:
    """Latencies of pair queries and path queries."""
    graph, _ = bundled()
    adjacency = Adjacency.of(graph)
    finder = PathFinder(adjacency, max_hops=3, hub_limit=None, excluded=(graph.schema.user_type,))
    pairs = _pairs(graph)
    start = time.perf_counter()
    write_store(graph, context.folder / "graph.lbug")
    context.facts["embedded_build_seconds"] = round(time.perf_counter() - start, 2)
    context.facts["embedded_megabytes"] = round((context.folder / "graph.lbug").stat().st_size / 1e6, 1)
    paths_of_pairs = [finder.between(*_numbers(graph, adjacency, pair)) for pair in pairs]
    counts = [len(paths) for paths in paths_of_pairs]
    context.facts |= {"pairs": len(pairs), "paths_a_pair": {"median": float(np.median(counts)), "most": max(counts)}}
    every = [path for paths in paths_of_pairs for path in paths]
    chosen = [every[n] for n in np.random.default_rng(0).choice(len(every), PATHS, replace=False).tolist()]
    whole = [
        pair_query(graph, *pair, dict.fromkeys(path.shape for path in paths))
        for pair, paths in zip(pairs, paths_of_pairs, strict=True)
        if paths
    ]
    single = [path_query(graph, path) for path in chosen]
    rows = [
        {
            "system": "in memory",
            "query": "all paths of a pair",
            **_latencies(lambda pair: finder.between(*_numbers(graph, adjacency, pair)), pairs),
        },
        {"system": "in memory", "query": "one path", **_latencies(lambda path: path_exists(graph, path), chosen)},
    ]
    with EmbeddedStore(context.folder / "graph.lbug") as embedded:
        rows += _on(embedded, "embedded", whole, single, [n for n in counts if n])
    with context.open() as server:
        load_into(server, graph)
        rows += _on(server, "neo4j", whole, single, [n for n in counts if n])
    return rows


def _pairs(graph: KnowledgeGraph) -> list[tuple[str, str]]:
    active = np.unique(graph.interactions.user)
    users = active[np.linspace(0, len(active) - 1, USERS).astype(np.int64)]
    queries = Query.of_users(users, graph.users)
    table = single(Popularity(), graph).recommend(queries, k=ITEMS).to_arrow(queries.key, graph.items)
    return list(zip(table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))


def _numbers(graph: KnowledgeGraph, adjacency: Adjacency, pair: tuple[str, str]) -> tuple[int, int]:
    user, item = int(graph.users.index([pair[0]])[0]), int(graph.items.index([pair[1]])[0])
    spans = (adjacency.numbering.span(name) for name in (graph.schema.user_type, graph.schema.item_type))
    first, second = (span.start for span in spans)
    return first + user, second + item


def _on(
    store: Store,
    system: str,
    whole: Sequence[CypherQuery],
    single: Sequence[CypherQuery],
    counts: Sequence[int],
) -> list[dict[str, Any]]:
    """The rows of one store, after making sure that it finds what the memory holds."""
    rows = []
    for name, queries in (("all paths of a pair", whole), ("one path", single)):
        first = _latencies(store.query, queries)
        again = _latencies(store.query, queries)
        rows.append(
            {"system": system, "query": name, **again, **{f"first_{k}": v for k, v in first.items() if k != "n"}}
        )
    if [len(store.query(query)) for query in whole] != list(counts):
        raise RuntimeError(f"{system} finds other paths than the search in memory")
    if not all(len(store.query(query)) == 1 for query in single[:100]):
        raise RuntimeError(f"{system} does not find a path that is in memory")
    return rows


def _latencies(call: Callable[[Any], Any], arguments: Sequence[Any]) -> dict[str, Any]:
    """Milliseconds of each call."""
    taken = np.empty(len(arguments))
    for place, argument in enumerate(arguments):
        start = time.perf_counter()
        call(argument)
        taken[place] = (time.perf_counter() - start) * 1000
    p50, p95 = np.quantile(taken, [0.5, 0.95])
    return {"n": len(arguments), "p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3)}

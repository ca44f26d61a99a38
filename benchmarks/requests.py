"""What exclusions and filters cost a request, and whether they miss anything, on a million generated items.

python -m benchmarks requests [--items 1000000] [--requests 200]

The vectors lie in clusters, and users between two of them, as trained ones do; the index is the one that a refresh
would build. Recall is the share of the exact best 100 among what is allowed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.results import record
from gnn.graph.embeddings import Embeddings
from kg import KnowledgeGraph, NodeType, Relation, RelationKey, Schema
from kg.topology.adjacency import Numbering
from recall import ItemSet, Recommender
from recall.channels import LightGCNChannel
from recall.contracts import Candidates, LoadData
from recall.pipeline import Pipeline

K, DIM, USERS, LIKES = 100, 64, 1000, 20
EXCLUDED = 100_000
SHARES = (0.01, 0.1, 0.5, 0.9, 0.999)
CHECKED = 50  # requests whose recall is measured
LIKED = RelationKey("user", "liked", "item")


def main(argv: Sequence[str]) -> None:
    """Measure requests with exclusions and filters beside plain ones."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks requests", description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=200)
    arguments = parser.parse_args(argv)
    start = time.perf_counter()
    graph = generated(arguments.items)
    channel = LightGCNChannel.of(vectors(graph), LoadData.of(graph))
    built = time.perf_counter() - start
    print(f"built in {built:.0f} s: {channel.index.kind} {channel.index.parameters}", flush=True)
    rec = Recommender(graph, Pipeline.of(graph, [channel]))
    random = np.random.default_rng(1)
    users = [f"u{number}" for number in random.integers(USERS, size=arguments.requests)]
    count = min(EXCLUDED, arguments.items // 10)
    ids = graph.items.take(np.sort(random.permutation(arguments.items)[:count])).to_pylist()
    blocked = ItemSet(ids)
    words = f"{count:,} ids excluded"
    cases: list[tuple[str, Sequence[str], dict[str, Any]]] = [
        ("nothing excluded", users, {}),
        (f"{words}, an ItemSet", users, {"exclude": blocked}),
        (f"{words}, an ItemSet for each user", users, {"exclude": dict.fromkeys(users, blocked)}),
        (f"{words}, a list of strings", users[:30], {"exclude": ids}),
    ]
    cases += [(f"filter, {share:.1%} excluded", users, {"filter": f"draw >= {share}"}) for share in SHARES]
    draw = graph.nodes["item"]["draw"].to_numpy()
    barred = np.isin(np.arange(arguments.items), graph.items.index(ids))
    rows = []
    for name, asked, limits in cases:
        allowed = draw >= float(limits["filter"].split()[-1]) if "filter" in limits else np.ones(len(draw), dtype=bool)
        if "exclude" in limits:
            allowed = ~barred
        ask = partial(rec.recommend, k=K, **limits)
        rows.append({"request": name, **latency(asked, ask)})
        rows[-1]["recall"] = recall(rec, channel, allowed, asked[:CHECKED], ask)
        print(rows[-1], flush=True)
    index = {"kind": channel.index.kind, "recall": channel.index.recall, **channel.index.parameters}
    record("requests", rows, items=arguments.items, dim=DIM, k=K, index=index, build_seconds=round(built, 1))


def generated(items: int) -> KnowledgeGraph:
    """Items with an attribute that is drawn evenly from 0 to 1, and users who like some."""
    random = np.random.default_rng(0)
    names = [f"i{number:07}" for number in range(items)]
    users = np.repeat(np.arange(USERS), LIKES)
    liked = random.integers(items, size=len(users))
    schema = Schema(
        node_types={"user": NodeType(name="user"), "item": NodeType(name="item")},
        relations={LIKED: Relation(key=LIKED)},
        interaction=LIKED,
    )
    nodes = {
        "user": pa.table({"id": [f"u{number}" for number in range(USERS)]}),
        "item": pa.table({"id": names, "draw": random.random(items)}),
    }
    edges = pa.table({"src": [f"u{number}" for number in users], "dst": [names[number] for number in liked]})
    return KnowledgeGraph.build(schema, nodes, {LIKED: edges})


def vectors(graph: KnowledgeGraph) -> Embeddings:
    """Vectors of items around 2,000 centres, and of users between two of these."""
    random = np.random.default_rng(2)
    numbering = Numbering.of(graph)
    centres = random.normal(size=(2000, DIM)).astype(np.float32)
    final = np.empty((len(numbering), DIM), dtype=np.float32)
    span, items = numbering.span("item"), len(graph.items)
    final[span] = centres[random.integers(2000, size=items)]
    final[span] += 0.5 * random.standard_normal(size=(items, DIM), dtype=np.float32)
    final[span] *= random.gamma(3.0, 0.2, size=(items, 1)).astype(np.float32) + 0.5
    people = centres[random.integers(2000, size=(len(graph.users), 2))].sum(axis=1)
    final[numbering.span("user")] = people
    return Embeddings(
        numbering=numbering,
        fingerprints={name: graph.vocabulary(name).fingerprint for name in graph.nodes},
        user_type="user",
        item_type="item",
        final=final,
        item_scale=np.ones(items, dtype=np.float32),
        item_prior=np.zeros(items, dtype=np.float32),
        beta=1.0,
        prior=0.0,
    )


def latency(users: Sequence[str], ask: Callable[[list[str]], Candidates]) -> dict[str, Any]:
    """Milliseconds of each request, one at a time, after a warm-up."""
    for user in users[:5]:
        ask([user])
    taken = np.empty(len(users))
    for place, user in enumerate(users):
        start = time.perf_counter()
        ask([user])
        taken[place] = (time.perf_counter() - start) * 1000
    p50, p99 = np.quantile(taken, [0.5, 0.99])
    return {"requests": len(users), "p50_ms": float(p50), "p99_ms": float(p99)}


def recall(
    rec: Recommender,
    channel: LightGCNChannel,
    allowed: np.ndarray,
    users: Sequence[str],
    ask: Callable[[list[str]], Candidates],
) -> float:
    """Share of the exact best K of what is allowed and unseen that the answers hold."""
    hits = wanted = 0
    positions = rec.graph.users.index(list(users))
    for user, position in zip(users, positions.tolist(), strict=True):
        scores = channel.index.vectors @ channel.embeddings.users[position]
        scores[~allowed] = -np.inf
        scores[rec.pipeline.history.seen[position]] = -np.inf
        best = np.argpartition(-scores, K)[:K]
        answer = rec.graph.items.index(ask([user]).table["item_id"])
        hits += len(np.intersect1d(best, answer))
        wanted += min(K, int((scores > -np.inf).sum()))
    return hits / wanted

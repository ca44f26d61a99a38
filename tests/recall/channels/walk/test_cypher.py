"""The walk in Cypher: both stores recompute its scores path by path, and rank as it does."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kg import KnowledgeGraph, NodeType, RaggedArray, Relation, RelationKey
from kg.cypher.guard import check_read_only
from kg.stores.base import Store
from kg.stores.embedded.build import write_store
from kg.stores.embedded.store import EmbeddedStore
from kg.topology.adjacency import Numbering
from kg.topology.walk import EntityStep
from recall.channels.walk import Walk, WalkConfig
from recall.channels.walk.steps import StepTypes
from recall.channels.walk.texts import ItemTexts
from recall.contracts import REQUEST_TEXT, FitData, NoShares, PathShares, Query, StepKind
from tests.conftest import make_movie_graph
from tests.movie_relations import DIRECTOR
from tests.recall.channels.making import encode, text_features

PRODUCED = RelationKey("studio", "produced", "movie")
VISITED = RelationKey("person", "visited", "city")
MARRIED = RelationKey("person", "married_to", "person")
REMAKE = RelationKey("movie", "remake_of", "movie")
PAIRS, PEOPLE = 200, 40


@pytest.fixture(scope="module")
def graph() -> KnowledgeGraph:
    """Movies with every shape of step: numbers as ids, relations that end at movies, chains that are cut, loops."""
    plain, random = make_movie_graph(users=60, movies=36, ratings=14, seed=4), np.random.default_rng(0)
    movies, people, cities = 36, 12, 160

    def pairs(rows: list[tuple[int, int]]) -> pa.Table:
        rows = sorted(set(rows))
        return pa.table({"src": [source for source, _ in rows], "dst": [target for _, target in rows]})

    schema = plain.schema.with_(
        node_types=[
            NodeType(name="studio", key="number", key_type="integer"),
            NodeType(name="city", label="City of `birth`"),
        ],
        relations=[
            Relation(key=PRODUCED),
            Relation(key=VISITED),
            Relation(key=MARRIED),
            Relation(key=REMAKE, cypher_type="REMAKE OF"),
        ],
    )
    nodes = dict(plain.nodes)
    nodes["movie"] = nodes["movie"].set_column(0, "id", pa.array([str(100 + at) for at in range(movies)]))
    schema = schema.with_(node_types=[replace(schema.node_types["movie"], key="movie_id", key_type="integer")])
    nodes |= {
        "studio": pa.table({"id": [str(at) for at in range(4)]}),
        "city": pa.table({"id": [f"c{at:03}" for at in range(cities)]}),
    }
    edges = dict(plain.edges)
    edges[PRODUCED] = pairs([(int(random.integers(4)), movie) for movie in range(1, movies)])
    edges[VISITED] = pairs([(p, int(c)) for p in range(people) for c in random.permutation(cities)[: 10 * p]])
    edges[MARRIED] = pairs([(0, 1), (1, 0), (2, 3), (4, 4), (5, 6), (5, 7)])
    edges[REMAKE] = pairs([(3, 3), (3, 4), (4, 3), *((movie, movie - 7) for movie in range(8, movies))])
    return KnowledgeGraph(schema, nodes, edges)


def walk(graph: KnowledgeGraph, **settings: Any) -> Walk:
    """A walk in which every type of step counts, with powers of its own."""
    features = text_features(graph)
    config = WalkConfig(
        **{
            "neighbours": 12,
            "text_neighbours": 5,
            "age_decay": 0.9,
            "longest": 9,
            "user_start": 0.4,
            "user_middle": 0.3,
            "user_end": 0.2,
            "next_start": 0.5,
            "next_middle": 0.3,
            "next_end": 0.1,
            "next_decay": 0.7,
            "next_window": 3,
            "relation_start": 0.3,
            "relation_middle": 0.6,
            "relation_end": 0.2,
            "rarity": 1.5,
            "chains": True,
            "relations": ("genre", "director", "sequel_of", "remake_of", "produced"),
            **settings,
        }
    )
    data = FitData.of(graph, features=features, encode=encode)
    texts = ItemTexts.of(graph, features, None, n=config.text_neighbours)
    names = [kind.name for kind in StepTypes(graph, data.history, texts.similar).make(config)]
    weights = dict(zip(names, np.random.default_rng(1).uniform(0.5, 2.0, size=len(names)).tolist(), strict=True))
    weights["disliked"] *= -1
    return Walk(config.changed(weights={**weights, "popularity": 0.05})).fit(data)


@pytest.fixture(scope="module")
def channel(graph: KnowledgeGraph) -> Walk:
    return walk(graph)


@pytest.fixture(scope="module")
def requests(graph: KnowledgeGraph, channel: Walk) -> tuple[Query, np.ndarray]:
    """Users of the graph, and strangers with histories, attributes and texts, each with an item."""
    random, items = np.random.default_rng(2), len(graph.items)
    users = np.concatenate([random.integers(len(graph.users), size=PAIRS - PEOPLE), np.full(PEOPLE, -1)])
    history = [random.permutation(items)[: random.integers(1, 6)] for _ in range(PEOPLE)]
    attributes = [
        {DIRECTOR: random.integers(12, size=2), PRODUCED: random.integers(4, size=1)} if at % 2 else {}
        for at in range(PEOPLE)
    ]
    query = Query(
        key=[""] * PAIRS,
        user=users,
        history=RaggedArray.from_lists([*([] for _ in range(PAIRS - PEOPLE)), *history]),
        text=[*[None] * (PAIRS - PEOPLE), *("a quiet film" if at % 3 else None for at in range(PEOPLE))],
        attributes=[*({} for _ in range(PAIRS - PEOPLE)), *attributes],
    )
    return query, random.integers(items, size=PAIRS)


def ids_on_path(graph: KnowledgeGraph, nodes: np.ndarray, hidden: slice) -> Iterator[str]:
    """External ids along a path, without the text of a request and hidden nodes."""
    numbering = Numbering.of(graph)
    for node in nodes.tolist():
        if node != REQUEST_TEXT and not hidden.start <= node < hidden.stop:
            name, at = numbering.locate(node)
            yield graph.vocabulary(name).ids[at].as_py()


def paths_of(split: PathShares, graph: KnowledgeGraph, hidden: slice) -> dict[tuple[str, ...], tuple[float, int]]:
    """The shares, and the number of other users, by the step and the ids along a path without hidden nodes."""
    result: dict[tuple[str, ...], tuple[float, int]] = {}
    for step in split.steps:
        through_user = step.kind in (StepKind.USERS, StepKind.NEXT, StepKind.DISLIKE)
        for nodes, value in zip(step.nodes, step.values, strict=True):
            path = (step.name, *ids_on_path(graph, nodes, hidden))
            share, users = result.get(path, (0.0, 0))
            result[path] = (share + value, users + through_user)
    return result


def check(
    graph: KnowledgeGraph, channel: Walk, query: Query, items: np.ndarray, store: Store, *, show_users: bool
) -> set[tuple[StepKind, int]]:
    """Compare the rows of a store with the paths of the channel; returns the kinds of paths that there were."""
    hidden = slice(0, 0) if show_users else Numbering.of(graph).span("user")
    kinds = set()
    splits = channel.attribute(query, items)
    queries = channel.score_queries(query, items, show_users=show_users)
    for split, cypher, row, item in zip(splits, queries, range(len(query)), items.tolist(), strict=True):
        if isinstance(split, NoShares):
            assert cypher is None
            continue
        assert isinstance(split, PathShares)
        assert cypher is not None
        check_read_only(cypher.text)
        rows = store.query(cypher)
        expected = paths_of(split, graph, hidden)
        expected["popularity", graph.items.ids[item].as_py()] = (split.prior, 0)
        found = {(row["step"], *row["ids"]): (row["share"], row["users"]) for row in rows}
        assert len(found) == len(rows)
        # A path through an entity that every item has is there, and worth nothing.
        assert {path for path, (share, _) in found.items() if share} == {path for path in expected if expected[path][0]}
        for path, (share, users) in found.items():
            if share:
                assert share == pytest.approx(expected[path][0], rel=1e-5, abs=1e-7)
                assert users == expected[path][1]
        score = channel.score(query.take(np.array([row]))).at(np.array([[item]]))[0, 0]
        total = sum(row["share"] for row in rows)
        assert total == pytest.approx(split.score, rel=1e-6, abs=1e-6)
        assert total == pytest.approx(float(score), rel=5e-6, abs=1e-6)  # the channel adds up in float32
        kinds |= {(step.kind, len(step.shape)) for step in split.steps}
    return kinds


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_both_stores_recompute_each_path_of_200_pairs(
    graph: KnowledgeGraph, channel: Walk, requests: tuple[Query, np.ndarray], store: Store
) -> None:
    query, items = requests
    kinds = check(graph, channel, query, items, store, show_users=True)
    assert kinds >= {
        *((kind, 2) for kind in (StepKind.USERS, StepKind.NEXT, StepKind.DISLIKE, StepKind.RELATION)),
        *((StepKind.DIRECT, 1), (StepKind.TEXT, 0), (StepKind.ATTRIBUTE, 1), (StepKind.RELATION, 4)),
    }
    assert any(kind.step.cut for kind, _ in channel._steps.weighted if isinstance(kind.step, EntityStep))


def test_other_users_are_counted_and_never_named(
    graph: KnowledgeGraph, channel: Walk, requests: tuple[Query, np.ndarray], store: Store
) -> None:
    query, items = requests[0].take(np.arange(6)), requests[1][:6]
    kinds = check(graph, channel, query, items, store, show_users=False)
    assert {StepKind.USERS, StepKind.NEXT} <= {kind for kind, _ in kinds}
    for cypher in channel.score_queries(query, items):
        assert cypher is not None
        for name, value in cypher.parameters.items():
            if name.startswith("rows"):
                assert not {row.get("user") for row in value} - {None}
        assert not re.search(r"RETURN[^\n]*\bv\.", cypher.text)


def test_a_factor_scales_every_share(
    graph: KnowledgeGraph, channel: Walk, requests: tuple[Query, np.ndarray], tmp_path: Path
) -> None:
    query, items = requests[0].take(np.arange(3)), requests[1][:3]
    factors = np.array([2.0, 0.25, 1.0])
    write_store(graph, tmp_path / "graph.lbug")
    with EmbeddedStore(tmp_path / "graph.lbug") as embedded:
        for factor, scaled, plain in zip(
            factors,
            channel.score_queries(query, items, factors=factors),
            channel.score_queries(query, items),
            strict=True,
        ):
            assert scaled is not None
            assert plain is not None
            shares, alone = (
                {(row["step"], *row["ids"]): row["share"] for row in embedded.query(cypher)}
                for cypher in (scaled, plain)
            )
            assert shares == pytest.approx({path: share * factor for path, share in alone.items()})
            assert len(shares) > 5


@pytest.fixture(scope="module")
def uncut(graph: KnowledgeGraph) -> Walk:
    """The same walk, whose lists hold all neighbours and whose chains reach few entities."""
    return walk(graph, neighbours=len(graph.items), text_neighbours=len(graph.items), chains=False)


def test_both_stores_rank_as_the_walk_does(
    graph: KnowledgeGraph, uncut: Walk, requests: tuple[Query, np.ndarray], store: Store
) -> None:
    query = requests[0].take(np.array([0, 1, 2, PAIRS - 1, PAIRS - 2, PAIRS - 3]))
    history = uncut.history
    seen = history.seen.take(query.user).union(query.history)
    ranked = uncut.score(query).top(10, exclude=seen)
    for row, queries in enumerate(uncut.reached_queries(query, k=10, seen=seen)):
        assert queries is not None
        check_read_only(queries.ranked.text)
        if "neo4j" in store.name:
            answer = {entry["item_id"]: entry["score"] for entry in store.query(queries.ranked)}
        else:
            answer = ranked_parts(store.query(queries.parts), 10)
        items = graph.items.take(ranked.items[row]).to_pylist()
        assert list(answer) == items
        assert list(answer.values()) == pytest.approx(ranked.scores[row].tolist(), rel=1e-5)


def ranked_parts(rows: list[dict[str, Any]], k: int) -> dict[str, float]:
    scores: dict[str, float] = defaultdict(float)
    for row in rows:
        scores[row["item_id"]] += row["share"]
    return dict(sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))[:k])


def test_a_walk_that_starts_nowhere_has_no_query(graph: KnowledgeGraph, channel: Walk) -> None:
    stranger = Query.of_histories(["0"], RaggedArray.empty(1))
    assert channel.score_queries(stranger, np.array([3])) == [None]
    assert channel.reached_queries(stranger, k=3, seen=RaggedArray.empty(1)) == [None]


def test_disliked_examples_of_a_request_count_below_zero(
    graph: KnowledgeGraph, channel: Walk, requests: tuple[Query, np.ndarray], tmp_path: Path
) -> None:
    rows = np.arange(PAIRS - 6, PAIRS)
    query, items = requests[0].take(rows), requests[1][rows]
    disliked = [np.setdiff1d([2, 11, 17], query.history[row]) for row in range(6)]
    query = replace(query, disliked=RaggedArray.from_lists(disliked))
    write_store(graph, tmp_path / "graph.lbug")
    below = 0
    with EmbeddedStore(tmp_path / "graph.lbug") as embedded:
        answers = zip(channel.score_queries(query, items), channel.attribute(query, items), strict=True)
        for row, (cypher, split) in enumerate(answers):
            assert cypher is not None
            shares = [found["share"] for found in embedded.query(cypher)]
            score = channel.score(query.take(np.array([row]))).at(items[row].reshape(1, 1))[0, 0]
            assert sum(shares) == pytest.approx(split.score, rel=1e-6, abs=1e-6)
            assert sum(shares) == pytest.approx(float(score), rel=1e-5, abs=1e-5)
            against = sum(step.values.sum() for step in split.steps if step.kind is StepKind.DISLIKE)
            below += against < 0
    assert below == 6

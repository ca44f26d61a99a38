"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings

from gnn.graph.embeddings import Embeddings, LinearParts, item_prior, item_scale
from kg import Event, KnowledgeGraph, NodeType, PositiveRule, Relation, RelationKey, Schema
from kg.topology.adjacency import Adjacency
from tests.movie_relations import DIRECTOR, GENRE, HAS_TAG, RATED, SEQUEL, STARRING, TAGGED

if TYPE_CHECKING:  # a bare GPU machine has no driver, and no server
    from kg.stores.base import Store
    from kg.stores.neo4j.client import Neo4jStore
    from kg.stores.neo4j.connection import Neo4jConnection
    from tests.neo4j_server.server import Neo4jServer

# A machine with other work takes longer for an example, which says nothing of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def make_movie_graph(*, users: int = 30, movies: int = 40, ratings: int = 12, seed: int = 0) -> KnowledgeGraph:
    """A random graph with every kind of relation: knowledge, item to item, user events, and an attribute of events."""
    random = np.random.default_rng(seed)
    user_ids = [f"u{n}" for n in range(users)]
    movie_ids = [f"m{n}" for n in range(movies)]
    people = [f"p{n}" for n in range(movies // 3)]
    genres = ["comedy", "drama", "horror", "space opera"]
    tags = ["slow", "funny", "classic"]

    def edges(source: list[str], targets: list[str], each: int, **more: Any) -> pa.Table:
        rows = [(s, t) for s in source for t in random.choice(targets, size=each, replace=False)]
        return pa.table({"src": [s for s, _ in rows], "dst": [t for _, t in rows], **more})

    rated = edges(user_ids, movie_ids, ratings)
    count = rated.num_rows
    rated = rated.append_column("rating", pa.array(random.choice([2.0, 3.5, 4.0, 4.5, 5.0], size=count)))
    rated = rated.append_column("timestamp", pa.array(random.integers(1_000_000, 1_000_400, size=count)))
    tagged_rows = random.choice(count, size=count // 5, replace=False)
    tagged = rated.take(pa.array(np.sort(tagged_rows))).select(["src", "dst", "timestamp"])
    tag_edges = pa.table(
        {
            "src": tagged["dst"],
            "dst": pa.array(random.choice(tags, size=tagged.num_rows)),
            "user": tagged["src"],
            "timestamp": tagged["timestamp"],
        }
    )
    titles = [f"The {word} of {n}" for n, word in enumerate(random.choice(["Night", "House", "Return"], size=movies))]
    nodes = {
        "user": pa.table({"id": user_ids}),
        "movie": pa.table(
            {
                "id": movie_ids,
                "title": titles,
                "year": pa.array(random.integers(1950, 2020, size=movies)),
                "text": titles,
            }
        ),
        "genre": pa.table({"id": genres, "name": [g.title() for g in genres]}),
        "person": pa.table({"id": people, "name": [f"Person {p}" for p in people]}),
        "tag": pa.table({"id": tags, "name": tags}),
    }
    sequels = pa.table({"src": movie_ids[1:6], "dst": movie_ids[0:5]})
    schema = Schema(
        node_types={
            "user": NodeType(name="user"),
            "movie": NodeType(name="movie", text="{title} ({year})", title="title"),
            "genre": NodeType(name="genre"),
            "person": NodeType(name="person"),
            "tag": NodeType(name="tag"),
        },
        relations={
            r.key: r
            for r in (
                Relation(key=RATED, phrase="liked", event=Event()),
                Relation(key=GENRE, phrase="has genre"),
                Relation(key=DIRECTOR, phrase="is directed by"),
                Relation(key=STARRING, phrase="stars"),
                Relation(key=SEQUEL, phrase="is a sequel of"),
                Relation(key=TAGGED, phrase="tagged", event=Event()),
                Relation(key=HAS_TAG, phrase="is tagged", event=Event("user", "src")),
            )
        },
        user_type="user",
        item_type="movie",
        interaction=RATED,
        positive=PositiveRule("rating", 4.0),
    )
    return KnowledgeGraph.build(
        schema,
        nodes,
        {
            RATED: rated,
            GENRE: edges(movie_ids, genres, 2),
            DIRECTOR: edges(movie_ids, people, 1),
            STARRING: edges(movie_ids, people, 3),
            SEQUEL: sequels,
            TAGGED: tagged,
            HAS_TAG: tag_edges,
        },
    )


@pytest.fixture(scope="session")
def toy_graph() -> KnowledgeGraph:
    """The random movie graph, 30 users and 40 movies."""
    return make_movie_graph()


@pytest.fixture(scope="session")
def movie_graph() -> Callable[..., KnowledgeGraph]:
    """`movie_graph(users=, movies=, ratings=, seed=)`: random movie graphs of other sizes."""
    return make_movie_graph


def dense_propagation(graph: KnowledgeGraph, weights: dict[RelationKey, float]) -> np.ndarray:
    """A = sum_r w_r D_r^-1/2 B_r D_r^-1/2 from the edge tables, entry by entry."""
    numbering = Adjacency.of(graph).numbering
    total = np.zeros((len(numbering), len(numbering)))
    for key, weight in weights.items():
        block = np.zeros_like(total)
        for source, target in zip(*graph.positive_edges(key), strict=True):
            a, b = numbering.span(key.source).start + source, numbering.span(key.target).start + target
            block[a, b] += 1
            block[b, a] += 1
        degree = block.sum(axis=1)
        scale = np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, 1)), 0)
        total += weight * scale[:, None] * block * scale[None, :]
    return total


def make_linear_model(
    graph: KnowledgeGraph,
    *,
    seed: int = 0,
    alphas: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1),
    beta: float = 0.5,
    prior: float = 0.0,
    relations: tuple[RelationKey, ...] | None = None,
    dim: int = 6,
    base: np.ndarray | None = None,
    **more: Any,
) -> Embeddings:
    """A linear model with random layer-0 vectors, propagated by a dense matrix in float64 and stored in float32."""
    random = np.random.default_rng(seed)
    keys = tuple(graph.edges) if relations is None else relations
    weights = random.dirichlet(np.ones(len(keys))).astype(np.float32)
    A = dense_propagation(graph, dict(zip(keys, weights.astype(float), strict=True)))
    E = (random.normal(size=(len(A), dim)) if base is None else base).astype(np.float32)
    layer = np.array(alphas, dtype=np.float32)
    powers = [E.astype(np.float64)]
    for _ in range(len(alphas)):
        powers.append(A @ powers[-1])
    final = sum((float(layer[n]) * powers[n] for n in range(len(layer))), np.zeros_like(powers[0]))
    tail = sum((float(layer[n]) * powers[n - 1] for n in range(1, len(layer))), np.zeros_like(powers[0]))
    tail2 = sum((float(layer[n]) * powers[n - 2] for n in range(2, len(layer))), np.zeros_like(powers[0]))
    numbering = Adjacency.of(graph).numbering
    stored = final.astype(np.float32)
    return Embeddings(
        numbering=numbering,
        fingerprints={name: graph.vocabulary(name).fingerprint for name in graph.nodes},
        user_type=graph.schema.user_type,
        item_type=graph.schema.item_type,
        final=stored,
        item_scale=item_scale(stored[numbering.span(graph.schema.item_type)], beta),
        item_prior=item_prior(np.bincount(graph.interactions.item, minlength=len(graph.items)), prior),
        beta=beta,
        prior=prior,
        linear=LinearParts(
            base=E,
            tail=tail.astype(np.float32),
            tail2=tail2.astype(np.float32),
            alphas=layer,
            relations=keys,
            weights=weights,
            **more,
        ),
    )


@pytest.fixture(scope="session")
def linear_model() -> Callable[..., Embeddings]:
    """`linear_model(graph, seed=, beta=, prior=, ...)` as `make_linear_model`: random vectors, densely propagated."""
    return make_linear_model


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests on the shared Neo4j server go to one worker, one after the other; not those with one of their own."""
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        alone = "own_neo4j_server" in used and not used & {"neo4j_connection", "neo4j_store", "store"}
        if item.get_closest_marker("neo4j") and not alone:
            item.add_marker(pytest.mark.xdist_group("neo4j"))


def _no_server() -> None:
    """Skip where there is no server, with a line that says so; where one is required, fail."""
    from tests.neo4j_server.server import missing

    if lacking := missing():
        message = f"no Neo4j server: NEO4J_URI is not set and there is {lacking}"
        if os.environ.get("GRAPHRECALL_REQUIRE_NEO4J") == "1":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="session")
def neo4j_connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neo4jConnection]:
    """A real Neo4j server: that of NEO4J_URI (its content is removed by the tests!), else one started from Maven.

    The password is in the variable that `password_env` names.
    """
    from kg.stores.neo4j.connection import Neo4jConnection
    from tests.neo4j_server.server import Neo4jServer

    if uri := os.environ.get("NEO4J_URI"):
        yield Neo4jConnection(uri=uri, user=os.environ.get("NEO4J_USER", "neo4j"))
        return
    _no_server()
    with Neo4jServer(tmp_path_factory.mktemp("neo4j")) as server:
        os.environ["GRAPHRECALL_TEST_PASSWORD"] = server.password
        yield Neo4jConnection(uri=server.uri, password_env="GRAPHRECALL_TEST_PASSWORD")  # noqa: S106


@pytest.fixture
def neo4j_store(neo4j_connection: Neo4jConnection) -> Iterator[Neo4jStore]:
    """An empty database on the shared server."""
    with neo4j_connection.open() as store:
        empty(store)
        yield store


@pytest.fixture(scope="module", params=["embedded", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def store(
    request: pytest.FixtureRequest, graph: KnowledgeGraph, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """Each store in turn, holding the graph of the module's own fixture `graph`."""
    if request.param == "embedded":
        from kg.stores.embedded.build import write_store
        from kg.stores.embedded.store import EmbeddedStore

        file = tmp_path_factory.mktemp("store") / "graph.lbug"
        write_store(graph, file)
        with EmbeddedStore(file) as embedded:
            yield embedded
        return
    from kg.stores.neo4j.write.load import load_into

    connection: Neo4jConnection = request.getfixturevalue("neo4j_connection")
    with connection.open() as server:
        empty(server)
        load_into(server, graph)
        yield server


@pytest.fixture
def own_neo4j_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neo4jServer]:
    """A started server of one's own, for tests that stop or kill it; open it by `connect(server)`."""
    from tests.neo4j_server.server import Neo4jServer

    _no_server()
    with Neo4jServer(tmp_path_factory.mktemp("own-neo4j"), heap="512m") as server:
        yield server


def connect(server: Neo4jServer, **more: Any) -> Neo4jStore:
    """A store on a server of one's own."""
    from kg.stores.neo4j.connection import Neo4jConnection

    os.environ["GRAPHRECALL_OWN_PASSWORD"] = server.password
    return Neo4jConnection(uri=server.uri, password_env="GRAPHRECALL_OWN_PASSWORD", **more).open()  # noqa: S106


def empty(store: Neo4jStore) -> None:
    """Remove all nodes, constraints and indexes but the token lookups."""
    store.auto_commit("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS")
    for row in store.auto_commit("SHOW CONSTRAINTS YIELD name"):
        store.auto_commit(f"DROP CONSTRAINT `{row['name']}`")
    for row in store.auto_commit("SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP' RETURN name"):
        store.auto_commit(f"DROP INDEX `{row['name']}`")

"""The bundled movies: RDF, RDF in another order, and the database that the demo was loaded into are one graph."""

from __future__ import annotations

import gzip
import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ingest import DataSettings, build_graph
from kg import KnowledgeGraph
from recall.config.deployment import RefreshConfig, load_config

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore
    from kg.stores.neo4j.connection import Neo4jConnection

MOVIES = Path(__file__).resolve().parents[4] / "examples" / "movies"


def built(config: RefreshConfig, base: Path, neo4j: Neo4jConnection | None = None) -> KnowledgeGraph:
    sections = DataSettings(graph=config.graph, sources=config.sources, quality=config.quality, neo4j=neo4j)
    return build_graph(sections, base=base)[0]


def shuffled(folder: Path) -> Path:
    """The bundle with the lines of each file in an order of chance."""
    chance = random.Random(7)  # noqa: S311
    for name in ("movies.nt.gz", "ratings.csv.gz", "tags.csv.gz"):
        lines = gzip.decompress((MOVIES / name).read_bytes()).decode().splitlines()
        head, rest = lines[: name.endswith(".csv.gz")], lines[name.endswith(".csv.gz") :]
        chance.shuffle(rest)
        (folder / name).write_bytes(gzip.compress("\n".join([*head, *rest, ""]).encode(), compresslevel=1))
    return folder


def same(one: KnowledgeGraph, other: KnowledgeGraph) -> None:
    assert one.counts() == other.counts()
    assert list(one.nodes) == list(other.nodes)
    assert list(one.edges) == list(other.edges)
    for name in one.nodes:
        assert one.nodes[name].equals(other.nodes[name]), name
    for key in one.edges:
        assert one.edges[key].equals(other.edges[key]), str(key)
        left, right = (graph.schema.relations[key] for graph in (one, other))
        assert replace(left, predicate=None) == replace(right, predicate=None)
    for name, node_type in one.schema.node_types.items():
        left, right = (
            replace(kind, rdf_class=None, predicates={}) for kind in (node_type, other.schema.node_types[name])
        )
        assert left == right
    assert one.schema.positive == other.schema.positive
    assert one.schema.interaction == other.schema.interaction


@pytest.mark.neo4j
def test_the_demo_from_neo4j_is_the_demo_from_rdf_in_any_order(
    neo4j_connection: Neo4jConnection, neo4j_store: Neo4jStore, tmp_path: Path
) -> None:
    from kg.stores.neo4j.write.load import load_into

    demo = load_config(MOVIES / "demo.toml")
    wanted = built(demo, MOVIES)
    same(built(demo, shuffled(tmp_path)), wanted)
    load_into(neo4j_store, wanted)
    config = load_config(MOVIES / "neo4j.toml")
    same(built(config, MOVIES, neo4j_connection), wanted)
    own = ("graph", "sources", "neo4j")
    for section in type(config).model_fields:
        assert section in own or getattr(config, section) == getattr(demo, section), section

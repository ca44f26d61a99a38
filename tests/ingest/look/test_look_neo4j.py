"""A database that nobody has described: its catalog into a proposal, and a real one into a graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ingest import DataSettings, GraphBuilder
from ingest.look import Proposal, propose
from kg.errors import InvalidDataError
from kg.stores.neo4j.read.catalog import Catalog, LabelFacts, TypeFacts, discover
from recall.config.draft import as_toml, check_draft

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore

URI = {"uri": "neo4j://localhost:7687"}
LABELS = {
    "Customer": LabelFacts(count=5, properties={"customerId": ("String",), "name": ("String",)}),
    "Product": LabelFacts(count=9, properties={"sku": ("String",), "title": ("String",)}, unique=("sku",)),
    "Brand": LabelFacts(count=2, properties={"name": ("String",)}),
    "Country": LabelFacts(count=2, properties={"area": ("Double",)}),
}
TYPES = {
    "BOUGHT": TypeFacts(
        count=20, properties={"at": ("Long",), "stars": ("Long",)}, sources={"Customer": 20}, targets={"Product": 20}
    ),
    "KNOWS": TypeFacts(count=90, sources={"Customer": 90}, targets={"Customer": 90}),
    "MADE_BY": TypeFacts(count=9, sources={"Product": 9}, targets={"Brand": 9}),
}


def keys(proposal: Proposal, name: str) -> dict[str, object]:
    (section,) = [entry for entry in proposal.sections if entry.name == name]
    return section.keys


def test_labels_and_types_by_their_names(tmp_path: Path) -> None:
    proposal = propose([], catalog=Catalog(labels=LABELS, types=TYPES), connection=dict(URI))
    assert proposal.graph.keys == {"user": "customer", "item": "product"}
    assert keys(proposal, "neo4j") == URI
    assert keys(proposal, "sources.neo4j") == {
        "interactions": [{"type": "BOUGHT", "rating": "stars", "timestamp": "at"}]
    }
    assert keys(proposal, "graph.nodes.customer") == {"key": "customerId"}
    assert keys(proposal, "graph.nodes.brand") == {"key": "name"}
    assert proposal.doubts == ["no property of Country looks like an id: write it into graph.nodes.country.key"]
    assert not [entry for entry in proposal.sections if entry.name in ("graph.nodes.product", "split")]
    assert any("BOUGHT.stars looks like grades" in doubt for doubt in proposal.graph.doubts)
    config = check_draft(as_toml(proposal), base=tmp_path, name="draft")
    assert config.sources.neo4j is not None
    assert config.sources.neo4j.interactions[0].type == "BOUGHT"


@pytest.mark.parametrize(
    ("labels", "types", "message"),
    [
        ({}, {}, "no label of the database looks like users: it holds nothing"),
        ({"Product": LABELS["Product"]}, {}, "no label of the database looks like users: it holds 9 Product"),
        (LABELS, {"MADE_BY": TYPES["MADE_BY"], "KNOWS": TYPES["KNOWS"]}, "no relationship leads from Customer"),
    ],
)
def test_a_database_without_what_users_did(
    labels: dict[str, LabelFacts], types: dict[str, TypeFacts], message: str
) -> None:
    with pytest.raises(InvalidDataError, match=message):
        propose([], catalog=Catalog(labels=labels, types=types), connection=dict(URI))


@pytest.mark.neo4j
def test_a_real_database(neo4j_store: Neo4jStore, tmp_path: Path) -> None:
    neo4j_store.write(
        "UNWIND range(1, 4) AS u MERGE (user:User {id: 'u' + u}) WITH user, u UNWIND range(1, 3) AS m "
        "MERGE (movie:Movie {id: 'm' + m}) ON CREATE SET movie.title = 'Film ' + m "
        "CREATE (user)-[:RATED {rating: u, timestamp: 1500000000 + m}]->(movie)"
    )
    neo4j_store.write("MATCH (m:Movie) MERGE (g:Genre {id: 'g'}) CREATE (m)-[:GENRE]->(g)")
    proposal = propose([], catalog=discover(neo4j_store), connection=dict(URI))
    config = check_draft(as_toml(proposal), base=tmp_path, name="draft")
    settings = DataSettings(graph=config.graph, sources=config.sources, neo4j=config.neo4j)
    graph, _ = GraphBuilder(settings.graph).add_neo4j(neo4j_store, source=settings.sources.neo4j).build()
    assert {str(key): table.num_rows for key, table in graph.edges.items()} == {
        "(user)-[rated]->(movie)": 12,
        "(movie)-[genre]->(genre)": 3,
    }

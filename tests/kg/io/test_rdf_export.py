from __future__ import annotations

import datetime
import gzip
import math
import re
import warnings
from pathlib import Path

import pyarrow as pa
import pyoxigraph
import pytest
import rdflib
from hypothesis import given, settings
from hypothesis import strategies as st

from kg import Event, KnowledgeGraph, NodeType, Relation, RelationKey, Schema
from kg.errors import InvalidDataError
from kg.io.rdf import node_iri, to_rdflib, write_ntriples

RDF, SDO, XSD = (rdflib.Namespace(str(own)) for own in (rdflib.RDF, rdflib.SDO, rdflib.XSD))
OWN = "urn:graphrecall:"
RATED = RelationKey("user", "rated", "item")
SIMILAR = RelationKey("item", "similar to", "item")
TAGGED = RelationKey("item", "tagged", "tag")
HOSTILE = [
    "",
    " a b ",
    '"\\<>',
    "ü€😀",
    "a\nb\r\t\x00\x07",
    "http://x.org/a b",
    "http://x.org/%zz",
    "a:b",
    "a%3Ab",
    "\u2028",
]


def hostile_graph() -> KnowledgeGraph:
    schema = Schema(
        {
            "user": NodeType(name="user"),
            "item": NodeType(name="item", rdf_class="https://schema.org/Movie"),
            "tag": NodeType(name="tag"),
        },
        {
            RATED: Relation(key=RATED, event=Event(), predicate="http://x.org/rated"),
            SIMILAR: Relation(key=SIMILAR, predicate="http://x.org/similar"),
            TAGGED: Relation(key=TAGGED, event=Event("user", "src")),
        },
        interaction=RATED,
    )
    count = len(HOSTILE)
    items = pa.table(
        {
            "id": HOSTILE,
            "name": HOSTILE,
            "lists": pa.array([[], ["p", "q", None], None, ["p"]] + [None] * (count - 4)),
            "year": pa.array([1999, -5] + [None] * (count - 2)),
            "score": pa.array([0.1, math.nan, math.inf, -math.inf, 1e300] + [None] * (count - 5)),
            "good": pa.array([True, False] + [None] * (count - 2)),
            "day": pa.array([datetime.date(2020, 1, 2)] + [None] * (count - 1)),
            "moment": pa.array([1_500_000] + [None] * (count - 1), pa.timestamp("us", "UTC")),
            'odd "<>': pa.array([{"a": 1}] + [None] * (count - 1)),
        }
    )
    return KnowledgeGraph.build(
        schema,
        {"user": pa.table({"id": ["u1", "http://x.org/u/2"]}), "item": items, "tag": pa.table({"id": ["slow"]})},
        {
            RATED: pa.table(
                {
                    "src": ["u1", "u1", "http://x.org/u/2"],
                    "dst": ["ü€😀", "ü€😀", ""],
                    "rating": [4.5, 4.5, None],
                    "timestamp": [1_000_000_000, 1_000_000_001, None],
                    "part": ["train", "test", None],
                }
            ),
            SIMILAR: pa.table({"src": ["", "", "a:b"], "dst": ["a:b", "a:b", ""]}),
            TAGGED: pa.table({"src": ["a:b"], "dst": ["slow"], "user": ["u1"], "timestamp": [7]}),
        },
    )


def strictly_read(path: Path) -> set[str]:
    """Read by another parser than the one that exports, which refuses every invalid IRI and escape."""
    with path.open("rb") as stream:
        return {str(quad) for quad in pyoxigraph.parse(stream, format=pyoxigraph.RdfFormat.N_TRIPLES)}


def test_round_trip_of_hostile_ids(tmp_path: Path) -> None:
    graph = hostile_graph()
    lines = write_ntriples(graph, tmp_path / "g.nt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parsed = rdflib.Graph().parse(tmp_path / "g.nt", format="nt")
        exported = to_rdflib(graph)
    # One similar edge is there twice, and so is its line.
    assert lines == len(parsed) + 1 == (tmp_path / "g.nt").read_bytes().count(b"\n")
    assert set(parsed) == set(exported)
    assert len(strictly_read(tmp_path / "g.nt")) == len(parsed)

    subject = {id: rdflib.URIRef(node_iri("item", id)) for id in HOSTILE}
    assert len(set(subject.values())) == len(HOSTILE)
    for id, iri in subject.items():
        assert (iri, RDF.type, rdflib.URIRef("https://schema.org/Movie")) in parsed
        assert [str(value) for value in parsed.objects(iri, SDO.identifier)] == [id]
        assert [str(value) for value in parsed.objects(iri, rdflib.URIRef(OWN + "attribute:name"))] == [id]
    assert len(set(parsed.subjects(RDF.type, rdflib.URIRef(OWN + "class:user")))) == 2


def test_values_keep_their_types() -> None:
    graph = to_rdflib(hostile_graph())

    def values(id: str, name: str) -> list[rdflib.Literal]:
        return sorted(graph.objects(rdflib.URIRef(node_iri("item", id)), rdflib.URIRef(OWN + "attribute:" + name)))

    first = HOSTILE[0]
    assert values(first, "year") == [rdflib.Literal("1999", datatype=XSD.integer)]
    assert values(first, "score") == [rdflib.Literal("0.1", datatype=XSD.double)]
    assert values(first, "good") == [rdflib.Literal("true", datatype=XSD.boolean)]
    assert values(first, "day") == [rdflib.Literal("2020-01-02", datatype=XSD.date)]
    assert [str(v) for v in values(first, "moment")] == ["1970-01-01T00:00:01.500000+00:00"]
    assert values(first, "lists") == []
    assert values(first, "odd%20%22%3C%3E") == [rdflib.Literal('{"a": 1}')]
    assert [str(v) for v in values(HOSTILE[1], "lists")] == ["p", "q"]
    assert [str(values(id, "score")[0]).upper() for id in HOSTILE[1:4]] == ["NAN", "INF", "-INF"]


def test_plain_edges_reviews_and_statements() -> None:
    graph = hostile_graph()
    exported = to_rdflib(graph)
    similar = rdflib.URIRef("http://x.org/similar")
    item = {id: rdflib.URIRef(node_iri("item", id)) for id in HOSTILE}
    assert set(exported.subject_objects(similar)) == {(item[""], item["a:b"]), (item["a:b"], item[""])}

    reviews = set(exported.subjects(RDF.type, SDO.Review))
    assert len(reviews) == 3
    ratings = exported.query(
        """SELECT ?user ?item ?value ?time WHERE { ?r a <https://schema.org/Review> .
        ?r <https://schema.org/author> ?user ; <https://schema.org/itemReviewed> ?item .
        OPTIONAL { ?r <https://schema.org/dateCreated> ?time }
        OPTIONAL { ?r <https://schema.org/reviewRating>/<https://schema.org/ratingValue> ?value } }"""
    )
    user = rdflib.URIRef(node_iri("user", "u1"))
    found = {(row.user, row.item, row.value and row.value.toPython(), row.time and str(row.time)) for row in ratings}
    assert found == {
        (user, item["ü€😀"], 4.5, "2001-09-09T01:46:40+00:00"),
        (user, item["ü€😀"], 4.5, "2001-09-09T01:46:41+00:00"),
        (rdflib.URIRef("http://x.org/u/2"), item[""], None, None),
    }
    assert len(set(exported.subjects(RDF.type, SDO.Rating))) == 2
    assert not list(exported.subject_objects(rdflib.URIRef("http://x.org/rated")))

    tagged = rdflib.URIRef(OWN + "relation:tagged")
    tag = rdflib.URIRef(node_iri("tag", "slow"))
    assert list(exported.subject_objects(tagged)) == [(item["a:b"], tag)]
    (statement,) = exported.subjects(RDF.type, RDF.Statement)
    assert exported.value(statement, RDF.predicate) == tagged
    assert exported.value(statement, RDF.object) == tag
    assert exported.value(statement, rdflib.URIRef(OWN + "attribute:user")) == user
    assert exported.value(statement, rdflib.URIRef(OWN + "attribute:timestamp")).toPython() == 7


def test_implicit_interactions_become_actions_or_plain_triples() -> None:
    base = hostile_graph()
    timed = base.edges[RATED].drop(["rating", "part"])
    acted = to_rdflib(KnowledgeGraph(base.schema, base.nodes, {RATED: timed}))
    assert len(set(acted.subjects(RDF.type, SDO.Action))) == 3
    assert len(list(acted.subject_objects(SDO.startTime))) == 2
    assert len(list(acted.subject_objects(SDO.agent))) == len(list(acted.subject_objects(SDO.object))) == 3
    bare = to_rdflib(KnowledgeGraph(base.schema, base.nodes, {RATED: timed.drop(["timestamp"])}))
    assert len(list(bare.subject_objects(rdflib.URIRef("http://x.org/rated")))) == 2


def test_counts_of_the_toy_graph(toy_graph: KnowledgeGraph, tmp_path: Path) -> None:
    exported = to_rdflib(toy_graph)
    for name, count in toy_graph.counts()["nodes"].items():
        assert len(set(exported.subjects(RDF.type, rdflib.URIRef(f"{OWN}class:{name}")))) == count
    key = toy_graph.schema.interaction_key
    assert len(set(exported.subjects(RDF.type, SDO.Review))) == toy_graph.edges[key].num_rows
    for name in ("genre", "director", "starring", "sequel_of"):
        rows = next(table.num_rows for k, table in toy_graph.edges.items() if k.name == name)
        assert len(list(exported.subject_objects(rdflib.URIRef(f"{OWN}relation:{name}")))) == rows
    lines = write_ntriples(toy_graph, tmp_path / "g.nt.gz")
    text = gzip.decompress((tmp_path / "g.nt.gz").read_bytes())
    assert lines >= len(exported) == len(rdflib.Graph().parse(data=text, format="nt"))


def test_without_interactions_nobody_is_named(toy_graph: KnowledgeGraph, tmp_path: Path) -> None:
    write_ntriples(toy_graph, tmp_path / "items.nt", interactions=False)
    text = (tmp_path / "items.nt").read_text()
    assert not re.search(r"node:user:|Review|relation:(rated|tagged|has_tag)", text)
    assert "relation:director" in text
    assert len(to_rdflib(toy_graph, interactions=False)) == text.count("\n")


def test_compressed_is_the_same_and_repeatable(toy_graph: KnowledgeGraph, tmp_path: Path) -> None:
    for name in ("a.nt", "b.nt.gz", "c.nt.gz"):
        write_ntriples(toy_graph, tmp_path / name)
    assert gzip.decompress((tmp_path / "b.nt.gz").read_bytes()) == (tmp_path / "a.nt").read_bytes()
    assert (tmp_path / "b.nt.gz").read_bytes() == (tmp_path / "c.nt.gz").read_bytes()


def test_blocks_number_edges_on(tmp_path: Path, toy_graph: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = set(to_rdflib(toy_graph))
    monkeypatch.setattr("kg.io.rdf.BLOCK", 7)
    write_ntriples(toy_graph, tmp_path / "g.nt")
    assert set(rdflib.Graph().parse(tmp_path / "g.nt", format="nt")) == whole


@settings(max_examples=150)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["", "http://", "https://x.org/", "urn:x-y:"]),
)
def test_every_node_iri_is_valid_and_names_one_id(text: str, prefix: str) -> None:
    iri = node_iri("movie", prefix + text)
    pyoxigraph.NamedNode(iri)  # raises on an invalid IRI
    assert iri.startswith(OWN) == (iri != prefix + text)
    line = f"<{iri}> <{iri}> <{iri}> .\n"
    assert len(list(pyoxigraph.parse(line.encode(), format=pyoxigraph.RdfFormat.N_TRIPLES))) == 1


def test_usual_iris_stay_what_they_are() -> None:
    for iri in (
        "http://dbpedia.org/resource/Alien_(film)",
        "http://dbpedia.org/resource/Amélie",
        "https://example.org:8080/a?b=c&d#e",
        "http://www.wikidata.org/entity/Q103569",
        "urn:isbn:0451450523",
    ):
        assert node_iri("movie", iri) == iri
    assert node_iri("a movie", "x/y") == OWN + "node:a%20movie:x%2Fy"


@pytest.mark.parametrize("wrong", ["rated", "http://x.org/a b", "http://x.org/> <urn:x:y", "javascript:alert(1)"])
def test_a_schema_without_iris_is_refused(wrong: str, tmp_path: Path) -> None:
    graph = hostile_graph()
    for schema in (
        graph.schema.with_(relations=[Relation(key=SIMILAR, predicate=wrong)]),
        graph.schema.with_(node_types=[NodeType(name="item", rdf_class=wrong)]),
    ):
        with pytest.raises(InvalidDataError, match="is no http"):
            write_ntriples(KnowledgeGraph(schema, graph.nodes, graph.edges), tmp_path / "g.nt")
        assert list(tmp_path.iterdir()) == []


def test_a_node_keeps_the_iri_and_the_predicates_of_its_source() -> None:
    schema = Schema(
        node_types={"movie": NodeType(name="movie", predicates={"name": "https://schema.org/name"})},
        relations={},
        item_type="movie",
    )
    table = pa.table({"id": ["1", "2"], "iri": ["https://movies.example/1", "no iri"], "name": ["Alien", "Heat"]})
    graph = to_rdflib(KnowledgeGraph(schema, {"movie": table}, {}))
    name = rdflib.URIRef("https://schema.org/name")
    assert graph.value(rdflib.URIRef("https://movies.example/1"), name) == rdflib.Literal("Alien")
    assert graph.value(rdflib.URIRef("urn:graphrecall:node:movie:2"), name) == rdflib.Literal("Heat")
    assert Schema.from_json(schema.to_json()) == schema

from __future__ import annotations

from typing import Any

import pytest

from ingest.settings import DataSettings
from kg.errors import ConfigError
from kg.settings import validate


def settings(**sections: Any) -> DataSettings:
    return validate(DataSettings, sections, where="my.toml")


def test_defaults_and_a_full_configuration() -> None:
    assert settings().quality.max_set_aside == 0.1
    full = settings(
        graph={
            "user": "reader",
            "item": "book",
            "positive": "rating >= 4",
            "nodes": {"book": {"key": "https://example.org/book/{id}", "text": "{name}"}},
            "relations": {"author": {"phrase": "was written by"}},
            "drop": ["https://schema.org/image"],
        },
        sources={
            "rdf": [{"files": ["a.nt", "b.ttl"], "languages": ["de", ""]}],
            "interactions": [{"relation": "rated", "train": ["a"], "test": ["b"], "format": "lists"}],
            "events": [
                {
                    "relation": "tagged",
                    "files": ["t.csv"],
                    "columns": {"value": "tag"},
                    "value_type": "tag",
                    "value_relation": "has_tag",
                }
            ],
            "attributes": [{"node": "book", "files": ["books.csv"], "lists": {"subject": "|"}}],
            "edges": [{"source": "book", "relation": "author", "target": "person", "files": ["e.csv"], "split": ";"}],
        },
        quality={"max_set_aside": 0, "strict": True},
    )
    assert full.sources.edges[0].target == "person"
    assert full.graph.nodes["book"].key == "https://example.org/book/{id}"


def neo4j(**source: Any) -> dict[str, Any]:
    return {"neo4j": {"uri": "neo4j://localhost:7687"}, "sources": {"neo4j": source}}


def test_a_key_may_be_a_property_of_a_neo4j_database() -> None:
    full = settings(graph={"nodes": {"film": {"key": "movieId"}}}, **neo4j(labels=["Film"]))
    assert full.graph.nodes["film"].key == "movieId"
    assert full.neo4j is not None
    assert full.neo4j.uri == "neo4j://localhost:7687"
    assert full.sources.neo4j is not None
    assert full.sources.neo4j.labels == ["Film"]
    assert full.sources.neo4j.relationships is None
    assert DataSettings(graph=full.graph, sources=full.sources, neo4j=full.neo4j) == full


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"graph": {"usr": "a"}}, ["graph.usr", "did you mean 'user'"]),
        ({"grph": {}}, ["grph", "did you mean 'graph'"]),
        ({"sources": {"rdf": [{"fils": ["a"], "files": ["b"]}]}}, ["sources.rdf.0.fils", "did you mean 'files'"]),
        ({"sources": {"events": [{"zzz": 1}]}}, ["zzz: unknown key; the keys there are", "relation, files"]),
        ({"graph": {"user": 3}}, ["graph.user = 3", "string"]),
        ({"quality": {"strict": "yes"}}, ['quality.strict = "yes"', "bool"]),
        ({"quality": {"max_set_aside": 1.5}}, ["quality.max_set_aside = 1.5"]),
        ({"sources": {"rdf": [{}]}}, ["sources.rdf.0.files: missing"]),
        ({"sources": {"rdf": [{"files": []}]}}, ["sources.rdf.0.files"]),
        ({"sources": {"rdf": [{"files": ["a"], "format": "json"}]}}, ['format = "json"', "'turtle'"]),
        ({"graph": {"positive": "rating > 3"}}, ["graph.positive: ", "'rating > 3'", "rating >= 4"]),
        ({"graph": {"user": "x", "item": "x"}}, ["two node types"]),
        ({"graph": {"item": "My Film"}}, ["graph.item"]),
        ({"graph": {"nodes": {"Film": {}}}}, ["graph.nodes", "lower_snake_case"]),
        ({"graph": {"nodes": {"film": {"key": "movieId"}}}}, ["graph.nodes.film.key", "IRI"]),
        ({"graph": {"nodes": {"film": {"text": "{title"}}}}, ["graph.nodes.film.text", "belongs to no name"]),
        ({"sources": {"interactions": [{}]}}, ["either files, or train"]),
        ({"sources": {"interactions": [{"train": ["a"]}]}}, ["both train and test"]),
        ({"sources": {"interactions": [{"files": ["a"], "test": ["b"]}]}}, ["either files, or train"]),
        ({"sources": {"events": [{"relation": "t", "files": ["a"], "value_type": "tag"}]}}, ["belong together"]),
        ({"sources": {"neo4j": {}}}, ["sources.neo4j needs the section neo4j", "neo4j://host:7687"]),
        ({"neo4j": {"uri": "http://h"}}, ["neo4j", "'http://h' is no address"]),
        ({"neo4j": {"uri": "neo4j://h", "pasword_env": "X"}}, ["neo4j.pasword_env"]),
        ({"neo4j": {"uri": "neo4j://h", "timeout": "9"}}, ["neo4j.timeout", "number"]),
        (neo4j(interactions=[{}]), ["interactions.0", "type, through (with user_type and item_type) or query"]),
        (neo4j(interactions=[{"type": "A", "query": "B"}]), ["give one of type"]),
        (neo4j(interactions=[{"through": "A", "user_type": "B"}]), ["through, user_type and item_type belong"]),
        (neo4j(interactions=[{"type": "A", "item_type": "B"}]), ["through, user_type and item_type belong"]),
        (neo4j(interactions=[{"through": "A", "user_type": "B", "item_type": "B"}]), ["are the same"]),
        (neo4j(interactions=[{"type": "A"}, {"type": "A"}]), ["name A more than once"]),
        (neo4j(interactions=[{"type": "A"}], events=[{"type": "A", "user": "u"}]), ["name A more than once"]),
        (neo4j(interactions=[{"type": "A", "relation": "Liked It"}]), ["relation"]),
        (neo4j(labels=["A", "A"]), ["sources.neo4j.labels", "there twice"]),
        (neo4j(relationship=["A"]), ["sources.neo4j.relationship", "did you mean 'relationships'"]),
        (neo4j(page=0), ["sources.neo4j.page"]),
    ],
)
def test_wrong_values_are_refused_with_key_value_and_fix(sections: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**sections)
    for word in ["my.toml", *words]:
        assert word in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        settings(graph={"usr": "a", "item": 4}, quality={"max_set_aside": -1})
    assert all(key in str(caught.value) for key in ("graph.usr", "graph.item", "quality.max_set_aside"))

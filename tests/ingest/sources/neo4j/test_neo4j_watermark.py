"""Which watermark each label and type gets, and which properties only keep the books; no server is needed."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.settings import GraphSettings, Neo4jSource
from ingest.sources.neo4j.plan import plan_reading
from kg.errors import ConfigError
from kg.settings import validate
from kg.stores.neo4j.read.catalog import Catalog, LabelFacts, TypeFacts
from kg.stores.neo4j.read.snapshot import ReadPlan

TEXT, TIME = ("String",), ("DateTime",)
CATALOG = Catalog(
    labels={
        "Genre": LabelFacts(count=5, properties={"id": TEXT}),
        "Movie": LabelFacts(count=50, properties={"id": TEXT, "title": TEXT, "updated_at": TIME, "version": ("Long",)}),
        "User": LabelFacts(count=90, properties={"id": TEXT, "updated_at": TIME}),
    },
    types={
        "GENRE": TypeFacts(count=60),
        "RATED": TypeFacts(count=900, properties={"rating": ("Double",), "timestamp": ("Long",), "updated_at": TIME}),
    },
)


def plan(source: dict[str, Any], **nodes: Any) -> ReadPlan:
    wanted = validate(Neo4jSource, {"interactions": [{"type": "RATED"}], **source}, where="sources.neo4j")
    graph = validate(GraphSettings, {"item": "movie", "nodes": nodes}, where="graph")
    return plan_reading(CATALOG, wanted, graph, name="the database")


def test_one_property_is_the_watermark_of_all_that_have_it() -> None:
    found = plan({"watermark": "updated_at", "tombstone": "deleted_at"})
    assert found.label_watermarks == {"Movie": "updated_at", "User": "updated_at"}
    assert found.type_watermarks == {"RATED": "updated_at"}
    assert found.hidden == ("deleted_at", "updated_at")
    assert found.tombstone == "deleted_at"
    assert ReadPlan.from_json(found.to_json()) == found
    assert not plan({}).label_watermarks
    assert plan({}).hidden == ()


def test_each_label_and_type_may_have_a_watermark_of_its_own() -> None:
    found = plan({"watermark": {"Movie": "version", "RATED": "timestamp"}})
    assert found.label_watermarks == {"Movie": "version"}
    assert found.type_watermarks == {"RATED": "timestamp"}
    assert found.hidden == ("version",), "the time of an interaction is part of the graph"


def test_a_watermark_that_is_used_otherwise_stays_part_of_the_content() -> None:
    assert plan({"watermark": {"Movie": "version"}}, movie={"text": "{title} {version}"}).hidden == ()
    assert plan({"watermark": {"Movie": "version"}}, movie={"title": "version"}).hidden == ()
    assert plan({"watermark": {"Movie": "version"}}, movie={"key": "version"}).hidden == ()
    weighted = {"interactions": [{"type": "RATED", "weight": "updated_at"}], "watermark": "updated_at"}
    assert plan(weighted).hidden == ()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"watermark": "updated"}, r"sources\.neo4j\.watermark: .*'updated': did you mean 'updated_at'"),
        ({"watermark": {"Film": "updated_at"}}, r"watermark: .*'Film'"),
        ({"watermark": {"GENRE": "updated_at"}}, r"watermark\.GENRE: .*'updated_at': those there are none"),
        ({"watermark": {"Movie": "updated"}}, r"watermark\.Movie: .*did you mean 'updated_at'"),
        ({"watermark": "x", "relationships": ["RATED"]}, r"watermark: .*'x'"),
        ({"watermark": 3}, "watermark"),
        ({"tombstone": ""}, "tombstone"),
        ({"compare_keys_every": 0}, "compare_keys_every"),
    ],
)
def test_what_is_not_there_is_refused_by_name(source: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        plan(source)

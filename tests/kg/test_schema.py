from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kg import Event, KnowledgeGraph, NodeType, PositiveRule, Relation, RelationKey, Schema
from kg.errors import ConfigError, InvalidDataError
from kg.schema import local_name, pascal_case, render_text, snake_case


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("musicComposer", "music_composer"),
        ("HTTPServer", "http_server"),
        ("IN_GENRE", "in_genre"),
        ("in genre", "in_genre"),
        ("date-published", "date_published"),
        ("Zürich", "zürich"),
        ("movie2Vec", "movie2_vec"),
        ("__x__", "x"),
        ("--", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_snake_case(name: str, expected: str) -> None:
    assert snake_case(name) == expected


@given(st.text(max_size=12))
def test_snake_case_is_stable(name: str) -> None:
    once = snake_case(name)
    assert once
    assert snake_case(once) == once


def test_other_names() -> None:
    assert pascal_case("music_genre") == "MusicGenre"
    assert pascal_case("!") == "Unnamed"
    assert local_name("http://dbpedia.org/ontology/director") == "director"
    assert local_name("http://www.w3.org/2000/01/rdf-schema#label") == "label"
    assert local_name("urn:x:thing") == "thing"
    assert local_name("http://example.org/movie/") == "movie"


def test_defaults_are_readable() -> None:
    node_type = NodeType(name="music_genre")
    assert (node_type.label, node_type.noun) == ("MusicGenre", "music genre")
    relation = Relation(key=("movie", "sequel_of", "movie"))  # type: ignore[arg-type]
    assert relation.key == RelationKey("movie", "sequel_of", "movie")
    assert (relation.cypher_type, relation.phrase) == ("SEQUEL_OF", "has sequel of")
    assert str(relation.key) == "(movie)-[sequel_of]->(movie)"
    assert Relation(key=RelationKey("movie", "genre", "genre")).cypher_type == "HAS_GENRE"


def test_render_text_cleans_what_missing_values_leave() -> None:
    table = pa.table(
        {
            "id": ["1", "2", "3", "4"],
            "title": ["Alien", "  Odd   {year} ", None, None],
            "year": pa.array([1979, None, 1980, None]),
            "genres": pa.array([["horror", "sf"], [], None, [None, "x"]]),
        }
    )
    texts = render_text("{title} ({year}): {genres}", table)
    # Braces inside a value are text, not another placeholder.
    assert texts.to_pylist() == ["Alien (1979): horror, sf", "Odd {year}", "(1980)", ": , x".strip(" ,:")]
    assert texts.type == pa.string()


@pytest.mark.parametrize("template", ["{title", "title}", "{}", "{title.upper}", "{{title}}", "{title!r}", "{ title }"])
def test_a_brace_without_a_name_is_refused(template: str) -> None:
    with pytest.raises(ConfigError, match="belongs to no name"):
        render_text(template, pa.table({"id": ["1"], "title": ["x"]}))


def test_render_text_names_what_is_there() -> None:
    with pytest.raises(ConfigError, match=r"names plot; the attributes there are id, title"):
        render_text("{title} {plot}", pa.table({"id": ["1"], "title": ["x"]}))


def test_positive_rule_parses_what_it_prints() -> None:
    assert PositiveRule.parse("all") == PositiveRule()
    assert PositiveRule.parse(" rating>=4 ") == PositiveRule("rating", 4.0)
    assert str(PositiveRule("rating", 4.0)) == "rating >= 4"
    assert str(PositiveRule("rating", 3.5)) == "rating >= 3.5"


@given(
    st.sampled_from(["rating", "my rating", "größe", "all", "a>b"]),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_positive_rule_survives_its_text(column: str, minimum: float) -> None:
    assert PositiveRule.parse(str(PositiveRule(column, minimum))) == PositiveRule(column, minimum)


@pytest.mark.parametrize("text", ["", "rating > 4", "rating >= four", ">= 4", "4 <= rating", "rating >= nan"])
def test_positive_rule_refuses_what_it_cannot_read(text: str) -> None:
    with pytest.raises(ConfigError, match="write 'all' or 'rating >= 4'"):
        PositiveRule.parse(text)


@given(st.lists(st.none() | st.floats(width=32) | st.integers(-3, 3).map(float), max_size=12))
def test_positive_mask_against_a_loop(ratings: list[float | None]) -> None:
    table = pa.table({"rating": pa.array(ratings, type=pa.float32())})
    assert PositiveRule("rating", 1.0).mask(table).tolist() == [r is not None and r >= 1.0 for r in ratings]
    assert PositiveRule().mask(table).tolist() == [True] * len(ratings)


def test_positive_mask_needs_a_column_of_numbers() -> None:
    with pytest.raises(InvalidDataError, match=r"needs a column 'rating'; the interactions have src, dst"):
        PositiveRule("rating", 4).mask(pa.table({"src": [0], "dst": [0]}))
    with pytest.raises(InvalidDataError, match=r"needs numbers in 'rating', not string"):
        PositiveRule("rating", 4).mask(pa.table({"rating": ["good"]}))


def test_schema_survives_json(toy_graph: KnowledgeGraph) -> None:
    schema = toy_graph.schema.with_(
        node_types=[NodeType(name="genre", label="Gen`re", rdf_class="http://x.org/G", title="name", noun="style")],
        relations=[
            Relation(key=RelationKey("movie", "has_tag", "tag"), event=Event("user", "src"), predicate="urn:x:t")
        ],
        positive=PositiveRule("rating", 3.1234567),
    )
    again = Schema.from_json(json.loads(json.dumps(schema.to_json())))
    assert again == schema
    assert list(again.relations) == list(schema.relations)
    assert set(again.events()) == {k for k, r in schema.relations.items() if r.event}
    assert np.isclose(again.positive.minimum, 3.1234567, rtol=0, atol=0)


def test_schema_checks_its_names() -> None:
    movie = NodeType(name="movie")
    with pytest.raises(InvalidDataError, match="node type 'genre', which the schema lacks"):
        Schema({"movie": movie}, {key: Relation(key=key) for key in [RelationKey("movie", "genre", "genre")]})
    with pytest.raises(InvalidDataError, match="is not in the schema"):
        Schema({"movie": movie}, {}, interaction=RelationKey("user", "rated", "movie"))
    with pytest.raises(InvalidDataError, match="no interactions"):
        _ = Schema({"movie": movie}, {}).interaction_key

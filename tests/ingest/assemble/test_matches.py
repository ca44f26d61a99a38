"""Sources whose ids do not match are refused, with the line that mends it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingest import GraphBuilder, GraphSettings, QualitySettings
from ingest.people import People
from ingest.report import IdMatch
from kg.errors import InvalidDataError
from kg.privacy.user_key import UserKey

E = "https://example.org/movie/"
TYPE = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>"
RATINGS = {"user_id": ["u", "u", "v", "w"], "item_id": ["1", "2", "3", "4"]}
MOVIE = GraphSettings(item="movie")


def builder(graph: GraphSettings = MOVIE, **quality: Any) -> GraphBuilder:
    return GraphBuilder(graph, quality=QualitySettings(**quality)).add_interactions(RATINGS, name="ratings.csv")


def rdf(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line} .\n" for line in lines), encoding="utf-8")
    return path


def movies(pattern: str, *more: str) -> list[str]:
    """N-Triples of four movies; `{n}` is the number."""
    lines = []
    for n in range(1, 5):
        iri = f"<{pattern.format(n=n)}>"
        lines.append(f"{iri} {TYPE} <https://schema.org/Movie>")
        lines += [f"{iri} {rest.format(n=n)}" for rest in more]
    return lines


def refusal(built: GraphBuilder) -> str:
    with pytest.raises(InvalidDataError, match="the ids do not match") as caught:
        built.build()
    return str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        (E + "{n}", E + "{{id}}"),
        (E + "tt000{n}.html", E + "tt000{{id}}.html"),
        ("urn:movie:{n}", "urn:movie:{{id}}"),
        ("https://example.org/page?id={n}", "https://example.org/page?id={{id}}"),
    ],
)
def test_iris_that_hold_the_id_need_a_template(tmp_path: Path, pattern: str, key: str) -> None:
    path = rdf(tmp_path / "m.nt", movies(pattern))
    text = refusal(builder().add_rdf(path))
    line = f'graph.nodes.movie.key = "{key.format()}"'
    assert f"Write {line} (100% would fit)" in text
    assert "0 of the 4 ids of movie nodes in m.nt are among the 4 of the interactions (0%)" in text
    assert repr(pattern.format(n=1)) in text
    assert "here '1', '2', '3'" in text
    settings = GraphSettings(item="movie", **{"nodes": tomllib.loads(line)["graph"]["nodes"]})
    _, report = builder(settings).add_rdf(path).build()
    assert [match.share for match in report.matches] == [1.0]


def test_a_property_that_holds_the_id_is_named(tmp_path: Path) -> None:
    path = rdf(tmp_path / "m.nt", movies(E + "x{n}x", '<https://schema.org/identifier> "{n}"'))
    text = refusal(builder().add_rdf(path))
    assert 'graph.nodes.movie.key = "https://schema.org/identifier" (100% would fit)' in text


def test_a_type_that_is_the_items_is_named(tmp_path: Path) -> None:
    path = rdf(tmp_path / "m.nt", [*movies(E + "{n}"), f"<{E}x> <https://schema.org/actor> <https://example.org/p>"])
    text = refusal(builder(GraphSettings(item="film")).add_rdf(path))
    assert "m.nt has no film nodes" in text
    assert 'Write graph.item = "movie" and graph.nodes.movie.key = "https://example.org/movie/{id}"' in text


TABLES = {
    "another column": ({"id": ["a", "b", "c", "d"], "movieId": [1, 2, 3, 4]}, 'id = "movieId" for movies.csv'),
    "leading zeros": ({"id": ["001", "002", "003", "004"]}, "ltrim(id, '0') AS id"),
    "a prefix": ({"id": ["m_1", "m_2", "m_3", "m_4"]}, "regexp_extract(id, '[0-9]+$') AS id"),
    "decimals": ({"id": ["1.0", "2.0", "3.0", "4.0"]}, r"regexp_replace(id, '\\.0+$', '') AS id"),
    "IRIs": ({"id": [f"{E}{n}" for n in "1234"]}, "regexp_extract(id, '[^/#:]+$') AS id"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_in_another_form(name: str) -> None:
    data, line = TABLES[name]
    text = refusal(builder().add_attributes(data, node="movie", name="movies.csv"))
    assert line in text
    assert "(100% would fit)" in text


def test_the_sql_of_an_advice_mends_it(tmp_path: Path) -> None:
    from ingest import DataSettings, build_graph

    (tmp_path / "ratings.csv").write_text("user_id,item_id\nu,1\nv,2\n", encoding="utf-8")
    (tmp_path / "movies.csv").write_text('"Movie Id",title\nm_1,A\nm_2,B\n', encoding="utf-8")
    sources: dict[str, Any] = {
        "interactions": [{"files": ["ratings.csv"]}],
        "attributes": [{"node": "item", "files": ["movies.csv"], "id": "Movie Id"}],
    }
    with pytest.raises(InvalidDataError, match="the ids do not match") as caught:
        build_graph(DataSettings(sources=sources), base=tmp_path)
    line = str(caught.value).split("Write ")[1].split(" for movies.csv")[0]
    sources["attributes"][0] |= tomllib.loads(line)
    graph, report = build_graph(DataSettings(sources=sources), base=tmp_path)
    assert graph.nodes["item"]["title"].to_pylist() == ["A", "B"]
    assert report.matches[0].share == 1.0


def test_the_interactions_may_be_what_is_in_another_form() -> None:
    built = GraphBuilder(MOVIE).add_interactions(
        {"user_id": ["u", "v"], "item_id": ["9", "8"], "imdb": ["t1", "t2"]}, name="ratings.csv"
    )
    text = refusal(built.add_attributes({"id": ["t1", "t2"], "x": [1, 2]}, node="movie", name="movies.csv"))
    assert 'columns.item = "imdb" for ratings.csv (100% would fit)' in text


def test_edges_are_compared_with_what_describes_and_what_was_done() -> None:
    built = builder().add_attributes({"id": ["1", "2", "5"], "x": [1, 2, 3]}, node="movie", name="movies.csv")
    edges = {"source": ["x1", "x2"], "movie": ["1", "5"], "target": ["a", "b"]}
    text = refusal(built.add_edges(edges, source="movie", relation="genre", target="genre", name="genres.csv"))
    assert "2 ids of movie nodes in genres.csv are among the 5 of the interactions and the descriptions" in text
    assert 'columns.source = "movie" for genres.csv (100% would fit)' in text


def test_types_without_interactions_are_compared_with_what_describes_them() -> None:
    built = builder().add_attributes({"id": ["G1"], "name": ["Drama"]}, node="genre", name="genres.csv")
    edges = {"source": ["1"], "target": ["drama"]}
    text = refusal(built.add_edges(edges, source="movie", relation="genre", target="genre", name="edges.csv"))
    assert "1 ids of genre nodes in edges.csv are among the 1 of the descriptions" in text


def test_a_table_of_new_items_is_fine_beside_one_that_matches() -> None:
    built = builder().add_attributes({"id": ["1", "2"], "x": [1, 2]}, node="movie", name="old.csv")
    _, report = built.add_attributes({"id": ["98", "99"], "x": [1, 2]}, node="movie", name="new.csv").build()
    (example,) = report.findings["sources that match nothing"].examples
    assert "movie nodes in new.csv" in example
    refusal(builder().add_attributes({"id": ["98", "99"], "x": [1, 2]}, node="movie", name="new.csv"))


def test_the_limit_is_a_setting_and_counts_the_smaller_side() -> None:
    one_of_two = {"id": ["1", "99"], "x": [1, 2]}
    builder(min_match=0.5).add_attributes(one_of_two, node="movie").build()
    refusal(builder(min_match=0.51).add_attributes(one_of_two, node="movie"))
    builder(min_match=0).add_attributes({"id": ["99"], "x": [1]}, node="movie").build()
    many = {"id": [str(n) for n in range(1, 1000)], "x": list(range(1, 1000))}
    _, report = builder(min_match=1.0).add_attributes(many, node="movie").build()
    assert (report.matches[0].shared, report.matches[0].ids, report.matches[0].share) == (4, 999, 1.0)


def test_users_who_must_not_be_named_are_not() -> None:
    people = People(key=UserKey(bytes(32)), pseudonyms=True)
    for hidden in (people, None):
        built = GraphBuilder(MOVIE, people=hidden).add_interactions(RATINGS)
        built.add_attributes({"id": ["ann", "bob"], "age": [3, 4]}, node="user", name="users.csv")
        text = refusal(built)
        assert "0 of the 2 ids of user nodes in users.csv" in text
        assert ("ann" in text) == (hidden is None)


def test_columns_of_texts_and_lists_are_no_obstacle() -> None:
    data = {"id": ["a"], "score": [1.5], "tags": pa.array([["x"]]), "when": pa.array([0], pa.timestamp("s"))}
    assert "the ids do not match" in refusal(builder().add_attributes(data, node="movie"))


def test_a_match_is_a_sentence() -> None:
    match = IdMatch(
        node="movie", source="m.csv", kind="attributes", others="the interactions", ids=3, other_ids=2, shared=1
    )
    assert match.to_text() == "1 of the 3 ids of movie nodes in m.csv are among the 2 of the interactions (50%)"

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

from ingest import GraphBuilder, GraphSettings, QualityReport, QualitySettings, validate
from kg import Event, KnowledgeGraph, RelationKey, SplitConfig, split_interactions
from kg.errors import ConfigError, InvalidDataError

PREFIXES = """
@prefix s: <https://schema.org/> . @prefix old: <http://schema.org/> . @prefix dbo: <http://dbpedia.org/ontology/> .
@prefix owl: <http://www.w3.org/2002/07/owl#> . @prefix foaf: <http://xmlns.com/foaf/0.1/> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> . @prefix e: <https://example.org/> .
"""


def build(
    text: str,
    *,
    fmt: str = "ttl",
    languages: tuple[str, ...] = ("en", ""),
    limit: float = 1.0,
    strict: bool = False,
    tmp: Path,
    **graph: Any,
) -> tuple[KnowledgeGraph, QualityReport]:
    path = tmp / f"x.{fmt}"
    path.write_text(PREFIXES + text if fmt in ("ttl", "trig") else text, encoding="utf-8")
    settings = validate(GraphSettings, {"user": "user", "item": "movie", **graph})
    builder = GraphBuilder(settings, quality=QualitySettings(max_set_aside=limit, strict=strict))
    return builder.add_rdf(path, languages=languages).build()


def rows(graph: KnowledgeGraph, name: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in graph.nodes[name].to_pylist()}


def edges(graph: KnowledgeGraph, *key: str) -> set[tuple[str, str]]:
    k = RelationKey(*key)
    table = graph.edges[k]
    ends = (
        graph.vocabulary(k.source).take(table["src"].to_numpy()),
        graph.vocabulary(k.target).take(table["dst"].to_numpy()),
    )
    return set(zip(ends[0].to_pylist(), ends[1].to_pylist(), strict=True))


E = "https://example.org/"


def test_attributes_get_their_types(tmp_path: Path) -> None:
    graph, _ = build(
        """e:m a s:Movie ; s:name "Alien" ; s:year 1979 ; s:score 8.5 ; s:seen true ; s:date "1979-05-25"^^xsd:date ;
           s:born "1970"^^xsd:gYear ; s:imdb "0078748" ; s:keyword "b", "a", "b" ; s:mixed 1 ; dbo:musicBy "Jerry" .
           e:n a s:Movie ; s:mixed 2.5 ; s:keyword "c" .""",
        tmp=tmp_path,
    )
    movie = rows(graph, "movie")
    m, n = movie[E + "m"], movie[E + "n"]
    assert (m["year"], m["score"], m["seen"], m["date"], m["born"]) == (1979, 8.5, True, "1979-05-25", 1970)
    assert (m["imdb"], m["keyword"], n["keyword"], m["mixed"], n["mixed"]) == ("0078748", ["a", "b"], ["c"], 1.0, 2.5)
    assert m["music_by"] == "Jerry"
    assert n["name"] is None
    assert graph.schema.node_types["movie"].title == "name"
    assert graph.schema.node_types["movie"].rdf_class == "https://schema.org/Movie"


def test_literals_that_do_not_fit_their_datatype_are_set_aside(tmp_path: Path) -> None:
    text = 'e:m a s:Movie ; s:year 1979 . e:n a s:Movie ; s:year "old"^^xsd:integer .'
    graph, report = build(text, tmp=tmp_path)
    assert [row["year"] for row in rows(graph, "movie").values()] == [1979, None]
    finding = report.findings["unparsable literals"]
    assert (finding.count, finding.examples) == (1, [f"{E}n year 'old'"])
    with pytest.raises(InvalidDataError, match=r"quality\.max_set_aside = 0\.1"):
        build(text, tmp=tmp_path, limit=0.1)
    with pytest.raises(InvalidDataError, match=r"quality\.strict"):
        build(text, tmp=tmp_path, strict=True)


def test_numbers_keep_every_digit(tmp_path: Path) -> None:
    graph, report = build(
        """e:m a s:Movie ; s:post 1234567890123456701 ; s:key "18446744073709551615"^^xsd:unsignedLong ; s:scale 1.5 ;
               s:born "1999Z"^^xsd:gYear ; s:exact 0.1234567890123456789 ; s:score "INF"^^xsd:double ;
               s:padded " +007 "^^xsd:integer ; s:ratio "NaN"^^xsd:float .
           e:n a s:Movie ; s:post 1234567890123456702 ; s:key 1 ; s:scale 2 ; s:born "-0044+02:00"^^xsd:gYear ;
               s:exact 1.5 ; s:score 1.5e1 ; s:padded 8 .""",
        tmp=tmp_path,
        limit=0.0,
    )
    m, n = (rows(graph, "movie")[E + name] for name in "mn")
    assert (m["post"], n["post"]) == (1234567890123456701, 1234567890123456702)
    assert (m["key"], n["key"]) == ("18446744073709551615", "1")
    assert (m["born"], n["born"]) == (1999, -44)
    assert (m["exact"], n["exact"]) == ("0.1234567890123456789", "1.5")
    assert (m["score"], n["score"]) == (None, 15.0)
    assert (m["scale"], n["scale"], m["padded"], n["padded"]) == (1.5, 2.0, 7, 8)
    assert "ratio" not in m
    finding = report.findings["literals without a number"]
    assert (finding.severity, finding.count) == ("info", 2)
    assert "unparsable literals" not in report.findings


@pytest.mark.parametrize(
    "text", ['"1.5"^^xsd:integer', '"1999Z"^^xsd:integer', '"INF"^^xsd:decimal', '"1,5"^^xsd:double']
)
def test_what_is_no_number_of_its_datatype_is_set_aside(tmp_path: Path, text: str) -> None:
    graph, report = build(f"e:m a s:Movie ; s:x {text} . e:n a s:Movie ; s:x 2 .", tmp=tmp_path)
    assert rows(graph, "movie")[E + "n"]["x"] == 2
    assert report.findings["unparsable literals"].count == 1


@pytest.mark.parametrize(
    ("languages", "name", "plot"),
    [
        (("en", ""), "Alien", "Ein Film"),
        (("de", "en"), "Alien (de)", "Ein Film"),
        (("", "fr"), "untagged", "Un film"),
        (("it",), "untagged", "Ein Film"),
    ],
)
def test_one_language_per_text(tmp_path: Path, languages: tuple[str, ...], name: str, plot: str) -> None:
    graph, report = build(
        """e:m a s:Movie ; s:name "Alien"@en-GB, "Alien (de)"@de, "untagged" ; s:plot "Un film"@fr, "Ein Film"@de .""",
        tmp=tmp_path,
        languages=languages,
    )
    m = rows(graph, "movie")[E + "m"]
    assert (m["name"], m["plot"]) == (name, plot)
    assert report.findings["texts in other languages"].count == 3


def test_both_spellings_of_schema_org_are_one(tmp_path: Path) -> None:
    graph, report = build(
        "e:m a old:Movie ; old:director e:p . e:n a s:Movie ; s:director e:p . e:p a s:Person . e:n old:director e:p .",
        tmp=tmp_path,
        nodes={"movie": {"rdf_class": "http://schema.org/Movie"}},
    )
    assert edges(graph, "movie", "director", "person") == {(E + "m", E + "p"), (E + "n", E + "p")}
    assert report.findings["repeated triples"].count == 1
    (relation,) = graph.schema.relations.values()
    assert relation.predicate == "https://schema.org/director"


def test_several_classes_make_one_row(tmp_path: Path) -> None:
    text = """e:a a owl:Thing, s:Movie, s:CreativeWork . e:b a owl:Thing, s:Movie . e:c a owl:Thing, s:CreativeWork .
              e:d a owl:Thing . e:x a s:CreativeWork ; s:about e:a ."""
    graph, _ = build(text, tmp=tmp_path)
    assert set(rows(graph, "movie")) == {E + "a", E + "b"}
    assert set(rows(graph, "creative_work")) == {E + "c", E + "x"}
    assert set(rows(graph, "thing")) == {E + "d"}
    assert rows(graph, "movie")[E + "a"]["types"] == [
        "http://www.w3.org/2002/07/owl#Thing",
        "https://schema.org/CreativeWork",
    ]
    assert edges(graph, "creative_work", "about", "movie") == {(E + "x", E + "a")}
    first, _ = build(text, tmp=tmp_path, item="creative_work")
    assert set(rows(first, "creative_work")) == {E + "a", E + "c", E + "x"}


def test_link_predicates_are_lists_not_nodes(tmp_path: Path) -> None:
    graph, _ = build("e:m a s:Movie ; owl:sameAs e:z, e:y ; s:sameAs e:w ; s:image e:i .", tmp=tmp_path)
    m = rows(graph, "movie")[E + "m"]
    assert set(graph.nodes) == {"user", "movie"}
    assert m["image"] == E + "i"
    assert (m["owl_same_as"], m["schema_same_as"]) == ([E + "y", E + "z"], E + "w")


def test_untyped_objects_become_nodes_and_are_counted(tmp_path: Path) -> None:
    graph, report = build(
        """e:m a s:Movie ; s:director e:p, e:q, e:r ; s:genre e:drama ; s:sequel e:n ; s:movie e:k .
           e:p a s:Person . e:q a s:Person . e:lonely s:name "nobody" . e:m2 a s:Movie ; s:sequel e:m .""",
        tmp=tmp_path,
    )
    assert set(rows(graph, "person")) == {E + "p", E + "q", E + "r"}
    assert set(rows(graph, "genre")) == {E + "drama"}
    assert set(rows(graph, "sequel")) == {E + "n"}, "an undescribed node never becomes an item"
    assert set(rows(graph, "movie_reference")) == {E + "k"}
    assert set(rows(graph, "resource")) == {E + "lonely"}
    assert report.findings["dangling references"].examples == [f"person: {E}r"]
    assert report.findings["unknown types"].count == 4


def test_a_literal_where_a_node_is_expected_is_set_aside(tmp_path: Path) -> None:
    graph, report = build(
        'e:m a s:Movie ; s:director e:p . e:n a s:Movie ; s:director e:p, "Ridley" . e:p a s:Person .', tmp=tmp_path
    )
    assert "director" not in graph.nodes["movie"].column_names
    finding = report.findings["literals where nodes are expected"]
    assert (finding.count, finding.examples) == (1, [f"{E}n https://schema.org/director 'Ridley'"])
    assert report.sources[0].set_aside == 1


def test_two_predicates_of_one_name_are_told_apart(tmp_path: Path) -> None:
    graph, report = build(
        """e:m a s:Movie ; s:director e:p ; dbo:director e:q ; s:title "A" ; e:title "B" ; s:id "7" .
           e:p a s:Person ; foaf:name "P" . e:q a s:Person ; foaf:name "Q" .""",
        tmp=tmp_path,
    )
    assert edges(graph, "movie", "schema_director", "person") == {(E + "m", E + "p")}
    assert edges(graph, "movie", "dbo_director", "person") == {(E + "m", E + "q")}
    m = rows(graph, "movie")[E + "m"]
    assert (m["schema_title"], m["example_org_title"], m["schema_id"]) == ("A", "B", "7")
    assert "name" in graph.nodes["person"].column_names
    assert report.findings["predicates of one name"].count == 5


def test_named_graphs_are_a_column_of_the_edges(tmp_path: Path) -> None:
    graph, _ = build(
        "e:m a s:Movie . e:p a s:Person . e:g { e:m s:director e:p } e:h { e:m s:director e:p } e:m s:director e:p .",
        fmt="trig",
        tmp=tmp_path,
    )
    table = graph.edges[RelationKey("movie", "director", "person")]
    assert sorted(map(str, table["graph"].to_pylist())) == ["None", E + "g", E + "h"]


def test_keys(tmp_path: Path) -> None:
    text = 'e:m1 a s:Movie ; s:identifier "1" . e:m2 a s:Movie ; s:identifier "1", "2" . e:m3 a s:Movie .'
    graph, report = build(text, tmp=tmp_path, nodes={"movie": {"key": "https://schema.org/identifier"}})
    movies = rows(graph, "movie")
    assert {name: row["iri"] for name, row in movies.items()} == {"1": E + "m1", E + "m2": E + "m2", E + "m3": E + "m3"}
    assert report.findings["nodes without a key"].examples == [E + "m3"]
    assert report.findings["key collisions"].examples == [f"https://schema.org/identifier '1': {E}m1 and {E}m2"]
    template, report = build(
        "e:m%201 a s:Movie . <https://other.org/m2> a s:Movie .", tmp=tmp_path, nodes={"movie": {"key": E + "{id}"}}
    )
    assert set(rows(template, "movie")) == {"m 1", "https://other.org/m2"}
    assert report.findings["nodes without a key"].count == 1


def test_relations_between_users_and_items_are_events_in_either_direction(tmp_path: Path) -> None:
    graph, _ = build(
        "e:u a s:User ; s:likes e:m ; s:knows e:u2 . e:u2 a s:User . e:m a s:Movie ; s:watchedBy e:u ; s:genre e:g .",
        tmp=tmp_path,
    )
    events = {str(key): event for key, event in graph.schema.events().items()}
    assert events == {"(user)-[likes]->(movie)": Event(), "(movie)-[watched_by]->(user)": Event("dst", "src")}
    assert graph.schema.interaction == RelationKey("user", "likes", "movie")
    key = RelationKey("movie", "watched_by", "user")
    columns = graph.event_columns(key)
    assert columns is not None
    assert graph.users.take(columns[0]).to_pylist() == [E + "u"]


def test_reviews_between_one_user_and_one_item_are_events(tmp_path: Path) -> None:
    graph, report = build(
        """e:u1 a s:User . e:u2 a s:User . e:m1 a s:Movie ; s:genre e:g . e:m2 a s:Movie ; s:genre e:g .
           e:r1 a s:Review ; s:author e:u1 ; s:itemReviewed e:m1 .
           e:r2 a s:Review ; s:author e:u1 ; s:itemReviewed e:m2 .
           e:r3 a s:Review ; s:author e:u2 ; s:itemReviewed e:m1 . e:r4 a s:Review ; s:itemReviewed e:m1 .""",
        tmp=tmp_path,
    )
    key = RelationKey("review", "item_reviewed", "movie")
    assert graph.schema.events() == {key: Event("user", "dst")}
    users, items = graph.event_columns(key) or ([], [])
    pairs = zip(graph.users.take(users).to_pylist(), graph.items.take(items).to_pylist(), strict=True)
    assert sorted(pairs) == [(E + "u1", E + "m1"), (E + "u1", E + "m2"), (E + "u2", E + "m1")]
    assert RelationKey("review", "author", "user") not in graph.edges
    assert report.findings["events of nobody"].count == 1


def test_orders_of_several_items_are_events_and_shared_towns_are_not(tmp_path: Path) -> None:
    graph, _ = build(
        """e:u1 a s:User ; s:livesIn e:t1 . e:u2 a s:User ; s:livesIn e:t2 . e:t1 a s:Town . e:t2 a s:Town .
           e:m1 a s:Movie ; s:filmedIn e:t1 . e:m2 a s:Movie ; s:filmedIn e:t1 . e:m3 a s:Movie ; s:filmedIn e:t2 .
           e:o1 a s:Order ; s:customer e:u1 ; s:orderedItem e:m1, e:m2 .
           e:o2 a s:Order ; s:customer e:u2 ; s:orderedItem e:m2, e:m3 .""",
        tmp=tmp_path,
    )
    key = RelationKey("order", "ordered_item", "movie")
    assert graph.schema.events() == {key: Event("user", "dst")}
    users, items = graph.event_columns(key) or ([], [])
    pairs = zip(graph.users.take(users).to_pylist(), graph.items.take(items).to_pylist(), strict=True)
    assert sorted(pairs) == [(E + "u1", E + "m1"), (E + "u1", E + "m2"), (E + "u2", E + "m2"), (E + "u2", E + "m3")]
    assert RelationKey("order", "customer", "user") not in graph.edges
    assert RelationKey("user", "lives_in", "town") in graph.edges


REVIEWS = "".join(
    f"e:u{n} a s:User . e:m{n} a s:Movie . e:r{n} a s:Review ; s:author e:u{n} ; s:itemReviewed e:m{n} .\n"
    for n in range(20)
)


def event_pairs(graph: KnowledgeGraph, key: RelationKey) -> list[tuple[str, str]]:
    users, items = graph.event_columns(key) or ([], [])
    pairs = zip(graph.users.take(users).to_pylist(), graph.items.take(items).to_pylist(), strict=True)
    return sorted((user.removeprefix(E), item.removeprefix(E)) for user, item in pairs)


OWN = sorted((f"u{n}", f"m{n}") for n in range(20))


@pytest.mark.parametrize("way", ["s:itemReviewed", "s:review"])
def test_one_event_with_two_users_makes_the_others_no_knowledge(tmp_path: Path, way: str) -> None:
    text = REVIEWS if way == "s:itemReviewed" else re.sub(r"(e:r\d+) (.*); s:itemReviewed (e:m\d+)",
                                                          r"\1 \2. \3 s:review \1", REVIEWS)  # fmt: skip
    graph, report = build(f"{text} e:r0 s:author e:u1 .", tmp=tmp_path)
    (key,) = graph.schema.events()
    assert event_pairs(graph, key) == sorted([*OWN, ("u1", "m0")])
    assert not any("author" in key for key in graph.edges)
    assert report.findings["events of several users"].examples == [f"review {E}r0"]


def test_one_event_that_two_items_share_makes_the_others_no_knowledge(tmp_path: Path) -> None:
    text = re.sub(r"(e:r\d+) (.*); s:itemReviewed (e:m\d+)", r"\1 \2. \3 s:review \1", REVIEWS)
    graph, report = build(f"{text} e:m1 s:review e:r0 .", tmp=tmp_path)
    key = RelationKey("movie", "review", "review")
    assert graph.schema.events() == {key: Event("user", "src")}
    assert event_pairs(graph, key) == sorted([*OWN, ("u0", "m1")])
    assert report.findings["events of several items"].examples == [f"review {E}r0"]


def test_what_one_user_likes_makes_no_events_of_what_others_have(tmp_path: Path) -> None:
    actors = "".join(f"e:p{n} a s:Person ; s:actedIn e:m{n}, e:m{(n + 1) % 9} . e:m{n} a s:Movie .\n" for n in range(9))
    graph, report = build(f"{actors} e:u a s:User ; s:likesPerson e:p3 .", tmp=tmp_path)
    assert not graph.schema.events()
    assert graph.edges[RelationKey("person", "acted_in", "movie")].num_rows == 18
    assert "events of nobody" not in report.findings


def test_doubtful_events_are_told_and_the_configuration_decides(tmp_path: Path) -> None:
    text = REVIEWS + "".join(f"e:r{n} s:author e:u{n + 1} .\n" for n in range(8))
    graph, report = build(text, tmp=tmp_path)
    assert not graph.schema.events()
    finding = report.findings["types that may be events"]
    assert (finding.severity, finding.examples) == ("warning", ["review"])
    assert finding.explanation.startswith("60% of the review nodes")
    for event in (True, False):
        graph, report = build(text, tmp=tmp_path, nodes={"review": {"event": event}})
        assert bool(graph.schema.events()) is event
        assert "types that may be events" not in report.findings
    graph, _ = build(REVIEWS, tmp=tmp_path, nodes={"review": {"event": False}})
    assert not graph.schema.events()
    with pytest.raises(ConfigError, match=r"graph\.nodes\.movie\.event = true"):
        build(text, tmp=tmp_path, nodes={"movie": {"event": True}})


@pytest.mark.parametrize("extra", ["", "e:r0 s:author e:u1 ."])
def test_held_out_pairs_are_not_joined_through_their_events(tmp_path: Path, extra: str) -> None:
    (tmp_path / "x.ttl").write_text(PREFIXES + REVIEWS + extra)
    builder = GraphBuilder(GraphSettings(item="movie", nodes={n: {"key": E + "{id}"} for n in ("movie", "user")}))
    builder.add_rdf(tmp_path / "x.ttl")
    builder.add_interactions({"user_id": [u for u, _ in OWN], "item_id": [i for _, i in OWN]})
    graph, _ = builder.build()
    split = split_interactions(graph, SplitConfig(kind="random", test=0.5))
    view = split.view(graph, "train")
    held_out = {(u, i) for u, i in OWN} - set(event_pairs(view, view.schema.interaction_key))
    assert len(held_out) > 5
    key = RelationKey("review", "item_reviewed", "movie")
    assert not held_out & set(event_pairs(view, key))
    assert {k for k in view.edges if "user" in (k.source, k.target)} == {view.schema.interaction_key}


def test_dropped_predicates(tmp_path: Path) -> None:
    graph, _ = build(
        'e:m a s:Movie ; s:image "x" ; s:director e:p .', tmp=tmp_path, drop=["http://schema.org/image", E + "no"]
    )
    assert graph.nodes["movie"].column_names == ["id"]


def test_overrides_that_name_nothing_are_refused(tmp_path: Path) -> None:
    text = 'e:m a s:Movie ; s:name "A" ; s:director e:p .'
    for graph, words in (
        ({"item": "book"}, r"graph\.item = 'book'.*movie"),
        ({"nodes": {"film": {}}}, r"graph\.nodes\.film.*movie"),
        ({"relations": {"stars": {}}}, r"graph\.relations\.stars.*director"),
        ({"nodes": {"movie": {"title": "label"}}}, r"graph\.nodes\.movie\.title = 'label'.*name"),
        ({"nodes": {"movie": {"text": "{label}"}}}, r"text names 'label'.*name.*director"),
    ):
        with pytest.raises((ConfigError, InvalidDataError), match=words):
            build(text, tmp=tmp_path, **graph)


def test_an_item_type_that_the_rdf_lacks_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.nt").write_text(
        f"<{E}m> <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <https://schema.org/Movie> ."
    )
    for strict in (False, True):
        settings = GraphSettings(item="film", nodes={"film": {"rdf_class": "https://schema.org/Film"}})
        builder = GraphBuilder(settings, quality=QualitySettings(strict=strict, min_match=0))
        builder.add_rdf(tmp_path / "x.nt")
        builder.add_interactions({"user_id": ["u", "v"], "item_id": ["1", "1"]})
        if strict:
            with pytest.raises(InvalidDataError, match=r"film 1.*graph\.nodes\.film\.key"):
                builder.build()
            continue
        _, report = builder.build()
        assert report.findings["items the graph lacks"].examples == ["film 1"]
        finding = report.findings["classes that no node has"]
        assert finding.examples == ["graph.nodes.film.rdf_class = https://schema.org/Film"]
        assert "https://schema.org/Movie" in finding.explanation


def test_the_order_of_the_facts_changes_nothing(tmp_path: Path) -> None:
    source = random.Random(0)  # noqa: S311
    n, lines = 40, []
    cls = [f"<https://schema.org/{c}>" for c in ("Movie", "Thing", "Person", "CreativeWork")]
    a = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>"
    for i in range(n):
        s = f"<{E}{i}>"
        lines += [f"{s} {a} {c} ." for c in source.sample(cls, source.choice([0, 1, 2]))]
        lines += [f"{s} <{E}p{source.randrange(4)}> <{E}{source.randrange(n + 20)}> ." for _ in range(4)]
        lines += [f'{s} <https://schema.org/name> "name {i}"@{source.choice(["en", "de", "fr"])} .' for _ in range(2)]
        lines += [f'{s} <https://schema.org/identifier> "{source.randrange(n)}" .', f"{s} <{E}q/p1> _:b{i % 3} ."]
        lines += [f'{s} <{E}p{source.randrange(4)}> "odd {i}" .'] if i % 10 == 0 else []
    results = []
    for seed in range(4):
        random.Random(seed).shuffle(lines)  # noqa: S311
        graph, report = build(
            "\n".join(lines),
            fmt="nt",
            tmp=tmp_path,
            nodes={"movie": {"key": "https://schema.org/identifier", "text": "{name}"}},
        )
        results.append(
            (
                {name: table.to_pylist() for name, table in graph.nodes.items()},
                {key: table.to_pylist() for key, table in graph.edges.items()},
                graph.schema.to_json(),
                report.to_json(),
            )
        )
    for other in results[1:]:
        for first, again in zip(results[0], other, strict=True):
            assert first == again
    assert sum(len(table) for table in results[0][1].values()) > 100

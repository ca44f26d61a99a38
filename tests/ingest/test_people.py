"""Who is kept outside, who comes in under another name, and what the quality report still says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ingest import GraphBuilder, GraphSettings
from ingest.people import FORGOTTEN_USERS, People
from kg import KnowledgeGraph
from kg.privacy.user_key import UserKey

KEY = UserKey(bytes(range(32)))
PREFIXES = "@prefix s: <https://schema.org/> . @prefix e: <http://example.org/> .\n"
FACTS = """
e:m1 a s:Movie ; s:name "Alien" . e:m2 a s:Movie ; s:name "Emma" .
e:ann a s:Person ; s:name "Ann A." . e:bob a s:Person ; s:name "Bob B." . e:cleo a s:Person .
e:r1 a s:Review ; s:author e:ann ; s:itemReviewed e:m1 ; s:reviewBody "Ann liked it" ; s:inLanguage e:en .
e:r2 a s:Review ; s:author e:bob ; s:itemReviewed e:m1 ; s:reviewBody "Bob did not" ; s:inLanguage e:en .
e:en a s:Language ; s:name "English" .
"""
ANN = "http://example.org/ann"


def forgetting(*users: str, **more: Any) -> People:
    return People(key=KEY, forgotten=frozenset(KEY.marks_of_ids(users)), **more)


def built(tmp_path: Path, people: People | None, *, broken: str = "") -> tuple[KnowledgeGraph, Any]:
    (tmp_path / "facts.ttl").write_text(PREFIXES + FACTS)
    builder = GraphBuilder(GraphSettings(user="person", item="movie"), people=people, now=10**9)
    builder.add_rdf(tmp_path / "facts.ttl")
    if broken:
        (tmp_path / "broken.nt").write_text(broken)
        builder.quality = builder.quality.model_copy(update={"max_set_aside": 1.0})
        builder.add_rdf(tmp_path / "broken.nt")
    iri = "http://example.org/{}".format
    ratings = [("ann", "m1"), ("ann", "m1"), ("ann", "m2"), ("bob", "m2"), ("bob", "m2"), ("dora", "m1")]
    columns = {"user": "user", "item": "item", "timestamp": "timestamp"}
    rows = {
        "user": [iri(user) for user, _ in ratings],
        "item": [iri(item) for _, item in ratings],
        "timestamp": list(range(len(ratings))),
    }
    builder.add_interactions(rows, columns=columns)
    return builder.build()


def examples(report: Any) -> dict[str, list[str]]:
    return {kind: finding.examples for kind, finding in report.findings.items()}


def test_who_is_on_the_list_stays_outside_with_reviews_and_names_whatever_source_brings_them(tmp_path: Path) -> None:
    everybody, before = built(tmp_path, None)
    graph, report = built(tmp_path, forgetting(ANN, "http://example.org/nobody"))
    assert ANN in everybody.users.ids.to_pylist()
    assert graph.users.ids.to_pylist() == [f"http://example.org/{one}" for one in ("bob", "cleo", "dora")]
    assert graph.nodes["review"]["id"].to_pylist() == ["http://example.org/r2"]
    assert graph.nodes["language"].num_rows == 1
    assert len(graph.interactions) == 2
    finding = report.findings[FORGOTTEN_USERS]
    assert (finding.count, finding.examples, finding.severity) == (1, [], "info")
    assert any("ann" in one for one in examples(before)["duplicate interactions"])
    quoted = examples(report)
    assert quoted["duplicate interactions"] == [one for one in quoted["duplicate interactions"] if "bob" in one] != []
    assert ANN not in str(report.to_json())
    assert report.findings["duplicate interactions"].count == 2
    assert report.to_json()["graph"] == graph.counts()


def test_a_line_that_was_set_aside_names_nobody_on_the_list_either(tmp_path: Path) -> None:
    broken = (
        f'<http://example.org/zoe> <{ANN}> "never closed .\n<{ANN}> <http://example.org/p> .\n'
        '<http://example.org/zoe> <https://schema.org/author> "a name" .\n'
    )
    _, before = built(tmp_path, None, broken=broken)
    _, report = built(tmp_path, forgetting("http://example.org/zoe"), broken=broken)
    assert sum("zoe" in one for finding in examples(before).values() for one in finding) == 2
    assert "zoe" not in str(report.to_json())
    assert FORGOTTEN_USERS not in report.findings


def test_with_pseudonyms_nobody_is_named_and_the_graph_is_the_same_but_for_that(tmp_path: Path) -> None:
    everybody, _ = built(tmp_path, None)
    graph, report = built(tmp_path, forgetting("http://example.org/dora", pseudonyms=True))
    ids = [f"http://example.org/{one}" for one in ("ann", "bob", "cleo")]
    assert graph.users.ids.to_pylist() == sorted(KEY.pseudonyms(ids))
    text = str(report.to_json()) + str([table.to_pydict() for table in graph.nodes.values()])
    assert not any(f"example.org/{one}" in text for one in ("ann", "bob", "cleo", "dora"))
    assert len(graph.interactions) == len(everybody.interactions) - 1
    assert report.findings["users with one interaction"].examples == KEY.pseudonyms([ids[1]])


@pytest.mark.parametrize("pseudonyms", [False, True])
def test_what_a_user_goes_by(pseudonyms: bool) -> None:
    people = forgetting("u3", pseudonyms=pseudonyms)
    assert people.name("u3") is None
    assert people.name("u4") == (KEY.pseudonyms(["u4"])[0] if pseudonyms else "u4")


def test_with_nobody_on_the_list_nothing_changes(tmp_path: Path) -> None:
    plain, before = built(tmp_path, None)
    graph, report = built(tmp_path, forgetting())
    assert all(graph.nodes[name].equals(table) for name, table in plain.nodes.items())
    assert all(graph.edges[key].equals(table) for key, table in plain.edges.items())
    assert report.to_json() == before.to_json()


def test_a_cell_that_could_not_be_read_is_not_quoted_where_somebody_is_forgotten(tmp_path: Path) -> None:
    others = "".join(f"bob,m{number},4\n" for number in range(12))
    (tmp_path / "ratings.csv").write_text(f"user,item,rating\nann,m1,5\nann,m2,lives at 7 Elm Street\n{others}")

    def report_of(people: People | None) -> Any:
        builder = GraphBuilder(GraphSettings(item="movie"), people=people)
        builder.add_interactions(tmp_path / "ratings.csv", columns={"user": "user", "item": "item", "rating": "rating"})
        return builder.build()[1]

    def quoted(report: Any) -> list[str]:
        return [example for finding in report.findings.values() for example in finding.examples]

    assert any("Elm Street" in example for example in quoted(report_of(None)))
    for gone in ("ann", "bob", "nobody at all"):
        examples_left = quoted(report_of(forgetting(gone)))
        assert not any("Elm" in example for example in examples_left)
        assert "ratings.csv:3" in examples_left

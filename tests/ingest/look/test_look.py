"""Files that nobody has described: each proposal is a configuration that makes the right graph."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest import build_graph
from ingest.look import Proposal, propose
from ingest.look.text_form import find_form
from ingest.look.words import item_type, type_name, user_rank, words_of
from kg import KnowledgeGraph
from kg.errors import InvalidDataError
from recall.config.draft import as_toml, check_draft

TYPE = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>"
RATINGS = "userId,movieId,rating,timestamp\n" + "".join(
    f"{user},{movie},{1 + (user * movie) % 5},{1_260_759_144_000 + user}\n"
    for user in range(1, 9)
    for movie in range(1, 7)
)
MOVIES = "movieId,Movie Title,genres,director,overview,year\n" + "".join(
    f'{movie},"Film, The {movie}",{"Drama|War" if movie % 2 else "War"},Ann {movie % 2},Story of {movie},199{movie}\n'
    for movie in range(1, 7)
)


def write(folder: Path, files: dict[str, str | bytes]) -> list[tuple[str, Path]]:
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return [(name, folder / name) for name in files]


def proposed(folder: Path, files: dict[str, str | bytes], **options: Any) -> tuple[Proposal, KnowledgeGraph]:
    """The proposal, and the graph that its text makes."""
    proposal = propose(write(folder, files), **options)
    config = check_draft(as_toml(proposal), base=folder, name="draft")
    from ingest import DataSettings

    settings = DataSettings(graph=config.graph, sources=config.sources, quality=config.quality)
    graph, _ = build_graph(settings, base=folder)
    return proposal, graph


def sizes(graph: KnowledgeGraph) -> dict[str, int]:
    return {str(key): table.num_rows for key, table in graph.edges.items()}


def section(proposal: Proposal, name: str) -> dict[str, Any]:
    (keys,) = [entry.keys for entry in proposal.sections if entry.name == name]
    return keys


def test_ratings_movies_and_tables_of_edges(tmp_path: Path) -> None:
    proposal, graph = proposed(
        tmp_path,
        {
            "ratings.csv": RATINGS,
            "movies.csv": MOVIES,
            "acted_in.csv": "person,movieId\nTim,1\nTim,2\nTom,1\n",
            "movie_countries.tsv": "movieId\tcountry_id\n1\tc1\n2\tc1\n3\tc2\n3\tc1\n",
            "countries.csv": "id,name\nc1,France\nc2,Peru\n",
            "facts.csv": "movieId,property,object_uri\n1,writer,x\n1,editor,y\n2,writer,x\n",
            "other.csv": "code,wheels\nzz1,4\nzz2,4\n",
        },
    )
    assert proposal.graph.keys == {"user": "user", "item": "movie", "positive": "rating >= 4"}
    assert sizes(graph) == {
        "(user)-[rated]->(movie)": 48,
        "(movie)-[genre]->(genre)": 9,
        "(movie)-[director]->(director)": 6,
        "(movie)-[acted_in]->(person)": 3,
        "(movie)-[country]->(country)": 4,
        "(movie)-[writer]->(entity)": 2,
        "(movie)-[editor]->(entity)": 1,
    }
    movie = graph.nodes["movie"]
    assert movie["title"][0].as_py() == "Film, The 1"
    assert movie["genres"].to_pylist()[:2] == [["Drama", "War"], ["War"]]
    assert movie["text"][0].as_py() == "Film, The 1. Story of 1"
    assert graph.nodes["country"]["name"].to_pylist() == ["France", "Peru"]
    assert graph.edges[graph.schema.interaction_key]["timestamp"][0].as_py() == 1_260_759_144
    (left_out,) = proposal.doubts
    assert left_out.startswith("other.csv is left out")
    assert any("rating >= 4 as what counts as liked is a guess" in doubt for doubt in proposal.graph.doubts)


def test_events_without_ratings_or_times(tmp_path: Path) -> None:
    proposal, graph = proposed(
        tmp_path,
        {
            "clicks.jsonl": "".join(
                json.dumps({"customer_id": f"c{n % 3}", "sku": f"s{n % 4}", "price": 1.5 * n}) + "\n" for n in range(9)
            )
        },
    )
    assert proposal.graph.keys["item"] == "product"
    assert section(proposal, "split") == {"kind": "random"}
    assert sizes(graph) == {"(user)-[rated]->(product)": 9}
    assert "positive" not in proposal.graph.keys


def test_tags_are_further_traces(tmp_path: Path) -> None:
    rows = [(1, 1, "dark"), (1, 2, "dark"), (2, 2, "fun"), (2, 3, "fun")]
    tags = "userId,movieId,tag\n" + "".join(f"{u},{i},{tag}\n" for u, i, tag in rows)
    _, graph = proposed(tmp_path, {"ratings.csv": RATINGS, "tags.csv": tags})
    assert sizes(graph)["(movie)-[has_tag]->(tag)"] == 4


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("r.csv", "user_id;item_id;rating\nu;a;3\nv;b;4\n", {"separator": ";"}),
        ("r.txt", "user_id\titem_id\nu\ta\nv\tb\n", {"separator": "\t"}),
        ("r.tsv", "user_id\titem_id\nu\ta\nv\tb\n", {}),
        ("r.dat", "1::10::5::838985046\n2::11::3::838985047\n",
         {"separator": "::", "quotes": "none", "header": ["column_1", "column_2", "column_3", "column_4"]}),
        ("r.csv", "user_id,item_id,city\nu,a,Köln\nv,b,x\n".encode("latin-1"), {"encoding": "latin-1"}),
        ("r.csv", "user_id,item_id,city\nu,a,5€\nv,b,x\n".encode("cp1252"), {"encoding": "cp1252"}),
        ("r.csv", "user_id,item_id\nu,a\nv,b\n".encode("utf-16"), {"encoding": "utf-16"}),
        ("r.csv.gz", '\ufeffuser_id,note\nu,"a, b"\nv,"c, d"\n', {}),
        ("r.csv", "a,b\na,c\n", {"header": ["column_1", "column_2"]}),
    ],
)  # fmt: skip
def test_the_form_of_a_text_file(tmp_path: Path, name: str, content: str | bytes, form: dict[str, Any]) -> None:
    ((_, path),) = write(tmp_path, {name: content})
    assert find_form(path)[0] == form


def test_a_file_without_a_header_gets_names_by_what_it_holds(tmp_path: Path) -> None:
    lines = "".join(f"{u}\t{100 + i}\t{1 + i}\t{881250949 + u}\n" for u in range(1, 5) for i in range(5))
    proposal, graph = proposed(tmp_path, {"data.tsv": lines})
    keys = section(proposal, "sources.interactions")
    assert keys["header"] == ["user_id", "item_id", "rating", "timestamp"]
    assert keys["columns"] == {
        "user": "user_id", "item": "item_id", "rating": "rating", "timestamp": "timestamp"
    }  # fmt: skip
    assert sizes(graph) == {"(user)-[rated]->(item)": 20}


def test_backslashes_before_quotes_are_seen(tmp_path: Path) -> None:
    books = '"isbn";"title"\n"1";"The \\"x\\" one"\n"2";"B; or not"\n"3";"C"\n'
    ratings = '"User-ID";"ISBN";"Book-Rating"\n' + "".join(f'"{n % 4}";"{1 + n % 3}";"{n}"\n' for n in range(9))
    proposal, graph = proposed(tmp_path, {"ratings.csv": ratings, "books.csv": books})
    assert section(proposal, "sources.attributes") == {
        "node": "book", "files": ["books.csv"], "id": "isbn", "separator": ";", "quotes": "backslash"
    }  # fmt: skip
    assert graph.nodes["book"]["title"].to_pylist() == ['The "x" one', "B; or not", "C"]


def test_lists_of_items_and_their_parts(tmp_path: Path) -> None:
    train, test = "0 5 6 7\n1 5\n2 6 7\n", "0 8\n1 6 8\n2 5\n"
    proposal, graph = proposed(tmp_path, {"my_train.txt": train, "my_test.txt": test})
    assert section(proposal, "sources.interactions") == {
        "format": "lists", "train": ["my_train.txt"], "test": ["my_test.txt"]
    }  # fmt: skip
    assert section(proposal, "split") == {"kind": "files"}
    assert sizes(graph) == {"(user)-[rated]->(item)": 10}
    _, graph = proposed(tmp_path, {"all.txt": train, "items.csv": "item_id,title\n5,A\n6,B\n7,C\n"})
    assert graph.nodes["item"]["title"].to_pylist() == ["A", "B", "C"]


def test_open_quotes_are_told_from_quoted_cells(tmp_path: Path) -> None:
    books = "".join(f'u{n % 4}\tb{n % 5}\t"Open {n}\n' for n in range(12))
    proposal, graph = proposed(tmp_path, {"r.tsv": f"user_id\tbook_id\tnote\n{books}"})
    assert section(proposal, "sources.interactions")["quotes"] == "none"
    assert sum(sizes(graph).values()) == 12


def test_lists_of_items_that_are_no_utf_8(tmp_path: Path) -> None:
    train, test = "ann the tea milk\nbob tea\n", "ann café\nzoë thé milk\n"
    proposal, graph = proposed(tmp_path, {"a_train.txt": train, "a_test.txt": test.encode("latin-1")})
    assert section(proposal, "sources.interactions")["encoding"] == "latin-1"
    assert "latin-1 is a guess" in as_toml(proposal)
    assert graph.vocabulary("user").ids.to_pylist() == ["ann", "bob", "zoë"]


def test_parquet_with_lists(tmp_path: Path) -> None:
    files = write(tmp_path, {"ratings.csv": RATINGS})
    pq.write_table(
        pa.table({"id": [1, 2, 3], "title": ["A", "B", "C"], "tags": [["x", "y"], ["x"], ["y"]]}),
        tmp_path / "m.parquet",
    )
    proposal = propose([*files, ("m.parquet", tmp_path / "m.parquet")])
    config = check_draft(as_toml(proposal), base=tmp_path, name="draft")
    (edges,) = config.sources.edges
    assert (edges.relation, edges.columns.source, edges.columns.target, edges.split) == ("tag", "id", "tags", None)


def triples(*lines: str) -> str:
    return "".join(f"{line} .\n" for line in lines)


def movie_rdf(iri: str, *, identifier: bool = False) -> str:
    lines = []
    for n in range(1, 7):
        subject = f"<{iri.format(n=n)}>"
        lines += [
            f"{subject} {TYPE} <https://schema.org/Movie>",
            f'{subject} <https://schema.org/name> "Film {n}"@en',
            f"{subject} <https://schema.org/director> <https://example.org/p/{n % 2}>",
            f"<https://example.org/p/{n % 2}> {TYPE} <https://schema.org/Person>",
        ]
        if identifier:
            lines.append(f'{subject} <https://schema.org/identifier> "{n}"')
    return triples(*lines)


@pytest.mark.parametrize(
    ("iri", "identifier", "key"),
    [
        ("https://example.org/m/{n}", False, "https://example.org/m/{id}"),
        ("https://example.org/m/x{n}x", True, "https://schema.org/identifier"),
    ],
)
def test_rdf_beside_ratings(tmp_path: Path, iri: str, identifier: bool, key: str) -> None:
    rdf = movie_rdf(iri, identifier=identifier)
    proposal, graph = proposed(tmp_path, {"ratings.csv": RATINGS, "movies.nt": rdf})
    assert section(proposal, "graph.nodes.movie") == {"key": key}
    assert sizes(graph) == {"(user)-[rated]->(movie)": 48, "(movie)-[director]->(person)": 6}
    assert graph.nodes["movie"]["name"].to_pylist() == [f"Film {n}" for n in range(1, 7)]


def test_rdf_whose_class_has_another_name(tmp_path: Path) -> None:
    ratings = RATINGS.replace("movieId", "filmId")
    proposal, graph = proposed(tmp_path, {"ratings.csv": ratings, "m.nt": movie_rdf("https://example.org/m/{n}")})
    assert section(proposal, "graph.nodes.film")["rdf_class"] == "https://schema.org/Movie"
    assert sizes(graph) == {"(user)-[rated]->(film)": 48, "(film)-[director]->(person)": 6}
    ratings = RATINGS.replace("movieId", "item_id")
    proposal, graph = proposed(tmp_path, {"ratings.csv": ratings, "m.nt": movie_rdf("https://example.org/m/{n}")})
    assert proposal.graph.keys["item"] == "movie"
    assert sizes(graph) == {"(user)-[rated]->(movie)": 48, "(movie)-[director]->(person)": 6}


def test_rdf_that_no_id_matches_is_a_doubt(tmp_path: Path) -> None:
    rdf = triples(*(f"<https://example.org/abc{n}> {TYPE} <https://schema.org/Movie>" for n in ("x", "y", "z")))
    proposal = propose(write(tmp_path, {"ratings.csv": RATINGS, "m.nt": rdf}))
    (doubt,) = proposal.doubts
    assert "no class of the RDF has the ids of the movie nodes" in doubt


def test_rdf_alone_must_hold_users(tmp_path: Path) -> None:
    e = "https://example.org/"
    acts = triples(
        *(f"<{e}u{u}> <{e}liked> <{e}m{m}>" for u in range(3) for m in range(3)),
        *(f"<{e}u{u}> {TYPE} <{e}User>" for u in range(3)),
        *(f"<{e}m{m}> {TYPE} <{e}Movie>" for m in range(3)),
        *(f'<{e}m{m}> <{e}name> "Film"@fr' for m in range(3)),
    )
    proposal, graph = proposed(tmp_path, {"all.nt": acts})
    assert sizes(graph) == {"(user)-[liked]->(movie)": 9}
    assert section(proposal, "sources.rdf")["languages"] == ["fr", ""]
    with pytest.raises(InvalidDataError, match="nothing says what users did"):
        propose(write(tmp_path, {"m.nt": movie_rdf("https://example.org/m/{n}")}))


DATASETS: dict[str, dict[str, str | bytes]] = {
    "recbole": {
        "x.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        "1\t10\t4\t881250949\n1\t11\t1\t881250950\n",
        "x.kg": "head_id:token\trelation_id:token\ttail_id:token\n10\tr\te\n",
        "notes.txt": "nothing\n",
    },
    "kgat": {"train.txt": "0 0\n", "test.txt": "0 1\n", "kg_final.txt": "0 0 2\n"},
    "movielens": {"ratings.dat": "1::1::5::838985046\n1::2::1::838985046\n", "movies.dat": "1::A::Drama\n2::B::War\n"},
    "lastfm": {"user_artists.dat": "userID\tartistID\tweight\n2\t51\t13\n"},
    "amazon": {
        "Toys.jsonl": '{"user_id": "u", "parent_asin": "B", "rating": 5.0, "timestamp": 1391040000000}\n',
        "meta_Toys.jsonl": '{"parent_asin": "B", "title": "x", "store": "s", "categories": ["a"]}\n',
    },
}


@pytest.mark.parametrize("format", DATASETS)
def test_published_data_sets_are_told_by_their_names(tmp_path: Path, format: str) -> None:
    proposal, graph = proposed(tmp_path, DATASETS[format])
    assert section(proposal, "sources.datasets")["format"] == format
    kinds = {"kgat": {"kind": "files"}, "lastfm": {"kind": "random"}}
    splits = [entry.keys for entry in proposal.sections if entry.name == "split"]
    assert splits == ([kinds[format]] if format in kinds else [])
    assert proposal.graph.keys.get("positive") == (
        "rating >= 4" if format == "x" else proposal.graph.keys.get("positive")
    )
    assert graph.schema.interaction is not None


def test_the_rule_of_a_data_set_with_grades(tmp_path: Path) -> None:
    proposal, _ = proposed(tmp_path, DATASETS["recbole"])
    assert proposal.rules == {"rating >= 1": 2, "rating >= 4": 1}
    assert "not read: notes.txt" in proposal.sections[1].doubts


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "nothing to look at"),
        ({"m.csv": "movie_id,title\n1,A\n2,B\n"}, r"no file says what users did.*m\.csv: movie_id, title"),
        ({"v.csv": "Kundennr,Artikel\n1,A\n1,B\n"}, r"Kundennr, Artikel.*rename its columns to user_id and item_id"),
        ({"m.csv": ""}, "empty"),
    ],
)
def test_what_cannot_be_proposed(tmp_path: Path, files: dict[str, str | bytes], message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        propose(write(tmp_path, files))
    with pytest.raises(InvalidDataError, match=r"gone\.csv"):
        propose([("gone.csv", tmp_path / "gone.csv")])


def test_comments_hold_what_files_hold_in_one_line(tmp_path: Path) -> None:
    hostile = 'movieId,genres\n1,"a\n[graph]\nuser = ""x"""\n2,"a\n[graph]\nuser = ""x"""\n3,b\n4,b\n5,b\n6,b\n'
    proposal, _ = proposed(tmp_path, {"ratings.csv": RATINGS, "movies.csv": hostile})
    assert all(line.startswith("#") for line in as_toml(proposal).splitlines() if "Guess" in line)


def test_words() -> None:
    assert words_of("userId") == words_of("userid") == words_of("user_id") == ["user", "id"]
    assert user_rank("User-ID") == 3 > user_rank("user_name") == 1 > user_rank("title") == 0
    assert [item_type(name) for name in ("movieId", "ISBN", "asin", "thing")] == ["movie", "book", "product", "item"]
    assert [type_name(name) for name in ("Genres", "genre_id", "bus", "3d")] == ["genre", "genre", "bus", "type_3d"]

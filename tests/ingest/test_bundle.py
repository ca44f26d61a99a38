from __future__ import annotations

import gzip
import importlib.util
import os
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ingest import DataSettings, QualityReport, build_graph, validate
from kg import KnowledgeGraph, RelationKey

ROOT = Path(__file__).resolve().parents[2]
MOVIES = ROOT / "examples" / "movies"
FILES = ("movies.nt.gz", "ratings.csv.gz", "tags.csv.gz")
SOURCE = Path(os.environ.get("GRAPHRECALL_MOVIES", ROOT.parent / "shared" / "data" / "movies"))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_bundle", MOVIES / "make_bundle.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built() -> tuple[KnowledgeGraph, QualityReport]:
    config = tomllib.loads((MOVIES / "demo.toml").read_text(encoding="utf-8"))
    sections = {name: config[name] for name in ("graph", "sources", "quality")}
    return build_graph(validate(DataSettings, sections), base=MOVIES)


def test_the_bundle_is_small_and_without_times() -> None:
    assert sum((MOVIES / name).stat().st_size for name in FILES) < 3_000_000
    for name in FILES:
        head = (MOVIES / name).read_bytes()[:10]
        assert head[4:8] == bytes(4), "the gzip header holds a time"
        assert not head[3], "the gzip header holds a name"


def test_the_bundle_holds_only_what_may_be_passed_on() -> None:
    text = gzip.decompress((MOVIES / "movies.nt.gz").read_bytes()).decode()
    predicates = {line.split(" ", 2)[1].strip("<>") for line in text.splitlines()}
    dbo, schema, terms = "http://dbpedia.org/ontology/", "https://schema.org/", "https://movielens.org/terms#"
    assert predicates == {
        *(dbo + name for name in ("director", "writer", "starring", "producer", "distributor")),
        *(dbo + name for name in ("musicComposer", "cinematography", "editing")),
        *(schema + name for name in ("alternateName", "datePublished", "genre", "identifier", "name")),
        *(terms + name for name in ("imdbId", "tmdbId")),
        "http://www.w3.org/1999/02/22-rdf-syntax-ns#type",
        "http://www.w3.org/2002/07/owl#sameAs",
    }
    assert max(map(len, text.splitlines())) < 400, "no prose"
    for name, header in (("ratings", "userId,movieId,rating,timestamp"), ("tags", "userId,movieId,tag,timestamp")):
        assert gzip.decompress((MOVIES / f"{name}.csv.gz").read_bytes()).decode().splitlines()[0] == header


def test_the_licences_lie_beside_it() -> None:
    movielens = " ".join((MOVIES / "LICENSE-MovieLens.txt").read_text().split())
    assert "may not use this information for any commercial" in movielens
    assert "10.1145/2827872" in movielens
    assert "CC BY-SA" in (MOVIES / "LICENSE-DBpedia.txt").read_text()


def test_the_bundle_is_what_the_source_gives(script: ModuleType) -> None:
    if not (SOURCE / "movies.csv").exists():
        pytest.skip("the source tables are not here; name their folder in GRAPHRECALL_MOVIES")
    for name, data in script.make(SOURCE).items():
        assert gzip.decompress((MOVIES / f"{name}.gz").read_bytes()) == data
        assert script.compress(data) == script.compress(data)


def test_names_are_made_readable(script: ModuleType) -> None:
    titles = {
        "Matrix, The": "The Matrix",
        "Atalante, L'": "L'Atalante",
        "Librarian, The: The Curse": "The Librarian: The Curse",
        "Big Bang Theory, The (2007-)": "The Big Bang Theory (2007-)",
        "Spider Baby or, The Maddest Story": "Spider Baby or, The Maddest Story",
        "Good, the Bad and the Ugly, The": "The Good, the Bad and the Ugly",
        "Girls, Interrupted": "Girls, Interrupted",
    }
    assert {title: script.readable_title(title) for title in titles} == titles
    names = {
        "Michael_Mann_(director)": "Michael Mann",
        "Kenneth_%22Babyface%22_Edmonds": 'Kenneth "Babyface" Edmonds',
        "(group)": "(group)",
    }
    assert {name: script.readable_name("http://dbpedia.org/resource/" + name) for name in names} == names


def test_a_tiny_source(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "movies.csv").write_text(
        "movieId,title,year,genres,imdbId,tmdbId,released,imdbRating,dbpedia_uri,wikipedia_page,abstract\n"
        '1,"Say ""Hi""",1999,A|B,01,,2000-01-01,7.5,http://dbpedia.org/resource/Hi,Hi,Prose\n'
        "2,X,,(no genres listed),02,5,,,,,\n"
    )
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1,5,9\n")
    (tmp_path / "tags.csv").write_text("userId,movieId,tag,timestamp\n")
    dbr = "http://dbpedia.org/resource/"
    (tmp_path / "dbpedia_edges.csv").write_text(
        "movieId,property,object_uri\n"
        + "".join(
            f"{m},{p},{o}\n"
            for m, p, o in [
                (1, "director", dbr + "Ann_(director)"), (1, "distributor", dbr + "Studio"),
                (2, "producer", dbr + "Studio"), (2, "distributor", dbr + "Studio"), (1, "starring", dbr + "Hi"),
                (1, "starring", dbr + "No_(1999_film)"), (1, "writer", "http://www.imdb.com/name/1"),
            ]
        )
    )  # fmt: skip
    lines = script.make(tmp_path)["movies.nt"].decode().splitlines()
    assert lines == sorted(set(lines))
    edges = [line for line in lines if "dbpedia.org/ontology/" in line and "#type" not in line]
    assert [line.split()[1].split("/")[-1][:-1] for line in edges] == ["director", "distributor", "distributor"]
    assert '<https://movielens.org/movies/1> <https://schema.org/name> "Say \\"Hi\\"" .' in lines
    assert (
        f"<{dbr}Studio> <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <http://dbpedia.org/ontology/Company> ."
        in lines
    )
    assert not any(word in line for line in lines for word in ("2000-01-01", "7.5", "Prose", "imdb.com"))


def test_the_bundled_graph(built: tuple[KnowledgeGraph, QualityReport]) -> None:
    graph, report = built
    assert {name: graph.num_nodes(name) for name in graph.nodes} == {
        "user": 671, "movie": 9_125, "person": 11_448, "company": 319, "genre": 19, "tag": 560,
    }  # fmt: skip
    assert len(graph.interactions) == 100_004
    assert not report.warnings
    assert set(graph.schema.events()) == {
        RelationKey("user", "rated", "movie"),
        RelationKey("user", "tagged", "movie"),
        RelationKey("movie", "has_tag", "tag"),
    }
    movie = int(graph.items.index(["1"])[0])
    assert graph.texts("movie")[movie].as_py() == "Toy Story (1995) Adventure, Animation, Children, Comedy, Fantasy"
    assert graph.title("movie", movie) == "Toy Story"


def test_the_demo_user_has_some_fifty_liked_movies(built: tuple[KnowledgeGraph, QualityReport]) -> None:
    graph, _ = built
    user = tomllib.loads((MOVIES / "demo.toml").read_text(encoding="utf-8"))["demo"]["user"]
    done = graph.interactions
    liked = done.positive & (done.user == graph.users.index([user])[0])
    assert 40 <= int(np.count_nonzero(liked)) <= 60


def test_the_richer_graph_of_the_benchmarks() -> None:
    if not (SOURCE / "acted_in.csv").exists():
        pytest.skip("the source tables are not here; name their folder in GRAPHRECALL_MOVIES")
    from benchmarks.movies_data import rich

    graph, _ = rich(SOURCE)
    assert graph.num_nodes("movie") == 9_125
    assert set(graph.nodes) == {"user", "movie", "person", "genre", "tag"}
    texts = graph.texts("movie")
    assert texts is not None
    assert texts[int(graph.items.index(["1"])[0])].as_py().startswith("Toy Story (1995) Adventure")
    assert "computer-animated" in texts[int(graph.items.index(["1"])[0])].as_py()

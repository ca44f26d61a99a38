"""Time from files to explained candidates for five shapes of the same data, and the lines of configuration to write.

    python -m benchmarks first_hour [--only csv recbole kgat rdf neo4j]

The bundled movies that at least fifty people rated, with what DBpedia says of them, are written in each shape into an
empty folder. Then the commands of docs/your-own-data.md run there, each in a process of its own: `init --yes`, `check`,
`refresh` and `recommend --explain`. What `init` cannot know is added as lines, which are counted. Neo4j runs on a
server that the benchmark starts and fills.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from benchmarks.movies_data import bundled, checksums
from benchmarks.results import record
from kg.graph import KnowledgeGraph
from kg.schema import RelationKey
from recall.runs.layout import RunLayout
from recall.runs.report import Report

LEAST_RATINGS = 50
RULE = 'positive = "rating >= 4"'
RATED = RelationKey("user", "rated", "movie")
COMMAND = [sys.executable, "-c", "from recall.cli.main import main; main()"]


@dataclass(frozen=True)
class Movies:
    """The data: ratings as rows, titles, and knowledge as triples of the ids of movies and the names of others."""

    ratings: list[tuple[str, str, float, int]]
    titles: dict[str, str]
    facts: list[tuple[str, str, str]]

    @classmethod
    def of(cls, graph: KnowledgeGraph) -> Movies:
        """What the bundled graph holds of movies with enough ratings."""
        users, movies = graph.users.ids.to_pylist(), graph.items.ids.to_pylist()
        table = graph.edges[RATED]
        columns = (table[name].to_pylist() for name in ("src", "dst", "rating", "timestamp"))
        ratings = [(users[u], movies[m], rating, at) for u, m, rating, at in zip(*columns, strict=True)]
        counts = Counter(movie for _, movie, _, _ in ratings)
        kept = {movie for movie, count in counts.items() if count >= LEAST_RATINGS}
        names = {
            kind: pc.coalesce(nodes["name"], nodes["id"]).to_pylist()
            for kind, nodes in graph.nodes.items()
            if "name" in nodes.column_names
        }
        facts = [
            (movies[source], key.name, names[key.target][target])
            for key, edges in graph.edges.items()
            if key.source == "movie" and key not in graph.schema.events()
            for source, target in zip(edges["src"].to_pylist(), edges["dst"].to_pylist(), strict=True)
            if movies[source] in kept
        ]
        return cls(
            ratings=[row for row in ratings if row[1] in kept],
            titles={id: title for id, title in zip(movies, names["movie"], strict=True) if id in kept},
            facts=facts,
        )


def write_csv(data: Movies, folder: Path) -> list[str]:
    """Ratings, movies with genres in one cell, and a table for each other relation."""

    def table(name: str, header: Sequence[str], rows: Iterator[Sequence[Any]] | Sequence[Sequence[Any]]) -> str:
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return name

    genres: dict[str, list[str]] = {}
    for movie, relation, value in data.facts:
        if relation == "genre":
            genres.setdefault(movie, []).append(value)
    rows = [(movie, title, "|".join(genres.get(movie, []))) for movie, title in data.titles.items()]
    names = [
        table("ratings.csv", ("userId", "movieId", "rating", "timestamp"), data.ratings),
        table("movies.csv", ("movieId", "title", "genres"), rows),
    ]
    for relation in sorted({relation for _, relation, _ in data.facts} - {"genre"}):
        pairs = [(movie, value) for movie, kind, value in data.facts if kind == relation]
        names.append(table(f"{relation}.csv", ("movieId", "person"), pairs))
    return names


def write_recbole(data: Movies, folder: Path) -> list[str]:
    """Atomic files: interactions, items, triples and the links of both."""
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    lines += ["\t".join(map(str, row)) for row in data.ratings]
    (folder / "movies.inter").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines = ["item_id:token\tmovie_title:token_seq", *(f"{id}\t{title}" for id, title in data.titles.items())]
    (folder / "movies.item").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines = ["head_id:token\trelation_id:token\ttail_id:token"]
    lines += [f"m.{movie}\t{relation}\t{value}" for movie, relation, value in data.facts]
    (folder / "movies.kg").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines = ["item_id:token\tentity_id:token", *(f"{movie}\tm.{movie}" for movie in data.titles)]
    (folder / "movies.link").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["movies.inter", "movies.item", "movies.kg", "movies.link"]


def write_kgat(data: Movies, folder: Path) -> list[str]:
    """Numbered lists of liked movies, the last fifth of each user as the test part, and numbered triples."""
    number = {movie: place for place, movie in enumerate(data.titles)}
    users = {user: place for place, user in enumerate(dict.fromkeys(row[0] for row in data.ratings))}
    liked: dict[int, list[tuple[int, int]]] = {}
    for user, movie, rating, at in data.ratings:
        if rating >= 4:
            liked.setdefault(users[user], []).append((at, number[movie]))
    parts: dict[str, list[str]] = {"train.txt": [], "test.txt": []}
    for user, events in sorted(liked.items()):
        items = [str(item) for _, item in sorted(events)]
        cut = max(1, len(items) * 4 // 5)
        parts["train.txt"].append(" ".join([str(user), *items[:cut]]))
        parts["test.txt"].append(" ".join([str(user), *items[cut:]]))
    entities = {value: len(number) + place for place, value in enumerate(dict.fromkeys(f[2] for f in data.facts))}
    relations = {name: place for place, name in enumerate(sorted({fact[1] for fact in data.facts}))}
    parts["kg_final.txt"] = [f"{number[m]} {relations[r]} {entities[v]}" for m, r, v in data.facts]
    parts["relation_list.txt"] = ["org_id remap_id", *(f"{name} {place}" for name, place in relations.items())]
    for name, lines in parts.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return list(parts)


def write_rdf(data: Movies, folder: Path) -> list[str]:
    """Ratings as a table, and N-Triples whose IRIs hold the ids of the movies."""
    base, kind = "https://example.org", "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>"
    lines = []
    for movie, title in data.titles.items():
        lines.append(f"<{base}/movie/{movie}> {kind} <https://schema.org/Movie> .")
        lines.append(f"<{base}/movie/{movie}> <https://schema.org/name> {json.dumps(title)}@en .")
    things = {value: f"{base}/thing/{place}" for place, value in enumerate(dict.fromkeys(f[2] for f in data.facts))}
    lines += [f"<{base}/movie/{m}> <{base}/ns#{r}> <{things[v]}> ." for m, r, v in data.facts]
    lines += [f"<{iri}> <https://schema.org/name> {json.dumps(value)} ." for value, iri in things.items()]
    (folder / "movies.nt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n" + "".join(f"{u},{m},{r},{t}\n" for u, m, r, t in data.ratings),
        encoding="utf-8",
    )
    return ["ratings.csv", "movies.nt"]


@contextmanager
def neo4j_server(data: Movies) -> Iterator[dict[str, str]]:
    """A server that holds the data; yields the environment that its password is in, and its address as `uri`."""
    from kg.stores.neo4j.connection import Neo4jConnection
    from tests.neo4j_server.server import Neo4jServer

    with tempfile.TemporaryDirectory(prefix="graphrecall-") as folder, Neo4jServer(Path(folder)) as server:
        os.environ["NEO4J_PASSWORD"] = server.password
        with Neo4jConnection(uri=server.uri).open() as store:
            for label in ("User", "Movie", "Thing"):
                store.auto_commit(f"CREATE CONSTRAINT FOR (n:{label}) REQUIRE n.id IS UNIQUE")
            movies = [{"id": id, "title": title} for id, title in data.titles.items()]
            _load(store, "UNWIND $rows AS r CREATE (:Movie {id: r.id, title: r.title})", movies)
            _load(
                store,
                "UNWIND $rows AS r MERGE (u:User {id: r.u}) WITH u, r MATCH (m:Movie {id: r.m}) "
                "CREATE (u)-[:RATED {rating: r.rating, timestamp: r.at}]->(m)",
                [{"u": u, "m": m, "rating": rating, "at": at} for u, m, rating, at in data.ratings],
            )
            for relation in sorted({fact[1] for fact in data.facts}):
                _load(
                    store,
                    "UNWIND $rows AS r MATCH (m:Movie {id: r.m}) MERGE (t:Thing {id: r.v}) "
                    f"CREATE (m)-[:{relation.upper()}]->(t)",
                    [{"m": m, "v": v} for m, kind, v in data.facts if kind == relation],
                )
        yield {"NEO4J_PASSWORD": server.password, "uri": server.uri}


def _load(store: Any, statement: str, rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), 10_000):
        store.write(statement, {"rows": rows[start : start + 10_000]})


SHAPES: dict[str, tuple[str, Callable[[Movies, Path], list[str]] | None, tuple[str, ...]]] = {
    "csv": ("CSV: ratings, movies, a table a relation", write_csv, ()),
    "recbole": ("RecBole's atomic files", write_recbole, ()),
    "kgat": ("KGAT: numbered lists and triples", write_kgat, ()),
    "rdf": ("ratings in CSV, movies in RDF", write_rdf, ()),
    "neo4j": ("Neo4j", None, (RULE,)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the shapes and record them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks first_hour", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=sorted(SHAPES), default=list(SHAPES))
    options = parser.parse_args(arguments)
    data = Movies.of(bundled()[0])
    rows = [measure(name, data) for name in options.only]
    record(
        "first_hour",
        rows,
        data=checksums(),
        users=len({row[0] for row in data.ratings}),
        movies=len(data.titles),
        ratings=len(data.ratings),
        facts=len(data.facts),
    )


def measure(name: str, data: Movies) -> dict[str, Any]:
    """One shape, from an empty folder with its files to candidates with reasons."""
    title, write, lines = SHAPES[name]
    with tempfile.TemporaryDirectory(prefix="graphrecall-") as scratch:
        folder = Path(scratch)
        if write is not None:
            return {"shape": title, **_commands(folder, write(data, folder), {}, lines)}
        with neo4j_server(data) as environment:
            uri = environment.pop("uri")
            return {"shape": title, **_commands(folder, ["--neo4j", uri], environment, lines)}


def _commands(folder: Path, inputs: list[str], environment: dict[str, str], lines: Sequence[str]) -> dict[str, Any]:
    config = folder / "graphrecall.toml"
    seconds: dict[str, float] = {}
    cpu = resource.getrusage(resource.RUSAGE_CHILDREN)

    def run(name: str, *arguments: str) -> str:
        start = time.perf_counter()
        done = subprocess.run(
            [*COMMAND, name, *arguments],
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds[name] = round(time.perf_counter() - start, 1)
        if done.returncode:
            raise RuntimeError(f"{name} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        print(f"{name} {seconds[name]} s", flush=True)
        return done.stdout

    run("init", *inputs, "--yes")
    if lines:
        text = config.read_text(encoding="utf-8")
        config.write_text(re.sub(r"^\[graph\]$", "\n".join(["[graph]", *lines]), text, flags=re.MULTILINE), "utf-8")
    run("check", config.name)
    run("refresh", config.name)
    latest = RunLayout((folder / "runs" / "current").resolve())
    report = Report.load(latest)
    user = str(_a_user(latest))
    answer = run("recommend", "runs/current", "--user", user, "--explain")
    if "candidates for user" not in answer:
        raise RuntimeError(f"no candidates: {answer}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    events = sum(count for relation, count in report.data.edges.items() if relation.startswith("(user)"))
    return {
        "lines to write": len(lines),
        "lines by init": sum(bool(line.strip()) and line[0] != "#" for line in config.read_text("utf-8").splitlines()),
        **{f"{name} s": value for name, value in seconds.items()},
        "all s": round(sum(seconds.values()), 1),
        "cpu s": round(after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime, 1),
        "interactions": events,
        "knowledge edges": sum(report.data.edges.values()) - events,
    }


def _a_user(run: RunLayout) -> str:
    from kg.io.graph_folder import load_graph

    return str(load_graph(run.graph, verify=False).users.ids[0].as_py())


if __name__ == "__main__":
    main()

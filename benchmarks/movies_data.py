"""The two movie graphs of the benchmarks: the bundled one, and a richer one from tables that are not passed on."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path

from ingest import DataSettings, GraphBuilder, GraphSettings, QualityReport, build_graph, validate
from kg import KnowledgeGraph
from kg.io.files import checksum

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ("movies.nt.gz", "ratings.csv.gz", "tags.csv.gz")
SOURCE = ("movies.csv", "acted_in.csv", "directed.csv", "ratings.csv", "tags.csv")


def bundled(root: Path = ROOT) -> tuple[KnowledgeGraph, QualityReport]:
    """The graph of the demo: MovieLens with DBpedia's people and companies, from `root/examples/movies`."""
    base = root / "examples" / "movies"
    config = tomllib.loads((base / "demo.toml").read_text(encoding="utf-8"))
    sections = {name: config[name] for name in ("graph", "sources", "quality") if name in config}
    return build_graph(validate(DataSettings, sections, where="demo.toml"), base=base)


def rich(source: Path) -> tuple[KnowledgeGraph, QualityReport]:
    """The richer graph: cast and directors for nearly all movies, and plot abstracts in the text.

    Its people come from `acted_in.csv` and `directed.csv` instead of DBpedia (the two overlap without a common key).

    Args:
        source: folder with movies.csv, ratings.csv, tags.csv, acted_in.csv and directed.csv; nothing is written.
    """
    with (source / "movies.csv").open(encoding="utf-8", newline="") as stream:
        movies = list(csv.DictReader(stream))
    settings = validate(
        GraphSettings,
        {
            "user": "user",
            "item": "movie",
            "positive": "rating >= 4",
            "nodes": {"movie": {"text": "{title} ({year}) {genre}. {abstract}", "title": "title"}},
            "relations": {
                "acted_in": {"phrase": "acted in"},
                "directed": {"phrase": "directed"},
                "genre": {"phrase": "has the genre"},
                "has_tag": {"phrase": "was tagged as"},
            },
        },
    )
    columns = {"user": "userId", "item": "movieId", "timestamp": "timestamp"}
    builder = GraphBuilder(settings)
    builder.add_attributes(
        {
            "id": [row["movieId"] for row in movies],
            "title": [row["title"].strip() for row in movies],
            "year": [int(row["year"]) if row["year"] else None for row in movies],
            "abstract": [row["abstract"] or None for row in movies],
        },
        node="movie",
        name="movies.csv",
    )
    genres = [
        (row["movieId"], genre) for row in movies for genre in row["genres"].split("|") if not genre.startswith("(")
    ]
    builder.add_edges(
        {"source": [movie for movie, _ in genres], "target": [genre for _, genre in genres]},
        source="movie",
        relation="genre",
        target="genre",
        name="genres of movies.csv",
    )
    for relation in ("acted_in", "directed"):
        builder.add_edges(
            source / f"{relation}.csv",
            source="person",
            relation=relation,
            target="movie",
            columns={"source": "person", "target": "movieId"},
        )
    builder.add_interactions(source / "ratings.csv", columns={**columns, "rating": "rating"})
    builder.add_events(
        source / "tags.csv",
        relation="tagged",
        columns={**columns, "value": "tag"},
        value_type="tag",
        value_relation="has_tag",
    )
    return builder.build()


def checksums(root: Path = ROOT, source: Path | None = None) -> dict[str, str]:
    """File name -> sha256 of what `bundled` and, with a source folder, `rich` read."""
    files = [root / "examples" / "movies" / name for name in BUNDLE]
    files += [source / name for name in SOURCE] if source is not None else []
    return {path.name: checksum(path) for path in files}

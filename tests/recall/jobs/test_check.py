"""`graphrecall check`: what becomes of the sources, and what to write where they do not fit."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from recall.cli.main import main
from recall.config.deployment import load_config
from recall.jobs.check import Check, check

RATINGS = "user,movie,stars,at\n" + "".join(
    f"u{user},{movie},{1 + (user * movie) % 5},{1_500_000_000 + 1000 * user + movie}\n"
    for user in range(8)
    for movie in range(1, 9)
)
MOVIES = "movie,title,genres,director\n" + "".join(
    f"{movie},Title {movie},{'Drama|War' if movie % 2 else 'War'},Director {movie % 3}\n" for movie in range(1, 9)
)
CONFIG = """
[graph]
item = "movie"
{graph}
[[sources.interactions]]
files = ["ratings.csv"]
columns = {{ user = "user", item = "movie", rating = "stars", timestamp = "at" }}

[[sources.attributes]]
node = "movie"
files = ["movies.csv"]
id = "movie"
"""


def write(folder: Path, *, graph: str = "", more: str = "", movies: str = MOVIES) -> Path:
    (folder / "ratings.csv").write_text(RATINGS, encoding="utf-8")
    (folder / "movies.csv").write_text(movies, encoding="utf-8")
    path = folder / "my.toml"
    path.write_text(CONFIG.format(graph=graph) + more, encoding="utf-8")
    return path


def checked(folder: Path, **parts: str) -> Check:
    return check(load_config(write(folder, **parts)))


def test_it_says_what_becomes_of_the_sources(tmp_path: Path) -> None:
    result = checked(tmp_path)
    assert [(s.name, s.read) for s in result.sources] == [("ratings.csv", 64), ("movies.csv", 8)]
    assert {node.type: node.count for node in result.nodes} == {"user": 8, "movie": 8}
    movie = result.nodes[1]
    assert movie.attributes == {"title": "string", "genres": "string", "director": "string"}
    assert (movie.template, movie.empty_texts) == ("{title}", 0)
    assert movie.samples[0] == {
        "id": "1", "title": "Title 1", "genres": "Drama|War", "director": "Director 1", "text": "Title 1"
    }  # fmt: skip
    (rated,) = result.edges
    assert (rated.relation, rated.count, rated.is_event) == ("(user)-[rated]->(movie)", 64, True)
    assert rated.samples[0] == {"source": "u0", "target": "1", "rating": 1.0, "timestamp": 1_500_000_001}
    assert sum(result.split.values()) == 64
    assert result.problems == []
    assert result.cost.texts == 8
    assert result.cost.memory > 0
    assert not (tmp_path / "runs").exists(), "nothing is written"


def test_a_scale_without_a_rule_is_asked_about(tmp_path: Path) -> None:
    positives = checked(tmp_path).positives
    assert positives is not None
    assert (positives.rule, positives.kept, positives.of) == ("all", 64, 64)
    assert sum(positives.grades.values()) == 64
    assert positives.suggestion == 'graph.positive = "rating >= 4"'
    kept = positives.rules["rating >= 4"]
    assert kept == positives.grades["4"] + positives.grades["5"]
    asked = checked(tmp_path, graph='positive = "rating >= 4"').positives
    assert asked is not None
    assert (asked.kept, asked.suggestion) == (kept, None)


def test_the_lines_for_attributes_make_edges_and_are_then_not_asked_for(tmp_path: Path) -> None:
    result = checked(tmp_path)
    assert [(s.values.attribute, s.values.separator) for s in result.suggestions] == [
        ("genres", "|"),
        ("director", None),
    ]
    lines = "\n".join(suggestion.lines or "" for suggestion in result.suggestions)
    mended = checked(tmp_path, more=lines)
    assert {edge.relation: edge.count for edge in mended.edges} == {
        "(user)-[rated]->(movie)": 64,
        "(movie)-[director]->(director)": 8,
        "(movie)-[genres]->(genres)": 12,
    }
    assert mended.suggestions == []


def test_ids_that_do_not_match_are_a_problem_and_the_advice_mends_it(tmp_path: Path) -> None:
    shifted = MOVIES.replace("\n", "\nm").rstrip("m")
    result = checked(tmp_path, movies=shifted)
    (problem,) = result.problems
    assert "0 of the 8 ids of movie nodes in movies.csv" in problem
    (match,) = result.matches
    assert match.share == 0
    (line, share) = match.advice[0]
    assert share == 1.0
    key = line.split(" for ")[0]
    assert tomllib.loads(key)["sql"].startswith("SELECT * REPLACE")
    assert checked(tmp_path, movies=shifted, more=key + "\n").problems == []


def test_a_split_that_cannot_be_is_a_problem(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace(', timestamp = "at"', ""), encoding="utf-8")
    (problem,) = check(load_config(path)).problems
    assert "needs a timestamp" in problem
    assert 'split.kind = "random"' in problem


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code: object = 0
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code
    return (code if isinstance(code, int) else 0), capsys.readouterr().out


def test_the_command_prints_text_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    code, text = run(capsys, "check", str(path))
    assert code == 0
    for words in (
        "100%  movie in movies.csv: 8 of 8 ids",
        "all: 64 of 64 interactions",
        'write graph.positive = "rating >= 4"',
        "8 movie: title (string)",
        "encoded as '{title}'",
        "64 (user)-[rated]->(movie), what users did",
        "movie.genres: 2 values such as War, Drama",
        '\n    split = "|"\n',
        f"good: graphrecall refresh {path}",
    ):
        assert words in text
    code, text = run(capsys, "check", str(path), "--json")
    data: dict[str, Any] = json.loads(text)
    assert code == 0
    assert data["matches"][0]["share"] == 1.0
    assert data["could_be_edges"][0]["lines"].startswith("[[sources.edges]]")


def test_the_command_fails_where_a_refresh_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, movies=MOVIES.replace("\n", "\nm").rstrip("m"))
    code, text = run(capsys, "check", str(path))
    assert code == 1
    assert "a refresh would refuse this: 0 of the 8 ids" in text
    assert "write sql = " in text
    code, text = run(capsys, "check", str(path), "--json")
    assert code == 1
    assert len(json.loads(text)["problems"]) == 1

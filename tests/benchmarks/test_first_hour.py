"""The five shapes of the first hour hold the same data, and each proposal makes the same graph of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.first_hour import RULE, SHAPES, Movies, _commands
from ingest import DataSettings, build_graph
from ingest.look import propose
from recall.config.draft import as_toml, check_draft

pytestmark = pytest.mark.benchmarks

FACTS = [
    (str(movie), relation, f"{relation} {movie % 3}") for movie in range(1, 13) for relation in ("genre", "director")
]
DATA = Movies(
    ratings=[
        (f"u{user}", str(movie), 1.0 + (user * movie) % 5, 1_260_759_144 + 100 * user + movie)
        for user in range(12)
        for movie in range(1, 13)
        if (user + movie) % 3
    ],
    titles={str(movie): f'Film "{movie}", The' for movie in range(1, 13)},
    facts=FACTS,
)
FILES = [name for name, (_, write, _) in SHAPES.items() if write is not None]


@pytest.mark.parametrize("shape", FILES)
def test_a_shape_makes_the_graph(shape: str, tmp_path: Path) -> None:
    _, write, lines = SHAPES[shape]
    assert write is not None
    proposal = propose([(name, tmp_path / name) for name in write(DATA, tmp_path)])
    config = check_draft(as_toml(proposal), base=tmp_path, name="draft")
    graph, report = build_graph(DataSettings(graph=config.graph, sources=config.sources), base=tmp_path)
    liked = sum(rating >= 4 for _, _, rating, _ in DATA.ratings)
    assert int(graph.interactions.positive.sum()) == liked
    knowledge = [table.num_rows for key, table in graph.edges.items() if key not in graph.schema.events()]
    assert sum(knowledge) == len(FACTS)
    assert all(match.share == 1.0 for match in report.matches)
    assert lines == ()


@pytest.mark.slow
def test_the_commands_end_with_candidates(tmp_path: Path) -> None:
    _, write, _ = SHAPES["csv"]
    assert write is not None
    row = _commands(tmp_path, write(DATA, tmp_path), {}, (RULE,)[1:])
    assert row["lines to write"] == 0
    assert row["knowledge edges"] == len(FACTS)
    assert row["interactions"] == len(DATA.ratings)
    assert row["all s"] > 0

"""A tiny deployment (RDF and CSV sources, a config) and a run refreshed from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recall.config.deployment import load_config
from recall.jobs.refresh import RefreshResult, refresh

ONE_CHANNEL = 'channels = ["lightgcn"]'  # in the text below, for tests that want others
CONFIG = """
[graph]
item = "movie"
positive = "rating >= 4"
[graph.nodes.movie]
rdf_class = "https://schema.org/Movie"
key = "https://schema.org/identifier"
text = "{name}"
[[sources.rdf]]
files = ["movies.nt"]
[[sources.interactions]]
files = ["ratings.csv"]
columns = {user = "userId", item = "movieId", rating = "rating", timestamp = "timestamp"}
[pipeline]
channels = ["lightgcn"]
[channels.lightgcn]
dim = 8
[channels.lightgcn.training]
max_steps = 6
eval_every = 2
batch_size = 64
negatives = 16
[evaluation]
k = [5, 10]
[runs]
folder = "runs"
keep = 2
[demo]
user = "u1"
"""


def write_deployment(folder: Path, *, users: int = 16, movies: int = 24, ratings: int = 12) -> Path:
    """Sources and config below a folder; returns the config's path."""
    random = np.random.default_rng(5)
    words = ["night", "river", "stone", "garden", "winter", "train", "letter", "island"]
    lines = []
    schema, kind = "https://schema.org/", "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>"
    for number in range(movies):
        subject = f"<http://example.org/movie/{number}>"
        person = f"<http://example.org/person/p{number % 5}>"
        name = f"The {words[number % 8]} of the [{words[number * 3 % 7]}] {number}"
        lines += [
            f"{subject} {kind} <{schema}Movie> .",
            f'{subject} <{schema}identifier> "m{number}" .',
            f'{subject} <{schema}name> "{name}"@en .',
            f"{subject} <{schema}director> {person} .",
            f'{person} <{schema}name> "Person {number % 5}" .',
            f"{person} {kind} <{schema}Person> .",
        ]
    rows = ["userId,movieId,rating,timestamp"]
    for user in range(users):
        for at, movie in enumerate(random.permutation(movies)[:ratings]):
            rows.append(f"u{user},m{movie},{random.choice([3.0, 4.0, 4.5, 5.0])},{1_000_000 + 100 * at + user}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "movies.nt").write_text("\n".join(lines) + "\n")
    (folder / "ratings.csv").write_text("\n".join(rows) + "\n")
    (folder / "config.toml").write_text(CONFIG)
    return folder / "config.toml"


@pytest.fixture(scope="session")
def make_deployment() -> Callable[[Path], Path]:
    """Writes a deployment below a folder and returns its config."""
    return write_deployment


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config of a deployment whose run must not be changed by a test."""
    return write_deployment(tmp_path_factory.mktemp("deployment"))


@pytest.fixture(scope="session")
def refreshed(deployment: Path) -> RefreshResult:
    """The published run of `deployment`."""
    return refresh(load_config(deployment))


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: exit code, stdout, stderr."""
    from recall.cli.main import main

    def run(*arguments: object) -> tuple[int, str, str]:
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run

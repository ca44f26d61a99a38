"""One published run of a cut of the bundled movies, shared by all pages."""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter
from pathlib import Path

import pytest

from recall.config.deployment import load_config
from recall.jobs.refresh import refresh
from tests.docs.pages import ROOT

BUNDLE = ROOT / "examples" / "movies"
LEAST_RATINGS = 40


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the repository after `make demo`, with the movies that many people rated."""
    folder = tmp_path_factory.mktemp("project")
    config = write_bundle(folder / "examples" / "movies")
    refresh(load_config(config))
    return folder


def write_bundle(target: Path) -> Path:
    """The bundled data, cut, and its config with a short training; returns the config."""
    target.mkdir(parents=True)
    with gzip.open(BUNDLE / "ratings.csv.gz", "rt", encoding="utf-8", newline="") as stream:
        ratings = list(csv.DictReader(stream))
    counts = Counter(row["movieId"] for row in ratings)
    kept = {movie for movie, count in counts.items() if count >= LEAST_RATINGS}
    with gzip.open(target / "ratings.csv.gz", "wt", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(ratings[0]))
        writer.writeheader()
        writer.writerows(row for row in ratings if row["movieId"] in kept)
    with gzip.open(BUNDLE / "tags.csv.gz", "rt", encoding="utf-8") as stream:
        tags = [line for number, line in enumerate(stream) if number == 0 or line.split(",")[1] in kept]
    with gzip.open(target / "tags.csv.gz", "wt", encoding="utf-8") as stream:
        stream.writelines(tags)
    movie = re.compile(r"<https://movielens\.org/movies/(\d+)>")
    with (
        gzip.open(BUNDLE / "movies.nt.gz", "rt", encoding="utf-8") as stream,
        gzip.open(target / "movies.nt.gz", "wt", encoding="utf-8") as out,
    ):
        out.writelines(line for line in stream if (match := movie.match(line)) is None or match[1] in kept)
    config = (BUNDLE / "demo.toml").read_text(encoding="utf-8")
    config, changed = re.subn(r"max_steps = \d+", "max_steps = 20\neval_every = 10", config)
    assert changed == 1
    (target / "demo.toml").write_text(config, encoding="utf-8")
    return target / "demo.toml"

"""The two deployments of the refresh benchmark, whose sources can be written without a share of what is newest."""

from __future__ import annotations

import csv
import gzip
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from benchmarks import gowalla_data, movies_data
from benchmarks.movies_data import ROOT
from benchmarks.recipes import GOWALLA
from kg.vocabulary import stable_hash

MOVIES = ROOT / "examples" / "movies"
CONFIG = "config.toml"


class Deployment(Protocol):
    """A configuration and its sources."""

    name: str

    def write(self, folder: Path, missing: float) -> Path:
        """Write the configuration and the sources without a share of the items and of the newest interactions.

        The runs folder is `runs` beside them.

        Returns:
            The configuration's path.
        """
        ...

    def checksums(self) -> dict[str, str]:
        """File name -> sha256 of what is read."""
        ...


@dataclass(frozen=True)
class BundledMovies:
    """The demo's: triples, ratings and tags."""

    triples: list[tuple[str | None, str]]
    ratings: list[dict[str, str]]
    tags: list[dict[str, str]]
    name: str = "movies"

    @classmethod
    def read(cls) -> BundledMovies:
        """All lines, those of the triples with the movie they are about."""
        with gzip.open(MOVIES / "movies.nt.gz", "rt", encoding="utf-8") as stream:
            lines = stream.readlines()
        movie = re.compile(r"<https://movielens\.org/movies/(\d+)> ")
        matches = [movie.match(line) for line in lines]
        triples = [
            (None if match is None else match.group(1), line) for match, line in zip(matches, lines, strict=True)
        ]
        return cls(triples, _rows(MOVIES / "ratings.csv.gz"), _rows(MOVIES / "tags.csv.gz"))

    def write(self, folder: Path, missing: float) -> Path:
        """See `Deployment`."""
        gone = _drawn({item for item, _ in self.triples if item is not None}, missing)
        times = sorted(int(row["timestamp"]) for row in self.ratings)
        until = times[len(times) - 1 - round(missing * len(times))]
        with gzip.open(folder / "movies.nt.gz", "wt", encoding="utf-8", compresslevel=1) as stream:
            stream.writelines(line for item, line in self.triples if item not in gone)
        for name, rows in (("ratings", self.ratings), ("tags", self.tags)):
            kept = [row for row in rows if row["movieId"] not in gone and int(row["timestamp"]) <= until]
            with gzip.open(folder / f"{name}.csv.gz", "wt", encoding="utf-8", newline="") as stream:
                writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
                writer.writeheader()
                writer.writerows(kept)
        text = (MOVIES / "demo.toml").read_text(encoding="utf-8").replace('"../../runs"', '"runs"')
        return _write(folder, text)

    def checksums(self) -> dict[str, str]:
        """See `Deployment`."""
        return movies_data.checksums()


@dataclass(frozen=True)
class Gowalla:
    """The check-ins of the LightGCN paper: no texts, no attributes, and of the times only the order of each user's.

    A check-in's time is its place in the user's line (training, then test) as a share of the line, so that the newest
    are the last ones of all users alike.
    """

    source: Path
    lines: list[tuple[str, str, int]]  # user, item, time
    name: str = "gowalla"

    @classmethod
    def read(cls, source: Path) -> Gowalla:
        """All check-ins.

        Args:
            source: folder with train.txt and test.txt.
        """
        visited: dict[str, list[str]] = {}
        for file in gowalla_data.FILES:
            for line in (source / file).read_text(encoding="ascii").splitlines():
                user, *items = line.split()
                visited.setdefault(user, []).extend(items)
        random = np.random.default_rng(0)
        lines = []
        for user, items in visited.items():
            times = 10**9 * (np.arange(len(items)) + random.random(len(items))) / max(len(items), 1)
            lines += [(user, item, int(time)) for item, time in zip(items, times, strict=True)]
        return cls(source, lines)

    def write(self, folder: Path, missing: float) -> Path:
        """See `Deployment`."""
        gone = _drawn({item for _, item, _ in self.lines}, missing)
        until = np.quantile([time for _, _, time in self.lines], 1 - missing, method="lower")
        with (folder / "visits.csv").open("w", encoding="ascii", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(("user", "item", "timestamp"))
            writer.writerows(line for line in self.lines if line[1] not in gone and line[2] <= until)
        sections = {
            "channels.lightgcn": GOWALLA.model.model_dump(),
            "channels.lightgcn.training": GOWALLA.training.model_dump(),
        }
        values = "\n".join(
            f"[{name}]\n" + "\n".join(f"{key} = {_toml(value)}" for key, value in section.items() if value is not None)
            for name, section in sections.items()
        )
        text = f"""\
[graph]
user = "user"
item = "item"

[[sources.interactions]]
relation = "visited"
files = ["visits.csv"]
columns = {{ user = "user", item = "item", timestamp = "timestamp" }}

{values}

[evaluation]
baselines = ["popularity"]

[runs]
folder = "runs"
"""
        return _write(folder, text)

    def checksums(self) -> dict[str, str]:
        """See `Deployment`."""
        return gowalla_data.checksums(self.source)


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _drawn(items: set[str], share: float) -> set[str]:
    """A share of the items, always the same ones first."""
    names = sorted(items)
    return {names[at] for at in np.argsort(stable_hash(names, 0))[: round(share * len(names))]}


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(entry) for entry in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _write(folder: Path, text: str) -> Path:
    (folder / CONFIG).write_text(text, encoding="utf-8")
    return folder / CONFIG

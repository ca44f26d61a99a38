"""Deployments whose data changes: the demo's, with the training cut short."""

from __future__ import annotations

import gzip
import io
import json
import shutil
from pathlib import Path

import numpy as np

from kg.io.files import atomic_path, write_text

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "movies"
# Models of a few steps, on little data, differ more from one another than the gate lets pass.
OPEN_GATE = "".join(
    f"\n[gate.{kind}]\nmetric_loss = 1\ncoverage_loss = 1\ntop_changed = 1\n" for kind in ("incremental", "full")
)


class Deployment:
    """A config, its sources, and the ratings that were added to them.

    Attributes:
        config: the TOML file.
        runs: its runs folder.
        added: rows of the ratings beyond those it began with, each of a pair of its own.
    """

    def __init__(self, config: Path) -> None:
        self.config = config
        text = config.read_text()
        if "[gate" not in text:
            write_text(config, text + OPEN_GATE)
        self.folder = config.parent
        self.runs = self.folder / "runs"
        self._state = self.folder / "added.json"
        (self._ratings,) = self.folder.glob("ratings.csv*")
        self._base = self.folder / f"base-{self._ratings.name}"
        if not self._base.exists():
            shutil.copyfile(self._ratings, self._base)
        self.added: list[list[str]] = json.loads(self._state.read_text()) if self._state.exists() else []

    @classmethod
    def demo(cls, folder: Path) -> Deployment:
        """The demo at its own size, but for a training of a few steps."""
        config = folder / "config.toml"
        if not config.exists():
            folder.mkdir(parents=True, exist_ok=True)
            for file in EXAMPLE.glob("*.gz"):
                shutil.copyfile(file, folder / file.name)
            text = (EXAMPLE / "demo.toml").read_text()
            for old, new in (("max_steps = 140", "max_steps = 6\neval_every = 1"), ("../../runs", "runs")):
                assert old in text
                text = text.replace(old, new)
            write_text(config, text.replace("keep = 3", "keep = 2"))
        return cls(config)

    def movies(self) -> list[str]:
        """Ids of rated movies, in the order of the file."""
        rows = self._text(self._base).splitlines()[1:]
        return list(dict.fromkeys(row.split(",")[1] for row in rows))

    def change(self, random: np.random.Generator) -> str:
        """Add a few ratings, or take one back; what was done, in words."""
        if self.added and random.random() < 0.2:
            gone = self.added.pop(int(random.integers(len(self.added))))
            done = f"took back {','.join(gone[:2])}"
        else:
            movies, have = self.movies(), {(user, movie) for user, movie, *_ in self.added}
            new = 0
            for _ in range(int(random.integers(1, 4))):
                pair = (f"soak{random.integers(7)}", movies[int(random.integers(len(movies)))])
                if pair not in have:
                    have.add(pair)
                    self.added.append([*pair, f"{random.integers(1, 6)}", f"{1_480_000_000 + len(self.added)}"])
                    new += 1
            done = f"added {new}"
            if not new:
                return self.change(random)
        write_text(self._state, json.dumps(self.added))
        self.write()
        return done

    def write(self) -> None:
        """Write the ratings as they are now, in one go."""
        rows = "".join(",".join(row) + "\n" for row in self.added)
        with atomic_path(self._ratings) as temporary:
            temporary.write_bytes(self._base.read_bytes() + self._packed(rows))

    def _packed(self, rows: str) -> bytes:
        if self._ratings.suffix != ".gz":
            return rows.encode()
        content = io.BytesIO()
        with gzip.GzipFile(fileobj=content, mode="wb", mtime=0) as stream:
            stream.write(rows.encode())
        return content.getvalue()

    @staticmethod
    def _text(file: Path) -> str:
        return gzip.decompress(file.read_bytes()).decode() if file.suffix == ".gz" else file.read_text()

    def rows(self) -> int:
        """Rows of the ratings now."""
        return self._text(self._base).count("\n") - 1 + len(self.added)

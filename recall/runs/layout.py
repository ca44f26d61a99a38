"""Where each artifact of one run lies."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kg.errors import ArtifactError
from kg.io.files import MANIFEST, check_format, read_json, verify_manifest
from recall.runs.hold import RunHold

CURRENT = "current"


@dataclass(frozen=True, slots=True)
class RunLayout:
    """The layout of one run.

    Attributes:
        path: the folder itself, never a link: whoever opens `current` keeps the run that it pointed to then.
    """

    path: Path

    @classmethod
    def open(cls, path: Path | str) -> RunLayout:
        """A published run, by its folder or by the link to it; checksums are read by `verify`.

        Raises:
            ArtifactError: there is no run.
        """
        given = Path(path)
        while True:
            target = _link_target(given)
            try:
                return cls._opened(given)
            except ArtifactError:
                # The link was switched and the run behind it removed between two looks.
                if _link_target(given) == target:
                    raise

    @classmethod
    def _opened(cls, given: Path) -> RunLayout:
        if not given.exists():
            broken = " (a link whose run is gone)" if given.is_symlink() else ""
            hint = ""
            if broken:
                hint = f": graphrecall rollback {given.parent} lets the one before serve, a refresh makes another"
            elif given.name == CURRENT:
                hint = ": nothing has been published there yet, run `graphrecall refresh CONFIG.toml` first"
            raise ArtifactError(f"there is no run at {given}{broken}{hint}")
        folder = given.resolve()
        if not (folder / MANIFEST).is_file():
            hint = ""
            if (folder / CURRENT).exists():
                hint = f"; it is a runs folder, did you mean {given / CURRENT}?"
            raise ArtifactError(f"{given} is not a published run: it has no {MANIFEST}{hint}")
        return cls(folder)

    @property
    def name(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def graph(self) -> Path:
        """The graph (kg.io.graph_folder)."""
        return self.path / "graph"

    @property
    def features(self) -> Path:
        """Text vectors of the nodes (gnn.text.features)."""
        return self.path / "features"

    @property
    def store(self) -> Path:
        """The graph as an embedded database, which answers Cypher (kg.stores.embedded.store)."""
        return self.path / "store" / "graph.lbug"

    @property
    def evaluation(self) -> Path:
        """What was learned from the training part alone, to be measured: artifacts as of the run itself."""
        return self.path / "evaluation"

    def artifact(self, kind: str, name: str = "", *, evaluation: bool = False) -> Path:
        """Where an artifact lies.

        Args:
            kind: "models" for trained channels, "channels" for the others, "history".
            name: of the artifact, such as "lightgcn"; "" for the folder of all of its kind.
            evaluation: that of the channels which learned from the training part alone.
        """
        return (self.evaluation if evaluation else self.path) / kind / name

    def history(self, *, evaluation: bool = False) -> Path:
        """What every user did (kg.history), shared by all channels."""
        return self.artifact("history", evaluation=evaluation)

    @property
    def split(self) -> Path:
        """The part of every interaction, Parquet."""
        return self.path / "evaluation" / "split.parquet"

    @property
    def lineage(self) -> Path:
        """What the evaluation model and its ancestors know, Parquet (kg.lineage)."""
        return self.path / "evaluation" / "lineage.parquet"

    @property
    def pipeline(self) -> Path:
        """The channels that serve, and their weights (recall.runs.pipeline_file)."""
        return self.path / "pipeline.json"

    @property
    def report(self) -> Path:
        """Counts, findings, metrics, timings."""
        return self.path / "report.json"

    @property
    def config(self) -> Path:
        """The configuration with every default written out."""
        return self.path / "config.json"

    def manifest(self) -> dict[str, Any]:
        """MANIFEST.json without the checks of `verify`."""
        manifest = read_json(self.path / MANIFEST)
        if not isinstance(manifest, dict):
            raise ArtifactError(f"{self.path / MANIFEST} is damaged: it holds no object")
        return manifest

    def check_format(self) -> None:
        """Make sure that this version reads the run; one that is not finished has no format yet.

        Raises:
            ArtifactError: it does not; the message says how to make another.
        """
        if (self.path / MANIFEST).is_file():
            check_format(self.manifest(), self.path)

    def verify(self) -> dict[str, Any]:
        """Compare every file with the manifest, which is returned.

        Raises:
            ArtifactError: a file is missing, changed or unlisted, or the run is of another format version.
        """
        return verify_manifest(self.path)

    def hold(self) -> RunHold:
        """Keep the run on disk for as long as somebody refers to what this returns.

        Raises:
            ArtifactError: it is gone, or is being removed.
        """
        return RunHold(self.path / MANIFEST)


def _link_target(path: Path) -> Path | None:
    with suppress(OSError):  # no link
        return path.readlink()
    return None

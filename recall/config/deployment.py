"""The one TOML file of a deployment, checked as a whole before any work.

The sections are the frozen config objects of the parts themselves, so a hyper-parameter is named, documented and
checked in one place. Paths are relative to the file. Secrets do not belong into it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, PrivateAttr, model_validator

from gnn.text.model import TextConfig
from ingest.settings import GraphSettings, QualitySettings, SourcesSettings, check_sections
from kg.errors import ConfigError, OldConfigError
from kg.settings import Settings, validate
from kg.settings.base import refused
from kg.splits import SplitConfig
from kg.stores.neo4j.connection import Neo4jConnection
from recall.channels.registry import unusable
from recall.channels.settings import ChannelsConfig
from recall.config.gate import GateSettings
from recall.config.moved import moved_keys
from recall.config.privacy import PrivacyConfig
from recall.config.refresh import RefreshSettings
from recall.config.search_space import TuneSettings
from recall.config.sections import (
    DemoSettings,
    EvaluationSettings,
    FusionSettings,
    PipelineSettings,
    RunsSettings,
    WriteBackSettings,
)
from recall.config.service import ServiceSettings
from recall.config.watch import WatchSettings
from recall.feedback import FeedbackSettings
from recall.index.settings import IndexConfig

DEEPEST = 32  # lists and tables in each other; what looks through a configuration calls itself for each


class RefreshConfig(Settings):
    """Everything that a configuration file can say."""

    seed: int = Field(default=0, ge=0, description="Seed of training; the split has its own.")
    device: str = Field(default="auto", description='Where to train: "auto", "cpu", "cuda" or "cuda:N".')
    graph: GraphSettings = Field(
        default=GraphSettings(), description="Roles of the node types, and overrides of what is inferred."
    )
    sources: SourcesSettings = Field(description="Where the data come from.")
    quality: QualitySettings = Field(default=QualitySettings(), description="Which quality of the sources is enough.")
    split: SplitConfig = Field(
        default=SplitConfig(), description="How the interactions are split into train, validation and test."
    )
    text: TextConfig = Field(default=TextConfig(), description="Which text model, and how it reads.")
    pipeline: PipelineSettings = Field(default=PipelineSettings(), description="Which channels answer.")
    channels: ChannelsConfig = Field(
        default=ChannelsConfig(), description="Hyper-parameters of the channels that are served or measured."
    )
    fusion: FusionSettings = Field(
        default=FusionSettings(), description="How the scores of several channels become one."
    )
    index: IndexConfig = Field(default=IndexConfig(), description="How the item vectors are indexed.")
    evaluation: EvaluationSettings = Field(default=EvaluationSettings(), description="What is measured after training.")
    runs: RunsSettings = Field(default=RunsSettings(), description="Where runs are published.")
    demo: DemoSettings = Field(default=DemoSettings(), description="What a first look shows.")
    neo4j: Neo4jConnection | None = Field(
        default=None,
        description="The server that `sources.neo4j` is read from and that answers the Cypher of the run.",
    )
    write_back: WriteBackSettings | None = Field(
        default=None, description="What a refresh writes into that database; without the section, nothing."
    )
    refresh: RefreshSettings = Field(
        default=RefreshSettings(),
        description="When a refresh goes on from the run that serves, and when it starts anew.",
    )
    gate: GateSettings = Field(default=GateSettings(), description="What a new run must hold before it may serve.")
    tune: TuneSettings = Field(
        default=TuneSettings(), description="What `graphrecall tune` searches; a refresh ignores it."
    )
    privacy: PrivacyConfig = Field(
        default=PrivacyConfig(),
        description="Under which names users go, and where the key of the list of forgotten users is.",
    )
    feedback: FeedbackSettings | None = Field(
        default=None,
        description="What is done with the feedback log beside the runs; without the section it enters no refresh.",
    )
    watch: WatchSettings = Field(default=WatchSettings(), description="Where a refresh records how it ended.")
    service: ServiceSettings = Field(
        default=ServiceSettings(), description="How `graphrecall serve` listens; a refresh ignores it."
    )

    _base: Path = PrivateAttr(default_factory=Path.cwd)

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        check_sections(self.graph, self.sources, self.neo4j)
        if self.write_back is not None and self.neo4j is None:
            raise ValueError("write_back needs the section neo4j, which says where the database is")
        if self.write_back is not None and self.privacy.pseudonyms:
            raise ValueError(
                "write_back and privacy.pseudonyms do not go together: the database knows no pseudonym; leave one out"
            )
        if self.feedback is not None and self.privacy.pseudonyms:
            raise ValueError(
                "feedback and privacy.pseudonyms do not go together: the log names users as answers do, the sources "
                "by their ids; leave one out"
            )
        self._check_fusion()
        return self

    def _check_fusion(self) -> None:
        weights, channels = self.fusion.weights, self.pipeline.channels
        if len(channels) == 1 or weights is None:
            return
        if others := [name for name in weights if name not in channels]:
            raise ValueError(f"fusion.weights.{others[0]} is of no channel in pipeline.channels: add it there")
        if without := [name for name in channels if name not in weights]:
            raise ValueError(f"fusion.weights.{without[0]} is missing: give every channel a weight, 0 leaves it out")

    @property
    def base(self) -> Path:
        """The folder that paths are relative to: the config file's."""
        return self._base

    @property
    def runs_folder(self) -> Path:
        """Where runs are published, absolute."""
        return (self.base / self.runs.folder).resolve()

    def to_json(self) -> dict[str, Any]:
        """Plain data with every default written out."""
        data: dict[str, Any] = self.model_dump(mode="json")
        return data


def load_config(path: Path | str) -> RefreshConfig:
    """Read and check a config file.

    Raises:
        ConfigError: it is missing, is not TOML, or holds keys or values that are not allowed: all of them are named.
    """
    file = Path(path)
    return parse_config(read_config(file), base=file.resolve().parent, name=str(file))


def read_config(file: Path) -> dict[str, Any]:
    """The content of a config file as it is written, unchecked.

    Raises:
        ConfigError: it is missing, or is not TOML.
    """
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8-sig"))
        if _depth(data) > DEEPEST:
            raise ConfigError(f"{file} has sections and lists more than {DEEPEST} deep in each other: none needs that")
        return data
    except RecursionError as error:
        raise ConfigError(f"{file} has lists and tables that are nested too deep to be read") from error
    except FileNotFoundError as error:
        raise ConfigError(f"there is no config file {file}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error


def _depth(data: Any) -> int:
    """How deep lists and tables lie in each other, up to the first level that is too deep."""
    level, depth = [data], 0
    while level and depth <= DEEPEST:
        containers = [value for value in level if isinstance(value, dict | list)]
        level = [inner for value in containers for inner in (value.values() if isinstance(value, dict) else value)]
        depth += bool(containers)
    return depth


def parse_config(data: Mapping[str, Any], *, base: Path, name: str = "config") -> RefreshConfig:
    """Check the content of a config.

    Args:
        data: the sections as plain data.
        base: folder that its paths are relative to.
        name: what to call it in messages.

    Raises:
        ConfigError: see `load_config`.
    """
    if moved := list(moved_keys(data)):
        raise OldConfigError(f"{name} was written for the first edition of graphrecall:\n  " + "\n  ".join(moved))
    sections = data.get("channels")
    written = sections if isinstance(sections, Mapping) else {}
    if problems := [f"channels.{channel}: {why}" for channel, why in unusable().items() if channel in written]:
        raise refused(name, problems)
    config = validate(RefreshConfig, data, where=name)
    config = _with_key_file(_with_password_file(_with_text_folder(config, base), base), base)
    config._base = base.resolve()
    return config


def _with_text_folder(config: RefreshConfig, base: Path) -> RefreshConfig:
    """A text model given as a folder by its absolute path, so that the run finds it from anywhere."""
    folder = base / Path(config.text.model).expanduser()
    if not folder.is_dir():
        return config
    return config.changed(text=config.text.changed(model=str(folder.resolve())))


def _with_password_file(config: RefreshConfig, base: Path) -> RefreshConfig:
    """The password file by its absolute path, so that a run's Cypher finds it from anywhere."""
    if config.neo4j is None or config.neo4j.password_file is None:
        return config
    file = (base / Path(config.neo4j.password_file).expanduser()).resolve()
    return config.changed(neo4j=config.neo4j.changed(password_file=str(file)))


def _with_key_file(config: RefreshConfig, base: Path) -> RefreshConfig:
    """The key of the user ids by its absolute path, so that a run finds it from anywhere."""
    if config.privacy.key_file is None:
        return config
    file = (base / Path(config.privacy.key_file).expanduser()).resolve()
    return config.changed(privacy=config.privacy.changed(key_file=str(file)))

"""The one TOML file of a deployment, checked as a whole before any work.

The sections are the frozen config objects of the parts themselves, so a hyper-parameter is named, documented and
checked in one place. Paths are relative to the file. Secrets do not belong into it.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from gnn.settings import LightGCNConfig, TrainingConfig
from gnn.text.model import TextConfig
from ingest.settings import GraphSettings, QualitySettings, SourcesSettings, check_sections
from kg.errors import ConfigError
from kg.privacy.secrets import ADVICE, is_confidential, masked
from kg.splits import SplitConfig
from kg.stores.neo4j.connection import Neo4jConnection
from recall.channels.settings import ChannelsConfig
from recall.config.gate import GateSettings
from recall.config.privacy import PrivacyConfig
from recall.config.refresh import RefreshSettings
from recall.config.search_space import TuneSettings
from recall.config.watch import WatchSettings
from recall.fusion.fusion import FusionConfig
from recall.index.item_index import IndexConfig

Baseline = Literal["popularity", "item_knn", "rp3beta", "ease", "content_knn", "attribute_knn", "spectral", "cheby"]
FusedChannel = Literal["embedding"] | Baseline


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EvaluationSettings(_Section):
    """What is measured after training.

    Attributes:
        k: cut-offs of the metrics.
        baselines: rankers printed beside the model.
    """

    k: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(default=(20,), min_length=1)
    baselines: tuple[Baseline, ...] = ("popularity", "item_knn", "content_knn", "spectral")


class FusionSettings(_Section):
    """Several channels served as one; their hyper-parameters stand in the sections `channels.NAME`.

    Attributes:
        channels: which; "embedding" is the trained model.
        weights: a weight for each, at least 0; None: those with the best NDCG@20 on the validation part.
        depth: how many of its best items each channel puts forward, and over how many its scores are standardised.
        validation_users: users that weights are looked for with, at most; a seeded choice.
    """

    channels: tuple[FusedChannel, ...] = Field(min_length=1)
    weights: dict[str, float] | None = None
    depth: int = 200
    validation_users: int = Field(default=10_000, ge=1)

    @model_validator(mode="after")
    def _weights_fit(self) -> FusionSettings:
        twice = [name for name in self.channels if self.channels.count(name) > 1]
        if twice:
            raise ValueError(f"fusion.channels names {twice[0]!r} twice")
        given = self.weights or {}
        FusionConfig(weights=given, depth=self.depth)
        for name in given:
            if name not in self.channels:
                raise ValueError(f"fusion.weights.{name} is of no channel in fusion.channels: add it there")
        for name in self.channels:
            if self.weights is not None and name not in self.weights:
                raise ValueError(f"fusion.weights.{name} is missing: give every channel a weight, 0 leaves it out")
        return self


class RunsSettings(_Section):
    """Where runs are published.

    Attributes:
        folder: relative to the config file.
        keep: how many runs stay; the one that serves always does.
    """

    folder: Path = Path("runs")
    keep: int = Field(default=3, ge=1)


class DemoSettings(_Section):
    """What a first look shows.

    Attributes:
        user: id of a user with enough history to be interesting, or None.
    """

    user: str | None = None


class WriteBackSettings(_Section):
    """What a refresh writes into the database of the section `neo4j` when it has published a run.

    Attributes:
        k: candidates a user.
        vectors: whose vectors, each with an index: "items", "users".
    """

    k: int = Field(default=100, ge=1, le=10_000)
    vectors: tuple[Literal["items", "users"], ...] = ("items", "users")


class RefreshConfig(_Section):
    """Everything a refresh needs to know.

    Attributes:
        seed: of training; the split has its own.
        device: "auto", "cpu", "cuda" or "cuda:N".
        channels: hyper-parameters of the channels that are fused, or printed as baselines.
        fusion: what is served in place of the trained model alone.
        neo4j: the server that `sources.neo4j` is read from and that answers the Cypher of the run.
        write_back: what goes back into it; without the section nothing does.
        refresh: when a refresh goes on from the run that serves, and when it begins anew.
        gate: what a new run must hold before it may serve.
        tune: what a tuning searches; a refresh does not look at it.
        privacy: under which names users go, and where the key of the list of forgotten users is.
        watch: where a refresh leaves word of how it ended.
    """

    seed: int = Field(default=0, ge=0)
    device: str = "auto"
    graph: GraphSettings = GraphSettings()
    sources: SourcesSettings
    quality: QualitySettings = QualitySettings()
    split: SplitConfig = SplitConfig()
    text: TextConfig = TextConfig()
    model: LightGCNConfig = LightGCNConfig()
    training: TrainingConfig = TrainingConfig()
    index: IndexConfig = IndexConfig()
    channels: ChannelsConfig = ChannelsConfig()
    fusion: FusionSettings | None = None
    evaluation: EvaluationSettings = EvaluationSettings()
    runs: RunsSettings = RunsSettings()
    demo: DemoSettings = DemoSettings()
    neo4j: Neo4jConnection | None = None
    write_back: WriteBackSettings | None = None
    refresh: RefreshSettings = RefreshSettings()
    gate: GateSettings = GateSettings()
    tune: TuneSettings = TuneSettings()
    privacy: PrivacyConfig = PrivacyConfig()
    watch: WatchSettings = WatchSettings()

    _base: Path = PrivateAttr(default_factory=Path.cwd)

    @model_validator(mode="after")
    def _sections_fit(self) -> RefreshConfig:
        check_sections(self.graph, self.sources, self.neo4j)
        if self.write_back is not None and self.neo4j is None:
            raise ValueError("write_back needs the section neo4j, which says where the database is")
        if self.write_back is not None and self.privacy.pseudonyms:
            raise ValueError(
                "write_back and privacy.pseudonyms do not go together: the database knows no pseudonym; leave one out"
            )
        shares = self.split.kind not in ("files", "leave_last_out")
        if self.fusion is not None and self.fusion.weights is None and shares and not self.split.valid:
            raise ValueError("fusion.weights are looked for on the validation part, and split.valid is 0: give weights")
        return self

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
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no config file {file}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error


def parse_config(data: Mapping[str, Any], *, base: Path, name: str = "config") -> RefreshConfig:
    """Check the content of a config.

    Args:
        data: the sections as plain data.
        base: folder that its paths are relative to.
        name: what to call it in messages.

    Raises:
        ConfigError: see `load_config`.
    """
    if large := list(_beyond_int64(data)):
        raise _refused(name, [f"{key} is larger than any number that TOML has" for key in large])
    problems: list[str] = []
    try:
        # Through JSON, because only there strict validation still takes a list for a tuple and a string for a path,
        # while a number in quotes or a fraction for a count stays an error.
        config = RefreshConfig.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        problems = list(_problems(error, data))
    if problems:
        # Not from the error, which shows every value, also one that is a password.
        raise _refused(name, problems)
    config = _with_key_file(_with_password_file(_with_text_folder(config, base), base), base)
    config._base = base.resolve()
    return config


def _refused(name: str, problems: Sequence[str]) -> ConfigError:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return ConfigError(f"{name} has {count}:\n" + "\n".join(f"  {line}" for line in problems))


def _beyond_int64(data: Any, key: str = "") -> Iterator[str]:
    """Integers that the parser takes although TOML does not have them."""
    if isinstance(data, Mapping):
        for name, value in data.items():
            yield from _beyond_int64(value, f"{key}.{name}" if key else str(name))
    elif isinstance(data, list):
        for at, value in enumerate(data):
            yield from _beyond_int64(value, f"{key}.{at}")
    elif isinstance(data, int) and not -(2**63) <= data < 2**63:
        yield f"{key} = {data}"


def _with_text_folder(config: RefreshConfig, base: Path) -> RefreshConfig:
    """A text model given as a folder by its absolute path, so that the run finds it from anywhere."""
    folder = base / Path(config.text.model).expanduser()
    if not folder.is_dir():
        return config
    return config.model_copy(update={"text": dataclasses.replace(config.text, model=str(folder.resolve()))})


def _with_password_file(config: RefreshConfig, base: Path) -> RefreshConfig:
    """The password file by its absolute path, so that a run's Cypher finds it from anywhere."""
    if config.neo4j is None or config.neo4j.password_file is None:
        return config
    file = (base / Path(config.neo4j.password_file).expanduser()).resolve()
    return config.model_copy(update={"neo4j": dataclasses.replace(config.neo4j, password_file=str(file))})


def _with_key_file(config: RefreshConfig, base: Path) -> RefreshConfig:
    """The key of the user ids by its absolute path, so that a run finds it from anywhere."""
    if config.privacy.key_file is None:
        return config
    file = (base / Path(config.privacy.key_file).expanduser()).resolve()
    return config.model_copy(update={"privacy": dataclasses.replace(config.privacy, key_file=str(file))})


def _problems(error: ValidationError, data: Mapping[str, Any]) -> Iterator[str]:
    """One line a bad key: where, what is there, what is allowed."""
    told = set()
    for entry in error.errors(include_url=False):
        place = _written_place(entry["loc"], data)
        key = ".".join(str(part) for part in place)
        kind, value = entry["type"], _shown(entry.get("input"))
        if kind in ("extra_forbidden", "unexpected_keyword_argument"):
            line = f"{key}: {ADVICE}" if is_confidential(place[-1]) else f"{key}: unknown key{_nearest(place)}"
        elif kind in ("missing", "missing_argument"):
            line = f"{key}: missing"
        elif kind == "value_error":
            message = str(entry["ctx"]["error"]) if "ctx" in entry else entry["msg"]
            # A check over a whole section names its keys itself; the section's content would only repeat the file.
            line = f"{key or 'config'}: {message}"
        else:
            message = entry["msg"][:1].lower() + entry["msg"][1:]
            line = f"{key} = {value}: {message.replace('input should', 'should')}"
        if line not in told:
            told.add(line)
            yield line


def _shown(value: Any) -> str:
    text = json.dumps(masked(value), ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _written_place(loc: Sequence[int | str], data: Any) -> tuple[int | str, ...]:
    """The part of pydantic's location that the user wrote; tags of unions and validators are its own."""
    place: list[int | str] = []
    for number, part in enumerate(loc):
        named = isinstance(data, Mapping) and part in data
        if named or (isinstance(data, list) and isinstance(part, int) and part < len(data)):
            data = data[part]
        elif number != len(loc) - 1 or not _is_name(part) or not isinstance(data, Mapping):
            continue
        place.append(part)
    return tuple(place)


def _is_name(part: int | str) -> bool:
    return isinstance(part, str) and part.isidentifier()


def _nearest(place: Sequence[int | str]) -> str:
    known = sorted(_known_keys(RefreshConfig, place[:-1]))
    near = get_close_matches(str(place[-1]), known, n=1, cutoff=0.6)
    if near:
        return f", did you mean {near[0]!r}?"
    return f"; known here: {', '.join(known)}" if known else ""


def _known_keys(kind: Any, place: Sequence[int | str]) -> set[str]:
    """Names that may stand at a place of the config, read from the types."""
    if get_origin(kind) is Annotated:
        return _known_keys(get_args(kind)[0], place)
    if get_origin(kind) in (Union, UnionType):
        return set().union(*(_known_keys(option, place) for option in get_args(kind)))
    if get_origin(kind) is not None:  # a list, tuple or mapping: its content
        inner = [option for option in get_args(kind) if option is not Ellipsis]
        return _known_keys(inner[-1], place[1:]) if inner and place else set()
    fields = _field_types(kind)
    if not place:
        return set(fields)
    return _known_keys(fields[str(place[0])], place[1:]) if str(place[0]) in fields else set()


def _field_types(kind: Any) -> dict[str, Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        from typing import get_type_hints

        hints = get_type_hints(kind, include_extras=True)
        return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.init}
    return {}

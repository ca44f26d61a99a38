"""The small sections of a configuration: what serves, what is measured, and where runs go."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator, model_validator

from kg.settings import Settings
from recall.channels.registry import registered, unusable
from recall.control.settings import ControlSettings

LIGHTGCN = "lightgcn"
WALK = "walk"
SERVED = tuple(registered())
CLOSED_FORM = tuple(name for name, kind in registered().items() if not kind.capabilities.trained)


def _one_of(names: tuple[str, ...]) -> tuple[AfterValidator, WithJsonSchema]:
    def check(name: str) -> str:
        if name not in names:
            near = get_close_matches(name, names, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]!r}?" if near else f"the channels are {', '.join(names)}"
            raise ValueError(unusable().get(name, f"there is no channel {name!r}: {hint}"))
        return name

    return AfterValidator(check), WithJsonSchema({"type": "string", "enum": list(names)})


ServedChannel = Annotated[str, *_one_of(SERVED)]
Baseline = Annotated[str, *_one_of(CLOSED_FORM)]


class PipelineSettings(Settings):
    """Which channels answer; their hyper-parameters stand in the sections `channels.NAME`."""

    section: ClassVar[str] = "pipeline"

    channels: tuple[ServedChannel, ...] = Field(
        default=(LIGHTGCN, WALK),
        min_length=1,
        description="Channels that serve. The scores of several are fused; see the section `fusion`.",
    )

    control: ControlSettings | None = Field(
        default=None, description="Rules that choose among the candidates; default: the best scores."
    )

    @model_validator(mode="after")
    def _control_knows_the_channels(self) -> Self:
        for name in () if self.control is None else self.control.channels():
            if name not in self.channels:
                raise ValueError(f"pipeline.control names {name!r}, which is none of pipeline.channels: add it there")
        return self

    @field_validator("channels")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if twice := [name for name in value if value.count(name) > 1]:
            raise ValueError(f"names {twice[0]!r} twice")
        return value


class FusionSettings(Settings):
    """How the scores of several channels become one; ignored where a single channel serves."""

    section: ClassVar[str] = "fusion"

    weights: dict[str, Annotated[float, Field(ge=0)]] | None = Field(
        default=None,
        description="A weight for each channel of `pipeline.channels`; 0 leaves a channel out. Default: the weights "
        "with the best NDCG at `measured_at` on the validation part, or equal ones where it has nothing to find. Of "
        "weights that rank equally well within a five-hundredth, those that give more to a walk, whose score is paths.",
    )
    depth: int = Field(
        default=200,
        ge=2,
        description="How many of its best items each channel contributes, and over how many the spread of its scores "
        "is taken.",
    )
    spread: Literal["best", "all"] = Field(
        default="best",
        description='What the scores of a channel are divided by for a request. "best": the deviation of its best '
        '`depth`. "all": the deviation of its scores of all items; only where every channel is an inner product of '
        "vectors (lightgcn, gcn and the sequence models). The sum is one, too, then, and one search finds the best of "
        "all items.",
    )
    measured_at: int = Field(
        default=20,
        ge=1,
        description="Length of the lists that the weights are chosen by. 100 suits a stage that hands on long lists: "
        "it looks at what stands behind the first 20 as well, and then keeps a channel that is best there.",
    )
    validation_users: int = Field(
        default=10_000, ge=1, description="Users that the weights are chosen with, at most; a seeded choice."
    )
    cold_cost: float = Field(
        default=0.0075,
        ge=0,
        le=1,
        description="Share of the recall at `measured_at` on validation that items which nobody likes yet may cost. It "
        "sets the factor of their fused scores: channels that learn from likes say nothing of them.",
    )

    @model_validator(mode="after")
    def _weights_are_not_all_0(self) -> Self:
        if self.weights is not None and not any(self.weights.values()):
            raise ValueError("fusion.weights are all 0: give at least one channel a weight above 0")
        return self


class EvaluationSettings(Settings):
    """What is measured after training."""

    section: ClassVar[str] = "evaluation"

    k: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(
        default=(20,), min_length=1, description="Cut-offs of the metrics."
    )
    baselines: tuple[Baseline, ...] = Field(
        default=("popularity", "item_knn", "content_knn", "spectral"),
        description="Channels that are measured beside what serves.",
    )
    sample_users: int = Field(
        default=10_000,
        ge=0,
        description="Users that are ranked for, at most, of those with something to find: of more a sample is drawn by "
        "a seeded hash of their ids, every ranker is measured on the same ones, and the report says how many of how "
        "many. All items are ranked for each. 0: all users.",
    )

    @property
    def sample(self) -> int | None:
        """Users at most; None for all."""
        return self.sample_users or None


class RunsSettings(Settings):
    """Where runs are published."""

    section: ClassVar[str] = "runs"

    folder: Path = Field(default=Path("runs"), description="Folder of the runs, relative to the configuration file.")
    keep: int = Field(default=3, ge=1, description="How many runs stay; the one that serves always does.")


class DemoSettings(Settings):
    """What a first look shows."""

    section: ClassVar[str] = "demo"

    user: str | None = Field(
        default=None, description="Id of a user with enough history to be interesting; default: one is chosen."
    )


class WriteBackSettings(Settings):
    """What a refresh writes into the Neo4j database when it has published a run."""

    section: ClassVar[str] = "write_back"

    k: int = Field(default=100, ge=1, le=10_000, description="Candidates of each user.")
    vectors: tuple[Literal["items", "users"], ...] = Field(
        default=("items", "users"), description="Whose vectors are written, each with a vector index."
    )

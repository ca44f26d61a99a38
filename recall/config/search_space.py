"""Which hyper-parameters a tuning tries, and between which values: ranges of its own, and those of the section [tune].

A range stands under the name that the hyper-parameter has in its section, as a list of values or as
`{ low = 0.05, high = 0.3, log = true }`:

    [tune]
    metric = "ndcg"
    k = 20
    keep = ["model.dim"]                                # not searched, but left as configured

    [tune.training]
    temperature = { low = 0.08, high = 0.2, log = true }
    learning_rate = [0.005, 0.01]

    [tune.channels.item_knn]
    shrinkage = { low = 0, high = 50 }

Every end of a range is checked by the config object that will take it.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    create_model,
    model_serializer,
    model_validator,
)

from gnn.settings import LightGCNConfig, TrainingConfig
from recall.channels.settings import ChannelsConfig

MODEL, CHANNELS = "model", "channels"
FOUND_ANYWAY = {
    "max_steps": "the number of steps is found by early stopping",
    "eval_every": "it says when is measured, not what is learned",
    "patience": "it says when training stops, not what is learned",
    "betas": "the best of them is found at every validation",
    "priors": "the best of them is found at every validation",
    "validation_users": "it says who is measured, not what is learned",
    "seed": "the best of several seeds would be luck",
}
# As tags of a union these are part of an error's place; no names, they are not taken for keys.
BETWEEN, CHOICES = "{}", "[]"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Range(_Strict):
    """Numbers from `low` to `high`, both included."""

    @model_validator(mode="after")
    def _not_empty(self) -> _Range:
        low, high, step, log = (getattr(self, name) for name in ("low", "high", "step", "log"))
        if low > high:
            raise ValueError(f"low = {low} is above high = {high}: the range is empty")
        if log and low <= 0:
            raise ValueError(f"low = {low} must be above 0 where log = true")
        if log and step is not None:
            raise ValueError("log and step do not go together: leave one out")
        return self


class Whole(_Range):
    """Whole numbers.

    Attributes:
        low, high: both included.
        step: between neighbours.
        log: small ones are tried as finely as large ones.
    """

    low: int
    high: int
    step: int | None = Field(default=None, ge=1)
    log: bool = False


class Real(_Range):
    """Any numbers; the attributes are those of `Whole`."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    step: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    log: bool = False


Range = Whole | Real | list[Any]


class Space(_Strict):
    """Ranges of one section's hyper-parameters, by name; None where there is none."""

    def ranges(self) -> dict[str, Range]:
        """Those that are given; those of a section within are called "item_knn.shrinkage"."""
        found: dict[str, Range] = {}
        for name in type(self).model_fields:
            given = getattr(self, name)
            if isinstance(given, Space):
                found |= {f"{name}.{inner}": value for inner, value in given.ranges().items()}
            elif given is not None:
                found[name] = given
        return found

    @model_serializer(mode="wrap")
    def _only_given(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: given for name, given in serialize(self).items() if given not in (None, {})}


def _shape(value: Any) -> str | None:
    """Which of the two ways a range is written in."""
    if isinstance(value, Mapping | _Range):
        return BETWEEN
    return CHOICES if isinstance(value, list | tuple) else None


def _written(kind: Any) -> Any:
    """The type of what may be written for a hyper-parameter of some type."""
    choices = Annotated[list[kind], Field(min_length=1)]
    numbers = {int: Whole, float: Real}.get(kind)
    if numbers is None:
        return choices
    return Annotated[
        Annotated[numbers, Tag(BETWEEN)] | Annotated[choices, Tag(CHOICES)],
        Discriminator(
            _shape,
            custom_error_type="range_shape",
            custom_error_message="write a list of values, or { low = ..., high = ... }",
        ),
    ]


def _checked(config: Any, name: str) -> AfterValidator:
    """Both ends, or every choice, must be good values for the config object."""

    def check(given: Range) -> Range:
        values = given if isinstance(given, list) else [given.low, given.high]
        for number, value in enumerate(values):
            if isinstance(given, list) and value in values[:number]:
                raise ValueError(f"{value!r} is there twice")
            config(**{name: value})  # raises a ConfigError, which names section, key and value
        return given

    return AfterValidator(check)


def _refused(reason: str) -> BeforeValidator:
    def refuse(_: Any) -> Any:
        raise ValueError(f"is not searched: {reason}; set it in its own section")

    return BeforeValidator(refuse)


def _space(name: str, config: Any) -> Any:
    """The fields of a config object, each with a range for a value."""
    fields: dict[str, Any] = {}
    for key, field in config.model_fields.items():
        kind = _bare(field.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            section = _space(f"{key}_space", kind)
            fields[key] = (section, section())
            continue
        if key in FOUND_ANYWAY:
            kind = Annotated[Any, _refused(FOUND_ANYWAY[key])]
        else:
            kind = Annotated[_written(kind), _checked(config, key)]
        fields[key] = (kind | None, None)
    return create_model(name, __base__=Space, __doc__=f"Ranges of `{config.__name__}`.", **fields)


def _bare(kind: Any) -> Any:
    """A type without None, which TOML cannot write."""
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (option for option in get_args(kind) if option is not type(None))
    return kind


if TYPE_CHECKING:

    class ModelSpace(Space):
        """Ranges of `LightGCNConfig`."""

    class TrainingSpace(Space):
        """Ranges of `TrainingConfig`."""

    class ChannelsSpace(Space):
        """Ranges of `ChannelsConfig`, a section each channel."""
else:
    ModelSpace = _space("ModelSpace", LightGCNConfig)
    TrainingSpace = _space("TrainingSpace", TrainingConfig)
    ChannelsSpace = _space("ChannelsSpace", ChannelsConfig)

# Around what did well on the sets of the benchmarks. The weight and share of simulated cold start are not in here:
# validation is nearly all about warm items and would always turn it off.
BUILT_IN: dict[str, Space] = {
    MODEL: ModelSpace.model_validate(
        {
            "dim": [32, 64, 128],
            "layers": {"low": 1, "high": 3},
            "interaction_weight": {"low": 0.5, "high": 0.99},
            "text_scale": {"low": 0.03, "high": 0.3, "log": True},
            "user_embedding": [True, False],
            "knowledge_degree": [5, 20, 1_000_000],
        }
    ),
    "training": TrainingSpace.model_validate(
        {
            "temperature": {"low": 0.05, "high": 0.3, "log": True},
            "negative_power": {"low": 0.0, "high": 1.0},
            "batch_size": [1024, 2048, 4096, 8192],
            "learning_rate": {"low": 0.003, "high": 0.05, "log": True},
            "node_dropout": {"low": 0.0, "high": 0.4},
            "l2": {"low": 1e-6, "high": 1e-2, "log": True},
            "drop_batch_edges": [False, True],
        }
    ),
    CHANNELS: ChannelsSpace.model_validate(
        {
            "attribute_knn": {"neighbours": {"low": 5, "high": 500, "log": True}},
            "cheby": {
                "degree": {"low": 2, "high": 12},
                "flatness": {"low": 0.5, "high": 4.0},
                "factors": [64, 128, 256, 512],
                "alpha": {"low": 0.0, "high": 1.0},
                "beta": {"low": 0.0, "high": 1.0},
            },
            "content_knn": {"neighbours": {"low": 5, "high": 500, "log": True}, "centre": [True, False]},
            "ease": {"regularisation": {"low": 10.0, "high": 3000.0, "log": True}},
            "item_knn": {
                "neighbours": {"low": 10, "high": 1000, "log": True},
                "shrinkage": {"low": 0.0, "high": 100.0},
                "mean": [False, True],
            },
            "rp3beta": {
                "alpha": {"low": 0.1, "high": 1.5},
                "beta": {"low": 0.0, "high": 1.0},
                "neighbours": {"low": 50, "high": 1000, "log": True},
            },
            "spectral": {"factors": [32, 64, 128, 256, 512], "alpha": {"low": 0.0, "high": 1.0}},
        }
    ),
}


class TuneSettings(_Strict):
    """What `graphrecall tune` looks for, and where.

    Attributes:
        metric: mean over the users of the validation part; see `gnn.evaluation.metrics`.
        k: its cut-off.
        keep: what stays as configured: "model.dim", all of a section, "model", or a channel, "channels.ease".
        model, training: ranges of these sections' hyper-parameters, beside the built-in ones or in their place.
        channels: the same of channels. Those that are fused are searched anyway; others where ranges are given.
    """

    metric: Literal["recall", "precision", "f1", "hit_rate", "mrr", "map", "ndcg"] = "ndcg"
    k: int = Field(default=20, ge=1, le=1000)
    keep: tuple[str, ...] = ()
    model: ModelSpace = ModelSpace()
    training: TrainingSpace = TrainingSpace()
    channels: ChannelsSpace = ChannelsSpace()

    @model_validator(mode="after")
    def _only_what_there_is_is_kept(self) -> TuneSettings:
        known = sorted({part for name in self._all() for part in _with_sections(name)})
        for name in self.keep:
            if name not in known:
                near = get_close_matches(name, known, n=1, cutoff=0.6)
                hint = f"did you mean {near[0]!r}?" if near else f"searched are {', '.join(self._all())}"
                raise ValueError(f"keep names {name!r}, which is not searched anyway; {hint}")
        return self

    def space(self) -> dict[str, Range]:
        """What may be searched: "training.temperature" -> its range."""
        kept = set(self.keep)
        return {name: given for name, given in self._all().items() if not kept.intersection(_with_sections(name))}

    def own(self) -> set[str]:
        """Names whose ranges were written by the user."""
        return {f"{section}.{name}" for section in BUILT_IN for name in getattr(self, section).ranges()}

    def _all(self) -> dict[str, Range]:
        return {
            f"{section}.{name}": given
            for section, built_in in BUILT_IN.items()
            for name, given in (built_in.ranges() | getattr(self, section).ranges()).items()
        }


def _with_sections(name: str) -> list[str]:
    """A name and the sections it is in: "channels.ease.weights", "channels.ease", "channels"."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]

"""Which hyper-parameters a tuning tries, and between which values: ranges of its own, and those of the section [tune].

A range stands under the name that the hyper-parameter has in its section, as a list of values or as
`{ low = 0.05, high = 0.3, log = true }`:

    [tune]
    metric = "ndcg"
    k = 20
    keep = ["channels.lightgcn.dim"]                    # not searched, but left as configured

    [tune.channels.lightgcn.training]
    temperature = { low = 0.08, high = 0.2, log = true }
    learning_rate = [0.005, 0.01]

    [tune.channels.item_knn]
    shrinkage = { low = 0, high = 50 }

Every end of a range, and every value of a list, is checked by the class of the section that will take it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import Field, PlainValidator, ValidationError, WithJsonSchema, model_validator

from kg.settings import Settings
from kg.settings.problems import ProblemsWithinError, explain, unknown_key
from recall.channels.settings import ChannelsConfig

if TYPE_CHECKING:  # an extra, imported where it is used
    from optuna.distributions import BaseDistribution

CHANNELS = "channels"
NOT_SEARCHED = {
    "max_steps": "the number of steps is found by early stopping",
    "eval_every": "it says when is measured, not what is learned",
    "patience": "it says when training stops, not what is learned",
    "trials": "the settings of the walk are tried within every fit already",
    "trial_users": "it says who is measured, not what is learned",
    "betas": "the best of them is found at every validation",
    "priors": "the best of them is found at every validation",
    "validation_users": "it says who is measured, not what is learned",
    "seed": "the best of several seeds would be luck",
}


def _number(value: Any) -> int | float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError("write a finite number")
    return value


# A whole number stays one, so that the range of a count cannot be given in fractions.
Number = Annotated[int | float, PlainValidator(_number), WithJsonSchema({"type": "number"})]


class Between(Settings):
    """Numbers from `low` to `high`, both included."""

    low: Number = Field(description="The smallest value.")
    high: Number = Field(description="The largest value.")
    step: Number | None = Field(default=None, description="Distance of two neighbouring values, above 0.")
    log: bool = Field(default=False, description="Try small values as finely as large ones.")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low = {self.low} is above high = {self.high}: the range is empty")
        if self.log and self.low <= 0:
            raise ValueError(f"low = {self.low} must be above 0 where log = true")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step = {self.step} must be above 0")
        if self.log and self.step is not None:
            raise ValueError("log and step do not go together: leave one out")
        return self


Range = Between | list[Any]


def distribution(values: Range) -> BaseDistribution:
    """What Optuna draws from for a range; of a list it draws the JSON text of a value that is no text or number."""
    from optuna import distributions

    if isinstance(values, list):
        return distributions.CategoricalDistribution([as_choice(value) for value in values])
    if isinstance(values.low, float):
        return distributions.FloatDistribution(values.low, values.high, step=values.step, log=values.log)
    step = int(values.step or 1)
    high = int(values.low + (values.high - values.low) // step * step)  # Optuna warns of an end that no step reaches
    return distributions.IntDistribution(values.low, high, step=step, log=values.log)


def as_choice(value: Any) -> str | int | float | bool:
    """A value as Optuna takes it: lists as JSON."""
    return value if isinstance(value, str | int | float) else json.dumps(value)


def _ranges(data: Any) -> dict[str, Any]:
    """Ranges below the names of their sections, checked."""
    problems: list[str] = []
    ranges = _section(ChannelsConfig, data, "", problems)
    if problems:
        raise ProblemsWithinError(problems)
    return ranges


def _section(kind: type[Settings], data: Any, place: str, problems: list[str]) -> dict[str, Any]:
    """The ranges of one section; what is wrong is added to the problems."""
    ranges: dict[str, Any] = {}
    if not isinstance(data, Mapping):
        problems.append(f"{place.rstrip('.') or CHANNELS}: write a section with ranges")
        return ranges
    for name, written in data.items():
        key, inner = f"{place}{name}", _type_of(kind, name)
        if inner is None:
            problems.append(unknown_key(key, name, kind.model_fields))
        elif isinstance(inner, type) and issubclass(inner, Settings):
            ranges[name] = _section(inner, written, f"{key}.", problems)
        elif name in NOT_SEARCHED:
            problems.append(f"{key} is not searched: {NOT_SEARCHED[name]}; set it in its own section")
        elif isinstance(written, list):
            ranges[name] = _choices(kind, name, written, place, problems)
        elif isinstance(written, Mapping | Between) and inner in (int, float):
            ranges[name] = _between(kind, name, written, place, problems)
        else:
            also = ", or { low = ..., high = ... }" if inner in (int, float) else ""
            problems.append(f"{key} = {json.dumps(written, default=str)}: write a list of values{also}")
    return ranges


def _choices(kind: type[Settings], name: str, values: list[Any], place: str, problems: list[str]) -> list[Any]:
    if not values:
        problems.append(f"{place}{name} = []: list at least one value")
    if twice := [value for number, value in enumerate(values) if value in values[:number]]:
        problems.append(f"{place}{name}: {twice[0]!r} is there twice")
    return [_value(kind, name, value, place, problems) for value in values]


def _between(
    kind: type[Settings], name: str, written: Mapping[str, Any] | Between, place: str, problems: list[str]
) -> Between | None:
    count = len(problems)
    try:
        between = (
            Between.model_validate_json(json.dumps(written), strict=True) if isinstance(written, Mapping) else written
        )
    except ValidationError as error:
        problems += explain(error, Between, written, section=f"{place}{name}")
        return None
    ends = {end: _value(kind, name, getattr(between, end), place, problems) for end in ("low", "high")}
    if _type_of(kind, name) is int and between.step is not None and between.step != int(between.step):
        problems.append(f"{place}{name}.step = {between.step} must be a valid integer")
    return between.changed(**ends) if len(problems) == count else None


def _value(kind: type[Settings], name: str, value: Any, place: str, problems: list[str]) -> Any:
    """A value of one hyper-parameter as its section takes it."""
    try:
        return getattr(kind.model_validate_json(json.dumps({name: value}), strict=True), name)
    except ValidationError as error:
        problems += explain(error, kind, {name: value}, section=place.rstrip("."))
        return None


def _type_of(kind: type[Settings], name: str) -> Any:
    """The type of a field without None, which TOML cannot write; None where there is no such field."""
    field = kind.model_fields.get(name)
    if field is None:
        return None
    options = [option for option in get_args(field.annotation) if option is not NoneType]
    return options[0] if NoneType in get_args(field.annotation) and len(options) == 1 else field.annotation


def _schema(kind: type[Settings]) -> dict[str, Any]:
    """The JSON schema of the ranges of a section."""
    properties: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        inner = _type_of(kind, name)
        if isinstance(inner, type) and issubclass(inner, Settings):
            properties[name] = {**_schema(inner), "description": f"Ranges of `{name}`."}
        elif name not in NOT_SEARCHED:
            values: dict[str, Any] = {"type": "array", "minItems": 1}
            options = [values, Between.model_json_schema()] if inner in (int, float) else [values]
            properties[name] = {"anyOf": options, "description": f"Range of: {field.description}"}
    return {"type": "object", "additionalProperties": False, "properties": properties}


# Around what did well on the sets of the benchmarks. The weight and share of simulated cold start are not in here:
# validation is nearly all about warm items and would always turn it off.
_SEQUENCE: dict[str, Any] = {
    "dim": [32, 64, 128],
    "max_length": [20, 50, 100],
    "item_parts": [["id"], ["id", "text"], ["id", "knowledge"], ["id", "text", "knowledge"]],
    "dropout": {"low": 0.0, "high": 0.5},
    "training": {
        "loss": ["softmax", "gbce", "bpr_max"],
        "negatives": [256, 1024, 4096],
        "sampling": ["uniform", "popularity"],
        "batch_size": [64, 128, 256],
        "learning_rate": {"low": 0.0003, "high": 0.01, "log": True},
    },
}
_BUILT_IN: dict[str, Any] = {
    "lightgcn": {
        "dim": [32, 64, 128],
        "layers": {"low": 1, "high": 3},
        "interaction_weight": {"low": 0.5, "high": 0.99},
        "text_scale": {"low": 0.03, "high": 0.3, "log": True},
        "user_embedding": [True, False],
        "knowledge_degree": [5, 20, 1_000_000],
        "training": {
            "temperature": {"low": 0.05, "high": 0.3, "log": True},
            "negative_power": {"low": 0.0, "high": 1.0},
            "batch_size": [1024, 2048, 4096, 8192],
            "learning_rate": {"low": 0.003, "high": 0.05, "log": True},
            "node_dropout": {"low": 0.0, "high": 0.4},
            "l2": {"low": 1e-6, "high": 1e-2, "log": True},
            "drop_batch_edges": [False, True],
        },
    },
    "sasrec": {**_SEQUENCE, "blocks": [1, 2, 3], "heads": [1, 2, 4]},
    "bert4rec": {
        **_SEQUENCE,
        "blocks": [1, 2, 3],
        "heads": [1, 2, 4],
        "hidden_share": {"low": 0.1, "high": 0.6},
    },
    "gru4rec": {**_SEQUENCE, "layers": [1, 2]},
    "narm": {**_SEQUENCE, "layers": [1, 2]},
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
    "user_knn": {"neighbours": {"low": 20, "high": 1000, "log": True}, "shrinkage": {"low": 0.0, "high": 100.0}},
    # Powers, decays and weights of the walk are found anew in every fit, by its own trials.
    "walk": {
        "neighbours": {"low": 100, "high": 2000, "log": True},
        "next_window": [5, 10, 20, 40],
        "text_neighbours": {"low": 10, "high": 200, "log": True},
    },
    "spectral": {"factors": [32, 64, 128, 256, 512], "alpha": {"low": 0.0, "high": 1.0}},
}


@cache
def built_in() -> dict[str, Any]:
    """The ranges that are searched unless others are given; made when they are asked for, for a refresh needs none."""
    # A channel has no section where another package has one of the same name.
    return _ranges({name: ranges for name, ranges in _BUILT_IN.items() if name in ChannelsConfig.model_fields})


class _RangesSchema:
    """Makes the JSON schema of ranges when it is asked for."""

    def __get_pydantic_json_schema__(self, *_: Any) -> dict[str, Any]:
        """Called by pydantic."""
        return _schema(ChannelsConfig)


class TuneSettings(Settings):
    """What `graphrecall tune` looks for, and where."""

    section: ClassVar[str] = "tune"

    metric: Literal["recall", "precision", "f1", "hit_rate", "mrr", "map", "ndcg"] = Field(
        default="ndcg", description="The metric to raise: its mean over the users of the validation part."
    )
    k: int = Field(default=20, ge=1, le=1000, description="Cut-off of the metric.")
    keep: tuple[str, ...] = Field(
        default=(),
        description='What stays as configured: "channels.lightgcn.dim", or all of a channel, "channels.ease".',
    )
    channels: Annotated[dict[str, Any], PlainValidator(_ranges), _RangesSchema()] = Field(
        default={},
        description="Ranges of hyper-parameters under the names of their sections, in addition to the built-in ones or "
        "in their place: a list of values, or `{ low = 0.05, high = 0.3, log = true }`. Channels that serve are "
        "searched anyway, others where ranges are given.",
    )

    @model_validator(mode="after")
    def _only_what_there_is_is_kept(self) -> Self:
        names = sorted({part for name in self._all() for part in _with_sections(name)}) if self.keep else []
        for name in self.keep:
            if name not in names:
                near = get_close_matches(name, names, n=1, cutoff=0.6)
                hint = f"did you mean {near[0]!r}?" if near else f"searched are {', '.join(self._all())}"
                raise ValueError(f"keep names {name!r}, which is not searched anyway; {hint}")
        return self

    def space(self) -> dict[str, Range]:
        """What may be searched: "channels.lightgcn.training.temperature" -> its range."""
        kept = set(self.keep)
        return {name: values for name, values in self._all().items() if not kept.intersection(_with_sections(name))}

    def own(self) -> set[str]:
        """Names whose ranges were written by the user."""
        return set(_flat(self.channels, CHANNELS))

    def _all(self) -> dict[str, Range]:
        return _flat(built_in(), CHANNELS) | _flat(self.channels, CHANNELS)


def _flat(ranges: Mapping[str, Any], place: str) -> dict[str, Range]:
    """Ranges by their full names."""
    flat: dict[str, Range] = {}
    for name, entry in ranges.items():
        flat |= _flat(entry, f"{place}.{name}") if isinstance(entry, Mapping) else {f"{place}.{name}": entry}
    return flat


def _with_sections(name: str) -> list[str]:
    """A name and the sections it is in: "channels.ease.weights", "channels.ease", "channels"."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]

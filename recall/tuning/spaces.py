"""What is searched on a graph: the hyper-parameters of each channel with their ranges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gnn.graph.lightgcn import chosen_relations
from kg.errors import ConfigError
from kg.io.files import digest
from recall.channels.registry import channel_class
from recall.config.deployment import RefreshConfig
from recall.config.search_space import CHANNELS, Range
from recall.config.sections import LIGHTGCN
from recall.jobs.prepare import Prepared

MODEL = f"{CHANNELS}.{LIGHTGCN}"


def search_spaces(config: RefreshConfig, prepared: Prepared) -> dict[str, dict[str, Range]]:
    """The hyper-parameters of each search with their ranges; trained channels come last, the others are quick.

    Built-in ranges of hyper-parameters that would change nothing on this graph are left out.

    Raises:
        ConfigError: nothing is left, or a relation that the configuration names is not there.
    """
    settings = config.tune
    space, own = settings.space(), settings.own()
    without_effect = list(_without_effect(space, config, prepared))
    spaces: dict[str, dict[str, Range]] = {}
    for name, values in space.items():
        channel = name.split(".")[1]
        if name in without_effect and name not in own:
            continue
        if channel in config.pipeline.channels or any(written.startswith(f"{CHANNELS}.{channel}.") for written in own):
            spaces.setdefault(channel, {})[name] = values
    if not spaces:
        raise ConfigError("tune.keep leaves nothing to search that would change anything on this graph")
    return dict(sorted(spaces.items(), key=lambda entry: channel_class(entry[0]).capabilities.trained))


def _without_effect(space: Mapping[str, Range], config: RefreshConfig, prepared: Prepared) -> Iterator[str]:
    """Names of hyper-parameters that change nothing, given the configuration and the graph."""
    model = config.channels.lightgcn
    relations = chosen_relations(prepared.view, model.relations)
    # With cold_items, training uses neither relations nor texts, and no vector of an item with interactions does.
    only_cold = model.knowledge == "cold_items" and f"{MODEL}.knowledge" not in space
    if only_cold or (len(relations) == 1 and f"{MODEL}.relations" not in space):
        yield from (f"{MODEL}.interaction_weight", f"{MODEL}.knowledge_degree")
    if only_cold or (not (len(prepared.features) and model.text) and f"{MODEL}.text" not in space):
        yield f"{MODEL}.text_scale"
    if model.training.loss == "bpr" and f"{MODEL}.training.loss" not in space:
        yield f"{MODEL}.training.temperature"


def fingerprint(config: RefreshConfig, name: str, space: Mapping[str, Range]) -> str:
    """Identifies a search among those of the same data: trials are comparable only where it is equal."""
    sections = [config.to_json()[CHANNELS][name]]
    ranges = {
        parameter: values if isinstance(values, list) else values.model_dump(mode="json")
        for parameter, values in space.items()
    }
    measured = {"metric": config.tune.metric, "k": config.tune.k, "sample_users": config.evaluation.sample_users}
    return digest({"sections": sections, "space": ranges, **measured})

"""What is fused, and the weights as every benchmark chooses them: on validation, with all of its users."""

from __future__ import annotations

import re
from collections.abc import Mapping

from benchmarks.results import FOLDER
from gnn.evaluation.held_out import Group
from gnn.evaluation.validation import Validation
from gnn.text.features import TextFeatures
from kg import KnowledgeGraph
from kg.history import InteractionHistory
from kg.io.files import read_json
from recall.channels.walk import Walk, WalkConfig
from recall.contracts import Channel, FitData, Query
from recall.pipeline import Pipeline


def chosen_weights(channels: Mapping[str, Channel], graph: KnowledgeGraph, group: Group, *, k: int) -> dict[str, float]:
    """The weights with the best NDCG@k.

    Args:
        channels: fitted on the training part, by name.
        graph: what they were fitted on.
        group: who is asked, and what validation holds of each.
        k: cut-off.
    """
    queries = Query.of_users(group.user, graph.users, seen=group.seen)
    return Pipeline(channels, InteractionHistory.of(graph)).fit_fusion(queries, group.truth, k=k).weights


def slug(model: str) -> str:
    """The name in a fusion of a model of a table."""
    return "_".join(re.findall("[a-z0-9]+", model.lower()))


def told(weights: Mapping[str, float]) -> str:
    """The weights in a row, those of 0 left out."""
    return ", ".join(f"{name} {weight:.3g}" for name, weight in weights.items() if weight)


def weighed_walk(
    data: str, first: KnowledgeGraph, validation: Validation, features: TextFeatures | None = None
) -> Walk:
    """The typed walk under the settings that its own benchmark chose for a data set.

    Args:
        data: name of the data set in the results of `python -m benchmarks walk`.
        first: what may be learned from while choosing.
        validation: what the weights are found on.
        features: text vectors of the nodes, if there are texts.
    """
    file = FOLDER / "walk.json"
    rows = read_json(file)["rows"] if file.exists() else []
    settings = [row["settings"] for row in rows if (row["data"], row["model"]) == (data, "walk")]
    if not settings:
        raise SystemExit(f"the fusion needs the walk on {data}: run `python -m benchmarks walk --only {data}` first")
    return Walk(WalkConfig(**settings[0], trials=0)).fit(FitData.of(first, features=features, validation=validation))

"""Text interests of users beside content kNN, for users who wrote texts (tags) and for all.

Every setting of both is chosen on the validation part; then both are fitted on training and validation together and
measured once on test, with intervals of the paired difference over users. All items are ranked.

    python -m benchmarks interests [--data SOURCE]

Without `--data` the movies of the examples are read, whose texts are titles and genres; the folder with the richer
tables has plot abstracts, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.movies_data import bundled, checksums, rich
from benchmarks.results import record
from gnn.evaluation.held_out import Group, user_groups
from gnn.evaluation.metrics import bootstrap_interval, per_user_metrics
from gnn.evaluation.validation import Validation
from gnn.text.cache import TextCache
from gnn.text.encoder import TextConfig, TextEncoder
from gnn.text.features import encode_graph
from kg import KnowledgeGraph, SplitConfig, split_interactions
from kg.arrays import IntArray
from recall.channels import ContentKNN, ContentKNNConfig, Popularity, TextInterest, TextInterestConfig
from recall.contracts import Channel, FitData, Query

K = 20
CACHE = Path(".cache") / "benchmarks"
NEIGHBOURS = (20, 50, 100, 500)
TEXTS, ALL = "wrote tags", "all users"


def main(arguments: Sequence[str]) -> None:
    """Measure both on the test part of the per-user split by time."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks interests", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the richer source tables; without it: the bundle")
    options = parser.parse_args(arguments)
    graph = with_tag_texts((bundled() if options.data is None else rich(options.data))[0])
    features = encode_graph(graph, TextEncoder(TextConfig(), "cpu"), cache=TextCache(CACHE))
    split = split_interactions(graph, SplitConfig(kind="per_user_time"))
    train = FitData.of(split.view(graph, "train"), features=features)
    tuning = user_groups(graph, split, part="valid", seen_parts=("train",))[0]
    validation = Validation(truth=split.positives(graph, "valid"), seen=split.seen(graph, "train"))
    neighbours = best_neighbours(train, tuning)
    chosen = TextInterest().fit(replace(train, validation=validation))
    recipe = chosen.config.changed(search=False)
    full = FitData.of(split.view(graph, "train", "valid"), features=features)
    test = user_groups(graph, split, part="test", seen_parts=("train", "valid"))[0]
    channels: dict[str, tuple[Channel, str]] = {
        "popularity": (Popularity(), ""),
        "content kNN": (ContentKNN(ContentKNNConfig(neighbours=neighbours)), f"{neighbours} neighbours"),
        "text interests": (TextInterest(recipe), weights(recipe)),
        "one interest": (TextInterest(recipe.changed(interests=1, own_interests=1)), "the mean of all texts"),
        "without own texts": (TextInterest(recipe.changed(own=0.0)), "liked items alone"),
        "own texts unrelated": (TextInterest(recipe.changed(relation=0.0)), "no weight by the other kind of text"),
    }
    groups = {ALL: np.arange(len(test.user)), TEXTS: np.flatnonzero(np.isin(test.user, writers(full.graph)))}
    values = {name: measured(channel.fit(full), test) for name, (channel, _) in channels.items()}
    rows = [row(values, name, note, group, at) for group, at in groups.items() for name, (_, note) in channels.items()]
    source = "bundled" if options.data is None else "rich"
    record(f"interests_{source}", rows, data=checksums(source=options.data), tried=dict(chosen.facts["ndcg"]))


def with_tag_texts(graph: KnowledgeGraph) -> KnowledgeGraph:
    """The graph whose tags are texts."""
    kind = replace(graph.schema.node_types["tag"], text="{id}")
    tags = graph.nodes["tag"]
    tags = tags.append_column("text", tags["id"])
    schema = replace(graph.schema, node_types={**graph.schema.node_types, "tag": kind})
    return KnowledgeGraph(schema, {**graph.nodes, "tag": tags}, graph.edges, graph.repeats)


def writers(view: KnowledgeGraph) -> IntArray:
    """Users of whom a view has tags, by position."""
    columns = [view.event_columns(key) for key in view.edges if "tag" in (key.source, key.target)]
    return np.unique(np.concatenate([users for users, _ in filter(None, columns)]))


def best_neighbours(data: FitData, tuning: Group) -> int:
    """The number of neighbours of the content kNN with the best NDCG on validation."""
    reached = {
        n: measured(ContentKNN(ContentKNNConfig(neighbours=n)).fit(data), tuning)["ndcg"].mean() for n in NEIGHBOURS
    }
    return max(reached, key=lambda n: reached[n])


def measured(channel: Channel, group: Group) -> dict[str, Any]:
    """Recall and NDCG of each user of a group."""
    parts = np.array_split(np.arange(len(group.user)), 16)
    lists = [
        channel.score(Query.of_positions(group.user[part])).top(K, exclude=group.seen.take(part)).items
        for part in parts
    ]
    return per_user_metrics(np.concatenate(lists), group.truth, K)


def weights(config: TextInterestConfig) -> str:
    """What validation chose, in words."""
    return f"temperature {config.temperature:g}, own {config.own:g}, relation {config.relation:g}"


def row(values: dict[str, Any], name: str, note: str, group: str, at: IntArray) -> dict[str, Any]:
    """One line of the result, with the difference to the content kNN."""
    result: dict[str, Any] = {"group": group, "model": name, "users": len(at), "chosen": note}
    for metric in ("recall", "ndcg"):
        own, other = values[name][metric][at], values["content kNN"][metric][at]
        result[f"{metric}@{K}"] = float(own.mean())
        result[f"{metric}@{K} above content kNN"] = float((own - other).mean())
        result[f"{metric}@{K} above content kNN interval"] = list(bootstrap_interval(own - other))
    return result

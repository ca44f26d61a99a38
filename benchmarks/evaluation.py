"""Seconds that the evaluation of a recall stage takes, on generated interactions in the shape of Amazon-Book.

python -m benchmarks evaluation [--users 70000] [--items 25000] [--interactions 850000] [-k 100 1000]

The published split of Amazon-Book in KGAT has 70,679 users, 24,915 items and 847,733 interactions. Each user's last
interactions are held out. The channels are fitted first, which is not counted.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from benchmarks.generated import power_law_pairs
from benchmarks.results import record
from kg import Event, KnowledgeGraph, NodeType, Relation, RelationKey, Schema, Split, SplitConfig, split_interactions
from kg.processes.limits import cores
from recall.channels.settings import ChannelsConfig, make_channel
from recall.contracts import Channel, FitData
from recall.fusion import FusionConfig
from recall.ops.summary import peak_memory
from recall.pipeline import Pipeline
from recall.quality.stage.evaluate import evaluate_stage

CHANNELS = ("cheby", "rp3beta", "item_knn", "walk", "popularity")


def main(argv: Sequence[str]) -> None:
    """Measure the evaluation of five channels together, for each length of lists."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks evaluation", description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=70_000)
    parser.add_argument("--items", type=int, default=25_000)
    parser.add_argument("--interactions", type=int, default=850_000)
    parser.add_argument("-k", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--channels", nargs="+", default=list(CHANNELS))
    arguments = parser.parse_args(argv)
    graph = generated(arguments.interactions, arguments.users, arguments.items)
    split = split_interactions(graph, SplitConfig(kind="random", test=0.2, valid=0.0))
    pipeline, fits = fitted(graph, split, arguments.channels)
    rows = []
    for longest in arguments.k:
        ks = [k for k in arguments.k if k <= longest]
        start, worked = time.perf_counter(), time.process_time()
        report = evaluate_stage(graph, split, pipeline, kind="random", ks=ks)
        rows.append(
            {
                "model": f"{len(fits)} channels, their fusion, and it without each",
                "k": longest,
                "seconds": time.perf_counter() - start,
                "cpu_seconds": time.process_time() - worked,
                "rank_seconds": report.seconds,
                "peak_gib": peak_memory() / 2**30,
                "users": sum(row.users for row in report.metrics if row.ranker == report.serves),
            }
        )
        counts = {"users": len(graph.users), "items": len(graph.items), "interactions": len(graph.interactions)}
        record("evaluation", rows, **counts, channels=fits, threads=cores(), load=os.getloadavg()[0])


def generated(count: int, users: int, items: int) -> KnowledgeGraph:
    """A graph of likes alone, whose users and items follow power laws."""
    user, item = power_law_pairs(count, users, items)
    likes = RelationKey("user", "likes", "item")
    schema = Schema(
        node_types={"user": NodeType(name="user"), "item": NodeType(name="item")},
        relations={likes: Relation(key=likes, event=Event())},
        user_type="user",
        item_type="item",
        interaction=likes,
    )
    nodes = {
        name: pa.table({"id": pa.array([f"{name[0]}{number:09d}" for number in range(size)])})
        for name, size in (("user", users), ("item", items))
    }
    when = np.random.default_rng(2).permutation(count)
    edges = {likes: pa.table({"src": pa.array(user), "dst": pa.array(item), "timestamp": pa.array(when)})}
    return KnowledgeGraph(schema, nodes, edges)


def fitted(graph: KnowledgeGraph, split: Split, names: Sequence[str]) -> tuple[Pipeline, dict[str, float]]:
    """Channels fitted on the training part, all of the same weight, and the seconds that each took."""
    data = FitData.of(split.view(graph, "train"))
    channels: dict[str, Channel] = {}
    seconds = {}
    for name in names:
        start = time.perf_counter()
        channels[name] = make_channel(ChannelsConfig(), name).fit(data)
        seconds[name] = time.perf_counter() - start
    weights = dict.fromkeys(names, 1 / len(names))
    return Pipeline(channels, data.history, fusion=FusionConfig(weights=weights)), seconds

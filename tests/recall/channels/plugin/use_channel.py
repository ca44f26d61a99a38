"""What the test of plug-ins runs in a process of its own: a channel of another package from fit to load."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from kg.topology.adjacency import Adjacency
from recall import Pipeline, Query, Recommender
from recall.channels import EASE, channel_class, registered
from recall.contracts import FitData, LoadData
from recall.fusion import FusionConfig
from tests.conftest import make_movie_graph


def main(folder: Path) -> None:
    graph = make_movie_graph(users=40, movies=30, ratings=12, seed=1)
    data = FitData.of(graph)
    kind = channel_class("following")
    channel = kind(kind.config_type(neighbours=20)).fit(data)
    fused = Pipeline.of(
        graph, [channel, EASE().fit(data)], fusion=FusionConfig(weights={"following": 1.0, "ease": 0.5})
    )
    recommender = Recommender(graph, fused)
    answer = recommender.recommend(["u1"], k=5)
    (explanation,) = recommender.explain([("u1", answer.table["item_id"][0].as_py())])
    channel.save(folder / "following")
    loaded = kind.load(folder / "following", LoadData(graph=graph, history=data.history, adjacency=Adjacency.of(graph)))
    everybody = Query.of_users(np.arange(len(graph.users)), graph.users)
    before, after = (Pipeline([one], data.history).recommend(everybody, k=7) for one in (channel, loaded))
    facts = {
        "registered": list(registered()),
        "package": kind.__module__,
        "sources": sorted(set(answer.table["source"].to_pylist())),
        "score": answer.table["score"][0].as_py(),
        "explained": explanation.score,
        "parts": [part.channel for part in explanation.parts],
        "config": loaded.config.model_dump(),
        "same": before.item.tolist() == after.item.tolist() and before.score.tolist() == after.score.tolist(),
        "candidates": len(after),
    }
    sys.stdout.write(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

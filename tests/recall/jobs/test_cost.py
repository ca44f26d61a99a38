"""What a first training is said to take."""

from __future__ import annotations

from pathlib import Path

import pytest

from kg import KnowledgeGraph
from recall.config.deployment import RefreshConfig, parse_config
from recall.jobs.cost import estimate

SEQUENCES = ("sasrec", "bert4rec", "gru4rec", "narm")


def config_of(channel: str, **training: int) -> RefreshConfig:
    section = {"dim": 16, "training": {"max_steps": 100, "batch_size": 32, **training}}
    return parse_config(
        {"sources": {}, "pipeline": {"channels": [channel]}, "channels": {channel: section}}, base=Path.cwd()
    )


@pytest.mark.parametrize("channel", ["lightgcn", *SEQUENCES])
def test_twice_the_steps_take_twice_as_long(channel: str, toy_graph: KnowledgeGraph) -> None:
    once, twice = (estimate(toy_graph, config_of(channel, max_steps=steps)).train_seconds for steps in (100, 200))
    assert once > 0
    assert twice == pytest.approx(2 * once)


@pytest.mark.parametrize("channel", SEQUENCES)
def test_a_sequence_model_reads_histories_and_no_edges(channel: str, toy_graph: KnowledgeGraph) -> None:
    config = config_of(channel, negatives=64)
    whole = estimate(toy_graph, config).train_seconds
    bare = toy_graph.without_relations({key for key in toy_graph.edges if key != toy_graph.schema.interaction_key})
    assert estimate(bare, config).train_seconds == whole
    short = config.changed(
        channels=config.channels.changed(**{channel: getattr(config.channels, channel).changed(max_length=3)})
    )
    assert estimate(toy_graph, short).train_seconds < whole

"""What a first training will take, roughly: from counts, by what the benchmarks measured on two cores without a GPU."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.compute as pc

from gnn.sequence.settings import SequenceTraining
from kg.graph import KnowledgeGraph
from recall.config.deployment import RefreshConfig

# Seconds, on one thread; see docs/numbers.md: texts a second, and where a training step on gowalla spends its time.
PER_TOKEN = 0.0007
PER_EDGE_AND_COLUMN = 3.4e-9
PER_SCORE_AND_COLUMN = 4.9e-11
PER_PLACE_AND_COLUMN = 8e-7  # of the histories that a sequence model reads in a step
CHARACTERS_A_TOKEN = 4
# Bytes: a process with torch and the text model, an edge in tables and matrices, copies of a vector in training.
BASE = 900_000_000
AN_EDGE = 150
COPIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a first refresh takes; the figures may be off by a factor of three.

    Attributes:
        texts: different texts to encode.
        text_seconds: for them, the first time; they are kept.
        train_seconds: for all trainings at their largest number of steps.
        memory: bytes at the peak.
    """

    texts: int
    text_seconds: float
    train_seconds: float
    memory: int


def estimate(graph: KnowledgeGraph, config: RefreshConfig) -> Cost:
    """The cost of a first refresh of a graph."""
    texts = characters = 0
    for table in graph.nodes.values():
        if "text" in table.column_names:
            different = pc.unique(table["text"].combine_chunks()).drop_null()
            texts += len(different)
            characters += pc.sum(pc.utf8_length(different)).as_py() or 0
    edges = 2 * sum(table.num_rows for table in graph.edges.values())
    nodes = sum(table.num_rows for table in graph.nodes.values())
    seconds, width = 0.0, 0
    for name in config.pipeline.channels:
        settings = getattr(config.channels, name, None)
        training = getattr(settings, "training", None)
        if settings is None or training is None:
            continue
        if isinstance(training, SequenceTraining):
            likes = len(graph.interactions) / max(len(graph.users), 1)
            answers = training.batch_size * min(likes, settings.max_length)
            step = PER_PLACE_AND_COLUMN * answers * settings.dim
        else:
            answers = training.batch_size
            step = PER_EDGE_AND_COLUMN * edges * settings.dim
        step += PER_SCORE_AND_COLUMN * answers * (training.negatives or len(graph.items)) * settings.dim
        seconds += 2 * training.max_steps * step  # once to measure, once with everything to serve
        width = max(width, settings.dim)
    return Cost(
        texts=texts,
        text_seconds=PER_TOKEN * characters / CHARACTERS_A_TOKEN,
        train_seconds=seconds,
        memory=BASE + AN_EDGE * edges + 4 * COPIES * nodes * width,
    )

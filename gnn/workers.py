"""The ranks that take part in the trainings of the first one, whatever it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gnn.distributed import Ranks
from gnn.graph.fit import take_part as take_part_in_graph
from gnn.sequence.fit import take_part as take_part_in_sequences

TRAININGS: Mapping[str, Callable[[Ranks, Mapping[str, Any]], None]] = {
    "graph": take_part_in_graph,
    "sequences": take_part_in_sequences,
}


def run_worker(ranks: Ranks) -> None:
    """Take part in the trainings of the first rank, which gets the results, until it has no more.

    Raises:
        ConfigError: there are fewer GPUs on this machine than ranks.
        TrainingError: a training diverged, or another rank was lost.
    """
    while (job := ranks.broadcast(None, wait=True)) is not None:
        TRAININGS[job["training_of"]](ranks, job)

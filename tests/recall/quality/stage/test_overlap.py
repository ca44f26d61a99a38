"""How alike lists are, against sets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from gnn.evaluation.held_out import user_groups
from kg.arrays import IntArray
from recall.contracts import Query
from recall.quality.measure import ranked_blocks
from recall.quality.stage.evaluate import evaluate_stage
from tests.recall.quality.stage.conftest import Stage

KS = (3, 10, 30)


def test_overlaps_and_own_hits_are_those_of_sets(stage: Stage) -> None:
    report = evaluate_stage(stage.graph, stage.split, stage.pipeline, kind="random", ks=KS)
    (group, *_) = user_groups(stage.graph, stage.split)
    queries = Query.of_users(group.user, stage.view.users, seen=group.seen)
    blocks = list(ranked_blocks(stage.pipeline, queries, k=max(KS)))
    lists: dict[str, IntArray] = {
        name: np.concatenate([block.ranked[name] for _, block in blocks]) for name in stage.pipeline.channels
    }

    def best(name: str, row: int, k: int) -> set[int]:
        return {item for item in lists[name][row, :k].tolist() if item >= 0}

    for k in KS:
        for first, second in combinations(lists, 2):
            alike = []
            for row in range(len(group)):
                ours, theirs = best(first, row, k), best(second, row, k)
                alike.append(len(ours & theirs) / len(ours | theirs) if ours | theirs else 0.0)
            measured = next(
                each
                for each in report.overlaps
                if (each.group, each.k, each.channels) == ("warm users", k, (first, second))
            )
            assert measured.jaccard == pytest.approx(np.mean(alike))
        for name in lists:
            others = [other for other in lists if other != name]
            hits, alone = 0, 0
            for row in range(len(group)):
                right = best(name, row, k) & set(group.truth[row].tolist())
                hits += len(right)
                alone += len(right.difference(*(best(other, row, k) for other in others)))
            own = next(e for e in report.own_hits if (e.group, e.k, e.channel) == ("warm users", k, name))
            assert (own.hits, own.alone) == (hits, alone)

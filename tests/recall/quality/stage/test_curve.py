"""The precision-recall curve, against scikit-learn over every pair."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from gnn.evaluation.held_out import user_groups
from recall.contracts import Query
from recall.quality.measure import measure_channels, ranked_blocks
from recall.quality.stage.curve import curve
from tests.recall.quality.stage.conftest import Stage


@pytest.mark.parametrize("k", [1, 8, 40])
def test_the_area_is_that_of_every_pair_of_user_and_item(stage: Stage, k: int) -> None:
    (group, *_) = user_groups(stage.graph, stage.split)
    measured = measure_channels(stage.pipeline, [group], trained_on=stage.view, ks=[k])
    queries = Query.of_users(group.user, stage.view.users, seen=group.seen)
    num_items = len(stage.graph.items)
    for name, (evaluation,) in measured.ranked.items():
        ranked = np.concatenate([block.ranked[name] for _, block in ranked_blocks(stage.pipeline, queries, k=k)])
        labels, scores = [], []
        for row in range(len(group)):
            place = {item: at for at, item in enumerate(ranked[row].tolist()) if item >= 0}
            truth, seen = set(group.truth[row].tolist()), set(group.seen[row].tolist())
            for item in set(range(num_items)) - seen:
                labels.append(item in truth)
                scores.append(-place.get(item, k))
        drawn = curve(name, evaluation, group, num_items)
        assert drawn.average_precision == pytest.approx(average_precision_score(labels, scores))
        hits = np.cumsum(evaluation.hits)
        at = np.array(drawn.places)
        assert drawn.recall == pytest.approx((hits[at - 1] / evaluation.to_find).tolist())
        assert drawn.precision == pytest.approx((hits[at - 1] / np.cumsum(evaluation.shown)[at - 1]).tolist())

"""What the types of step weigh beside one another, and their weights where nothing says which are best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kg.arrays import RaggedArray
from kg.history import InteractionHistory
from recall.channels.walk.config import WalkConfig
from recall.channels.walk.start import blocks, popularity_of, start_of
from recall.channels.walk.steps import POPULARITY, USERS, StepType
from recall.contracts import Query, StepKind

_SAMPLE = 500  # users
# Beside a step through users, by what the best item of a user gets. Set by hand: what the walk finds on other data sets
# does better on one of four and worse on three (benchmarks/results/walk.json).
_OF_KIND = {
    StepKind.USERS: 1.0,
    StepKind.NEXT: 0.5,
    StepKind.RELATION: 0.2,
    StepKind.DIRECT: 0.2,
    StepKind.TEXT: 0.2,
    StepKind.DISLIKE: 0.0,
}
_OF_POPULARITY = 0.1


def typical_worths(types: Sequence[StepType], history: InteractionHistory, config: WalkConfig) -> dict[str, float]:
    """What each type of step, and popularity, typically gives the best item of a user.

    Returns:
        The mean over some users of the largest value that the type gives any item, before its weight; 0 where it
        reaches nothing.
    """
    random = np.random.default_rng(config.seed)
    able = np.flatnonzero(history.liked.counts)
    if len(able):
        queries = Query.of_positions(np.sort(random.permutation(able)[:_SAMPLE]))
    else:  # histories can still come with requests
        alone = np.sort(random.permutation(history.num_items)[:_SAMPLE])
        queries = Query.of_histories([""] * len(alone), RaggedArray(np.arange(len(alone) + 1), alone))
    start = start_of(queries, history, decay=config.decay)
    worths = {POPULARITY: float(popularity_of(history, config).max(initial=0.0))}
    for kind in types:
        walked = start.disliked if kind.kind is StepKind.DISLIKE else start.liked
        best = []
        for rows in blocks(walked.shape[0], history.num_items):
            scores = np.zeros(walked[rows].shape, dtype=np.float32)
            kind.step.add_reached(scores, walked[rows])
            best.append(scores.max(axis=1))
        worths[kind.name] = float(np.concatenate(best).mean())
    return worths


def default_weights(types: Sequence[StepType], worths: Mapping[str, float]) -> dict[str, float]:
    """The weights where there is no validation part: each type by its kind, beside what it typically gives."""
    weights = {
        kind.name: _OF_KIND[kind.kind] / worths[kind.name]
        for kind in types
        if worths[kind.name] > 0 and _OF_KIND[kind.kind] > 0 and len(kind.shape) <= 2
    }
    if worths[POPULARITY] > 0:
        weights[POPULARITY] = _OF_POPULARITY / worths[POPULARITY]
    return weights


def strengths(weights: Mapping[str, float], worths: Mapping[str, float]) -> dict[str, float]:
    """The weights as people can compare them: by what each type typically gives, as multiples of a step through users.

    Where steps through users weigh nothing, as multiples of the strongest.
    """
    effects = {name: weight * worths.get(name, 0.0) for name, weight in weights.items()}
    unit = effects.get(USERS) or max(effects.values(), default=0.0) or 1.0
    return {name: effect / unit for name, effect in effects.items()}

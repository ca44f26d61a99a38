"""A channel whose score is a sum over paths, found by plain loops over the edges of a small graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from kg.settings import Settings
from kg.topology.adjacency import Adjacency
from recall.channels.base import HistoryChannel, item_likes
from recall.contracts import REQUEST_TEXT, Capabilities, PathShares, StepKind, StepPaths
from recall.contracts.history import liked_items
from tests.movie_relations import DIRECTOR, GENRE, RATED, SEQUEL, STARRING, TAGGED

MIRRORED = {"genre": GENRE, "director": DIRECTOR, "starring": STARRING}
USERS = ((RATED, False), (RATED, True))
WEIGHTS = {
    "through_users": 1.0,
    "next": 0.2,
    "genre": 0.4,
    "director": 1.5,
    "starring": 0.5,
    "sequel": 2.0,
    "text": 0.3,
    "tagged": 0.1,
    "cast": 0.2,
    "named": 0.7,
    "disliked": -0.5,
}


class LoopWalkConfig(Settings):
    """What the types of steps weigh."""

    section: ClassVar[str] = "channels.loop_walk"

    weights: dict[str, float] = Field(
        default=WEIGHTS,
        description="By name of the type; one that is left out is not walked.",
    )
    popularity: float = Field(default=0.01, description="Weight of ln(1 + likes).")


class LoopWalk(HistoryChannel):
    """Every path j -> x -> i counts w / sqrt(degree of x); text joins items whose numbers differ by 7."""

    name: ClassVar[str] = "loop_walk"
    config_type: ClassVar[type[Any]] = LoopWalkConfig
    capabilities: ClassVar[Capabilities] = Capabilities(text=True, attributes=True)

    def _learn(self, data):
        self.adjacency = Adjacency.of(data.graph)
        self._ends: dict[Any, dict[int, list[int]]] = {}
        for key in data.graph.edges:
            source, target = data.graph.positive_edges(key)
            start, stop = (self.adjacency.numbering.span(name).start for name in (key.source, key.target))
            for forward, near, far in ((True, source + start, target + stop), (False, target + stop, source + start)):
                ends = self._ends.setdefault((key, forward), {})
                for a, b in zip(near.tolist(), far.tolist(), strict=True):
                    ends.setdefault(a, []).append(b)
        self._reached: dict[Any, dict[int, list[tuple[list[int], float]]]] = {}
        self._likes = np.log1p(item_likes(data.history))
        self._history = data.history

    def _walks(self, start: int, shape: Any) -> Iterator[tuple[list[int], float]]:
        """Simple paths along a shape, each with 1 / sqrt of the degrees of the nodes on the way."""
        if not shape:
            yield [start], 1.0
            return
        for near in self._ends[shape[0]].get(start, []):
            for nodes, value in self._walks(near, shape[1:]):
                if start not in nodes:
                    degree = len(self._ends[shape[0][0], not shape[0][1]].get(near, []))
                    yield [start, *nodes], value / degree**0.5

    def _to(self, start: int, shape: Any) -> dict[int, list[tuple[list[int], float]]]:
        """All walks from a node along a shape, by where they end."""
        if (start, shape) not in self._reached:
            reached = self._reached[start, shape] = {}
            for nodes, value in self._walks(start, shape):
                reached.setdefault(nodes[-1], []).append((nodes, value))
        return self._reached[start, shape]

    def _types(self, user: int) -> list[tuple[str, StepKind, Any]]:
        types = [("through_users", StepKind.USERS, USERS), ("next", StepKind.NEXT, USERS)]
        types += [(name, StepKind.RELATION, ((key, True), (key, False))) for name, key in MIRRORED.items()]
        types.append(("tagged", StepKind.RELATION, ((TAGGED, False), (TAGGED, True))))
        cast = ((STARRING, True), (STARRING, False), (DIRECTOR, True), (DIRECTOR, False))
        types.append(("cast", StepKind.RELATION, cast))
        types.append(("sequel", StepKind.DIRECT, ((SEQUEL, False),)))
        types.append(("text", StepKind.TEXT, ()))
        types.append(("named", StepKind.ATTRIBUTE, ((GENRE, False),)))
        types.append(("disliked", StepKind.DISLIKE, ((GENRE, True), (GENRE, False))))
        return [entry for entry in types if entry[0] in self.config.weights]

    def _starts(self, kind: StepKind, liked: list[int], disliked: list[int], attributes: Any) -> list[int]:
        if kind == StepKind.ATTRIBUTE:
            first = self.adjacency.numbering.span("genre").start
            return [first + int(place) for place in (attributes or {}).get(GENRE, [])]
        return disliked if kind == StepKind.DISLIKE else liked

    def paths_of(self, user: int, liked: list[int], item: int, text: str | None, attributes: Any) -> list[StepPaths]:
        disliked: list[int] = []
        if user >= 0:
            seen = self.history.seen[user]
            disliked = (np.setdiff1d(seen, self.history.liked[user])[:2] + self.history.first_item).tolist()
        steps = []
        for name, kind, shape in self._types(user):
            weight = self.config.weights[name]
            rows, values = [], []
            for start in self._starts(kind, liked, disliked, attributes):
                if not shape:
                    if abs(start - item) % 7 == 0 and start != item:
                        rows.append([start, item])
                        values.append(weight)
                    continue
                for nodes, value in self._to(start, shape).get(item, []):
                    rows.append(nodes)
                    values.append(weight * value)
            if kind == StepKind.TEXT and text:
                rows.append([REQUEST_TEXT, item])
                values.append(weight * 0.5)
            steps.append(
                StepPaths(
                    name=name,
                    kind=kind,
                    weight=weight,
                    shape=shape,
                    nodes=np.array(rows, dtype=np.int64).reshape(len(rows), max(len(shape), 1) + 1),
                    values=np.array(values, dtype=np.float64),
                )
            )
        return steps

    def attribute(self, queries, items):
        liked = liked_items(queries, self.history)
        first = self.history.first_item
        return [
            PathShares.of(
                self.paths_of(
                    int(queries.user[row]),
                    (liked[row] + first).tolist(),
                    int(items[row]) + first,
                    None if queries.text is None else queries.text[row],
                    None if queries.attributes is None else queries.attributes[row],
                ),
                prior=float(self.config.popularity * self._likes[items[row]]),
                interaction=RATED,
            )
            for row in range(len(queries))
        ]

    def _answerable(self, queries, history):
        return np.arange(len(queries))

    def _scores(self, queries, history, columns):
        items = np.arange(self.history.num_items) if columns is None else columns
        scores = np.empty((len(queries), len(items)), dtype=np.float32)
        for place, item in enumerate(items):
            splits = self.attribute(queries, np.full(len(queries), item))
            scores[:, place] = [split.score for split in splits]
        return scores

    def _parts(self, history, item):
        raise AssertionError("the paths say it")

    def _write(self, folder):
        raise AssertionError("it is not saved")

    def _read(self, folder, facts):
        raise AssertionError("it is not loaded")

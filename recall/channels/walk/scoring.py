"""The weighted types of step as few sparse products, for batches of requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, hstack, vstack

from kg import RelationKey
from kg.arrays import IntArray
from kg.topology.adjacency import Numbering
from kg.topology.walk import EntityStep, Neighbours, add_product
from recall.channels.base import check_attributes, named_attributes
from recall.channels.walk.start import Start
from recall.channels.walk.steps import StepType
from recall.contracts import StepKind, StepPaths

FloatArray = npt.NDArray[np.float32]


class _Entities(NamedTuple):
    """Where the entities of one relation stand among the stacked ones.

    Attributes:
        kind: the type of step.
        first: column of the first.
        worth: of each, float32 (entities,).
        power: of the number of attributes that a request names.
        weight: of a step that starts at an attribute.
    """

    kind: StepType
    first: int
    worth: FloatArray
    power: float
    weight: float


class WeightedSteps:
    """The sum of the weighted types of step.

    Attributes:
        weighted: the types that count, with their weights.
    """

    def __init__(
        self, types: Sequence[StepType], weights: Mapping[str, float], *, num_items: int, stated: Mapping[str, float]
    ) -> None:
        """Stack them.

        Args:
            types: all of the graph.
            weights: of each by its name; absent is 0.
            num_items: items.
            stated: weight at least of a step that starts at an attribute that a request states, by name.
        """
        self.weighted = [(kind, weights[kind.name]) for kind in types if weights.get(kind.name)]
        self._lists = [
            (kind.step.lists, np.float32(weight), kind.kind is StepKind.DISLIKE)
            for kind, weight in self.weighted
            if isinstance(kind.step, Neighbours)
        ]
        outward, inward = [csr_matrix((num_items, 0), dtype=np.float32)], [csr_matrix((0, num_items), dtype=np.float32)]
        self._entities: dict[RelationKey, list[_Entities]] = {}
        width = 0
        for kind in types:
            weight, step = weights.get(kind.name, 0.0), kind.step
            if not isinstance(step, EntityStep) or (weight == 0 and len(step.hops) > 1):
                continue
            outward.append(step.outward * np.float32(weight))
            inward.append(step.inward)
            if len(step.hops) == 1:
                at_least = max(weight, stated.get(kind.name, 0.0))
                entities = _Entities(kind, width, step.worth, step.powers.start, at_least)
                self._entities.setdefault(kind.shape[0][0], []).append(entities)
            width += step.inward.shape[0]
        self._outward, self._inward = hstack(outward, format="csr"), vstack(inward, format="csr")
        self._outward.eliminate_zeros()

    def add_reached(self, scores: FloatArray, start: Start, profile: Any | None = None) -> None:
        """Add what every item is worth, without popularity.

        Args:
            scores: (n, items), changed in place.
            start: of n requests.
            profile: what requests state of entities, CSR (n, entities), of `profile`.
        """
        for lists, weight, from_disliked in self._lists:
            add_product(scores, (start.disliked if from_disliked else start.liked) * weight, lists)
        if self._outward.nnz or profile is not None:
            entities = start.liked @ self._outward
            add_product(scores, entities if profile is None else entities + profile, self._inward)

    def profile(self, attributes: Sequence[Mapping[RelationKey, IntArray]]) -> Any:
        """What requests state of entities, each attribute as of one item that has those alone.

        Returns:
            CSR (n, entities), float32; relations that are not walked add nothing.

        Raises:
            UnknownIdError: a position lies outside.
            InvalidDataError: a relation is not named as (source, name, target).
        """
        rows, columns, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
        for row, chosen in enumerate(attributes):
            for relation, at in named_attributes(chosen):
                for entities in self._entities.get(relation, ()):
                    check_attributes(at, len(entities.worth), relation)
                    rows.append(np.full(len(at), row))
                    columns.append(at + entities.first)
                    share = entities.weight * max(len(at), 1) ** -entities.power
                    values.append((entities.worth[at] * share).astype(np.float32))
        shape = (len(attributes), self._inward.shape[0])
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        return csr_matrix(entries, shape=shape)

    def stated(self, relation: RelationKey) -> list[tuple[StepType, float]]:
        """The types of step that start at the entities of a relation, with their weights."""
        return [(entities.kind, entities.weight) for entities in self._entities.get(relation, ())]

    def stated_paths(self, profile: Any, item: int, numbering: Numbering, item_type: str) -> list[StepPaths]:
        """The paths from the entities that a request states to an item.

        Args:
            profile: of one request, CSR (1, entities).
            item: position.
            numbering: of all nodes.
            item_type: name of the items' type.
        """
        column = profile.indices.astype(np.int64)
        values = profile.data.astype(np.float64) * self._inward[column][:, [item]].toarray()[:, 0]
        paths = []
        for entities in (entry for entries in self._entities.values() for entry in entries):
            at = column - entities.first
            here = (at >= 0) & (at < len(entities.worth)) & (values != 0)
            if here.any():
                key, forward = entities.kind.shape[-1]
                start = numbering.span(key.source if forward else key.target).start
                end = np.full(int(here.sum()), item + numbering.span(item_type).start)
                paths.append(
                    StepPaths(
                        name=entities.kind.name,
                        kind=StepKind.ATTRIBUTE,
                        weight=entities.weight,
                        shape=entities.kind.shape[-1:],
                        nodes=np.stack([at[here] + start, end], axis=1),
                        values=values[here],
                    )
                )
        return paths

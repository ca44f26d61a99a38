"""The scores of the walk as Cypher: for each pair the rules of its steps, and the rows that they start from."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from kg import KnowledgeGraph
from kg.arrays import IntArray, RaggedArray
from kg.cypher.query import CypherQuery
from kg.cypher.walk import (
    DirectRule,
    NextRule,
    Part,
    Popularity,
    RelationRule,
    Rule,
    StatedRule,
    StatedTextRule,
    TextRule,
    UsersRule,
    reached_parts_query,
    reached_query,
    score_query,
)
from kg.topology.walk import EntityStep, FollowingStep, Powers, UserStep
from kg.topology.walk.lists import entries
from recall.channels.walk.config import WalkConfig
from recall.channels.walk.steps import TEXT, StepType
from recall.contracts import ReachedQueries, StepKind

Rows = list[dict[str, Any]]
Items = tuple[IntArray, npt.NDArray[np.float64]]
"""Positions of items, and how much each counts, (n,) each."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """What the walk of one request starts from.

    Attributes:
        liked: items.
        disliked: items that the person interacted with and does not like.
        stated: attributes: the type of step that starts there, its weight, and positions of the entities.
        text: position of an item -> the cosine of its text with that of the request.
    """

    liked: Items
    disliked: Items
    stated: Sequence[tuple[StepType, float, IntArray]] = ()
    text: Mapping[int, float] = field(default_factory=dict)

    @property
    def starts_nowhere(self) -> bool:
        """Whether there is nothing that a path could start at."""
        return not len(self.liked[0]) and not self.stated and not self.text


class WalkCypher:
    """The parts of the queries of a fitted walk."""

    def __init__(
        self,
        graph: KnowledgeGraph,
        config: WalkConfig,
        weighted: Sequence[tuple[StepType, float]],
        *,
        popularity: Popularity,
        similar: Any,
        text_weight: float,
    ) -> None:
        """For a walk.

        Args:
            graph: that it was fitted on.
            config: its settings.
            weighted: the types of step that count, with their weights.
            popularity: what likes add.
            similar: cosines of items with similar texts, CSR (items, items).
            text_weight: of the text of a request.
        """
        self.graph, self.config, self.weighted = graph, config, weighted
        self.popularity, self.similar, self.text_weight = popularity, similar, text_weight

    def score_queries(
        self,
        people: Iterable[Person],
        items: IntArray,
        *,
        factors: npt.NDArray[np.float64] | None,
        show_users: bool,
    ) -> list[CypherQuery | None]:
        """A query for each person and item; see `recall.contracts.WritesCypher`."""
        factors = np.ones(len(items)) if factors is None else factors
        made: list[CypherQuery | None] = []
        for person, item, factor in zip(people, items.tolist(), factors.tolist(), strict=True):
            if person.starts_nowhere:
                made.append(None)
                continue
            parts = [part.times(factor) for part in self.of_pair(person, item, show_users=show_users)]
            item_id, popularity = (
                self.graph.items.ids[item].as_py(),
                self.popularity.times(factor),
            )
            made.append(
                score_query(self.graph.schema, parts, item_id, popularity=popularity, show_users=show_users)
                if popularity.weight or any(part.rows for part in parts)
                else None
            )
        return made

    def reached_queries(self, people: Iterable[Person], *, k: int, seen: RaggedArray) -> list[ReachedQueries | None]:
        """Queries that rank all items for each person; see `recall.contracts.WritesCypher`."""
        made: list[ReachedQueries | None] = []
        for row, person in enumerate(people):
            parts, schema = self.of_ranking(person), self.graph.schema
            if person.starts_nowhere or not (self.popularity.weight or any(part.rows for part in parts)):
                made.append(None)
                continue
            left_out = self.graph.items.take(seen[row]).to_pylist()
            made.append(
                ReachedQueries(
                    reached_query(schema, parts, seen=left_out, k=k, popularity=self.popularity),
                    reached_parts_query(schema, parts, seen=left_out, popularity=self.popularity),
                )
            )
        return made

    def of_pair(self, person: Person, item: int, *, show_users: bool) -> list[Part]:
        """What `kg.cypher.walk.score_query` takes.

        Args:
            person: where the walk starts.
            item: position of where it ends.
            show_users: name other users.
        """
        history = self._rows(*person.liked)
        parts = [
            Part(rule=self._rule(kind, weight), rows=self._pair_rows(kind, person, history, item, show_users))
            for kind, weight in self.weighted
        ]
        if cosine := person.text.get(item):
            parts.append(Part(rule=self._stated_text, rows=[{"cosine": cosine}]))
        return parts + list(self._stated(person))

    def of_ranking(self, person: Person) -> list[Part]:
        """What `kg.cypher.walk.reached_query` takes."""
        history = self._rows(*person.liked)
        parts = []
        for kind, weight in self.weighted:
            rule = self._rule(kind, weight)
            if isinstance(kind.step, UserStep):
                rows = self._rows(*person.disliked) if kind.kind is StepKind.DISLIKE else history
            elif isinstance(kind.step, FollowingStep):
                rows = self._followed(kind.step, person.liked)
            elif kind.kind is StepKind.TEXT:
                rows = self._alike(person.liked)
            else:
                rows = history
            parts.append(Part(rule=rule, rows=rows))
        if person.text:
            worth = {item: cosine**self.config.text_power for item, cosine in person.text.items()}
            parts.append(Part(rule=self._stated_text, rows=self._worths(worth)))
        return parts + list(self._stated(person))

    def _rule(self, kind: StepType, weight: float) -> Rule:
        step, config = kind.step, self.config
        if isinstance(step, UserStep):
            return UsersRule(name=kind.name, weight=weight, powers=step.powers, longest=step.longest)
        if isinstance(step, FollowingStep):
            return NextRule(name=kind.name, weight=weight, powers=step.powers)
        if kind.kind is StepKind.TEXT:
            return TextRule(name=kind.name, weight=weight, power=config.text_power, likes=config.text_likes)
        if isinstance(step, EntityStep):
            return RelationRule(
                name=kind.name,
                weight=weight,
                way=kind.shape[: len(kind.shape) // 2],
                powers=step.powers,
                rarity=config.rarity,
                likes=config.relation_likes,
                cut=step.cut,
            )
        powers = Powers(config.relation_start, 0.0, config.relation_end)
        return DirectRule(name=kind.name, weight=weight, way=kind.shape, powers=powers, likes=config.relation_likes)

    @property
    def _stated_text(self) -> StatedTextRule:
        config = self.config
        return StatedTextRule(name=TEXT, weight=self.text_weight, power=config.text_power, likes=config.text_likes)

    def _stated(self, person: Person) -> Iterator[Part]:
        for kind, weight, positions in person.stated:
            step, ids = kind.step, self.graph.vocabulary(self._end(kind)).ids
            assert isinstance(step, EntityStep)  # noqa: S101  only relations have entities
            age = max(len(positions), 1) ** -step.powers.start
            rows = [{"id": ids[at].as_py(), "age": age * times} for at, times in Counter(positions.tolist()).items()]
            rule = StatedRule(
                name=kind.name,
                weight=weight,
                way=kind.shape[:1],
                powers=step.powers,
                rarity=self.config.rarity,
                likes=self.config.relation_likes,
            )
            yield Part(rule=rule, rows=rows)

    def _pair_rows(self, kind: StepType, person: Person, history: Rows, item: int, show_users: bool) -> Rows:
        step = kind.step
        if isinstance(step, UserStep):
            items, ages = person.disliked if kind.kind is StepKind.DISLIKE else person.liked
            listed = step.values(items, item) > 0
            return self._rows(items[listed], ages[listed])
        if isinstance(step, FollowingStep):
            return self._following(step, person.liked, item, show_users)
        if isinstance(step, EntityStep) and step.cut:
            return self._meeting(kind, person.liked, item)
        if kind.kind is StepKind.TEXT:
            items, ages = person.liked
            cosines = entries(self.similar, items, item)
            rows = self._rows(items[cosines > 0], ages[cosines > 0])
            return [{**row, "cosine": value} for row, value in zip(rows, cosines[cosines > 0].tolist(), strict=True)]
        return history

    def _following(self, step: FollowingStep, liked: Items, item: int, show_users: bool) -> Rows:
        """What the places in the sequences say: by user, or summed over users."""
        row, users, worths = step.places(liked[0], item)
        starts = self._rows(*liked)
        if show_users:
            ids = self.graph.users.take(users[:, 0]).to_pylist()
            return [
                {**starts[at], "user": user, "worth": worth}
                for at, user, worth in zip(row.tolist(), ids, worths.tolist(), strict=True)
            ]
        sums, counts = np.bincount(row, weights=worths * step.middle_scale[users[:, 0]]), np.bincount(row)
        return [
            {**starts[at], "worth": float(sums[at]), "users": int(counts[at])} for at in np.flatnonzero(counts).tolist()
        ]

    def _meeting(self, kind: StepType, liked: Items, item: int) -> Rows:
        """The entities that a history item and the item both keep, with what the cut leaves of the degrees."""
        assert isinstance(kind.step, EntityStep)  # noqa: S101
        starts, ids = self._rows(*liked), self.graph.vocabulary(self._end(kind)).ids
        return [
            {
                **starts[meeting.row],
                "entity": ids[meeting.entity].as_py(),
                "d_start": meeting.start,
                "d_middle": meeting.middle,
                "d_end": meeting.end,
            }
            for meeting in kind.step.meetings(liked[0], item)
        ]

    def _followed(self, step: FollowingStep, liked: Items) -> Rows:
        """What the places in the sequences and the degrees of the starts give each end."""
        items, ages = liked
        reached = step.lists[items].T @ ages
        return self._worths({end: reached[end] / step.end_scale[end] for end in np.flatnonzero(reached).tolist()})

    def _alike(self, liked: Items) -> Rows:
        """What the cosines with the starts give each end."""
        worth: defaultdict[int, float] = defaultdict(float)
        for item, age in zip(*(values.tolist() for values in liked), strict=True):
            row = slice(self.similar.indptr[item], self.similar.indptr[item + 1])
            for end, cosine in zip(self.similar.indices[row].tolist(), self.similar.data[row].tolist(), strict=True):
                worth[end] += age * cosine**self.config.text_power
        return self._worths(worth)

    def _end(self, kind: StepType) -> str:
        """The type of the entities of a relation, or of two in a row."""
        key, forward = kind.shape[len(kind.shape) // 2 - 1]
        return key.target if forward else key.source

    def _rows(self, items: IntArray, ages: npt.NDArray[np.float64]) -> Rows:
        ids = self.graph.items.take(items).to_pylist()
        return [{"id": id, "age": age} for id, age in zip(ids, ages.tolist(), strict=True)]

    def _worths(self, worth: Mapping[int, float]) -> Rows:
        ids = self.graph.items.take(np.array(list(worth), dtype=np.int64)).to_pylist()
        return [{"id": id, "worth": value} for id, value in zip(ids, worth.values(), strict=True)]

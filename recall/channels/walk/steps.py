"""The types of step that a graph offers, each with its name, its shape in the graph, and its operator."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import diags

from kg import KnowledgeGraph, RaggedArray, RelationKey
from kg.history import InteractionHistory
from kg.interactions import NO_TIME
from kg.topology.walk import DirectStep, EntityStep, FollowingStep, Powers, Step, UserStep
from kg.topology.walk.step import divided
from recall.channels.walk.config import WalkConfig
from recall.channels.walk.relations import Way, incidence, ways_from_items
from recall.contracts import StepKind

USERS, NEXT, TEXT, DISLIKED, POPULARITY = "through_users", "what_followed", "similar_text", "disliked", "popularity"
_USUAL_DECAY = 0.8

Shape = tuple[tuple[RelationKey, bool], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepType:
    """A type of step.

    Attributes:
        name: in the configuration, the report and the explanation. A relation has its own name, walked backwards
            `^name`, through two relations `first>second`.
        kind: of the paths.
        shape: relation and direction of each hop, from the start to the end; () for similar texts.
        step: its operator.
    """

    name: str
    kind: StepKind
    shape: Shape
    step: Step


class StepTypes:
    """Makes the types of step of one graph; what a change of the settings does not touch is not made again."""

    def __init__(self, graph: KnowledgeGraph, history: InteractionHistory, similar: Any | None = None) -> None:
        """For a graph.

        Args:
            graph: the graph.
            history: what its users did.
            similar: cosines of each item with the most similar ones by text, CSR (items, items); None: no texts.
        """
        self.graph, self.history, self.similar = graph, history, similar
        self._made: dict[str, tuple[tuple[Any, ...], Step]] = {}
        self._ways_by_choice: dict[tuple[tuple[str, ...] | None, bool], list[Way]] = {}

    def make(
        self, config: WalkConfig, lists: Mapping[str, Any] | None = None, *, wanted: Collection[str] | None = None
    ) -> list[StepType]:
        """The types of step under some settings.

        Args:
            config: powers, decays, lengths.
            lists: neighbour lists by name that were built with the same settings, of a saved channel.
            wanted: names of the types through two relations that are made; None: all.

        Raises:
            ConfigError: `relations` names one that is not there.
        """
        lists = lists or {}
        shape = ((self.history.interaction, False), (self.history.interaction, True))
        users = self._users(config, lists.get(USERS))
        types = [StepType(name=USERS, kind=StepKind.USERS, shape=shape, step=users)]
        if config.next_window and self.ordered:
            following = self._following(config, lists.get(NEXT))
            types.append(StepType(name=NEXT, kind=StepKind.NEXT, shape=shape, step=following))
        types += self._relations(config, wanted)
        if self.similar is not None:
            step = self._once(TEXT, (config.text_power, config.text_likes), self._similar, self.similar)
            types.append(StepType(name=TEXT, kind=StepKind.TEXT, shape=(), step=step))
        if self._any_disliked:
            types.append(StepType(name=DISLIKED, kind=StepKind.DISLIKE, shape=shape, step=users))
        return types

    def _once(self, name: str, settings: tuple[Any, ...], make: Callable[..., Step], *more: Any) -> Step:
        made = self._made.get(name)
        if made is None or made[0] != settings:
            made = self._made[name] = (settings, make(*more, *settings))
        return made[1]

    @cached_property
    def _any_disliked(self) -> bool:
        events = self.history.events
        return bool((~events.positive[events.kinds == 0]).any())

    @cached_property
    def has_chains(self) -> bool:
        """Whether there are two relations in a row to walk through."""
        return any(len(way.hops) > 1 for way in self._ways(None, chains=True))

    @cached_property
    def ordered(self) -> bool:
        """Whether anything says what users did first: without that there is neither age nor what followed."""
        events = self.history.events
        timed = bool((events.times[events.kinds == 0] != NO_TIME).any())
        return timed or "order" in self.graph.edges[self.history.interaction].column_names

    @property
    def usual_decay(self) -> float:
        """What an item of the history counts less for each newer one, where nothing says what is best."""
        return _USUAL_DECAY if self.ordered else 1.0

    @cached_property
    def _ordered(self) -> RaggedArray:
        """The liked items of each user, oldest first."""
        events = self.history.in_order(np.arange(self.history.num_users))
        return RaggedArray(events.offsets, events.values)

    def _users(self, config: WalkConfig, lists: Any) -> Step:
        def make(powers: Powers, longest: int, neighbours: int) -> Step:
            liked, items = self.history.liked, self.history.num_items
            if lists is not None:
                return UserStep(liked, items, powers=powers, longest=longest, lists=lists)
            return UserStep.build(liked, items, powers=powers, longest=longest, neighbours=neighbours)

        powers = Powers(config.user_start, config.user_middle, config.user_end)
        return self._once(USERS, (powers, config.longest, config.neighbours), make)

    def _following(self, config: WalkConfig, lists: Any) -> Step:
        def make(powers: Powers, window: int, decay: float, neighbours: int) -> Step:
            shape: dict[str, Any] = {"powers": powers, "window": window, "decay": decay}
            if lists is not None:
                return FollowingStep(self._ordered, self.history.num_items, lists=lists, **shape)
            return FollowingStep.build(self._ordered, self.history.num_items, neighbours=neighbours, **shape)

        powers = Powers(config.next_start, config.next_middle, config.next_end)
        return self._once(NEXT, (powers, config.next_window, config.next_decay, config.neighbours), make)

    def _similar(self, cosines: Any, power: float, likes: float) -> Step:
        lists = cosines.copy()
        lists.data = lists.data**power * self._gain(likes)[lists.indices]
        return DirectStep(lists.astype(np.float32))

    def _gain(self, power: float) -> npt.NDArray[np.float64]:
        """(1 + likes)^power of each item."""
        likes = np.bincount(self.history.liked.values, minlength=self.history.num_items)
        gain: npt.NDArray[np.float64] = np.power(1.0 + likes, power, dtype=np.float64)
        return gain

    def _relations(self, config: WalkConfig, wanted: Collection[str] | None) -> Iterator[StepType]:
        powers = Powers(config.relation_start, config.relation_middle, config.relation_end)
        for way in self._ways(config.relations, config.chains):
            name = way.name
            if wanted is not None and len(way.hops) > 1 and name not in wanted:
                continue
            if way.end == self.graph.schema.item_type:
                step = self._once(name, (powers.start, powers.end, config.relation_likes), self._edges, way)
                yield StepType(name=name, kind=StepKind.DIRECT, shape=way.hops, step=step)
                name = f"{name}>{name.removeprefix('^') if name.startswith('^') else '^' + name}"
            step = self._once(name, (powers, config.rarity, config.relation_likes), self._entities, way)
            yield StepType(name=name, kind=StepKind.RELATION, shape=way.meeting, step=step)

    def _ways(self, chosen: tuple[str, ...] | None, chains: bool) -> list[Way]:
        key = (chosen, chains)
        if key not in self._ways_by_choice:
            self._ways_by_choice[key] = ways_from_items(self.graph, chosen, chains=chains)
        return self._ways_by_choice[key]

    def _entities(self, way: Way, powers: Powers, rarity: float, likes: float) -> Step:
        hops = [incidence(self.graph, *hop) for hop in way.hops]
        return EntityStep(hops, powers=powers, rarity=rarity, gain=self._gain(likes))

    def _edges(self, way: Way, start: float, end: float, likes: float) -> Step:
        """Direct edges, each divided by powers of the degrees of its ends."""
        edges = incidence(self.graph, *way.hops[0])
        matrix = edges.matrix()
        counts, arriving = edges.ends.counts, np.bincount(edges.ends.values, minlength=edges.width)
        gain = divided(arriving, end) * self._gain(likes)
        return DirectStep((diags(divided(counts, start)) @ matrix @ diags(gain)).tocsr().astype(np.float32))

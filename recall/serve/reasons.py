"""Reasons by external ids: shares of scores, paths, what rules moved, and the graph around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from kg import KnowledgeGraph
from kg.arrays import IntArray
from kg.errors import ConfigError
from kg.topology.adjacency import Adjacency
from recall.contracts import Query, ReachedQueries, WritesCypher
from recall.contracts.history import seen_items
from recall.control.control import Control
from recall.control.settings import ControlSettings
from recall.explain import Explainer, Explanation
from recall.index.top_k import check_k
from recall.pipeline import Pipeline
from recall.serve.answers import Answers
from recall.serve.live import LiveFeedback
from recall.serve.lookup import Lookup
from recall.serve.people import Attributes, History, People
from recall.serve.requests import Examples


class Reasons(Answers):
    """Answers requests, and gives the reasons. Nothing in it changes, so threads can share one."""

    def __init__(
        self,
        graph: KnowledgeGraph,
        pipeline: Pipeline,
        *,
        adjacency: Adjacency | None = None,
        item_vectors: npt.NDArray[np.float32] | None = None,
        feedback: LiveFeedback | None = None,
        control: Control | None = None,
    ) -> None:
        """From objects in memory; see `Answers`.

        Args:
            graph: the graph the channels were fitted on.
            pipeline: fitted channels.
            adjacency: of the graph, if there is one already.
            item_vectors: what `similar` compares.
            feedback: what users did since the graph was made.
            control: rules that choose among the candidates.
        """
        super().__init__(graph, pipeline, item_vectors=item_vectors, feedback=feedback, control=control)
        self._adjacency = adjacency

    def explain(
        self,
        pairs: Iterable[tuple[str, str]],
        *,
        liked: Examples | None = None,
        disliked: Examples | None = None,
        max_hops: int = 3,
        paths: int = 5,
        show_users: bool = False,
        k: int = 20,
    ) -> list[Explanation]:
        """Why items are candidates for users: exact shares of the scores, and paths; see `recall.explain.explainer`.

        The score is the one that `recommend` gives; `source` is the channel that answers the user.

        Args:
            pairs: (user id, item id).
            liked: as for `recommend`.
            disliked: as for `recommend`.
            max_hops: longest path, 1 to 4.
            paths: how many paths to give, and how many lines about other users.
            show_users: name other users by id; otherwise they are only counted.
            k: length of the list in which rules moved the items, where there are rules.

        Raises:
            UnknownIdError: an id is not in the graph.
            ConfigError: the argument holds no pairs, `max_hops` is out of range, or `paths` is negative.
        """
        queries, items = self._requests.pairs(pairs, new=self._new_users(), others=None)
        queries = self._requests.with_examples(queries, liked=liked, disliked=disliked, on_unknown="raise")
        queries = self._live(queries)
        return self._explained(queries, items, k, max_hops=max_hops, paths=paths, show_users=show_users)

    def explain_for(
        self,
        item_ids: Iterable[str],
        *,
        history: History | None = None,
        liked: Sequence[str] | None = None,
        disliked: Sequence[str] | None = None,
        text: str | None = None,
        attributes: Attributes | None = None,
        on_unknown: Literal["raise", "skip"] = "raise",
        max_hops: int = 3,
        paths: int = 5,
        show_users: bool = False,
        k: int = 20,
    ) -> list[Explanation]:
        """Why items are candidates for one person who is not in the graph; see `explain` and `recommend_for`.

        Args:
            item_ids: external ids of the items to explain, such as those that `recommend_for` gave.
            history: as for `recommend_for`, of one person.
            liked: as for `recommend_for`.
            disliked: as for `recommend_for`.
            text: as for `recommend_for`.
            attributes: as for `recommend_for`.
            on_unknown: as for `recommend_for`.
            max_hops: see `explain`.
            paths: see `explain`.
            show_users: see `explain`.
            k: see `explain`.

        Returns:
            One explanation for each item, in order.

        Raises:
            UnknownIdError: an item or an attribute is not in the graph; the message names it.
            ConfigError: see `explain` and `recommend_for`, or there are several people.
        """
        people = People.of(history=history, liked=liked, disliked=disliked, text=text, attributes=attributes)
        person = self._requests.people(people, on_unknown)
        if len(person) != 1:
            raise ConfigError(f"explain_for was given {len(person)} people: explain the items of one at a time")
        items = self._requests.item_positions(item_ids)
        queries = person.take(np.zeros(len(items), dtype=np.int64))
        return self._explained(queries, items, k, max_hops=max_hops, paths=paths, show_users=show_users)

    def reached_queries(self, user_ids: Iterable[str], *, k: int = 20) -> list[ReachedQueries | None]:
        """Cypher that ranks the items of users in the database itself, by the channel that is a walk on the graph.

        `ranked` is for Neo4j: `cypher(queries.ranked)` answers with `item_id` and `score`, best first. `parts` is for
        any store and leaves the sum over the types of step to the caller. See `kg.cypher.walk.reached_query` for how
        the order can differ from that of `recommend`.

        Args:
            user_ids: external ids.
            k: items a user.

        Returns:
            None for a user from whom nothing is reached.

        Raises:
            UnknownIdError: a user is not in the graph.
            ConfigError: k is below 1, or no channel is a walk.
        """
        check_k(k)
        channels = self.pipeline.channels.values()
        writes = (one for one in channels if one.capabilities.cypher and isinstance(one, WritesCypher))
        channel = next(writes, None)
        if channel is None:
            raise ConfigError(
                f"no channel of {self.pipeline.name!r} is a walk on the graph: add the section [channels.walk]"
            )
        queries = self._requests.users(user_ids, "raise")
        return channel.reached_queries(queries, k=k, seen=seen_items(queries, self.pipeline.history))

    @cached_property
    def lookup(self) -> Lookup:
        """Reads single nodes, what users did, and searches ids and titles."""
        return Lookup(self.graph, self.pipeline.history, self._explainer.adjacency)

    @cached_property
    def _explainer(self) -> Explainer:
        return Explainer(self.graph, self.pipeline, adjacency=self._adjacency)

    def with_weights(self, weights: Mapping[str, float]) -> Self:
        """The same channels, in the same memory, under other weights of the fusion: one for each, 0 leaves it out.

        Raises:
            ConfigError: they are not those of the channels, negative, or all 0, or a rule needs a channel left out.
        """
        other = copy(self)
        for made_of_weights in ("_explainer", "_no_rules"):
            vars(other).pop(made_of_weights, None)
        other._adjacency = self._explainer.adjacency
        other.pipeline = self.pipeline.with_weights(weights)
        other.control = None if self.control is None else Control(self.control.settings, self.graph, other.pipeline)
        return other

    def with_rules(self, *, diversity: float | None = None, long_tail: float | None = None) -> Self:
        """The same channels, in the same memory, under other rules: what the section `pipeline.control` has for all.

        Args:
            diversity: what the likeness to the items before it takes from an item, 0 to 1; None: what it is now.
            long_tail: how far rarely liked items are brought forward, 0 to 1; None: what it is now.

        Raises:
            ConfigError: a number is not between 0 and 1, or a diversity is wished and no channel has vectors of items.
        """
        if diversity is None and long_tail is None:
            return self
        other = copy(self)
        other.control = (self.control or self._no_rules).changed(diversity=diversity, long_tail=long_tail)
        return other

    @property
    def rules(self) -> dict[str, float | None]:
        """The numbers of `with_rules` as they are; the diversity is None where no channel has vectors of the items."""
        settings = (self.control or self._no_rules).settings
        diversity = None if self.pipeline.item_vectors is None else settings.diversity
        return {"diversity": diversity, "long_tail": settings.long_tail}

    @cached_property
    def _no_rules(self) -> Control:
        return Control(ControlSettings(), self.graph, self.pipeline)

    def _explained(self, queries: Query, items: IntArray, k: int, **depth: Any) -> list[Explanation]:
        """Explanations of requests, with what rules moved in their lists of k."""
        explained = self._explainer.explain_requests(queries, items, **depth)
        if self.control is None:
            return explained
        moves = self.control.moves(queries, items, k=k)
        return [replace(why, moves=text) for why, text in zip(explained, moves, strict=True)]

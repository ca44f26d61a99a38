"""Candidates and reasons by external ids, from a published run or from a graph and a pipeline in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from kg import KnowledgeGraph
from kg.cypher.query import CypherQuery
from kg.errors import ArtifactError, ConfigError
from kg.stores.base import Store
from kg.topology.adjacency import Adjacency
from recall.contracts import ReachedQueries, WritesCypher
from recall.contracts.history import seen_items
from recall.control.control import Control
from recall.explain import Explainer, Explanation
from recall.feedback import FeedbackEvent
from recall.index.top_k import check_k
from recall.pipeline import Pipeline
from recall.runs.layout import RunLayout
from recall.runs.report import Report
from recall.serve import forks  # noqa: F401 (from here on forked processes can answer, too)
from recall.serve.answers import Answers
from recall.serve.live import FeedbackAdded, LiveFeedback
from recall.serve.loading import load_run
from recall.serve.lookup import Lookup
from recall.serve.opened import OpenedRun, copy_run
from recall.serve.people import Attributes, History, People
from recall.serve.requests import Examples
from recall.serve.store import RunStore


class Recommender(Answers):
    """Answers requests, gives the reasons, and reads the graph in Cypher.

    Nothing in it changes, so threads can share one.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        pipeline: Pipeline,
        *,
        adjacency: Adjacency | None = None,
        item_vectors: npt.NDArray[np.float32] | None = None,
        store: Store | None = None,
        feedback: LiveFeedback | None = None,
        control: Control | None = None,
    ) -> None:
        """From objects in memory.

        Args:
            graph: the graph the channels were fitted on.
            pipeline: fitted channels, `Pipeline.of(graph, [channel])`.
            adjacency: of the graph, if there is one already.
            item_vectors: what `similar` compares, float32 (items, dim); None: those of the pipeline, where it has any.
            store: what answers `cypher`, such as a `Neo4jStore`.
            feedback: what users did since the graph was made, `LiveFeedback(FeedbackLog(folder))`.
            control: rules that choose among the candidates, `Control(settings, graph, pipeline)`.
        """
        super().__init__(graph, pipeline, item_vectors=item_vectors, feedback=feedback, control=control)
        self._adjacency = adjacency
        self._store = store
        self._opened: OpenedRun | None = None

    @classmethod
    def load(cls, run: Path | str, *, verify: bool = True, store: Store | None = None) -> Self:
        """Open a published run, by its folder or by the link to it.

        For as long as the Recommender lives, no refresh removes the run from the disk (recall.runs.hold). Where another
        run begins to serve meanwhile, that one is loaded. What the feedback log beside the runs says counts at once.

        Args:
            run: such as "runs/current".
            verify: compare every checksum first. They detect damage, not forgery.
            store: what answers `cypher`; default: the Neo4j of the run's configuration, or else the embedded store of
                the run. It is opened by the first query.

        Raises:
            ArtifactError: there is no run, or it is damaged, incomplete or of another format version.
        """
        way = Path(run).absolute()
        while True:
            folder = RunLayout.open(way)
            try:
                hold = folder.hold()
                loaded = cls.of_run(folder, verify=verify, store=store)
            except (ArtifactError, OSError):
                # Another run serves since, and this one may have been removed meanwhile: its problems do not matter.
                if RunLayout.open(way) == folder:
                    raise
            else:
                loaded._opened = OpenedRun(way=way, run=folder, hold=hold, verify=verify, store=store)
                loaded.feedback = LiveFeedback.beside(folder)
                return loaded

    @classmethod
    def of_run(
        cls,
        folder: RunLayout,
        *,
        verify: bool = True,
        store: Store | None = None,
        graph: KnowledgeGraph | None = None,
    ) -> Self:
        """Open the folder of a run that nothing removes meanwhile; without `verify` it needs no manifest.

        Args:
            folder: of the run.
            verify: compare every checksum first.
            store: see `load`.
            graph: of the run, where it is in memory already.

        Raises:
            ArtifactError: see `load`.
        """
        loaded = load_run(folder, verify=verify, graph=graph)
        return cls(
            loaded.data.graph,
            loaded.pipeline,
            adjacency=loaded.data.adjacency,
            control=loaded.control,
            store=RunStore(folder, verify=verify) if store is None else store,
        )

    @property
    def run(self) -> RunLayout | None:
        """The run that this was loaded from; None for one made in memory."""
        return None if self._opened is None else self._opened.run

    @property
    def report(self) -> Report | None:
        """What was measured and found when its run was made; None for one made of objects in memory.

        Raises:
            ArtifactError: the run has no report that can be read.
        """
        return None if self._opened is None else Report.load(self._opened.run)

    def reload(self) -> Self:
        """The Recommender of the run that serves now: another one, or this one where nothing changed.

        This one answers as before, from the run that it was loaded from, so an answer never mixes two runs. Its memory
        is freed when nothing refers to it any more. `recall.serve.watch.RunWatch` does
        this by itself.

        Raises:
            ArtifactError: the run that serves now cannot be loaded; this one stays usable.
            ConfigError: this one was made in memory.
        """
        if self._opened is None:
            raise ConfigError("this recommender was made in memory: there is no run to load again")
        opened = self._opened
        if RunLayout.open(opened.way) == opened.run:
            return self
        return type(self).load(opened.way, verify=opened.verify, store=opened.store)

    def with_weights(self, weights: Mapping[str, float]) -> Self:
        """The same channels, in the same memory, under other weights of the fusion: one for each, 0 leaves it out.

        Raises:
            ConfigError: they are not those of the channels, negative, or all 0, or a rule needs a channel left out.
        """
        pipeline, control = self.pipeline.with_weights(weights), self.control
        other = type(self)(self.graph, pipeline, item_vectors=self._item_vectors, store=self._store)
        other.control = None if control is None else Control(control.settings, self.graph, pipeline)
        other.feedback, other._opened, other._adjacency = self.feedback, self._opened, self._explainer.adjacency
        return other

    def save(self, folder: Path | str) -> RunLayout:
        """Copy the run to a folder, a run like any other: `Recommender.load` and the command line read it.

        Args:
            folder: must not exist, or be empty.

        Returns:
            The copy.

        Raises:
            ArtifactError: the run is damaged, or there is something in the folder.
            ConfigError: this recommender was made of objects in memory and has no run.
        """
        if self._opened is None:
            raise ConfigError("this recommender was made of objects in memory: recall.fit makes one that can be saved")
        return copy_run(self._opened.run, Path(folder))

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
        explained = self._explainer.explain_requests(
            queries, items, max_hops=max_hops, paths=paths, show_users=show_users
        )
        if self.control is None:
            return explained
        moves = self.control.moves(queries, items, k=k)
        return [replace(why, moves=text) for why, text in zip(explained, moves, strict=True)]

    def add_feedback(self, events: Iterable[FeedbackEvent | Mapping[str, Any]]) -> FeedbackAdded:
        """Write down what users did with their candidates; it counts from the next request on, in every process.

        Args:
            events: `{"user_id": "u1", "item_id": "m1", "kind": "like"}`; see `recall.feedback.FeedbackEvent` for the
                other kinds and attributes.

        Returns:
            How many were written, and which users and items of them the graph does not hold (they are kept as well).

        Raises:
            InvalidDataError: an event is not understood; nothing was written.
            FeedbackError: they could not be written; nothing of it counts.
            ConfigError: this recommender was made in memory, without a log.
        """
        if self.feedback is None:
            raise ConfigError(
                "this recommender was made in memory and has no feedback log: give one, Recommender(graph, pipeline, "
                "feedback=LiveFeedback(FeedbackLog(folder))), or load a run"
            )
        return self.feedback.add(events, self.graph)

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
        return self._explainer.explain_requests(queries, items, max_hops=max_hops, paths=paths, show_users=show_users)

    def cypher(
        self,
        query: str | CypherQuery,
        /,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        **values: Any,
    ) -> list[dict[str, Any]]:
        """Ask the graph in Cypher; only reading is allowed.

        The query goes to the Neo4j of the run's configuration, or to the run's embedded store, where a node has the
        label of its type, the property `id` and its attributes. A run that has a Neo4j
        answers from its own file when it is loaded with `store=EmbeddedStore("runs/current/store/graph.lbug")`
        (`kg.stores.embedded.store`).

        Args:
            query: Cypher with `$name` in place of every value, or the query of an explanation.
            parameters: the values by name.
            timeout: seconds it may take; None for the store's own limit.
            **values: further values by name, `cypher("MATCH (m {id: $id}) RETURN m", id="m1")`.

        Returns:
            A mapping of column name to value for each row; see `kg.stores.base.Store.query`.

        Raises:
            QueryRefusedError: the query does more than read.
            QueryTimeoutError: it took too long.
            StoreUnavailableError: the store is not there, does not answer, or does not let us in.
            StoreError: the store could not run it, for instance for a mistake in its text.
            ConfigError: this recommender has no store.
        """
        if self._store is None:
            raise ConfigError(
                "this recommender was made in memory and has no store to query: give one, "
                "Recommender(graph, pipeline, store=...), or load a run"
            )
        return self._store.query(query, {**(parameters or {}), **values}, timeout=timeout)

    def warm_up(self, *, text: str = "warm-up") -> Self:
        """Do now what the first requests would wait for.

        That is loading the text model (some seconds, and its memory), what `similar` compares, what explanations need.

        Args:
            text: to ask with; "" leaves the text model alone, where no request carries a text.

        Returns:
            This one, `rec = Recommender.load("runs/current").warm_up()`.
        """
        users = self.graph.users.ids.slice(0, 1).to_pylist()
        best = self.recommend(users, k=1)
        self.explain([(row["user_id"], row["item_id"]) for row in best], paths=1)
        if self._nearest is not None:
            self.similar(self.graph.items.ids.slice(0, 1).to_pylist(), k=1)
        if text and any(channel.capabilities.text for channel in self.pipeline.channels.values()):
            self.recommend_for(text=text, k=1)
        return self

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

    def close(self) -> None:
        """Close the store, if a query opened one; the rest stays usable."""
        if isinstance(self._store, RunStore):
            self._store.close()

    @cached_property
    def lookup(self) -> Lookup:
        """Reads single nodes, what users did, and searches ids and titles."""
        return Lookup(self.graph, self.pipeline.history, self._explainer.adjacency)

    @cached_property
    def _explainer(self) -> Explainer:
        return Explainer(self.graph, self.pipeline, adjacency=self._adjacency)

    def __repr__(self) -> str:
        return f"Recommender({self.graph!r}, pipeline={self.pipeline.name!r})"

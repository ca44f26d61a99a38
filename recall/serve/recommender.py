"""Candidates and reasons by external ids, from a published run or from a graph and a pipeline in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from kg import KnowledgeGraph
from kg.cypher.query import CypherQuery
from kg.errors import ArtifactError, ConfigError
from kg.stores.base import Store
from kg.topology.adjacency import Adjacency
from recall.control.control import Control
from recall.feedback import FeedbackEvent
from recall.pipeline import Pipeline
from recall.runs.layout import RunLayout
from recall.runs.report import Report
from recall.serve import forks  # noqa: F401 (from here on forked processes can answer, too)
from recall.serve.live import FeedbackAdded, LiveFeedback
from recall.serve.loading import load_run
from recall.serve.opened import OpenedRun, copy_run
from recall.serve.people import History
from recall.serve.reasons import Reasons
from recall.serve.store import RunStore

if TYPE_CHECKING:
    from recall.view.widget import View


class Recommender(Reasons):
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
        super().__init__(
            graph, pipeline, adjacency=adjacency, item_vectors=item_vectors, feedback=feedback, control=control
        )
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

    def close(self) -> None:
        """Close the store, if a query opened one; the rest stays usable."""
        if isinstance(self._store, RunStore):
            self._store.close()

    def show(
        self,
        user_id: str | None = None,
        *,
        history: History | None = None,
        liked: Sequence[str] | None = None,
        disliked: Sequence[str] | None = None,
        text: str | None = None,
        chosen: str = "",
    ) -> View:
        """A view for a notebook: history, candidates, and on a click why, with the paths drawn (extra `notebook`).

        Args:
            user_id: of a user of the graph, or None and what somebody new is like.
            history: see `recommend_for`.
            liked: see `recommend_for`.
            disliked: see `recommend_for`.
            text: see `recommend_for`.
            chosen: external id of the item whose reasons are shown first; `view.chosen` is what was clicked last.

        Raises:
            UnknownIdError: an id is not in the graph.
            ConfigError: there is neither a user nor somebody new, or both; or anywidget is not installed.
        """
        from recall.serve.show import show

        person = {"history": history, "liked": liked, "disliked": disliked, "text": text}
        return show(self, user_id, {name: value for name, value in person.items() if value is not None}, chosen)

    def __repr__(self) -> str:
        return f"Recommender({self.graph!r}, pipeline={self.pipeline.name!r})"

"""Candidates and reasons by external ids, from a published run or from a graph and a pipeline in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np
import numpy.typing as npt

from kg import KnowledgeGraph
from kg.arrays import IntArray
from kg.cypher.query import CypherQuery
from kg.errors import ArtifactError, ConfigError
from kg.progress import SILENT, Progress
from kg.stores.base import Store
from kg.topology.adjacency import Adjacency
from recall.contracts import Candidates, Query
from recall.explain import Explainer, Explanation
from recall.index.top_k import check_k
from recall.pipeline import Pipeline
from recall.runs.hold import RunHold
from recall.runs.layout import RunLayout
from recall.serve.candidate_file import check_file, write_parquet
from recall.serve.loading import load_run
from recall.serve.requests import Attributes, OnUnknown, Requests
from recall.serve.similar import SimilarItems
from recall.serve.store import RunStore

_BLOCK_USERS = 4096


class Recommender:
    """Answers requests. Nothing in it changes, so threads can share one.

    Attributes:
        graph: the graph, with all that users did.
        pipeline: where candidates come from.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        pipeline: Pipeline,
        *,
        adjacency: Adjacency | None = None,
        item_vectors: npt.NDArray[np.float32] | None = None,
        store: Store | None = None,
    ) -> None:
        """From objects in memory.

        Args:
            graph: the graph the channels were fitted on.
            pipeline: fitted channels, `Pipeline.of(graph, [channel])`.
            adjacency: of the graph, if there is one already.
            item_vectors: what `similar` compares, float32 (items, dim); None: those of the pipeline, where it has any.
            store: what answers `cypher`, such as a `Neo4jStore`.
        """
        self.graph = graph
        self.pipeline = pipeline
        self._requests = Requests(graph)
        self._adjacency = adjacency
        self._item_vectors = pipeline.item_vectors if item_vectors is None else item_vectors
        self._store = store
        self._opened: _Opened | None = None

    @classmethod
    def load(cls, run: Path | str, *, verify: bool = True, store: Store | None = None) -> Self:
        """Open a published run, by its folder or by the link to it.

        For as long as the Recommender lives, no refresh removes the run from the disk (recall.runs.hold). Where another
        run begins to serve meanwhile, that one is loaded.

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
                loaded._opened = _Opened(way=way, run=folder, hold=hold, verify=verify, store=store)
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
            store=RunStore(folder) if store is None else store,
        )

    @property
    def run(self) -> RunLayout | None:
        """The run that this was loaded from; None for one made in memory."""
        return None if self._opened is None else self._opened.run

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

    def recommend(
        self,
        user_ids: Iterable[str],
        *,
        k: int = 20,
        on_unknown: OnUnknown = "raise",
        exclude_seen: bool = True,
        candidates: Iterable[str] | None = None,
    ) -> Candidates:
        """The best items for users.

        A user whom no channel can answer, such as one without positives, gets the most liked items; the `source` of
        each row says so.

        Args:
            user_ids: external ids; one that comes twice is answered once.
            k: items a user.
            on_unknown: for ids that the graph does not hold: "raise", "popular" (the most liked items) or "skip".
            exclude_seen: leave out every item the user has touched.
            candidates: external ids of the only items allowed; None for all.

        Returns:
            Rows in the order of the users, best first.

        Raises:
            UnknownIdError: a user or a candidate is not in the graph.
            ConfigError: k is below 1, ids are no list of strings, or `on_unknown` is none of the three.
        """
        queries = self._requests.users(user_ids, on_unknown)
        return self._answer(queries, k=k, exclude_seen=exclude_seen, only=self._requests.candidates(candidates))

    @overload
    def recommend_all(
        self,
        *,
        k: int = ...,
        out: None = ...,
        exclude_seen: bool = ...,
        candidates: Iterable[str] | None = ...,
        progress: Progress = ...,
    ) -> Candidates: ...

    @overload
    def recommend_all(
        self,
        *,
        k: int = ...,
        out: Path | str,
        exclude_seen: bool = ...,
        candidates: Iterable[str] | None = ...,
        progress: Progress = ...,
    ) -> int: ...

    def recommend_all(
        self,
        *,
        k: int = 100,
        out: Path | str | None = None,
        exclude_seen: bool = True,
        candidates: Iterable[str] | None = None,
        progress: Progress = SILENT,
    ) -> Candidates | int:
        """The best items for every user, a block of users at a time.

        Args:
            k: items a user.
            out: Parquet file to write to; it appears whole or not at all. None: keep the answer in memory.
            exclude_seen: leave out every item the user has touched.
            candidates: external ids of the only items allowed; None for all.
            progress: shows finished users.

        Returns:
            The candidates, or with `out` the number of rows written.
        """
        if out is not None:
            check_file(out)
        only = self._requests.candidates(candidates)
        blocks = self._blocks(k=k, exclude_seen=exclude_seen, only=only, progress=progress)
        if out is None:
            return Candidates.concat(list(blocks))
        return write_parquet(blocks, Path(out))

    def _blocks(self, *, k: int, exclude_seen: bool, only: IntArray | None, progress: Progress) -> Iterator[Candidates]:
        check_k(k)
        users = self.graph.users
        with progress.task("recommending", total=len(users)) as task:
            for start in range(0, len(users), _BLOCK_USERS):
                block = np.arange(start, min(start + _BLOCK_USERS, len(users)))
                yield self._answer(Query.of_users(block, users), k=k, exclude_seen=exclude_seen, only=only)
                task.advance(len(block))

    def recommend_for(
        self,
        *,
        history: Sequence[str] | Sequence[Sequence[str]] | None = None,
        text: str | Sequence[str | None] | None = None,
        attributes: Attributes | Sequence[Attributes] | None = None,
        k: int = 20,
        on_unknown: Literal["raise", "skip"] = "raise",
        exclude_seen: bool = True,
        candidates: Iterable[str] | None = None,
    ) -> Candidates:
        """The best items for people who are not in the graph, one or many.

        Each of the three is given once for one person, or as a list for many, all of the same length.

        Args:
            history: external ids of liked items.
            text: what the person looks for, or is like.
            attributes: relation of the items -> external ids of its other ends, {"director": ["p7"]}. A name that
                several relations have is given as `RelationKey`.
            k: items a person.
            on_unknown: for ids in histories and attributes that the graph does not hold: "raise" or "skip".
            exclude_seen: leave out the history.
            candidates: external ids of the only items allowed; None for all.

        Returns:
            Rows whose `user_id` is the number of the person in the request, "0" for the first.

        Raises:
            UnknownIdError: an item or an attribute is not in the graph; the message names it.
            ConfigError: all three are missing, lengths differ, or a relation is not there.
        """
        queries = self._requests.people(history, text, attributes, on_unknown)
        return self._answer(queries, k=k, exclude_seen=exclude_seen, only=self._requests.candidates(candidates))

    def similar(self, item_ids: Iterable[str], *, k: int = 20) -> Candidates:
        """The items whose trained vectors point most in the same direction (cosine), the item itself left out.

        Args:
            item_ids: external ids; one that comes twice is answered once.
            k: items wanted for each.

        Returns:
            Rows whose `user_id` is the item that was asked about. An item about which nothing was learned has none.

        Raises:
            UnknownIdError: an item is not in the graph.
            ConfigError: k is below 1, or no channel has item vectors.
        """
        check_k(k)
        if self._similar is None:
            raise ConfigError(
                f"{self.pipeline.name!r} has no item vectors to compare: use Recommender(graph, pipeline, "
                "item_vectors=...)"
            )
        return self._similar.items(self._requests.items(item_ids), k)

    def explain(
        self, pairs: Iterable[tuple[str, str]], *, max_hops: int = 3, paths: int = 5, show_users: bool = False
    ) -> list[Explanation]:
        """Why items are candidates for users: exact shares of the scores, and paths; see `recall.explain.explainer`.

        The score is the one that `recommend` gives; `source` is the channel that answers the user.

        Args:
            pairs: (user id, item id).
            max_hops: longest path, 1 to 4.
            paths: how many paths to give, and how many lines about other users.
            show_users: name other users by id; otherwise they are only counted.

        Raises:
            UnknownIdError: an id is not in the graph.
            ConfigError: the argument holds no pairs, `max_hops` is out of range, or `paths` is negative.
        """
        ids = self._requests.pairs(pairs)
        return self._explainer.explain(ids, max_hops=max_hops, paths=paths, show_users=show_users)

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

    def close(self) -> None:
        """Close the store, if a query opened one; the rest stays usable."""
        if isinstance(self._store, RunStore):
            self._store.close()

    def title(self, item_id: str) -> str:
        """What to call an item before a person.

        Raises:
            UnknownIdError: the item is not in the graph.
        """
        (position,) = self.graph.items.index([item_id])
        return self.graph.title(self.graph.schema.item_type, int(position))

    @cached_property
    def _explainer(self) -> Explainer:
        return Explainer(self.graph, self.pipeline, adjacency=self._adjacency)

    @cached_property
    def _similar(self) -> SimilarItems | None:
        return None if self._item_vectors is None else SimilarItems(self.graph.items, self._item_vectors)

    def _answer(self, queries: Query, *, k: int, exclude_seen: bool, only: IntArray | None) -> Candidates:
        batch = self.pipeline.recommend(queries, k=k, exclude_seen=exclude_seen, candidates=only)
        return Candidates(batch.to_arrow(queries.key, self.graph.items))

    def __repr__(self) -> str:
        return f"Recommender({self.graph!r}, pipeline={self.pipeline.name!r})"


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """How a Recommender was loaded: by which way, from which run, which it keeps on disk."""

    way: Path
    run: RunLayout
    hold: RunHold
    verify: bool
    store: Store | None

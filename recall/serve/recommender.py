"""Candidates and reasons from a published run or from a graph and a channel in memory, by external ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnn.graph.embeddings import Embeddings
from kg import KnowledgeGraph, RaggedArray, RelationKey
from kg.arrays import IntArray
from kg.cypher.query import CypherQuery
from kg.errors import ArtifactError, ConfigError, UnknownIdError
from kg.io.files import atomic_path
from kg.io.graph_folder import load_graph
from kg.progress import SILENT, Progress
from kg.stores.base import Store
from kg.topology.adjacency import Adjacency
from recall.channels import EmbeddingChannel, Popularity
from recall.contracts import CANDIDATE_SCHEMA, Candidates, Channel, Queries
from recall.explain.explainer import Explainer
from recall.explain.explanation import Explanation
from recall.fusion.fusion import fused_channel
from recall.index.item_index import IndexConfig, ItemIndex
from recall.index.top_k import check_k
from recall.runs.config import read_section
from recall.runs.hold import RunHold
from recall.runs.layout import RunLayout
from recall.serve.store import RunStore

if TYPE_CHECKING:
    from gnn.text.encoder import TextEncoder

FloatArray = npt.NDArray[np.float32]
OnUnknown = Literal["raise", "popular", "skip"]
Attributes = Mapping[str | RelationKey, Sequence[str]]

_BLOCK_USERS = 4096


class Recommender:
    """Answers requests. Nothing in it changes, so threads can share one.

    Attributes:
        graph: the graph, with all that users did.
        channel: where candidates come from.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        channel: Channel,
        *,
        adjacency: Adjacency | None = None,
        item_vectors: FloatArray | None = None,
        store: Store | None = None,
    ) -> None:
        """From objects in memory.

        Args:
            graph: the graph the channel was fitted on.
            channel: a fitted channel.
            adjacency: of the graph, if there is one already.
            item_vectors: what `similar` compares, float32 (items, dim); None: the channel's own, where it has any.
            store: what answers `cypher`, such as a `Neo4jStore`.
        """
        self.graph = graph
        self.channel = channel
        self._adjacency = adjacency
        self._item_vectors = getattr(channel, "item_vectors", None) if item_vectors is None else item_vectors
        self._popular = Popularity().fit(graph)
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
                found = cls.of_run(folder, verify=verify, store=store)
            except (ArtifactError, OSError):
                # Another run serves since, and this one may have been removed meanwhile: what is wrong with it is
                # nobody's concern.
                if RunLayout.open(way) == folder:
                    raise
            else:
                found._opened = _Opened(way=way, run=folder, hold=hold, verify=verify, store=store)
                return found

    @classmethod
    def of_run(
        cls,
        folder: RunLayout,
        *,
        verify: bool = True,
        store: Store | None = None,
        graph: KnowledgeGraph | None = None,
    ) -> Self:
        """Open the folder of a run that nobody else removes, published or not, with a manifest or, unverified, without.

        Args:
            folder: of the run.
            verify: compare every checksum first.
            store: see `load`.
            graph: of the run, where it is in memory already.

        Raises:
            ArtifactError: see `load`.
        """
        if verify:
            folder.verify()
        if graph is None:
            graph = load_graph(folder.graph, verify=False)
        adjacency = Adjacency.of(graph)
        texts = _RunTexts(folder)
        channel = EmbeddingChannel.of(
            Embeddings.load(folder.model),
            graph,
            index=ItemIndex.load(folder.index, verify=False),
            adjacency=adjacency,
            encode=texts.encode,
            verify=verify,
        )
        return cls(
            graph,
            fused_channel(folder.channels, channel, graph, encode=texts.encode) or channel,
            adjacency=adjacency,
            item_vectors=channel.item_vectors,
            store=RunStore(folder) if store is None else store,
        )

    @property
    def run(self) -> RunLayout | None:
        """The run that this was loaded from; None for one made in memory."""
        return None if self._opened is None else self._opened.run

    def reload(self) -> Self:
        """The Recommender of the run that serves now: another one, or this one where nothing changed.

        This one answers as before, from the run that it was loaded from, so whoever asks it meanwhile never gets parts
        of two runs. What it occupies is freed when nobody refers to it any more. `recall.serve.watch.RunWatch` does
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

        Whoever the channel can say nothing about, such as a user without positives, gets the most liked items; the
        `source` of each row says so.

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
        if on_unknown not in ("raise", "popular", "skip"):
            raise ConfigError(f"on_unknown = {on_unknown!r} must be 'raise', 'popular' or 'skip'")
        wanted = list(dict.fromkeys(_strings(user_ids, "user_ids")))
        position = self.graph.users.index(wanted, missing="negative")
        unknown = position < 0
        if unknown.any():
            if on_unknown == "raise":
                self._unknown(self.graph.users.index, wanted, 'on_unknown="popular" or "skip"')
            if on_unknown == "skip":
                wanted = [wanted[row] for row in np.flatnonzero(~unknown)]
                position = position[~unknown]
        queries = Queries(key=wanted, user=position, history=RaggedArray.empty(len(wanted)))
        return self._answer(queries, k=k, exclude_seen=exclude_seen, allowed=self._allowed(candidates))

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
            progress: hears of finished users.

        Returns:
            The candidates, or with `out` the number of rows written.
        """
        if out is not None and (not Path(out).name or Path(out).is_dir()):
            raise ConfigError(f"out = {str(out)!r} is a folder: name a file in it")
        blocks = self._blocks(k=k, exclude_seen=exclude_seen, allowed=self._allowed(candidates), progress=progress)
        if out is None:
            return Candidates.concat(list(blocks))
        rows = 0
        with atomic_path(Path(out)) as temporary, pq.ParquetWriter(temporary, CANDIDATE_SCHEMA) as writer:
            for block in blocks:
                writer.write_table(block.table)
                rows += len(block)
        return rows

    def _blocks(
        self, *, k: int, exclude_seen: bool, allowed: IntArray | None, progress: Progress
    ) -> Iterator[Candidates]:
        check_k(k)
        users = self.graph.users
        with progress.task("recommending", total=len(users)) as task:
            for start in range(0, len(users), _BLOCK_USERS):
                block = np.arange(start, min(start + _BLOCK_USERS, len(users)))
                queries = Queries.of_users(block, users)
                yield self._answer(queries, k=k, exclude_seen=exclude_seen, allowed=allowed)
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
        """The best items for people whom the graph does not know, one or many.

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
            ConfigError: nothing was given, lengths differ, or a relation is not known.
        """
        if on_unknown not in ("raise", "skip"):
            raise ConfigError(f"on_unknown = {on_unknown!r} must be 'raise' or 'skip'")
        histories, texts, described = _as_many(history, text, attributes)
        count = len(histories)
        rows = np.repeat(np.arange(count), [len(one) for one in histories])
        items = self._positions(self.graph.schema.item_type, [name for one in histories for name in one], on_unknown)
        known = items >= 0
        queries = Queries(
            key=[str(row) for row in range(count)],
            user=np.full(count, -1, dtype=np.int64),
            history=RaggedArray.from_pairs(rows[known], items[known], num_rows=count),
            text=texts,
            attributes=None if described is None else [self._attributes(one, on_unknown) for one in described],
        )
        return self._answer(queries, k=k, exclude_seen=exclude_seen, allowed=self._allowed(candidates))

    def similar(self, item_ids: Iterable[str], *, k: int = 20) -> Candidates:
        """The items whose trained vectors point most in the same direction (cosine), the item itself left out.

        Args:
            item_ids: external ids; one that comes twice is answered once.
            k: items wanted for each.

        Returns:
            Rows whose `user_id` is the item that was asked about. An item about which nothing was learned has none.

        Raises:
            UnknownIdError: an item is not in the graph.
            ConfigError: k is below 1, or the channel has no item vectors.
        """
        check_k(k)
        wanted = list(dict.fromkeys(_strings(item_ids, "item_ids")))
        index = self._directions
        if index is None:
            raise ConfigError(
                f"the channel {self.channel.name!r} has no item vectors to compare: "
                "use Recommender(graph, channel, item_vectors=...)"
            )
        position = self.graph.items.index(wanted)
        k = min(k, len(self.graph.items))
        vectors = index.vectors[position]
        known = np.flatnonzero(vectors.any(axis=1))
        itself = RaggedArray(np.arange(len(known) + 1), position[known])
        top = index.search(vectors[known], k, exclude=itself, only=self._with_direction)
        return Candidates.from_top_k(top, key=[wanted[row] for row in known], items=self.graph.items, source="similar")

    def explain(
        self, pairs: Iterable[tuple[str, str]], *, max_hops: int = 3, paths: int = 5, show_users: bool = False
    ) -> list[Explanation]:
        """Why items are candidates for users: exact shares of the scores, and paths; see `recall.explain.explainer`.

        The score is the one that `recommend` gives: for whoever it answers with the most liked items, so does this,
        and says it in `source`.

        Args:
            pairs: (user id, item id).
            max_hops: longest path, 1 to 4.
            paths: how many paths to give, and how many lines about other users.
            show_users: name other users by id; otherwise they are only counted.

        Raises:
            UnknownIdError: an id is not in the graph.
            ConfigError: what is given are no pairs, `max_hops` is out of range, or `paths` is negative.
        """
        if isinstance(pairs, str) or not isinstance(pairs, Iterable):
            raise ConfigError(f"pairs = {pairs!r}: write a list of user ids and item ids, [('u1', 'm1')]")
        wanted = [_pair(pair) for pair in pairs]
        users = list(dict.fromkeys(user for user, _ in wanted))
        queries = Queries.of_users(self.graph.users.index(users), self.graph.users)
        answered = self.channel.recommend(queries, k=1, exclude_seen=False).table["user_id"]
        own = set(pc.unique(answered).to_pylist())
        result: dict[int, Explanation] = {}
        for answers in (True, False):
            rows = [row for row, (user, _) in enumerate(wanted) if (user in own) == answers]
            if rows or answers:  # the second explainer is rarely needed
                explainer = self._explainer if answers else self._popular_explainer
                asked = [wanted[row] for row in rows]
                found = explainer.explain(asked, max_hops=max_hops, paths=paths, show_users=show_users)
                result |= zip(rows, found, strict=True)
        return [result[row] for row in range(len(wanted))]

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
                "this recommender was made in memory and has no store to ask: give one, "
                "Recommender(graph, channel, store=...), or load a run"
            )
        return self._store.query(query, {**(parameters or {}), **values}, timeout=timeout)

    def close(self) -> None:
        """Let go of the store, if a query opened one; the rest stays usable."""
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
        return Explainer(self.graph, self.channel, adjacency=self._adjacency)

    @cached_property
    def _popular_explainer(self) -> Explainer:
        return Explainer(self.graph, self._popular, adjacency=self._explainer.adjacency)

    @cached_property
    def _directions(self) -> ItemIndex | None:
        """Unit item vectors, zero where nothing was learned."""
        if self._item_vectors is None:
            return None
        vectors = np.asarray(self._item_vectors, dtype=np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
        return ItemIndex.build(unit, IndexConfig(exact_up_to=len(unit)))

    @cached_property
    def _with_direction(self) -> IntArray | None:
        index = self._directions
        there = np.zeros(0, dtype=bool) if index is None else index.vectors.any(axis=1)
        return None if there.all() else np.flatnonzero(there)

    def _answer(self, queries: Queries, *, k: int, exclude_seen: bool, allowed: IntArray | None) -> Candidates:
        found = self.channel.recommend(queries, k=k, exclude_seen=exclude_seen, candidates=allowed)
        answered = set(pc.unique(found.table["user_id"]).to_pylist())
        left = np.array([row for row, key in enumerate(queries.key) if key not in answered], dtype=np.int64)
        if not len(left):
            return found
        popular = self._popular.recommend(queries.take(left), k=k, exclude_seen=exclude_seen, candidates=allowed)
        if len(left) == len(queries):
            return popular
        table = pa.concat_tables([found.table, popular.table])
        row = pc.index_in(table["user_id"], value_set=pa.array(queries.key, type=pa.string()))
        return Candidates(table.take(pa.array(np.argsort(row.to_numpy(), kind="stable"))))

    def _allowed(self, candidates: Iterable[str] | None) -> IntArray | None:
        if candidates is None:
            return None
        return self._positions(self.graph.schema.item_type, _strings(candidates, "candidates"), "raise", skip=None)

    def _positions(
        self, node_type: str, ids: Sequence[str], on_unknown: str, *, skip: str | None = 'on_unknown="skip"'
    ) -> IntArray:
        vocabulary = self.graph.vocabulary(node_type)
        found = vocabulary.index(ids, missing="negative")
        if on_unknown == "raise" and (found < 0).any():
            self._unknown(vocabulary.index, ids, skip)
        return found

    @staticmethod
    def _unknown(index: Any, ids: Sequence[str], option: str | None) -> None:
        try:
            index(ids)
        except UnknownIdError as error:
            raise UnknownIdError(f"{error}" + (f"; {option} goes on without" if option else "")) from None

    def _attributes(self, given: Attributes, on_unknown: str) -> dict[RelationKey, IntArray]:
        result = {}
        for name, ids in given.items():
            key = self._relation(name)
            other = key.target if key.source == self.graph.schema.item_type else key.source
            positions = self._positions(other, _strings(ids, f"attributes[{name!r}]"), on_unknown)
            result[key] = positions[positions >= 0]
        return {key: positions for key, positions in result.items() if len(positions)}

    def _relation(self, name: str | RelationKey) -> RelationKey:
        schema = self.graph.schema
        keys = [
            key
            for key in self.graph.edges
            if schema.item_type in (key.source, key.target) and key not in schema.events() and key != schema.interaction
        ]
        found = [key for key in keys if name in (key, key.name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(
                f"{len(found)} relations are called {name!r}: name one as RelationKey, {', '.join(map(repr, found))}"
            )
        there = ", ".join(key.name for key in keys) or "none"
        raise ConfigError(f"{name!r} is no attribute of {schema.item_type!r}; there are {there}")

    def __repr__(self) -> str:
        return f"Recommender({self.graph!r}, channel={self.channel.name!r})"


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """How a Recommender was loaded: by which way, from which run, which it keeps on disk."""

    way: Path
    run: RunLayout
    hold: RunHold
    verify: bool
    store: Store | None


@dataclass(frozen=True)
class _RunTexts:
    """Encodes texts in the space of a run's features; the text model is loaded at the first text."""

    run: RunLayout

    def encode(self, texts: Sequence[str | None]) -> FloatArray:
        return self._encoder.encode(texts)

    @cached_property
    def _encoder(self) -> TextEncoder:
        from gnn.text.encoder import TextConfig, TextEncoder
        from gnn.text.features import TextFeatures

        encoder = TextEncoder(read_section(self.run, "text", TextConfig) or TextConfig(), device="cpu")
        if encoder.space != TextFeatures.load(self.run.features).model:
            raise ArtifactError(
                f"the text model {encoder.config.model!r} on this machine is not the one that {self.run.path} was "
                "trained with: its vectors cannot be compared; run the refresh again"
            )
        return encoder


def _strings(ids: Iterable[str], what: str) -> list[str]:
    """Ids as a list; a lone string would be taken apart into its letters."""
    if isinstance(ids, str):
        raise ConfigError(f"{what} = {ids!r} must be a list of ids: write [{ids!r}]")
    if not isinstance(ids, Iterable):
        raise ConfigError(f"{what} = {ids!r} must be a list of ids")
    result = ids.to_pylist() if isinstance(ids, pa.Array | pa.ChunkedArray) else list(ids)
    if wrong := [one for one in result if not isinstance(one, str)]:
        raise ConfigError(f"{what} holds {wrong[0]!r}, ids are strings: write {str(wrong[0])!r}")
    return result


def _people(history: Any) -> list[Any] | None:
    if history is None:
        return None
    if isinstance(history, str) or not isinstance(history, Iterable):
        raise ConfigError(f"history = {history!r} must be a list of ids: write [{str(history)!r}]")
    return history.to_pylist() if isinstance(history, pa.Array | pa.ChunkedArray) else list(history)


def _is_list(one: Any) -> bool:
    return isinstance(one, Iterable) and not isinstance(one, str | bytes)


def _pair(pair: Any) -> tuple[str, str]:
    """The two ids of a pair that is to be explained."""
    if _is_list(pair) and len(ends := list(pair)) == 2:
        user, item = ends
        if isinstance(user, str) and isinstance(item, str):
            return user, item
    raise ConfigError(f"pairs holds {pair!r}: write a user id and an item id, [('u1', 'm1')]")


def _as_many(
    history: Any, text: Any, attributes: Any
) -> tuple[list[list[str]], list[str | None] | None, list[Attributes] | None]:
    """Histories, texts and attributes of as many people, from what was given for one or for many."""
    if history is None and text is None and attributes is None:
        raise ConfigError("recommend_for needs a history, a text or attributes")
    for name, given in (("text", text), ("attributes", attributes)):
        if given is not None and not isinstance(given, Iterable):
            raise ConfigError(f"{name} = {given!r}: give one person's, or a list with one entry a person")
    histories = _people(history)
    # Numbers among them are a mistake that `_strings` tells, not somebody's history.
    flat = histories is not None and not any(_is_list(one) for one in histories)
    single = {
        "history": flat and (bool(histories) or (text is None and attributes is None)),
        "text": isinstance(text, str),
        "attributes": isinstance(attributes, Mapping),
    }
    if any(single.values()):
        histories = None if histories is None else [histories] if flat else histories
        text = [text] if single["text"] else text
        attributes = [attributes] if single["attributes"] else attributes
    many = {
        name: list(given)
        for name, given in (("history", histories), ("text", text), ("attributes", attributes))
        if given is not None
    }
    if len({len(given) for given in many.values()}) > 1:
        told = ", ".join(f"{name} for {len(given)}" for name, given in many.items())
        raise ConfigError(f"recommend_for was given {told}: give all of them for the same people")
    count = len(next(iter(many.values())))
    for one in many.get("text", []):
        if one is not None and not isinstance(one, str):
            raise ConfigError(f"text holds {one!r}: write a string, or None for a person without one")
    for one in many.get("attributes", []):
        if not isinstance(one, Mapping):
            raise ConfigError(f"attributes holds {one!r}: write a relation and ids, {{'director': ['p7']}}")
    return (
        [_strings(ids, "history") for ids in many.get("history", [[]] * count)],
        many.get("text"),
        many.get("attributes"),
    )

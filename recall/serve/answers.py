"""Candidates by external ids, from a graph and a pipeline in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kg import KnowledgeGraph
from kg.arrays import IntArray
from kg.errors import ConfigError
from kg.io.table_file import check_table_file, write_blocks
from kg.progress import SILENT, Progress
from recall.contracts import (
    CANDIDATE_SCHEMA,
    FALLBACK,
    RULE_COLUMNS,
    Candidates,
    Channel,
    PairScores,
    Query,
    SimilarItems,
)
from recall.control.control import Control
from recall.control.filters import Filter
from recall.index.top_k import check_k
from recall.pipeline import Pipeline
from recall.serve.limits import Limits
from recall.serve.live import LiveFeedback
from recall.serve.nearest import NearestItems, reached_from
from recall.serve.pair_scores import score_pairs
from recall.serve.people import Attributes, History, People
from recall.serve.requests import Examples, Items, OnUnknown, Requests

_BLOCK_USERS = 4096


class Answers:
    """Answers requests for candidates and similar items. Nothing in it changes, so threads can share one.

    Attributes:
        graph: the graph, with all that users did.
        pipeline: where candidates come from.
        feedback: what users did since the graph was made.
        control: rules that choose among the candidates.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        pipeline: Pipeline,
        *,
        item_vectors: npt.NDArray[np.float32] | None = None,
        feedback: LiveFeedback | None = None,
        control: Control | None = None,
    ) -> None:
        """From objects in memory.

        Args:
            graph: the graph the channels were fitted on.
            pipeline: fitted channels, `Pipeline.of(graph, [channel])`.
            item_vectors: what `similar` compares, float32 (items, dim); None: those of the pipeline, where it has any.
            feedback: what users did since the graph was made; None: nothing is asked for it.
            control: rules that choose among the candidates; None: the best scores.
        """
        self.graph = graph
        self.pipeline = pipeline
        self.feedback = feedback
        self.control = control
        self._requests = Requests(graph)
        self._limits = Limits(self._requests)
        self._item_vectors = pipeline.item_vectors if item_vectors is None else item_vectors

    def recommend(
        self,
        user_ids: Iterable[str],
        *,
        liked: Examples | None = None,
        disliked: Examples | None = None,
        k: int | Mapping[str, int] = 20,
        on_unknown: OnUnknown = "raise",
        exclude_seen: bool = True,
        exclude: Items | Mapping[str, Items] | None = None,
        candidates: Items | Mapping[str, Items] | None = None,
        filter: str | Filter | None = None,
        context: Any = None,
        titles: bool = False,
        channel_scores: bool = False,
    ) -> Candidates:
        """The best items for users.

        A user whom no channel can answer, such as one without positives, gets the most liked items; the `source` of
        each row says so. What the feedback log beside the runs says of users counts at once; users whom it names need
        not be in the graph.

        Args:
            user_ids: external ids; one that comes twice is answered once.
            liked: external ids of examples for all users, or user id -> ids: they count as the newest of the history.
            disliked: the same for less like these; see `recommend_for`.
            k: items a user, or user id -> items.
            on_unknown: for ids that the graph does not hold: "raise", "skip", or "popular", which answers unknown users
                with the most liked items; with either of these two unknown items and names are left out.
            exclude_seen: leave out every item the user has touched.
            exclude: external ids of items to leave out on top of these, or user id -> ids. An `ItemSet` is looked up
                once for all calls.
            candidates: external ids of the only items allowed, or user id -> ids; None for all.
            filter: which items are allowed, `year >= 1990 and genre in ["Drama"]`; see
                `recall.control.filters.parse_filter`. Candidates, exclusions and filters act inside the search.
            context: columns with a value for each user id, which the answer carries: a mapping, a table, a data frame.
            titles: add the column `title`.
            channel_scores: add a column for each channel, by its name: its own score before the fusion, 0 where it has
                no evidence.

        Returns:
            Rows in the order of the users, best first.

        Raises:
            UnknownIdError: a user, an item or a name in the filter is not in the graph, and `on_unknown` is "raise".
            ConfigError: k is below 1, ids are no list of strings, `on_unknown` is none of the three, or the filter is
                not understood.
        """
        users = self._requests.users(user_ids, on_unknown, context, new=self._new_users())
        users = self._requests.with_examples(users, liked=liked, disliked=disliked, on_unknown=on_unknown)
        queries = self._live(users)
        limits: dict[str, Any] = {"k": k, "candidates": candidates, "exclude": exclude, "filter": filter}
        shown = {"titles": titles, "channel_scores": channel_scores}
        return self._limited(queries, limits, on_unknown, exclude_seen=exclude_seen, **shown)

    @overload
    def recommend_all(
        self,
        *,
        k: int = ...,
        out: None = ...,
        exclude_seen: bool = ...,
        exclude: Items | None = ...,
        candidates: Items | None = ...,
        filter: str | Filter | None = ...,
        on_unknown: Literal["raise", "skip"] = ...,
        titles: bool = ...,
        progress: Progress = ...,
    ) -> Candidates: ...

    @overload
    def recommend_all(
        self,
        *,
        k: int = ...,
        out: Path | str,
        exclude_seen: bool = ...,
        exclude: Items | None = ...,
        candidates: Items | None = ...,
        filter: str | Filter | None = ...,
        on_unknown: Literal["raise", "skip"] = ...,
        titles: bool = ...,
        progress: Progress = ...,
    ) -> int: ...

    def recommend_all(
        self,
        *,
        k: int = 100,
        out: Path | str | None = None,
        exclude_seen: bool = True,
        exclude: Items | None = None,
        candidates: Items | None = None,
        filter: str | Filter | None = None,
        on_unknown: Literal["raise", "skip"] = "raise",
        titles: bool = False,
        progress: Progress = SILENT,
    ) -> Candidates | int:
        """The best items for every user, a block of users at a time.

        Args:
            k: items a user.
            out: file to write to, CSV, TSV, JSON lines or Parquet by its ending; it appears whole or not at all. None:
                keep the answer in memory.
            exclude_seen: leave out every item the user has touched.
            exclude: external ids of items to leave out for everybody.
            candidates: external ids of the only items allowed; None for all.
            filter: see `recommend`.
            on_unknown: for items and names in the filter that the graph does not hold: "raise" or "skip".
            titles: add the column `title`.
            progress: shows finished users.

        Returns:
            The candidates, or with `out` the number of rows written.
        """
        if out is not None:
            check_table_file(out)
        only = self._limits.shared(candidates=candidates, exclude=exclude, filter=filter, on_unknown=on_unknown)
        check_k(k)

        users = self.graph.users

        def blocks() -> Iterator[Candidates]:
            with progress.task("recommending", total=len(users)) as task:
                for start in range(0, len(users), _BLOCK_USERS):
                    block = np.arange(start, min(start + _BLOCK_USERS, len(users)))
                    queries = self._live(Query.of_users(block, users))
                    yield self._answer(queries, k=k, exclude_seen=exclude_seen, only=only, titles=titles)
                    task.advance(len(block))

        if out is None:
            return Candidates.concat(list(blocks()))
        rules = () if self.control is None else RULE_COLUMNS
        schema = pa.schema([*CANDIDATE_SCHEMA, *rules, *([("title", pa.string())] if titles else [])])
        return write_blocks((block.table for block in blocks()), out, schema)

    def recommend_for(
        self,
        *,
        history: History | Sequence[History] | None = None,
        liked: Sequence[str] | Sequence[Sequence[str]] | None = None,
        disliked: Sequence[str] | Sequence[Sequence[str]] | None = None,
        text: str | Sequence[str | None] | None = None,
        attributes: Attributes | Sequence[Attributes] | None = None,
        k: int | Sequence[int] = 20,
        on_unknown: Literal["raise", "skip"] = "raise",
        exclude_seen: bool = True,
        exclude: Items | Sequence[Sequence[str]] | None = None,
        candidates: Items | Sequence[Sequence[str]] | None = None,
        filter: str | Filter | None = None,
        context: Any = None,
        titles: bool = False,
        channel_scores: bool = False,
    ) -> Candidates:
        """The best items for people who are not in the graph, one or many.

        Each of the first five is given once for one person, or as a list for many, all of the same length.

        Args:
            history: external ids of what somebody liked, oldest first, in place of a user id; with times in any order,
                `[("m1", 1700000000), ("m2", date(2024, 5, 1))]` or `{"m1": "2024-05-01"}`.
            liked: external ids of examples, more like these; they count as the newest of the history.
            disliked: external ids of examples, less like these: each counts against what it is like by half of what a
                liked one counts for it, and is left out itself. Without anything else they place nobody.
            text: what the person looks for, or is like.
            attributes: relation of the items -> external ids of its other ends, {"director": ["p7"]}. A name that
                several relations have is given as `RelationKey`.
            k: items a person, or a number for each.
            on_unknown: for ids and names that the graph does not hold: "raise" or "skip".
            exclude_seen: leave out the history and all examples.
            exclude: external ids of items to leave out on top of it, or a list for each person.
            candidates: external ids of the only items allowed, or a list for each person; None for all.
            filter: see `recommend`.
            context: see `recommend`, with a value for each person.
            titles: add the column `title`.
            channel_scores: see `recommend`.

        Returns:
            Rows whose `user_id` is the number of the person in the request, "0" for the first.

        Raises:
            UnknownIdError: an item or an attribute is not in the graph; the message names it.
            ConfigError: all five are missing, lengths differ, an item is liked and disliked, or a relation is unknown.
        """
        people = People.of(history=history, liked=liked, disliked=disliked, text=text, attributes=attributes)
        queries = self._requests.people(people, on_unknown, context)
        limits: dict[str, Any] = {"k": k, "candidates": candidates, "exclude": exclude, "filter": filter}
        shown = {"titles": titles, "channel_scores": channel_scores}
        return self._limited(queries, limits, on_unknown, exclude_seen=exclude_seen, **shown)

    def score(
        self, pairs: Iterable[tuple[str, str]], *, on_unknown: Literal["raise", "skip"] = "raise", titles: bool = False
    ) -> PairScores:
        """The scores of given pairs, in all and by channel.

        Args:
            pairs: (user id, item id), also items that the user has seen.
            on_unknown: for ids that the graph does not hold: "raise" or "skip", which leaves the pair out.
            titles: add the column `title`.

        Returns:
            A row for each pair, in their order; `score` is what `recommend` ranks by and `explain` splits. An item for
            which no channel has evidence scores 0.

        Raises:
            UnknownIdError: an id is not in the graph, and `on_unknown` is "raise".
            ConfigError: the argument holds no pairs.
        """
        queries, items = self._requests.pairs(pairs, on_unknown, new=self._new_users())
        values = score_pairs(self.pipeline, self._live(queries), items)
        source = np.where(values.fallback, FALLBACK, self.pipeline.name)
        columns = {
            "user_id": pa.array(queries.key, type=pa.string()),
            "item_id": self.graph.items.take(items),
            "score": pa.array(values.score),
            "source": pa.array(source, type=pa.string()),
        }
        columns |= {name: pa.array(values.channel_scores[:, at]) for at, name in enumerate(self.pipeline.asked)}
        if titles:
            columns["title"] = pa.array(self._titles(items), type=pa.string())
        return PairScores(pa.table(columns))

    def similar(
        self,
        item_ids: Iterable[str],
        *,
        k: int = 20,
        by: str | None = None,
        on_unknown: Literal["raise", "skip"] = "raise",
        titles: bool = False,
    ) -> SimilarItems:
        """The items most like an item, the item itself left out.

        Args:
            item_ids: external ids; one that comes twice is answered once.
            k: items wanted for each.
            by: name of a channel of the pipeline. One with trained vectors compares their directions (cosine); any
                other gives its candidates for somebody who likes that item alone, which `explain_for` explains.
                Default: trained vectors where there are any, else the first channel.
            on_unknown: for ids that the graph does not hold: "raise" or "skip".
            titles: add the column `title`, of the similar item.

        Returns:
            Rows of `item_id`, the item that was asked about, and `similar_id`. An item about which nothing was learned
            has none.

        Raises:
            UnknownIdError: an item is not in the graph, and `on_unknown` is "raise".
            ConfigError: k is below 1, there is no channel of that name, or it cannot tell items apart.
        """
        check_k(k)
        ids = self._requests.items(item_ids, on_unknown)
        shown = self._titles if titles else None
        if by is None and self._nearest is not None:
            return self._nearest.items(ids, k, titles=shown)
        channel = self._channel(by)
        if channel.item_vectors is not None:
            return NearestItems(self.graph.items, channel.item_vectors).items(ids, k, titles=shown)
        if not channel.capabilities.unknown_people or channel.capabilities.everybody:
            raise ConfigError(f"the channel {channel.name!r} gives everybody the same: it knows no similar items")
        return reached_from(channel, self.graph.items, ids, k, titles=shown)

    def _channel(self, name: str | None) -> Channel:
        channels = self.pipeline.channels
        if name is None:
            return next(iter(channels.values()))
        if name not in channels:
            raise ConfigError(f"by = {name!r} is no channel of this pipeline; there are {', '.join(channels)}")
        return channels[name]

    def title(self, item_id: str) -> str:
        """What to call an item before a person.

        Raises:
            UnknownIdError: the item is not in the graph.
        """
        return self.graph.title(self.graph.schema.item_type, int(self._requests.item_positions([item_id])[0]))

    @cached_property
    def _nearest(self) -> NearestItems | None:
        return None if self._item_vectors is None else NearestItems(self.graph.items, self._item_vectors)

    def _new_users(self) -> Collection[str]:
        """Ids of users whom the feedback names; the graph need not have them."""
        return () if self.feedback is None else self.feedback.users()

    def _live(self, queries: Query) -> Query:
        """Requests of users with what they did since the graph was made."""
        if self.feedback is None:
            return queries
        return self.feedback.apply(queries, self.graph.items, self.pipeline.history)

    def _titles(self, items: IntArray) -> list[str]:
        return self.graph.titles(self.graph.schema.item_type, items)

    def _limited(
        self, queries: Query, limits: Mapping[str, Any], on_unknown: OnUnknown, *, exclude_seen: bool, **shown: bool
    ) -> Candidates:
        queries, k, only = self._limits.apply(queries, **limits, on_unknown=on_unknown)
        return self._answer(queries, k=k, exclude_seen=exclude_seen, only=only, **shown)

    def _answer(
        self, queries: Query, *, k: int, exclude_seen: bool, only: IntArray | None, titles: bool, **shown: bool
    ) -> Candidates:
        source = self.pipeline if self.control is None else self.control
        batch = source.recommend(queries, k=k, exclude_seen=exclude_seen, candidates=only)
        of_items = self._titles if titles else None
        table = batch.to_arrow(queries.key, self.graph.items, titles=of_items, context=queries.context, **shown)
        return Candidates(table)

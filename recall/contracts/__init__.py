"""What goes into a channel, what comes out, and what a channel is. Channels know this module, kg and gnn, no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gnn.graph.shares import NoShares, Share, Shares
from kg import KnowledgeGraph, RaggedArray, RelationKey, Vocabulary
from kg.arrays import IntArray

CANDIDATE_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("score", pa.float32()),
        ("rank", pa.int32()),
        ("source", pa.string()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Queries:
    """A batch of requests, one row somebody to recommend to.

    Attributes:
        key: what the answer carries as `user_id`, (n,) strings.
        user: position of a known user, -1 for somebody unknown, int64 (n,).
        history: liked items that come with the request, (n,) lists of positions; a known user's own history comes
            from the graph the channel was fitted on, and rows with `user >= 0` are normally empty here.
        seen: items to leave out in place of what the channel knows the user has seen; None: the channel's own
            knowledge, and the request's history.
        text: a text that describes somebody unknown, or what they look for; None or (n,).
        attributes: for somebody unknown: relation of the item type -> positions of its other ends; None or (n,).
    """

    key: Sequence[str]
    user: IntArray
    history: RaggedArray
    seen: RaggedArray | None = None
    text: Sequence[str | None] | None = None
    attributes: Sequence[Mapping[RelationKey, IntArray]] | None = None

    @classmethod
    def of_users(cls, users: IntArray, vocabulary: Vocabulary, *, seen: RaggedArray | None = None) -> Queries:
        """Requests of known users, by position."""
        none = RaggedArray.empty(len(users))
        return cls(key=vocabulary.take(users).to_pylist(), user=users, history=none, seen=seen)

    @classmethod
    def of_histories(cls, key: Sequence[str], history: RaggedArray, *, seen: RaggedArray | None = None) -> Queries:
        """Requests of unknown people who liked some items."""
        return cls(key=key, user=np.full(len(key), -1, dtype=np.int64), history=history, seen=seen)

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: IntArray) -> Queries:
        """Some of the rows, in that order."""
        return Queries(
            key=[self.key[row] for row in rows],
            user=self.user[rows],
            history=self.history.take(rows),
            seen=None if self.seen is None else self.seen.take(rows),
            text=None if self.text is None else [self.text[row] for row in rows],
            attributes=None if self.attributes is None else [self.attributes[row] for row in rows],
        )

    def blocks(self, size: int) -> Iterator[tuple[slice, Queries]]:
        """The batch in pieces of at most `size` rows."""
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            yield slice(start, stop), self.take(np.arange(start, stop))


@dataclass(frozen=True)
class TopK:
    """Ranked items of a batch, integers inside.

    Attributes:
        items: positions, best first, -1 where there are fewer than k, int64 (n, k).
        scores: float32 (n, k), -inf where there is no item.
    """

    items: IntArray
    scores: npt.NDArray[np.float32]


class Candidates:
    """The answer to a batch: one Arrow table `user_id, item_id, score, rank, source`, rank from 1.

    It speaks the Arrow C stream, so any data frame library takes it as it is.
    """

    def __init__(self, table: Any) -> None:
        self.table: Any = table.select(CANDIDATE_SCHEMA.names).cast(CANDIDATE_SCHEMA)

    @classmethod
    def from_top_k(cls, top: TopK, *, key: Sequence[str], items: Vocabulary, source: str) -> Candidates:
        """External ids for ranked positions; missing places are left out."""
        row, place = np.nonzero(top.items >= 0)
        rank = (np.cumsum(top.items >= 0, axis=1)[row, place]).astype(np.int32)
        return cls(
            pa.table(
                {
                    "user_id": pa.array(key, type=pa.string()).take(pa.array(row)),
                    "item_id": items.take(top.items[row, place]),
                    "score": pa.array(top.scores[row, place].astype(np.float32)),
                    "rank": pa.array(rank),
                    "source": pa.repeat(pa.scalar(source), len(row)),
                }
            )
        )

    @classmethod
    def concat(cls, parts: Sequence[Candidates]) -> Candidates:
        """Several answers under one another."""
        return cls(pa.concat_tables([part.table for part in parts]) if parts else CANDIDATE_SCHEMA.empty_table())

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.table.to_pylist())

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Hand the table to another Arrow library without a copy."""
        return self.table.__arrow_c_stream__(requested_schema)

    def of(self, user_id: str) -> list[dict[str, Any]]:
        """The rows of one user, best first."""
        return [row for row in self if row["user_id"] == user_id]

    def to_pandas(self) -> Any:
        """A pandas frame; needs the extra `pandas`."""
        return self.table.to_pandas()

    def __repr__(self) -> str:
        lines = [f"Candidates({len(self)} rows)"]
        lines += [
            f"  {r['user_id']}  {r['rank']:>3}. {r['item_id']}  {r['score']:.4f}  {r['source']}"
            for r in self.table.slice(0, 10).to_pylist()
        ]
        return "\n".join(lines + (["  ..."] if len(self) > 10 else []))


class Part(NamedTuple):
    """What one channel adds to a fused score.

    Attributes:
        channel: its name.
        weight: its weight in the fusion.
        shares: its split, in the unit of the fused score.
    """

    channel: str
    weight: float
    shares: Shares | NoShares


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedShares(Shares):
    """A score that several channels add up to, split exactly.

    The shares are sums over the channels that split their parts, by first hop; what the others add is `unsplit`. So
    `own + sum(history) + prior + unsplit == score`, and likewise on the item's side, and for pairs and cross terms.

    Attributes:
        parts: one a channel; their scores add up to the score.
        unsplit: the part of the channels that do not split theirs.
    """

    parts: tuple[Part, ...]
    unsplit: float


class Scored(Protocol):
    """What a channel thinks of all items for a block of requests, for as long as somebody holds it.

    It may hold a dense block, (requests, items): keep blocks small.
    """

    def top(self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None) -> TopK:
        """The best k items of each request, ties by position.

        Args:
            k: at least 1 and at most the number of items.
            exclude: items to leave out of each request, (n,) lists.
            only: positions of the only items allowed, sorted and unique; None for all.
        """

    def at(self, items: IntArray) -> npt.NDArray[np.float32]:
        """The scores of given items, the same that `top` ranks by; 0 where there is no evidence.

        Args:
            items: positions, int64 (n, m); -1 for no item, which scores 0.
        """


class Channel(Protocol):
    """A source of candidates. Nobody asks which one it is."""

    name: str

    def fit(self, graph: KnowledgeGraph) -> Self:
        """Learn from a graph; returns itself."""

    def recommend(
        self, queries: Queries, *, k: int, exclude_seen: bool = True, candidates: IntArray | None = None
    ) -> Candidates:
        """The best k items for each query.

        Args:
            queries: the batch.
            k: items wanted, at least 1.
            exclude_seen: leave out what the user has seen.
            candidates: positions of the only items allowed, or None for all.
        """

    def scored(self, queries: Queries) -> Scored:
        """The scores that `recommend` ranks by, for a block of requests."""

    def explain(self, pairs: Sequence[tuple[int, int]]) -> list[Shares | NoShares]:
        """Split the scores of (user, item) pairs, by position, or say why not."""

    def save(self, folder: Path) -> None:
        """Write everything `load` needs into an empty folder."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved channel."""


__all__ = [
    "CANDIDATE_SCHEMA",
    "Candidates",
    "Channel",
    "FusedShares",
    "NoShares",
    "Part",
    "Queries",
    "Scored",
    "Share",
    "Shares",
    "TopK",
]

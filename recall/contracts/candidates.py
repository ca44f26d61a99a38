"""Ranked candidates: arrays of positions and scores inside, one Arrow table with external ids at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kg import Vocabulary
from kg.arrays import IntArray
from recall.contracts.answer import Answer
from recall.contracts.scores import TopK

CANDIDATE_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("score", pa.float32()),
        ("rank", pa.int32()),
        ("source", pa.string()),
    ]
)

RULE_COLUMNS = (("round", pa.int32()), ("moves", pa.string()))
"""What answers have besides where rules choose among the candidates."""

FUSION = "fusion"
FALLBACK = "popularity"


@dataclass(frozen=True, kw_only=True)
class CandidateBatch:
    """Candidates of a batch of requests, one row for each, by request and rank.

    Attributes:
        row: request of each candidate, int64 (m,).
        item: position of the item, int64 (m,).
        score: final score, float32 (m,).
        rank: place among the candidates of its request, from 1, int32 (m,).
        channels: names of the channels that were asked, (c,).
        channel_scores: score of each channel before fusion, 0 where it has no evidence, float32 (m, c).
        listed: which channels have the item among their best, bool (m, c).
        fallback: whether the row comes from the most liked items, since no channel answers the request, bool (m,).
        fused: whether the score is a sum over the channels; otherwise there is one channel, and it is its own.
        round: which round of the rules brought the candidate, from 1, 0 for none of them, int32 (m,); None: no rules.
        moves: which rules moved it, in words, "" for none, (m,); None: there were no rules.
    """

    row: IntArray
    item: IntArray
    score: npt.NDArray[np.float32]
    rank: npt.NDArray[np.int32]
    channels: tuple[str, ...]
    channel_scores: npt.NDArray[np.float32]
    listed: npt.NDArray[np.bool_]
    fallback: npt.NDArray[np.bool_]
    fused: bool
    round: npt.NDArray[np.int32] | None = None
    moves: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def of(
        cls,
        top: TopK,
        channels: Sequence[str],
        *,
        channel_scores: npt.NDArray[np.float32] | None = None,
        listed: npt.NDArray[np.bool_] | None = None,
        fused: bool = False,
        fallback: bool = False,
    ) -> Self:
        """From ranked items; places without an item are left out.

        Args:
            top: (n, k).
            channels: names, (c,).
            channel_scores: of each place, float32 (c, n, k); None: the scores are those of the only channel.
            listed: bool (c, n, k); None: the only channel lists all.
            fused: see the class.
            fallback: whether these are the most liked items, which none of the channels gave.
        """
        there = top.items >= 0
        row, place = np.nonzero(there)
        score = top.scores[row, place].astype(np.float32, copy=False)
        shape = (len(row), len(channels))
        if channel_scores is not None:
            columns = channel_scores[:, row, place].T
        elif fallback:
            columns = np.zeros(shape, dtype=np.float32)
        else:
            columns = score[:, None]
        return cls(
            row=row,
            item=top.items[row, place],
            score=score,
            rank=np.cumsum(there, axis=1, dtype=np.int32)[row, place],
            channels=tuple(channels),
            channel_scores=columns,
            listed=np.full(shape, not fallback) if listed is None else listed[:, row, place].T,
            fallback=np.full(len(row), fallback),
            fused=fused,
        )

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Batches of one pipeline as one, sorted by request; ranks stay."""
        first = parts[0]
        if len(parts) == 1:
            return first
        order = np.argsort(np.concatenate([part.row for part in parts]), kind="stable")
        arrays = ("row", "item", "score", "rank", "channel_scores", "listed", "fallback")
        merged: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts])[order] for name in arrays
        }
        if first.round is not None:
            merged["round"] = np.concatenate([part.round for part in parts])[order]
            moves = [text for part in parts for text in part.moves or ()]
            merged["moves"] = tuple(moves[place] for place in order.tolist())
        return cls(channels=first.channels, fused=first.fused, **merged)

    def source(self) -> Any:
        """Where each candidate comes from, an Arrow array of strings (m,).

        The name of the channel; in a fusion those that list it, "fusion(lightgcn+spectral)"; "popularity" for the
        most liked items.
        """
        if not self.fused and not self.fallback.any():
            return pa.repeat(pa.scalar(self.channels[0]), len(self))
        bits = self.listed @ (1 << np.arange(len(self.channels), dtype=np.int64))
        kinds, number = np.unique(np.where(self.fallback, -1, bits), return_inverse=True)
        names = [self._source(int(kind)) for kind in kinds]
        return pa.array(names, type=pa.string()).take(pa.array(number))

    def _source(self, bits: int) -> str:
        if bits < 0:
            return FALLBACK
        if not self.fused:
            return self.channels[0]
        return f"{FUSION}({'+'.join(name for at, name in enumerate(self.channels) if bits >> at & 1)})"

    def to_arrow(
        self,
        keys: Sequence[str],
        items: Vocabulary,
        *,
        titles: Callable[[IntArray], Sequence[str]] | None = None,
        channel_scores: bool = False,
        context: Any | None = None,
    ) -> Any:
        """The batch as an Arrow table with external ids.

        Args:
            keys: of the requests.
            items: ids of the items.
            titles: names of items for people, by position; None: no column `title`.
            channel_scores: add a column for each channel, by its name.
            context: columns of the requests to add, an Arrow table with a row for each.

        Returns:
            Columns `user_id, item_id, score, rank, source`, and what was asked for.
        """
        columns = {
            "user_id": pa.array(keys, type=pa.string()).take(pa.array(self.row)),
            "item_id": items.take(self.item),
            "score": pa.array(self.score),
            "rank": pa.array(self.rank),
            "source": self.source(),
        }
        if self.round is not None:
            columns |= {"round": pa.array(self.round), "moves": pa.array(self.moves, type=pa.string())}
        if titles is not None:
            columns["title"] = pa.array(titles(self.item), type=pa.string())
        if channel_scores:
            columns |= {name: pa.array(self.channel_scores[:, at]) for at, name in enumerate(self.channels)}
        if context is not None:
            columns |= {name: context[name].take(pa.array(self.row)) for name in context.column_names}
        return pa.table(columns)


class Candidates(Answer):
    """The answer to a batch: one Arrow table `user_id, item_id, score, rank, source`, rank from 1.

    Where rules choose (recall.control), `round` and `moves` come after these: which round brought the candidate, and
    which rules moved it. Columns that were asked for, `title`, one for each channel and the context, come last.
    """

    schema: ClassVar[Any] = CANDIDATE_SCHEMA
    of_whom: ClassVar[str] = "user_id"

    def _line(self, row: dict[str, Any]) -> str:
        return f"{row['user_id']}  {row['rank']:>3}. {row['item_id']}  {row['score']:.4f}  {row['source']}"


SCORE_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("score", pa.float32()),
        ("source", pa.string()),
    ]
)


class PairScores(Answer):
    """The scores of given pairs: one Arrow table `user_id, item_id, score, source`, in the order of the pairs.

    Then a column for each channel, by its name: its own score before the fusion, 0 where it has no evidence; and
    `title` where it was asked for.
    """

    schema: ClassVar[Any] = SCORE_SCHEMA
    of_whom: ClassVar[str] = "user_id"

    def _line(self, row: dict[str, Any]) -> str:
        return f"{row['user_id']}  {row['item_id']}  {row['score']:.4f}  {row['source']}"


def with_channels(row: dict[str, Any], channels: Sequence[str]) -> dict[str, Any]:
    """A row of candidates with the scores of its channels as one entry, `channels`."""
    plain = {name: value for name, value in row.items() if name not in channels}
    return plain | {"channels": {name: row[name] for name in channels}}

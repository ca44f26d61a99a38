"""Channels that score from a history: what they share, from blocks of scores to ranked candidates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from kg import KnowledgeGraph, RaggedArray
from kg.arrays import IntArray
from kg.errors import ArtifactError, ConfigError, NotFittedError, UnknownIdError
from kg.io.files import read_json, write_json
from recall.channels.known import Known, rows_with
from recall.channels.scored import DenseScores
from recall.contracts import Candidates, NoShares, Queries, Scored, Share, Shares, TopK
from recall.index.top_k import BLOCK_SCORES, check_k, check_positions, mask_out, top_k

Scores = npt.NDArray[np.float32]
TextEncode = Callable[[Sequence[str | None]], Scores]

_FORMAT = 1


class HistoryChannel(ABC):
    """A channel whose scores are a function of what somebody likes, so that unknown people are served like users.

    A subclass says how it learns, scores a block and splits a score; rows without evidence get no candidates.
    """

    name: str

    def __init__(self) -> None:
        self._known: Known | None = None

    @property
    def known(self) -> Known:
        """What the channel remembers of its graph.

        Raises:
            NotFittedError: it has not been fitted.
        """
        if self._known is None:
            raise NotFittedError(f"the channel {self.name!r} has not been fitted: call fit(graph) or load(folder)")
        return self._known

    def fit(self, graph: KnowledgeGraph) -> Self:
        """Learn from the positives of a graph; returns itself."""
        known = Known.of(graph)
        self._learn(graph, known)
        self._known = known
        return self

    def recommend(
        self, queries: Queries, *, k: int, exclude_seen: bool = True, candidates: IntArray | None = None
    ) -> Candidates:
        """The best k items for each query; see `recall.contracts.Channel`.

        Raises:
            ConfigError: k is below 1.
            UnknownIdError, InvalidDataError: a user or an item is not there.
        """
        known = self.known
        check_k(k)
        k = min(k, known.num_items)
        known.check(queries)
        columns = None if candidates is None else check_positions(candidates, known.num_items, "candidates")
        width = known.num_items if columns is None else len(columns)
        items = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        history = known.history(queries)
        excluded = known.excluded(queries) if exclude_seen else None
        rows = self._answerable(queries, history)
        step = max(1, BLOCK_SCORES // max(width, 1))
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            left_out = None if excluded is None else excluded.take(block)
            top = self._top(queries.take(block), history.take(block), left_out, columns, k)
            items[block], scores[block] = top.items, top.scores
        return Candidates.from_top_k(TopK(items, scores), key=queries.key, items=known.items, source=self.name)

    def _top(
        self, queries: Queries, history: RaggedArray, excluded: RaggedArray | None, columns: IntArray | None, k: int
    ) -> TopK:
        """Rank one block."""
        scores = self._scores(queries, history, columns)
        if excluded is not None:
            mask_out(scores, excluded, columns)
        return top_k(scores, k, columns=columns)

    def scored(self, queries: Queries) -> Scored:
        """The scores that `recommend` ranks by; see `recall.contracts.Channel`.

        Raises:
            UnknownIdError: a user or an item is not there.
        """
        known = self.known
        known.check(queries)
        history = known.history(queries)
        rows = self._answerable(queries, history)
        return DenseScores(self._scores(queries.take(rows), history.take(rows), None), rows, len(queries))

    def explain(self, pairs: Sequence[tuple[int, int]]) -> list[Shares | NoShares]:
        """Split each score over the user's history: score(u, i) is a sum over the liked items.

        The item's side is not split: `item_own` is the whole score.
        """
        known = self.known
        return [self._split(known, int(user), int(item)) for user, item in pairs]

    def _split(self, known: Known, user: int, item: int) -> Shares | NoShares:
        if not (0 <= user < known.num_users and 0 <= item < known.num_items):
            raise UnknownIdError(f"the pair ({user}, {item}) points outside the tables of users and items")
        history = known.liked[user]
        if not len(history):
            return NoShares(0.0, "the user likes nothing yet, so there is no history to split the score over")
        values = self._parts(history, item)
        score = float(values.sum())
        shares = zip((history + known.first_item).tolist(), values.tolist(), strict=True)
        return Shares(
            score=score,
            own=0.0,
            history=tuple(Share(node, known.interaction, value) for node, value in shares),
            item_own=score,
            neighbours=(),
            pairs=np.zeros((len(history), 0)),
            cross=(0.0, 0.0, score),
        )

    def save(self, folder: Path) -> None:
        """Write everything `load` needs into a folder."""
        self.known.save(folder)
        self._write(folder)
        write_json(folder / "channel.json", {"format": _FORMAT, "channel": self.name, **self._facts()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved channel.

        Raises:
            ArtifactError: it is damaged, of another channel or of another format.
        """
        facts = read_json(folder / "channel.json")
        if facts.get("channel") != cls.name or facts.get("format") != _FORMAT:
            raise ArtifactError(
                f"{folder} holds the channel {facts.get('channel')!r} in format {facts.get('format')}, "
                f"not {cls.name!r} in format {_FORMAT}: fit it again"
            )
        channel = cls._read(folder, facts)
        channel._known = Known.load(folder)
        channel._ready(channel._known)
        return channel

    def _answerable(self, queries: Queries, history: RaggedArray) -> IntArray:
        """Rows with anything to score from, int64."""
        return rows_with(history)

    def _facts(self) -> dict[str, Any]:
        """Configuration, as plain data for channel.json."""
        return {}

    def _ready(self, known: Known) -> None:
        """Derive, after loading, what is not worth saving."""
        return

    @abstractmethod
    def _learn(self, graph: KnowledgeGraph, known: Known) -> None:
        """Fit to a graph."""

    @abstractmethod
    def _scores(self, queries: Queries, history: RaggedArray, columns: IntArray | None) -> Scores:
        """A new array of scores, float32 (n, items or columns); -inf where there is no evidence."""

    @abstractmethod
    def _parts(self, history: IntArray, item: int) -> npt.NDArray[np.float64]:
        """The part of an item's score on each history item, (history,)."""

    @abstractmethod
    def _write(self, folder: Path) -> None:
        """Write what was learned."""

    @classmethod
    @abstractmethod
    def _read(cls, folder: Path, facts: dict[str, Any]) -> Self:
        """A channel from what `_write` and `_facts` wrote."""


def as_matrix(lists: RaggedArray, width: int) -> Any:
    """Lists of items as a binary CSR matrix, float32 (rows, width)."""
    return csr_matrix(
        (np.ones(len(lists.values), dtype=np.float32), lists.values, lists.offsets), shape=(len(lists), width)
    )


def rows_with_text(queries: Queries) -> IntArray:
    """Rows whose request carries a text, int64."""
    return np.array([row for row, text in enumerate(queries.text or ()) if text and not text.isspace()], dtype=np.int64)


def encode_texts(queries: Queries, encode: TextEncode | None, channel: str) -> Scores | None:
    """Vectors of the requests' texts, float32 (n, text dim), zero where there is none; None without any text.

    Raises:
        ConfigError: there are texts, and nothing to encode them with.
    """
    if queries.text is None or not len(rows_with_text(queries)):
        return None
    if encode is None:
        raise ConfigError(
            f"the channel {channel!r} has no text encoder: give it one (encode=TextEncoder(...).encode), "
            "or ask without a text"
        )
    return encode(queries.text)

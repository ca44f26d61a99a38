"""Channels that score by a history: what they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from kg import RaggedArray, RelationKey
from kg.arrays import IntArray
from kg.errors import ArtifactError, ConfigError, GateError, InvalidDataError, NotFittedError, UnknownIdError
from kg.history import InteractionHistory
from kg.io.files import read_json, write_json
from recall.channels.scores import DeferredScores, DenseScores, FloatArray
from recall.channels.weighted import weights_of
from recall.contracts import Capabilities, FitData, LoadData, NoShares, Query, Scores, Share, Shares, TextEncode
from recall.contracts.history import DISLIKED, disliked_items, liked_items, rows_with

HEADER = "channel.json"
_FORMAT = 2


class ClosedChannel(ABC):
    """A channel without a training: what it learns is a closed formula of the data.

    A subclass says how it learns, scores and splits a score, and what it writes.

    Attributes:
        config: hyper-parameters.
        encode: makes vectors of the texts in requests; None: such requests are refused.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[Any]]
    capabilities: ClassVar[Capabilities] = Capabilities()

    def __init__(self, config: Any = None) -> None:
        self.config = self.config_type() if config is None else config
        self.encode: TextEncode | None = None
        self._history: InteractionHistory | None = None

    @property
    def history(self) -> InteractionHistory:
        """What the users of the graph did that the channel was fitted on.

        Raises:
            NotFittedError: it has not been fitted.
        """
        if self._history is None:
            raise not_fitted(self.name)
        return self._history

    @property
    def recipe(self) -> Mapping[str, Any]:
        """A closed formula has none; see `recall.contracts.Channel`."""
        return {}

    @property
    def facts(self) -> Mapping[str, Any]:
        """None; see `recall.contracts.Channel`."""
        return {}

    @property
    def item_vectors(self) -> FloatArray | None:
        """None; see `recall.contracts.Channel`."""
        return None

    def save(self, folder: Path) -> None:
        """Write what was learned into a folder."""
        if self._history is None:
            raise not_fitted(self.name)
        folder.mkdir(parents=True, exist_ok=True)
        self._write(folder)
        write_header(folder, self.name, {"config": self.config.model_dump(mode="json"), **self._more()})

    @classmethod
    def load(cls, folder: Path, data: LoadData) -> Self:
        """Read a saved channel.

        Raises:
            ArtifactError: it is damaged, of another channel or of another format.
        """
        facts = read_header(folder, cls.name)
        try:
            channel = cls(cls.config_type(**facts["config"]))
        except (ConfigError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder / HEADER} is damaged: {error}; fit the channel again") from error
        channel._read(folder, facts)
        channel._history, channel.encode = data.history, data.encode
        channel._ready(data)
        return channel

    def _more(self) -> dict[str, Any]:
        """What `_read` needs besides configuration and arrays, as plain data for channel.json."""
        return {}

    def _ready(self, data: LoadData) -> None:
        """Derive, after loading, what is not worth saving."""
        return

    @abstractmethod
    def _write(self, folder: Path) -> None:
        """Write what was learned."""

    @abstractmethod
    def _read(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Take what `_write` and `_more` wrote."""


class HistoryChannel(ClosedChannel):
    """A channel whose scores are a function of the liked items, so that unknown people are scored like users.

    A subclass says how it learns, scores a block and splits a score; rows without evidence get no candidates.
    """

    def fit(self, data: FitData) -> Self:
        """Learn from the positives of a graph; returns itself."""
        self._learn(data)
        self._history, self.encode = data.history, data.encode
        return self

    def score(self, queries: Query) -> Scores:
        """See `recall.contracts.Channel`."""
        history = self._liked(queries)
        rows = self._answerable(queries, history)
        asked, liked = queries.take(rows), history.take(rows)
        return DeferredScores(
            lambda columns: DenseScores(self._weighed(asked, liked, columns), rows, len(queries), columns),
            self.history.num_items,
        )

    def _weighed(self, queries: Query, liked: RaggedArray, columns: IntArray | None) -> FloatArray:
        """The scores of the liked items and of what is asked for, and against them those of the disliked examples."""
        scores = self._scores(queries, liked, columns)
        disliked = disliked_items(queries)
        if not len(disliked.values):
            return scores
        against = self._scores(self._without_wishes(queries), disliked, columns)
        either = (scores > -np.inf) | (against > -np.inf)
        total = np.where(scores > -np.inf, scores, 0) + np.float32(DISLIKED) * np.where(against > -np.inf, against, 0)
        return np.where(either, total, np.float32(-np.inf)).astype(np.float32, copy=False)

    def attribute(self, queries: Query, items: IntArray) -> list[Shares | NoShares]:
        """Split each score over the history: score(u, i) is a sum over the liked items, and what the request adds.

        Disliked examples have their parts below it. The item's side is not split: `item_own` is the whole score.
        """
        liked, disliked = self._liked(queries), disliked_items(queries)
        asked = self._asked(queries, items)
        answered = np.zeros(len(queries), dtype=bool)
        answered[self._answerable(queries, liked)] = True
        return [
            self._split(queries, row, liked, disliked, int(items[row]), float(asked[row]))
            if answered[row]
            else NoShares(0.0, "there is no liked item to split the score over")
            for row in range(len(queries))
        ]

    def _split(
        self, queries: Query, row: int, liked: RaggedArray, disliked: RaggedArray, item: int, asked: float
    ) -> Shares:
        values = self._row_parts(queries, row, liked, item)
        if len(disliked[row]):
            values = np.concatenate(
                [values, DISLIKED * self._row_parts(self._without_wishes(queries), row, disliked, item)]
            )
        both = float(values.sum())
        nodes = (np.concatenate([liked[row], disliked[row]]) + self.history.first_item).tolist()
        return Shares(
            score=both + asked,
            own=asked,
            history=tuple(
                Share(node, self.history.interaction, v) for node, v in zip(nodes, values.tolist(), strict=True)
            ),
            item_own=both + asked,
            neighbours=(),
            pairs=np.zeros((len(nodes), 0)),
            cross=(asked, 0.0, both),
        )

    def _without_wishes(self, queries: Query) -> Query:
        """Requests as their disliked examples are scored: what they ask for beside a history is on the other side."""
        return replace(queries, text=None, attributes=None)

    def _row_parts(self, queries: Query, row: int, lists: RaggedArray, item: int) -> npt.NDArray[np.float64]:
        """The part of the score that a request gives an item on each item of its list, (items of the row,)."""
        parts = self._parts(lists[row], item)
        return parts * weights_of(lists.take(np.array([row])))

    def _liked(self, queries: Query) -> RaggedArray:
        """The liked items that requests are scored by, (n,) lists."""
        return liked_items(queries, self.history)

    def _answerable(self, queries: Query, history: RaggedArray) -> IntArray:
        """Rows with anything to score from, int64."""
        return rows_with(history)

    @abstractmethod
    def _learn(self, data: FitData) -> None:
        """Fit to a graph."""

    @abstractmethod
    def _scores(self, queries: Query, history: RaggedArray, columns: IntArray | None) -> FloatArray:
        """A new array of scores, float32 (n, items or columns); -inf where there is no evidence."""

    @abstractmethod
    def _parts(self, history: IntArray, item: int) -> npt.NDArray[np.float64]:
        """The part of an item's score on each history item, (history,)."""

    def _asked(self, queries: Query, items: IntArray) -> npt.NDArray[np.float64]:
        """What text and attributes of each request add to the score of its item, float64 (n,)."""
        return np.zeros(len(queries))


def not_fitted(name: str) -> NotFittedError:
    """The error of a channel that is used too early."""
    return NotFittedError(f"the channel {name!r} has not been fitted: call fit(data) or load(folder, data)")


def write_header(folder: Path, name: str, facts: Mapping[str, Any]) -> None:
    """Write `channel.json`: which channel a folder holds."""
    write_json(folder / HEADER, {"format": _FORMAT, "channel": name, **facts})


def read_header(folder: Path, name: str) -> dict[str, Any]:
    """What `write_header` wrote for a channel of this name.

    Raises:
        ArtifactError: the folder holds another channel or another format.
    """
    facts = read_json(folder / HEADER)
    if not isinstance(facts, dict) or facts.get("channel") != name or facts.get("format") != _FORMAT:
        held = facts if isinstance(facts, dict) else {}
        raise ArtifactError(
            f"{folder} holds the channel {held.get('channel')!r} in format {held.get('format')}, "
            f"not {name!r} in format {_FORMAT}: fit it again"
        )
    return facts


def item_likes(history: InteractionHistory) -> IntArray:
    """Users who like each item, int64 (items,)."""
    return np.bincount(history.liked.values, minlength=history.num_items)


def as_matrix(lists: RaggedArray, width: int) -> Any:
    """Lists of items as a CSR matrix of how much each counts, 1 where they do not say, float32 (rows, width)."""
    return csr_matrix((weights_of(lists), lists.values, lists.offsets), shape=(len(lists), width))


def rows_with_text(queries: Query) -> IntArray:
    """Rows whose request carries a text, int64."""
    return np.array([row for row, text in enumerate(queries.text or ()) if text and not text.isspace()], dtype=np.int64)


def rows_with_attributes(queries: Query) -> IntArray:
    """Rows whose request carries attributes, int64."""
    return np.array([row for row, attributes in enumerate(queries.attributes or ()) if attributes], dtype=np.int64)


def named_attributes(chosen: Mapping[RelationKey, IntArray]) -> Iterator[tuple[RelationKey, IntArray]]:
    """The relations of one request's attributes, and positions at their other ends, int64 (m,) each.

    Raises:
        InvalidDataError: a relation is not named as (source, name, target).
    """
    for key, positions in chosen.items():
        if len(key) != 3:
            raise InvalidDataError(f"attributes are named by relation (source, name, target), not {key!r}")
        yield RelationKey(*key), np.asarray(positions, dtype=np.int64)


def check_attributes(positions: IntArray, count: int, relation: RelationKey) -> None:
    """Make sure that attributes name nodes that are there.

    Raises:
        UnknownIdError: a position lies outside the `count` nodes at the end of the relation.
    """
    if len(positions) and (positions.min() < 0 or positions.max() >= count):
        raise UnknownIdError(f"attributes name positions outside the {count} nodes at the end of {relation}")


def unit_rows(vectors: FloatArray) -> FloatArray:
    """Rows of length 1, those of length 0 as they are, float32 (n, dim)."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: FloatArray = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return result


def check_vectors(channel: str, *vectors: FloatArray) -> None:
    """Make sure that a training ended in numbers: finite parameters can be too large for their sums.

    Raises:
        GateError: some values are none.
    """
    bad = sum(int((~np.isfinite(each)).sum()) for each in vectors)
    if bad:
        raise GateError(
            f"{bad:,} values of the vectors of {channel} are no numbers: lower "
            f"channels.{channel}.training.learning_rate"
        )


def encode_texts(queries: Query, encode: TextEncode | None, channel: str) -> FloatArray | None:
    """Vectors of the requests' texts, float32 (n, text dim), zero where there is none; None without any text.

    Raises:
        ConfigError: there are texts, and nothing to encode them with.
    """
    if queries.text is None or not len(rows_with_text(queries)):
        return None
    if encode is None:
        raise ConfigError(
            f"the channel {channel!r} has no text encoder: fit or load it with encode=TextEncoder(...).encode, "
            "or ask without a text"
        )
    return encode(queries.text)

"""What is popular among the users who share an attribute: a country, an age group, a kind of customer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field
from scipy.sparse import csr_matrix

from kg import KnowledgeGraph, RaggedArray
from kg.arrays import IntArray
from kg.errors import ConfigError
from kg.settings import Settings
from recall.channels.arrays import load_arrays, pack_csr, save_arrays, unpack_csr
from recall.channels.base import HistoryChannel, as_matrix
from recall.channels.popularity import people
from recall.channels.scores import DenseScores, FloatArray
from recall.contracts import Capabilities, FitData, LoadData, NoShares, Query, Scores, Shares


class SegmentConfig(Settings):
    """Hyper-parameters of what is popular in a segment of the users."""

    section: ClassVar[str] = "channels.segment"

    attribute: str | None = Field(
        default=None,
        description="Attribute of the users whose value is their segment; the channel needs it. A column of that name "
        "in the context of a request says it of people who are not in the graph, and comes first.",
    )
    smoothing: float = Field(
        default=10.0,
        gt=0,
        description="How many likes of all users together stand beside those of the segment: items that nobody of a "
        "small segment likes follow in the order of all.",
    )


class SegmentPopularity(HistoryChannel):
    """score(u, i) = likes of i in the segment of u + smoothing * (likes of i) / (all likes)."""

    name: ClassVar[str] = "segment"
    config_type: ClassVar[type[Any]] = SegmentConfig
    capabilities: ClassVar[Capabilities] = Capabilities(dislikes=False, everybody=True)

    def __init__(self, config: SegmentConfig | None = None) -> None:
        super().__init__(config)
        self._likes: Any = csr_matrix((0, 0), dtype=np.float32)
        self._overall: FloatArray = np.zeros(0, dtype=np.float32)
        self._names: list[str] = []
        self._of_user: IntArray = np.zeros(0, dtype=np.int64)

    def _learn(self, data: FitData) -> None:
        values = self._values(data.graph)
        self._names = sorted({value for value in values if value is not None})
        self._place(values)
        of_user = self._of_user
        with_segment = np.flatnonzero(of_user >= 0)
        members = csr_matrix(
            (np.ones(len(with_segment), dtype=np.float32), (of_user[with_segment], with_segment)),
            shape=(len(self._names), len(of_user)),
        )
        liked = as_matrix(data.history.liked, data.history.num_items)
        self._likes = (members @ liked).tocsr()
        overall = np.asarray(liked.sum(axis=0)).ravel()
        self._overall = (overall / max(float(overall.sum()), 1.0)).astype(np.float32)

    def _values(self, graph: KnowledgeGraph) -> list[str | None]:
        """The segment of each user of a graph, None where it is not known.

        Raises:
            ConfigError: the users have no such attribute.
        """
        users, name = graph.nodes[graph.schema.user_type], self.config.attribute
        there = [column for column in users.column_names if column not in ("id", "iri")]
        if name not in there:
            what = "is missing" if name is None else f"= {name!r} is no attribute of the users"
            advice = f"name one of {', '.join(there)}" if there else "the users have none, so leave the channel out"
            raise ConfigError(f"channels.segment.attribute {what}: {advice}")
        if pa.types.is_nested(users[name].type):
            raise ConfigError(
                f"channels.segment.attribute = {name!r} has several values a user: name an attribute with one"
            )
        return [None if value is None else str(value) for value in users[name].to_pylist()]

    def _place(self, values: list[str | None]) -> None:
        place = {name: at for at, name in enumerate(self._names)}
        self._of_user = np.array([-1 if value is None else place.get(value, -1) for value in values], dtype=np.int64)

    def _segments(self, queries: Query) -> IntArray:
        """The segment of each request, -1 where it is not known, int64 (n,)."""
        own = np.full(len(queries), -1, dtype=np.int64)
        there = queries.user >= 0
        own[there] = self._of_user[queries.user[there]]
        if queries.context is None or self.config.attribute not in queries.context.column_names:
            return own
        place = {name: at for at, name in enumerate(self._names)}
        said = queries.context[self.config.attribute].to_pylist()
        stated = np.array([-1 if value is None else place.get(str(value), -1) for value in said], dtype=np.int64)
        return np.where(stated >= 0, stated, own)

    def score(self, queries: Query) -> Scores:
        """See `recall.contracts.Channel`."""
        self.history  # noqa: B018 (raises before a fit)
        rows = np.arange(len(queries))
        return DenseScores(self._scores(queries, RaggedArray.empty(len(queries)), None), rows, len(queries))

    def _scores(self, queries: Query, history: RaggedArray, columns: IntArray | None) -> FloatArray:
        segments = self._segments(queries)
        likes, overall = self._likes, self._overall * np.float32(self.config.smoothing)
        if columns is not None:
            likes, overall = likes[:, columns], overall[columns]
        scores = np.tile(overall, (len(queries), 1))
        placed = np.flatnonzero(segments >= 0)
        if len(placed):
            scores[placed] += likes[segments[placed]].toarray()
        return scores

    def attribute(self, queries: Query, items: IntArray) -> list[Shares | NoShares]:
        """A count of what other people did has no share of the user's."""
        self.history  # noqa: B018 (raises before a fit)
        answers: list[Shares | NoShares] = []
        for segment, item in zip(self._segments(queries).tolist(), items.tolist(), strict=True):
            likes = float(self._likes[segment, item]) if segment >= 0 else 0.0
            score = likes + self.config.smoothing * float(self._overall[item])
            said = "it is ranked by the likes of all users"
            if segment >= 0:
                said = f"{people(likes)} it among those with {self.config.attribute} = {self._names[segment]!r}"
            answers.append(NoShares(score, f"{said}; what is popular does not depend on the user's history"))
        return answers

    def _parts(self, history: IntArray, item: int) -> npt.NDArray[np.float64]:
        return np.zeros(len(history))

    def _more(self) -> dict[str, Any]:
        return {"segments": self._names}

    def _write(self, folder: Path) -> None:
        save_arrays(folder / "segment.safetensors", {"overall": self._overall, **pack_csr(self._likes, "likes")})

    def _read(self, folder: Path, facts: Mapping[str, Any]) -> None:
        arrays = load_arrays(folder / "segment.safetensors")
        self._overall, self._likes = arrays["overall"], unpack_csr(arrays, "likes")
        self._names = [str(name) for name in facts["segments"]]

    def _ready(self, data: LoadData) -> None:
        self._place(self._values(data.graph))

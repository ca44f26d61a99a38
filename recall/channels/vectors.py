"""Trained vectors behind a nearest-neighbour index: what the channels of graph models share."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from gnn.graph.embeddings import Embeddings
from gnn.graph.fold_in import fold_in_users, split_fold_in
from gnn.graph.shares import split_scores
from gnn.graph.warm_start import Parameters
from kg.arrays import IntArray
from kg.errors import ArtifactError, ConfigError
from kg.history import InteractionHistory
from kg.topology.adjacency import Adjacency
from recall.channels.base import (
    check_vectors,
    encode_texts,
    not_fitted,
    read_header,
    rows_with_attributes,
    rows_with_text,
    write_header,
)
from recall.channels.scores import FloatArray, IndexScores
from recall.contracts import Capabilities, FitData, LoadData, NoShares, Query, Scores, Shares, TextEncode
from recall.contracts.history import DISLIKED, disliked_items, liked_items, rows_with
from recall.index.base import VectorIndex
from recall.index.build import build_index
from recall.index.exact import vectors_fingerprint
from recall.index.item_index import ItemIndex
from recall.index.settings import IndexConfig

_SAMPLED_USERS = 4096


@dataclass(frozen=True, slots=True)
class _Fitted:
    embeddings: Embeddings
    index: ItemIndex
    history: InteractionHistory
    adjacency: Adjacency


class VectorChannel:
    """score(u, i) = z_u . z_i * s_i, searched by inner product.

    A user with positives has a trained vector. Everybody else is placed by what the request says: history, text and
    attributes (gnn.graph.fold_in); a request with none of them gets nothing.

    Attributes:
        config: hyper-parameters of the model and its training.
        encode: makes vectors of the texts in requests, in the space of the model's text features; None: such requests
            are refused.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[Any]]
    capabilities: ClassVar[Capabilities] = Capabilities(
        text=True, attributes=True, trained=True, item_vectors=True, dense=False
    )

    def __init__(self, config: Any = None) -> None:
        self.config = self.config_type() if config is None else config
        self.encode: TextEncode | None = None
        self._parts: _Fitted | None = None
        self._elsewhere: VectorIndex | None = None

    @classmethod
    def of(
        cls,
        embeddings: Embeddings,
        data: LoadData,
        *,
        index: ItemIndex | None = None,
        index_config: IndexConfig | None = None,
        config: Any = None,
    ) -> Self:
        """A channel from trained vectors and the graph they were trained on.

        Args:
            embeddings: the vectors.
            data: their graph, and what belongs to it.
            index: over `embeddings.index_vectors`; None: it is built.
            index_config: how to build it.
            config: hyper-parameters, for what is saved.

        Raises:
            ArtifactError: the parts do not belong together.
        """
        channel = cls(config)
        if data.verify:
            embeddings.check_graph(data.graph)
        if index is None:
            index = _built(embeddings, data.history, index_config)
        elif len(index) != data.history.num_items or index.dim != embeddings.index_dim:
            raise ArtifactError(
                f"the index holds {len(index)} vectors of {index.dim} columns, the model has {data.history.num_items} "
                f"items of {embeddings.index_dim}: build the index again"
            )
        elif data.verify and index.fingerprint != vectors_fingerprint(embeddings.index_vectors):
            raise ArtifactError("the index was built from other item vectors than the model has: build it again")
        channel._parts = _Fitted(embeddings, index, data.history, data.adjacency)
        channel.encode = data.encode
        return channel

    def fit(self, data: FitData) -> Self:
        """Train on a graph and index its items; returns itself.

        Raises:
            GateError: vectors hold values that are no numbers.
        """
        from gnn.graph.fit import fit  # torch is imported for training only

        start = data.start
        embeddings = fit(
            data.graph,
            self.config.model,
            self.config.training,
            features=data.features,
            validation=data.validation,
            start=None if start is None else Parameters.load(start.folder, start.graph),
            context=data.context,
            **data.recipe,
        )
        check_vectors(self.name, embeddings.final, embeddings.index_vectors)
        index = _built(embeddings, data.history, data.index)
        self._parts = _Fitted(embeddings, index, data.history, Adjacency.of(data.graph))
        self.encode = data.encode
        return self

    def _fitted(self) -> _Fitted:
        if self._parts is None:
            raise not_fitted(self.name)
        return self._parts

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Steps, and how popularity and untouched items enter the score; see `recall.contracts.Channel`."""
        facts = self.embeddings.facts
        cold_scale = facts.get("cold_items", {}).get("scale")
        return {"steps": facts["steps"], "beta": facts["beta"], "prior": facts["prior"], "cold_scale": cold_scale}

    @property
    def facts(self) -> Mapping[str, Any]:
        """The training, and the index; see `recall.contracts.Channel`."""
        configs = ("model_config", "training_config")  # they are in the configuration of the run already
        return {
            "training": {name: value for name, value in self.embeddings.facts.items() if name not in configs},
            "index": self.index.facts,
        }

    @property
    def embeddings(self) -> Embeddings:
        """The trained vectors."""
        return self._fitted().embeddings

    @property
    def index(self) -> ItemIndex:
        """The index over the item vectors as they are scored."""
        return self._fitted().index

    @property
    def item_vectors(self) -> FloatArray | None:
        """The trained vectors of the items, float32 (items, dim)."""
        return self.embeddings.items

    @property
    def scored_items(self) -> FloatArray:
        """The vectors with scale and prior; see `recall.contracts.InnerProduct`."""
        return self.index.vectors

    def query_vectors(self, queries: Query) -> FloatArray:
        """The vectors of requests as they are scored; see `recall.contracts.InnerProduct` and `score`."""
        return self.embeddings.query_vectors(self._vectors(queries))

    def score(self, queries: Query) -> Scores:
        """See `recall.contracts.Channel`.

        Raises:
            InvalidDataError, UnknownIdError: an attribute is not there.
            ConfigError: a text came without an encoder, or the model cannot place people by it.
        """
        index = self.index if self._elsewhere is None else self._elsewhere
        return IndexScores(index, self.query_vectors(queries))

    def searched_by(self, index: VectorIndex) -> Self:
        """The same channel, whose searches ask another index of the same vectors, such as one in PostgreSQL.

        Args:
            index: over the vectors of `index`. It is not saved with the channel.

        Raises:
            ArtifactError: it is of other vectors.
        """
        if (len(index), index.dim, index.fingerprint) != (len(self.index), self.index.dim, self.index.fingerprint):
            raise ArtifactError(
                f"the index holds {len(index)} vectors of {index.dim} columns, which are not the {len(self.index)} of "
                f"{self.index.dim} columns of this channel: build it from channel.index.vectors"
            )
        channel = copy(self)
        channel._elsewhere = index
        return channel

    def _vectors(self, queries: Query) -> FloatArray:
        """One vector for each row, zero where there is no evidence."""
        embeddings = self._fitted().embeddings
        trained = self._trained(queries)
        if trained.all():
            return embeddings.users[queries.user]
        vectors = np.zeros((len(queries), embeddings.dim), dtype=np.float32)
        vectors[trained] = embeddings.users[queries.user[trained]]
        others = np.flatnonzero(~trained)
        vectors[others] = self._place(queries.take(others))
        return vectors

    def _trained(self, queries: Query) -> npt.NDArray[np.bool_]:
        """Rows of users with positives and no news of them, bool (n,): they have vectors of their own."""
        liked = self._fitted().history.liked
        trained = np.zeros(len(queries), dtype=bool)
        at = np.flatnonzero((queries.user >= 0) & (queries.history.counts + disliked_items(queries).counts == 0))
        trained[at] = liked.offsets[queries.user[at] + 1] > liked.offsets[queries.user[at]]
        return trained

    def _place(self, queries: Query) -> FloatArray:
        """Vectors of people who were not there in training."""
        fitted = self._fitted()
        result = np.zeros((len(queries), fitted.embeddings.dim), dtype=np.float32)
        rows = self._rows_to_place(queries)
        if len(rows):
            asked = queries.take(rows)
            result[rows] = fold_in_users(fitted.embeddings, fitted.adjacency, **self._evidence(asked))
        return result

    def _rows_to_place(self, queries: Query) -> IntArray:
        """Rows that have anything that people can be placed by, int64."""
        liked = liked_items(queries, self._fitted().history)
        return np.unique(np.concatenate([rows_with(liked), rows_with_text(queries), rows_with_attributes(queries)]))

    def _evidence(self, queries: Query) -> dict[str, Any]:
        """What `gnn.graph.fold_in` places people by, or away from."""
        fitted = self._fitted()
        linear = fitted.embeddings.linear
        if len(rows_with_text(queries)) and linear is not None and linear.text_projection is None:
            raise ConfigError("this model was trained without text features, so a text places nobody: ask without one")
        return {
            "histories": liked_items(queries, fitted.history),
            "against": queries.disliked,
            "text": encode_texts(queries, self.encode, self.name),
            "attributes": queries.attributes if len(rows_with_attributes(queries)) else None,
            "interaction": fitted.history.interaction,
            "against_weight": DISLIKED,
        }

    def attribute(self, queries: Query, items: IntArray) -> list[Shares | NoShares]:
        """Split the scores exactly over the first hops of both ends; see `gnn.graph.shares` and `gnn.graph.fold_in`."""
        fitted = self._fitted()
        parts = fitted.embeddings, fitted.adjacency
        result: list[Shares | NoShares] = [NoShares(0.0, "nothing that the model can read places the person")] * len(
            queries
        )
        trained = np.flatnonzero(self._trained(queries))
        pairs = list(zip(queries.user[trained].tolist(), items[trained].tolist(), strict=True))
        others = np.setdiff1d(self._rows_to_place(queries), trained)
        asked = queries.take(others)
        for rows, answers in (
            (trained, split_scores(*parts, pairs)),
            (others, split_fold_in(*parts, items[others], **self._evidence(asked)) if len(others) else []),
        ):
            for row, answer in zip(rows.tolist(), answers, strict=True):
                result[row] = answer
        return result

    def save(self, folder: Path) -> None:
        """Write vectors, parameters and index into a folder."""
        fitted = self._fitted()
        fitted.embeddings.save(folder)
        if fitted.embeddings.parameters is not None:
            fitted.embeddings.parameters.save(folder)
        fitted.index.save(folder / "index")
        write_header(folder, self.name, {})

    @classmethod
    def load(cls, folder: Path, data: LoadData) -> Self:
        """Read a saved channel.

        Raises:
            ArtifactError: it is damaged, or of another channel, format or graph.
        """
        read_header(folder, cls.name)
        index = ItemIndex.load(folder / "index", verify=False)
        return cls.of(Embeddings.load(folder), data, index=index)


def _built(embeddings: Embeddings, history: InteractionHistory, config: IndexConfig | None) -> ItemIndex:
    """An index over the item vectors; its recall is measured with a sample of the users."""
    users = rows_with(history.liked)
    chosen = np.random.default_rng(0).permutation(len(users))[:_SAMPLED_USERS]
    asked = embeddings.query_vectors(embeddings.users[users[np.sort(chosen)]]) if len(users) else None
    return build_index(embeddings.index_vectors, config, queries=asked)

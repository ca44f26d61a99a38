"""A trained model's vectors behind a nearest-neighbour index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from gnn.graph.embeddings import Embeddings
from gnn.graph.fold_in import fold_in_users
from gnn.graph.shares import split_scores
from kg import KnowledgeGraph, RelationKey
from kg.arrays import IntArray
from kg.errors import ArtifactError, ConfigError, NotFittedError
from kg.io.files import read_json, write_json
from kg.topology.adjacency import Adjacency, Numbering
from recall.channels.arrays import load_arrays, save_arrays
from recall.channels.base import Scores, TextEncode, as_matrix, encode_texts, rows_with_text
from recall.channels.known import Known, rows_with
from recall.channels.scored import IndexScores
from recall.contracts import Candidates, NoShares, Queries, Scored, Shares, TopK
from recall.index.item_index import IndexConfig, ItemIndex, vectors_fingerprint
from recall.index.top_k import check_k

if TYPE_CHECKING:
    from gnn.evaluation.validation import Validation
    from gnn.graph.layer0 import TextVectors
    from gnn.settings import ModelConfig, TrainingConfig
    from gnn.training.context import RunContext

_FORMAT = 1
_SAMPLED_USERS = 4096


class EmbeddingChannel:
    """score(u, i) = z_u . z_i * s_i, searched by inner product.

    A user with positives is asked for by the trained vector. Everybody else is placed by what the request says:
    history, text and attributes (gnn.graph.fold_in); who has none of them gets nothing. A model that is not linear
    cannot place people like that: there a history is the mean of its items' vectors, and text and attributes are
    refused.

    Attributes:
        embeddings: the trained vectors.
        index: over the scaled item vectors.
        encode: makes vectors of the texts in requests, in the space of the model's text features; None: such requests
            are refused.
    """

    name: str = "embedding"

    def __init__(
        self,
        model: ModelConfig | None = None,
        training: TrainingConfig | None = None,
        *,
        features: TextVectors | None = None,
        validation: Validation | None = None,
        steps: int | None = None,
        context: RunContext | None = None,
        index: IndexConfig | None = None,
        encode: TextEncode | None = None,
    ) -> None:
        """Say how `fit` trains; see `gnn.graph.fit.fit`. `of` takes vectors that are trained already.

        Args:
            model: which encoder, and its hyper-parameters; the default is the linear model.
            training: the loss and the schedule.
            features: text vectors of the graph's nodes.
            validation: what to stop on.
            steps: steps to take instead.
            context: device, seed, progress, checkpoints.
            index: how to index the items.
            encode: texts (n,) -> vectors float32 (n, text dim), zero rows for blank texts.
        """
        self.model_config = model
        self.training_config = training
        self.encode = encode
        self._features = features
        self._validation = validation
        self._steps = steps
        self._context = context
        self._index_config = index
        self._parts: tuple[Embeddings, ItemIndex, Known, Adjacency] | None = None

    @classmethod
    def of(
        cls,
        embeddings: Embeddings,
        graph: KnowledgeGraph,
        *,
        index: ItemIndex | None = None,
        index_config: IndexConfig | None = None,
        adjacency: Adjacency | None = None,
        encode: TextEncode | None = None,
        verify: bool = True,
    ) -> EmbeddingChannel:
        """A channel from trained vectors and the graph they were trained on.

        Args:
            embeddings: the vectors.
            graph: their graph.
            index: over `embeddings.index_vectors`; None: it is built.
            index_config: how to build it.
            adjacency: of the graph, if there is one already.
            encode: see the class.
            verify: compare the ids, and the vectors in a given index, with the embeddings.

        Raises:
            ArtifactError: the parts do not belong together.
        """
        channel = cls(index=index_config, encode=encode)
        channel._assemble(embeddings, graph, index=index, adjacency=adjacency, verify=verify)
        return channel

    def fit(self, graph: KnowledgeGraph) -> Self:
        """Train on a graph and index its items; returns itself."""
        from gnn.graph.fit import fit
        from gnn.graph.lightgcn import LightGCNConfig
        from gnn.settings import TrainingConfig

        embeddings = fit(
            graph,
            self.model_config or LightGCNConfig(),
            self.training_config or TrainingConfig(),
            features=self._features,
            validation=self._validation,
            steps=self._steps,
            context=self._context,
        )
        self._assemble(embeddings, graph)
        return self

    def _assemble(
        self,
        embeddings: Embeddings,
        graph: KnowledgeGraph,
        *,
        index: ItemIndex | None = None,
        adjacency: Adjacency | None = None,
        verify: bool = True,
    ) -> None:
        if verify:
            embeddings.check_graph(graph)
        known = Known.of(graph)
        if index is None:
            users = rows_with(known.liked)
            chosen = np.random.default_rng(0).permutation(len(users))[:_SAMPLED_USERS]
            asked = embeddings.query_vectors(embeddings.users[users[np.sort(chosen)]]) if len(users) else None
            index = ItemIndex.build(embeddings.index_vectors, self._index_config, queries=asked)
        elif len(index) != known.num_items or index.dim != embeddings.index_dim:
            raise ArtifactError(
                f"the index holds {len(index)} vectors of {index.dim} columns, the model has {known.num_items} items "
                f"of {embeddings.index_dim}: build the index again"
            )
        elif verify and index.fingerprint != vectors_fingerprint(embeddings.index_vectors):
            raise ArtifactError("the index was built from other item vectors than the model has: build it again")
        self._parts = (embeddings, index, known, Adjacency.of(graph) if adjacency is None else adjacency)

    def _fitted(self) -> tuple[Embeddings, ItemIndex, Known, Adjacency]:
        if self._parts is None:
            raise NotFittedError(
                f"the channel {self.name!r} has not been fitted: call fit(graph), of(...) or load(folder)"
            )
        return self._parts

    @property
    def embeddings(self) -> Embeddings:
        """The trained vectors."""
        return self._fitted()[0]

    @property
    def index(self) -> ItemIndex:
        """The index over the item vectors as they are scored."""
        return self._fitted()[1]

    @property
    def item_vectors(self) -> Scores:
        """Vectors that tell how alike items are, float32 (items, dim)."""
        return self.embeddings.items

    def recommend(
        self, queries: Queries, *, k: int, exclude_seen: bool = True, candidates: IntArray | None = None
    ) -> Candidates:
        """The best k items for each query; see `recall.contracts.Channel`.

        Raises:
            ConfigError: k is below 1, or a text came without an encoder.
            UnknownIdError, InvalidDataError: a user, an item or an attribute is not there.
        """
        embeddings, index, known, _ = self._fitted()
        check_k(k)
        k = min(k, known.num_items)
        known.check(queries)
        items = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        vectors = self._vectors(queries)
        rows = np.flatnonzero(vectors.any(axis=1))
        if len(rows):
            asked = queries if len(rows) == len(queries) else queries.take(rows)
            excluded = known.excluded(asked) if exclude_seen else None
            top = index.search(embeddings.query_vectors(vectors[rows]), k, exclude=excluded, only=candidates)
            items[rows], scores[rows] = top.items, top.scores
        return Candidates.from_top_k(TopK(items, scores), key=queries.key, items=known.items, source=self.name)

    def scored(self, queries: Queries) -> Scored:
        """The scores that `recommend` ranks by; see `recall.contracts.Channel`.

        Raises:
            UnknownIdError, InvalidDataError, ConfigError: as of `recommend`.
        """
        embeddings, index, known, _ = self._fitted()
        known.check(queries)
        return IndexScores(index, embeddings.query_vectors(self._vectors(queries)))

    def _vectors(self, queries: Queries) -> Scores:
        """One vector a row, zero where nothing is known."""
        embeddings, _, known, _ = self._fitted()
        trained = np.zeros(len(queries), dtype=bool)
        at = np.flatnonzero(queries.user >= 0)
        trained[at] = known.liked.offsets[queries.user[at] + 1] > known.liked.offsets[queries.user[at]]
        if trained.all():
            return embeddings.users[queries.user]
        vectors = np.zeros((len(queries), embeddings.dim), dtype=np.float32)
        vectors[trained] = embeddings.users[queries.user[trained]]
        others = np.flatnonzero(~trained)
        vectors[others] = self._place(queries.take(others))
        return vectors

    def _place(self, queries: Queries) -> Scores:
        """Vectors of people whom training has not seen."""
        embeddings, _, _, adjacency = self._fitted()
        with_attributes = [row for row, given in enumerate(queries.attributes or ()) if given]
        rows = np.unique(
            np.concatenate(
                [rows_with(queries.history), rows_with_text(queries), np.array(with_attributes, dtype=np.int64)]
            )
        )
        result = np.zeros((len(queries), embeddings.dim), dtype=np.float32)
        if not len(rows):
            return result
        asked = queries.take(rows)
        if embeddings.linear is None:
            if with_attributes or len(rows_with_text(queries)):
                raise ConfigError("this model is not linear, so text and attributes place nobody: give a history")
            total = as_matrix(asked.history, len(embeddings.items)) @ embeddings.items
            result[rows] = total / asked.history.counts[:, None]
            return result
        if embeddings.linear.text_projection is None and len(rows_with_text(queries)):
            raise ConfigError("this model was trained without text features, so a text places nobody: ask without one")
        text = encode_texts(asked, self.encode, self.name)
        attributes = None if asked.attributes is None or not with_attributes else asked.attributes
        result[rows] = fold_in_users(
            embeddings,
            adjacency,
            histories=asked.history,
            text=text,
            attributes=attributes,
            interaction=self._interaction,
        )
        return result

    @property
    def _interaction(self) -> RelationKey:
        return self._fitted()[2].interaction

    def explain(self, pairs: Sequence[tuple[int, int]]) -> list[Shares | NoShares]:
        """Split the scores exactly over the first hops of both ends; see `gnn.graph.shares`."""
        embeddings, _, _, adjacency = self._fitted()
        return split_scores(embeddings, adjacency, pairs)

    def save(self, folder: Path) -> None:
        """Write vectors, index, adjacency and what users did into a folder."""
        embeddings, index, known, adjacency = self._fitted()
        embeddings.save(folder / "model")
        index.save(folder / "index")
        known.save(folder)
        save_arrays(
            folder / "adjacency.safetensors",
            {name: getattr(adjacency, name) for name in ("offsets", "neighbour", "relation", "forward", "degree")},
        )
        write_json(
            folder / "channel.json",
            {
                "format": _FORMAT,
                "channel": self.name,
                "node_types": list(adjacency.numbering.names),
                "starts": adjacency.numbering.starts.tolist(),
                "relations": [list(key) for key in adjacency.relations],
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved channel; its `encode` is to be set again.

        Raises:
            ArtifactError: it is damaged, or of another channel or format.
        """
        facts = read_json(folder / "channel.json")
        if facts.get("channel") != cls.name or facts.get("format") != _FORMAT:
            raise ArtifactError(f"{folder} holds no {cls.name!r} channel in format {_FORMAT}: fit it again")
        arrays = load_arrays(folder / "adjacency.safetensors")
        adjacency = Adjacency(
            numbering=Numbering(tuple(facts["node_types"]), np.array(facts["starts"], dtype=np.int64)),
            relations=tuple(RelationKey(*key) for key in facts["relations"]),
            **arrays,
        )
        channel = cls()
        embeddings, index = Embeddings.load(folder / "model"), ItemIndex.load(folder / "index")
        if index.fingerprint != vectors_fingerprint(embeddings.index_vectors):
            raise ArtifactError(f"the index in {folder} was built from other item vectors than the model has")
        channel._parts = (embeddings, index, Known.load(folder), adjacency)
        return channel

"""Several interests of a person from many texts: spherical k-means over their vectors, not one blurred mean."""

from __future__ import annotations

from typing import NamedTuple

import faiss
import numpy as np

from gnn.text.features import TextFeatures
from kg import KnowledgeGraph
from kg.arrays import IntArray, RaggedArray
from kg.topology.adjacency import Numbering
from recall.channels.base import unit_rows
from recall.channels.scores import FloatArray

_ROUNDS = 8
_SEED = 0


class Pooled(NamedTuple):
    """Vectors in groups.

    Attributes:
        centres: unit vectors, float32 (groups, dim).
        group: of each vector, int64 (n,).
        counts: vectors of each group, int64 (groups,).
    """

    centres: FloatArray
    group: IntArray
    counts: IntArray


def pool(vectors: FloatArray, most: int) -> Pooled:
    """Group unit vectors; as few as `most` are groups of their own.

    Args:
        vectors: float32 (n, dim), rows of length 1.
        most: groups at most, at least 1.
    """
    if len(vectors) <= most:
        each = np.arange(len(vectors))
        return Pooled(vectors, each, np.ones_like(each))
    means = faiss.Kmeans(
        vectors.shape[1],
        most,
        niter=_ROUNDS,
        seed=_SEED,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=len(vectors),
    )
    means.train(np.ascontiguousarray(vectors), init_centroids=_far_apart(vectors, most))
    _, nearest = means.index.search(np.ascontiguousarray(vectors), 1)
    used, group, counts = np.unique(nearest[:, 0], return_inverse=True, return_counts=True)
    return Pooled(unit_rows(means.centroids[used]), group.astype(np.int64), counts)


def _far_apart(vectors: FloatArray, count: int) -> FloatArray:
    """Some of the vectors to start from: each the one least like those before it (Gonzalez 1985), (count, dim)."""
    chosen = [int(np.argmax(vectors @ vectors.mean(axis=0)))]
    nearest = vectors @ vectors[chosen[0]]
    while len(chosen) < count:
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, vectors @ vectors[chosen[-1]])
    return np.ascontiguousarray(vectors[chosen])


class OwnTexts(NamedTuple):
    """What users wrote themselves, pooled.

    Attributes:
        offsets: of each user's groups in the other two, int64 (users + 1,).
        centres: unit vectors, float32 (groups, dim).
        counts: texts of each group, int64 (groups,).
    """

    offsets: IntArray
    centres: FloatArray
    counts: IntArray

    @classmethod
    def of(cls, graph: KnowledgeGraph, features: TextFeatures, *, most: int) -> OwnTexts:
        """The texts of nodes that users made by what they did, such as tags and reviews, and of the users themselves.

        Args:
            graph: the graph; a relation whose events are of users leads from their items to such nodes.
            features: text vectors of its nodes. Those of each type are centred on their own mean: short texts lie
                elsewhere than long ones, whatever they say.
            most: groups a user.
        """
        numbering, schema = Numbering.of(graph), graph.schema
        users, vectors = [np.zeros(0, dtype=np.int64)], [np.zeros((0, features.dim), dtype=np.float32)]
        rows, own = features.of(numbering, schema.user_type)
        if len(rows):
            users.append(rows)
            vectors.append(unit_rows(own - own.mean(axis=0)))
        for key, table in graph.edges.items():
            written = {key.source, key.target} - {schema.user_type, schema.item_type}
            columns = graph.event_columns(key)
            if columns is None or len(written) != 1:
                continue
            (node_type,) = written
            rows, texts = features.of(numbering, node_type)
            place = np.full(graph.num_nodes(node_type), -1, dtype=np.int64)
            place[rows] = np.arange(len(rows))
            at = place[np.asarray(table["src" if key.source == node_type else "dst"])]
            if len(rows):
                users.append(columns[0][at >= 0])
                vectors.append(unit_rows(texts - texts.mean(axis=0))[at[at >= 0]])
        by_user = RaggedArray.from_grouped(
            np.concatenate(users), np.arange(sum(map(len, users))), num_rows=len(graph.users)
        )
        every = np.concatenate(vectors)
        pooled = [pool(every[by_user[user]], most) for user in range(len(by_user))]
        counts = np.array([len(each.counts) for each in pooled], dtype=np.int64)
        return cls(
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            np.concatenate([np.zeros((0, features.dim), dtype=np.float32), *(each.centres for each in pooled)]),
            np.concatenate([np.zeros(0, dtype=np.int64), *(each.counts for each in pooled)]),
        )

    def of_user(self, user: int) -> tuple[FloatArray, IntArray]:
        """Centres and counts of one user; none of somebody unknown, who is -1."""
        span = slice(self.offsets[user], self.offsets[user + 1]) if user >= 0 else slice(0, 0)
        return self.centres[span], self.counts[span]

"""Recall and time beside Graph Data Science, the peer that a Neo4j user has today, on one database.

The check-ins of gowalla go into the server by `kg.stores.neo4j.write.load`; everybody starts from that database and
ends with the best 20 unseen items of all users. Both sides are tuned on the validation part alone (the grids below) and
then run on training and validation together; test is read once. FastRP's vectors are streamed to the client, where an
exact search ranks all items; the pairs of nodeSimilarity are streamed too, and an item is scored by the sum over the
history. The seen items cost GDS nothing. Its streams of pairs are packed into lists, so that nobody waits for a record
a row.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from scipy.sparse import csr_matrix

from benchmarks import gowalla_data
from benchmarks.gowalla_data import VISITED
from benchmarks.neo4j.run import Context
from gnn.evaluation.held_out import Evaluation, Group, evaluate, user_groups
from gnn.evaluation.ranking import top_items
from gnn.evaluation.validation import Validation
from ingest import GraphBuilder, GraphSettings
from kg import KnowledgeGraph, RaggedArray, Split
from kg.arrays import IntArray
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.write.load import load_into
from recall.channels.base import as_matrix
from recall.channels.rp3beta import RP3Beta, RP3BetaConfig
from recall.channels.spectral import Spectral, SpectralConfig
from recall.channels.walk import Walk
from recall.contracts import FitData
from recall.index.top_k import top_k_sparse
from recall.pipeline import Pipeline
from recall.quality.measure import rank_group

K = 20
TUNING_USERS = 2000
CORES = os.cpu_count() or 1
Vectors = npt.NDArray[np.float32]

WEIGHTS = (
    (0.0, 1.0, 1.0),
    (0.0, 0.5, 1.0, 1.0, 1.0),
    (0.0, 1.0, 1.0, 1.0, 1.0),
    (0.0, 0.0, 1.0, 1.0, 1.0),
    (0.0, 0.0, 0.5, 1.0, 1.0, 1.0),
)
NORMALISATIONS = (-0.25, -0.5, 0.0, 0.25)
SELF_INFLUENCE = (0.0, 0.5)
DIMENSIONS = (512, 1024)
METRICS = ("COSINE", "JACCARD")
NEIGHBOURS = (10, 20, 50, 100)
WALK_ALPHAS = (0.4, 0.5, 0.6)
WALK_BETAS = (0.2, 0.3, 0.4)
WALK_NEIGHBOURS = (200, 400)
FACTORS = (128, 256, 512)
ALPHAS = (0.1, 0.2, 0.3, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class FastRP:
    """A setting of gds.fastRP; `cosine` is how the client compares the vectors."""

    dimension: int
    weights: tuple[float, ...]
    normalisation: float
    self_influence: float
    cosine: bool

    def __str__(self) -> str:
        compared = "cosine" if self.cosine else "dot product"
        weights = ", ".join(f"{weight:g}" for weight in self.weights)
        more = f", self influence {self.self_influence:g}" if self.self_influence else ""
        return f"{self.dimension}, weights {weights}, normalisation {self.normalisation:g}{more}, {compared}"


@dataclass
class Clock:
    """Seconds of the steps from the database to the candidates."""

    seconds: dict[str, float]
    started: float

    @classmethod
    def start(cls) -> Clock:
        return cls({}, time.perf_counter())

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        self.seconds[step] = round(now - self.started, 2)
        self.started = now

    def row(self) -> dict[str, float]:
        return {**{f"{step}_s": value for step, value in self.seconds.items()}, "total_s": sum(self.seconds.values())}


class Peer:
    """Graph Data Science on one database, and what the client needs to understand its node numbers."""

    def __init__(self, store: Neo4jStore, graph: KnowledgeGraph) -> None:
        self.store = store
        self.users, self.items = len(graph.users), len(graph.items)
        self.position = np.zeros(0, dtype=np.int64)
        """Internal id -> position of a user, or of an item behind the users."""
        for label, vocabulary, first in (("User", graph.users, 0), ("Item", graph.items, self.users)):
            (row,) = store.read(f"MATCH (n:`{label}`) RETURN collect(id(n)) AS node, collect(n.id) AS id")
            node = np.array(row["node"])
            if node.max() >= len(self.position):
                self.position = np.concatenate([self.position, np.full(node.max() + 1 - len(self.position), -1)])
            self.position[node] = vocabulary.index(row["id"]) + first

    def project(self, name: str, *, orientation: str = "UNDIRECTED", held: bool = False) -> None:
        """Make the projection `name` of everything; with `held` it knows which relationships are the validation's."""
        if self.store.read("CALL gds.graph.exists($name) YIELD exists RETURN exists", {"name": name})[0]["exists"]:
            self.drop(name)
        visited: dict[str, Any] = {"orientation": orientation}
        if held:
            visited["properties"] = ["held"]
        self.store.read(
            "CALL gds.graph.project($name, ['User', 'Item'], {VISITED: $visited}, {readConcurrency: $cores}) "
            "YIELD nodeCount RETURN nodeCount",
            {"name": name, "visited": visited, "cores": CORES},
        )

    def project_training(self, name: str, **more: Any) -> None:
        """The projection without the validation part."""
        self.project("everything", held=True, **more)
        self.store.read(
            "CALL gds.graph.filter($name, 'everything', '*', 'r.held = 0.0') YIELD nodeCount RETURN nodeCount",
            {"name": name},
        )
        self.drop("everything")

    def drop(self, name: str) -> None:
        self.store.read("CALL gds.graph.drop($name) YIELD graphName RETURN graphName", {"name": name})

    def vectors(self, name: str, setting: FastRP) -> Vectors:
        """FastRP, float32 (users + items, dimension)."""
        result = np.zeros((self.users + self.items, setting.dimension), dtype=np.float32)
        parameters = {
            "name": name,
            "settings": {
                "embeddingDimension": setting.dimension,
                "iterationWeights": list(setting.weights),
                "normalizationStrength": setting.normalisation,
                "nodeSelfInfluence": setting.self_influence,
                "randomSeed": 42,
                "concurrency": CORES,
            },
        }
        query = "CALL gds.fastRP.stream($name, $settings) YIELD nodeId, embedding RETURN nodeId, embedding"
        for node, vector in self._stream(query, parameters):
            result[self.position[node]] = vector
        return result

    def similarities(self, name: str, metric: str, neighbours: int) -> Any:
        """By gds.nodeSimilarity, of the items, CSR (items, items), a row an item's most similar ones."""
        query = (
            "CALL gds.nodeSimilarity.stream($name, {similarityMetric: $metric, topK: $neighbours, concurrency: $cores})"
            " YIELD node1, node2, similarity"
            " RETURN node1, collect(node2) AS others, collect(similarity) AS values"
        )
        rows, columns, values = [], [], []
        parameters = {"name": name, "metric": metric, "neighbours": neighbours, "cores": CORES}
        for node, others, similar in self._stream(query, parameters):
            rows.append(np.full(len(others), self.position[node] - self.users))
            columns.append(self.position[np.array(others)] - self.users)
            values.append(np.array(similar, dtype=np.float32))
        place = np.concatenate(rows), np.concatenate(columns)
        return csr_matrix((np.concatenate(values), place), shape=(self.items, self.items))

    def _stream(self, query: str, parameters: dict[str, Any]) -> Iterator[Sequence[Any]]:
        with self.store.driver.session(database=self.store.database, fetch_size=2000) as session:
            for record in session.run(query, parameters):
                yield record.values()


def rank_by_vectors(vectors: Vectors, users: IntArray, seen: RaggedArray, *, num_users: int, cosine: bool) -> IntArray:
    """The best items of some users, int64 (n, K)."""
    if cosine:
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return top_items(vectors[users], vectors[num_users:], K, seen=seen)


def rank_by_similarity(similar: Any, history: RaggedArray, seen: RaggedArray) -> IntArray:
    """The best items by the sum of the similarities to the history, int64 (n, K)."""
    ranked = [np.zeros((0, K), dtype=np.int64)]
    for start in range(0, len(history), 2048):
        rows = np.arange(start, min(start + 2048, len(history)))
        scores = as_matrix(history.take(rows), similar.shape[0]) @ similar
        ranked.append(top_k_sparse(scores, K, exclude=seen.take(rows)).items)
    return np.concatenate(ranked)


def nearest(similar: Any, count: int) -> Any:
    """Only the most similar `count` of each row."""
    order = np.lexsort((-similar.data, np.repeat(np.arange(similar.shape[0]), np.diff(similar.indptr))))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    kept = place - np.repeat(similar.indptr[:-1], np.diff(similar.indptr)) < count
    result = similar.copy()
    result.data[~kept] = 0
    result.eliminate_zeros()
    return result


@dataclass(frozen=True)
class Task:
    """What is known, and whom to rank for."""

    graph: KnowledgeGraph
    group: Group
    history: RaggedArray

    def measure(self, ranked: IntArray) -> Evaluation:
        """How good lists for the group's users are."""
        interactions = self.graph.interactions
        popularity = np.bincount(interactions.item, minlength=len(self.graph.items))
        return evaluate(ranked, self.group, ks=(K,), popularity=popularity, num_users=len(ranked))


def known_part(graph: KnowledgeGraph, split: Split) -> KnowledgeGraph:
    """What goes into the database: train and valid, the latter marked by the number `held` of each relationship."""
    kept = split.mask("train", "valid")
    table = graph.edges[VISITED].filter(pa.array(kept)).drop_columns(["part", "place"])
    held = split.mask("valid")[kept].astype(np.int64)
    return KnowledgeGraph(graph.schema, graph.nodes, {VISITED: table.append_column("held", pa.array(held))})


def tuning_task(graph: KnowledgeGraph, split: Split) -> Task:
    """A seeded sample of the users with something in the validation part."""
    (group, *_) = user_groups(graph, split, part="valid", seen_parts=("train",))
    chosen = np.sort(np.random.default_rng(0).permutation(len(group))[:TUNING_USERS])
    group = replace(
        group, user=group.user[chosen], **{n: getattr(group, n).take(chosen) for n in ("history", "seen", "truth")}
    )
    view = split.view(graph, "train")
    return Task(view, group, split.positives(graph, "train").take(group.user))


def final_task(graph: KnowledgeGraph, split: Split) -> Task:
    """All users: each has something in the test part."""
    (group, *_) = user_groups(graph, split)
    return Task(split.view(graph, "train", "valid"), group, split.positives(graph, "train", "valid").take(group.user))


class Tuning:
    """Settings tried, and what they reached on validation."""

    def __init__(self, system: str) -> None:
        self.system = system
        self.rows: list[dict[str, Any]] = []
        self.settings: list[Any] = []

    def add(self, setting: Any, evaluation: Evaluation) -> None:
        row = {metric: round(evaluation.mean(metric), 4) for metric in (f"recall@{K}", f"ndcg@{K}")}
        self.rows.append({"system": self.system, "setting": str(setting), **row})
        self.settings.append(setting)
        print(self.rows[-1], flush=True)

    def best(self) -> Any:
        """By NDCG."""
        return self.settings[int(np.argmax([row[f"ndcg@{K}"] for row in self.rows]))]


def tune_fastrp(peer: Peer, task: Task) -> Tuning:
    """One after the other, each with the best so far: weights, normalisation, self influence, dimensions."""
    tuning = Tuning("GDS FastRP")
    peer.project_training("training")

    def attempt(setting: FastRP) -> None:
        vectors = peer.vectors("training", setting)
        for cosine in (True, False):
            ranked = rank_by_vectors(vectors, task.group.user, task.group.seen, num_users=peer.users, cosine=cosine)
            tuning.add(replace(setting, cosine=cosine), task.measure(ranked))

    for weights in WEIGHTS:
        attempt(FastRP(256, weights, NORMALISATIONS[0], 0.0, True))
    for normalisation in NORMALISATIONS[1:]:
        attempt(replace(tuning.best(), normalisation=normalisation))
    for influence in SELF_INFLUENCE[1:]:
        attempt(replace(tuning.best(), self_influence=influence))
    for dimension in DIMENSIONS:
        attempt(replace(tuning.best(), dimension=dimension))
    peer.drop("training")
    return tuning


def tune_similarity(peer: Peer, task: Task) -> Tuning:
    """The metric and the number of neighbours."""
    tuning = Tuning("GDS nodeSimilarity")
    peer.project_training("training", orientation="REVERSE")
    for metric in METRICS:
        similar = peer.similarities("training", metric, max(NEIGHBOURS))
        for neighbours in NEIGHBOURS:
            ranked = rank_by_similarity(nearest(similar, neighbours), task.history, task.group.seen)
            tuning.add((metric, neighbours), task.measure(ranked))
    peer.drop("training")
    return tuning


def tune_spectral(task: Task) -> Tuning:
    """The number of factors and the weight of the low-pass filter."""
    tuning = Tuning("graphrecall spectral (GF-CF)")
    for factors in FACTORS:
        channel = Spectral(SpectralConfig(factors=factors)).fit(FitData.of(task.graph))
        for alpha in ALPHAS:
            channel.config = SpectralConfig(factors=factors, alpha=alpha)
            tuning.add(channel.config, task.measure(candidates(channel, task)))
    return tuning


def tune_rp3beta(task: Task) -> Tuning:
    """The two powers, then the number of neighbours."""
    tuning = Tuning("graphrecall RP3beta")

    def attempt(config: RP3BetaConfig) -> None:
        tuning.add(config, task.measure(candidates(RP3Beta(config).fit(FitData.of(task.graph)), task)))

    for alpha, beta in product(WALK_ALPHAS, WALK_BETAS):
        attempt(RP3BetaConfig(alpha=alpha, beta=beta))
    for neighbours in WALK_NEIGHBOURS:
        attempt(tuning.best().changed(neighbours=neighbours))
    return tuning


def tune_walk(task: Task, validation: Validation) -> Tuning:
    """Powers and weights, as the walk finds them by itself."""
    tuning = Tuning("graphrecall typed walk")
    walk = Walk().fit(FitData.of(task.graph, validation=validation))
    tuning.add(walk.config.changed(weights=walk.weights), task.measure(candidates(walk, task)))
    return tuning


def read_graph(store: Neo4jStore) -> KnowledgeGraph:
    """The database as graphrecall reads it."""
    builder = GraphBuilder(GraphSettings(user="user", item="item"))
    return builder.add_neo4j(store, source={"interactions": [{"type": "VISITED"}]}).build()[0]


def candidates(channel: Any, task: Task) -> IntArray:
    """The channel's best items for the group's users, int64 (n, K)."""
    return rank_group(Pipeline([channel], channel.history), task.group, K, graph=task.graph)


def run(context: Context) -> list[dict[str, Any]]:
    """Load the database, then tune and measure every system on it.

    Returns:
        A row a system: what validation chose, recall and NDCG on test with their intervals over users, and the seconds
        from the database to the candidates of all users: `read_s` (into GDS's projection, or into graphrecall's
        graph), `fit_s` (streaming out of the database included) and `rank_s`.
    """
    if context.data is None:
        raise ValueError("the section gds needs the folder of the data")
    folder = context.data / "gowalla"
    graph = gowalla_data.load(folder)
    split = gowalla_data.random_split(graph)
    tuning, test = tuning_task(graph, split), final_task(graph, split)
    context.facts |= {
        "data": gowalla_data.checksums(folder),
        "split": gowalla_data.RANDOM.model_dump(),
        "tuning_users": TUNING_USERS,
    }
    context.facts["threads"] = {"gds": CORES, "client": torch.get_num_threads()}
    tried: list[dict[str, Any]] = []
    context.facts["tried_on_validation"] = tried
    rows: list[dict[str, Any]] = []

    def keep(system: str, tuned: Tuning, clock: Clock, evaluation: Evaluation) -> None:
        tried.extend(tuned.rows)
        row: dict[str, Any] = {"system": system, "chosen": str(tuned.best()), "users": len(evaluation.user)}
        for metric in (f"recall@{K}", f"ndcg@{K}"):
            row[metric] = evaluation.mean(metric)
            row[f"{metric} interval"] = list(evaluation.interval(metric))
        rows.append({**row, **clock.row()})
        ours = [r for r in rows if r["system"].startswith("graphrecall")]
        peers = [r[f"recall@{K}"] for r in rows if r["system"].startswith("GDS")]
        for row in ours:
            row["times_gds_recall"] = row[f"recall@{K}"] / max(peers) if peers else None
        context.keep(rows)

    with context.open() as store:
        start = time.perf_counter()
        load_into(store, known_part(graph, split))
        context.facts["load_s"] = round(time.perf_counter() - start, 1)
        peer = Peer(store, graph)

        tuned = tune_fastrp(peer, tuning)
        best = tuned.best()
        clock = Clock.start()
        peer.project("all")
        clock.lap("read")
        vectors = peer.vectors("all", best)
        clock.lap("fit")
        ranked = rank_by_vectors(vectors, test.group.user, test.group.seen, num_users=peer.users, cosine=best.cosine)
        clock.lap("rank")
        peer.drop("all")
        keep("GDS FastRP", tuned, clock, test.measure(ranked))

        read_graph(store)  # the server has seen the queries before, as it has those of the peer from its tuning
        validation = Validation(truth=split.positives(graph, "valid"), seen=split.seen(graph, "train"))
        channels: list[tuple[Tuning, Any]] = [
            (tune_rp3beta(tuning), RP3Beta),
            (tune_walk(tuning, validation), Walk),
            (tune_spectral(tuning), Spectral),
        ]
        for tuned, make in channels:
            clock = Clock.start()
            read = read_graph(store)
            clock.lap("read")
            channel = make(tuned.best()).fit(FitData.of(read))
            clock.lap("fit")
            ranked = candidates(channel, replace(test, graph=read))
            clock.lap("rank")
            keep(tuned.system, tuned, clock, replace(test, graph=read).measure(ranked))

        tuned = tune_similarity(peer, tuning)
        metric, neighbours = tuned.best()
        clock = Clock.start()
        peer.project("all", orientation="REVERSE")
        clock.lap("read")
        similar = peer.similarities("all", metric, neighbours)
        clock.lap("fit")
        ranked = rank_by_similarity(similar, test.history, test.group.seen)
        clock.lap("rank")
        peer.drop("all")
        keep("GDS nodeSimilarity", tuned, clock, test.measure(ranked))
    return rows

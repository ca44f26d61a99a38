"""The benchmark beside Graph Data Science: its split and its ranking."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from benchmarks import gowalla_data
from benchmarks.gowalla_data import VISITED
from benchmarks.neo4j.gds import (
    candidates,
    final_task,
    known_part,
    nearest,
    rank_by_similarity,
    rank_by_vectors,
    tuning_task,
)
from benchmarks.neo4j.run import SECTIONS
from kg import RaggedArray
from recall.channels.spectral import Spectral, SpectralConfig
from recall.contracts import FitData, Query
from recall.pipeline import Pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("gowalla")
    both = [random.permutation(60)[:30].tolist() for _ in range(80)]
    for name, part in (("train", slice(0, 20)), ("test", slice(20, 30))):
        lines = [" ".join(map(str, [user, *items[part]])) for user, items in enumerate(both)]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def pairs(lists, graph):
    users = graph.users.ids.to_pylist()
    items = graph.items.ids.to_pylist()
    return {(users[u], items[i]) for u, i in zip(lists.rows().tolist(), lists.values.tolist(), strict=True)}


def test_the_published_split_is_kept_and_validation_comes_out_of_train(folder):
    graph = gowalla_data.load(folder)
    split = gowalla_data.random_split(graph)
    for part, names in (("train", ("train", "valid")), ("test", ("test",))):
        lines = [line.split() for line in (folder / f"{part}.txt").read_text().splitlines()]
        assert pairs(split.positives(graph, *names), graph) == {(u, i) for u, *items in lines for i in items}
    assert 0.05 < split.mask("valid").sum() / split.mask("train", "valid").sum() < 0.15


def test_the_database_gets_no_test_pair_and_knows_which_ones_are_held(folder):
    graph = gowalla_data.load(folder)
    split = gowalla_data.random_split(graph)
    known = known_part(graph, split)
    table = known.edges[VISITED]
    assert table.num_rows == split.mask("train", "valid").sum()
    assert sum(table["held"].to_pylist()) == split.mask("valid").sum()
    held = table.filter(table["held"].to_numpy() == 1)
    valid = split.positives(graph, "valid")
    assert list(zip(held["src"].to_pylist(), held["dst"].to_pylist(), strict=True)) == list(
        zip(valid.rows().tolist(), valid.values.tolist(), strict=True)
    )


def test_tuning_sees_neither_the_truth_nor_the_test(folder):
    graph = gowalla_data.load(folder)
    split = gowalla_data.random_split(graph)
    task = tuning_task(graph, split)
    assert len(task.graph.interactions) == split.mask("train").sum()
    for row, user in enumerate(task.group.user):
        assert not set(task.history[row]) & set(task.group.truth[row])
        assert set(task.group.truth[row]) == set(split.positives(graph, "valid")[user])
    final = final_task(graph, split)
    for row, user in enumerate(final.group.user):
        assert set(final.group.seen[row]) == set(split.seen(graph, "train", "valid")[user])


def test_the_channels_candidates_come_in_the_order_of_the_group(folder):
    graph = gowalla_data.load(folder)
    split = gowalla_data.random_split(graph)
    task = final_task(graph, split)
    channel = Spectral(SpectralConfig(factors=4)).fit(FitData.of(task.graph))
    ranked = candidates(channel, task)
    for row, user in enumerate(task.group.user):
        batch = Pipeline([channel], channel.history).recommend(queries_of(task, row), k=20)
        assert batch.item.tolist() == ranked[row].tolist(), user


def queries_of(task, row):
    return Query.of_users(task.group.user[[row]], task.graph.users, seen=task.group.seen.take(np.array([row])))


def test_vectors_are_ranked_without_what_was_seen():
    random = np.random.default_rng(1)
    vectors = random.normal(size=(5 + 40, 8)).astype(np.float32)
    users = np.array([1, 3])
    seen = RaggedArray.from_pairs(np.array([0, 0, 1]), np.array([2, 7, 39]), num_rows=2)
    for cosine in (False, True):
        ranked = rank_by_vectors(vectors, users, seen, num_users=5, cosine=cosine)
        for row, user in enumerate(users):
            scores = vectors[5:] @ vectors[user]
            if cosine:
                scores = scores / np.linalg.norm(vectors[5:], axis=1)
            scores[seen[row]] = -np.inf
            assert ranked[row].tolist() == np.argsort(-scores)[:20].tolist()


def test_similarities_are_summed_over_the_history():
    random = np.random.default_rng(2)
    dense = np.where(random.random((30, 30)) < 0.5, random.random((30, 30)), 0).astype(np.float32)
    history = RaggedArray.from_pairs(np.array([0, 0, 1]), np.array([4, 9, 29]), num_rows=2)
    ranked = rank_by_similarity(csr_matrix(dense), history, history)
    for row in range(2):
        scores = dense[history[row]].sum(axis=0)
        scores[history[row]] = 0
        expected = [item for item in np.argsort(-scores, kind="stable")[:20] if scores[item] > 0]
        assert [item for item in ranked[row] if item >= 0] == expected


def test_only_the_nearest_stay():
    similar = np.array([[0.1, 0.9, 0.5], [0.0, 0.0, 0.2], [0.3, 0.4, 0.0]], dtype=np.float32)
    two = similar.copy()
    two[0, 0] = 0
    np.testing.assert_array_equal(nearest(csr_matrix(similar), 2).toarray(), two)
    assert nearest(csr_matrix(similar), 1).nnz == 3


def test_every_section_is_a_module_that_runs():
    for name in SECTIONS:
        assert callable(import_module(f"benchmarks.neo4j.{name}").run)

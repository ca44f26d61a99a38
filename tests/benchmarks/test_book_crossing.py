"""Book-Crossing's files as a graph, the split of its labelled pairs, and the whole benchmark on a tiny sample."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import book_crossing, results
from benchmarks.ablations import shuffled
from benchmarks.book_crossing import pair_scores, with_popularity
from benchmarks.book_crossing_data import RATED, around_items
from benchmarks.book_crossing_data import book_crossing as read
from gnn.graph.fit import fit
from gnn.graph.lightgcn import LightGCNConfig
from gnn.settings import TrainingConfig
from kg import RelationKey
from kg.errors import InvalidDataError
from kg.splits import TEST, TRAIN, VALID
from recall.channels import ItemKNN
from recall.contracts import Query
from recall.quality.assess import exact_pipeline, single

ITEMS, USERS, AUTHORS = 60, 80, 9


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Items 0 to 59, authors from 60 on, entities behind the authors from 69 on; two lines of one pair."""
    data = tmp_path_factory.mktemp("data")
    folder = data / "book-crossing"
    folder.mkdir()
    random = np.random.default_rng(0)
    ratings = []
    for user in range(USERS):
        drawn = random.permutation(ITEMS)[: 2 * (1 + user % 7)].tolist()
        ratings += [(user, item, at % 2) for at, item in enumerate(drawn)]
    ratings += [(0, next(i for u, i, label in ratings if u == 0 and label), 0)]
    triples = [(item, 1, ITEMS + item % AUTHORS) for item in range(ITEMS)]
    triples += [(ITEMS + item % AUTHORS, 0, item) for item in range(ITEMS)]
    triples += [(ITEMS + author, 1, ITEMS + AUTHORS + author) for author in range(AUTHORS)]
    (folder / "ratings_final.txt").write_text("".join(f"{u}\t{i}\t{label}\n" for u, i, label in ratings))
    (folder / "kg_final.txt").write_text("".join(f"{h}\t{r}\t{t}\n" for h, r, t in triples))
    (folder / "item_index2entity_id.txt").write_text("".join(f"isbn{i:03}\t{i}\n" for i in range(ITEMS)))
    return data


@pytest.fixture(scope="module")
def source(data):
    return read(data / "book-crossing")


def lines(path):
    return [tuple(map(int, line.split())) for line in path.read_text().splitlines()]


def test_every_line_is_in_the_graph_under_its_ids(data, source) -> None:
    graph = source.graph
    users, items = graph.users.ids.to_pylist(), graph.items.ids.to_pylist()
    rated = graph.edges[RATED]
    found = {(users[u], items[i]) for u, i in zip(rated["src"].to_pylist(), rated["dst"].to_pylist(), strict=True)}
    ratings = lines(data / "book-crossing" / "ratings_final.txt")
    assert found == {(str(u), f"isbn{i:03}") for u, i, label in ratings if label}
    names = {name: graph.vocabulary(name).ids.to_pylist() for name in ("item", "entity")}
    triples = set()
    for key, table in graph.edges.items():
        if key == RATED:
            continue
        for source_at, target_at in zip(table["src"].to_pylist(), table["dst"].to_pylist(), strict=True):
            ends = (names[key.source][source_at], names[key.target][target_at])
            triples.add((ends[0], key.name, ends[1]))

    def name(entity: int) -> str:
        return f"isbn{entity:03}" if entity < ITEMS else str(entity)

    expected = {(name(h), f"r{r}", name(t)) for h, r, t in lines(data / "book-crossing" / "kg_final.txt")}
    assert triples == expected


def test_a_pair_with_both_labels_is_a_positive_once(source) -> None:
    assert source.repeated == 1
    pairs = list(zip(source.user.tolist(), source.item.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert source.label.sum() == len(source.graph.interactions)


def test_split_is_six_two_two_of_all_pairs_and_the_same_for_the_graph(source) -> None:
    split, pairs = source.split(seed=3)
    count = len(pairs.label)
    assert [int((pairs.part == part).sum()) for part in (VALID, TEST)] == [int(count * 0.2)] * 2
    assert 0 < pairs.of(TEST).label.sum() < len(pairs.of(TEST).label)
    liked = source.graph.interactions
    part_of = {(u, i): p for u, i, p in zip(pairs.user.tolist(), pairs.item.tolist(), pairs.part.tolist(), strict=True)}
    assert [part_of[pair] for pair in zip(liked.user.tolist(), liked.item.tolist(), strict=True)] == split.part.tolist()
    again, other = source.split(seed=3)[1], source.split(seed=4)[1]
    assert (again.part == pairs.part).all()
    assert (other.part != pairs.part).any()
    assert set(np.unique(pairs.part)) == {TRAIN, VALID, TEST}


def test_what_lies_around_items_is_all_that_touches_them(source) -> None:
    near = around_items(source.graph)
    assert set(near.edges) == {
        RATED,
        RelationKey("item", "r1", "entity"),
        RelationKey("entity", "r0", "item"),
    }
    assert near.num_nodes("entity") == AUTHORS
    assert near.items.ids.to_pylist() == source.graph.items.ids.to_pylist()


def test_files_of_another_form_are_refused(tmp_path, data) -> None:
    for name in ("ratings_final.txt", "kg_final.txt", "item_index2entity_id.txt"):
        (tmp_path / name).write_bytes((data / "book-crossing" / name).read_bytes())
    (tmp_path / "ratings_final.txt").write_text("0\t1\t1\n0\t70\t0\n")
    with pytest.raises(InvalidDataError, match=r"items of ratings_final.* the first is 70"):
        read(tmp_path)
    (tmp_path / "ratings_final.txt").write_text("0\t1\t5\n")
    with pytest.raises(InvalidDataError, match="neither 0 nor 1"):
        read(tmp_path)
    (tmp_path / "ratings_final.txt").write_text("0\tisbn\t1\n")
    with pytest.raises(InvalidDataError, match="whole numbers"):
        read(tmp_path)


def test_shuffled_knowledge_keeps_all_degrees_and_moves_edges(source) -> None:
    graph, rewired = source.graph, shuffled(source.graph, seed=1)
    for key, table in graph.edges.items():
        other = rewired.edges[key]
        for end in ("src", "dst"):
            assert sorted(table[end].to_pylist()) == sorted(other[end].to_pylist())
    key = RelationKey("item", "r1", "entity")
    assert graph.edges[key]["dst"].to_pylist() != rewired.edges[key]["dst"].to_pylist()
    assert graph.edges[RATED].equals(rewired.edges[RATED])


def test_popularity_in_a_column_is_cosine_plus_a_logarithm(source) -> None:
    graph = source.graph
    trained = fit(graph, LightGCNConfig(dim=8, text=False), TrainingConfig(cold_weight=0.0), steps=2)
    popularity = np.bincount(graph.interactions.item, minlength=len(graph.items))
    pipeline = exact_pipeline(with_popularity(trained, popularity, 0.2), graph)
    users, items = np.array([5, 0, 5, 12]), np.array([3, 9, 59, 0])
    user, item = trained.users[users].astype(np.float64), trained.items[items].astype(np.float64)
    cosine = (user * item).sum(axis=1) / np.linalg.norm(user, axis=1) / np.linalg.norm(item, axis=1)
    expected = cosine + 0.2 * np.log(np.maximum(popularity[items], 1 / 3))
    assert pair_scores(pipeline, users, items, graph) == pytest.approx(expected, abs=1e-5)


def test_pair_scores_are_those_that_lists_are_ranked_by(source) -> None:
    graph = source.graph
    pipeline = single(ItemKNN(), graph)
    batch = pipeline.recommend(Query.of_users(np.arange(USERS), graph.users), k=7, exclude_seen=False)
    assert pair_scores(pipeline, batch.row, batch.item, graph) == pytest.approx(batch.score)


def test_the_whole_benchmark_fills_every_group(data, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(book_crossing, "DRAWS", 20)
    small = {
        name: replace(
            recipe,
            model=recipe.model.changed(dim=8, relations=recipe.model.relations and ("r0", "r1")),
            training=recipe.training.changed(max_steps=3, batch_size=64, negatives=min(recipe.training.negatives, 16)),
        )
        for name, recipe in book_crossing.MODELS.items()
    }
    monkeypatch.setattr(book_crossing, "MODELS", small)
    book_crossing.main(["--data", str(data), "--seeds", "2"])
    result = json.loads((tmp_path / "book_crossing.json").read_text())
    rows = {(row["group"], row["model"]): row for row in result["rows"]}
    for model in (*small, book_crossing.FUSED, "popularity", "item-kNN", "EASE", "RP3beta"):
        row = rows[book_crossing.WITH, model]
        assert row["seeds"] == 2
        for metric in ("recall@20", "ndcg@20", "auc", "auc with popularity", "f1"):
            assert 0 <= row[metric] <= 1, (model, metric)
            assert row[f"{metric} spread"] >= 0
        low, high = row["recall@20 interval"]
        assert low <= row["recall@20"] <= high
        assert rows[book_crossing.ALL, model]["users"] > row["users"]
    assert rows[book_crossing.WITHOUT, "popularity"]["auc"]
    assert rows[book_crossing.ALL, book_crossing.COUNTS]["auc"] > 0.5
    assert "recall@20" in rows[book_crossing.WITH, f"{book_crossing.FULL} minus popularity"]
    assert set(result["data"]) == {
        f"book-crossing/{name}" for name in ("ratings_final.txt", "kg_final.txt", "item_index2entity_id.txt")
    }

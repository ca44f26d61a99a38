"""The sequences as graphs, ranks with equal scores, and defaults taken from other data sets."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import sequences_data, walk, walk_groups
from gnn.evaluation.validation import Validation
from kg import RaggedArray
from kg.errors import InvalidDataError
from recall.channels import Popularity
from recall.contracts import FitData
from recall.pipeline import Pipeline

LINES = ("1 1 2 3 4", "2 2 3 4 5", "3 3 1 5 2", "4 4 2 1 3")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Beauty.txt").write_text("\n".join(LINES) + "\n", encoding="ascii")
    rows = ["item,asin,text,brand,categories", "1,a,soap,OPI,Beauty|Bath", "2,b,oil,Unknown,Beauty", "3,c,wax,,Beauty"]
    (tmp_path / "Beauty_items.csv").write_text("\n".join([*rows, "4,d,gel,OPI,", "5,e,,,"]) + "\n", encoding="utf-8")
    return tmp_path


class TestSequences:
    def test_edges_and_order(self, folder):
        graph = sequences_data.load(folder, "beauty")
        names = graph.items.ids.to_pylist()
        history = FitData.of(graph).history.in_order(np.arange(4))
        assert [[names[i] for i in history[row]] for row in range(4)] == [line.split()[1:] for line in LINES]
        edges = {key.name: table.num_rows for key, table in graph.edges.items()}
        assert edges == {"reviewed": 16, "has_brand": 2, "in_category": 4}
        assert graph.texts("item").to_pylist() == ["soap", "oil", "wax", "gel", ""]

    def test_the_last_two_items_are_held_out(self, folder):
        graph = sequences_data.load(folder, "beauty")
        split, names = sequences_data.leave_one_out(graph), graph.items.ids.to_pylist()
        for part, place in (("valid", -2), ("test", -1)):
            held = split.positives(graph, part)
            assert [[names[i] for i in held[row]] for row in range(4)] == [[line.split()[place]] for line in LINES]

    def test_an_item_without_a_line(self, folder):
        table = (folder / "Beauty_items.csv").read_text(encoding="utf-8").splitlines()
        (folder / "Beauty_items.csv").write_text("\n".join(table[:-1]), encoding="utf-8")
        with pytest.raises(InvalidDataError, match="lacks 1 items of the sequences, the first is 5"):
            sequences_data.load(folder, "beauty")


def problem(folder):
    graph = sequences_data.load(folder, "beauty")
    split = sequences_data.leave_one_out(graph)
    return graph, walk.Problem.of("beauty", graph, split, k=2, refit=False, features=None, data={})


def test_equal_scores_count_at_their_mean_rank(folder):
    graph, part = problem(folder)
    assert isinstance(part.chosen_on, Validation)
    later = RaggedArray.empty(len(part.test))
    pipeline = Pipeline([Popularity().fit(FitData.of(part.final))], FitData.of(part.final).history)
    values = walk._last_item(pipeline, part.test, later, part.final, 2)
    likes = np.bincount(part.final.interactions.item, minlength=len(graph.items))
    for row in range(len(part.test)):
        (target,), seen = part.test.truth[row].tolist(), set(part.test.seen[row].tolist())
        open_ = [item for item in range(len(graph.items)) if item not in seen]
        rank = sum(likes[i] > likes[target] for i in open_) + (sum(likes[i] == likes[target] for i in open_) - 1) / 2
        assert values["recall@2"][row] == (rank < 2)
        assert values["ndcg@2"][row] == pytest.approx(1 / np.log2(rank + 2) if rank < 2 else 0)


def test_defaults_of_the_other_data_sets_are_medians(folder):
    _, part = problem(folder)

    def row(data, decay, strength):
        settings = {"age_decay": decay, "user_end": decay, "relations": None, "seed": 3}
        strengths = {"through_users": 1.0, "brand": strength, "genre": 3 * strength}
        return {"data": data, "model": walk.WALK, "settings": settings, "strengths": strengths}

    rows = [row("toys", 0.5, 1.0), row("movies", 0.7, 2.0), row("gowalla", 0.9, 4.0), row("beauty", 0.1, 9.0)]
    settings, strengths = walk.medians_of_others(part, rows)
    assert settings == {"age_decay": 0.7, "user_end": 0.7}
    assert strengths == {"through_users": 1.0, "relation": 4.0}
    channel = walk.of_others(part, settings, strengths)
    assert channel.config.user_end == 0.7
    assert channel.strengths["has_brand"] == pytest.approx(4.0)
    assert walk.medians_of_others(part, rows[:1]) is None


def test_weights_of_groups_are_compared_on_their_own_users(folder):
    _, part = problem(folder)
    few, everybody = walk_groups.compared(part, trials=0)
    assert few["group"] == "at most 2 likes"  # everybody has as many in the first part
    assert few["users"] == everybody["users"] == 4
    assert few["ndcg@2 difference"] == everybody["ndcg@2 difference"] == 0  # the same users give the same weights

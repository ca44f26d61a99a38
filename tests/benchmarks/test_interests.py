"""The benchmark of text interests on a small graph: who counts as a writer, and the paired differences."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.interests import TEXTS, measured, row, with_tag_texts, writers
from gnn.evaluation.held_out import user_groups
from kg import SplitConfig, split_interactions
from recall.channels import Popularity
from recall.contracts import FitData
from tests.movie_relations import HAS_TAG


@pytest.mark.benchmarks
def test_writers_are_those_with_tags_and_tags_are_texts(movie_graph):
    graph = with_tag_texts(movie_graph())
    assert graph.texts("tag").to_pylist() == graph.vocabulary("tag").ids.to_pylist()
    assert writers(graph).tolist() == np.unique(graph.event_columns(HAS_TAG)[0]).tolist()


@pytest.mark.benchmarks
def test_a_row_has_the_difference_to_the_content_knn(movie_graph):
    graph = movie_graph()
    split = split_interactions(graph, SplitConfig(kind="per_user_time"))
    group = user_groups(graph, split)[0]
    popular = measured(Popularity().fit(FitData.of(split.view(graph, "train"))), group)
    assert len(popular["ndcg"]) == len(group.user)
    worse = {name: values / 2 for name, values in popular.items()}
    at = np.arange(0, len(group.user), 2)
    entry = row({"popularity": popular, "content kNN": worse}, "popularity", "", TEXTS, at)
    assert entry["ndcg@20 above content kNN"] == pytest.approx(popular["ndcg"][at].mean() / 2)
    low, high = entry["ndcg@20 above content kNN interval"]
    assert low <= entry["ndcg@20 above content kNN"] <= high
    assert entry["users"] == len(at)

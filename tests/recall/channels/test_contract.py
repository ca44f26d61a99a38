"""One contract for all channels: each registered kind alone in a pipeline, and three fused."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest

import recall.channels.scores
import recall.index.item_index
import recall.pipeline
from kg import KnowledgeGraph
from kg.arrays import RaggedArray
from kg.errors import ArtifactError, ConfigError, InvalidDataError, NotFittedError, UnknownIdError
from kg.history import InteractionHistory
from kg.topology.adjacency import Adjacency
from recall.channels import channel_class, registered
from recall.channels.arrays import load_arrays
from recall.contracts import CANDIDATE_SCHEMA, FusedShares, LoadData, NoShares, Query, Shares
from recall.pipeline import Pipeline
from tests.movie_relations import GENRE, HAS_TAG, RATED
from tests.recall.channels.making import (
    CASES,
    FUSED,
    ask,
    asking,
    assert_same,
    by_user,
    encode,
    fit_data,
    histories,
    made,
    pair_queries,
    seen_by,
    with_countries,
)


@pytest.fixture(scope="module", params=[*CASES, "fusion"])
def case(request):
    return request.param


@pytest.fixture(scope="module")
def pipeline(case, graph):
    return made(case, graph)


class TestContract:
    def test_at_most_k_unseen_items_ranked_from_1(self, pipeline, graph, everybody):
        seen = seen_by(graph)
        answer = ask(pipeline, everybody, k=7)
        assert answer.table.schema == CANDIDATE_SCHEMA
        assert {source.partition("(")[0] for source in answer.table["source"].to_pylist()} == {pipeline.name}
        rows = by_user(answer)
        assert len(rows) >= len(graph.users) - 1
        for user, found in rows.items():
            items = graph.items.index([item for item, _ in found])
            assert 1 <= len(items) <= 7
            assert len(set(items)) == len(items)
            assert not set(items) & set(seen[int(graph.users.index([user])[0])])
            assert [row["rank"] for row in answer.of(user)] == list(range(1, len(items) + 1))
            order = [(-score, item) for (_, score), item in zip(found, items, strict=True)]
            assert order == sorted(order), "scores descend, equal ones by position"

    def test_a_small_k_is_the_head_of_a_large_one(self, pipeline, everybody):
        small, large = by_user(ask(pipeline, everybody, k=3)), by_user(ask(pipeline, everybody, k=30))
        assert {user: [item for item, _ in found] for user, found in small.items()} == {
            user: [item for item, _ in found[:3]] for user, found in large.items()
        }

    def test_seen_items_on_demand(self, case, pipeline, graph, everybody):
        with_seen = by_user(ask(pipeline, everybody, k=100, exclude_seen=False))
        without = by_user(ask(pipeline, everybody, k=100))
        seen = seen_by(graph)
        some = 0
        for user, found in with_seen.items():
            own = set(graph.items.take(seen[int(graph.users.index([user])[0])]).to_pylist())
            kept = [item for item, _ in found if item not in own]
            assert kept == [item for item, _ in without.get(user, [])]
            some += len(found) - len(kept)
        assert some > 0 or case == "overlooked", "what a user has seen is not overlooked"

    def test_what_was_only_tagged_is_seen_too(self, graph):
        tagged, item = graph.event_columns(HAS_TAG)
        one = tagged[0]
        without = graph.keep_edges({RATED: graph.interactions.user != one})
        seen = InteractionHistory.of(without).seen
        assert seen[one].tolist() == np.unique(item[tagged == one]).tolist()
        other = (one + 1) % len(graph.users)
        assert seen[other].tolist() == seen_by(graph)[other].tolist()

    def test_the_request_can_say_what_is_seen(self, pipeline, graph):
        users = np.arange(5)
        seen = RaggedArray.from_pairs(np.repeat(users, 3), np.tile([0, 1, 2], 5), num_rows=5)
        queries = Query.of_users(users, graph.users, seen=seen)
        full = by_user(ask(pipeline, queries, k=100, exclude_seen=False))
        for user, found in by_user(ask(pipeline, queries, k=100)).items():
            gone = set(graph.items.take(np.array([0, 1, 2])).to_pylist())
            assert [item for item, _ in found] == [item for item, _ in full[user] if item not in gone]

    def test_candidates_filter_and_change_no_order(self, pipeline, graph, everybody):
        allowed = np.array([3, 30, 7, 7, 12, 21, 22, 39])
        full = by_user(ask(pipeline, everybody, k=100))
        names = set(graph.items.take(allowed).to_pylist())
        filtered = by_user(ask(pipeline, everybody, k=100, candidates=allowed))
        for user, found in full.items():
            kept = [pair for pair in found if pair[0] in names]
            assert [item for item, _ in filtered.get(user, [])] == [item for item, _ in kept]
            np.testing.assert_allclose(
                [score for _, score in filtered.get(user, [])], [score for _, score in kept], rtol=1e-5, atol=1e-6
            )

    def test_no_candidates_give_none(self, pipeline, everybody):
        assert len(ask(pipeline, everybody, k=5, candidates=np.zeros(0, dtype=np.int64))) == 0

    def test_somebody_unknown_with_a_history(self, pipeline, graph):
        history = [1, 5, 9, 14]
        queries = histories(graph, history, [2, 3])
        answer = by_user(ask(pipeline, queries, k=10))
        assert set(answer) == {"q0", "q1"}
        assert not {item for item, _ in answer["q0"]} & set(graph.items.take(np.array(history)).to_pylist())

    def test_without_evidence_there_is_nothing_but_what_is_popular(self, pipeline, graph):
        queries = Query(key=["new", "u_last"], user=np.array([-1, len(graph.users) - 1]), history=RaggedArray.empty(2))
        answers_everybody = any(channel.capabilities.everybody for channel in pipeline.channels.values())
        assert len(ask(pipeline, queries, k=5)) == (10 if answers_everybody else 0)

    def test_saved_and_loaded_it_answers_the_same(self, pipeline, graph, everybody, tmp_path):
        data = LoadData(graph=graph, history=pipeline.history, adjacency=Adjacency.of(graph), encode=encode)
        for name, channel in pipeline.channels.items():
            channel.save(tmp_path / name)
            loaded = channel_class(name).load(tmp_path / name, data)
            ours, theirs = (Pipeline([kind], pipeline.history) for kind in (channel, loaded))
            for queries in (everybody, histories(graph, [1, 2], [30])):
                assert ask(theirs, queries, k=10).table.equals(ask(ours, queries, k=10).table)
            (before,), (after,) = (kind.attribute(*pair_queries([(0, 3)])) for kind in (channel, loaded))
            assert type(before) is type(after)
            assert before.score == pytest.approx(after.score, rel=1e-12)
            assert dict(loaded.recipe) == dict(channel.recipe)

    def test_a_saved_channel_holds_no_history_and_no_pickle(self, pipeline, tmp_path):
        for name, channel in pipeline.channels.items():
            channel.save(tmp_path / name)
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {path.suffix for path in files} <= {".json", ".safetensors", ".parquet", ".faiss", ".npy"}
        arrays = {name for path in files if path.suffix == ".safetensors" for name in load_arrays(path)}
        assert not arrays & {"liked_offsets", "liked_values", "seen_offsets", "seen_values", "neighbour"}

    def test_another_channel_is_refused(self, pipeline, graph, tmp_path):
        data = LoadData.of(graph)
        for name, channel in pipeline.channels.items():
            channel.save(tmp_path / name)
            path = tmp_path / name / "channel.json"
            head = json.loads(path.read_text())
            for change in ({"channel": "something else"}, {"format": 1}):
                path.write_text(json.dumps({**head, **change}))
                with pytest.raises(ArtifactError, match="fit it again"):
                    channel_class(name).load(tmp_path / name, data)

    def test_the_order_of_the_rows_changes_nothing(self, pipeline, graph):
        order = np.random.default_rng(0).permutation(len(graph.users))
        straight = ask(pipeline, Query.of_users(np.arange(len(order)), graph.users), k=10)
        shuffled = ask(pipeline, Query.of_users(order, graph.users), k=10)
        names = graph.users.take(order).to_pylist()
        assert list(dict.fromkeys(shuffled.table["user_id"].to_pylist())) == [n for n in names if shuffled.of(n)]
        left, right = by_user(straight), by_user(shuffled)
        assert {u: [i for i, _ in found] for u, found in left.items()} == {
            u: [i for i, _ in found] for u, found in right.items()
        }

    def test_a_row_alone_answers_as_in_the_batch(self, pipeline, graph, everybody):
        batch = by_user(ask(pipeline, everybody, k=10))
        for user in (0, 7, 19):
            name = everybody.key[user]
            alone = by_user(ask(pipeline, everybody.take(np.array([user])), k=10))
            assert [item for item, _ in alone[name]] == [item for item, _ in batch[name]]

    def test_blocks_are_not_seen_from_outside(self, pipeline, everybody, monkeypatch):
        whole = ask(pipeline, everybody, k=10)
        monkeypatch.setattr(recall.pipeline, "BLOCK_SCORES", 90)
        monkeypatch.setattr(recall.channels.scores, "BLOCK_SCORES", 90)
        monkeypatch.setattr(recall.index.item_index, "BLOCK_SCORES", 90)
        assert_same(ask(pipeline, everybody, k=10), whole)

    def test_an_empty_batch(self, pipeline, graph):
        answer = ask(pipeline, Query.of_users(np.zeros(0, dtype=np.int64), graph.users), k=5)
        assert len(answer) == 0
        assert answer.table.schema == CANDIDATE_SCHEMA

    def test_fit_returns_itself(self, case, graph):
        channels = [CASES[name]() for name in (FUSED if case == "fusion" else [case])]
        assert all(channel.fit(fit_data(graph)) is channel for channel in channels)

    def test_fitting_twice_gives_the_same(self, case, graph, pipeline, everybody):
        assert_same(ask(made(case, graph), everybody, k=10), ask(pipeline, everybody, k=10))

    def test_before_fitting_it_says_so(self, case, everybody, tmp_path):
        channel = CASES["spectral" if case == "fusion" else case]()
        for call in (
            lambda: channel.score(everybody),
            lambda: channel.attribute(*pair_queries([(0, 0)])),
            lambda: channel.save(tmp_path),
        ):
            with pytest.raises(NotFittedError, match=r"fit\(data\)"):
                call()

    def test_what_it_declares_is_what_it_does(self, pipeline, graph):
        for channel in pipeline.channels.values():
            declared = channel.capabilities
            assert (channel.item_vectors is not None) == declared.item_vectors
            assert channel.recipe or not declared.trained
            for said, request in (
                (declared.text, asking(text="space")),
                (declared.attributes, asking(attributes={GENRE: np.array([1])})),
                (declared.unknown_people, asking(history=[1, 5])),
            ):
                if said:
                    assert len(ask(Pipeline([channel], pipeline.history), request, k=3)) == 3

    def test_what_does_not_exist_is_refused(self, pipeline, graph, everybody):
        with pytest.raises(ConfigError, match="k = 0"):
            ask(pipeline, everybody, k=0)
        with pytest.raises(UnknownIdError, match="999"):
            ask(
                pipeline,
                Query(key=["x"], user=np.array([999]), history=RaggedArray.empty(1)),
                k=5,
            )
        with pytest.raises(UnknownIdError, match="999"):
            ask(pipeline, histories(graph, [999]), k=5)
        with pytest.raises(InvalidDataError, match="candidates"):
            ask(pipeline, everybody, k=5, candidates=np.array([40]))
        for pair in ((999, 0), (0, 999), (0, -1)):
            with pytest.raises(UnknownIdError):
                pipeline.attribute(*pair_queries([pair]))
        with pytest.raises(InvalidDataError, match="one item for each request"):
            pipeline.attribute(everybody, np.zeros(3, dtype=np.int64))

    def test_shares_add_up_to_what_recommend_returned(self, pipeline, graph, everybody):
        answer = ask(pipeline, everybody, k=5)
        pairs = [
            (int(graph.users.index([row["user_id"]])[0]), int(graph.items.index([row["item_id"]])[0])) for row in answer
        ]
        self.check_splits(pipeline, answer, pipeline.attribute(*pair_queries(pairs)))

    def test_shares_of_unknown_people_add_up_too(self, pipeline, graph):
        asked = {"history": [1, 5, 9, 14]}
        declared = [channel.capabilities for channel in pipeline.channels.values()]
        if all(one.text for one in declared):
            asked["text"] = "winter train"
        if all(one.attributes for one in declared):
            asked["attributes"] = {GENRE: np.array([1])}
        for names in (["history"], list(asked), [name for name in asked if name != "history"]):
            if not names:
                continue
            request = asking(**{name: asked[name] for name in names})
            answer = ask(pipeline, request, k=12, exclude_seen=False)
            items = graph.items.index(answer.table["item_id"].to_pylist())
            splits = pipeline.attribute(request.take(np.zeros(len(items), dtype=np.int64)), items)
            self.check_splits(pipeline, answer, splits)
            first_item = pipeline.history.first_item
            liked = [first_item + item for item in request.history[0].tolist()]
            for _, split, _ in splits:
                if isinstance(split, Shares):
                    assert [share.node for share in split.history] == liked
                    assert len(names) > 1 or names == ["text"] or names == ["attributes"] or split.own == 0

    def test_nothing_to_go_on_says_so(self, pipeline):
        request = Query(key=["new"], user=np.array([-1]), history=RaggedArray.empty(1))
        for channel in pipeline.channels.values():
            (split,) = channel.attribute(request, np.array([3]))
            assert isinstance(split, NoShares)
            assert split.reason

    @staticmethod
    def check_splits(pipeline, answer, splits):
        for row, (source, split, _) in zip(answer, splits, strict=True):
            assert source == pipeline.name
            if isinstance(split, NoShares):
                assert split.reason
                assert split.score == pytest.approx(row["score"], rel=1e-5)
                continue
            assert isinstance(split, Shares)
            shares = [share.value for share in split.history]
            unsplit = split.unsplit if isinstance(split, FusedShares) else 0.0
            size = abs(split.own) + sum(map(abs, shares)) + abs(unsplit)
            assert split.own + math.fsum(shares) + split.prior + unsplit == pytest.approx(split.score, abs=1e-9 * size)
            neighbours = [share.value for share in split.neighbours]
            other = abs(split.item_own) + sum(map(abs, neighbours)) + abs(unsplit)
            assert split.item_own + math.fsum(neighbours) + split.prior + unsplit == pytest.approx(
                split.score, abs=1e-9 * other
            )
            assert split.pairs.shape == (len(shares), len(neighbours))
            assert split.pairs.sum() + sum(split.cross) + split.prior + unsplit == pytest.approx(
                split.score, abs=1e-9 * max(size, other)
            )
            assert split.score == pytest.approx(row["score"], abs=1e-4 * size)

    def test_scores_of_single_items_are_those_it_ranks_by(self, pipeline, graph, everybody):
        for channel in pipeline.channels.values():
            self.check_scores(Pipeline([channel], pipeline.history), channel.score(everybody), graph, everybody)

    @staticmethod
    def check_scores(pipeline, scores, graph, everybody):
        seen = seen_by(graph)
        for options, only in (
            ({}, None),
            ({"exclude": seen}, None),
            ({"only": np.array([2, 3, 30])}, np.array([2, 3, 30])),
        ):
            top = scores.top(12, **options)
            answer = by_user(ask(pipeline, everybody, k=12, exclude_seen="exclude" in options, candidates=only))
            for row, name in enumerate(everybody.key):
                found = answer.get(name, [])
                assert graph.items.take(top.items[row][top.items[row] >= 0]).to_pylist() == [item for item, _ in found]
                np.testing.assert_allclose(top.scores[row][: len(found)], [score for _, score in found], rtol=1e-5)
            np.testing.assert_allclose(
                scores.at(top.items)[top.items >= 0], top.scores[top.items >= 0], rtol=1e-5, atol=1e-6
            )
        everything = np.tile(np.append(np.arange(len(graph.items)), -1), (len(everybody), 1))
        full = scores.top(len(graph.items))
        expected = np.zeros(everything.shape)
        row, place = np.nonzero(full.items >= 0)
        expected[row, full.items[row, place]] = full.scores[row, place]
        np.testing.assert_allclose(scores.at(everything), expected, rtol=1e-5, atol=1e-6)

    def test_any_id_survives(self, case, movie_graph):
        names = ["a b", "ünïcödé", "'; DROP", "", "1", "1.0", "\U0001f3ac", "m\tx", "x" * 300]
        plain = movie_graph(users=12, movies=9, ratings=5, seed=3)
        movies = plain.nodes["movie"].set_column(0, "id", pa.array(names))
        users = plain.nodes["user"].set_column(0, "id", pa.array([f"user {n}/ß" for n in range(12)]))
        odd = KnowledgeGraph(plain.schema, {**plain.nodes, "movie": movies, "user": users}, plain.edges)
        answer = ask(made(case, with_countries(odd)), Query.of_users(np.arange(12), odd.users), k=3)
        assert len(answer)
        assert set(answer.table["item_id"].to_pylist()) <= set(names)
        assert set(answer.table["user_id"].to_pylist()) <= set(users["id"].to_pylist())


def test_every_registered_channel_is_in_the_contract():
    assert {type(make()) for make in CASES.values()} == set(registered().values())

"""The Recommender: external ids in, candidates out."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recall
import recall.serve.answers
from kg.errors import ConfigError, UnknownIdError
from recall.channels import ContentKNN, ItemKNN, Popularity
from recall.contracts import CANDIDATE_SCHEMA, SIMILAR_SCHEMA, Candidates, FitData
from recall.pipeline import Pipeline
from recall.serve.recommender import Recommender
from tests.recall.channels.making import text_features
from tests.recall.serve.making import items, pipeline_of, seen


class TestRecommend:
    def test_the_best_unseen_items_by_the_formula(self, recommender, graph, embeddings):
        answer = recommender.recommend(["u4"], k=5)
        (user,) = graph.users.index(["u4"])
        scores = embeddings.users[user].astype("f8") @ embeddings.scaled_items.T.astype("f8")
        names = graph.items.ids.to_pylist()
        expected = [names[i] for i in np.argsort(-scores) if names[i] not in seen(graph, "u4")][:5]
        assert items(answer) == expected
        assert answer.table["rank"].to_pylist() == [1, 2, 3, 4, 5]
        assert answer.table["source"].to_pylist() == ["lightgcn"] * 5

    def test_users_come_in_the_order_asked_and_once(self, recommender):
        answer = recommender.recommend(["u7", "u9", "u2", "u7"], k=2)
        assert answer.table["user_id"].to_pylist() == ["u7", "u7", "u9", "u9", "u2", "u2"]

    def test_a_user_without_positives_gets_popular_unseen_items(self, recommender, graph):
        answer = recommender.recommend(["u9"], k=6)
        assert set(answer.table["source"].to_pylist()) == {"popularity"}
        assert not set(items(answer)) & seen(graph, "u9")
        popular = Recommender(graph, Pipeline.of(graph, [Popularity().fit(FitData.of(graph))]))
        assert items(answer) == items(popular.recommend(["u9"], k=6))

    def test_unknown_users(self, recommender):
        with pytest.raises(UnknownIdError, match=r"'nobody'.*on_unknown=.popular"):
            recommender.recommend(["u1", "nobody"])
        skipped = recommender.recommend(["nobody", "u1"], k=2, on_unknown="skip")
        assert set(skipped.table["user_id"].to_pylist()) == {"u1"}
        popular = recommender.recommend(["nobody", "u1"], k=2, on_unknown="popular").table.to_pylist()
        assert [(row["user_id"], row["source"]) for row in popular] == [
            ("nobody", "popularity"),
            ("nobody", "popularity"),
            ("u1", "lightgcn"),
            ("u1", "lightgcn"),
        ]
        assert len(recommender.recommend(["nobody"], on_unknown="skip")) == 0
        with pytest.raises(ConfigError, match="on_unknown = 'ignore'"):
            recommender.recommend(["u1"], on_unknown="ignore")

    def test_candidates_and_seen(self, recommender, graph):
        allowed = ["m3", "m11", "m20", "m21", "m30"]
        answer = recommender.recommend(["u1", "u9"], k=5, candidates=allowed)
        assert set(items(answer)) <= set(allowed) - (seen(graph, "u1") & seen(graph, "u9"))
        assert len(recommender.recommend(["u1"], k=100, exclude_seen=False)) == len(graph.items)
        with pytest.raises(UnknownIdError, match="'m999'"):
            recommender.recommend(["u1"], candidates=["m999"])

    @pytest.mark.parametrize("rule", ["skip", "popular"])
    def test_unknown_candidates_are_left_out_where_the_rule_says_so(self, recommender, rule):
        allowed = ["m3", "m999", "m11"]
        answer = recommender.recommend(["u1"], k=5, candidates=allowed, on_unknown=rule, exclude_seen=False)
        assert set(items(answer)) == {"m3", "m11"}
        assert not len(recommender.recommend(["u1"], candidates=["m999"], on_unknown=rule))
        everybody = recommender.recommend_all(k=5, candidates=allowed, on_unknown="skip", exclude_seen=False)
        assert set(items(everybody)) == {"m3", "m11"}
        person = recommender.recommend_for(history=["m1"], candidates=allowed, on_unknown="skip")
        assert set(items(person)) == {"m3", "m11"}

    def test_titles_on_request(self, recommender):
        answer = recommender.recommend(["u1", "u9"], k=3, titles=True)
        assert answer.table.column_names == [*CANDIDATE_SCHEMA.names, "title"]
        assert [row["title"] for row in answer] == [recommender.title(row["item_id"]) for row in answer]

    def test_blanks_around_ids_are_no_part_of_them(self, recommender):
        plain = recommender.recommend(["u1", "u4"], k=3, candidates=["m3", "m11", "m20"])
        asked = recommender.recommend([" u1", "u4\n", "u1"], k=3, candidates=[" m3 ", "m11", "\tm20"])
        assert asked.table.equals(plain.table)
        assert recommender.similar([" m3 "], k=2).table.equals(recommender.similar(["m3"], k=2).table)
        assert recommender.explain([(" u1", "m3 ")])[0].to_json() == recommender.explain([("u1", "m3")])[0].to_json()
        assert recommender.title(" m0 ") == recommender.title("m0")
        assert recommender.explain_for([" m3"], history=["m1"])[0].item_id == "m3"
        assert items(recommender.recommend_for(history=["m1 "])) == items(recommender.recommend_for(history=["m1"]))
        with pytest.raises(UnknownIdError, match="' u1 1'"):
            recommender.recommend([" u1 1"])

    @pytest.mark.parametrize("broken", ["u\ud800", "\udfff"])
    def test_half_a_character_is_no_id(self, recommender, broken):
        for ask in (
            lambda: recommender.recommend([broken], on_unknown="popular"),
            lambda: recommender.recommend(["u1"], candidates=[broken]),
            lambda: recommender.recommend_for(history=[broken]),
            lambda: recommender.explain([("u1", broken)]),
            lambda: recommender.title(broken),
        ):
            with pytest.raises(ConfigError, match="is no text"):
                ask()

    def test_mistakes_are_named(self, recommender, tmp_path):
        with pytest.raises(ConfigError, match=r"write \['u1'\]"):
            recommender.recommend("u1")
        with pytest.raises(ConfigError, match="write '1'"):
            recommender.recommend([1])
        with pytest.raises(ConfigError, match="user_ids = 1 must be a list"):
            recommender.recommend(1)
        for k in (0, -1, 2.5, "5", True, None):
            with pytest.raises(ConfigError, match=f"k = {k!r} must be"):
                recommender.recommend(["u1"], k=k)
            with pytest.raises(ConfigError, match=f"k = {k!r} must be"):
                recommender.similar(["m1"], k=k)
        for out in (tmp_path, ""):
            with pytest.raises(ConfigError, match="name a file in it"):
                recommender.recommend_all(out=out)

    def test_more_items_than_there_are(self, recommender, graph):
        everything = 10**12
        assert len(recommender.recommend(["u1"], k=everything, exclude_seen=False)) == len(graph.items)
        assert len(recommender.recommend_for(history=["m1"], k=everything)) == len(graph.items) - 1
        assert len(recommender.similar(["m1"], k=everything)) < len(graph.items)
        popular = recommender.recommend(["nobody"], k=everything, on_unknown="popular")
        assert len(popular) == len(graph.items)

    def test_ids_as_arrow_arrays(self, recommender):
        ids = pa.array(["u1", "u4"])
        assert recommender.recommend(ids).table.equals(recommender.recommend(["u1", "u4"]).table)
        history = pa.array([["m1"], ["m2", "m3"]])
        many = recommender.recommend_for(history=history).table
        assert many.equals(recommender.recommend_for(history=[["m1"], ["m2", "m3"]]).table)

    def test_nobody_asked(self, recommender):
        answer = recommender.recommend([])
        assert len(answer) == 0
        assert answer.table.schema == CANDIDATE_SCHEMA

    def test_works_with_any_channel(self, graph):
        made = Recommender(graph, Pipeline.of(graph, [ItemKNN().fit(FitData.of(graph))]))
        assert set(made.recommend(["u1", "u9"], k=3).table["source"].to_pylist()) == {"item_knn", "popularity"}
        similar = made.similar(["m1", "m9"], k=4)
        assert [row["rank"] for row in similar.of("m9")] == [1, 2, 3, 4]
        for item in ("m1", "m9"):
            alone = made.recommend_for(history=[[item]], k=4).table
            assert [row["similar_id"] for row in similar.of(item)] == alone["item_id"].to_pylist()
            assert [row["score"] for row in similar.of(item)] == alone["score"].to_pylist()
        with pytest.raises(ConfigError, match="'walk' is no channel of this pipeline; there are item_knn"):
            made.similar(["m1"], by="walk")
        popular = Recommender(graph, Pipeline.of(graph, [Popularity().fit(FitData.of(graph))]))
        with pytest.raises(ConfigError, match="knows no similar items"):
            popular.similar(["m1"])


class TestRecommendAll:
    def test_in_memory_and_to_parquet_the_same(self, recommender, graph, tmp_path, monkeypatch):
        whole = recommender.recommend_all(k=4)
        assert whole.table["user_id"].to_pylist() == [name for name in graph.users.ids.to_pylist() for _ in range(4)]
        monkeypatch.setattr(recall.serve.answers, "_BLOCK_USERS", 7)
        rows = recommender.recommend_all(k=4, out=tmp_path / "deep" / "candidates.parquet")
        written = pq.read_table(tmp_path / "deep" / "candidates.parquet")
        assert rows == len(whole) == written.num_rows
        assert written.equals(whole.table)
        assert whole.of("u4") == recommender.recommend(["u4"], k=4).of("u4")

    def test_a_failure_leaves_the_old_file(self, recommender, tmp_path, monkeypatch):
        out = tmp_path / "candidates.parquet"
        recommender.recommend_all(k=1, out=out)
        before = out.read_bytes()
        monkeypatch.setattr(recall.serve.answers, "_BLOCK_USERS", 10)
        answers = iter([Candidates.concat([]), OSError("the disk is gone")])

        def fail(*args, **options):
            if isinstance(answer := next(answers), OSError):
                raise answer
            return answer

        monkeypatch.setattr(recommender, "_answer", fail)
        with pytest.raises(OSError, match="gone"):
            recommender.recommend_all(k=2, out=out)
        assert out.read_bytes() == before
        assert list(tmp_path.iterdir()) == [out]


class TestSimilar:
    def test_by_cosine_without_itself(self, recommender, graph, embeddings):
        answer = recommender.similar(["m3", "m11"], k=6)
        unit = embeddings.items / np.linalg.norm(embeddings.items, axis=1, keepdims=True)
        names = graph.items.ids.to_pylist()
        for name in ("m3", "m11"):
            cosine = unit @ unit[names.index(name)]
            expected = [names[i] for i in np.argsort(-cosine) if names[i] != name][:6]
            found = answer.of(name)
            assert [row["similar_id"] for row in found] == expected
            assert [row["rank"] for row in found] == [1, 2, 3, 4, 5, 6]
            assert found[0]["score"] == pytest.approx(np.sort(cosine)[-2], rel=1e-5)
        assert answer.table.schema == SIMILAR_SCHEMA
        titled = recommender.similar(["m3"], k=2, titles=True)
        assert [row["title"] for row in titled] == [recommender.title(row["similar_id"]) for row in titled]

    def test_zero_vectors_are_like_nothing(self, graph, embeddings):
        vectors = embeddings.items.copy()
        vectors[5:8] = 0
        pipeline = Pipeline.of(graph, [ItemKNN().fit(FitData.of(graph))])
        made = Recommender(graph, pipeline, item_vectors=vectors)
        blank, other = graph.items.take(np.array([5, 0])).to_pylist()
        answer = made.similar([blank, other], k=100)
        assert answer.of(blank) == []
        assert len(answer.of(other)) == len(graph.items) - 4

    def test_unknown_items(self, recommender):
        with pytest.raises(UnknownIdError, match="'m999'"):
            recommender.similar(["m999"])
        assert recommender.similar(["m999", "m1"], k=2, on_unknown="skip").table["item_id"].to_pylist() == ["m1"] * 2


class TestExplain:
    def test_the_score_is_the_one_recommended(self, recommender):
        for row in recommender.recommend(["u4", "u9"], k=3):
            (explanation,) = recommender.explain([(row["user_id"], row["item_id"])])
            assert (explanation.user_id, explanation.item_id) == (row["user_id"], row["item_id"])
            assert explanation.source == row["source"]
            size = sum(abs(reason.share) for reason in explanation.history)
            assert explanation.score == pytest.approx(row["score"], abs=1e-4 * size)
            assert (explanation.reason is not None) == (row["source"] == "popularity")

    @pytest.mark.parametrize(
        "pairs", ["u1", 5, None, ("u1", "m1"), [("u1",)], [("u1", "m1", "m2")], [None], [("u1", 1)]]
    )
    def test_what_is_no_pair_is_told(self, recommender, pairs):
        with pytest.raises(ConfigError, match=r"\[\('u1', 'm1'\)\]"):
            recommender.explain(pairs)

    def test_pairs_keep_their_order_when_some_are_popular(self, recommender):
        pairs = [("u9", "m1"), ("u4", "m2"), ("u9", "m3"), ("u4", "m1")]
        found = recommender.explain(pairs)
        assert [(one.user_id, one.item_id) for one in found] == pairs
        assert [one.source for one in found] == ["popularity", "lightgcn", "popularity", "lightgcn"]
        assert recommender.explain([]) == []

    def test_titles(self, recommender, graph):
        assert recommender.title("m0") == graph.title("movie", int(graph.items.index(["m0"])[0]))
        with pytest.raises(UnknownIdError, match="'m999'"):
            recommender.title("m999")


class TestWarmUp:
    def test_what_the_first_requests_need_is_there(self, graph, embeddings):
        made = Recommender(graph, pipeline_of(graph, embeddings))
        assert made.warm_up(text="") is made
        assert {"_explainer", "_nearest"} <= set(vars(made))
        without = Recommender(graph, Pipeline.of(graph, [ItemKNN().fit(FitData.of(graph))]))
        assert without.warm_up() is without

    def test_the_text_model_is_asked_where_a_channel_reads_texts(self, graph):
        asked = []

        def encode(texts):
            asked.extend(texts)
            return np.ones((len(texts), features.dim), dtype=np.float32)

        features = text_features(graph)
        channel = ContentKNN().fit(FitData.of(graph, features=features, encode=encode))
        Recommender(graph, Pipeline.of(graph, [channel])).warm_up()
        assert asked == ["warm-up"]


class TestShared:
    def test_threads_get_what_one_gets(self, graph, embeddings):
        ids = graph.users.ids.to_pylist()
        calls = [
            *(lambda made, i=i: made.recommend([i], k=7).table for i in ids),
            *(lambda made, i=i: made.recommend_for(history=[f"m{i}"], k=7).table for i in range(20)),
            *(lambda made, i=i: made.similar([f"m{i}"], k=7).table for i in range(20)),
            *(lambda made, i=i: made.explain([(ids[i], "m3")])[0].score for i in range(10)),
        ]
        alone = Recommender(graph, pipeline_of(graph, embeddings))
        expected = [call(alone) for call in calls]
        shared = Recommender(graph, pipeline_of(graph, embeddings))  # nothing lazy has happened yet
        start = threading.Barrier(8)

        def work(number):
            start.wait()
            order = np.random.default_rng(number).permutation(len(calls))
            return {at: calls[at](shared) for at in order}

        with ThreadPoolExecutor(8) as pool:
            for answers in pool.map(work, range(8)):
                for at, answer in answers.items():
                    assert answer == expected[at]

    def test_exported_at_the_top(self):
        assert recall.Recommender is Recommender
        assert recall.Candidates is Candidates
        assert recall.Pipeline is Pipeline
        assert [name for name in recall.__all__ if getattr(recall, name).__name__ != name] == []
        with pytest.raises(AttributeError, match="Recomender"):
            recall.Recomender  # noqa: B018

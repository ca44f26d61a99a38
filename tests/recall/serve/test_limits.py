"""What a request may be limited to: exclusions, candidates, filters, k and context, by external ids."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kg.errors import ConfigError, UnknownIdError
from recall import ItemSet, where
from recall.channels import Popularity
from recall.contracts import FitData
from recall.pipeline import Pipeline
from recall.serve.recommender import Recommender
from tests.recall.serve.making import items


@pytest.fixture(scope="module")
def many(movie_graph):
    """A recommender with more items than an exclusion that is skipped after the search."""
    graph = movie_graph(movies=900, users=12, ratings=20)
    return Recommender(graph, Pipeline.of(graph, [Popularity().fit(FitData.of(graph))]))


def year_of(graph):
    movies = graph.nodes["movie"]
    return dict(zip(movies["id"].to_pylist(), movies["year"].to_pylist(), strict=True))


class TestExclude:
    def test_it_comes_on_top_of_what_is_seen(self, recommender):
        first = items(recommender.recommend(["u1"], k=3))
        after = items(recommender.recommend(["u1"], k=40, exclude=first))
        assert after == items(recommender.recommend(["u1"], k=40))[3:]
        with_seen = items(recommender.recommend(["u1"], k=40, exclude=first, exclude_seen=False))
        assert set(with_seen) == set(recommender.graph.items.ids.to_pylist()) - set(first)

    def test_each_user_has_a_list(self, recommender):
        best = {user: items(recommender.recommend([user], k=2)) for user in ("u1", "u2")}
        answer = recommender.recommend(["u1", "u2", "u3"], k=5, exclude={**best, "u_nobody": ["m1"]})
        for user in ("u1", "u2", "u3"):
            whole = items(recommender.recommend([user], k=7))
            expected = [item for item in whole if item not in best.get(user, [])][:5]
            assert [row["item_id"] for row in answer.of(user)] == expected

    def test_each_person_has_a_list(self, recommender):
        alone = items(recommender.recommend_for(history=["m1"], k=3))
        together = recommender.recommend_for(history=[["m1"], ["m1"]], k=3, exclude=[alone[:1], []])
        assert [row["item_id"] for row in together.of("0")][:2] == alone[1:]
        assert [row["item_id"] for row in together.of("1")] == alone

    def test_a_long_list_answers_as_a_short_one(self, many):
        ids = many.graph.items.ids.to_pylist()
        whole = items(many.recommend(["u1"], k=900))
        for count in (0, 1, 256, 257, 880, 900):
            left_out = set(np.random.default_rng(count).permutation(ids)[:count].tolist())
            expected = [item for item in whole if item not in left_out]
            for given in (left_out, sorted(left_out), pa.array(sorted(left_out), type=pa.string()), ItemSet(left_out)):
                assert items(many.recommend(["u1"], k=900, exclude=given)) == expected
            assert items(many.recommend(["u1"], k=900, exclude={"u1": left_out})) == expected
            assert [row["item_id"] for row in many.recommend_all(k=900, exclude=left_out).of("u1")] == expected


class TestItemSet:
    def test_it_is_looked_up_once_for_a_graph(self, recommender, graph, embeddings, many, monkeypatch):
        chosen = ItemSet(["m1", "m2", " m3"])
        without = items(recommender.recommend(["u1"], k=40, exclude=chosen))
        assert not set(without) & {"m1", "m2", "m3"}
        looked_up = []
        index = type(graph.items).index
        monkeypatch.setattr(
            type(graph.items), "index", lambda self, *a, **b: looked_up.append(a) or index(self, *a, **b)
        )
        assert items(recommender.recommend(["u1"], k=40, exclude=chosen)) == without
        assert [ids for (ids,) in looked_up] == [["u1"]]
        assert set(items(many.recommend(["u1"], k=900, candidates=chosen))) <= {"m1", "m2", "m3"}

    def test_unknown_ids_follow_the_rule_each_time(self, recommender):
        chosen = ItemSet(["m1", "m_none"])
        for _ in range(2):
            with pytest.raises(UnknownIdError, match="'m_none'"):
                recommender.recommend(["u1"], exclude=chosen)
            assert "m1" not in items(recommender.recommend(["u1"], k=40, exclude=chosen, on_unknown="skip"))

    def test_what_it_cannot_hold(self):
        for wrong in ("m1", 5, [1], ["\ud800"]):
            with pytest.raises(ConfigError, match="the set of items"):
                ItemSet(wrong)
        assert len(ItemSet([])) == 0


class TestCandidates:
    def test_each_user_has_a_list(self, recommender):
        whole = {user: items(recommender.recommend([user], k=40)) for user in ("u1", "u2")}
        wanted = {"u1": ["m1", "m5", "m7", "m9"], "u2": ["m2"], "u3": []}
        answer = recommender.recommend(["u1", "u2", "u3"], k=40, candidates=wanted)
        for user, ranked in whole.items():
            assert [row["item_id"] for row in answer.of(user)] == [item for item in ranked if item in wanted[user]]
        assert answer.of("u3") == []

    def test_every_user_needs_one(self, recommender):
        with pytest.raises(ConfigError, match="candidates has no list for 'u2'"):
            recommender.recommend(["u1", "u2"], candidates={"u1": ["m1"]})
        with pytest.raises(ConfigError, match="exclude has 1 lists for 2 requests"):
            recommender.recommend_for(history=[["m1"], ["m2"]], exclude=[["m1"]])


class TestUnknownIds:
    """One rule for users, items, candidates, exclusions and names in filters."""

    @pytest.mark.parametrize("limit", ["exclude", "candidates"])
    @pytest.mark.parametrize("each", [False, True])
    def test_of_items(self, recommender, limit, each):
        ids = ["m1", "m_none", "m2"]
        given = {"u1": ids} if each else ids
        with pytest.raises(UnknownIdError, match=r"unknown movie id: 'm_none'.*\"skip\""):
            recommender.recommend(["u1"], **{limit: given})
        known = {"u1": ["m1", "m2"]} if each else ["m1", "m2"]
        expected = items(recommender.recommend(["u1"], **{limit: known}))
        for rule in ("skip", "popular"):
            assert items(recommender.recommend(["u1"], on_unknown=rule, **{limit: given})) == expected

    def test_mixed_with_unknown_users(self, recommender):
        answer = recommender.recommend(
            ["u1", "u_none"],
            k=4,
            exclude={"u_none": ["m1", "m_none"], "u1": ["m2"]},
            filter='genre in ["Drama", "Dramma"]',
            on_unknown="popular",
        )
        assert {row["source"] for row in answer.of("u_none")} == {"popularity"}
        assert "m1" not in [row["item_id"] for row in answer.of("u_none")]

    def test_of_names_in_filters(self, recommender):
        with pytest.raises(UnknownIdError, match="nearest: 'Drama'"):
            recommender.recommend(["u1"], filter='genre "Dramma"')
        assert len(recommender.recommend(["u1"], filter='genre "Dramma"', on_unknown="skip")) == 0
        with pytest.raises(UnknownIdError, match="unknown movie id"):
            recommender.recommend_all(exclude=["m_none"])
        assert len(recommender.recommend_all(k=1, exclude=["m_none"], on_unknown="skip")) > 0


class TestFilter:
    def test_it_keeps_the_order(self, recommender, graph):
        years = year_of(graph)
        whole = items(recommender.recommend(["u1"], k=40))
        expected = [item for item in whole if years[item] >= 1990]
        for given in ("year >= 1990", where("year") >= 1990):
            assert items(recommender.recommend(["u1"], k=40, filter=given)) == expected
            assert items(recommender.recommend_for(history=["m1"], k=40, filter=given)) != expected
            assert [row["item_id"] for row in recommender.recommend_all(k=40, filter=given).of("u1")] == expected
        assert 0 < len(expected) < len(whole)

    def test_with_candidates_and_exclusions(self, recommender, graph):
        years = year_of(graph)
        chosen = [f"m{number}" for number in range(20)]
        answer = items(
            recommender.recommend(["u1"], k=40, filter="year < 1990", candidates=chosen, exclude=["m3", "m5"])
        )
        whole = items(recommender.recommend(["u1"], k=40))
        assert answer == [i for i in whole if i in chosen and i not in ("m3", "m5") and years[i] < 1990]

    def test_what_excludes_everything_gives_nothing(self, recommender):
        for user in ("u1", "u9"):  # u9 likes nothing, and gets what is popular
            assert len(recommender.recommend([user], filter="year > 3000")) == 0
        assert len(recommender.recommend_for(history=["m1"], filter="year > 3000 and year < 2000")) == 0
        assert len(recommender.recommend_all(filter="year > 3000")) == 0

    def test_the_most_liked_items_pass_it_too(self, recommender, graph):
        years = year_of(graph)
        answer = recommender.recommend(["u9"], k=40, filter="year >= 1990")
        assert {row["source"] for row in answer} == {"popularity"}
        assert all(years[item] >= 1990 for item in items(answer))

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ("yaer > 3", "did you mean 'year'"),
            ("year > 'x'", "holds numbers"),
            ("year >", "ends too early"),
            ("", "the filter is empty"),
            (5, "is a text or made by where|made by where"),
            (["year > 3"], "made by where"),
        ],
    )
    def test_mistakes_are_named(self, recommender, given, message):
        for ask in (
            lambda: recommender.recommend(["u1"], filter=given),
            lambda: recommender.recommend_for(history=["m1"], filter=given),
            lambda: recommender.recommend_all(filter=given),
        ):
            with pytest.raises(ConfigError, match=message):
                ask()


class TestK:
    def test_each_user_has_its_own(self, recommender):
        answer = recommender.recommend(["u1", "u2", "u9"], k={"u1": 2, "u2": 5, "u9": 1, "u3": 7})
        assert [len(answer.of(user)) for user in ("u1", "u2", "u9")] == [2, 5, 1]
        assert [row["item_id"] for row in answer.of("u2")] == items(recommender.recommend(["u2"], k=5))
        people = recommender.recommend_for(history=[["m1"], ["m2"]], k=[1, 4])
        assert [len(people.of(person)) for person in ("0", "1")] == [1, 4]

    def test_beyond_the_catalogue(self, recommender):
        seen = len(items(recommender.recommend(["u1"], k=40)))
        assert len(recommender.recommend(["u1"], k=10**9)) == seen
        assert len(recommender.recommend(["u1"], k={"u1": 10**9})) == seen

    @pytest.mark.parametrize("k", [0, -1, 2.5, True, "3", None, {"u1": 0}, {"u1": "3"}, {"u2": 3}])
    def test_what_is_no_number_of_places(self, recommender, k):
        with pytest.raises(ConfigError, match=r"\bk\b"):
            recommender.recommend(["u1"], k=k)

    def test_as_many_as_people(self, recommender):
        with pytest.raises(ConfigError, match="k has 3 numbers for 1 requests"):
            recommender.recommend_for(history=["m1"], k=[1, 2, 3])


class TestContext:
    def test_it_is_carried_through(self, recommender, tmp_path):
        context = {"page": ["home", "cart", "home"], "hour": [8, 20, 9]}
        for given in (context, pa.table(context), pd.DataFrame(context), pa.table(context).to_pylist()):
            answer = recommender.recommend(["u1", "u2", "u1"], k=2, titles=True, context=given)
            assert answer.table.column_names[-3:] == ["title", "page", "hour"]
            assert [(row["page"], row["hour"]) for row in answer.of("u1")] == [("home", 8)] * 2
            assert [(row["page"], row["hour"]) for row in answer.of("u2")] == [("cart", 20)] * 2
        answer.write(tmp_path / "out.jsonl")
        assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])["page"] == "home"
        answer.write(tmp_path / "out.parquet")
        assert pq.read_table(tmp_path / "out.parquet")["hour"].to_pylist() == answer.table["hour"].to_pylist()

    def test_people_and_skipped_users(self, recommender):
        people = recommender.recommend_for(history=[["m1"], ["m2"]], k=1, context={"page": ["a", "b"]})
        assert people.table["page"].to_pylist() == ["a", "b"]
        skipped = recommender.recommend(["u_none", "u1"], k=1, on_unknown="skip", context={"page": ["a", "b"]})
        assert skipped.table["page"].to_pylist() == ["b"]

    @pytest.mark.parametrize(
        ("context", "message"),
        [
            ({"page": ["a", "b"]}, "2 rows for 1 requests"),
            ({"score": [1]}, "'score', which answers have already"),
            ({"title": ["x"]}, "'title', which answers have already"),
            ("page", "must be columns"),
            ([1], "must be columns"),
        ],
    )
    def test_mistakes_are_named(self, recommender, context, message):
        with pytest.raises(ConfigError, match=message):
            recommender.recommend(["u1"], context=context)

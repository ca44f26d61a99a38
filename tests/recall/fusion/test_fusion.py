"""Fusion against double loops: scores, lists, sources, shares, weights."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import recall.channels.base
import recall.fusion.fusion
from gnn.evaluation.metrics import per_user_metrics
from gnn.graph.lightgcn import LightGCNConfig
from gnn.settings import TrainingConfig
from kg import RaggedArray, SplitConfig, split_interactions
from kg.errors import ArtifactError, ConfigError, InvalidDataError, UnknownIdError
from recall.channels import (
    AttributeKNN,
    EmbeddingChannel,
    ItemKNN,
    ItemKNNConfig,
    Popularity,
    RP3Beta,
    Spectral,
    SpectralConfig,
)
from recall.contracts import FusedShares, NoShares, Queries
from recall.fusion.fusion import Fusion, FusionConfig, fit_weights, spread

WEIGHTS = {"embedding": 1.0, "spectral": 0.5, "item_knn": 0.25}


def embedding():
    return EmbeddingChannel(LightGCNConfig(dim=8), TrainingConfig(max_steps=4, batch_size=64, negatives=16), steps=4)


@pytest.fixture(scope="module")
def graph(movie_graph):
    return movie_graph(users=25, movies=60, ratings=10, seed=4)


@pytest.fixture(scope="module")
def channels(graph):
    return {
        "embedding": embedding().fit(graph),
        "spectral": Spectral(SpectralConfig(factors=5)).fit(graph),
        "item_knn": ItemKNN(ItemKNNConfig(neighbours=6)).fit(graph),
    }


@pytest.fixture(scope="module")
def everybody(graph):
    return Queries.of_users(np.arange(len(graph.users)), graph.users)


def table_of(channel, queries, graph):
    """All scores of a channel, a dict a request."""
    answer = channel.recommend(queries, k=len(graph.items), exclude_seen=False)
    scores = {key: {} for key in queries.key}
    positions = graph.items.index(answer.table["item_id"]).tolist()
    for row, item in zip(answer, positions, strict=True):
        scores[row["user_id"]][item] = row["score"]
    return scores


def naive(channels, weights, graph, queries, *, depth, k, exclude_seen=True, candidates=None):
    """The definition, request by request and item by item: [(item, score, names)] of each."""
    tables = {name: table_of(channels[name], queries, graph) for name in weights}
    interactions = graph.interactions
    result = []
    for key, user in zip(queries.key, queries.user.tolist(), strict=True):
        seen = set(interactions.item[interactions.user == user].tolist())
        for name in graph.edges:
            if (columns := graph.event_columns(name)) is not None:
                seen |= set(columns[1][columns[0] == user].tolist())
        totals, givers = {}, {}
        spreads, lists = {}, {}
        for name in weights:
            scores = tables[name][key]
            best = sorted(scores, key=lambda item: (-scores[item], item))
            reference = [scores[item] for item in best if item not in seen][:depth]
            reference += [0.0] * (min(depth, len(graph.items)) - len(reference))
            mean = math.fsum(reference) / len(reference)
            spreads[name] = math.sqrt(math.fsum((value - mean) ** 2 for value in reference) / len(reference))
            allowed = [
                item
                for item in best
                if not (exclude_seen and item in seen) and (candidates is None or item in candidates)
            ]
            lists[name] = allowed[: max(depth, k)]
        for item in sorted(set().union(*map(set, lists.values()))):
            givers[item] = [name for name in weights if item in lists[name]]
            totals[item] = sum(
                weights[name] * tables[name][key].get(item, 0.0) / spreads[name]
                for name in weights
                if spreads[name] > 0
            )
        order = sorted(totals, key=lambda item: (-np.float32(totals[item]), item))[:k]
        result.append([(item, totals[item], givers[item]) for item in order])
    return result


def answers(fusion, graph, queries, **options):
    answer = fusion.recommend(queries, **options)
    rows = {key: [] for key in queries.key}
    for row, item in zip(answer, graph.items.index(answer.table["item_id"]).tolist(), strict=True):
        names = row["source"].removeprefix("fusion(").removesuffix(")").split("+")
        rows[row["user_id"]].append((item, row["score"], names))
    return list(rows.values())


class TestScores:
    @pytest.mark.parametrize(
        ("depth", "k", "options"),
        [
            (60, 60, {}),
            (7, 5, {}),
            (7, 20, {}),
            (200, 10, {}),
            (2, 1, {}),
            (9, 9, {"exclude_seen": False}),
            (6, 4, {"candidates": np.array([50, 3, 3, 17, 29, 31, 8])}),
            (6, 12, {"candidates": np.arange(0, 60, 2), "exclude_seen": False}),
        ],
    )
    def test_lists_scores_and_sources_are_those_of_the_definition(self, channels, graph, everybody, depth, k, options):
        fusion = Fusion.of(channels, graph, FusionConfig(weights=WEIGHTS, depth=depth))
        found = answers(fusion, graph, everybody, k=k, **options)
        named = {**options, "candidates": set(options["candidates"].tolist())} if "candidates" in options else options
        expected = naive(channels, WEIGHTS, graph, everybody, depth=depth, k=k, **named)
        for ours, theirs in zip(found, expected, strict=True):
            assert [item for item, _, _ in ours] == [item for item, _, _ in theirs]
            assert [names for _, _, names in ours] == [names for _, _, names in theirs]
            np.testing.assert_allclose([s for _, s, _ in ours], [s for _, s, _ in theirs], rtol=1e-5, atol=1e-6)

    def test_an_item_has_one_score_whatever_k_and_filters(self, channels, graph, everybody):
        fusion = Fusion.of(channels, graph, FusionConfig(weights=WEIGHTS, depth=8))
        scores = {}
        for options in (
            {"k": 3},
            {"k": 40},
            {"k": 8, "exclude_seen": False},
            {"k": 5, "candidates": np.arange(20)},
        ):
            for key, rows in zip(everybody.key, answers(fusion, graph, everybody, **options), strict=True):
                for item, score, _ in rows:
                    assert scores.setdefault((key, item), score) == pytest.approx(score, rel=1e-6, abs=1e-6)

    @pytest.mark.parametrize("name", ["embedding", "spectral", "item_knn"])
    def test_one_channel_alone_ranks_as_it_does_itself(self, channels, graph, everybody, name):
        fusion = Fusion.of({name: channels[name]}, graph, FusionConfig(weights={name: 0.3}, depth=10))
        for k in (4, 10, 60):
            ours = fusion.recommend(everybody, k=k).table
            theirs = channels[name].recommend(everybody, k=k).table
            assert ours.drop(["score", "source"]).equals(theirs.drop(["score", "source"]))

    def test_scaling_all_weights_changes_no_rank(self, channels, graph, everybody):
        plain = Fusion.of(channels, graph, FusionConfig(weights=WEIGHTS))
        scaled = plain.reweighted({name: 8 * weight for name, weight in WEIGHTS.items()})
        left, right = (one.recommend(everybody, k=10).table for one in (plain, scaled))
        assert left.drop(["score"]).equals(right.drop(["score"]))
        np.testing.assert_allclose(right["score"].to_numpy(), 8 * left["score"].to_numpy(), rtol=1e-6)

    def test_a_channel_of_weight_0_is_not_asked(self, channels, graph, everybody):
        class Never:
            name = "never"

            def scored(self, queries):
                raise AssertionError("it was asked")

        weights = {**WEIGHTS, "never": 0.0}
        with_it = Fusion.of({**channels, "never": Never()}, graph, FusionConfig(weights=weights))
        without = Fusion.of(channels, graph, FusionConfig(weights=WEIGHTS))
        assert with_it.recommend(everybody, k=9).table.equals(without.recommend(everybody, k=9).table)
        assert len(with_it.explain([(0, 1)])[0].parts) == 3

    def test_without_weights_all_channels_weigh_the_same(self, channels, graph, everybody):
        plain = Fusion.of(channels, graph)
        same = Fusion.of(channels, graph, FusionConfig(weights=dict.fromkeys(channels, 1.0)))
        assert plain.recommend(everybody, k=9).table.equals(same.recommend(everybody, k=9).table)

    def test_k_beyond_what_there_is_gives_what_there_is(self, channels, graph, everybody):
        fusion = Fusion.of({"item_knn": channels["item_knn"]}, graph, FusionConfig(depth=3))
        answer = fusion.recommend(everybody, k=1000).table
        assert answer.equals(fusion.recommend(everybody, k=60).table)
        assert len(answer) < 60 * len(everybody)

    def test_ties_go_by_position(self, graph, everybody):
        fusion = Fusion({"popularity": Popularity(), "again": Popularity()}, FusionConfig(depth=60)).fit(graph)
        for rows in answers(fusion, graph, everybody, k=60):
            assert rows == sorted(rows, key=lambda row: (-row[1], row[0]))
            assert len({score for _, score, _ in rows}) < len(rows)

    def test_who_one_channel_knows_nothing_of_is_left_to_the_others(self, graph):
        fusion = Fusion(
            {"item_knn": ItemKNN(), "popularity": Popularity()},
            FusionConfig(weights={"item_knn": 1.0, "popularity": 0.1}),
        ).fit(graph)
        none = RaggedArray.empty(1)
        queries = Queries(key=["new"], user=np.array([-1]), history=none)
        alone = Popularity().fit(graph).recommend(queries, k=10).table
        answer = fusion.recommend(queries, k=10).table
        assert answer["item_id"].equals(alone["item_id"])
        assert set(answer["source"].to_pylist()) == {"fusion(popularity)"}
        assert np.isfinite(answer["score"].to_numpy()).all()

    def test_a_request_of_attributes_reaches_the_channels_that_take_them(self, graph):
        fusion = Fusion({"item_knn": ItemKNN(), "attribute_knn": AttributeKNN()}).fit(graph)
        key = next(key for key in graph.edges if key.name == "genre")
        queries = Queries(
            key=["new"],
            user=np.array([-1]),
            history=RaggedArray.empty(1),
            attributes=[{key: np.array([1])}],
        )
        assert set(fusion.recommend(queries, k=5).table["source"].to_pylist()) == {"fusion(attribute_knn)"}

    def test_a_fusion_of_fusions_is_a_channel(self, channels, graph, everybody):
        inner = Fusion.of({name: channels[name] for name in ("spectral", "item_knn")}, graph, FusionConfig(depth=60))
        outer = Fusion.of({"inner": inner, "embedding": channels["embedding"]}, graph, FusionConfig(depth=60))
        weights = {"inner": 1.0, "embedding": 1.0}
        expected = naive(
            {"inner": inner, "embedding": channels["embedding"]}, weights, graph, everybody, depth=60, k=20
        )
        for ours, theirs in zip(answers(outer, graph, everybody, k=20), expected, strict=True):
            assert [item for item, _, _ in ours] == [item for item, _, _ in theirs]
        (split,) = outer.explain([(2, 5)])
        (inside,) = (part.shares for part in split.parts if part.channel == "inner")
        assert isinstance(inside, FusedShares)
        assert math.fsum(part.shares.score for part in inside.parts) == pytest.approx(inside.score, rel=1e-12)

    def test_blocks_are_not_seen_from_outside(self, channels, graph, everybody, monkeypatch):
        fusion = Fusion.of(channels, graph, FusionConfig(weights=WEIGHTS, depth=10))
        whole, split = fusion.recommend(everybody, k=10).table, fusion.explain([(user, 3) for user in range(25)])
        monkeypatch.setattr(recall.fusion.fusion, "BLOCK_SCORES", 400)
        monkeypatch.setattr(recall.channels.base, "BLOCK_SCORES", 90)
        assert fusion.recommend(everybody, k=10).table.drop(["score"]).equals(whole.drop(["score"]))
        again = fusion.explain([(user, 3) for user in range(25)])
        np.testing.assert_allclose([one.score for one in again], [one.score for one in split], rtol=1e-5)


class TestSpread:
    def test_it_is_the_standard_deviation_with_empty_places_as_0(self):
        scores = np.array([[4.0, 2.0, -np.inf, -np.inf], [1.0, -1.0, -3.0, -np.inf]], dtype=np.float32)
        np.testing.assert_allclose(spread(scores), [np.std([4, 2, 0, 0]), np.std([1, -1, -3, 0])])

    def test_equal_scores_spread_as_far_as_they_are_large(self):
        noise = np.float32(3) * np.array([1, 1 + 1e-7, 1 - 1e-7], dtype=np.float32)
        np.testing.assert_allclose(
            spread(np.array([[3, 3, 3], noise, [-2, -2, -2]], dtype=np.float32)), [3, 3, 2], 1e-6
        )

    def test_without_evidence_it_is_infinite(self):
        assert spread(np.array([[-np.inf, -np.inf], [0.0, 0.0]], dtype=np.float32)).tolist() == [np.inf, np.inf]


class TestConfig:
    @pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf, -math.inf])
    def test_a_weight_that_is_no_weight_is_refused(self, weight):
        with pytest.raises(ConfigError, match=r"fusion\.weights\.spectral"):
            FusionConfig(weights={"embedding": 1.0, "spectral": weight})

    def test_weights_that_are_all_0_are_refused(self):
        with pytest.raises(ConfigError, match="all 0"):
            FusionConfig(weights={"embedding": 0.0, "spectral": 0.0})

    @pytest.mark.parametrize("depth", [1, 0, -5])
    def test_a_depth_without_a_spread_is_refused(self, depth):
        with pytest.raises(ConfigError, match="depth"):
            FusionConfig(depth=depth)

    def test_weights_name_the_channels(self):
        with pytest.raises(ConfigError, match=r"'spektral'.*item_knn"):
            Fusion({"item_knn": ItemKNN()}, FusionConfig(weights={"item_knn": 1.0, "spektral": 1.0}))
        with pytest.raises(ConfigError, match="nothing for the channel 'popularity'"):
            Fusion({"item_knn": ItemKNN(), "popularity": Popularity()}, FusionConfig(weights={"item_knn": 1.0}))

    def test_no_channels_are_no_fusion(self):
        with pytest.raises(ConfigError, match="at least one"):
            Fusion({})

    @pytest.mark.parametrize("name", ["../elsewhere", "", "a/b", ".", "a b"])
    def test_a_name_that_is_no_folder_is_refused(self, name):
        with pytest.raises(ConfigError, match="folder"):
            Fusion({name: ItemKNN()})


class TestSaved:
    @pytest.fixture
    def saved(self, channels, graph, tmp_path):
        Fusion.of(channels, graph, FusionConfig(weights=WEIGHTS, depth=12)).save(tmp_path / "fusion")
        return tmp_path / "fusion"

    def test_it_keeps_weights_and_depth(self, saved):
        assert Fusion.load(saved).config == FusionConfig(weights=WEIGHTS, depth=12)

    def test_a_channel_that_is_gone_is_told(self, saved):
        (saved / "spectral").rename(saved / "elsewhere")
        with pytest.raises(ArtifactError, match="lacks the folder of its channel 'spectral'"):
            Fusion.load(saved)

    def test_a_channel_that_nobody_knows_is_told(self, saved):
        path = saved / "spectral" / "channel.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "channel": "os.system"}))
        with pytest.raises(ArtifactError, match=r"'os\.system'"):
            Fusion.load(saved)

    @pytest.mark.parametrize(
        "content", ["[]", "{", '{"channel": "fusion", "format": 1}', '{"channel": "fusion", "format": 9}']
    )
    def test_a_damaged_head_is_told(self, saved, content):
        (saved / "channel.json").write_text(content)
        with pytest.raises(ArtifactError, match=r"channel\.json|fit it again"):
            Fusion.load(saved)

    @pytest.mark.parametrize("change", [{"weights": {"spectral": -1}}, {"weights": 3}, {"depth": 0}, {"depth": "x"}])
    def test_damaged_weights_are_told(self, saved, change):
        path = saved / "channel.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(ArtifactError, match="damaged"):
            Fusion.load(saved)

    def test_a_damaged_channel_is_told(self, saved):
        path = saved / "item_knn" / "neighbours.safetensors"
        path.write_bytes(path.read_bytes()[:40])
        with pytest.raises(ArtifactError, match="neighbours"):
            Fusion.load(saved)


class TestExplain:
    def test_parts_are_the_channels_own_shares_scaled_to_add_up(self, channels, graph, everybody):
        fusion = Fusion.of(channels, graph, FusionConfig(weights=WEIGHTS, depth=9))
        served = answers(fusion, graph, everybody, k=6)
        pairs = [(user, item) for user, rows in enumerate(served) for item, _, _ in rows]
        scores = [score for rows in served for _, score, _ in rows]
        tables = {name: table_of(channel, everybody, graph) for name, channel in channels.items()}
        seen = RaggedArray.from_pairs(graph.interactions.user, graph.interactions.item, num_rows=len(graph.users))
        plain = {name: channel.explain(pairs) for name, channel in channels.items()}
        for at, ((user, item), split) in enumerate(zip(pairs, fusion.explain(pairs), strict=True)):
            assert isinstance(split, FusedShares)
            assert [(part.channel, part.weight) for part in split.parts] == list(WEIGHTS.items())
            absolute = 0.0
            total, history = 0.0, {}
            for part in split.parts:
                scores_of = tables[part.channel][everybody.key[user]]
                best = sorted(
                    (value for other, value in scores_of.items() if other not in set(seen[user])), reverse=True
                )
                reference = (best[:9] + [0.0] * 9)[:9]
                own = plain[part.channel][at]
                factor = WEIGHTS[part.channel] / np.std(reference)
                assert part.shares.score == pytest.approx(own.score * factor, rel=1e-5, abs=1e-7)
                ratio = part.shares.score / own.score if own.score else factor
                for ours, theirs in zip(part.shares.history, own.history, strict=True):
                    assert ours[:2] == theirs[:2]
                    assert ours.value == pytest.approx(theirs.value * ratio, rel=1e-9, abs=1e-12)
                    history[ours[:2]] = history.get(ours[:2], 0.0) + ours.value
                    absolute += abs(ours.value)
                total += part.shares.own + math.fsum(share.value for share in part.shares.history)
                absolute += abs(part.shares.own)
            assert total == pytest.approx(split.score, abs=1e-9 * absolute)
            assert split.score == pytest.approx(scores[at], abs=1e-4 * absolute)
            assert {share[:2]: share.value for share in split.history} == pytest.approx(history, rel=1e-9, abs=1e-12)
            assert item not in seen[user]

    def test_pair_shares_of_all_channels_meet_on_their_first_hops(self, channels, graph):
        again = {"embedding": channels["embedding"], "twin": channels["embedding"], "item_knn": channels["item_knn"]}
        fusion = Fusion.of(again, graph)
        (split,) = fusion.explain([(3, 11)])
        parts = {part.channel: part.shares for part in split.parts}
        rows = {share[:2]: row for row, share in enumerate(split.history)}
        columns = {share[:2]: column for column, share in enumerate(split.neighbours)}
        assert len(columns) == len(split.neighbours)
        assert len(rows) == len(split.history)
        expected = np.zeros(split.pairs.shape)
        for shares in parts.values():
            for j, ours in enumerate(shares.history):
                for n, theirs in enumerate(shares.neighbours):
                    expected[rows[ours[:2]], columns[theirs[:2]]] += shares.pairs[j, n]
        np.testing.assert_allclose(split.pairs, expected, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(split.cross, np.sum([shares.cross for shares in parts.values()], axis=0))
        np.testing.assert_allclose(
            split.pairs.sum() + sum(split.cross), split.score, atol=1e-9 * np.abs(split.pairs).sum()
        )

    def test_what_a_channel_does_not_split_stands_apart(self, channels, graph):
        fusion = Fusion.of(
            {"item_knn": channels["item_knn"], "popularity": Popularity().fit(graph)}, graph, FusionConfig(depth=30)
        )
        item = int(np.argmax(np.bincount(graph.interactions.item[graph.interactions.positive])))
        (split,) = fusion.explain([(0, item)])
        popularity = split.parts[1].shares
        assert isinstance(popularity, NoShares)
        assert "like" in popularity.reason
        assert split.unsplit == popularity.score > 0
        assert split.own + math.fsum(s.value for s in split.history) + split.unsplit == pytest.approx(split.score)

    def test_where_nobody_splits_it_says_why(self, graph):
        (split,) = Fusion({"popularity": Popularity()}).fit(graph).explain([(0, 5)])
        assert isinstance(split, NoShares)
        assert "popular" in split.reason
        assert split.score > 0

    def test_pairs_that_do_not_exist_are_refused(self, channels, graph):
        fusion = Fusion.of(channels, graph)
        for pair in ((25, 0), (0, 60), (-1, 0)):
            with pytest.raises(UnknownIdError, match="outside"):
                fusion.explain([pair])

    def test_no_pairs_have_no_reasons(self, channels, graph):
        assert Fusion.of(channels, graph).explain([]) == []


@pytest.fixture(scope="module")
def held(movie_graph):
    made = movie_graph(users=60, movies=50, ratings=14, seed=8)
    split = split_interactions(made, SplitConfig(kind="per_user_time", valid=0.3, test=0.0))
    view = split.view(made, "train")
    truth, seen = split.positives(made, "valid"), split.seen(made, "train")
    users = np.flatnonzero(truth.counts)
    queries = Queries.of_users(users, made.users, seen=seen.take(users))
    kinds = {"spectral": Spectral(SpectralConfig(factors=5)), "rp3beta": RP3Beta(), "popularity": Popularity()}
    return made, Fusion(kinds).fit(view), queries, truth.take(users)


class TestWeights:
    def ndcg(self, fusion, graph, queries, truth, k):
        found = answers(fusion, graph, queries, k=k)
        ranked = np.full((len(queries), k), -1, dtype=np.int64)
        for row, items in enumerate(found):
            ranked[row, : len(items)] = [item for item, _, _ in items]
        return per_user_metrics(ranked, truth, k)["ndcg"].mean()

    def test_no_single_channel_and_no_change_of_one_weight_is_better(self, held):
        graph, fusion, queries, truth = held
        weights = fit_weights(fusion, queries, truth, k=5)
        assert set(weights) == set(fusion.channels)
        assert sum(weights.values()) == pytest.approx(1, abs=1e-3)
        best = self.ndcg(fusion.reweighted(weights), graph, queries, truth, 5)
        tried = [dict.fromkeys(weights, 1.0)]
        tried += [{name: float(name == chosen) for name in weights} for chosen in weights]
        tried += [{**weights, name: weights[name] * factor} for name in weights for factor in (0.5, 2.0)]
        for other in tried:
            assert self.ndcg(fusion.reweighted(other), graph, queries, truth, 5) <= best + 1e-3

    def test_it_is_the_same_twice(self, held):
        _, fusion, queries, truth = held
        assert fit_weights(fusion, queries, truth, k=5) == fit_weights(fusion, queries, truth, k=5)

    def test_its_own_weights_do_not_count(self, held):
        _, fusion, queries, truth = held
        other = fusion.reweighted({"spectral": 0.0, "rp3beta": 0.0, "popularity": 7.0})
        assert fit_weights(other, queries, truth, k=5) == fit_weights(fusion, queries, truth, k=5)

    def test_a_channel_that_adds_nothing_is_left_out(self, held):
        _, fusion, queries, truth = held
        twins = {"spectral": fusion.channels["spectral"], "twin": fusion.channels["spectral"]}
        doubled = Fusion(twins)
        doubled._known = fusion.known
        assert sorted(fit_weights(doubled, queries, truth, k=5).values()) == [0.0, 1.0]

    def test_noise_is_not_worth_asking_a_channel_for(self, held):
        graph, fusion, queries, _ = held
        best = fusion.channels["spectral"].recommend(queries, k=3).table
        row = {key: at for at, key in enumerate(queries.key)}
        rows = np.array([row[key] for key in best["user_id"].to_pylist()])
        truth = RaggedArray.from_pairs(rows, graph.items.index(best["item_id"]), num_rows=len(queries))

        class Noise(Popularity):
            def _scores(self, queries, history, columns):
                return np.random.default_rng(3).normal(size=(len(queries), self.known.num_items)).astype(np.float32)

        noise = Noise()
        noise._known = fusion.known
        noisy = Fusion({"spectral": fusion.channels["spectral"], "noise": noise})
        noisy._known = fusion.known
        assert fit_weights(noisy, queries, truth, k=5) == {"spectral": 1.0, "noise": 0.0}

    def test_without_anything_to_find_it_says_so(self, held):
        _, fusion, queries, truth = held
        nobody = np.zeros(0, dtype=np.int64)
        with pytest.raises(InvalidDataError, match="validation part"):
            fit_weights(fusion, queries.take(nobody), truth.take(nobody))
        with pytest.raises(InvalidDataError, match="truths"):
            fit_weights(fusion, queries, truth.take(nobody))

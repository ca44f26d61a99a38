"""A deployment that fuses channels: its run, what it serves and explains, and its damage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gnn.graph.embeddings import Embeddings
from gnn.text.features import TextFeatures
from kg import SplitConfig, split_interactions
from kg.errors import ArtifactError, ConfigError
from recall.channels import ItemKNN, ItemKNNConfig, Popularity, Spectral, SpectralConfig, channel_class
from recall.config.deployment import load_config
from recall.config.sections import FusionSettings
from recall.contracts import FitData, LoadData, Query
from recall.fusion import FusionConfig
from recall.jobs.prepare import Prepared
from recall.jobs.refresh import RefreshResult, refresh
from recall.jobs.weights import best_fusion
from recall.pipeline import Pipeline
from recall.quality.assess import exact_channel, read_split
from recall.quality.stage.evaluate import evaluate_run
from recall.runs.layout import RunLayout
from recall.serve.recommender import Recommender
from tests.recall.conftest import ONE_CHANNEL

FUSION = """
[channels.item_knn]
neighbours = 7
[channels.spectral]
factors = 5
[pipeline]
channels = ["lightgcn", "item_knn", "spectral", "popularity"]
[fusion]
depth = 20
"""


@pytest.fixture(scope="module")
def config(make_deployment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_deployment(tmp_path_factory.mktemp("fused"))
    text = path.read_text().replace(f"[pipeline]\n{ONE_CHANNEL}\n", "")
    path.write_text(text + "[split]\nkind = 'per_user_time'\ntest = 0.2\nvalid = 0.2\n" + FUSION)
    return path


@pytest.fixture(scope="module")
def published(config: Path) -> RefreshResult:
    return refresh(load_config(config))


@pytest.fixture(scope="module")
def recommender(published: RefreshResult) -> Recommender:
    return Recommender.load(published.run.path)


def fitted_again(published: RefreshResult, graph, model: Path) -> Pipeline:
    """The same pipeline, made by hand."""
    data = FitData.of(graph)
    channels = [
        exact_channel(Embeddings.load(model), LoadData.of(graph)),
        ItemKNN(ItemKNNConfig(neighbours=7)).fit(data),
        Spectral(SpectralConfig(factors=5)).fit(data),
        Popularity().fit(data),
    ]
    fusion = FusionConfig(weights=published.report.fusion.weights, depth=20)
    return Pipeline(channels, data.history, fusion=fusion)


class TestRun:
    def test_the_report_shows_the_fusion_beside_each_channel(self, published: RefreshResult) -> None:
        weights = published.report.fusion.weights
        assert list(weights) == ["lightgcn", "item_knn", "spectral", "popularity"]
        assert sum(weights.values()) == pytest.approx(1, abs=1e-3)
        evaluation = published.report.evaluation
        warm = [row.ranker for row in evaluation.metrics if row.group == "warm users"]
        assert warm == ["fusion", "lightgcn", "item_knn", "spectral", "popularity", "content_knn"]
        assert evaluation.serves == "fusion"
        assert evaluation.metrics[0].intervals
        assert {"fit channels for evaluation", "fit channels for serving"} <= set(published.report.timings)

    def test_the_list_of_runs_shows_the_metrics_of_what_serves(self, published: RefreshResult) -> None:
        first = published.report.evaluation.metrics[0]
        shown = published.run.manifest()["metrics"]
        assert shown == {name: first.metrics[name] for name in ("recall@5", "ndcg@5")}

    def test_evaluation_channels_have_seen_the_training_part_only(self, published: RefreshResult, recommender) -> None:
        graph = recommender.graph
        split = read_split(published.run.split, graph)
        view = split.view(graph, "train")
        again = fitted_again(published, view, published.run.artifact("models", "lightgcn", evaluation=True))
        everybody = Query.of_users(np.arange(len(graph.users)), graph.users)
        for name in ("item_knn", "spectral"):
            kept = channel_class(name).load(
                published.run.artifact("channels", evaluation=True) / name, LoadData.of(view)
            )
            pipelines = (Pipeline([channel], again.history) for channel in (kept, again.channels[name]))
            ours, theirs = (pipeline.recommend(everybody, k=9) for pipeline in pipelines)
            assert ours.item.tolist() == theirs.item.tolist()
            np.testing.assert_allclose(ours.score, theirs.score, rtol=1e-5)
        assert len(recommender.pipeline.history.liked.values) > len(again.history.liked.values)

    def test_evaluate_repeats_the_report(self, published: RefreshResult) -> None:
        found = evaluate_run(published.run)
        measured = {(row.ranker, row.group): row.metrics for row in found.metrics}
        for row in published.report.evaluation.metrics:
            assert row.metrics.items() <= measured[row.ranker, row.group].items()
        assert found.serves == "fusion"

    def test_the_same_inputs_change_nothing_and_other_weights_do(self, config: Path, published, tmp_path) -> None:
        assert refresh(load_config(config)).status == "unchanged"
        copy = tmp_path / "copy"
        shutil.copytree(config.parent, copy, ignore=shutil.ignore_patterns("runs"))
        text = (copy / "config.toml").read_text()
        given = "\n[fusion.weights]\nlightgcn = 0\nitem_knn = 2\nspectral = 1\npopularity = 0\n"
        (copy / "config.toml").write_text(text + given)
        other = refresh(load_config(copy / "config.toml"))
        assert other.run.name != published.run.name
        assert other.report.fusion.weights == {"lightgcn": 0, "item_knn": 2, "spectral": 1, "popularity": 0}
        served = Recommender.load(other.run.path)
        sources = set(served.recommend_all(k=5).table["source"].to_pylist())
        assert sources <= {"fusion(item_knn)", "fusion(spectral)", "fusion(item_knn+spectral)", "popularity"}
        assert served.similar(["m1"], k=3).table.num_rows == 3

    def test_a_run_without_the_section_has_no_channels(self, refreshed: RefreshResult) -> None:
        assert not refreshed.run.artifact("channels").exists()
        assert refreshed.report.fusion is None
        assert refreshed.report.evaluation.serves == "lightgcn"
        assert Recommender.load(refreshed.run.path).pipeline.name == "lightgcn"


class TestServed:
    def test_it_ranks_as_the_fusion_of_its_channels(self, published: RefreshResult, recommender) -> None:
        graph = recommender.graph
        expected = fitted_again(published, graph, published.run.artifact("models", "lightgcn"))
        everybody = Query.of_users(np.arange(len(graph.users)), graph.users)
        ours = recommender.recommend(graph.users.ids.to_pylist(), k=8).table
        theirs = expected.recommend(everybody, k=8).to_arrow(everybody.key, graph.items)
        assert ours.drop(["score"]).equals(theirs.drop(["score"]))
        np.testing.assert_allclose(ours["score"].to_numpy(), theirs["score"].to_numpy(), rtol=1e-5)
        assert all(source.startswith("fusion(") for source in ours["source"].to_pylist())

    def test_people_it_does_not_know_are_served_by_history_text_and_both(self, recommender) -> None:
        by_history = recommender.recommend_for(history=["m1", "m2", "m3"], k=5)
        assert len(by_history) == 5
        assert not {"m1", "m2", "m3"} & set(by_history.table["item_id"].to_pylist())
        many = recommender.recommend_for(history=[["m1", "m2", "m3"], ["m4"]], k=5)
        assert [row["item_id"] for row in many.of("0")] == by_history.table["item_id"].to_pylist()

    def test_unknown_users_are_handled_as_without_a_fusion(self, recommender) -> None:
        assert set(recommender.recommend(["nobody"], on_unknown="popular").table["source"].to_pylist()) <= {
            "fusion(popularity)",
            "popularity",
        }
        assert len(recommender.recommend(["nobody"], on_unknown="skip")) == 0

    def test_candidates_and_seen_items_are_honoured(self, recommender) -> None:
        allowed = [f"m{n}" for n in range(0, 24, 2)]
        found = recommender.recommend(["u1", "u2"], k=20, candidates=allowed)
        assert set(found.table["item_id"].to_pylist()) <= set(allowed)
        everything = recommender.recommend(["u1"], k=24, exclude_seen=False)
        unseen = recommender.recommend(["u1"], k=24)
        assert len(everything) > len(unseen)

    def test_every_explanation_adds_up_to_the_served_score(self, recommender) -> None:
        served = list(recommender.recommend(["u0", "u1", "u5"], k=6))
        found = recommender.explain([(row["user_id"], row["item_id"]) for row in served])
        for row, explanation in zip(served, found, strict=True):
            absolute = sum(abs(reason.share) for reason in explanation.history)
            assert explanation.source == "fusion"
            assert explanation.score == pytest.approx(row["score"], abs=1e-4 * absolute)
            for sides in (explanation.history, explanation.neighbours, explanation.parts):
                total = sum(one.share for one in sides)
                assert total == pytest.approx(explanation.score, abs=1e-9 * max(absolute, 1))
            for part in explanation.parts:
                if part.reason is None:
                    assert sum(one.share for one in part.history) == pytest.approx(part.share, abs=1e-9 * absolute)
                    assert sum(one.share for one in part.neighbours) == pytest.approx(part.share, abs=1e-9 * absolute)
            weights = {part.channel: part.weight for part in explanation.parts}
            assert all(weight > 0 for weight in weights.values())

    def test_the_text_names_what_each_channel_brings(self, recommender) -> None:
        (row,) = recommender.recommend(["u1"], k=1)
        (explanation,) = recommender.explain([("u1", row["item_id"])])
        text = explanation.text
        assert "From the channels (their parts add up to the score):" in text
        for part in explanation.parts:
            assert f"  - {part.channel}" in text
        data = json.loads(json.dumps(explanation.to_json()))
        assert [part["channel"] for part in data["parts"]] == [part.channel for part in explanation.parts]
        assert explanation.paths
        assert explanation.query is not None

    def test_the_command_line_tells_it_too(self, published: RefreshResult, command, tmp_path: Path) -> None:
        code, out, _ = command("recommend", published.run.path, "--user", "u1", "--explain")
        assert code == 0
        assert "from the channels" in out
        assert "fusion(" in out
        code, out, _ = command(
            "explain", published.run.path, "--user", "u1", "--item", "m3", "--draw", tmp_path / "a.svg"
        )
        assert code == 0
        assert (tmp_path / "a.svg").stat().st_size > 1000
        code, out, _ = command("evaluate", published.run.path)
        assert code == 0
        assert "interval of the fusion" in out


def test_the_weights_are_of_lists_of_the_length_that_the_settings_say(published, recommender) -> None:
    graph = recommender.graph
    split = split_interactions(graph, SplitConfig(kind="per_user_time"))
    features = TextFeatures.load(published.run.features)
    prepared = Prepared(graph=graph, features=features, split=split, view=split.view(graph, "train"))
    validation = prepared.validation()
    users = np.flatnonzero(validation.truth.counts)
    queries = Query.of_users(users, graph.users, seen=validation.seen.take(users))
    found = [best_fusion(recommender.pipeline, prepared, FusionSettings(measured_at=k)) for k in (2, 30)]
    expected = [recommender.pipeline.fit_fusion(queries, validation.truth.take(users), k=k) for k in (2, 30)]
    assert [fusion.weights for fusion in found] == [fusion.weights for fusion in expected]
    assert expected[0].weights != expected[1].weights


def test_without_anything_to_find_all_weigh_the_same(published, recommender) -> None:
    graph = recommender.graph
    split = split_interactions(graph, SplitConfig(kind="per_user_time", test=0.2, valid=0.0))
    prepared = Prepared(
        graph=graph,
        features=TextFeatures.load(published.run.features),
        split=split,
        view=split.view(graph, "train"),
    )
    fusion = best_fusion(recommender.pipeline, prepared, FusionSettings())
    assert fusion.weights == dict.fromkeys(recommender.pipeline.channels, 0.25)


class TestDamage:
    @pytest.fixture
    def run(self, published: RefreshResult, tmp_path: Path) -> Path:
        shutil.copytree(published.run.path, tmp_path / "run")
        return tmp_path / "run"

    def test_a_changed_channel_is_noticed_before_it_serves(self, run: Path) -> None:
        path = run / "channels" / "item_knn" / "neighbours.safetensors"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(bytes(data))
        with pytest.raises(ArtifactError, match="neighbours"):
            Recommender.load(run)

    def test_a_channel_that_is_gone_is_noticed_also_without_checksums(self, run: Path) -> None:
        shutil.rmtree(run / "channels" / "spectral")
        with pytest.raises(ArtifactError, match=r"channels/spectral"):
            Recommender.load(run, verify=False)

    def test_a_channel_of_a_package_that_is_not_installed_is_named_before_anything_else(self, run: Path) -> None:
        path = run / "pipeline.json"
        saved = json.loads(path.read_text())
        channels = {**saved["channels"], "stroll": {"kind": "channels", "package": "graph-strolls", "recipe": {}}}
        path.write_text(json.dumps({**saved, "channels": channels}))
        for verify in (True, False):
            with pytest.raises(
                ArtifactError, match=r"channel 'stroll' of the package graph-strolls.*Install graph-strolls"
            ):
                Recommender.load(run, verify=verify)
        with pytest.raises(ArtifactError, match=r"channel 'stroll' of the package graph-strolls"):
            evaluate_run(RunLayout(run))

    @pytest.mark.parametrize("content", ["[]", "{", '{"weights": {}}', '{"channels": {"ease": {"kind": "pickles"}}}'])
    def test_a_damaged_pipeline_is_refused(self, run: Path, content: str) -> None:
        (run / "pipeline.json").write_text(content)
        with pytest.raises(ArtifactError, match=r"pipeline\.json"):
            Recommender.load(run, verify=False)

    @pytest.mark.parametrize("change", [{"weights": {"spectral": -1}}, {"weights": 3}, {"depth": 0}, {"depth": "x"}])
    def test_damaged_weights_are_refused(self, run: Path, change: dict) -> None:
        path = run / "pipeline.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(ArtifactError, match="damaged"):
            Recommender.load(run, verify=False)


class TestConfig:
    def refused(self, config: Path, tmp_path: Path, section: str) -> str:
        text = config.read_text().split("[channels.item_knn]")[0]
        (tmp_path / "c.toml").write_text(text + section)
        with pytest.raises(ConfigError) as caught:
            load_config(tmp_path / "c.toml")
        return str(caught.value)

    @pytest.mark.parametrize(
        ("section", "told"),
        [
            ("[pipeline]\nchannels = ['lightgnc']", "did you mean 'lightgcn'"),
            ("[pipeline]\nchannels = []", "pipeline.channels"),
            ("[pipeline]\nchannels = ['ease', 'ease']", "twice"),
            ("[pipeline]\nchanels = ['ease']", "did you mean 'channels'"),
            ("[pipeline]\nchannels = ['ease']\n[fusion]\ndepth = 1", "fusion.depth = 1"),
            ("[pipeline]\nchannels = ['ease']\n[fusion]\nweights = {ease = -1}", "fusion.weights.ease = -1"),
            ("[pipeline]\nchannels = ['ease']\n[fusion]\nweights = {ease = nan}", "fusion.weights.ease"),
            ("[pipeline]\nchannels = ['ease']\n[fusion]\nweights = {ease = inf}", "fusion.weights.ease"),
            ("[pipeline]\nchannels = ['ease']\n[fusion]\nweights = {ease = 0}", "all 0"),
            ("[pipeline]\nchannels = ['ease', 'cheby']\n[fusion]\nweights = {rp3beta = 1}", "fusion.weights.rp3beta"),
            (
                "[pipeline]\nchannels = ['ease', 'cheby']\n[fusion]\nweights = {ease = 1}",
                "fusion.weights.cheby is missing",
            ),
            ("[pipeline]\nchannels = ['ease']\n[fusion]\nvalidation_users = 0", "validation_users"),
            ("[channels.item_knn]\nneighbors = 3", "did you mean 'neighbours'"),
            ("[channels.item_knn]\nneighbours = 0", "item_knn.neighbours = 0"),
            ("[channels.itemknn]\nneighbours = 3", "did you mean 'item_knn'"),
        ],
    )
    def test_what_cannot_be_is_refused_by_name(self, config: Path, tmp_path: Path, section: str, told: str) -> None:
        assert told in self.refused(config, tmp_path, section)

    def test_weights_may_be_given_without_a_validation_part(self, config: Path, tmp_path: Path) -> None:
        text = config.read_text().replace("valid = 0.2", "valid = 0.0")
        weights = "lightgcn = 1\nitem_knn = 1\nspectral = 1\npopularity = 1\n"
        (tmp_path / "c.toml").write_text(text + "[fusion.weights]\n" + weights)
        assert load_config(tmp_path / "c.toml").fusion.weights["spectral"] == 1

    def test_other_weights_for_one_request(self, recommender) -> None:
        weights = {"lightgcn": 0, "item_knn": 2, "spectral": 1, "popularity": 0}
        other = recommender.with_weights(weights)
        users = recommender.graph.users.ids.to_pylist()
        expected = Recommender(recommender.graph, recommender.pipeline.with_weights(weights)).recommend(users, k=8)
        assert other.recommend(users, k=8).table.equals(expected.table)
        assert not recommender.recommend(users, k=8).table.equals(expected.table)
        assert other.run == recommender.run
        assert other.feedback is recommender.feedback is not None
        item = other.recommend(users[:1], k=1).table["item_id"][0].as_py()
        (explanation,) = other.explain([(users[0], item)])
        assert {part.channel for part in explanation.parts} == {"item_knn", "spectral"}
        with pytest.raises(ConfigError, match="nothing for the channel 'popularity'"):
            recommender.with_weights({"lightgcn": 1, "item_knn": 2, "spectral": 1})
        with pytest.raises(ConfigError, match="all 0"):
            recommender.with_weights(dict.fromkeys(weights, 0))

    def test_scores_of_the_channels_beside_the_candidates(self, recommender) -> None:
        users = recommender.graph.users.ids.to_pylist()[:3]
        table = recommender.recommend(users, k=4, channel_scores=True).table
        assert table.drop(list(recommender.pipeline.asked)).equals(recommender.recommend(users, k=4).table)
        pairs = list(zip(table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))
        scored = recommender.score(pairs).table
        for name in recommender.pipeline.asked:
            np.testing.assert_allclose(table[name], scored[name], rtol=1e-4, atol=1e-6)
        new = recommender.recommend_for(liked=["m1"], k=2, channel_scores=True).table
        assert set(recommender.pipeline.asked) < set(new.column_names)

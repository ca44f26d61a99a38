"""A Recommender from a published run, and runs that cannot be loaded."""

from __future__ import annotations

import json

import pytest

from kg.errors import ArtifactError, ConfigError
from kg.io.files import write_manifest
from recall.channels import LightGCNChannel
from recall.contracts import LoadData
from recall.serve.recommender import Recommender


class TestRun:
    def test_loads_what_was_published(self, run, recommender, graph):
        (run.parent / "current").symlink_to(run.name)
        loaded = Recommender.load(run.parent / "current")
        ids = graph.users.ids.to_pylist()
        assert loaded.recommend(ids, k=10).table.equals(recommender.recommend(ids, k=10).table)
        assert loaded.similar(["m1"], k=5).table.equals(recommender.similar(["m1"], k=5).table)
        given = {"history": ["m1"], "attributes": {"genre": ["drama"]}}
        assert loaded.recommend_for(**given).table.equals(recommender.recommend_for(**given).table)

    @pytest.mark.parametrize(
        "name", ["models/lightgcn/model.safetensors", "models/lightgcn/index/index.faiss", "graph/graph.json"]
    )
    def test_a_changed_byte_is_refused(self, run, name):
        path = run / name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(ArtifactError, match="damaged"):
            Recommender.load(run)

    def test_an_index_of_another_model_is_refused(self, run, graph, linear_model):
        LightGCNChannel.of(linear_model(graph, seed=8), LoadData.of(graph)).index.save(run / "models/lightgcn/index")
        (run / "MANIFEST.json").unlink()
        write_manifest(run, {})
        with pytest.raises(ArtifactError, match="other item vectors"):
            Recommender.load(run)

    def test_another_format_version_is_refused(self, run):
        path = run / "MANIFEST.json"
        path.unlink()
        write_manifest(run, {"format_version": 99})
        assert json.loads(path.read_text())["format_version"] == 99
        with pytest.raises(ArtifactError, match="format version 99"):
            Recommender.load(run)

    def test_no_run(self, tmp_path):
        with pytest.raises(ArtifactError, match="nothing has been published"):
            Recommender.load(tmp_path / "current")

    def test_a_text_needs_a_model_with_texts(self, run):
        with pytest.raises(ConfigError, match="without text features"):
            Recommender.load(run).recommend_for(text="space")

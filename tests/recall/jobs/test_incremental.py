"""Runs that go on from the run that serves: what is trained, encoded and held out, and from which ancestor."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gnn.graph.warm_start import FREE, Parameters
from gnn.text.encoder import TextEncoder
from kg.io.graph_folder import load_graph
from kg.lineage import Lineage
from kg.splits import TEST
from kg.topology.adjacency import Numbering
from recall.config.deployment import load_config
from recall.jobs.refresh import RefreshResult, refresh
from recall.quality.assess import read_split
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from recall.runs.report import Report
from recall.serve.recommender import Recommender
from tests.recall.conftest import ONE_CHANNEL


@pytest.fixture
def config(deployment: Path, refreshed: RefreshResult, tmp_path: Path) -> Path:
    """A deployment with one full run, to be changed."""
    shutil.copytree(deployment.parent, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy" / deployment.name


def rate(config: Path, *lines: str) -> None:
    with (config.parent / "ratings.csv").open("a") as stream:
        stream.writelines(f"{line}\n" for line in lines)


def add_movie(config: Path, number: int) -> None:
    subject, schema = f"<http://example.org/movie/{number}>", "https://schema.org/"
    with (config.parent / "movies.nt").open("a") as stream:
        stream.write(f"{subject} <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <{schema}Movie> .\n")
        stream.write(f'{subject} <{schema}identifier> "m{number}" .\n')
        stream.write(f'{subject} <{schema}name> "Something nobody has heard of {number}" .\n')


def settings(config: Path, lines: str) -> None:
    config.write_text(config.read_text() + f"\n[refresh]\n{lines}\n")


def test_it_goes_on_with_a_few_steps_and_says_from_where(config: Path) -> None:
    base = RunsFolder(config.parent / "runs").current()
    assert base is not None
    settings(config, "warm_share = 0.4")
    add_movie(config, 24)
    rate(config, "u1,m24,5,2000000", "new,m24,5,2000001", "new,m3,5,2000002", "new,m4,4,2000003")
    result = refresh(load_config(config))
    report = result.report
    assert (report.kind, report.base, report.generation) == ("incremental", base.name, 1)
    assert base.name in report.reasons[0]
    taken = Report.load(base).training["lightgcn"].evaluation.steps
    assert report.reference.to_json() == {
        "run": base.name,
        "steps": {"lightgcn": taken},
        "lead": Report.load(base).lead(),
    }
    assert report.reference.lead > 0
    assert (
        report.training["lightgcn"].serving.steps == report.training["lightgcn"].evaluation.steps <= round(0.4 * taken)
    )
    assert report.changes.base == base.name
    # The yardsticks belong to the recipe, which is that of the full run.
    assert {row.ranker for row in report.evaluation.metrics} == {"lightgcn"}
    found = Recommender.load(result.run.path)
    assert found.recommend(["new"], k=5).table.num_rows == 5
    rate(config, "u2,m24,5,2000004")
    again = refresh(load_config(config)).report
    assert (again.kind, again.base, again.generation) == ("incremental", result.run.name, 2)
    assert again.reference == report.reference


def test_each_model_descends_from_its_own_kind_and_ids_decide_which_row_is_whose(config: Path) -> None:
    base = RunsFolder(config.parent / "runs").current()
    assert base is not None
    settings(config, "warm_rate = 1e-12")  # what is trained stays as it was handed on
    rate(config, "a-first,m0,5,2000000", "a-first,m1,5,2000001")  # every position moves
    run = refresh(load_config(config)).run
    for name in (True, False):
        before, after = _rows(base, name), _rows(run, name)
        assert ("user", "a-first") in set(after) - set(before)
        assert len(before) > 30
        for who, row in before.items():
            assert np.allclose(after[who], row, atol=1e-6), (name, who)
    evaluation, serving = _rows(run, True), _rows(run, False)
    assert not all(np.allclose(evaluation[who], serving[who], atol=1e-3) for who in evaluation)


def _rows(run: RunLayout, evaluation: bool) -> dict[tuple[str, str], Any]:
    """Free embeddings of trained nodes by type and id."""
    graph = load_graph(run.graph)
    found = Parameters.load(run.artifact("models", "lightgcn", evaluation=evaluation), graph)
    numbering = Numbering.of(graph)
    return {
        (name, one): found.tensors[FREE][numbering.span(name).start + at]
        for name in numbering.names
        for at, one in enumerate(graph.vocabulary(name).ids.to_pylist())
        if found.trained[numbering.span(name).start + at]
    }


def test_only_new_texts_are_encoded_and_without_any_the_text_model_is_not_loaded(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str | None] = []
    encode = TextEncoder.encode

    def told(self: TextEncoder, texts: Sequence[str | None], **more: Any) -> Any:
        encoded.extend(texts)
        return encode(self, texts, **more)

    def refused(self: TextEncoder) -> None:
        raise AssertionError("the text model was loaded")

    monkeypatch.setattr(TextEncoder, "encode", told)
    add_movie(config, 24)
    refresh(load_config(config))
    assert encoded == ["Something nobody has heard of 24"]
    monkeypatch.setattr(TextEncoder, "_load", refused)
    rate(config, "u1,m23,5,2000000")
    assert refresh(load_config(config)).report.kind == "incremental"


def test_deleting_the_newest_interactions_holds_out_nothing_that_the_base_was_trained_on(config: Path) -> None:
    base = RunsFolder(config.parent / "runs").current()
    assert base is not None
    graph = load_graph(base.graph)
    split = read_split(base.split, graph)
    table = split.to_table(graph).to_pylist()
    trained = {(row["user_id"], row["item_id"]) for row in table if row["part"] == "train"}
    gone = {(row["user_id"], row["item_id"]) for row in table if row["part"] != "train" and row["user_id"] < "u2"}
    ratings = config.parent / "ratings.csv"
    lines = ratings.read_text().splitlines()
    kept = [line for line in lines if tuple(line.split(",")[:2]) not in gone]
    assert 0 < len(lines) - len(kept) < 0.2 * len(lines)
    ratings.write_text("\n".join(kept) + "\n")
    result = refresh(load_config(config))
    assert result.report.kind == "incremental"
    now = load_graph(result.run.graph)
    held = read_split(result.run.split, now).to_table(now).to_pylist()
    assert not trained & {(row["user_id"], row["item_id"]) for row in held if row["part"] in ("test", "valid")}
    # A split of its own would have held some of it out.
    assert result.report.stayed_known["train"] > 0
    known = Lineage.load(result.run.lineage)
    pairs = {(row["user_id"], row["item_id"]) for row in known.table.to_pylist()}
    assert gone <= pairs | {(row["user_id"], row["item_id"]) for row in table if row["part"] == "test"}
    assert (read_split(result.run.split, now).part == TEST).any()
    # A full run begins a line of its own.
    full = refresh(load_config(config), full=True)
    assert full.report.stayed_known == {"train": 0, "valid": 0}
    assert Lineage.load(full.run.lineage).table.num_rows < known.table.num_rows


def test_too_much_change_and_other_relations_are_a_full_run(config: Path) -> None:
    rate(config, *(f"u{user},m{movie},4,{3_000_000 + movie}" for user in range(16) for movie in range(20, 24)))
    report = refresh(load_config(config)).report
    assert report.kind == "full"
    assert "of the interactions changed" in report.reasons[0]
    assert (report.base, report.generation, report.reference.run) == (None, 0, "")
    assert report.changes is not None
    with (config.parent / "movies.nt").open("a") as stream:
        stream.write("<http://example.org/movie/0> <https://schema.org/producer> <http://example.org/person/p1> .\n")
    again = refresh(load_config(config)).report
    assert again.reasons == ("the graph has other relations",)
    assert {row.ranker for row in again.evaluation.metrics} > {"popularity"}


def test_a_killed_attempt_on_another_base_is_not_gone_on_with(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = RunsFolder(config.parent / "runs")
    first = runs.current()
    assert first is not None
    rate(config, "u1,m23,5,2000000")
    second = refresh(load_config(config)).run
    rate(config, "u2,m22,5,2000001")

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("recall.jobs.stages.build_store", killed)
        with pytest.raises(KeyboardInterrupt):
            refresh(load_config(config))
    (staging,) = runs.staging_root.iterdir()
    before = (staging / "done" / "train lightgcn for serving.json").stat().st_mtime_ns
    runs.serve(first)  # the second was taken back meanwhile
    result = refresh(load_config(config))
    assert result.report.base == first.name != second.name
    assert result.report.generation == 1
    assert before  # the mark of the attempt on the second run is gone with its staging
    assert not runs.staging_root.exists()


def test_a_damaged_base_is_followed_by_a_full_run(config: Path) -> None:
    current = RunsFolder(config.parent / "runs").current()
    assert current is not None
    file = current.artifact("models", "lightgcn") / "parameters.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    rate(config, "u1,m23,5,2000000")
    report = refresh(load_config(config)).report
    assert report.kind == "full"
    assert "parameters.safetensors is damaged" in report.reasons[0]


def test_fused_channels_are_fitted_anew_under_the_weights_of_the_base(config: Path) -> None:
    config.write_text(config.read_text().replace(ONE_CHANNEL, 'channels = ["lightgcn", "item_knn"]'))
    first = refresh(load_config(config))
    assert first.report.reasons == ("the configuration was changed: pipeline.channels",)
    add_movie(config, 24)
    rate(config, "u1,m24,5,2000000", "u2,m24,5,2000001", "u3,m24,5,2000002")
    second = refresh(load_config(config))
    assert second.report.kind == "incremental"
    assert second.report.fusion == first.report.fusion
    assert {row.ranker for row in second.report.evaluation.metrics} == {"fusion", "lightgcn", "item_knn"}
    found = Recommender.load(second.run.path)
    others = set(found.recommend(["u5"], k=25).table["item_id"].to_pylist())
    assert "m24" in others

"""When a refresh goes on from the run that serves, and the words in which it says why it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gnn.graph.warm_start import FILE
from ingest.settings import GraphSettings
from kg.errors import ConfigError
from kg.io.files import MANIFEST, write_manifest
from recall.config.refresh import RefreshSettings
from recall.jobs.plan import Plan, plan_run
from recall.runs.layout import RunLayout
from recall.runs.pipeline_file import SavedChannel, SavedPipeline
from recall.runs.report import Reading, Verdict


def popularity(metric: str, now: float, before: float) -> Reading:
    return Reading(kind="popularity", name=f"{metric}@10", metric=metric, now=now, before=before, text="")


def gate(readings: list[Reading]) -> dict[str, Any]:
    verdict = Verdict.of(readings, kind="full", against=None, users=0, limits={})
    return verdict.to_json()


CONFIG: dict[str, Any] = {
    "seed": 0,
    "model": {"dim": 8, "layers": 2},
    "sources": {"interactions": [{"files": ["a.csv"]}]},
    "runs": {"keep": 3},
}
VERSIONS = {"torch": "2.9", "numpy": "2.0"}
REPORT: dict[str, Any] = {
    "created": "2026-01-01T00:00:00+00:00",
    "fingerprint": "00000000",
    "generation": 0,
    "reference": {"run": "", "steps": {"lightgcn": 120}, "lead": None},
    "versions": VERSIONS,
    "gate": gate([popularity("ndcg", 0.2, 0.1)]),
}

Make = Callable[..., RunLayout]


@pytest.fixture
def run(tmp_path: Path) -> Make:
    def make(**changed: Any) -> RunLayout:
        folder = RunLayout(tmp_path / "20260101T000000000Z-00000000")
        folder.path.mkdir(exist_ok=True)
        folder.report.write_text(json.dumps({**REPORT, **changed}))
        folder.config.write_text(json.dumps(CONFIG))
        SavedPipeline(channels={"lightgcn": SavedChannel(kind="models", package="graphrecall")}).save(folder)
        folders = [folder.artifact("models", "lightgcn", evaluation=part) for part in (False, True)]
        for path in (folder.lineage, *(model / FILE for model in folders)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        (folder.path / MANIFEST).unlink(missing_ok=True)
        write_manifest(folder.path, {})
        return folder

    return make


def planned(
    current: RunLayout | None, *, config: dict[str, Any] = CONFIG, settings: RefreshSettings | None = None, **more: Any
) -> Plan:
    return plan_run(
        settings or RefreshSettings(), current, config, more.pop("versions", VERSIONS), left_out=("runs",), **more
    )


def only_reason(plan: Plan) -> str:
    assert (plan.kind, plan.base, plan.generation, plan.reference) == ("full", None, 0, None)
    (reason,) = plan.reasons
    return reason


def test_without_a_run_everything_is_made() -> None:
    assert only_reason(planned(None)) == "no run serves yet"


def test_it_goes_on_from_the_run_that_serves_and_counts(run: Make) -> None:
    base = run()
    plan = planned(base)
    assert (plan.kind, plan.base, plan.generation) == ("incremental", base, 1)
    assert plan.reference is not None
    assert (plan.reference.run, plan.reference.steps, plan.reference.lead) == (base.name, {"lightgcn": 120}, 2.0)
    assert plan.steps(RefreshSettings(warm_share=0.1), "lightgcn") == 12
    assert plan.steps(RefreshSettings(warm_share=0.001), "lightgcn") == 1
    told = plan.to_json()
    assert (told["kind"], told["base"], told["generation"]) == ("incremental", base.name, 1)
    assert json.loads(json.dumps(told)) == told
    later = planned(run(generation=7, reference={"run": "first", "steps": {"lightgcn": 50}, "lead": None}))
    assert later.generation == 8
    assert later.reference is not None
    assert (later.reference.run, later.reference.steps) == ("first", {"lightgcn": 50})


def test_it_is_full_when_that_is_asked_for(run: Make) -> None:
    assert only_reason(planned(run(), full=True)) == "a full run was asked for"


def test_after_so_many_incremental_runs_a_full_one_is_due(run: Make) -> None:
    settings = RefreshSettings(full_after=3)
    reference = {"run": "first", "steps": {"lightgcn": 120}, "lead": 2.0}
    assert planned(run(generation=2, reference=reference), settings=settings).kind == "incremental"
    assert "3 incremental runs" in only_reason(planned(run(generation=3, reference=reference), settings=settings))
    assert "makes every run a full one" in only_reason(planned(run(), settings=RefreshSettings(full_after=0)))


def test_a_configuration_that_makes_other_models_wants_a_full_run_but_where_and_what_is_read_does_not(
    run: Make,
) -> None:
    base = run()
    assert "model.dim" in only_reason(planned(base, config={**CONFIG, "model": {"dim": 16, "layers": 2}}))
    assert planned(base, config={**CONFIG, "runs": {"keep": 9}}).kind == "incremental"
    more = {"interactions": [{"files": ["a.csv", "b.csv"]}]}
    assert planned(base, config={**CONFIG, "sources": more}).kind == "incremental"
    assert "extra" in only_reason(planned(base, config={**CONFIG, "extra": 1}))


def test_what_only_people_are_shown_wants_no_full_run(run: Make) -> None:
    def with_nodes(**nodes: dict[str, Any]) -> dict[str, Any]:
        graph = GraphSettings(nodes=nodes, relations={"by": {"phrase": "is by"}} if nodes else {})
        return {**CONFIG, "graph": graph.model_dump(mode="json")}

    def made(before: dict[str, Any], after: dict[str, Any]) -> Plan:
        base = run()
        base.config.write_text(json.dumps(before))
        (base.path / MANIFEST).unlink()
        write_manifest(base.path, {})
        return planned(base, config=after)

    book = {"key": "isbn:{id}"}
    for before, after in (
        (with_nodes(), with_nodes(book={"title": "name"})),
        (with_nodes(book=book), with_nodes(book={**book, "title": "name", "noun": "novel"})),
        (with_nodes(book={"title": "name"}), with_nodes(book={"title": "long_name"}, writer={"title": "name"})),
    ):
        assert made(before, after).kind == "incremental"
    assert "graph.nodes.book" in only_reason(made(with_nodes(), with_nodes(book={"title": "name", "text": "{name}"})))
    assert "graph.nodes.book.key" in only_reason(
        made(with_nodes(book=book), with_nodes(book={"key": "ean:{id}", "title": "name"}))
    )


def test_other_versions_want_a_full_run_and_are_named(run: Make) -> None:
    reason = only_reason(planned(run(), versions={**VERSIONS, "torch": "3.0"}))
    assert "torch 2.9 to 3.0" in reason
    assert "numpy" not in reason


def test_a_line_that_drifted_below_the_limit_is_ended(run: Make) -> None:
    def line(ndcg: float, of_popularity: float, lead: float | None = 2.0) -> RunLayout:
        readings = [popularity("recall", 0.0, 1.0), popularity("ndcg", ndcg, of_popularity)]
        reference = {"run": "first", "steps": {"lightgcn": 120}, "lead": lead}
        return run(generation=2, reference=reference, gate=gate(readings))

    settings = RefreshSettings(full_below=0.9)
    assert planned(line(0.181, 0.1), settings=settings).kind == "incremental"
    assert "1.79 times" in only_reason(planned(line(0.179, 0.1), settings=settings))
    # Data that became harder for everybody is no drift.
    assert planned(line(0.0905, 0.05), settings=settings).kind == "incremental"
    assert planned(line(0.1, 0.0), settings=settings).kind == "incremental"
    assert planned(line(0.1, 0.1, lead=None), settings=settings).kind == "incremental"
    nothing_read = run(generation=2, reference={"run": "first", "steps": {"lightgcn": 120}, "lead": 2.0}, gate=gate([]))
    assert planned(nothing_read, settings=settings).kind == "incremental"


def test_what_the_gate_rejected_is_not_tried_again_in_the_same_way(run: Make) -> None:
    base = run()
    assert "was rejected" in only_reason(planned(base, rejected=[base.name]))
    assert planned(base, rejected=["another"]).kind == "incremental"


@pytest.mark.parametrize("damage", ["{}", "[]", "no json", '{"generation": 0}', '{"generation": 0, "reference": {}}'])
def test_a_run_that_cannot_be_gone_on_from_is_followed_by_a_full_one(run: Make, damage: str) -> None:
    base = run()
    base.report.write_text(damage)
    assert "cannot be continued: " in only_reason(planned(base))


def test_a_damaged_run_and_one_without_its_parameters_are_followed_by_a_full_one(run: Make) -> None:
    base = run()
    base.lineage.write_text("other")
    assert "lineage.parquet is damaged" in only_reason(planned(base))
    base = run()
    (base.artifact("models", "lightgcn") / FILE).unlink()
    assert "incomplete" in only_reason(planned(base))
    (base.path / MANIFEST).unlink()
    write_manifest(base.path, {})  # as after a rewriting that left them out
    assert f"has no models/lightgcn/{FILE}" in only_reason(planned(base))


def test_all_reasons_are_given(run: Make) -> None:
    plan = planned(run(), full=True, versions={}, config={**CONFIG, "seed": 1})
    assert len(plan.reasons) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"full_after": -1},
        {"full_above": 1.5},
        {"full_below": -0.1},
        {"warm_share": 0.0},
        {"warm_share": 2.0},
        {"warm_rate": float("nan")},
    ],
)
def test_settings_out_of_range_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"refresh.{next(iter(wrong))}"):
        RefreshSettings(**wrong)

"""The gate: what passes, what is rejected and kept, and what people decide about it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gnn.graph.embeddings import Embeddings
from kg.arrays import RaggedArray
from kg.errors import ArtifactError, ConfigError, GateError, RefreshInProgressError
from kg.io.files import MANIFEST
from recall.channels import LightGCNChannel
from recall.config.deployment import RefreshConfig, load_config
from recall.config.gate import FullLimits, GateSettings
from recall.contracts import LoadData
from recall.jobs.decide import accept, rollback
from recall.jobs.dry_run import dry_run
from recall.jobs.forget import forget
from recall.jobs.refresh import RefreshResult, refresh
from recall.jobs.weights import check_finite
from recall.ops.summary import SummaryLog
from recall.quality.counts import is_enough
from recall.quality.gate import _metric, _metrics, _overlap, _sound, judge
from recall.quality.held_out import Questions, RunData
from recall.runs.layout import RunLayout
from recall.runs.records import Decision, RunRecord
from recall.runs.registry import RunsFolder
from recall.runs.report import EvaluationReport, Report, Verdict
from recall.serve.recommender import Recommender

Command = Callable[..., tuple[int, str, str]]

GATE = """
[gate]
k = 5
[gate.full]
top_changed = 0.9
metric_loss = 0.3
"""
USERS, MOVIES, EACH = 60, 40, 14


def write_ratings(folder: Path, *, users: range = range(USERS), seed: int = 0, more: str = "") -> None:
    """Users of two tastes: the even ones like even movies, the odd ones odd movies."""
    random = np.random.default_rng(seed)
    rows = ["userId,movieId,rating,timestamp"]
    for user in range(users.stop):
        chosen = random.permutation(np.arange(user % 2, MOVIES, 2))[:EACH]
        lines = [f"u{user},m{movie},{4 + at % 2},{1_000_000 + at}" for at, movie in enumerate(chosen)]
        rows += lines if user in users else []
    (folder / "ratings.csv").write_text("\n".join(rows) + "\n" + more)


@pytest.fixture(scope="module")
def tastes(tmp_path_factory: pytest.TempPathFactory, make_deployment: Callable[..., Path]) -> Path:
    """The config of a deployment with two tastes, and its first run."""
    folder = tmp_path_factory.mktemp("tastes")
    config = make_deployment(folder, users=1, movies=MOVIES)
    write_ratings(folder)
    config.write_text(config.read_text().replace("max_steps = 6", "max_steps = 24") + GATE)
    assert refresh(load_config(config)).status == "published"
    return config


@pytest.fixture
def copied(tastes: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    shutil.copytree(tastes.parent, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy" / tastes.name


def runs_of(config: Path) -> RunsFolder:
    return RunsFolder(config.parent / "runs")


def serving(config: Path) -> RunLayout:
    run = runs_of(config).current()
    assert run is not None
    return run


def spoilt(run: RunLayout, folder: Path, model: str, change: Callable[[Embeddings], Embeddings]) -> RunLayout:
    """A copy of a run whose evaluation or serving model was changed."""
    shutil.copytree(run.path, folder)
    made = RunLayout(folder)
    place = made.artifact("models", "lightgcn", evaluation=model == "evaluation")
    changed = change(Embeddings.load(place))
    graph = RunData(made).view if model == "evaluation" else RunData(made).graph
    LightGCNChannel.of(changed, LoadData.of(graph)).save(place)
    return made


def noise(found: Embeddings) -> Embeddings:
    random = np.random.default_rng(3)
    return replace(found, final=random.normal(size=found.final.shape).astype(np.float32), linear=None)


def failed(verdict: Verdict) -> set[str]:
    return {reading.name for reading in verdict.readings if not reading.passed}


def test_a_run_holds_against_itself(tastes: Path) -> None:
    run = serving(tastes)
    verdict = judge(GateSettings(k=5), run, current=run)
    assert verdict.passed
    assert verdict.kind == "full"
    readings = {reading.name: reading for reading in verdict.readings}
    assert readings["ndcg@5"].now == readings["ndcg@5"].before
    assert readings["ndcg@5"].now > 0.3, "the case must have something to lose"  # type: ignore[operator]
    assert readings["top 10 changed"].now == 0
    assert readings["nodes movie"].now == MOVIES
    assert verdict.users == USERS
    assert judge(GateSettings(), run, current=run, incremental=True).kind == "incremental"
    assert judge(GateSettings(), run, current=None).kind == "first"
    # What was published says so.
    gate = Report.load(run).gate
    assert gate.passed
    assert (gate.kind, gate.against) == ("first", None)


def test_a_model_that_lost_its_sense_is_rejected_and_a_first_one_only_by_its_minimum(
    tastes: Path, tmp_path: Path
) -> None:
    run = serving(tastes)
    bad = spoilt(run, tmp_path / "bad", "evaluation", noise)
    verdict = judge(GateSettings(k=5), bad, current=run)
    assert failed(verdict) == {"recall@5", "ndcg@5"}
    assert any("ndcg@5" in reason and "10.0% allowed" in reason for reason in verdict.reasons)
    assert judge(GateSettings(k=5), bad, current=None).passed
    floor = GateSettings.model_validate({"k": 5, "first": {"minimum": {"ndcg": 0.3}, "ahead_of_popularity": True}})
    assert failed(judge(floor, bad, current=None)) == {"least ndcg@5"} | {
        name for name in failed(judge(floor, bad, current=None)) if "popularity" in name
    }
    assert judge(floor, run, current=None).passed


def test_a_serving_model_of_another_mind_is_rejected_where_the_lists_may_not_change(
    tastes: Path, tmp_path: Path
) -> None:
    run = serving(tastes)
    bad = tmp_path / "bad"
    shutil.copytree(run.path, bad)
    changed = noise(Embeddings.load(run.artifact("models", "lightgcn")))
    folder = RunLayout(bad).artifact("models", "lightgcn")
    shutil.rmtree(folder)
    LightGCNChannel.of(changed, LoadData.of(RunData(run).graph)).save(folder)
    settings = GateSettings(k=5, full=FullLimits(top_changed=0.4))
    verdict = judge(settings, RunLayout(bad), current=run)
    assert failed(verdict) == {"top 10 changed"}
    assert "40.0% allowed" in verdict.reasons[0]
    assert judge(GateSettings(k=5, full=FullLimits(top_changed=1.0)), RunLayout(bad), current=run).passed


def test_vectors_that_are_no_numbers_are_noticed(tastes: Path, tmp_path: Path) -> None:
    run = serving(tastes)

    def broken(found: Embeddings) -> Embeddings:
        final = found.final.copy()
        final[0, 0], final[1, 1] = np.nan, np.inf
        return replace(found, final=final)

    verdict = judge(GateSettings(), spoilt(run, tmp_path / "bad", "evaluation", broken), current=run)
    assert failed(verdict) == {"no numbers"}
    assert verdict.reasons == ("2 values of the model's vectors are no numbers",)


def test_a_run_of_a_version_that_cannot_be_read_is_no_measure(tastes: Path, tmp_path: Path) -> None:
    run = serving(tastes)
    shutil.copytree(run.path, tmp_path / "old")
    facts = RunLayout(tmp_path / "old").artifact("models", "lightgcn") / "model.json"
    facts.write_text(facts.read_text().replace('"cold_scale"', '"warmth"'))
    verdict = judge(GateSettings(k=5), run, current=RunLayout(tmp_path / "old"))
    assert verdict.passed
    assert verdict.kind == "first"
    assert "lacks 'cold_scale': another version" in str(verdict.note)


def test_a_metric_must_lose_much_and_not_by_chance() -> None:
    random = np.random.default_rng(0)
    before = random.uniform(size=500)
    assert _metric("ndcg", 5, before * 0.95, before, 0.1).passed
    assert not _metric("ndcg", 5, before * 0.85, before, 0.1).passed
    assert _metric("ndcg", 5, before * 1.5, before, 0.0).passed
    few = np.array([0.0, 0.0, 1.0, 1.0])
    by_chance = _metric("ndcg", 5, few, few[::-1].copy() + np.array([0.0, 0.0, 0.0, 0.4]), 0.1)
    assert by_chance.passed
    assert "may be chance" in by_chance.text
    assert _metric("ndcg", 5, before, np.zeros(500), 0.1).passed


def test_lists_that_show_fewer_items_lose_coverage() -> None:
    settings, limits = GateSettings(k=2), FullLimits(coverage_loss=0.4)
    users = np.arange(4)
    truth = RaggedArray.from_pairs(users, np.full(4, 9), num_rows=4)  # in no list: the metrics stay
    questions = Questions(user=users, seen=RaggedArray.empty(4), truth=truth)
    before = np.arange(8).reshape(4, 2)
    for shown, passes in ((8, True), (5, True), (4, False), (2, False)):
        lists = before % shown
        readings = {reading.kind: reading for reading in _metrics(settings, limits, questions, lists, before, 2, 10)}
        assert readings["coverage"].now == shown / 10
        assert readings["coverage"].passed is passes, shown
        assert readings["metric"].passed


def test_a_run_that_answers_with_what_users_have_seen_does_not_pass_its_self_check(tastes: Path) -> None:
    run = serving(tastes)
    recommender = Recommender.load(run.path)
    assert {reading.name: reading.passed for reading in _sound(recommender, run)}["self-check"]
    pairs = {(row["user_id"], row["item_id"]) for row in recommender.recommend(["u0"], k=3).table.to_pylist()}
    interactions, graph = recommender.graph.interactions, recommender.graph
    first = int(np.flatnonzero(interactions.user == graph.users.index(["u0"])[0])[0])
    seen = graph.items.ids[int(interactions.item[first])].as_py()
    assert ("u0", seen) not in pairs

    class Repeats(Recommender):
        """Adds what the first user has seen to every answer."""

        def recommend(self, *arguments: Any, **more: Any) -> Any:
            answer = super().recommend(*arguments, **more)
            row = answer.table.slice(0, 1)
            for name, value in (("user_id", "u0"), ("item_id", seen)):
                at = row.column_names.index(name)
                row = row.set_column(at, row.schema.field(at), pa.array([value], row.schema.field(at).type))
            return SimpleNamespace(table=pa.concat_tables([answer.table, row]))

    repeats = Repeats.load(run.path)
    (check,) = [reading for reading in _sound(repeats, run) if reading.name == "self-check"]
    assert not check.passed
    assert "1 items that users have seen" in check.text


@pytest.mark.parametrize(
    ("now", "before", "judged"),
    [
        *((84, 120, True), (100, 100, True), (99, 99, False)),  # large, and just not
        *((27, 40, False), (0, 40, True), (0, 15, True), (0, 9, False), (0, 0, False)),  # chance, gone
        *((170, 40, True), (85, 40, False), (1, 0, True)),  # grown
    ],
)
def test_a_small_relation_is_judged_by_more_than_chance(now: int, before: int, judged: bool) -> None:
    assert is_enough(now, before, FullLimits(gone=0.2, more=1.0)) is judged


def test_overlaps_are_those_of_sets() -> None:
    random = np.random.default_rng(1)
    lists = np.full((200, 10), -1)
    others = lists.copy()
    for row in range(200):
        for made in (lists, others):
            size = random.integers(0, 11)
            made[row, :size] = random.permutation(25)[:size]
    expected = []
    for one, other in zip(lists, others, strict=True):
        a, b = set(one[one >= 0]), set(other[other >= 0])
        if a or b:
            expected.append(len(a & b) / max(len(a), len(b)))
    assert np.allclose(_overlap(lists, others), expected)


@pytest.mark.slow
def test_half_a_source_is_rejected_kept_and_not_trained_on_again(copied: Path, command: Command) -> None:
    runs, before = runs_of(copied), serving(copied)
    write_ratings(copied.parent, users=range(USERS // 3))
    result = refresh(load_config(copied))
    assert result.status == "rejected"
    assert result.run == before == serving(copied)
    assert any(
        reason.startswith("nodes user: 20, before 60: 66.7% of those before are gone") for reason in result.reasons
    )
    assert result.rejected is not None
    assert runs.rejected() == [result.rejected]
    assert runs.runs() == [before]
    assert not runs.staging_root.exists()
    assert result.rejected.verify()["rejected"] == list(result.reasons)
    assert Report.load(result.rejected).gate.reasons == result.reasons
    assert Recommender.load(result.rejected.path).recommend(["u1"], k=3).table.num_rows == 3

    planned = dry_run(load_config(copied))
    assert planned.action == "rejected"
    code, out, _ = command("refresh", copied, "--json")
    again = json.loads(out)
    assert code == 4
    assert again["status"] == "rejected"
    assert again["run"] == before.name
    assert again["rejected"] == str(result.rejected.path)
    assert runs.rejected() == [result.rejected], "it was not made again"
    code, out, _ = command("runs", runs.path)
    assert code == 0
    assert "rejected: nodes user" in out.replace("\n", " ")

    # Wider limits are asked of the run that is there.
    copied.write_text(copied.read_text().replace("[gate.full]", "[gate.full]\ngone = 0.9"))
    assert "judged again" in dry_run(load_config(copied)).reasons[0]
    wider = refresh(load_config(copied))
    assert wider.status == "published"
    assert wider.run == serving(copied)
    assert wider.run.name == result.rejected.name  # type: ignore[union-attr]
    assert runs.rejected() == []
    assert wider.run.verify().get("rejected") is None  # type: ignore[union-attr]
    assert Report.load(wider.run).gate.passed  # type: ignore[union-attr]
    assert refresh(load_config(copied)).status == "unchanged"


@pytest.mark.slow
def test_users_with_other_ids_from_another_file_cannot_be_compared_and_do_not_serve_unless_told(copied: Path) -> None:
    before = serving(copied)
    ratings = copied.parent / "ratings.csv"
    (copied.parent / "stars.csv").write_text(ratings.read_text().replace("\nu", "\nperson-"))
    ratings.unlink()
    copied.write_text(
        copied.read_text().replace("ratings.csv", "stars.csv").replace('user = "u1"', 'user = "person-1"')
    )
    result = refresh(load_config(copied))
    assert (result.status, serving(copied)) == ("rejected", before)
    (reason,) = result.reasons
    assert reason.startswith("0 of the 60 user nodes of the run that serves are in the new one, and 1.0% are asked for")
    assert reason.endswith("accept the run, or set in_common = 0 in [gate.full]")
    copied.write_text(copied.read_text().replace("[gate.full]", "[gate.full]\nin_common = 0"))
    assert refresh(load_config(copied)).status == "published"


@pytest.mark.slow
def test_items_that_lost_their_titles_or_a_small_relation_that_is_gone_are_rejected(copied: Path) -> None:
    movies = copied.parent / "movies.nt"
    text = movies.read_text()
    movies.write_text(re.sub(r'(movie/\d+> <https://schema.org/name>) "[^"]*"', r'\1 "N/A"', text))
    reasons = refresh(load_config(copied)).reasons
    assert "different titles of movie: 1, before 40: 97.5% of those before are gone, 20.0% allowed" in reasons
    movies.write_text("".join(line for line in text.splitlines(keepends=True) if "/director> " not in line))
    reasons = refresh(load_config(copied)).reasons
    assert any(
        "director" in reason and ": 0, before 40: 100.0% of those before are gone" in reason for reason in reasons
    )


def test_people_publish_a_rejected_run_with_name_and_reason(copied: Path, command: Command) -> None:
    runs, before = runs_of(copied), serving(copied)
    write_ratings(copied.parent, users=range(USERS // 3))
    rejected = refresh(load_config(copied)).rejected
    assert rejected is not None
    code, _, err = command("accept", rejected.path, "--by", "ada", "--reason", "  ")
    assert code == 1
    assert "keeps a reason" in err
    with pytest.raises(ConfigError, match="was not rejected"):
        accept(before.path, by="ada", reason="why not")
    with pytest.raises(ArtifactError, match="there is no run 20000101"):
        accept(runs.path / "20000101T000000000Z-00000000", by="ada", reason="why not")
    with runs.lock(), pytest.raises(RefreshInProgressError):
        accept(rejected.path, by="ada", reason="the shop was closed")
    code, out, _ = command(
        "accept", runs.path / rejected.name, "--by", "ada", "--reason", "the shop was closed", "--json"
    )
    assert code == 0
    assert json.loads(out)["run"] == rejected.name
    assert serving(copied).name == rejected.name
    assert runs.rejected() == []
    serving(copied).verify()
    record = runs.record(serving(copied)).accepted
    assert record is not None
    assert (record.by, record.reason, record.run) == ("ada", "the shop was closed", before.name)
    code, out, _ = command("runs", runs.path)
    assert "accepted by ada" in out
    assert refresh(load_config(copied)).status == "unchanged"
    with pytest.raises(ConfigError, match="serves already"):
        accept(rejected.path, by="ada", reason="again")


def test_a_first_run_below_its_minimum_serves_nobody_until_it_is_accepted(
    tastes: Path, tmp_path: Path, command: Command
) -> None:
    for name in ("movies.nt", "ratings.csv"):
        shutil.copy(tastes.parent / name, tmp_path)
    config = tmp_path / "config.toml"
    text = tastes.read_text().replace("max_steps = 24", "max_steps = 2")
    config.write_text(text + "[gate.first]\nminimum = {ndcg = 0.99}\nahead_of_popularity = true\n")
    code, out, _ = command("refresh", config)
    assert code == 4
    assert "at least 0.9900 is asked for" in out.replace("\n", " ")
    assert "nothing yet" in out
    runs = runs_of(config)
    assert runs.current() is None
    (rejected,) = runs.rejected()
    accept(rejected.path, by="ada", reason="it has to begin somehow")
    assert serving(config).name == rejected.name


def test_a_run_whose_vectors_overflow_is_kept_as_rejected_and_never_serves(
    copied: Path, tmp_path: Path, command: Command
) -> None:
    """Real numbers that are none: parameters that are finite, lengths whose squares are not."""
    runs, before, good = runs_of(copied), serving(copied), copied.read_text()
    copied.write_text(
        good.replace("max_steps = 24", "max_steps = 4\nlearning_rate = 1e20\nbetas = [3.0]\npriors = []")
        + "[split]\nvalid = 0.0\n"
    )
    code, out, _ = command("refresh", copied)
    words = " ".join(out.split())
    assert code == 4
    assert "values of the vectors of lightgcn are no numbers: lower channels.lightgcn.training.learning_rate" in words
    assert "which can never serve" in words
    (rejected,) = runs.rejected()
    assert serving(copied) == before
    assert not runs.staging_root.exists()
    assert rejected.verify()["rejected"] == list(Report.load(rejected).gate.reasons)
    assert "no numbers" in (rejected.path / "report.html").read_text()
    (line,) = SummaryLog(runs.path).read()
    assert (line["status"], line["exit_code"], line["rejected"]) == ("rejected", 4, rejected.name)
    assert "no numbers" in line["reasons"][0]
    assert command("runs", runs.path)[0] == 0

    # It is hopeless under any limits, and the same inputs are not trained on again.
    copied.write_text(copied.read_text().replace("metric_loss = 0.3", "metric_loss = 0.9"))
    assert dry_run(load_config(copied)).reasons == (f"{rejected.name}, which has these inputs, was rejected",)
    assert refresh(load_config(copied)).rejected == rejected
    with pytest.raises(ConfigError, match="was never finished: it cannot serve"):
        accept(rejected.path, by="ada", reason="why not")
    with pytest.raises(ArtifactError):
        Recommender.load(rejected.path)
    copied.write_text(good)
    assert refresh(load_config(copied)).status == "unchanged"
    assert forget(runs, ["u1"], config=load_config(copied), patience=0.0).removed == (rejected.name,)


def test_a_metric_that_is_no_number_is_refused() -> None:
    row = {"ranker": "lightgcn", "group": "warm users", "users": 3, "ndcg@5": 0.5, "novelty@5": float("nan")}
    rows = [{**row, "novelty@5": 1.0}, row]
    check_finite(EvaluationReport.model_validate({"metrics": rows[:1]}))
    with pytest.raises(GateError, match="novelty@5 of lightgcn for warm users is no number"):
        check_finite(EvaluationReport.model_validate({"metrics": rows}))


@pytest.mark.slow
def test_what_was_rolled_back_comes_back_only_by_new_sources_or_on_demand(copied: Path, command: Command) -> None:
    runs, first = runs_of(copied), serving(copied)
    code, _, err = command("rollback", runs.path)
    assert code == 1
    assert "there is no run before the one that serves" in err
    more = "u1,m3,5,2000000\n"
    write_ratings(copied.parent, more=more)
    second = refresh(load_config(copied)).run
    assert second is not None
    assert second != first
    with runs.lock(), pytest.raises(RefreshInProgressError):
        rollback(runs.path, by="ada")
    code, out, _ = command("rollback", runs.path, "--by", "ada", "--reason", "odd lists", "--json")
    assert code == 0
    assert json.loads(out) == {
        "run": first.name,
        "path": str(first.path),
        "before": second.name,
        "withdrawn": [second.name],
        "damaged": [],
    }
    assert serving(copied) == first
    held = refresh(load_config(copied))
    assert held.status == "unchanged"
    assert held.run == first == serving(copied)
    assert f"{second.name}, which has these inputs, was rolled back by ada" in held.reasons[0]
    assert "odd lists" in held.reasons[0]
    assert dry_run(load_config(copied)).action == "rolled back"
    code, out, _ = command("runs", runs.path)
    assert "rolled back by ada" in out

    code, _, _ = command("rollback", runs.path, "--to", second.name, "--by", "bob")
    assert code == 0
    assert serving(copied) == second
    assert refresh(load_config(copied)).status == "unchanged"
    rollback(runs.path, by="ada")
    write_ratings(copied.parent, more=more + "u2,m5,5,2000001\n")
    third = refresh(load_config(copied))
    assert third.status == "published"
    assert third.run == serving(copied)
    assert third.run not in (first, second)
    assert third.run.verify()  # type: ignore[union-attr]


def test_a_rollback_passes_over_what_cannot_be_loaded(copied: Path) -> None:
    runs, first = runs_of(copied), serving(copied)
    for number in range(1, 3):
        name = f"2099010{number}T000000000Z-00000000"
        shutil.copytree(first.path, runs.path / name)
    damaged, last = (RunLayout(runs.path / f"2099010{number}T000000000Z-00000000") for number in (1, 2))
    runs.serve(last)
    (damaged.path / MANIFEST).write_text("{}")
    switched = rollback(runs.path, by="ada")
    assert switched.run == first == runs.current()
    assert [run.name for run in switched.damaged] == [damaged.name]
    assert {run.name for run in switched.withdrawn} == {damaged.name, last.name}
    with pytest.raises(ArtifactError, match="damaged"):
        rollback(runs.path, to=damaged.name, by="ada")
    assert runs.current() == first


def test_a_rollback_does_not_go_to_a_run_that_was_rolled_back_itself(copied: Path) -> None:
    runs, first = runs_of(copied), serving(copied)
    for number in range(1, 4):
        shutil.copytree(first.path, runs.path / f"2099010{number}T000000000Z-00000000")
    _, second, third, fourth = runs.runs()
    runs.serve(third)
    assert rollback(runs.path, by="ada").run == second  # the third is bad, and the fourth was not there yet
    runs.keep_record(fourth, RunRecord())
    runs.serve(fourth)
    assert rollback(runs.path, by="ada").run == second
    assert rollback(runs.path, by="ada").run == first
    runs.link.unlink()
    assert rollback(runs.path, by="ada").run == first
    runs.serve(fourth)
    for run in (first, second):
        runs.keep_record(run, RunRecord(rolled_back=Decision.now(by="ada", reason="bad")))
    with pytest.raises(ArtifactError, match=f"{second.name}, {first.name}, rolled back before, serves again by --to"):
        rollback(runs.path, by="ada")
    assert rollback(runs.path, to=second.name, by="ada").run == second
    assert runs.record(second).rolled_back is None


def test_a_dry_run_writes_nothing_and_says_what_would_be_done(copied: Path, tmp_path: Path, command: Command) -> None:
    def state() -> dict[Path, int]:
        return {path: path.lstat().st_mtime_ns for path in copied.parent.rglob("*")}

    before = state()
    assert dry_run(load_config(copied)).action == "unchanged"
    assert dry_run(load_config(copied), full=True).plan["kind"] == "full"
    assert state() == before
    write_ratings(copied.parent, more="u1,m3,5,2000000\n")
    before = state()
    with runs_of(copied).lock():  # it needs none itself
        during = state()
        code, out, _ = command("refresh", copied, "--dry-run", "--json")
        assert state() == during
    found = json.loads(out)
    assert code == 0
    assert (found["status"], found["action"]) == ("planned", "make")
    assert found["plan"]["base"] == serving(copied).name
    assert found["reasons"]
    states = {source["name"]: source["state"] for source in found["sources"]}
    assert states == {"movies.nt": "unchanged", "ratings.csv": "changed"}
    copied.write_text(copied.read_text().replace('"runs"', '"nowhere"') + "[privacy]\npseudonyms = true\n")
    assert dry_run(load_config(copied)).plan["kind"] == "full"
    assert not (copied.parent / "nowhere").exists()
    code, out, _ = command("refresh", copied, "--dry-run")
    assert "ratings.csv new" in out


def test_limits_are_checked_before_any_work(copied: Path) -> None:
    good = copied.read_text()
    copied.write_text(good.split("[gate]")[0] + "[gate.full]\ngone = 0.5\n")
    assert load_config(copied).gate.full == FullLimits(gone=0.5), "one limit changes no other"
    assert load_config(copied).gate.full.metric_loss == GateSettings().full.metric_loss
    for section, problem in (
        ("[gate.full]\ngone = 1.5", "gate.full.gone"),
        ("[gate.first]\nminimum = {luck = 0.1}", "gate.first.minimum"),
        ("[gate]\nmetric = 3", "gate.metric"),
    ):
        copied.write_text(good.split("[gate]")[0] + section)
        with pytest.raises(ConfigError, match=problem):
            load_config(copied)


def test_the_verdict_changes_no_fingerprint(copied: Path) -> None:
    config: RefreshConfig = load_config(copied)
    tighter = config.model_copy(update={"gate": GateSettings(users=7)})
    result: RefreshResult = refresh(tighter)
    assert result.status == "unchanged"


def test_a_first_run_of_which_nothing_is_held_out_says_so(
    tmp_path: Path, make_deployment: Callable[..., Path], command: Command
) -> None:
    config = make_deployment(tmp_path / "sparse")
    rows = [f"u{user},m{movie},5,{1_000_000 + user}" for user in range(30) for movie in [user % 24]]
    (config.parent / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *rows]) + "\n")
    code, out, _ = command("refresh", config)
    assert code == 0
    assert "nothing was held out" in " ".join(out.split())
    run = RunsFolder(config.parent / "runs").current()
    assert run is not None
    report = Report.load(run)
    assert report.gate is not None
    assert [reading.name for reading in report.gate.readings if "nothing was held out" in reading.text]
    assert "nothing was held out" in (run.path / "report.html").read_text()

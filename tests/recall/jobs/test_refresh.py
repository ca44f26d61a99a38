"""The main job, end to end: published, unchanged, killed, out of room, refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gnn.graph.embeddings import Embeddings
from gnn.text.features import TextFeatures
from kg.errors import ConfigError, InvalidDataError, RefreshInProgressError, StoreUnavailableError
from kg.io.graph_folder import load_graph
from kg.stores.embedded.store import EmbeddedStore
from recall.config.deployment import load_config
from recall.contracts import LoadData
from recall.jobs.disk import is_disk_full
from recall.jobs.refresh import RefreshResult, refresh
from recall.pipeline import Pipeline
from recall.quality.assess import assess, exact_channel, read_split
from recall.quality.stage.evaluate import evaluate_run
from recall.runs.registry import RunsFolder
from recall.runs.report import Report
from recall.serve.recommender import Recommender

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

# Makes processes that refresh and kill themselves, as a machine would, when a task is heard of or has come so far.
# They are forked from one that has imported everything and computed nothing: no import twice, and safe for threads.
LAUNCHER = """
import json, os, signal, sys
from contextlib import contextmanager
import ladybug
from transformers import AutoModel, AutoTokenizer
import gnn.text.encoder, recall.ops.html_report, recall.jobs.stages, recall.jobs.refresh, recall.runs.registry
import torch._dynamo, matplotlib.backends.backend_svg, pandas, polars  # what is imported when they first work
from recall.config.deployment import load_config

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Task:
    def __init__(self, deadly):
        self.deadly, self.done = deadly, 0
    def advance(self, steps=1):
        self.done += steps
        if self.deadly and self.done >= after:
            die()
    def note(self, text):
        pass

class Listener:
    @contextmanager
    def task(self, description, *, total=None):
        if description == when and after == 0:
            die()
        yield Task(description == when)

for line in sys.stdin:
    config, when, after = json.loads(line)
    child = os.fork()
    if child == 0:
        if when == "switch":
            recall.runs.registry.switch_link = die
        recall.jobs.refresh.refresh(load_config(config), progress=Listener())
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

Killer = Callable[..., None]


@pytest.fixture(scope="module")
def run_and_kill() -> Iterator[Killer]:
    """Starts a refresh of a config and has it killed when a task has come so far."""
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER], env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as launcher:
        stdin, stdout = launcher.stdin, launcher.stdout
        assert stdin is not None
        assert stdout is not None

        def run(config: Path, when: str, after: int = 0) -> None:
            stdin.write(json.dumps([str(config), when, after]) + "\n")
            stdin.flush()
            assert int(stdout.readline()) == -signal.SIGKILL

        yield run
        launcher.kill()


def copy(deployment: Path, folder: Path) -> Path:
    """The same deployment elsewhere, its run included."""
    shutil.copytree(deployment.parent, folder, symlinks=True)
    return folder / deployment.name


def touch_ratings(config: Path) -> None:
    with (config.parent / "ratings.csv").open("a") as stream:
        stream.write("u1,m23,5,2000000\n")


def test_without_any_text_there_is_no_content_knn_to_compare_with(refreshed: RefreshResult) -> None:
    run = refreshed.run
    graph = load_graph(run.graph)
    split = read_split(run.split, graph)
    data = LoadData.of(split.view(graph, "train"))
    model = exact_channel(Embeddings.load(run.artifact("models", "lightgcn", evaluation=True)), data)
    nothing = TextFeatures(nodes=np.zeros(0, dtype=np.int64), vectors=np.zeros((0, 8), dtype=np.float32), model="")
    baselines = ("popularity", "content_knn")
    for features, rankers in (
        (nothing, {"lightgcn", "popularity"}),
        (TextFeatures.load(run.features), {"lightgcn", *baselines}),
    ):
        found = assess(
            graph,
            split,
            Pipeline([model], data.history),
            kind="per_user_time",
            ks=(5,),
            baselines=baselines,
            features=features,
        )
        assert {row.ranker for row in found.metrics} == rankers


def test_a_run_is_complete(refreshed: RefreshResult) -> None:
    assert refreshed.status == "published"
    run = refreshed.run
    manifest = run.verify()
    report = Report.load(run)
    assert report == refreshed.report
    assert manifest["metrics"].keys() == {"recall@5", "ndcg@5"}
    assert not [name for name in manifest["files"] if name.endswith((".pkl", ".pt", ".bin"))]
    graph = load_graph(run.graph)
    assert report.data.nodes["movie"] == 24
    assert report.data.interactions == 16 * 12
    split = read_split(run.split, graph)
    assert split.counts() == {name: report.evaluation.split[name] for name in ("train", "valid", "test")}
    assert split.temporal == "user"
    rankers = {row.ranker for row in report.evaluation.metrics}
    assert rankers == {"lightgcn", "popularity", "item_knn", "content_knn", "spectral"}
    assert set(report.timings) == {
        "build",
        "encode",
        "compare",
        "split",
        "train lightgcn for evaluation",
        "evaluate",
        "history",
        "train lightgcn for serving",
        "store",
    }
    assert len(TextFeatures.load(run.features)) >= 24
    evaluation, serving = (
        Embeddings.load(run.artifact("models", "lightgcn", evaluation=part)) for part in (True, False)
    )
    assert serving.facts["steps"] == evaluation.facts["steps"]
    assert (serving.beta, serving.prior) == (evaluation.beta, evaluation.prior)
    assert not np.array_equal(serving.final, evaluation.final)
    runs = RunsFolder(run.path.parent)
    assert runs.current() == run
    assert not runs.staging_root.exists()


def test_a_second_refresh_changes_nothing(deployment: Path, refreshed: RefreshResult) -> None:
    again = refresh(load_config(deployment))
    assert again.status == "unchanged"
    assert again.run == refreshed.run
    assert again.report == refreshed.report


def test_nothing_changed_is_told_without_the_libraries_that_take_long_to_import(
    refreshed: RefreshResult, deployment: Path
) -> None:
    code = (
        "import sys; from recall.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as stop:\n    status = stop.code\n"
        "heavy = ('torch', 'transformers', 'tokenizers', 'matplotlib', 'neo4j', 'pandas', 'ladybug')\n"
        "print('HEAVY', [name for name in heavy if name in sys.modules], status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "refresh", str(deployment), "--exit-code"],
        capture_output=True,
        text=True,
        check=True,
        env=ENVIRONMENT,
    )
    assert done.stdout.splitlines()[-1] == "HEAVY [] 3"


def test_the_stored_evaluation_model_gives_the_reported_numbers(refreshed: RefreshResult) -> None:
    again = evaluate_run(refreshed.run)
    reported = refreshed.report.evaluation.metrics
    measured = {(row.ranker, row.group): row.metrics for row in again.metrics}
    assert all(row.metrics.items() <= measured[row.ranker, row.group].items() for row in reported)
    other = evaluate_run(refreshed.run, ks=[3], baselines=False)
    assert other.k == (3,)
    assert {row.ranker for row in other.metrics} == {"lightgcn"}
    assert all("recall@3" in row.metrics for row in other.metrics)


def test_what_where_and_how_it_runs_is_no_change_but_a_seed_is(deployment: Path, refreshed: RefreshResult) -> None:
    text = deployment.read_text()
    try:
        deployment.write_text('device = "cpu"\n' + text.replace("keep = 2", "keep = 5").replace('"u1"', '"u2"'))
        assert refresh(load_config(deployment)).status == "unchanged"
    finally:
        deployment.write_text(text)


def test_killed_at_every_stage_it_goes_on_and_the_old_run_serves(
    deployment: Path, refreshed: RefreshResult, tmp_path: Path, run_and_kill: Killer
) -> None:
    config = copy(deployment, tmp_path / "copy")
    runs = RunsFolder(config.parent / "runs")
    old = runs.current()
    assert old is not None
    touch_ratings(config)
    whole = copy(config, tmp_path / "whole")
    marks: dict[str, int] = {}
    prepared = {"build", "encode", "compare", "split"}
    measured = {*prepared, "train lightgcn for evaluation", "evaluate", "history"}
    trained = {*measured, "train lightgcn for serving"}
    stages = [
        ("encoding texts", 0, {"build"}),
        ("training lightgcn for evaluation", 1, prepared),
        ("training lightgcn for serving", 1, measured),
        ("building the embedded store", 2, trained),
        ("checking the new run", 0, {*trained, "store"}),
    ]
    shutil.rmtree(runs.cache)
    for when, after, done in stages:
        run_and_kill(config, when, after)
        assert runs.current() == old
        assert len(runs.runs()) == 1
        (staging,) = runs.staging_root.iterdir()
        found = {mark.stem: mark.stat().st_mtime_ns for mark in (staging / "done").iterdir()}
        assert set(found) == done
        assert marks.items() <= found.items(), "a finished stage was done again"
        marks = found
    assert Recommender.load(runs.link).recommend(["u1"], k=3).table.num_rows == 3
    run_and_kill(config, "switch")
    assert runs.current() == old
    assert len(runs.runs()) == 2
    result = refresh(load_config(config))
    assert result.status == "published"
    assert runs.current() == result.run == runs.runs()[-1]
    assert len(runs.runs()) == 2
    # The same as without any kill.
    clean = refresh(load_config(whole))
    assert clean.report.kind == result.report.kind == "incremental"
    made, remade = (Embeddings.load(one.run.artifact("models", "lightgcn")) for one in (clean, result))
    assert np.allclose(made.final, remade.final, atol=1e-6)
    assert clean.report.training["lightgcn"].serving.steps == result.report.training["lightgcn"].serving.steps
    assert len(RunsFolder(whole.parent / "runs").runs()) == 2, "runs.keep = 2"


def test_libraries_report_a_full_disk_in_many_ways() -> None:
    def caused(error: Exception, cause: BaseException) -> Exception:
        error.__cause__ = cause
        return error

    assert is_disk_full(OSError(28, "No space left on device"))
    assert is_disk_full(caused(ValueError("bad"), OSError(122, "Disk quota exceeded")))
    assert is_disk_full(RuntimeError("IoError(Os { code: 28, kind: StorageFull })"))
    assert not is_disk_full(OSError(13, "Permission denied"))
    assert not is_disk_full(InvalidDataError("a line of 28 columns"))


def test_a_bad_source_is_refused_and_nothing_is_published(
    deployment: Path, refreshed: RefreshResult, tmp_path: Path
) -> None:
    config = copy(deployment, tmp_path / "copy")
    runs = RunsFolder(config.parent / "runs")
    before = runs.current()
    (config.parent / "ratings.csv").write_text("user,movieId,rating,timestamp\nu1,m1,4,1\n")
    with pytest.raises(InvalidDataError, match="userId"):
        refresh(load_config(config))
    (config.parent / "ratings.csv").unlink()
    with pytest.raises(InvalidDataError, match=r"ratings\.csv does not exist.*the configuration"):
        refresh(load_config(config))
    (config.parent / "ratings.csv").mkdir()
    with pytest.raises(InvalidDataError, match=r"ratings\.csv is a folder: name its files"):
        refresh(load_config(config))
    rows = "".join(f"u{user},m{user + more},5,77\n" for user in range(9) for more in range(4))
    (config.parent / "ratings.csv").rmdir()
    (config.parent / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + rows)
    config.write_text(config.read_text() + '[split]\nkind = "global_time"\n')
    with pytest.raises(InvalidDataError, match=r"split\.kind = 'global_time' leaves no positive interaction"):
        refresh(load_config(config))
    assert runs.current() == before
    assert len(runs.runs()) == 1


def test_a_file_in_place_of_the_runs_folder_is_told(deployment: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(ConfigError, match=r"runs\.folder is .* a file"), RunsFolder(tmp_path / "runs").lock():
        pass


def test_what_lies_behind_a_link_in_the_runs_folder_stays(
    make_deployment: Callable[[Path], Path], tmp_path: Path
) -> None:
    config = load_config(make_deployment(tmp_path / "deployment"))
    (tmp_path / "other" / "work").mkdir(parents=True)
    (tmp_path / "other" / "work" / "photo.jpg").write_text("dear")
    config.runs_folder.mkdir(parents=True, exist_ok=True)
    (config.runs_folder / ".staging").symlink_to(tmp_path / "other")
    with pytest.raises(ConfigError, match=r"\.staging is a link to .*mount the other disk there"):
        refresh(config)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["work"]
    assert (tmp_path / "other" / "work" / "photo.jpg").read_text() == "dear"
    assert RunsFolder(config.runs_folder).runs() == []


def test_a_run_without_an_embedded_store_serves_and_says_why(
    make_deployment: Callable[[Path], Path], tmp_path: Path
) -> None:
    config = make_deployment(tmp_path)
    config.write_text(config.read_text() + '[graph.nodes.person]\nlabel = "Movie"\n')
    result = refresh(load_config(config))
    assert result.status == "published"
    assert not result.run.store.exists()
    (finding,) = (f for f in result.report.quality.findings if f.kind == "no embedded store")
    assert finding.severity == "warning"
    assert "2 node types have the label 'Movie'" in finding.explanation
    rec = Recommender.load(result.run.path)
    assert rec.recommend(["u1"], k=3).table.num_rows == 3
    with pytest.raises(StoreUnavailableError, match="no embedded store"):
        rec.cypher("MATCH (m:Movie) RETURN m.id AS id")


def test_names_that_differ_only_in_case_cost_a_run_no_cypher(
    make_deployment: Callable[[Path], Path], tmp_path: Path
) -> None:
    config = make_deployment(tmp_path)
    config.write_text(config.read_text() + '[graph.relations.director]\ncypher_type = "PERSON"\n')
    result = refresh(load_config(config))
    (finding,) = (f for f in result.report.quality.findings if f.kind == "names in the embedded store")
    assert (finding.severity, finding.examples) == ("info", ("type PERSON is PERSON_2",))
    rec = Recommender.load(result.run.path)
    counts = [
        rec.cypher(f"MATCH (:Movie)-[r:{name}]->(:Person) RETURN count(r) AS n") for name in ("PERSON", "PERSON_2")
    ]
    assert counts[0] == counts[1] == [{"n": 24}]
    (item,) = rec.recommend(["u1"], k=1).table["item_id"].to_pylist()
    (explanation,) = rec.explain([("u1", item)])
    assert any("PERSON" in path.cypher.text for path in explanation.paths)
    for path in explanation.paths:
        assert rec.cypher(path.cypher), path


def test_a_run_answers_cypher_and_stays_as_it_was_published(refreshed: RefreshResult) -> None:
    with EmbeddedStore(refreshed.run.store) as store:
        rows = store.query("MATCH (m:Movie)-[:DIRECTOR]->(p:Person) RETURN m.id AS m, p.name AS p")
    assert len(rows) == 24
    assert {"m": "m7", "p": "Person 2"} in rows
    refreshed.run.verify()


def test_inputs_that_are_back_serve_their_old_run_and_full_builds_anew(
    deployment: Path, refreshed: RefreshResult, tmp_path: Path
) -> None:
    config = copy(deployment, tmp_path / "copy")
    runs = RunsFolder(config.parent / "runs")
    first = runs.current()
    source = (config.parent / "ratings.csv").read_text()
    touch_ratings(config)
    second = refresh(load_config(config))
    assert runs.current() == second.run != first
    (config.parent / "ratings.csv").write_text(source)
    back = refresh(load_config(config))
    assert back.status == "published"
    assert back.run == first == runs.current()
    assert len(runs.runs()) == 2


def test_a_damaged_run_is_built_again(deployment: Path, refreshed: RefreshResult, tmp_path: Path) -> None:
    config = copy(deployment, tmp_path / "copy")
    runs = RunsFolder(config.parent / "runs")
    damaged = runs.current()
    assert damaged is not None
    file = damaged.artifact("models", "lightgcn") / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    result = refresh(load_config(config))
    assert result.status == "published"
    assert result.run != damaged
    Recommender.load(runs.link)


def replace_unseen(config: Path) -> None:
    """Another file in the place of the ratings, of the same size and time."""
    file = config.parent / "ratings.csv"
    facts, other = file.stat(), config.parent / "other.csv"
    other.write_text(file.read_text().replace(",5.0,", ",3.0,"))
    os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert other.stat().st_size == facts.st_size
    other.replace(file)


@pytest.mark.parametrize("change", [touch_ratings, replace_unseen])
def test_a_source_that_changes_while_it_is_read_is_noticed(
    deployment: Path,
    refreshed: RefreshResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
) -> None:
    import recall.jobs.prepare

    config = copy(deployment, tmp_path / "copy")
    touch_ratings(config)
    real = recall.jobs.prepare.build_graph

    def slow(*args: object, **kwargs: object) -> object:
        found = real(*args, **kwargs)  # type: ignore[arg-type]
        change(config)
        return found

    monkeypatch.setattr(recall.jobs.prepare, "build_graph", slow)
    with pytest.raises(InvalidDataError, match=r"ratings\.csv was changed while it was read"):
        refresh(load_config(config))


def test_a_new_run_that_answers_nonsense_is_refused(
    deployment: Path, refreshed: RefreshResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = copy(deployment, tmp_path / "copy")
    runs = RunsFolder(config.parent / "runs")
    before = runs.current()
    touch_ratings(config)
    recommend = Recommender.recommend

    def forgetful(self: Recommender, users: list[str], **options: object) -> object:
        return recommend(self, users, **{**options, "exclude_seen": False})  # type: ignore[arg-type]

    monkeypatch.setattr(Recommender, "recommend", forgetful)
    result = refresh(load_config(config))
    assert result.status == "rejected"
    assert "items that users have seen" in result.reasons[0]
    assert runs.current() == before == result.run
    assert len(runs.runs()) == 1


def test_an_unknown_device_is_refused_before_any_work(deployment: Path, tmp_path: Path) -> None:
    config = copy(deployment, tmp_path / "copy")
    config.write_text('device = "cude"\n' + config.read_text().replace('"runs"', '"elsewhere"'))
    with pytest.raises(ConfigError, match="cude"):
        refresh(load_config(config))
    assert not (config.parent / "elsewhere").exists()


def test_one_refresh_at_a_time(deployment: Path, refreshed: RefreshResult) -> None:
    with RunsFolder(deployment.parent / "runs").lock(), pytest.raises(RefreshInProgressError, match="another refresh"):
        refresh(load_config(deployment))


def test_a_global_time_split_shows_new_users_too(make_deployment: Callable[[Path], Path], tmp_path: Path) -> None:
    config = make_deployment(tmp_path)
    late = "".join(f"late{user},m{movie},5,{9_000_000 + movie}\n" for user in range(6) for movie in range(9))
    with (tmp_path / "ratings.csv").open("a") as stream:
        stream.write(late + "".join(f"u{user},m{user},5,9100000\n" for user in range(5)))
    config.write_text(config.read_text() + '[split]\nkind = "global_time"\n')
    result = refresh(load_config(config))
    groups = {row.group: row.users for row in result.report.evaluation.metrics}
    assert groups["new users"] == 6
    assert groups["warm users"] > 0
    assert read_split(result.run.split, load_graph(result.run.graph)).temporal == "global"
    assert pq.read_table(result.run.split).num_rows == result.report.data.interactions

"""Users forgotten: no file under the runs folder names them, every run still works, and no source brings them back."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest import DataSettings, build_graph
from kg.errors import ArtifactError, ConfigError, RefreshInProgressError, UnknownIdError
from kg.io.graph_folder import load_graph
from kg.privacy.user_key import UserKey
from recall.config.deployment import load_config
from recall.jobs.decide import accept, rollback
from recall.jobs.forget import ForgetResult, forget
from recall.jobs.forget_list import take_off_list
from recall.jobs.forget_run import quotes
from recall.jobs.privacy import Privacy, names_in_run
from recall.jobs.refresh import refresh
from recall.ops.html_report import NAME as PAGE
from recall.ops.summary import SummaryLog, summarise
from recall.quality.stage.evaluate import evaluate_run
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from recall.runs.report import Report
from recall.serve.recommender import Recommender
from recall.tuning.tune import tune
from tests.recall.conftest import CONFIG, ONE_CHANNEL
from tests.recall.decoding import places

MALLORY = "mal.lory+grün@example.org"
TRACES = {
    "id": MALLORY,
    "name": "Mallory Mustermann",
    "bio": "collects postcards of lighthouses",
    "tag": "so mallory",
    "review": "review-77-of-m3",
    "body": "the gulls were badly cast",
    "page": "http://postcards.example/lighthouses",
}
NEEDLES = {name: text.encode() for name, text in TRACES.items()}
# The cache knows texts by their hashes.
NEEDLES |= {f"hash of the {name}": hashlib.sha256(TRACES[name].encode()).digest() for name in ("bio", "body")}

MORE = """
[graph.nodes.user]
text = "{bio}"
[graph.nodes.review]
text = "{body}"
[[sources.attributes]]
node = "user"
files = ["users.csv"]
[[sources.attributes]]
node = "review"
files = ["reviews.csv"]
columns = {body = "body"}
[[sources.events]]
relation = "tagged"
files = ["tags.csv"]
columns = {user = "userId", item = "movieId", value = "tag", timestamp = "timestamp"}
value_type = "tag"
value_relation = "has_tag"
[[sources.edges]]
source = "review"
relation = "by"
target = "user"
files = ["reviews.csv"]
columns = {source = "id", target = "userId"}
[[sources.edges]]
source = "review"
relation = "about"
target = "movie"
files = ["reviews.csv"]
columns = {source = "id", target = "movieId"}
[[sources.edges]]
source = "user"
relation = "follows"
target = "user"
files = ["follows.csv"]
[[sources.edges]]
source = "user"
relation = "home"
target = "page"
files = ["pages.csv"]
[refresh]
full_above = 0.9
"""
Deploy = Callable[..., Path]


def rewrite(file: Path, rows: list[list[Any]]) -> None:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def without_mallory(file: Path) -> None:
    rows = list(csv.reader(file.open(newline="")))
    rewrite(file, [row for row in rows if MALLORY not in row])


@pytest.fixture(scope="module")
def sociable(make_deployment: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment whose users have attributes and texts, tag, write reviews, follow each other and have pages."""
    config = make_deployment(tmp_path_factory.mktemp("sociable"), movies=16, ratings=11)
    folder = config.parent
    rating = folder / "ratings.csv"
    rating.write_text(rating.read_text().replace("u3,", f"{MALLORY},"))
    users = [MALLORY if number == 3 else f"u{number}" for number in range(16)]
    bios = {MALLORY: TRACES["bio"], "u5": "likes rain"}
    rewrite(
        folder / "users.csv",
        [["id", "name", "bio"]]
        + [[one, TRACES["name"] if one == MALLORY else f"Person {one}", bios.get(one, "")] for one in users],
    )
    rewrite(
        folder / "tags.csv",
        [
            ["userId", "movieId", "tag", "timestamp"],
            ["u1", "m1", "slow", 1_000_100],
            ["u2", "m2", "wry", 1_000_100],
            [MALLORY, "m1", "slow", 1_000_200],
            [MALLORY, "m4", TRACES["tag"], 1_000_000],
        ],
    )
    rewrite(
        folder / "reviews.csv",
        [
            ["id", "userId", "movieId", "body"],
            ["r1", "u1", "m2", "fine"],
            ["r2", "u2", "m3", "too long"],
            [TRACES["review"], MALLORY, "m3", TRACES["body"]],
        ],
    )
    rewrite(folder / "follows.csv", [["source", "target"], ["u1", MALLORY], [MALLORY, "u2"], ["u4", "u5"]])
    rewrite(folder / "pages.csv", [["source", "target"], [MALLORY, TRACES["page"]], ["u5", "http://rain.example"]])
    with rating.open("a") as stream:  # a repeated row, which the report quotes
        stream.write(f"{MALLORY},m0,5,1000000\n{MALLORY},m0,5,1000000\n")
    text = CONFIG.replace(ONE_CHANNEL, 'channels = ["lightgcn", "item_knn", "ease"]')
    config.write_text(text.replace('user = "u1"', f'user = "{MALLORY}"') + MORE)
    return config


class Interrupting:
    """A listener that stops the work when a task of a name begins."""

    def __init__(self, when: str) -> None:
        self.when = when

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[Any]:
        if description.startswith(self.when):
            raise KeyboardInterrupt
        yield self

    def advance(self, steps: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def add_ratings(config: Path, *rows: str) -> None:
    with (config.parent / "ratings.csv").open("a") as stream:
        stream.writelines(f"{row}\n" for row in rows)


@pytest.fixture(scope="module")
def crowded(sociable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config of a deployment whose runs folder holds all that one may hold; the id stands everywhere in it."""
    folder = tmp_path_factory.mktemp("crowded") / "here"
    shutil.copytree(sociable.parent, folder)
    file = folder / sociable.name
    assert refresh(load_config(file)).report.kind == "full"
    add_ratings(file, f"{MALLORY},m15,5,2000000", "u1,m15,5,2000000")
    found = refresh(load_config(file))
    assert (found.status, found.report.kind) == ("published", "incremental")
    words = file.read_text()
    add_ratings(file, "u2,m15,5,2000001")
    file.write_text(words + "[gate.incremental]\nminimum = {ndcg = 1.0}\n")
    assert refresh(load_config(file)).status == "rejected"
    file.write_text(words)
    config = load_config(file)
    runs = RunsFolder(config.runs_folder)
    error = f"ratings.csv, line 7: {MALLORY} rates nothing"
    line = summarise("failed", started=datetime.now(UTC), seconds=1, exit_code=1, runs=runs.path, error=error)
    SummaryLog(runs.path).add(line, keep=9)
    with pytest.raises(KeyboardInterrupt):
        tune(file, trials=2, out=folder / "tuned.toml", progress=Interrupting("trials of"))
    add_ratings(file, "u2,m14,5,2000002")
    with pytest.raises(KeyboardInterrupt):
        refresh(config, progress=Interrupting("training lightgcn for serving"))
    assert runs.staging_root.is_dir()
    return file


@pytest.fixture
def copied(crowded: Path, tmp_path: Path) -> Path:
    shutil.copytree(crowded.parent, tmp_path / "copied", symlinks=True)
    return tmp_path / "copied" / crowded.name


def runs_of(config: Path) -> RunsFolder:
    return RunsFolder(load_config(config).runs_folder)


def forgotten(config: Path, *users: str, **more: Any) -> ForgetResult:
    return forget(runs_of(config), users or [MALLORY], config=load_config(config), **{"patience": 0.0, **more})


def nothing_is_left(runs: RunsFolder) -> bool:
    return places(runs.path, NEEDLES) == {name: set() for name in NEEDLES}


@pytest.mark.slow
def test_the_decoder_finds_the_user_in_every_kind_of_file(crowded: Path) -> None:
    runs = runs_of(crowded)
    found = places(runs.path, NEEDLES)
    assert all(found.values()), found
    ends = {
        "/".join(Path(one).parts[2:] if Path(one).parts[0] == ".rejected" else Path(one).parts[1:])
        for one in found["id"]
        if "Z-" in one
    }
    for name in ("report.json", PAGE, "config.json", "store/graph.lbug", "evaluation/split.parquet"):
        assert name in ends, name
    assert "evaluation/lineage.parquet" in ends
    assert any(one.startswith("graph/nodes") for one in ends)
    heads = {Path(one).parts[0] for one in found["id"]}
    assert heads >= {".staging", ".tune", ".rejected", ".refreshes.jsonl"}
    assert {Path(one).parts[0] for one in found["hash of the bio"]} == {".cache"}


@pytest.mark.slow
def test_nothing_of_a_forgotten_user_is_left_in_any_file(copied: Path) -> None:
    runs = runs_of(copied)
    before = [run.name for run in runs.runs()], [run.name for run in runs.rejected()], runs.current()
    result = forgotten(copied)
    assert result.done
    assert (result.users, result.found) == (1, 1)
    assert nothing_is_left(runs)
    assert Privacy.open(runs.path).pending == frozenset()
    after = [run.name for run in runs.runs()], [run.name for run in runs.rejected()], runs.current()
    for old, new in zip(before[:2], after[:2], strict=True):
        assert len(old) == len(new)
        assert not set(old) & set(new)
        assert [name[:18] for name in old] == [name[:18] for name in new]
    assert result.run == after[2]
    assert before[2] is not None
    assert result.made_again[after[2].name if after[2] else ""] == before[2].name
    assert not runs.staging_root.exists()


@pytest.mark.slow
def test_every_run_that_is_kept_works_without_the_user(copied: Path) -> None:
    runs = runs_of(copied)
    names = {}
    for run in (*runs.runs(), *runs.rejected()):
        names[run.name[:18]] = (set(run.verify()["files"]), Recommender.load(run.path).recommend_all(k=5).table)
    forgotten(copied)
    for run in (*runs.runs(), *runs.rejected()):
        files, before = names[run.name[:18]]
        renamed = {name for name in run.verify()["files"] if name.startswith(("graph/", "channels/"))}
        assert {name for name in files if not name.startswith(("graph/", "channels/"))} == set(
            run.verify()["files"]
        ) - renamed
        recommender = Recommender.load(run.path)
        assert MALLORY not in recommender.graph.users.ids.to_pylist()
        answer = recommender.recommend_all(k=5).table
        asked = set(before["user_id"].to_pylist()) - {MALLORY}
        assert set(answer["user_id"].to_pylist()) == asked
        same = [
            len(
                set(answer.filter(np.array(answer["user_id"]) == user)["item_id"].to_pylist())
                & set(before.filter(np.array(before["user_id"]) == user)["item_id"].to_pylist())
            )
            for user in asked
        ]
        assert np.mean(same) >= 3.5  # of 5: one user of 16 is gone, the model is the same
        user, item = answer["user_id"][0].as_py(), answer["item_id"][0].as_py()
        (explanation,) = recommender.explain([(user, item)])
        assert explanation.score == pytest.approx(answer["score"][0].as_py(), rel=1e-3, abs=1e-4)
        count = recommender.cypher("MATCH (u:User) RETURN count(u) AS n")
        assert count[0]["n"] == 15
        assert evaluate_run(run, baselines=False).metrics
        report = Report.load(run)
        assert report.data.nodes["user"] == 15
        assert report.forgotten.weights_may_remember == 1
        assert run.manifest()["fingerprint"] == report.fingerprint
        recommender._store.close()  # type: ignore[union-attr]


def test_a_run_made_again_has_the_graph_of_sources_that_never_named_the_user(copied: Path, sociable: Path) -> None:
    runs = runs_of(copied)
    forgotten(copied)
    first = load_graph(runs.runs()[0].graph)
    clean = copied.parent.parent / "clean"
    shutil.copytree(sociable.parent, clean)
    for name in ("ratings", "users", "tags", "reviews", "follows", "pages"):
        without_mallory(clean / f"{name}.csv")
    config = load_config(clean / "config.toml")
    expected, _ = build_graph(DataSettings(graph=config.graph, sources=config.sources), base=config.base)
    assert list(first.nodes) == list(expected.nodes)
    for name, table in expected.nodes.items():
        assert first.nodes[name].to_pydict() == table.to_pydict(), name
    for key, table in expected.edges.items():
        assert first.edges[key].to_pydict() == table.to_pydict(), key


@pytest.mark.slow
def test_the_source_does_not_bring_the_user_back_and_the_report_says_so(copied: Path) -> None:
    runs = runs_of(copied)
    shutil.rmtree(runs.rejected_root)  # a rejected run would order a full one
    forgotten(copied)
    served = runs.current()
    add_ratings(copied, f"{MALLORY},m12,5,3000000", "u1,m14,5,3000000")
    found = refresh(load_config(copied))
    assert found.status == "published"
    assert found.run != served
    assert found.report.kind == "incremental"
    (finding,) = [one for one in found.report.quality.findings if one.kind == "forgotten users"]
    assert finding.count == 1
    assert found.report.forgotten.weights_may_remember == 1
    assert nothing_is_left(runs)
    full = refresh(load_config(copied), full=True)
    assert full.report.forgotten.weights_may_remember == 0
    assert nothing_is_left(runs)


def test_after_a_forgetting_the_same_sources_are_unchanged_or_rejected_still(copied: Path) -> None:
    """The list is a part of the inputs, and the runs made again have the inputs that a refresh would find."""
    ratings = copied.parent / "ratings.csv"
    last = ratings.read_text().rsplit("u2,m14", 1)[0]
    ratings.write_text(last)
    copied.write_text(copied.read_text() + "[gate.incremental]\nminimum = {ndcg = 1.0}\n")
    forgotten(copied)
    runs = runs_of(copied)
    (rejected,) = runs.rejected()
    found = refresh(load_config(copied))
    assert found.status == "rejected"
    assert found.rejected == rejected
    ratings.write_text(last.replace("u2,m15,5,2000001\n", ""))
    assert refresh(load_config(copied)).status == "unchanged"


def test_a_run_that_was_rolled_back_stays_so(copied: Path) -> None:
    runs = runs_of(copied)
    older = runs.runs()[0]
    rollback(runs.path, to=older.name, by="ann", reason="odd")
    forgotten(copied)
    serving, other = runs.runs()
    assert runs.current() == serving
    record = runs.record(other).rolled_back
    assert record is not None
    assert (record.by, record.reason) == ("ann", "odd")
    assert not runs.record(serving).rolled_back


def simple(make_deployment: Callable[..., Path], folder: Path, **more: Any) -> Path:
    """A small deployment, refreshed."""
    config = make_deployment(folder, users=8, movies=10, ratings=6, **more)
    refresh(load_config(config))
    return config


@pytest.fixture(scope="module")
def plain(make_deployment: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simple(make_deployment, tmp_path_factory.mktemp("plain") / "here")


@pytest.fixture
def small(plain: Path, tmp_path: Path) -> Path:
    shutil.copytree(plain.parent, tmp_path / "small", symlinks=True)
    return tmp_path / "small" / plain.name


def users_of(run: RunLayout | None) -> list[str]:
    assert run is not None
    found: list[str] = load_graph(run.graph).users.ids.to_pylist()
    return found


def test_a_run_that_somebody_reads_goes_when_nobody_does(small: Path) -> None:
    runs = runs_of(small)
    reader = Recommender.load(runs.link)
    before = runs.current()
    assert before is not None
    result = forget(runs, ["u3"], config=load_config(small), patience=0.2)
    assert not result.done
    assert result.still_read == (before.name,)
    assert result.to_json()["status"] == "waiting"
    assert reader.recommend(["u3"], k=3).table.num_rows == 3  # what it has in memory, until it loads the new one
    assert reader.cypher("MATCH (u:User) RETURN count(u) AS n")[0]["n"] == 8
    reader._store.close()  # type: ignore[union-attr]
    fresh = reader.reload()
    assert "u3" not in fresh.graph.users.ids.to_pylist()
    del reader
    assert refresh(load_config(small)).status == "unchanged"
    assert [run.name for run in runs.runs()] == [fresh_run.name for fresh_run in [runs.current()] if fresh_run]
    assert Privacy.open(runs.path).pending == frozenset()


def test_it_waits_for_a_reader_that_turns_to_the_new_run(small: Path) -> None:
    runs = runs_of(small)
    hold = RunLayout.open(runs.link).hold()
    timer = threading.Timer(1.0, hold.release)
    timer.start()
    assert forget(runs, ["u3"], config=load_config(small), patience=3600.0).done  # long before the patience ends
    assert len(runs.runs()) == 1


def test_several_users_at_once_and_one_after_the_other_come_to_the_same(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small.parent, tmp_path / "other", symlinks=True)
    other = tmp_path / "other" / small.name
    once = forgotten(small, "u1", "u2", "u2")
    assert (once.users, once.found) == (2, 2)
    assert forgotten(other, "u1").run is not None
    forgotten(other, "u2")
    first, second = runs_of(small).current(), runs_of(other).current()
    assert first is not None
    assert second is not None
    assert users_of(first) == users_of(second) == ["u0", "u3", "u4", "u5", "u6", "u7"]
    left, right = (Recommender.load(run.path).recommend_all(k=3).table for run in (first, second))
    assert left["item_id"].to_pylist() == right["item_id"].to_pylist()
    np.testing.assert_allclose(left["score"].to_numpy(), right["score"].to_numpy(), rtol=1e-4)
    assert Report.load(second).forgotten.weights_may_remember == 2


def test_a_user_whom_no_run_names_is_kept_out_when_a_source_does(small: Path) -> None:
    before = sorted(str(path.relative_to(small.parent)) for path in small.parent.rglob("*") if path.is_file())
    with pytest.raises(UnknownIdError, match=r"no run names 'u77': nothing was done.*force=True"):
        forgotten(small, "u1", "u77")
    after = sorted(str(path.relative_to(small.parent)) for path in small.parent.rglob("*") if path.is_file())
    assert [name for name in after if name not in before and "lock" not in name] == []
    result = forgotten(small, "u77", force=True)
    assert (result.users, result.found, result.weights_may_remember) == (1, 0, 0)
    runs = runs_of(small)
    assert len(users_of(runs.current())) == 8
    add_ratings(small, "u77,m1,5,2000000", "u77,m2,5,2000000", "u1,m9,5,2000000")
    found = refresh(load_config(small))
    assert found.status == "published"
    assert "u77" not in users_of(found.run)


def test_blanks_around_an_id_are_no_part_of_it(small: Path) -> None:
    result = forgotten(small, " u3\n", "u3")
    assert (result.users, result.found) == (1, 1)
    assert "u3" not in users_of(runs_of(small).current())


def test_who_is_taken_off_the_list_comes_in_again(small: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    runs = runs_of(small)
    forgotten(small, "u3", "u4")
    assert refresh(load_config(small)).status == "unchanged"
    code, _, error = command("forget", small, "--user", "u5", "--user", "u3", "--undo")
    assert code == 1
    assert "'u5' is not on the list" in error
    code, out, _ = command("forget", small, "--user", " u3 ", "--undo", "--json")
    assert (code, json.loads(out)) == (0, {"status": "off the list", "users": 1, "on_list": 1})
    assert refresh(load_config(small)).status == "published"
    assert "u3" in users_of(runs.current())
    assert "u4" not in users_of(runs.current())
    code, out, _ = command("forget", runs.path, "--user", "u4", "--undo")
    assert "1 taken off the list, 0 on it" in out
    assert command("forget", small, "--undo")[0] == 2
    assert refresh(load_config(small)).status == "published"
    assert "u4" in users_of(runs.current())


def test_an_item_with_the_id_of_a_user_stays(make_deployment: Callable[..., Path], tmp_path: Path) -> None:
    config = make_deployment(tmp_path / "here", users=8, movies=10, ratings=6)
    for name in ("ratings.csv", "movies.nt"):
        file = config.parent / name
        text = file.read_text().replace('identifier> "m', 'identifier> "')
        file.write_text("\n".join(line.replace("u", "", 1).replace(",m", ",") if line[:2] == "u" + line[1:2]
                                  and line[1:2].isdigit() else line for line in text.splitlines()) + "\n")  # fmt: skip
    config.write_text(config.read_text().replace('user = "u1"', ""))
    refresh(load_config(config))
    forgotten(config, "3")
    graph = load_graph(RunLayout.open(runs_of(config).link).graph)
    assert "3" not in graph.users.ids.to_pylist()
    assert "3" in graph.items.ids.to_pylist()


def test_nothing_serves_when_the_last_user_is_forgotten(small: Path) -> None:
    result = forgotten(small, *[f"u{number}" for number in range(8)])
    assert result.run is None
    assert len(result.removed) == 1
    runs = runs_of(small)
    assert runs.current() is None
    assert not runs.runs()
    assert Privacy.open(runs.path).pending == frozenset()


def test_where_the_key_is_the_configuration_tells_and_no_run(masked: Path, tmp_path: Path) -> None:
    shutil.copytree(masked.parent, tmp_path / "masked", symlinks=True)
    config = tmp_path / "masked" / masked.name
    runs = runs_of(config)
    runs.link.unlink()
    (run,) = runs.runs()
    (name,) = names_in_run(run, [MALLORY])
    with pytest.raises(ConfigError, match=r"names a key file or a database.*give CONFIG"):
        forget(runs, [MALLORY], patience=0.0)
    result = forget(runs, [MALLORY], config=load_config(config), patience=0.0)
    assert (result.users, result.found, result.run) == (1, 1, None)
    assert not (runs.path / ".privacy" / "key").exists(), "a second key"
    assert name not in users_of(runs.runs()[0])


def test_the_run_that_serves_says_where_the_key_of_the_list_is(masked: Path, tmp_path: Path) -> None:
    shutil.copytree(masked.parent, tmp_path / "masked", symlinks=True)
    config = tmp_path / "masked" / masked.name
    runs = runs_of(config)
    forget(runs, [MALLORY], config=load_config(config), patience=0.0)
    assert take_off_list(runs, [MALLORY]) == 0


def test_a_damaged_run_goes_unless_it_serves(small: Path) -> None:
    runs = runs_of(small)
    add_ratings(small, "u1,m9,5,2000000")
    refresh(load_config(small))
    older = runs.runs()[0]
    (older.path / "report.json").write_text("{}")
    result = forgotten(small, "u3")
    assert result.removed == (older.name,)
    (now,) = runs.runs()
    (now.path / "report.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"the run that serves is damaged.*refresh --full"):
        forgotten(small, "u4")
    assert len(Privacy.open(runs.path).pending) == 1
    assert refresh(load_config(small), full=True).status == "published"
    assert "u4" not in users_of(runs.current())
    refresh(load_config(small))
    assert all("u4" not in users_of(run) for run in runs.runs())
    assert Privacy.open(runs.path).pending == frozenset()


def test_without_the_key_no_refresh_lets_the_user_in(small: Path, tmp_path: Path) -> None:
    forgotten(small, "u3")
    runs = runs_of(small)
    key = runs.path / ".privacy" / "key"
    assert key.stat().st_mode & 0o077 == 0
    saved = key.read_bytes()
    key.unlink()
    with pytest.raises(ConfigError, match=r"the key of the user ids is not at .*restore it"):
        refresh(load_config(small))
    UserKey.create(key)
    with pytest.raises(ConfigError, match=r"is not the key that the list"):
        forgotten(small, "u4")
    key.write_bytes(saved)
    assert refresh(load_config(small)).status == "unchanged"
    listed = runs.path / ".privacy" / "forgotten.json"
    data = json.loads(listed.read_text())
    listed.write_text(json.dumps({**data, "users": []}))
    with pytest.raises(ArtifactError, match=r"forgotten.json is damaged"):
        refresh(load_config(small))


def test_the_list_names_nobody(small: Path) -> None:
    forgotten(small, "u3")
    text = (runs_of(small).path / ".privacy" / "forgotten.json").read_text()
    data = json.loads(text)
    assert "u3" not in text
    assert hashlib.sha256(b"u3").hexdigest()[:16] not in text
    key = UserKey.load(runs_of(small).path / ".privacy" / "key")
    assert [one["mark"] for one in data["users"]] == key.marks_of_ids(["u3"])


def test_a_refresh_at_work_keeps_it_out(small: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    runs = runs_of(small)
    with runs.lock(), pytest.raises(RefreshInProgressError):
        forgotten(small, "u3")
    with runs.lock():
        code, _, error = command("forget", small, "--user", "u3")
    assert code == 75
    assert "another refresh" in error
    with pytest.raises(ConfigError, match="1 of 2 user ids are empty"):
        forgotten(small, "u3", "")


def test_the_command_says_what_was_done_and_what_weights_may_remember(
    small: Path, command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    runs = runs_of(small)
    code, out, _ = command("forget", runs.path, "--user", "u3", "--json")
    data = json.loads(out)
    current = runs.current()
    assert current is not None
    assert (code, data["status"], data["users"], data["found"]) == (0, "forgotten", 1, 1)
    assert data["run"] == current.name
    (tmp_path / "ids.txt").write_text("u4\nnobody\n")
    code, out, error = command("forget", small, "--users", tmp_path / "ids.txt", "--wait", 0)
    assert (code, out) == (1, "")
    assert "no run names 'nobody'" in error
    assert "--force puts them on the list" in error
    assert runs.current() == current
    code, out, _ = command("forget", small, "--users", tmp_path / "ids.txt", "--wait", 0, "--force")
    words = " ".join(out.split())
    assert code == 0
    assert "2 users on the list: no refresh lets them in again." in words
    assert "The runs named only 1 of them" in words
    assert "those may still remember it; --refit" in words
    code, out, _ = command("forget", small, "--user", "u5", "--refit", "--json")
    data = json.loads(out)
    assert data["refit"]["status"] == "published"
    report = Report.load(RunLayout.open(runs.link))
    assert report.kind == "full"
    assert (report.forgotten.on_list, report.forgotten.weights_may_remember) == (4, 0)
    assert users_of(runs.current()) == ["u0", "u1", "u2", "u6", "u7"]
    code, _, error = command("forget", runs.path, "--user", "u5", "--refit")
    assert code == 2
    assert "--refit needs the CONFIG" in error
    code, _, error = command("forget", tmp_path / "nowhere", "--user", "u5")
    assert code == 1
    assert "there is no config file" in error


PSEUDONYMS = """
[privacy]
pseudonyms = true
key_file = "secret/key"
"""


@pytest.fixture(scope="module")
def masked(sociable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config of a refreshed deployment whose users go by pseudonyms."""
    folder = tmp_path_factory.mktemp("masked") / "here"
    shutil.copytree(sociable.parent, folder)
    file = folder / sociable.name
    file.write_text(file.read_text() + PSEUDONYMS)
    assert refresh(load_config(file)).status == "published"
    return file


def test_with_pseudonyms_no_file_names_anybody(masked: Path) -> None:
    runs = runs_of(masked)
    found = places(runs.path, {**NEEDLES, "in an attribute": b"Person u5"})
    assert not found["id"]
    assert not found["in an attribute"]
    assert found["name"]  # an attribute that holds no id stays: the sources should leave it out
    users = users_of(runs.current())
    key = UserKey.load(masked.parent / "secret" / "key")
    ids = [MALLORY, *(f"u{number}" for number in range(16) if number != 3)]
    assert sorted(key.pseudonyms(ids)) == users
    assert not (runs.path / ".privacy" / "key").exists()
    report = Report.load(RunLayout.open(runs.link))
    (finding,) = [one for one in report.quality.findings if one.kind == "duplicate interactions"]
    assert finding.count > 0
    assert finding.examples == ()


def test_who_has_the_key_asks_by_the_id_and_others_by_the_pseudonym(
    masked: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    link = runs_of(masked).link
    (name,) = names_in_run(link, [MALLORY])
    answers = [Recommender.load(link).recommend([name], k=3).table["item_id"].to_pylist()]
    for user in (MALLORY, name):
        code, out, _ = command("recommend", link, "--user", user, "-k", 3, "--json")
        assert code == 0
        rows = json.loads(out)["candidates"]
        assert {one["user_id"] for one in rows} == {name}
        answers.append([one["item_id"] for one in rows])
        code, out, _ = command("explain", link, "--user", user, "--item", answers[0][0], "--json")
        assert code == 0
        assert MALLORY not in out
    assert answers[0] == answers[1] == answers[2]
    key = masked.parent / "secret" / "key"
    aside = key.rename(key.with_name("aside"))
    try:
        code, _, error = command("recommend", link, "--user", MALLORY)
        assert code == 1
        assert f"cannot be read from {key}" in error
        assert command("recommend", link, "--user", name)[0] == 0
        with pytest.raises(ConfigError, match="the key of the user ids is not at"):
            refresh(load_config(masked))
    finally:
        aside.rename(key)


def test_a_user_with_a_pseudonym_is_forgotten_by_the_id(masked: Path, tmp_path: Path) -> None:
    shutil.copytree(masked.parent, tmp_path / "masked", symlinks=True)
    config = tmp_path / "masked" / masked.name
    (name,) = names_in_run(runs_of(config).link, [MALLORY])
    result = forgotten(config)
    assert result.found == 1
    runs = runs_of(config)
    assert name not in users_of(runs.current())
    pseudonym = {"pseudonym": name.encode(), **{one: NEEDLES[one] for one in ("name", "bio", "tag", "review", "page")}}
    assert not any(places(runs.path, pseudonym).values())
    add_ratings(config, f"{MALLORY},m12,5,3000000", "u1,m14,5,3000000")
    found = refresh(load_config(config))
    assert found.status == "published"
    assert len(users_of(found.run)) == 15
    assert not any(places(runs.path, pseudonym).values())


def test_a_report_with_examples_anywhere_quotes() -> None:
    assert not quotes({"findings": [{"message": "three rows", "examples": []}], "n": 3})
    assert not quotes({"examples": {"rows": []}})
    assert not quotes({"message": "three rows", "listed": ["a"]})
    assert quotes({"findings": [{"examples": []}, {"examples": ["row 7: mallory"]}]})
    assert quotes({"sources": {"ratings": {"examples": {"rows": ["row 7"]}}}})


@pytest.mark.parametrize("pseudonyms", [True, False])
def test_a_failed_refresh_writes_nothing_that_quotes_a_source(
    masked: Path, small: Path, tmp_path: Path, command: Callable[..., tuple[int, str, str]], pseudonyms: bool
) -> None:
    if pseudonyms:
        shutil.copytree(masked.parent, tmp_path / "masked", symlinks=True)
        config = tmp_path / "masked" / masked.name
    else:
        config = small
        add_ratings(config, f"{MALLORY},m1,5,2000000")
        forget(runs_of(config), [MALLORY], config=load_config(config), force=True, patience=0.0)
    ratings = config.parent / "ratings.csv"
    good = ratings.read_text()
    ratings.write_text(good + f"{MALLORY},m1\n" * 1000)
    code, _, error = command("refresh", config)
    assert code == 1
    assert MALLORY in error, "the terminal says what is wrong"
    runs = runs_of(config)
    (line,) = [line for line in SummaryLog(runs.path).read() if line["status"] == "failed"]
    assert "cannot be used, more than quality.max_set_aside = 0.1 allows: bad lines: 1000" in line["error"]
    ratings.write_text(good + "u1,m2,4,3000000\n")
    assert command("refresh", config, "--full")[0] in (0, 4)
    assert not places(runs.path, {"id": MALLORY.encode()})["id"]


def test_turning_pseudonyms_on_makes_a_full_run_and_what_is_kept_of_before_is_forgotten_by_the_same_id(
    small: Path,
) -> None:
    small.write_text(small.read_text() + "[privacy]\npseudonyms = true\n")
    found = refresh(load_config(small))
    assert (found.status, found.report.kind) == ("rejected", "full")  # every user is another one
    assert found.rejected is not None
    runs = runs_of(small)
    accept(found.rejected.path, by="ann", reason="pseudonyms from now on")
    assert len(runs.runs()) == 2
    forgotten(small, "u3")
    (name,) = names_in_run(runs.link, ["u3"])
    assert [len(users_of(run)) for run in runs.runs()] == [7, 7]
    assert "u3" not in users_of(runs.runs()[0])
    assert name not in users_of(runs.runs()[1])


def test_results_are_not_written_back_under_pseudonyms(small: Path) -> None:
    text = small.read_text() + '[privacy]\npseudonyms = true\n[write_back]\n[neo4j]\nuri = "bolt://localhost"\n'
    small.write_text(text)
    with pytest.raises(ConfigError, match=r"write_back and privacy.pseudonyms do not go together"):
        load_config(small)

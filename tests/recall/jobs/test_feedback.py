"""The feedback log as a source of a refresh, and who is taken out of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kg.errors import ConfigError, UnknownIdError
from kg.io.graph_folder import load_graph
from recall.config.deployment import load_config
from recall.feedback import FeedbackLog
from recall.jobs.forget import forget
from recall.jobs.refresh import RefreshResult, refresh
from recall.runs.registry import RunsFolder
from recall.serve.recommender import Recommender
from tests.recall.conftest import ONE_CHANNEL


@pytest.fixture
def config(deployment: Path, refreshed: RefreshResult, tmp_path: Path) -> Path:
    """A deployment whose feedback enters a refresh, without a run."""
    folder = tmp_path / "copy"
    shutil.copytree(deployment.parent, folder, ignore=shutil.ignore_patterns("runs"))
    file = folder / deployment.name
    file.write_text(
        file.read_text().replace(ONE_CHANNEL, 'channels = ["item_knn"]') + "[feedback]\nexclude_after = 3\n"
    )
    return file


def log_of(config: Path) -> FeedbackLog:
    return FeedbackLog(RunsFolder(load_config(config).runs_folder).feedback_root)


def said(user: str, item: str, kind: str = "like", **more: Any) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "kind": kind, **more}


def ratings(run: Any, user: str) -> dict[str, float]:
    graph = load_graph(run.graph)
    done = graph.interactions
    (position,) = graph.users.index([user], missing="negative").tolist()
    table = graph.edges[graph.schema.interaction_key]
    names = graph.items.take(done.item).to_pylist()
    rating = table["rating"].to_pylist()
    return {names[row]: rating[row] for row in range(len(names)) if done.user[row] == position}


def unrated(config: Path, user: str) -> list[str]:
    rows = [line.split(",") for line in (config.parent / "ratings.csv").read_text().splitlines()]
    rated = {row[1] for row in rows if row[0] == user}
    return [f"m{number}" for number in range(24) if f"m{number}" not in rated]


def test_likes_and_dislikes_enter_the_next_refresh(config: Path) -> None:
    liked, disliked, other = unrated(config, "u1")[:3]
    log = log_of(config)
    log.append([said("u1", liked), said("u1", disliked, "dislike"), said("u1", other, "impression")])
    log.append([said("somebody new", liked), said("u2", "no such movie")])
    result = refresh(load_config(config))
    assert result.run is not None
    rated = ratings(result.run, "u1")
    assert (rated[liked], rated[disliked], other in rated) == (5.0, 3.0, False)
    assert ratings(result.run, "somebody new") == {liked: 5.0}
    graph = load_graph(result.run.graph)
    assert graph.items.index(["no such movie"], missing="negative").tolist() == [-1]
    (finding,) = [one for one in result.report.quality.findings if one.kind == "feedback on unknown items"]
    assert (finding.count, finding.examples) == (1, ("movie no such movie",))


@pytest.mark.slow
def test_a_refresh_is_due_when_opinions_changed_and_not_for_impressions(config: Path) -> None:
    log = log_of(config)
    new, more = unrated(config, "u1")[:2]
    log.append([said("u1", new)])
    assert refresh(load_config(config)).status == "published"
    log.append([said("u1", more, "impression"), said("u1", new, "dislike", time=5)])  # an opinion older than the like
    assert refresh(load_config(config)).status == "unchanged"
    log.append([said("u1", new, "dislike")])
    changed = refresh(load_config(config))
    assert changed.status == "published"
    assert changed.run is not None
    assert ratings(changed.run, "u1")[new] == 3.0


def _second(result: RefreshResult, item: str) -> int:
    """The time of u1's interaction with an item in the graph of a run."""
    assert result.run is not None
    graph = load_graph(result.run.graph)
    (user,), (position,) = graph.users.index(["u1"]), graph.items.index([item])
    done = graph.interactions
    return int(done.timestamp[(done.user == user) & (done.item == position)][0])


def test_without_the_section_a_refresh_leaves_the_log_alone(config: Path) -> None:
    config.write_text(config.read_text().replace("[feedback]\nexclude_after = 3\n", ""))
    new = unrated(config, "u1")[0]
    log_of(config).append([said("u1", new)])
    result = refresh(load_config(config))
    assert result.run is not None
    assert new not in ratings(result.run, "u1")
    rec = Recommender.load(result.run.path)  # but serving reads it
    assert new not in rec.recommend(["u1"], k=100).table["item_id"].to_pylist()


def test_candidates_change_before_and_stay_changed_after_the_refresh(config: Path) -> None:
    """Written by another process; the reloaded Recommender has it from the graph, and not twice."""
    first = refresh(load_config(config))
    assert first.run is not None
    rec = Recommender.load(first.run.path.parent / "current")
    best, second, *_ = rec.recommend(["u1"], k=9).table["item_id"].to_pylist()
    code = (
        "import sys; from recall.feedback import FeedbackLog\n"
        "FeedbackLog(sys.argv[1]).append([{'user_id': 'u1', 'item_id': sys.argv[2], 'kind': 'like'},"
        " {'user_id': 'u1', 'item_id': sys.argv[3], 'kind': 'dislike'}])"
    )
    subprocess.run([sys.executable, "-c", code, str(log_of(config).folder), best, second], check=True)
    now = rec.recommend(["u1"], k=9).table["item_id"].to_pylist()
    assert not {best, second} & set(now)
    assert refresh(load_config(config)).status == "published"
    after = rec.reload()
    assert after is not rec
    rows = after.recommend(["u1"], k=9)
    assert not {best, second} & set(rows.table["item_id"].to_pylist())
    (why,) = after.explain([("u1", rows.table["item_id"][0].as_py())])
    assert why.score == pytest.approx(rows.table["score"][0].as_py(), abs=1e-4)


def test_interactions_without_ratings_take_the_likes(config: Path) -> None:
    text = config.read_text().replace('positive = "rating >= 4"\n', "").replace(', rating = "rating"', "")
    config.write_text(text)
    rows = [line.split(",") for line in (config.parent / "ratings.csv").read_text().splitlines()]
    (config.parent / "ratings.csv").write_text("\n".join(",".join([r[0], r[1], r[3]]) for r in rows) + "\n")
    liked, disliked = unrated(config, "u1")[:2]
    log_of(config).append([said("u1", liked), said("u1", disliked, "dislike")])
    result = refresh(load_config(config))
    assert result.run is not None
    graph = load_graph(result.run.graph)
    (user,) = graph.users.index(["u1"])
    done = graph.interactions
    names = graph.items.take(done.item[done.user == user]).to_pylist()
    assert (liked in names, disliked in names) == (True, False)
    rec = Recommender.load(result.run.path)
    assert disliked not in rec.recommend(["u1"], k=100).table["item_id"].to_pylist()


@pytest.mark.slow
def test_forgotten_users_are_taken_out_and_stay_out(config: Path) -> None:
    log = log_of(config)
    new = unrated(config, "u1")[0]
    log.append([said("u1", new), said("u2", new), said("only here", new)])
    refresh(load_config(config))
    loaded = load_config(config)
    runs = RunsFolder(loaded.runs_folder)
    result = forget(runs, ["u1", "only here"], config=loaded, patience=0.0)
    assert (result.done, result.feedback, result.to_json()["feedback"]) == (True, 2, 2)
    assert set(log.state().users) == {"u2"}
    assert all(b"u1" not in file.read_bytes() for file in log.folder.iterdir())
    log.append([said("u1", new)])  # what they do after that goes at the next refresh
    after = refresh(loaded)
    assert after.run is not None
    assert set(log.state().users) == {"u2"}
    assert load_graph(after.run.graph).users.index(["u1"], missing="negative").tolist() == [-1]
    with pytest.raises(UnknownIdError):
        forget(runs, ["nobody"], config=loaded, patience=0.0)


def test_feedback_and_pseudonyms_are_refused_together(config: Path) -> None:
    config.write_text(config.read_text() + "[privacy]\npseudonyms = true\n")
    with pytest.raises(ConfigError, match="do not go together"):
        load_config(config)


def test_a_time_to_come_is_now(config: Path) -> None:
    """So that nobody's clock makes a refresh refuse the log."""
    new = unrated(config, "u1")[0]
    log_of(config).append([said("u1", new, time=time.time() + 10**8)])
    result = refresh(load_config(config))
    assert _second(result, new) <= time.time()

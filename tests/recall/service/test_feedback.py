"""What users did counts from the next request on, in every worker, and over a publish."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recall.jobs.refresh import RefreshResult
from recall.runs.registry import RunsFolder
from recall.service import replies
from tests.recall.service.making import Served, detail
from tests.recall.service.test_reload import publish
from tests.recall.service.test_server import FAST

pytestmark = pytest.mark.slow  # processes that start and stop


@pytest.fixture(scope="module")
def runs(refreshed: RefreshResult, tmp_path_factory: pytest.TempPathFactory) -> RunsFolder:
    made = RunsFolder(tmp_path_factory.mktemp("feedback") / "runs")
    publish(made, refreshed.run, 0)
    return made


@pytest.fixture(scope="module")
def service(
    runs: RunsFolder, configured: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    options = ["--config", str(configured(FAST)), "--workers", "2"]
    with Served(runs.path, tmp_path_factory.mktemp("log") / "log", options) as served:
        yield served


def best(service: Served, user: str) -> list[str]:
    answer = service.post("/recommend", queries=[{"user_id": user}], k=5).json()["answers"][0]
    return [row["item_id"] for row in answer["candidates"]]


def event(user: str, item: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "kind": kind, **more}


def test_what_a_user_dislikes_is_gone_at_once_in_every_worker(
    service: Served, runs: RunsFolder, refreshed: RefreshResult
) -> None:
    disliked = best(service, "u1")[0]
    events = [event("u1", disliked, "dislike", event_id="e1"), event("new", "m3", "like", time="2024-05-01")]
    reply = replies.FeedbackReply.model_validate_json(service.post("/feedback", events=events).content)
    assert (reply.accepted, reply.repeated, reply.unknown_users, reply.unknown_items) == (2, 0, ["new"], [])
    for _ in range(6):
        assert disliked not in best(service, "u1")
    assert len(best(service, "new")) == 5
    again = service.post("/feedback", events=events[:1]).json()
    assert (again["accepted"], again["repeated"]) == (0, 1)
    publish(runs, refreshed.run, 1)
    service.wait_for("ready", 2)
    assert disliked not in best(service, "u1")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kind": "share"}, "events.0.kind"),
        ({"time": "soon"}, "time = 'soon'"),
        ({"user_id": ""}, "events.0.user_id"),
        ({"item_id": "  "}, "item_id"),
        ({"user_id": 3}, "events.0.user_id"),
        ({"rating": 3}, "events.0.rating"),
    ],
)
def test_of_a_list_with_a_wrong_event_nothing_is_written(service: Served, wrong: dict[str, Any], words: str) -> None:
    other = event("u2", "m2", "impression", event_id=f"other than {wrong}")
    events = [{**event("u2", "m1", "like", event_id=f"{wrong}"), **wrong}, other]
    assert words in detail(service.post("/feedback", events=events), 422)
    assert service.post("/feedback", events=[other]).json()["accepted"] == 1


def test_a_full_disk_is_told_and_what_is_sent_again_counts(
    refreshed: RefreshResult, configured: Callable[[str], Path], tmp_path: Path
) -> None:
    runs = RunsFolder(tmp_path / "runs")
    publish(runs, refreshed.run, 0)
    with Served(runs.path, tmp_path / "log", ["--config", str(configured(FAST))]) as service:
        sent = [event("u1", "m1", "impression", event_id="first")]
        assert service.post("/feedback", events=sent).json()["accepted"] == 1
        service.wait_for("request")  # the answer comes before the worker has counted and logged the request
        # A limit on the size of files stands for a disk on which there is no room.
        (worker,) = map(
            int, Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
        )
        room = (runs.feedback_root / "events.log").stat().st_size
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        more = [event("u1", f"m{number}", "like", event_id=f"e{number}") for number in range(5)]
        assert "nothing of this feedback counts" in detail(service.post("/feedback", events=more), 503)
        assert service.post("/recommend", queries=[{"user_id": "u1"}]).status_code == 200
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert service.post("/feedback", events=more).json()["accepted"] == 5

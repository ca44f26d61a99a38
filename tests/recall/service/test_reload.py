"""Runs come and go while the service is asked."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from kg.io.files import MANIFEST, write_manifest
from recall.config.deployment import load_config
from recall.jobs.refresh import RefreshResult, refresh
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from recall.serve.recommender import Recommender
from tests.recall.service.making import Served, detail
from tests.recall.service.test_server import FAST, wait_until

pytestmark = pytest.mark.slow  # processes that start and stop

USERS = ("u1", "u2", "u3")
PUBLISHED = 6


def damage(run: Path) -> None:
    """Cut off the last byte of a file."""
    file = next(path for path in run.rglob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1])


def publish(runs: RunsFolder, source: RunLayout, number: int, *, damaged: bool = False) -> RunLayout:
    """Another run with the content of one, or with all of it but a byte."""
    fingerprint = f"{number:016x}"
    staged = runs.staging(fingerprint) / "run"
    shutil.copytree(source.path, staged)
    (staged / MANIFEST).unlink()
    write_manifest(staged, {"fingerprint": fingerprint, "created": "2026-01-01T00:00:00+00:00", "metrics": {}})
    if damaged:  # before anybody can load it
        damage(staged)
    return runs.publish(staged, fingerprint=fingerprint)


@pytest.fixture(scope="module")
def other(make_deployment: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> RunLayout:
    """A run of other data, with the same users."""
    config = make_deployment(tmp_path_factory.mktemp("other"), movies=30, ratings=9)
    run = refresh(load_config(config)).run
    assert run is not None
    return run


@pytest.fixture
def runs(tmp_path: Path, refreshed: RefreshResult) -> RunsFolder:
    made = RunsFolder(tmp_path / "runs")
    publish(made, refreshed.run, 0)
    return made


@pytest.fixture
def serve(runs: RunsFolder, configured: Callable[[str], Path], tmp_path: Path) -> Callable[..., Served]:
    def make(*options: str) -> Served:
        return Served(runs.path, tmp_path / "log", ["--config", str(configured(FAST)), *options])

    return make


def asked(client: httpx.Client) -> tuple[str, list[list[tuple[str, float]]]]:
    """The run that answered, and its candidates."""
    reply = client.post("/recommend", json={"queries": [{"user_id": user} for user in USERS], "k": 5})
    assert reply.status_code == 200, reply.text
    data = reply.json()
    return data["run"], [[(row["item_id"], row["score"]) for row in answer["candidates"]] for answer in data["answers"]]


def expected(run: RunLayout) -> list[list[tuple[str, float]]]:
    answer = Recommender.load(run.path).recommend(USERS, k=5)
    return [[(row["item_id"], row["score"]) for row in answer.of(user)] for user in USERS]


def test_runs_that_are_published_while_it_is_asked(
    serve: Callable[..., Served], runs: RunsFolder, refreshed: RefreshResult, other: RunLayout
) -> None:
    contents = [expected(refreshed.run), expected(other)]
    assert contents[0] != contents[1]
    content_of = {runs.runs()[0].name: 0}
    answers: list[tuple[str, list[list[tuple[str, float]]]]] = []
    problems: list[Exception] = []
    stop = threading.Event()

    def ask(address: str) -> None:
        with httpx.Client(base_url=address, timeout=60) as client:
            while not stop.is_set():
                try:
                    answers.append(asked(client))
                except Exception as error:
                    problems.append(error)

    with serve("--workers", "2") as service:
        threads = [threading.Thread(target=ask, args=(service.address,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(1, PUBLISHED + 1):
            # Each run answers somebody before the next one comes.
            wait_until(lambda: problems or {name for name, _ in answers} == set(content_of))
            content_of[publish(runs, (refreshed.run, other)[number % 2], number).name] = number % 2
            runs.prune(keep=1)
            service.wait_for("ready", number + 1)
        wait_until(lambda: problems or {name for name, _ in answers} == set(content_of))
        stop.set()
        for thread in threads:
            thread.join()
        assert problems == []
        assert {name for name, _ in answers} == set(content_of)
        assert all(content == contents[content_of[name]] for name, content in answers)
        assert len(runs.runs()) <= 2


def test_a_damaged_run_does_not_serve(serve: Callable[..., Served], runs: RunsFolder, other: RunLayout) -> None:
    first = runs.runs()[0].name
    with serve() as service:
        publish(runs, other, 1, damaged=True)
        service.wait_for("put off")
        assert asked(service.client)[0] == first
        assert service.client.get("/readyz").json()["run"] == first
        (line,) = service.events("put off")
        assert "the run before serves on" in line["message"]
        good = publish(runs, other, 2)
        service.wait_for("ready", 2)
        assert asked(service.client) == (good.name, expected(other))


def test_a_run_that_vanishes_serves_on(serve: Callable[..., Served], runs: RunsFolder, other: RunLayout) -> None:
    first = runs.runs()[0]
    with serve("--cypher") as service:
        content = asked(service.client)
        shutil.rmtree(first.path)
        service.wait_for("put off")
        assert asked(service.client) == content
        assert service.post("/explain", user_id="u1", item_ids=["m1"]).status_code == 200
        assert "report" in detail(service.client.get("/runs/current"), 503)
        assert service.client.get("/runs").json()["runs"] == []
        assert detail(service.post("/cypher", query="MATCH (m) RETURN count(m)"), 503)
        assert "graphrecall_ready 1.0" in service.client.get("/metrics").text
        again = publish(runs, other, 1)
        service.wait_for("ready", 2)
        assert asked(service.client)[0] == again.name
        assert service.post("/cypher", query="MATCH (m:Movie) RETURN count(m) AS n").json()["rows"] == [{"n": 30}]


def test_a_service_that_begins_with_a_damaged_run_says_so_until_there_is_another(
    serve: Callable[..., Served], runs: RunsFolder, other: RunLayout
) -> None:
    damage(runs.runs()[0].path)
    service = serve()
    service.wait_for("no run")
    try:
        assert service.client.get("/healthz").json() == {"status": "ok"}
        for response in (service.client.get("/readyz"), service.post("/recommend", queries=[{"user_id": "u1"}])):
            assert "not ready: " in detail(response, 503)
        assert "graphrecall_ready 0.0" in service.client.get("/metrics").text
        publish(runs, other, 1)
        service.wait_for("ready")
        assert asked(service.client)[1] == expected(other)
    finally:
        service.close()

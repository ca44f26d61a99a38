"""The processes of the service: how they start, who may ask them, what they log, and how they end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from recall.jobs.refresh import RefreshResult
from recall.serve.recommender import Recommender
from recall.service.server import listen
from tests.processes import is_there
from tests.recall.service.making import Served, detail
from tests.recall.service.test_faults import all_of, head, sent

pytestmark = pytest.mark.slow  # processes that start and stop

KEY = "a-key-of-enough-characters"
FAST = "\n[service]\nwarm_text = false\nreload_every = 0.2\n"


@pytest.fixture
def serve(refreshed: RefreshResult, configured: Callable[[str], Path], tmp_path: Path) -> Callable[..., Served]:
    """Makes a service with further lines of its section."""

    def make(section: str = "", options: list[str] | None = None, environment: dict[str, str] | None = None) -> Served:
        config = configured(FAST + section)
        chosen = ["--config", str(config), *(options or [])]
        return Served(refreshed.run.path.parent, tmp_path / "log", chosen, environment)

    return make


def children(process: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def wait_until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


def run(*arguments: object, **environment: str) -> tuple[int, str]:
    """Run the command to its end: exit code and stderr."""
    command = [sys.executable, "-m", "recall", "serve", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment}
    )
    return done.returncode, " ".join(done.stderr.split())


def test_two_services_on_one_port(refreshed: RefreshResult) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, message = run(refreshed.run.path.parent, "--port", port)
    assert (code, f"port {port} of 127.0.0.1 is in use" in message) == (1, True), message


def test_what_cannot_be_served_is_told_at_once(tmp_path: Path, refreshed: RefreshResult) -> None:
    code, message = run(tmp_path, "--port", 0)
    assert (code, "is not a published run" in message) == (1, True), message
    code, message = run(refreshed.run.path.parent, "--port", 0, "--host", "192.0.2.1")
    assert (code, "cannot listen on port 0 of 192.0.2.1" in message) == (1, True), message
    code, message = run(refreshed.run.path.parent, "--port", 0, GRAPHRECALL_API_KEY="short")
    assert (code, "at least 16" in message) == (1, True), message
    assert "short" not in message.replace("too short", "")


def test_key_names_origins_and_cypher(serve: Callable[..., Served], recommender: Recommender) -> None:
    section = 'hosts = ["shop.example"]\ncors_origins = ["https://shop.example"]\n'
    with serve(section, ["--cypher"], {"GRAPHRECALL_API_KEY": KEY}) as service:
        client = service.client
        for headers in ({}, {"authorization": "Bearer " + KEY[:-1]}, {"x-api-key": KEY + "x"}, {"x-api-key": b"\xe4"}):
            response = client.get("/runs", headers={"host": "shop.example", **headers})
            assert "the key is missing or wrong" in detail(response, 401)
            assert response.headers["www-authenticate"] == "Bearer"
        assert client.get("/readyz").status_code == client.get("/healthz").status_code == 200
        good = {"authorization": f"bearer {KEY}"}
        assert "not asked under this name" in detail(client.get("/runs", headers=good), 421)
        good["host"] = "shop.example:8000"
        assert client.get("/runs", headers=good).status_code == 200
        assert client.get("/runs", headers={"x-api-key": KEY, "host": "shop.example"}).status_code == 200
        asked = client.get("/runs", headers={**good, "origin": "https://shop.example"})
        assert asked.headers["access-control-allow-origin"] == "https://shop.example"
        others = client.get("/runs", headers={**good, "origin": "https://other.example"})
        assert "access-control-allow-origin" not in others.headers

        query = {"query": "MATCH (m:Movie {id: $id}) RETURN m.id AS id", "parameters": {"id": "m1"}}
        rows = client.post("/cypher", json=query, headers=good).json()
        assert rows == {"run": recommender.run.name, "rows": [{"id": "m1"}]}
        for written in ("MATCH (m) DELETE m", "LOAD FROM '/etc/passwd' RETURN *"):
            assert detail(client.post("/cypher", json={"query": written}, headers=good), 403)
        assert detail(client.post("/cypher", json={"query": "MATCH ("}, headers=good), 422)


def test_a_foreign_name_does_not_reach_a_service_for_this_machine(served: Served) -> None:
    for name in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
        response = served.client.get("/runs", headers={"host": name})
        assert response.status_code in (400, 421), name
    for name in ("localhost:1234", "127.0.0.1", "[::1]:80"):
        assert served.client.get("/runs", headers={"host": name}).status_code == 200, name
    asked = served.client.get("/runs", headers={"origin": "https://shop.example"})
    assert "access-control-allow-origin" not in asked.headers


def test_the_log_names_no_user_unless_it_is_told_to(serve: Callable[..., Served], served: Served) -> None:
    number = served.client.get("/users/u13/history").headers["x-request-id"]
    served.post("/recommend", queries=[{"user_id": "u13"}])
    wait_until(lambda: any(entry["request"] == number for entry in served.events("request")))
    (entry,) = [entry for entry in served.events("request") if entry["request"] == number]
    assert {"method", "route", "status", "bytes", "ms", "time", "level"} <= set(entry)
    assert (entry["route"], entry["status"]) == ("/users/{user_id:path}/history", 200)
    assert "u13" not in served.log_file.read_text()
    with serve("log_ids = true\n") as service:
        service.client.get("/users/u13/history")
        assert service.wait_for("request")["path"] == "/users/u13/history"


def test_a_stop_answers_what_was_asked(serve: Callable[..., Served]) -> None:
    with serve() as service, httpx.Client(base_url=service.address, timeout=60) as other:
        body = json.dumps({"queries": [{"user_id": "u1"}], "k": 2}).encode()
        begun = sent(service, head(len(body)) + body[:5])
        # The one worker accepts in order: who is answered now says that the connection before is accepted, too.
        assert other.get("/healthz").status_code == 200
        service.process.send_signal(signal.SIGTERM)

        def leaves() -> bool:
            """Requests that a client sends just as the service stops are answered, and the last one says so."""
            response = other.get("/healthz")
            assert response.status_code == 200
            return response.headers.get("connection") == "close"

        wait_until(leaves)
        begun.sendall(body[5:])
        answer = all_of(begun)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer.lower()
        assert service.process.wait(60) == 0
        assert service.events("stopping")
        with pytest.raises(httpx.ConnectError):
            service.client.get("/healthz")


@pytest.mark.parametrize("wait", [0.0, 0.1, 0.4, 1.0])
def test_a_stop_while_it_starts_leaves_nobody_behind(serve: Callable[..., Served], wait: float) -> None:
    service = serve(options=["--workers", "2"])
    wait_until(lambda: bool(children(service.process.pid)))
    service.wait_for("loaded")
    time.sleep(wait)
    workers = children(service.process.pid)
    assert service.stop() == 0
    assert not any(map(is_there, workers))


def test_workers_add_up_their_numbers_and_one_that_is_killed_is_replaced(serve: Callable[..., Served]) -> None:
    with serve(options=["--workers", "2"]) as service:
        workers = children(service.process.pid)
        assert len(workers) == 2
        for number in range(20):
            with httpx.Client(base_url=service.address, timeout=60) as client:
                assert client.get(f"/users/u{number % 16}/history").status_code == 200
        count = 'graphrecall_request_seconds_count{method="GET",route="/users/{user_id:path}/history",status="200"}'

        def counted() -> bool:
            with httpx.Client(base_url=service.address, timeout=60) as client:
                return f"{count} 20.0" in client.get("/metrics").text

        wait_until(counted)  # a worker counts a request after the client has its answer
        assert all(counted() for _ in range(4))  # whichever worker answers
        os.kill(workers[0], signal.SIGKILL)
        wait_until(lambda: len(now := children(service.process.pid)) == 2 and workers[0] not in now)
        for _ in range(10):
            with httpx.Client(base_url=service.address, timeout=60) as client:
                assert client.get("/readyz").status_code == 200


def test_workers_end_with_the_process_that_made_them(serve: Callable[..., Served]) -> None:
    service = serve(options=["--workers", "2"])
    with service:
        workers = children(service.process.pid)
        service.process.kill()
        service.process.wait()
        wait_until(lambda: not any(map(is_there, workers)))


def test_no_packet_of_an_answer_waits_for_another() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

"""Whatever a client sends, it gets a clear status, and the service goes on."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from recall.jobs.refresh import RefreshResult
from tests.recall.service.making import Served, detail

LIMITS = """
[service]
warm_text = false
[service.limits]
seconds = 60
body_bytes = 300_000
queries = 2000
k = 50
candidates = 40_000
ids = 100
id_length = 30
text_length = 200
explanations = 2
"""
PATIENT = """
body_seconds = 60
send_seconds = 60
"""
IMPATIENT = """
head_seconds = 2
body_seconds = 5
send_seconds = 2
"""


@pytest.fixture(scope="module")
def with_limits(
    refreshed: RefreshResult, configured: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Served]:
    """Makes a service with further limits."""

    def make(limits: str) -> Served:
        options = ["--config", str(configured(LIMITS + limits))]
        return Served(refreshed.run.path.parent, tmp_path_factory.mktemp("limits") / "log", options)

    return make


@pytest.fixture(scope="module")
def limited(with_limits: Callable[[str], Served]) -> Iterator[Served]:
    with with_limits(PATIENT) as service:
        yield service


@pytest.fixture(scope="module")
def impatient(with_limits: Callable[[str], Served]) -> Iterator[Served]:
    """For clients that stop: on a busy machine others may take as long to send or to read what is large."""
    with with_limits(IMPATIENT) as service:
        yield service


@pytest.fixture(autouse=True)
def _goes_on(limited: Served, impatient: Served) -> Iterator[None]:
    """After each test the services answer, and nothing in them has failed."""
    yield
    for service in (limited, impatient):
        answer = service.post("/recommend", queries=[{"user_id": "u1"}], k=2).json()["answers"][0]
        assert len(answer["candidates"]) == 2
        assert [entry for entry in service.log() if entry["level"] == "error"] == []


def connected(served: Served) -> socket.socket:
    address = urlsplit(served.address)
    return socket.create_connection((address.hostname, address.port), timeout=30)


def sent(served: Served, data: bytes) -> socket.socket:
    """A connection on which some bytes are sent."""
    connection = connected(served)
    connection.sendall(data)
    return connection


def all_of(connection: socket.socket) -> bytes:
    """What comes until the other side closes the connection."""
    parts = []
    with connection, suppress(ConnectionResetError):  # what we send is not read to its end
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def head(length: int, *more: str, path: str = "/recommend") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, *more, "", ""]).encode()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 422, "Field required"),
        (b"{", 400, "the body is no JSON"),
        (b"[1, 2]", 422, "valid dictionary"),
        (b"null", 422, "Field required|valid dictionary"),
        (b'{"queries": "\xff\xfe"}', 400, "no JSON in UTF-8"),
        (b"[" * 100_000, 400, "nested too deep"),
        (b'{"queries": [{"user_id": "\\ud800"}]}', 422, "no text"),
        (b'{"queries": [{"user_id": "u1"}], "\\ud800": 1}', 422, "unicode"),
        (b'{"queries": [{"user_id": "u1"}], "k": 1e400}', 422, "k: "),
        (b'{"queries": [{"user_id": "u1"}], "k": NaN}', 422, "k: "),
        (b'{"queries": [{"user_id": "u1"}], "k": ' + b"9" * 5000 + b"}", 400, "no JSON"),
        (b'{"queries": [{"user_id": "u1"}], "k": 99999999999999999999}', 422, "k"),
        (b'{"queries": [{"user_id": "u1"}], "k": true}', 422, "valid integer"),
        (b'{"queries": [{"user_id": "u1"}], "k": "3"}', 422, "valid integer"),
        (b'{"queries": [{"user_id": 1}]}', 422, "valid string"),
        (b'{"queries": [{}]}', 422, "give `user_id`, or what somebody new is like"),
        (b'{"queries": [{"user_id": "u1", "text": "x"}]}', 422, "give `user_id`, or"),
        (b'{"queries": []}', 422, "at least 1 item"),
        (b'{"queries": [{"user_id": "u1", "K": 3}]}', 422, "queries.0.K"),
        (b'{"queries": [{"user_id": "u1"}], "k": 0}', 422, "greater than or equal to 1"),
        (b'{"queries": [{"user_id": "u1"}], "on_unknown": "ignore"}', 422, "on_unknown"),
        (b'{"queries": [{"user_id": "u1"}], "filter": "year >"}', 422, "filter|year"),
        (b'{"queries": [{"user_id": "u1"}], "filter": "nothing = 1"}', 422, "no attribute or relation"),
        (b'{"queries": [{"liked": ["m1"], "disliked": ["m1"]}]}', 422, "liked and disliked"),
        (b'{"queries": [{"history": [{"item_id": "m1", "time": "soon"}]}]}', 422, "history"),
        (b'{"queries": [{"history": [{"item_id": "m1", "time": "9999-99-99"}]}]}', 422, "history"),
        (b'{"queries": [{"attributes": {"colour": ["red"]}}]}', 422, "colour"),
        (b'{"queries": [{"attributes": {"director": ["nobody"]}}]}', 404, "nobody"),
        (b'{"queries": [{"liked": ["m999"]}]}', 404, "m999"),
    ],
)
def test_a_wrong_body_is_named(limited: Served, body: bytes, status: int, words: str) -> None:
    response = limited.client.post("/recommend", content=body, headers={"content-type": "application/json"})
    told = detail(response, status)
    assert any(word in told for word in words.split("|")), told
    assert len(response.content) < 10_000


@pytest.mark.parametrize(
    ("path", "body", "limit"),
    [
        ("/recommend", {"queries": [{"user_id": "u1"}] * 2001}, "queries"),
        ("/recommend", {"queries": [{"user_id": "u1"}], "k": 51}, "k"),
        ("/recommend", {"queries": [{"user_id": "u1", "k": 51}]}, "k"),
        ("/recommend", {"queries": [{"user_id": "u1"}] * 1000, "k": 41}, "candidates"),
        ("/recommend", {"queries": [{"user_id": "u" * 31}]}, "id_length"),
        ("/recommend", {"queries": [{"liked": ["m1", "m" * 31]}]}, "id_length"),
        ("/recommend", {"queries": [{"history": [{"item_id": "m" * 31, "time": 1}]}]}, "id_length"),
        ("/recommend", {"queries": [{"attributes": {"d" * 31: ["p"]}}]}, "id_length"),
        ("/recommend", {"queries": [{"text": "t" * 201}]}, "text_length"),
        ("/recommend", {"queries": [{"user_id": "u1"}], "filter": "f" * 201}, "text_length"),
        ("/recommend", {"queries": [{"user_id": "u1"}], "exclude": ["m1"] * 101}, "ids"),
        ("/recommend", {"queries": [{"user_id": "u1", "candidates": ["m1"] * 101}]}, "ids"),
        ("/similar", {"item_ids": ["m1"] * 101}, "ids"),
        ("/similar", {"item_ids": ["m1"], "k": 51}, "k"),
        ("/explain", {"user_id": "u1", "item_ids": ["m1", "m2", "m3"]}, "explanations"),
        ("/score", {"pairs": [{"user_id": "u1", "item_id": "m1"}] * 2001}, "queries"),
        ("/score", {"pairs": [{"user_id": "u1", "item_id": "m" * 31}]}, "id_length"),
    ],
)
def test_more_than_a_limit_allows_is_refused_by_its_name(limited: Served, path: str, body: dict, limit: str) -> None:
    assert f"(service.limits.{limit})" in detail(limited.client.post(path, json=body), 422)


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/search?kind=item&limit=51", "k"),
        (f"/search?kind=item&q={'q' * 31}", "id_length"),
        ("/items/m1?neighbours=51", "k"),
        (f"/items/{'m' * 31}", "id_length"),
        (f"/users/{'u' * 31}/history", "id_length"),
        ("/users/u1/history?limit=51", "k"),
        (f"/runs/{'r' * 31}", "id_length"),
    ],
)
def test_addresses_have_limits(limited: Served, path: str, limit: str) -> None:
    assert f"(service.limits.{limit})" in detail(limited.client.get(path), 422)


def test_what_the_limits_allow_is_answered(limited: Served) -> None:
    answers = limited.post("/recommend", queries=[{"user_id": "u1"}] * 1000, k=40).json()["answers"]
    assert len(answers) == 1000
    assert answers[0] == answers[-1]


def test_a_body_of_100_mb_is_refused(limited: Served) -> None:
    response = limited.client.post(
        "/recommend", content=b" " * 100 * 2**20, headers={"content-type": "application/json"}
    )
    assert "(service.limits.body_bytes)" in detail(response, 413)


def test_a_body_without_a_length_is_refused_when_it_is_too_large(limited: Served) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 2**16

    response = limited.client.post("/recommend", content=pieces(), headers={"content-type": "application/json"})
    assert "(service.limits.body_bytes)" in detail(response, 413)


def test_a_client_that_asks_first_sends_no_body_that_is_too_large(limited: Served) -> None:
    answer = all_of(sent(limited, head(100 * 2**20, "Expect: 100-continue")))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_client_that_stops_in_the_body_is_told_so(impatient: Served) -> None:
    answer = all_of(sent(impatient, head(50) + b'{"queries"'))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"(service.limits.body_seconds)" in answer


@pytest.mark.parametrize("begun", [b"", b"POST /recommend HTTP/1.1\r\nHost: local"])
def test_a_client_that_stops_in_the_head_is_left(impatient: Served, begun: bytes) -> None:
    assert all_of(sent(impatient, begun)) == b""


def test_the_head_of_a_second_request_has_its_time_too(impatient: Served) -> None:
    connection = sent(impatient, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
    connection.sendall(b"GET /heal")
    assert b"HTTP/1.1" not in all_of(connection)


def test_a_client_that_does_not_read_is_left(impatient: Served) -> None:
    body = json.dumps({"queries": [{"user_id": "u1"}] * 2000, "k": 20, "exclude_seen": False}).encode()
    address = urlsplit(impatient.address)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect((address.hostname, address.port))
        before = len(impatient.events("unread"))
        connection.sendall(head(len(body)) + body)
        impatient.wait_for("unread", before + 1)
        length = int(impatient.events("request")[-1]["bytes"])  # the log tells of the request, then that nobody reads
        assert len(all_of(connection)) < length


def test_clients_that_leave_in_the_middle(limited: Served) -> None:
    body = json.dumps({"queries": [{"user_id": "u1"}] * 100}).encode()
    for size in range(0, len(body), len(body) // 30):
        sent(limited, head(len(body)) + body[:size]).close()
    for _ in range(20):
        sent(limited, head(len(body)) + body).close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET /items/m1\r\nX: 1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /items/m1 HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_refused(limited: Served, request_bytes: bytes) -> None:
    connection = connected(limited)
    # A refusal may close the connection while the request is still being sent: what was answered is what counts.
    with suppress(OSError):
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
    answer = all_of(connection)
    assert answer == b"" or answer.split(b" ")[1] in (b"400", b"415"), answer[:200]


@pytest.mark.parametrize(
    "name", ["m1%0d%0aX-Injected:%20yes", "%0d%0a%0d%0a%3Cscript%3E", "m1%00", "%F0%9F%92%A9", "%ff"]
)
def test_an_id_puts_nothing_into_the_head_of_an_answer(limited: Served, name: str) -> None:
    response = limited.client.get(f"/items/{name}")
    assert "x-injected" not in response.headers
    assert detail(response, 404)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_a_form_of_another_page_is_no_request(limited: Served, kind: str) -> None:
    response = limited.client.post(
        "/recommend", content=b'{"queries":[{"user_id":"u1"}]}', headers={"content-type": kind}
    )
    assert "Content-Type: application/json" in detail(response, 415)


def test_addresses_and_methods_that_are_not_there(limited: Served) -> None:
    assert "nothing at /nothing" in detail(limited.client.get("/nothing"), 404)
    assert "GET does not go with /recommend" in detail(limited.client.get("/recommend"), 405)
    assert "nothing at /cypher" in detail(limited.post("/cypher", query="RETURN 1"), 404)
    assert detail(limited.client.get("/search?kind=movie"), 422)

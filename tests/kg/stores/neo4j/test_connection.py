from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from neo4j import GraphDatabase

from kg.errors import ConfigError, StoreUnavailableError
from kg.stores.neo4j.connection import SCHEMES, Neo4jConnection

SECRET = "hunter2-secret"  # noqa: S105


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_is_one_that_the_driver_takes(scheme: str) -> None:
    connection = Neo4jConnection(uri=f"{scheme}://db.example.org:7687")
    with GraphDatabase.driver(connection.uri) as driver:
        assert driver.encrypted == (scheme[-2:] == "+s" or scheme.endswith("+ssc"))


@pytest.mark.parametrize(
    "uri", ["neo4j://localhost", "bolt://[::1]:7687", "neo4j+s://xxxx.databases.neo4j.io", "neo4j://h:1?policy=eu"]
)
def test_an_address_may_lack_the_port_or_name_a_route(uri: str) -> None:
    assert Neo4jConnection(uri=uri).uri == uri


@pytest.mark.parametrize(
    "uri", ["", "localhost:7687", "http://localhost:7687", "neo4j:", "neo4j://", "neo4j://h:99999", "bolt://[::1", "x"]
)
def test_what_is_no_address_is_refused_with_an_example(uri: str) -> None:
    with pytest.raises(ConfigError, match="no address of a Neo4j server: write neo4j://host:7687"):
        Neo4jConnection(uri=uri)


@pytest.mark.parametrize(
    "uri",
    [
        f"neo4j://neo4j:{SECRET}@localhost:7687",
        f"neo4j://{SECRET}@localhost",
        f"neo4j:{SECRET}@localhost",
        f"http://a:{SECRET}@b",
        f"neo4j://a:{SECRET}@[::1",
    ],
)
def test_an_address_with_an_account_is_refused_and_not_shown(uri: str) -> None:
    with pytest.raises(ConfigError, match="take them out") as refused:
        Neo4jConnection(uri=uri)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("key", ["password", "PASSWORD", "auth_token"])
def test_an_address_with_a_password_behind_it_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigError, match="holds a password: take it out") as refused:
        Neo4jConnection(uri=f"neo4j://localhost:7687?policy=eu&{key}={SECRET}")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("more", ["/movies", "/db/data", "#movies"])
def test_an_address_that_names_a_database_is_refused_and_not_taken_for_the_default_one(more: str) -> None:
    with pytest.raises(ConfigError, match="write neo4j://h:7687, and name the database in `database`"):
        Neo4jConnection(uri=f"neo4j://h:7687{more}")
    assert Neo4jConnection(uri="neo4j://h:7687/").uri == "neo4j://h:7687/"


@pytest.mark.parametrize("name", [f"{SECRET}!", "hunter2-secret", "", "A B", "1A"])
def test_a_password_in_place_of_its_variable_is_refused_and_not_shown(name: str) -> None:
    with pytest.raises(ConfigError, match="password_env is not the name of an environment variable") as refused:
        Neo4jConnection(uri="neo4j://localhost", password_env=name)
    assert not name or name not in str(refused.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 1e12])
def test_a_timeout_is_a_number_of_seconds(timeout: float) -> None:
    with pytest.raises(ConfigError, match=r"timeout = .* must be (above 0|at most 31622400|a finite number)"):
        Neo4jConnection(uri="neo4j://localhost", timeout=timeout)


def test_without_a_password_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEO4J_PASSWORD", raising=False)
    with pytest.raises(
        ConfigError, match="no password for 'ada' at neo4j://localhost: set the environment variable NEO4J_PASSWORD"
    ):
        Neo4jConnection(uri="neo4j://localhost", user="ada").open()


def test_a_password_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEO4J_PASSWORD", raising=False)
    (tmp_path / "latin").write_bytes(b"\xff\xfe\xfa")
    for name in ("missing", "latin", "."):
        with pytest.raises(ConfigError, match=r"the password file .* cannot be read: ") as refused:
            Neo4jConnection(uri="neo4j://localhost", password_file=name).open(base=tmp_path)
        assert refused.value.__cause__ is None
    (tmp_path / "empty").write_text("\nsecond line\n")
    with pytest.raises(ConfigError, match="no password"):
        Neo4jConnection(uri="neo4j://localhost", password_file="empty").open(base=tmp_path)  # noqa: S106


def test_neither_repr_nor_equality_know_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_PASSWORD", SECRET)
    connection = Neo4jConnection(uri="neo4j://localhost", password_file="/etc/secret")  # noqa: S106
    assert SECRET not in repr(connection)


@contextmanager
def listening(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A port of loopback that gives one answer to whoever connects; the address, and what was first said."""
    heard: list[bytes] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client, suppress(OSError):  # whoever asked may be gone by now
                    heard.append(client.recv(1024))
                    client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}", heard
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_port_that_is_no_neo4j_is_asked_once_and_reported(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_PASSWORD", SECRET)
    with listening(answer) as (address, heard):
        with pytest.raises(StoreUnavailableError, match=f"bolt://{address} does not answer") as failed:
            Neo4jConnection(uri=f"bolt://{address}").open()
        assert len(heard) == 1
    assert SECRET not in str(failed.value)
    assert all(SECRET.encode() not in said for said in heard)


def test_an_encrypted_scheme_speaks_tls_first_and_never_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_PASSWORD", SECRET)
    for scheme in ("bolt+s", "bolt+ssc", "neo4j+s", "neo4j+ssc"):
        with listening(b"no TLS here") as (address, heard):
            with pytest.raises(StoreUnavailableError, match="does not answer"):
                Neo4jConnection(uri=f"{scheme}://{address}").open()
            assert heard
            assert all(said[:2] == b"\x16\x03" for said in heard)  # a TLS handshake


def test_a_server_that_is_not_there_is_told_without_trying_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_PASSWORD", SECRET)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound, but it does not listen
        port = probe.getsockname()[1]
        for uri in (f"neo4j://127.0.0.1:{port}", f"bolt://127.0.0.1:{port}", "neo4j://no-such-host.invalid"):
            with pytest.raises(StoreUnavailableError, match="Is it running, and the address right") as failed:
                Neo4jConnection(uri=uri).open()
            assert uri in str(failed.value)
            # Why, not that there is no routing table.
            assert ("no-such-host.invalid" if "invalid" in uri else "Connection refused") in str(failed.value)
            assert "routing" not in str(failed.value)
            assert "\n" not in str(failed.value)


@pytest.mark.neo4j
def test_the_password_comes_from_the_environment_before_the_file(
    neo4j_connection: Neo4jConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    good = os.environ[neo4j_connection.password_env]
    monkeypatch.delenv("NEO4J_PASSWORD", raising=False)
    for name, content in (("plain", good), ("line", f"{good}\n"), ("windows", f"\ufeff{good}\r\nmore\r\n")):
        (tmp_path / name).write_text(content, encoding="utf-8", newline="")
        connection = Neo4jConnection(uri=neo4j_connection.uri, password_file=name)
        with connection.open(base=tmp_path) as store:
            assert store.read("RETURN 1 AS one") == [{"one": 1}]
    monkeypatch.setenv("NEO4J_PASSWORD", good)
    (tmp_path / "wrong").write_text(SECRET)
    Neo4jConnection(uri=neo4j_connection.uri, password_file="wrong").open(base=tmp_path).close()  # noqa: S106


@pytest.mark.neo4j
def test_a_wrong_password_is_told_without_showing_it(
    neo4j_connection: Neo4jConnection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import traceback

    monkeypatch.setenv("NEO4J_PASSWORD", SECRET)
    for user in ("nobody", ""):
        with (
            caplog.at_level("DEBUG"),
            pytest.raises(StoreUnavailableError, match="check the user and the password") as told,
        ):
            Neo4jConnection(uri=neo4j_connection.uri, user=user).open()
        assert SECRET not in "".join(traceback.format_exception(told.value))
    assert caplog.records
    assert SECRET not in caplog.text


@pytest.mark.neo4j
def test_a_database_that_is_not_there_is_named(neo4j_connection: Neo4jConnection) -> None:

    with pytest.raises(StoreUnavailableError, match="has no database 'nowhere'"):
        neo4j_connection.changed(database="nowhere").open()


@pytest.mark.neo4j
def test_the_drivers_log_holds_no_password(neo4j_connection: Neo4jConnection, caplog: pytest.LogCaptureFixture) -> None:
    import os

    with caplog.at_level("DEBUG"), neo4j_connection.open() as store:
        store.query("RETURN 1 AS one")
        assert os.environ[neo4j_connection.password_env] not in repr(store)
    assert caplog.records
    assert os.environ[neo4j_connection.password_env] not in caplog.text

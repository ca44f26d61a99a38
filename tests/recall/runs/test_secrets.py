"""A password that somebody wrote into a configuration is refused and shown to nobody."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.settings import DataSettings
from kg.errors import ConfigError
from kg.settings import validate
from recall.config.deployment import parse_config
from recall.jobs.reporting import _kept_message
from recall.ops.logs import FIELDS, JsonFormatter

SECRET = "hunter2"  # noqa: S105
SOURCES = {"interactions": [{"files": ["ratings.csv"]}]}
READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "refresh": lambda data: parse_config(data, base=Path()),
    "ingest": lambda data: validate(DataSettings, data),
}
URI = "neo4j://localhost:7687"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "section",
    [
        {"uri": URI, "password": SECRET},
        {"uri": URI, "Password": SECRET},
        {"uri": URI, "auth": ["neo4j", SECRET]},
        {"uri": URI, "token": SECRET, "timeout": "soon"},
        {"uri": 7687, "password": SECRET},
        {"password": SECRET},
        [{"uri": URI, "password": SECRET}],
    ],
)
def test_a_password_in_the_section_is_refused_without_its_value(reader: str, section: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        READERS[reader]({"sources": SOURCES, "neo4j": section})
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    if isinstance(section, dict):
        assert "no password belongs into a configuration" in str(refused.value)
        assert "NEO4J_PASSWORD" in str(refused.value)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "section",
    [
        {"uri": f"neo4j://neo4j:{SECRET}@localhost"},
        {"uri": f"neo4j:{SECRET}@localhost"},
        {"uri": [f"neo4j://neo4j:{SECRET}@localhost"]},
        {"uri": URI, "password_env": f"{SECRET}!"},
        f"neo4j://neo4j:{SECRET}@localhost",
        {"uri": URI, "server": f"neo4j://neo4j:{SECRET}@localhost"},
    ],
)
def test_a_password_in_the_wrong_place_is_not_shown(reader: str, section: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        READERS[reader]({"sources": SOURCES, "neo4j": section})
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_a_password_in_another_section_is_not_shown_either() -> None:
    data = {"sources": {**SOURCES, "password": SECRET, "rdf": {"password": SECRET}}, "password": SECRET}
    for read in READERS.values():
        with pytest.raises(ConfigError) as refused:
            read(data)
        assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_the_command_shows_it_neither_on_the_screen_nor_in_a_log(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[[sources.interactions]]\nfiles = ["r.csv"]\n[neo4j]\nuri = "{URI}"\npassword = "{SECRET}"\n')
    with caplog.at_level(logging.DEBUG):
        for name in ("refresh", "load"):
            code, out, err = command(name, config)
            assert code == 1
            assert "neo4j.password: no password belongs into a configuration" in err
            assert SECRET not in out + err + caplog.text


def test_a_password_file_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for written, expected in (
        ("secrets/neo4j", tmp_path / "secrets" / "neo4j"),
        ("/etc/neo4j", Path("/etc/neo4j")),
        ("~/neo4j", tmp_path / "home" / "neo4j"),
    ):
        data = {"sources": SOURCES, "neo4j": {"uri": URI, "password_file": written}}
        config = parse_config(data, base=tmp_path)
        assert config.neo4j is not None
        assert config.neo4j.password_file == str(expected)
        assert config.to_json()["neo4j"]["password_file"] == str(expected)


ADDRESS = f"https://ada:{SECRET}@host/ratings.csv"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "sources",
    [
        {"interactions": [{"files": [ADDRESS]}]},
        {"interactions": [{"files": [f"https://host/r.csv?sig={SECRET}"]}]},
        {"interactions": [{"files": ["r.csv"], "sql": f"FROM 's3://k:{SECRET}@b/r.csv'"}]},
        {**SOURCES, "rdf": [{"files": ["a.ttl"], "base": f"http://ada:{SECRET}@host/"}]},
    ],
)
def test_a_secret_in_any_address_of_a_configuration_is_refused(reader: str, sources: Any) -> None:
    with pytest.raises(ConfigError, match="has an address with an account or a secret in it: take it out") as refused:
        READERS[reader]({"sources": sources})
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_settings_made_in_python_hold_no_secret_either() -> None:
    with pytest.raises(ConfigError, match=r"sources\.interactions\.0\.files\.0 has an address") as refused:
        DataSettings(sources={"interactions": [{"files": [ADDRESS]}]})
    assert SECRET not in str(refused.value)


def test_an_address_with_a_password_is_on_no_screen_and_in_no_log_or_record(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[[sources.interactions]]\nfiles = ["{ADDRESS}"]\n')
    for arguments in (("refresh", config), ("refresh", config, "--log"), ("check", config), ("load", config)):
        code, out, err = command(*arguments)
        assert code == 1, arguments
        assert SECRET not in out + err
        assert "has an address with an account" in err
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path != config]
    assert not any(SECRET.encode() in path.read_bytes() for path in kept)


def test_an_address_is_no_source(command: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[[sources.interactions]]\nfiles = ["https://host/ratings.csv?page=1"]\n')
    code, _, err = command("refresh", config)
    assert code == 1
    assert "https://host/ratings.csv?page=1 is an address, and nothing is fetched: download it" in err


def test_what_an_error_or_a_log_quotes_is_masked() -> None:
    error = ValueError(f"cannot read {ADDRESS}")
    record = logging.LogRecord("recall", logging.ERROR, "x", 1, "no: %s", (error,), (ValueError, error, None))
    setattr(record, FIELDS, {"error": str(error), "exit_code": 1})
    line = JsonFormatter().format(record)
    assert SECRET not in line
    assert json.loads(line)["error"] == "cannot read https://***@host/ratings.csv"
    assert _kept_message(error, masked=False) == "cannot read https://***@host/ratings.csv"

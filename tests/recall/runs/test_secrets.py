"""A password that somebody wrote into a configuration is refused and shown to nobody."""

from __future__ import annotations

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

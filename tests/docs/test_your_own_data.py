"""The page on one's own data: each chapter with its files, its commands and its configuration, as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recall import Recommender
from recall.cli.main import main
from recall.config.deployment import RefreshConfig, load_config, parse_config
from recall.jobs.check import check
from tests.docs.pages import ROOT, text

if TYPE_CHECKING:
    from kg.stores.neo4j.connection import Neo4jConnection

PAGE = ROOT / "docs" / "your-own-data.md"
URI = "neo4j://localhost:7687"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
CHAPTERS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text(PAGE), flags=re.DOTALL | re.MULTILINE))
OF_FILES = ("One table", "Items with attributes and edges", "RDF", "Events without ratings")


def block(chapter: str, language: str) -> str:
    (content,) = [content for kind, content in _BLOCK.findall(CHAPTERS[chapter]) if kind == language]
    return content


def write_files(chapter: str, folder: Path) -> None:
    """The files of a chapter, and those that it takes from another one."""
    for name in re.findall(r"^`([\w.]+)` is that of \[one table\]", CHAPTERS[chapter], flags=re.MULTILINE):
        files = dict(_FILE.findall(CHAPTERS["One table"]))
        (folder / name).write_text(files[name], encoding="utf-8")
    for name, content in _FILE.findall(CHAPTERS[chapter]):
        (folder / name).write_text(content, encoding="utf-8")


def run(line: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(shlex.split(line)[1:])
    assert caught.value.code in (0, None), line


def commands(chapter: str, **changes: str) -> Iterator[str]:
    for line in block(chapter, "sh").splitlines():
        for old, new in changes.items():
            line = line.replace(old, new)
        yield line


def described(config: RefreshConfig) -> dict[str, object]:
    data = config.to_json()
    return {name: data[name] for name in ("graph", "sources", "split")}


@pytest.mark.parametrize("chapter", OF_FILES)
def test_init_writes_what_the_page_shows(chapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(chapter, tmp_path)
    monkeypatch.chdir(tmp_path)
    init, check_line, *_ = commands(chapter)
    run(init)
    written = load_config(tmp_path / "graphrecall.toml")
    shown = parse_config(tomllib.loads(block(chapter, "toml")), base=tmp_path)
    assert described(written) == described(shown)
    run(check_line)
    assert all(match.share == 1.0 for match in check(written).matches)


@pytest.mark.slow
@pytest.mark.parametrize("chapter", OF_FILES)
def test_its_commands_lead_to_explained_candidates(
    chapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(chapter, tmp_path)
    monkeypatch.chdir(tmp_path)
    for line in commands(chapter):
        run(line)
    assert "candidates for user" in capsys.readouterr().out
    rec = Recommender.load(tmp_path / "runs" / "current")
    relations = {key.name for key in rec.graph.edges}
    assert relations >= {"Items with attributes and edges": {"author", "genre", "prize"}, "RDF": {"author"}}.get(
        chapter, {"rated"}
    )


@pytest.mark.neo4j
@pytest.mark.slow
def test_the_chapter_on_neo4j(
    neo4j_connection: Neo4jConnection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from tests.conftest import empty

    with neo4j_connection.open() as store:
        empty(store)
        for statement in block("Neo4j", "cypher").split(";\n"):
            if statement.strip():
                store.write(statement)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEO4J_PASSWORD", os.environ[neo4j_connection.password_env])
    for line in commands("Neo4j", **{URI: neo4j_connection.uri}):
        run(line)
    assert "candidates for user" in capsys.readouterr().out
    shown = parse_config(tomllib.loads(block("Neo4j", "toml").replace(URI, neo4j_connection.uri)), base=tmp_path)
    assert described(load_config(tmp_path / "graphrecall.toml")) == described(shown)


def test_every_chapter_is_tested() -> None:
    assert {*CHAPTERS} == {*OF_FILES, "Neo4j", "Published data sets", "When something does not fit"}

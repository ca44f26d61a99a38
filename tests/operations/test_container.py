"""The container file, by hadolint, and what it names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from typer.main import get_command

from recall.cli.main import app
from tests.docs.pages import ROOT
from tests.operations.test_kubernetes import USER

FILE = ROOT / "examples" / "operations" / "Containerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")


def lint(text: str) -> tuple[int, str]:
    done = subprocess.run([HADOLINT, "--no-color", "-"], input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_hadolint_finds_nothing() -> None:
    text = FILE.read_text()
    assert lint(text) == (0, "")
    code, out = lint(text.replace("USER 10001:10001", "USER root"))
    assert code != 0
    assert "DL3002" in out  # it does look


def test_what_is_copied_is_there() -> None:
    sources = [
        word
        for line in FILE.read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]
    assert {"pyproject.toml", "kg", "gnn", "ingest", "recall"} <= set(sources)
    assert all((ROOT / source).exists() for source in sources)
    ignored = Path(f"{FILE}.dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {f"!{source}" for source in sources} <= set(ignored)


def test_the_extras_exist_and_nobody_is_root() -> None:
    text = FILE.read_text()
    (extras,) = re.findall(r"pip install '\.\[(.*)\]'", text)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"offline", "service"} <= set(extras.split(","))
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert f"USER {USER}:{USER}" in text
    assert f"--uid {USER}" in text


def test_the_command_exists() -> None:
    (line,) = (line for line in FILE.read_text().splitlines() if line.startswith("CMD "))
    program, name, *arguments = json.loads(line.removeprefix("CMD "))
    assert program == "graphrecall"
    get_command(app).commands[name].make_context("graphrecall", arguments)  # type: ignore[attr-defined]

"""Every command line in the pages exists, with the options it shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from benchmarks.__main__ import NAMES
from recall.cli.main import app
from tests.docs.pages import PAGES, ROOT, blocks, name, prose


def command_lines(page: Path, program: str) -> list[str]:
    """What follows a program's name, in blocks of shell and in code of the prose."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", prose(page))
    starts = re.compile(rf"(?:.*--no-python )?(?:\.venv/bin/)?{re.escape(program)} (.+)")
    return [match[1] for line in lines if (match := starts.fullmatch(line.strip()))]


def graphrecall_lines() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for line in command_lines(page, "graphrecall"):
            yield page, line


LINES = sorted({(name(page), line) for page, line in graphrecall_lines()})


@pytest.mark.parametrize(("page", "line"), LINES)
def test_a_command_exists_with_its_options(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    command = get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
    assert not hasattr(command, "commands"), f"{page}: there is no command {line!r}"
    if words:  # prose may name a command alone
        command.make_context("graphrecall", words)  # raises a UsageError


def test_the_pages_show_the_commands() -> None:
    shown = {line.split()[0] for _, line in LINES}
    assert shown >= {"refresh", "recommend", "similar", "explain", "evaluate", "export", "cypher", "doctor", "tune"}


def test_every_benchmark_exists() -> None:
    for page in PAGES:
        for line in command_lines(page, "python -m benchmarks"):
            assert line.split()[0] in NAMES, f"{name(page)}: {line}"


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for page in PAGES:
        for line in command_lines(page, "make"):
            assert line.split()[0] in targets, f"{name(page)}: make {line}"

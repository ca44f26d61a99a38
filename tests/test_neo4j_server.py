"""The server that a person plays with tells what is wrong with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.neo4j_server.server import Neo4jServer

SERVER = Path(__file__).parent / "neo4j_server" / "server.py"


def test_a_password_that_neo4j_would_refuse_is_told_at_once() -> None:
    told = subprocess.run(
        [sys.executable, str(SERVER)],
        env={**os.environ, "NEO4J_PASSWORD": "secret"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 1
    assert told.stderr == "NEO4J_PASSWORD is too short for Neo4j: give it 8 characters or more, or unset it\n"


def test_a_server_that_ended_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    server = Neo4jServer(tmp_path)
    assert server.ended() is None
    server.log.write_text("no memory is left\n")
    server.process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(3)"], stdin=-1)
    assert server.ended() is None
    server.process.communicate(b"")
    assert server.ended() == "Neo4j ended by itself with 3; the last that it said:\nno memory is left\n"

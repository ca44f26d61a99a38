"""`graphrecall init`: from files to a configuration that a refresh takes, and to candidates."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from recall.cli.main import main
from recall.config.deployment import load_config

RATINGS = "userId,movieId,rating,timestamp\n" + "".join(
    f"{user},{movie},{1 + (user * movie) % 5},{1_260_759_144 + user}\n" for user in range(1, 9) for movie in range(1, 7)
)
MOVIES = "movieId,title,genres\n" + "".join(
    f"{movie},Film {movie},{'Drama|War' if movie % 2 else 'War'}\n" for movie in range(1, 7)
)


def files(folder: Path) -> list[str]:
    (folder / "ratings.csv").write_text(RATINGS, encoding="utf-8")
    (folder / "movies.csv").write_text(MOVIES, encoding="utf-8")
    return [str(folder / "ratings.csv"), str(folder / "movies.csv")]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code: object = 0
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code
    output = capsys.readouterr()
    return (code if isinstance(code, int) else 0), output.out, output.err


def test_it_writes_a_commented_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "my.toml"
    out.parent.mkdir()
    code, text, _ = run(capsys, "init", *files(tmp_path), "--out", str(out), "--yes")
    assert code == 0
    assert "doubt: rating >= 4 as what counts as liked is a guess" in text
    assert f"next: graphrecall check {out}, then graphrecall refresh {out}" in text
    written = out.read_text(encoding="utf-8")
    assert (
        '# Guess: what movie nodes share: 2 values such as War, Drama\n[[sources.edges]]\nsource = "movie"' in written
    )
    assert "# How many ratings each rule would keep: >= 1: " in written
    config = load_config(out)
    assert config.sources.interactions[0].files == ["../ratings.csv"]
    assert (config.graph.item, config.graph.positive) == ("movie", "rating >= 4")
    code, text, _ = run(capsys, "check", str(out))
    assert code == 0
    assert "9 (movie)-[genre]->(genre)" in text


def test_what_is_there_is_not_overwritten_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "my.toml"
    out.write_text("mine", encoding="utf-8")
    code, _, error = run(capsys, "init", *files(tmp_path), "--out", str(out))
    assert code == 1
    assert "is there already: name another file with --out, or overwrite it with --yes" in error
    assert out.read_text(encoding="utf-8") == "mine"
    assert run(capsys, "init", *files(tmp_path), "--out", str(out), "--yes")[0] == 0
    assert load_config(out).graph.item == "movie"


def test_json_holds_the_guesses_and_doubts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "my.toml"
    code, text, _ = run(capsys, "init", *files(tmp_path), "--out", str(out), "--json")
    data = json.loads(text)
    assert code == 0
    assert data["config"] == str(out)
    assert [section["name"] for section in data["sections"]] == [
        "graph", "sources.interactions", "sources.attributes", "sources.edges"
    ]  # fmt: skip
    assert data["sections"][0]["doubts"]


def test_mistakes_are_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "my.toml")
    code, _, error = run(capsys, "init", "--out", out)
    assert (code, "nothing to look at" in error) == (1, True)
    code, _, error = run(capsys, "init", str(tmp_path / "gone.csv"), "--out", out)
    assert (code, "gone.csv" in error) == (1, True)
    code, _, error = run(capsys, "init", *files(tmp_path), "--out", out, "--format", "parquet")
    assert (code, "recbole" in error) == (2, True)
    code, _, error = run(capsys, "init", *files(tmp_path), "--out", out, "--format", "kgat")
    assert (code, "has no train.txt" in error) == (1, True)
    assert not Path(out).exists()


def test_in_a_terminal_it_asks(tmp_path: Path) -> None:
    answers = {
        "item": "film",
        "positive": "rating >= 3",
        "keep these edges?": "n",
    }
    parent, child = pty.openpty()
    program = "from recall.cli.main import main; main()"
    command = [sys.executable, "-c", program, "init", *files(tmp_path), "--out", str(tmp_path / "my.toml")]
    with subprocess.Popen(command, stdin=child, stdout=child, stderr=child, cwd=Path(__file__).parents[3]) as process:
        os.close(child)
        seen = ""
        while True:
            try:
                piece = os.read(parent, 4096).decode(errors="replace")
            except OSError:
                break
            seen += piece
            if seen.rstrip(" ").endswith(":"):
                line = seen.splitlines()[-1]
                answer = next((a for question, a in answers.items() if line.strip().startswith(question)), "")
                answer = "" if "column of" in line else answer
                os.write(parent, f"{answer}\n".encode())
                seen += "\n"
        process.wait(timeout=60)
    os.close(parent)
    assert process.returncode == 0, seen
    config = load_config(tmp_path / "my.toml")
    assert (config.graph.item, config.graph.positive) == ("film", "rating >= 3")
    assert config.sources.attributes[0].node == "film"
    assert config.sources.edges == []

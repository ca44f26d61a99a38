"""The README's Python runs as it stands there, on a cut of the bundled movies."""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUNDLE = ROOT / "examples" / "movies"


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the repository, with the movies that at least 40 people rated."""
    target = tmp_path / "examples" / "movies"
    target.mkdir(parents=True)
    with gzip.open(BUNDLE / "ratings.csv.gz", "rt", encoding="utf-8", newline="") as stream:
        ratings = list(csv.DictReader(stream))
    often = {movie for movie, count in Counter(row["movieId"] for row in ratings).items() if count >= 40}
    with gzip.open(target / "ratings.csv.gz", "wt", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(ratings[0]))
        writer.writeheader()
        writer.writerows(row for row in ratings if row["movieId"] in often)
    with gzip.open(BUNDLE / "tags.csv.gz", "rt", encoding="utf-8") as stream:
        tags = [line for number, line in enumerate(stream) if number == 0 or line.split(",")[1] in often]
    with gzip.open(target / "tags.csv.gz", "wt", encoding="utf-8") as stream:
        stream.writelines(tags)
    movie = re.compile(r"<https://movielens\.org/movies/(\d+)>")
    with (
        gzip.open(BUNDLE / "movies.nt.gz", "rt", encoding="utf-8") as stream,
        gzip.open(target / "movies.nt.gz", "wt", encoding="utf-8") as out,
    ):
        out.writelines(line for line in stream if (found := movie.match(line)) is None or found[1] in often)
    config = (BUNDLE / "demo.toml").read_text(encoding="utf-8")
    config, changed = re.subn(r"max_steps = \d+", "max_steps = 20\neval_every = 10", config)
    assert changed == 1
    (target / "demo.toml").write_text(config, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_of_the_readme_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = python_blocks()
    assert blocks, "the README shows no Python"
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102
    printed = capsys.readouterr().out
    assert "202" in printed
    assert "MATCH" in printed
    assert (project / "candidates.parquet").is_file()


def test_the_commands_of_the_readme_exist() -> None:
    from typer.main import get_command

    from recall.cli.main import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    used = set(re.findall(r"bin/graphrecall ([\w-]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert used
    assert used <= known

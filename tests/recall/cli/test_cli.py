"""The command line: exit codes, messages, JSON and tables."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import kg
import recall
from gnn.graph.embeddings import Embeddings
from recall.jobs.refresh import RefreshResult
from recall.runs.registry import RunsFolder
from recall.serve.recommender import Recommender

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def current(refreshed: RefreshResult) -> Path:
    return refreshed.run.path.parent / "current"


def one_line(err: str) -> str:
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def test_refresh_says_that_nothing_changed(command: Command, deployment: Path, refreshed: RefreshResult) -> None:
    code, out, err = command("refresh", deployment)
    assert code == 0
    assert [line.partition("Z ")[2] for line in err.splitlines() if "looking for changes" not in line] == []
    assert "nothing changed" in out
    assert command("refresh", deployment, "--exit-code")[0] == 3
    code, out, err = command("refresh", deployment, "--json")
    data = json.loads(out)
    assert (code, err) == (0, "")
    assert data["status"] == "unchanged"
    assert data["run"] == refreshed.run.name
    assert data["report"]["evaluation"]["k"] == [5, 10]


def test_refresh_tells_what_it_published_and_shows_a_user(
    command: Command, deployment: Path, refreshed: RefreshResult, tmp_path: Path
) -> None:
    shutil.copytree(deployment.parent, tmp_path / "copy", symlinks=True)
    with (tmp_path / "copy" / "ratings.csv").open("a") as stream:
        stream.write("u1,m23,5,2000000\nu2,nonsense,5,1\n")
    code, out, err = command("refresh", tmp_path / "copy" / "config.toml", "--show")
    assert code == 0
    # Without a terminal a line says what was done.
    for stage in ("reading ratings.csv: ", "training lightgcn for evaluation: ", "measuring on test: "):
        assert stage in err
    for part in (
        "published",
        "warm users",
        "made ",
        "changed",
        "recall@5",
        "times",
        "user u1 likes",
        "10 candidates",
        "Why ",
    ):
        assert part in out
    assert max(map(len, out.splitlines()[-30:])) <= 100


def test_another_refresh_at_work_is_75(command: Command, deployment: Path, refreshed: RefreshResult) -> None:
    with RunsFolder(deployment.parent / "runs").lock():
        code, out, err = command("refresh", deployment)
    assert (code, out) == (75, "")
    assert "another refresh (process" in one_line(err)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["recommend", "RUN", "--user", "u99"], 1, "unknown user id: 'u99'"),
        (["recommend", "RUN", "--user", "u1", "--candidates", "FILE"], 1, "unknown movie id: 'm999'"),
        (["similar", "RUN", "--item", "m999"], 1, "unknown movie id: 'm999'"),
        (["explain", "RUN", "--user", "u1", "--item", "m999"], 1, "unknown movie id: 'm999'"),
        (["recommend", "RUN/..", "--user", "u1"], 1, "did you mean"),
        (["recommend", "nowhere", "--user", "u1"], 1, f"there is no run at {Path('nowhere').absolute()}"),
        (["evaluate", "nowhere/current"], 1, "run `graphrecall refresh"),
        (["runs", "nowhere"], 1, "there is no runs folder"),
        (["refresh", "nowhere.toml"], 1, "there is no config file"),
        (["recommend", "RUN", "--user", "u1", "--out", "/proc/no/file.parquet"], 1, "/proc/no"),
    ],
)
def test_a_mistake_is_one_line(
    command: Command, current: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "file").write_text("m1\nm999\n")
    command_line = [text.replace("RUN", str(current)).replace("FILE", str(tmp_path / "file")) for text in arguments]
    for extra in ([], ["--json"]):
        exit_code, out, err = command(*command_line, *extra)
        assert exit_code == code
        assert message in one_line(err)
        if extra:
            assert set(answer := json.loads(out)) == {"error", "exit_code"}
            assert (message in answer["error"], answer["exit_code"]) == (True, code)
        else:
            assert out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["recomend", "RUN"],
        ["recommend", "RUN"],
        ["recommend", "RUN", "--all-users"],
        ["recommend", "RUN", "--user", "u1", "--all-users", "--out", "x.parquet"],
        ["recommend", "RUN", "--user", "u1", "-k", "0"],
        ["recommend", "RUN", "--user", "u1", "-k", "many"],
        ["recommend", "RUN", "--user", "u1", "--candidates", "nowhere.txt"],
        ["recommend", "RUN", "--user", "u1", "--on-unknown", "guess"],
        ["explain", "RUN", "--user", "u1", "--item", "m1", "--draw", "picture.bmp"],
        ["export", "RUN"],
        ["refresh"],
    ],
)
def test_wrong_usage_is_2(command: Command, current: Path, arguments: list[str]) -> None:
    code, out, err = command(*(one.replace("RUN", str(current)) for one in arguments))
    assert code == 2
    assert "Traceback" not in out + err
    code, out, err = command(*(one.replace("RUN", str(current)) for one in arguments), "--json")
    assert code == 2
    assert json.loads(out)["exit_code"] == 2
    assert json.loads(out)["error"] in err.replace("\n", " ") or len(json.loads(out)["error"]) > 70


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted; the run that serves is untouched"),
        (MemoryError(), 1, "the memory is full"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 1, "the memory is full"),
        (PermissionError(13, "Permission denied", "/data/runs"), 1, "Permission denied: /data/runs"),
    ],
)
def test_a_refresh_that_is_stopped_says_why(
    command: Command,
    deployment: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    message: str,
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("recall.jobs.reporting.refresh", stopped)
    exit_code, out, err = command("refresh", deployment)
    assert (exit_code, out) == (code, "")
    assert message in one_line(err)


def test_a_reader_that_leaves_early_gets_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = "from recall.cli.main import main; main(['--help'])"
    with os.fdopen(writer, "w") as stdout:
        done = subprocess.run([sys.executable, "-c", code], stdout=stdout, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == ""


@pytest.mark.parametrize("line", ["grumpy,m1,1,2000000\n", "grumpy,m1,5,2000000\n"])
def test_a_history_without_likes_is_said(command: Command, make_deployment: Any, tmp_path: Path, line: str) -> None:
    config = make_deployment(tmp_path)
    with (tmp_path / "ratings.csv").open("a") as ratings:
        ratings.write(line)
    assert command("refresh", config)[0] == 0
    code, out, _ = command("recommend", tmp_path / "runs" / "current", "--user", "grumpy", "--history", "--explain")
    assert code == 0
    if ",1," in line:
        assert "user grumpy likes no item" in out
        assert "has no positive interaction: these are the most liked items" in out
        assert "from popularity" in out
    else:
        assert "user grumpy likes 1 item:" in out


def test_a_bad_config_is_told_key_by_key(command: Command, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[sources]\n[chanels]\n[channels.lightgcn.training]\nmax_steps = "many"\n')
    code, out, err = command("refresh", tmp_path / "c.toml")
    assert (code, out) == (1, "")
    assert "2 problems" in err
    assert "chanels: unknown key, did you mean 'channels'?" in err
    assert 'channels.lightgcn.training.max_steps = "many"' in err
    assert "Traceback" not in err


def test_a_config_of_the_first_edition_is_wrong_usage(command: Command, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[sources]\n[model]\ndim = 8\n[training]\nmax_steps = 5\n")
    for name in ("refresh", "tune", "load"):
        code, out, err = command(name, tmp_path / "c.toml")
        assert (code, out) == (2, "")
        assert "model.dim is channels.lightgcn.dim now" in err
        assert "training.max_steps is channels.lightgcn.training.max_steps now" in err


def test_a_damaged_run_is_refused(command: Command, refreshed: RefreshResult, tmp_path: Path) -> None:
    run = tmp_path / refreshed.run.name
    shutil.copytree(refreshed.run.path, run)
    file = run / "models" / "lightgcn" / "index" / "index.faiss"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    for arguments in (
        ["recommend", run, "--user", "u1"],
        ["evaluate", run],
        ["export", run, "--out", tmp_path / "out"],
    ):
        code, out, err = command(*arguments)
        assert (code, out) == (1, "")
        assert "is damaged: its checksum differs" in one_line(err)
    assert not (tmp_path / "out").exists()
    code, out, _ = command("runs", tmp_path, "--verify", "--json")
    assert code == 1
    assert "checksum differs" in json.loads(out)["runs"][0]["problem"]


def test_recommend_as_json_is_what_the_recommender_says(command: Command, current: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("m1\n\nm2 \nm3\n")
    code, out, err = command("recommend", current, "--user", "u1", "--user", "u2", "-k", "3", "--json")
    assert (code, err) == (0, "")
    recommender = Recommender.load(current)
    expected = [{**row, "title": recommender.title(row["item_id"])} for row in recommender.recommend(["u1", "u2"], k=3)]
    assert json.loads(out) == {"candidates": expected}
    _, out, _ = command("recommend", current, "--user", "u3", "--candidates", tmp_path / "file", "--json")
    assert {row["item_id"] for row in json.loads(out)["candidates"]} <= {"m1", "m2", "m3"}
    _, out, _ = command("recommend", current, "--user", "u1", "--history", "--explain", "--json")
    data = json.loads(out)
    assert data["explanations"][0]["item_id"] == data["candidates"][0]["item_id"]
    times = [row["timestamp"] for row in data["history"]["u1"]]
    assert times == sorted(times, reverse=True)
    assert all(row["rating"] >= 4 for row in data["history"]["u1"])


def test_unknown_users_can_be_skipped_or_get_what_is_popular(command: Command, current: Path) -> None:
    code, out, _ = command("recommend", current, "--user", "u99", "--on-unknown", "skip", "--json")
    assert (code, json.loads(out)) == (0, {"candidates": []})
    code, out, _ = command("recommend", current, "--user", "u99", "--on-unknown", "popular", "--explain", "--history")
    assert code == 0
    assert "is not in the graph: these are the most liked items" in out
    code, out, _ = command("recommend", current, "--user", "u99", "--on-unknown", "skip")
    assert code == 0
    assert "no candidates for user u99" in out


def test_titles_with_brackets_stay_as_they_are(command: Command, current: Path) -> None:
    title = Recommender.load(current).title("m1")
    assert "[" in title
    for arguments in (
        ["similar", current, "--item", "m1"],
        ["explain", current, "--user", "u1", "--item", "m1"],
    ):
        assert title in command(*arguments)[1]


def test_all_users_at_once(command: Command, current: Path, tmp_path: Path) -> None:
    out_file = tmp_path / "all.parquet"
    code, out, err = command("recommend", current, "--all-users", "-k", "4", "--out", out_file, "--json")
    assert (code, err) == (0, "")
    table = pq.read_table(out_file)
    assert json.loads(out) == {"out": str(out_file), "users": 16, "rows": table.num_rows}
    assert table.column_names == ["user_id", "item_id", "score", "rank", "source"]
    assert table.num_rows == 16 * 4
    code, _, _ = command("recommend", current, "--user", "u1", "-k", "4", "--out", tmp_path / "one.parquet", "--json")
    one = pq.read_table(tmp_path / "one.parquet")
    mine = table.filter([user == "u1" for user in table["user_id"].to_pylist()])
    assert one.to_pylist() == mine.to_pylist()


def test_explain_draws(command: Command, current: Path, tmp_path: Path) -> None:
    code, out, _ = command("explain", current, "--user", "u1", "--item", "m1", "--draw", tmp_path / "why.svg", "--json")
    assert code == 0
    assert json.loads(out)["user_id"] == "u1"
    assert "<svg" in (tmp_path / "why.svg").read_text()


def test_somebody_new_has_candidates_with_reasons(command: Command, current: Path, tmp_path: Path) -> None:
    asked = ["--liked", "m1", "--liked", "m2", "--text", "winter train", "-k", "4"]
    out_file = tmp_path / "new.parquet"
    code, out, err = command("recommend", current, *asked, "--explain", "--json", "--out", out_file)
    assert (code, err) == (0, "")
    data = json.loads(out)
    best = [row["item_id"] for row in data["candidates"]]
    assert len(best) == 4
    assert not {"m1", "m2"} & set(best)
    assert [explanation["item_id"] for explanation in data["explanations"]] == best[:1]
    assert data["explanations"][0]["score"] == pytest.approx(data["candidates"][0]["score"], rel=1e-4)
    assert pq.read_table(out_file)["item_id"].to_pylist() == best
    code, out, _ = command("recommend", current, *asked, "--explain")
    assert code == 0
    assert "4 candidates for somebody new" in out
    assert "because of" in out
    for wrong in (["--user", "u1"], ["--all-users", "--out", "x.csv"], ["--history"]):
        assert command("recommend", current, *asked, *wrong)[0] == 2


def test_somebody_new_is_explained(command: Command, current: Path) -> None:
    asked = ["--liked", "m1", "--liked", "m2", "--text", "winter train"]
    code, out, err = command("explain", current, "--item", "m3", *asked, "--json")
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert data["user_id"] == "0"
    assert {reason["node"]["id"] for reason in data["shares"]["history"] if reason["node"]} == {"m1", "m2"}
    code, out, _ = command("explain", current, "--item", "m3", *asked)
    assert code == 0
    assert "for somebody new" in out
    assert "what you asked for" in out
    code, out, _ = command("explain", current, "--item", "m3", "--user", "u1", "--liked", "m1", "--json")
    assert code == 0
    assert json.loads(out)["user_id"] == "u1"
    for wrong in ([], ["--attribute", "genre"]):
        code, _, err = command("explain", current, "--item", "m3", *wrong)
        assert code == 2
        assert "--liked" in err or "RELATION=ID" in err


def test_evaluate_prints_any_k(command: Command, current: Path) -> None:
    code, out, err = command("evaluate", current, "-k", "3", "-k", "7", "--no-baselines", "--json")
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert data["k"] == [3, 7]
    assert {row["ranker"] for row in data["metrics"]} == {"lightgcn"}
    code, out, _ = command("evaluate", current, "-k", "3")
    assert code == 0
    assert "each metric @3" in out
    assert "item_knn" in out
    assert "bootstrap" in out


def test_export(command: Command, current: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    formats = ["--graph", "parquet", "--graph", "rdf", "--graph", "graphml"]
    code, text, err = command("export", current, "--out", out, *formats, "--json")
    assert (code, err) == (0, "")
    files = json.loads(text)["files"]
    assert files == {str(p.relative_to(out)): p.stat().st_size for p in out.rglob("*") if p.is_file()}
    assert {"embeddings/movie.parquet", "graph/nodes/movie.parquet", "graph/graph.nt", "graph/graph.graphml"} <= set(
        files
    )
    embeddings = Embeddings.load(current / "models" / "lightgcn")
    users, movies = pq.read_table(out / "embeddings/user.parquet"), pq.read_table(out / "embeddings/movie.parquet")
    row = Recommender.load(current).recommend(["u1"], k=1).table.to_pylist()[0]
    user = np.array(users["embedding"][users["id"].to_pylist().index("u1")].as_py())
    at = movies["id"].to_pylist().index(row["item_id"])
    score = user @ np.array(movies["embedding"][at].as_py()) * movies["scale"][at].as_py()
    score += movies["prior"][at].as_py() * np.linalg.norm(user)
    assert score == pytest.approx(row["score"], rel=1e-4, abs=1e-6)
    assert len(users) == len(embeddings.users)
    rated = pq.read_table(out / "graph/edges/user.rated.movie.parquet")
    assert rated["src"][0].as_py().startswith("u")
    assert rated["dst"][0].as_py().startswith("m")
    code, _, err = command("export", current, "--out", out)
    assert code == 1
    assert "not empty" in one_line(err)


def test_runs_shows_which_one_serves(command: Command, current: Path, refreshed: RefreshResult) -> None:
    code, out, _ = command("runs", current.parent, "--json")
    data = json.loads(out)["runs"]
    assert code == 0
    assert [(one["run"], one["current"], one["problem"]) for one in data] == [(refreshed.run.name, True, None)]
    assert data[0]["metrics"].keys() == {"recall@5", "ndcg@5"}
    code, out, _ = command("runs", current.parent, "--verify")
    assert refreshed.run.name in out
    assert "serves" in out


def test_doctor(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("doctor", "--json")
    data = json.loads(out)
    assert code == (0 if data["sound"] else 1)
    assert data["checks"]
    (tmp_path / "file").write_text("")
    code, out, _ = command("doctor", "--runs", tmp_path / "file" / "runs")
    assert code == 1
    assert "broken" in out
    code, out, _ = command("doctor", "--text-model", tmp_path / "nowhere", "--json")
    assert code == 1


def test_help_loads_no_heavy_library_and_a_mistake_no_traceback() -> None:
    code = (
        "import sys; from recall.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as stop:\n    status = stop.code\n"
        "heavy = [m for m in ('torch', 'faiss', 'transformers', 'matplotlib') if m in sys.modules]\n"
        "print('HEAVY', heavy, status)\n"
    )
    for arguments in (["--help"], ["recommend", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "100"},
        )
        assert done.stdout.splitlines()[-1] == "HEAVY [] 0"
        assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["recommend", "RUN", "--user", "u99"], ["--on-unknown skip", "--on-unknown popular"]),
        (["recommend", "RUN", "--user", "u1", "--candidates", "FILE"], ["--on-unknown skip"]),
        (["similar", "RUN", "--item", "m999"], []),
        (["explain", "RUN", "--user", "u1", "--item", "m999"], []),
        (["explain", "RUN", "--user", "u99", "--item", "m1"], []),
    ],
)
def test_an_unknown_id_is_answered_in_words_of_the_command(
    command: Command, current: Path, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    (tmp_path / "file").write_text("m999\n")
    line = [text.replace("RUN", str(current)).replace("FILE", str(tmp_path / "file")) for text in arguments]
    _, _, err = command(*line)
    assert "on_unknown" not in err
    assert "user_ids" not in err
    assert all(word in one_line(err) for word in words)


def test_unknown_candidates_and_blanks_around_ids(command: Command, current: Path, tmp_path: Path) -> None:
    (tmp_path / "items").write_text("m1\nm999\nm2\n")
    line = [
        "recommend",
        current,
        "--user",
        " u1 ",
        "--candidates",
        tmp_path / "items",
        "--on-unknown",
        "skip",
        "--json",
    ]
    code, out, _ = command(*line)
    assert code == 0
    assert {row["item_id"] for row in json.loads(out)["candidates"]} <= {"m1", "m2"}
    assert {row["user_id"] for row in json.loads(out)["candidates"]} <= {"u1"}


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_candidates_in_the_format_of_the_ending(command: Command, current: Path, tmp_path: Path, ending: str) -> None:
    for number, users in enumerate((["--user", "u1", "--user", "u2"], ["--all-users"])):
        out = tmp_path / f"{number}.{ending}"
        assert command("recommend", current, *users, "-k", 3, "--out", out, "--titles")[0] == 0
        data = out.read_bytes()
        assert data.startswith(b"PAR1") == (ending == "parquet")
        if ending == "csv":
            assert data.splitlines()[0] == b'"user_id","item_id","score","rank","source","title"'
        if ending == "jsonl":
            assert json.loads(data.splitlines()[0])["title"].startswith("The ")
    code, out, _ = command("recommend", current, "--user", "u1", "--out", tmp_path / "x.xlsx", "--json")
    assert code == 2
    assert "has no ending that names a format" in json.loads(out)["error"]
    assert not (tmp_path / "x.xlsx").exists()


def test_similar_without_vectors_says_which_channel_has_some(command: Command, tmp_path: Path) -> None:
    rows = [{"user_id": f"u{user}", "item_id": f"i{item}"} for user in range(8) for item in range(user, user + 6)]
    made = recall.fit(rows, pipeline={"channels": ["ease"]})
    made.save(tmp_path / "run")
    code, _, err = command("similar", tmp_path / "run", "--item", "i3")
    assert code == 1
    assert "(ease) have no vectors" in one_line(err)
    assert "Recommender(" not in err


def test_the_version(command: Command) -> None:
    assert command("--version") == (0, f"graphrecall {kg.__version__}\n", "")
    assert recall.__version__ == kg.__version__


def test_as_a_module_and_completed_by_a_shell() -> None:
    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "recall", "--version"]
        return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)

    assert run().stdout == f"graphrecall {kg.__version__}\n"
    completed = run(_GRAPHRECALL_COMPLETE="complete_bash", COMP_WORDS="graphrecall rec", COMP_CWORD="1")
    assert completed.stdout.split() == ["recommend"]


@pytest.mark.parametrize("module", ["typer", "rich.console", "kg.errors"])
def test_ctrl_c_during_imports_is_no_traceback(module: str) -> None:
    program = (
        "import sys\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "from recall.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_a_failed_refresh_with_log_and_json_says_so_on_stdout(
    command: Command, make_deployment: Any, tmp_path: Path
) -> None:
    config = make_deployment(tmp_path)
    (tmp_path / "ratings.csv").unlink()
    code, out, err = command("refresh", config, "--log", "--json")
    assert code == 1
    assert "does not exist" in json.loads(out)["error"]
    assert all(json.loads(line) for line in err.splitlines())


def test_sources_put_back_say_that_no_run_was_made(command: Command, make_deployment: Any, tmp_path: Path) -> None:
    config = make_deployment(tmp_path)
    before = (tmp_path / "ratings.csv").read_text()
    first = json.loads(command("refresh", config, "--json")[1])
    (tmp_path / "ratings.csv").write_text(before + "u1,m23,5,2000000\nu2,m22,5,2000001\n")
    second = json.loads(command("refresh", config, "--json")[1])
    assert (first["status"], second["status"], second["again"]) == ("published", "published", False)
    (tmp_path / "ratings.csv").write_text(before)
    code, out, _ = command("refresh", config)
    assert code == 0
    assert f"no run was made: {tmp_path / 'runs' / first['run']}, made " in out
    assert "serves again" in out
    assert "full: " not in out
    assert RunsFolder(tmp_path / "runs").current().name == first["run"]

"""The recipes of examples/schedule, under what they are written for: cron, systemd, Kubernetes' schema, Airflow."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from recall.jobs.refresh import RefreshResult
from recall.ops.metrics import exposition
from recall.ops.summary import SummaryLog, summarise
from recall.runs.report import Report

ROOT = Path(__file__).parents[3]
RECIPES = ROOT / "examples" / "schedule"
COMMAND = Path(sys.executable).with_name("graphrecall")
AIRFLOW = Path(os.environ.get("GRAPHRECALL_AIRFLOW", ROOT / ".cache" / "airflow")) / "bin" / "airflow"

# What is started in it ends with it, and its mounts are seen by nobody else.
VIEW = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
# cron reads the system's crontabs: it gets a view of the file system in which these are ours, and a mailbox.
CRON = """
set -e
mount --bind {spool} /var/spool/cron/crontabs
mount -t tmpfs none /etc/cron.d
mount --bind {spool}/../nothing /etc/crontab
mount -t overlay none -o lowerdir={sbin}:/usr/sbin /usr/sbin
mount -t tmpfs none /run
mount -t tmpfs none /dev/shm
exec env TZ=UTC faketime -f '@2026-01-05 03:16:57' cron -f
"""


def may_make_a_view() -> bool:
    if not all(shutil.which(name) for name in ("cron", "unshare", "faketime")) or os.geteuid() != 0:
        return False
    mounts = ("tmpfs none /run", "tmpfs none /dev/shm", "overlay none -o lowerdir=/usr/sbin:/usr/bin /usr/sbin")
    probe = " && ".join(f"mount -t {one}" for one in mounts)
    return subprocess.run([*VIEW, "sh", "-c", probe], check=False, capture_output=True).returncode == 0


def crontab_line() -> str:
    (line,) = (line for line in (RECIPES / "crontab").read_text().splitlines() if line.startswith(tuple("0123456789*")))
    return line


@pytest.mark.skipif(not may_make_a_view(), reason="needs cron, faketime, and root to show cron crontabs of its own")
def test_cron_refreshes_at_its_time_and_mails_what_went_wrong_alone(
    deployment: Path, refreshed: RefreshResult, tmp_path: Path
) -> None:
    made = shutil.copytree(deployment.parent, tmp_path / "srv" / "movies", symlinks=True)
    SummaryLog(made / "runs").path.unlink(missing_ok=True)
    broken = shutil.copytree(made, tmp_path / "srv" / "books", symlinks=True)
    (broken / "ratings.csv").unlink()
    (tmp_path / "log").mkdir()
    text = (RECIPES / "crontab").read_text() + crontab_line().replace("movies", "books") + "\n"
    assert text.count("/opt/graphrecall/bin") == 1
    text = text.replace("/opt/graphrecall/bin", str(COMMAND.parent))
    text = text.replace("/srv/", f"{tmp_path}/srv/").replace("/var/log/graphrecall/", f"{tmp_path}/log/")
    spool, sbin = tmp_path / "spool", tmp_path / "sbin"
    spool.mkdir(mode=0o700)
    sbin.mkdir()
    (tmp_path / "nothing").touch()
    (spool / "root").write_text(text)
    (spool / "root").chmod(0o600)
    mailbox = tmp_path / "mail"
    (sbin / "sendmail").write_text(f"#!/bin/sh\ncat >> {mailbox}\n")
    (sbin / "sendmail").chmod(0o755)
    program = CRON.format(spool=spool, sbin=sbin)
    with subprocess.Popen([*VIEW, "sh", "-c", program]) as cron:
        logs = [SummaryLog(made / "runs"), SummaryLog(broken / "runs")]
        try:
            for _ in range(2400):
                if all(log.read() for log in logs) and mailbox.exists() and "ended with" in mailbox.read_text():
                    break
                assert cron.poll() is None
                time.sleep(0.1)
        finally:
            cron.kill()  # unshare lets other signals pass by
    assert [line["status"] for line in logs[0].read()] == ["unchanged"]
    assert [line["status"] for line in logs[1].read()] == ["failed"]
    mail = mailbox.read_text()
    assert mail.count("Subject:") == 1
    assert "To: recommendations@example.org" in mail
    assert "the refresh of books ended with 1" in mail
    for name, status in (("movies", "unchanged"), ("books", "failed")):
        lines = [json.loads(line) for line in (tmp_path / "log" / f"{name}.log").read_text().splitlines()]
        assert lines[-1]["status"] == status


@pytest.mark.parametrize(("code", "told"), [(0, ""), (75, ""), (1, "ended with 1"), (4, "ended with 4")])
def test_the_crontab_prints_only_what_is_worth_a_mail(tmp_path: Path, code: int, told: str) -> None:
    stand_in = tmp_path / "graphrecall"
    stand_in.write_text(f"#!/bin/sh\necho '{{}}' >&2\nexit {code}\n")
    stand_in.chmod(0o755)
    line = " ".join(crontab_line().split()[5:]).replace("/var/log/graphrecall", str(tmp_path))
    assert "%" not in line  # to cron the end of a line
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["/bin/sh", "-c", line], env=environment, capture_output=True, text=True, check=False)
    assert (done.stderr, told in done.stdout, bool(done.stdout)) == ("", True, bool(told))
    assert (tmp_path / "movies.log").read_text() == "{}\n"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    units = sorted(RECIPES.glob("graphrecall-refresh@.*"))
    assert [unit.suffix for unit in units] == [".service", ".timer"]
    for unit in units:
        text = unit.read_text().replace("/opt/graphrecall/bin", str(COMMAND.parent))
        (tmp_path / unit.name).write_text(text)

    def verify() -> tuple[int, str]:
        command = ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / unit.name) for unit in units)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    assert verify() == (0, "")
    timer = tmp_path / "graphrecall-refresh@.timer"
    timer.write_text(timer.read_text().replace("03:17:00", "half past three"))
    err = verify()[1]
    assert "half past three" in err  # it does look


@pytest.mark.parametrize("version", ["1.31", "1.34", "1.37"])
def test_the_cron_job_is_valid_to_kubernetes(version: str) -> None:
    job = yaml.safe_load((RECIPES / "cronjob.yaml").read_text())
    kubernetes_validate.validate(job, version, strict=True)
    job["spec"]["concurencyPolicy"] = job["spec"].pop("concurrencyPolicy")
    with pytest.raises(kubernetes_validate.ValidationError, match="concurencyPolicy"):
        kubernetes_validate.validate(job, version, strict=True)


def test_every_recipe_calls_the_command_as_it_is(tmp_path: Path) -> None:
    texts = [path.read_text() for path in sorted(RECIPES.iterdir()) if path.is_file()]
    options = {
        option for text in texts for option in re.findall(r"--(?:log|exit-code|every|full|json|dry-run)\b", text)
    }
    shown = subprocess.run([COMMAND, "refresh", "--help"], capture_output=True, text=True, check=True).stdout
    assert {"--log", "--exit-code", "--every"} <= options
    assert all(option in shown for option in options)
    job = yaml.safe_load((RECIPES / "cronjob.yaml").read_text())
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["args"][:2] == ["graphrecall", "refresh"]


def test_the_alerts_ask_for_metrics_that_are_written(tmp_path: Path) -> None:
    report = Report(created="2026-01-01T00:00:00+00:00", fingerprint="")
    summary = summarise(
        "published", started=datetime.now(UTC), seconds=1.0, exit_code=0, runs=tmp_path, run="x", report=report
    )
    written = exposition(SummaryLog(tmp_path).add(summary, keep=1))
    rules = yaml.safe_load((RECIPES / "graphrecall.rules.yml").read_text())["groups"][0]["rules"]
    asked = {name for rule in rules for name in re.findall(r"graphrecall_\w+", rule["expr"])}
    assert len(asked) >= 4
    assert {name for name in asked if f"# TYPE {name} " not in written} == set()


@pytest.mark.soak
@pytest.mark.skipif(not AIRFLOW.exists(), reason="needs an environment with Airflow: make airflow")
def test_airflow_imports_the_dag_and_runs_it(make_deployment: Callable[[Path], Path], tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path / "movies")
    home = tmp_path / "airflow"
    (home / "dags").mkdir(parents=True)
    shutil.copy(RECIPES / "airflow_dag.py", home / "dags")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    environment |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_VAR_GRAPHRECALL_BIN": str(COMMAND.parent),
        "AIRFLOW_VAR_GRAPHRECALL_CONFIG": str(deployment),
        "OMP_NUM_THREADS": "1",
    }

    def airflow(*arguments: str) -> tuple[int, str]:
        done = subprocess.run([AIRFLOW, *arguments], env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    assert airflow("db", "migrate")[0] == 0
    assert "No data found" in airflow("dags", "list-import-errors", "--local")[1]
    log = SummaryLog(deployment.parent / "runs")
    for outcome, status in (("success", "published"), ("skipped", "unchanged")):
        code, told = airflow("dags", "test", "graphrecall_refresh")
        assert code == 0, told
        assert f"new_state={outcome}" in told
        assert log.read()[-1]["status"] == status
    (deployment.parent / "ratings.csv").unlink()
    told = airflow("tasks", "test", "graphrecall_refresh", "refresh")[1]  # one attempt: a DAG waits and tries again
    assert "returned a non-zero exit code 1" in told
    assert [line["status"] for line in log.read()] == ["published", "unchanged", "failed"]

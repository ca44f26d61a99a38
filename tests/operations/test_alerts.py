"""The alerts: valid, fired by what they are about, and on metrics that there are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import ROOT, anchors, text
from tests.operations.exported import missing

RULES = {
    "service.rules": ROOT / "examples" / "operations" / "service.rules.yml",
    "graphrecall.rules": ROOT / "examples" / "schedule" / "graphrecall.rules.yml",
}
every_file = pytest.mark.parametrize("name", RULES)


def rules(name: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES[name].read_text())["groups"] for rule in group["rules"]]


def run(promtool: str, *arguments: str, folder: Path) -> tuple[int, str]:
    done = subprocess.run([promtool, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def laid_out(name: str, folder: Path) -> Path:
    """The rules and their tests side by side, as promtool wants them; returns the rules."""
    shutil.copy(Path(__file__).with_name(f"{name}.test.yml"), folder)
    return Path(shutil.copy(RULES[name], folder))


@every_file
def test_each_alert_fires_when_it_should(name: str, promtool: str, tmp_path: Path) -> None:
    file = laid_out(name, tmp_path)
    code, out = run(promtool, "check", "rules", file.name, folder=tmp_path)
    assert code == 0, out
    assert f"{len(rules(name))} rules found" in out
    code, out = run(promtool, "test", "rules", f"{name}.test.yml", folder=tmp_path)
    assert code == 0, out
    file.write_text(file.read_text().replace(" > 0", " > 1000").replace(" == 0", " == 7").replace(" == 1", " == 7"))
    code, out = run(promtool, "test", "rules", f"{name}.test.yml", folder=tmp_path)
    assert code != 0, "the tests do not look"


@every_file
def test_no_alert_is_without_a_test(name: str) -> None:
    tests = yaml.safe_load(Path(__file__).with_name(f"{name}.test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules(name)}


@every_file
def test_the_metrics_are_exported(name: str, exported: dict[str, set[str]]) -> None:
    assert {rule["alert"]: missing(rule["expr"], exported) for rule in rules(name)} == {
        rule["alert"]: [] for rule in rules(name)
    }
    assert missing('rate(graphrecall_requests_total{status="500"}[5m])', exported) == [
        "graphrecall_requests_total['status']"
    ]
    assert missing('graphrecall_ready{colour="red"}', exported) == ["graphrecall_ready['colour']"]


@every_file
def test_the_runbook_says_what_to_do(name: str) -> None:
    page = ROOT / "docs" / "runbook.md"
    for rule in rules(name):
        assert f"`{rule['alert']}`" in text(page), rule["alert"]
        if target := rule["annotations"].get("runbook"):
            file, _, anchor = target.partition("#")
            assert ROOT / file == page
            assert anchor in anchors(page), target

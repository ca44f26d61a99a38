"""The dashboard for Grafana: every query is valid, on metrics that there are, and panels have their place."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.docs.pages import ROOT
from tests.operations.exported import missing

DASHBOARD: dict[str, Any] = json.loads((ROOT / "examples" / "operations" / "dashboard.json").read_text())
WIDTH = 24  # columns of Grafana's grid


def queries() -> Iterator[str]:
    """All queries, with values in place of the variables."""
    of_panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    of_variables = [each["definition"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    for query in (*of_panels, *(each["expr"] for each in DASHBOARD["annotations"]["list"])):
        yield query.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$runs", ".*")
    for query in of_variables:
        name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", query).groups()  # type: ignore[union-attr]
        yield f'{name}{{{label}=~".*"}}'


def test_the_queries_are_valid(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries())]
    assert len(rules) > 20
    file = tmp_path / "queries.yml"

    def check() -> int:
        file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
        return subprocess.run([promtool, "check", "rules", file], capture_output=True, check=False).returncode

    assert check() == 0
    rules[0]["expr"] += ")"
    assert check() != 0


def test_the_metrics_are_exported(exported: dict[str, set[str]]) -> None:
    assert [absent for query in queries() for absent in missing(query, exported)] == []


def test_variables_are_declared_and_panels_ask_the_one_source() -> None:
    declared = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(DASHBOARD))) - {"__rate_interval", "__all"}
    assert used == declared
    for panel in DASHBOARD["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["title"]
            assert panel["description"]
            assert panel["targets"]


def test_panels_do_not_lie_on_each_other() -> None:
    taken: dict[tuple[int, int], str] = {}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= WIDTH
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
            taken[cell] = panel["title"]

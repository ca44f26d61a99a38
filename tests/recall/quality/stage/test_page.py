"""The page of an evaluation, and the terminal's tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from recall.jobs.refresh import RefreshResult
from recall.quality.stage.evaluate import evaluate_stage
from recall.quality.stage.page import render
from recall.runs.report import MetricsRow
from tests.recall.quality.stage.conftest import Stage


class Tags(HTMLParser):
    """Counts elements, and what would load or run something."""

    def __init__(self) -> None:
        super().__init__()
        self.count: dict[str, int] = {}
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        for name, value in attrs:
            if name in ("src", "href") and not (value or "").startswith("#"):
                self.outside.append(f"{tag} {value}")


def tags(page: str) -> Tags:
    parser = Tags()
    parser.feed(page)
    return parser


def test_the_page_has_tables_and_plots_and_loads_nothing(stage: Stage) -> None:
    report = evaluate_stage(
        stage.graph, stage.split, stage.pipeline, kind="random", ks=[3, 10], baselines=("popularity",)
    )
    page = render(report)
    parsed = tags(page)
    groups = len({row.group for row in report.metrics})
    assert parsed.count["svg"] == groups * 4  # recall and NDCG by k, the curve, what each channel adds
    assert parsed.count["table"] >= groups * 2
    assert "script" not in parsed.count
    assert parsed.outside == []
    served = next(row for row in report.metrics if row.ranker == "fusion")
    assert f"{served.metrics['ndcg@10']:.4f}" in page


def test_names_from_outside_are_escaped(stage: Stage) -> None:
    report = evaluate_stage(stage.graph, stage.split, stage.pipeline, kind="random", ks=[3])
    bad = "<script>alert(1)</script>\u202e$x_1$"
    rows = [MetricsRow.model_validate({**row.to_json(), "ranker": bad}) for row in report.metrics]
    page = render(report.model_copy(update={"metrics": tuple(rows), "calibrated_by": bad}))
    assert "<script" not in page
    assert "\u202e" not in page


def test_nothing_held_out_is_said(stage: Stage) -> None:
    report = evaluate_stage(stage.graph, stage.split, stage.pipeline, kind="random", ks=[3])
    empty = report.model_copy(update={"metrics": (), "added": (), "overlaps": (), "own_hits": (), "curves": ()})
    assert "nothing was held out" in render(empty)


def test_the_command_writes_the_page_and_fits_80_columns(
    refreshed: RefreshResult, command: Callable[..., Any], tmp_path: Path
) -> None:
    page = tmp_path / "evaluation.html"
    code, out, err = command("evaluate", refreshed.run.path, "-k", "5", "-k", "1000", "--html", page)
    assert code == 0, err
    assert tags(page.read_text("utf-8")).count["svg"]
    rows = [line.rstrip() for line in out.splitlines() if line.startswith((" lightgcn", " popularity"))]
    assert rows
    assert max(map(len, rows)) <= 80
    code, out, _ = command("evaluate", refreshed.run.path, "-k", "5", "--no-baselines", "--json")
    data = json.loads(out)
    assert data["run"] == refreshed.run.name
    assert data["curves"][0]["average_precision"] > 0
    code, _, err = command("evaluate", refreshed.run.path, "--html", tmp_path / "evaluation.txt")
    assert code == 2
    assert "must end in .html" in err

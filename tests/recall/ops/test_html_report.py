"""The HTML report: everything of report.json, nothing that runs, nothing from outside."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from recall.jobs.refresh import RefreshResult
from recall.ops.html_report import render, write_html
from recall.ops.legend import METRICS, behind_popularity
from recall.ops.summary import summarise
from recall.runs.layout import RunLayout
from recall.runs.report import Finding, Report

HOSTILE = [
    "<script>alert(1)</script>",
    "</title></style></svg><img src=x onerror=alert(1)>",
    '"><a href="javascript:alert(1)">',
    "{{ 7 * 7 }}{% raw %}",
    "$\\frac{1}{",
    "&lt;b&gt; &amp;",
    "]]> <!-- --> <?xml ?>",
]
ALLOWED = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "h1",
    "h2",
    "h3",
    "p",
    "div",
    "b",
    "span",
    "table",
    "thead",
}
ALLOWED |= {"tbody", "tr", "th", "td", "ul", "li", "figure", "figcaption"}
DRAWING = {"svg", "g", "path", "defs", "use", "clippath", "rect", "text", "metadata"}
ABOUT_A_DRAWING = {"rdf:rdf", "cc:work", "dc:type", "dc:format"}


class Page(HTMLParser):
    """What a browser would make of a page: elements with their attributes, the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def history(report: Report, runs: int) -> list[dict[str, Any]]:
    return [
        summarise(
            "published",
            started=datetime.now(UTC),
            seconds=3.0,
            exit_code=0,
            runs=Path("runs"),
            run=f"run-{number}",
            report=report,
        )
        for number in range(runs)
    ]


def harmless(text: str) -> Page:
    page = Page(text)
    for tag, attributes in page.elements:
        assert tag in ALLOWED | DRAWING | ABOUT_A_DRAWING, tag
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    policies = [one for tag, one in page.elements if one.get("http-equiv") == "Content-Security-Policy"]
    assert [one["content"] for one in policies] == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    return page


def test_the_report_of_a_run_shows_what_it_measured(refreshed: RefreshResult) -> None:
    report = refreshed.report
    before = history(report, 3)
    page = harmless(render(report.changed(gate=report.gate.model_copy(update={"against": "run-1"})), before))
    for row in report.evaluation.metrics:
        assert f"{row.metrics['recall@5']:.4f}" in page.texts
        assert row.ranker in page.texts
    for finding in report.quality.findings:
        assert finding.explanation in page.texts
    assert "192" in page.texts  # interactions
    assert [tag for tag, _ in page.elements].count("svg") == 4
    assert "served before" in page.texts


def test_what_served_before_is_what_the_gate_compared_with(refreshed: RefreshResult) -> None:
    before = history(refreshed.report, 3)
    for number, one in enumerate(before):
        for values in one["metrics"].values():
            values.update(dict.fromkeys(values, 0.1117 * (number + 1)))
    gate = refreshed.report.gate.model_copy(update={"against": "run-1"})  # the newest one was rolled back
    page = harmless(render(refreshed.report.changed(gate=gate), before))
    assert "0.2234" in page.texts
    assert "0.3351" not in page.texts


def test_a_first_run_has_nothing_before_it(refreshed: RefreshResult) -> None:
    page = harmless(render(refreshed.report, []))
    assert "served before" not in page.texts
    assert [tag for tag, _ in page.elements].count("svg") == 3


def test_an_incremental_run_says_what_it_stands_on(refreshed: RefreshResult) -> None:
    data = refreshed.report.to_json() | {
        "kind": "incremental",
        "base": "run-0",
        "generation": 3,
        "reasons": ["goes on from run-0"],
        "stayed_known": {"train": 2, "valid": 0},
        "forgotten": {"inputs": "00", "on_list": 7, "weights_may_remember": 0},
        "changes": {
            "base": "run-0",
            "nodes": {},
            "edges": {"(user)-[rated]->(movie)": {"before": 190, "after": 192, "added": 2, "removed": 0, "changed": 0}},
            "shares": {"interactions": 0.0105},
            "times": {"newest_before": 1_700_000_000, "newest": 10**30, "added_late": 1},
        },
    }
    rows = data["evaluation"]["metrics"]
    data["evaluation"]["metrics"] = [row for row in rows if row["ranker"] == "lightgcn"]
    report = Report.parse(data)
    page = harmless(render(report, history(report, 1)))
    for part in (
        "goes on from run-0",
        "incremental refresh on run-0",
        "1.05%",
        "2023-11-14 22:13 UTC",
        str(10**30),
        "7",
    ):
        assert part in page.text
    assert "weights" not in page.text
    assert "This run against the baselines." not in page.text  # they are not fitted again


def test_the_same_numbers_give_the_same_page(refreshed: RefreshResult) -> None:
    before = history(refreshed.report, 2)
    assert render(refreshed.report, before) == render(refreshed.report, before)


def test_no_two_drawings_of_a_page_share_an_id(refreshed: RefreshResult) -> None:
    page = Page(render(refreshed.report, history(refreshed.report, 2)))
    clips = [one["id"] for tag, one in page.elements if tag == "clippath"]
    assert len(clips) == len(set(clips)) > 0


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_stands_in_the_sources_is_shown_and_does_nothing(refreshed: RefreshResult, hostile: str) -> None:
    report = refreshed.report.to_json()
    report["quality"]["findings"] = [
        {"kind": hostile, "severity": "warning", "count": 3, "explanation": hostile, "examples": [hostile, hostile]}
    ]
    report["data"]["nodes"][hostile] = 3
    report["sources"] = [{"name": hostile, "state": "changed", "kind": "rdf", "fingerprint": "00", "bytes": 5}]
    report["timings"][hostile] = 1.0
    report["changes"] = {
        "base": hostile,
        "since": hostile,
        "nodes": {hostile: {"added": 1, "removed": 0, "changed": 0, "examples": {"added": [hostile]}}},
        "edges": {hostile: {"added": 0, "removed": 2, "changed": 0}},
        "shares": {"interactions": 0.01},
    }
    report["gate"] = {
        "passed": False,
        "against": hostile,
        "reasons": [hostile],
        "kind": "full",
        "users": 3,
        "limits": {},
        "readings": [{"kind": "metric", "name": hostile, "now": 0.1, "before": 0.2, "text": hostile, "passed": False}],
    }
    for row in report["evaluation"]["metrics"]:
        row["group"] = hostile
    before = history(Report.parse(report), 2)
    before[-1] |= {"status": "failed", "error": hostile}
    page = harmless(render(Report.parse(report), before))
    assert page.text.count(hostile) >= 14
    assert "rejected" in page.text


def test_characters_that_turn_text_around_are_shown_as_such(refreshed: RefreshResult) -> None:
    strange = "a\u202egnp.exe\x00\ud800b"
    finding = Finding.model_construct(kind="k", severity="info", count=1, explanation=strange, examples=())
    quality = refreshed.report.quality.model_copy(update={"findings": (finding,)})
    text = render(refreshed.report.changed(quality=quality), [])
    text.encode("utf-8")
    assert "a\ufffdgnp.exe\ufffd\ufffdb" in text


def test_a_report_that_cannot_be_shown_keeps_no_run_from_serving(
    refreshed: RefreshResult, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_html(RunLayout(tmp_path), refreshed.report.changed(timings={"all": "an hour"}), [])
    assert not list(tmp_path.iterdir())
    assert "goes without a report.html" in caplog.text
    write_html(RunLayout(tmp_path), Report(created="", fingerprint=""), [{}])
    harmless((tmp_path / "report.html").read_text())


def test_a_page_lies_in_every_run_and_counts_as_part_of_it(
    command: Callable[..., tuple[int, str, str]], refreshed: RefreshResult
) -> None:
    assert "report.html" in refreshed.run.verify()["files"]
    page = harmless((refreshed.run.path / "report.html").read_text(encoding="utf-8"))
    assert "lightgcn" in page.texts


def test_the_page_explains_itself(refreshed: RefreshResult) -> None:
    text = harmless(render(refreshed.report, [])).text
    for part in (METRICS["ndcg"], METRICS["long_tail"], "What the metrics mean", "time of each stage", "by ranker"):
        assert part in text
    assert "of popularity" not in text
    assert "the most liked items" in text


def test_a_page_of_which_nothing_was_held_out_says_so(refreshed: RefreshResult) -> None:
    evaluation = refreshed.report.evaluation.model_copy(update={"metrics": ()})
    text = harmless(render(refreshed.report.changed(evaluation=evaluation), [])).text
    assert "nothing was held out" in text
    assert "What the metrics mean" not in text


def test_where_popularity_is_ahead_the_page_says_so(refreshed: RefreshResult) -> None:
    evaluation, names = refreshed.report.evaluation, {"lightgcn": "popularity", "popularity": "lightgcn"}
    if not list(behind_popularity(evaluation)):  # then the other way round
        rows = [row.model_copy(update={"ranker": names.get(row.ranker, row.ranker)}) for row in evaluation.metrics]
        evaluation = evaluation.model_copy(update={"metrics": tuple(rows)})
    (first, *_) = behind_popularity(evaluation)
    assert first in harmless(render(refreshed.report.changed(evaluation=evaluation), [])).text


def test_a_sample_of_users_is_called_one(refreshed: RefreshResult) -> None:
    evaluation = refreshed.report.evaluation
    assert "sample of" not in Page(render(refreshed.report, [])).text
    rows = tuple(row.model_copy(update={"drawn_from": 300_000}) for row in evaluation.metrics)
    page = Page(render(refreshed.report.changed(evaluation=evaluation.model_copy(update={"metrics": rows})), []))
    assert f"sample of {rows[0].users:,} of 300,000 users" in page.text


def test_the_training_says_whom_it_was_validated_on(refreshed: RefreshResult) -> None:
    report = refreshed.report
    asked = report.training["lightgcn"].evaluation.validated
    assert asked is not None
    assert asked.drawn_from is None
    assert f"on the validation part: {asked.users} users." in Page(render(report, [])).text
    of_many = report.to_json()
    of_many["training"]["lightgcn"]["evaluation"]["validated"]["drawn_from"] = 300_000
    page = Page(render(Report.parse(of_many), []))
    assert f"on the validation part: sample of {asked.users} of 300,000 users." in page.text


def test_a_phone_scrolls_tables_and_plots_in_place_of_shrinking_them(refreshed: RefreshResult) -> None:
    page = render(refreshed.report, [])
    assert "@media (max-width: 45rem)" in page
    assert "overflow-wrap: anywhere" not in page  # columns of single letters
    assert page.count("<table") == page.count('class="wide"') + page.count('<table class="facts"')

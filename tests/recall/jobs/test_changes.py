"""What a new run's report says of its sources and of what they changed: files on disk, graphs built of them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest import DataSettings, build_graph
from kg import KnowledgeGraph, RelationKey
from kg.io.files import FORMAT_VERSION, write_json
from kg.io.graph_folder import save_graph
from recall.config.deployment import load_config
from recall.jobs.changes import Comparison, describe, difference_to
from recall.jobs.inputs import Inputs
from recall.runs.layout import RunLayout
from recall.runs.report import Quality, Report

RATED = RelationKey("user", "rated", "movie")
DIRECTOR = RelationKey("movie", "director", "person")
KIND = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <https://schema.org/Movie>"
DAY = 86_400


class Deployed:
    """A deployment's files, and what a refresh would make of them but for the models."""

    def __init__(self, config: Path) -> None:
        self.config, self.folder = config, config.parent
        self.runs = 0

    def read(self, base: RunLayout | None = None) -> tuple[Inputs, KnowledgeGraph]:
        config = load_config(self.config)
        inputs = Inputs.of(config, self.folder / "staging", base=base)
        settings = DataSettings(graph=config.graph, sources=config.sources, quality=config.quality)
        graph, quality = build_graph(settings, base=config.base, now=inputs.now)
        self.quality = {**quality.to_json(), "as_of": inputs.as_of}
        return inputs, graph

    def publish(self, base: RunLayout | None = None, *, created: str = "") -> tuple[RunLayout, Comparison]:
        """A folder that holds of a run what the next one is compared with, and what its report says."""
        self.runs += 1
        run = RunLayout(self.folder / f"run{self.runs}")
        inputs, graph = self.read(base)
        told = describe(base, inputs, graph)
        save_graph(graph, run.graph)
        created = created or time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        quality = Quality.model_validate(self.quality)
        sources, changes = told.sources, told.changes
        Report(created=created, fingerprint="", quality=quality, sources=sources, changes=changes).save(run)
        write_json(run.path / "MANIFEST.json", {"created": created, "format_version": FORMAT_VERSION})
        return run, told

    def states(self, told: Comparison) -> dict[str, str]:
        return {entry.name: entry.state for entry in told.sources}

    def edit(self, file: str, change: Callable[[list[str]], list[str]]) -> None:
        path = self.folder / file
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


@pytest.fixture
def deployed(make_deployment: Callable[[Path], Path], tmp_path: Path) -> Deployed:
    return Deployed(make_deployment(tmp_path / "d"))


def kinds(told: Comparison) -> list[str]:
    return [finding.kind for finding in told.findings]


def counts(told: Comparison, what: str, name: object) -> tuple[int, int, int]:
    entry = getattr(told.changes, what)[str(name)]
    return entry.added, entry.removed, entry.changed


def test_the_first_run_has_new_sources_and_no_changes(deployed: Deployed) -> None:
    _, told = deployed.publish()
    assert deployed.states(told) == {"movies.nt": "new", "ratings.csv": "new"}
    assert told.changes is None
    assert told.findings == ()


def test_nothing_changed_whatever_the_times_of_the_files_say(deployed: Deployed) -> None:
    base, _ = deployed.publish()
    os.utime(deployed.folder / "ratings.csv", (0, 0))
    _, told = deployed.publish(base)
    assert deployed.states(told) == {"movies.nt": "unchanged", "ratings.csv": "unchanged"}
    assert told.changes.base == base.name
    assert told.changes.shares == {"interactions": 0.0, "items": 0.0}
    assert difference_to(base, deployed.read()[1]) is not None
    assert not difference_to(base, deployed.read()[1])
    assert difference_to(None, deployed.read()[1]) is None


def test_triples_and_rows_that_come_go_and_change_are_counted_where_they_end(deployed: Deployed) -> None:
    base, _ = deployed.publish()

    def triples(lines: list[str]) -> list[str]:
        lines = [line for line in lines if not line.startswith("<http://example.org/movie/3>")]  # a movie goes
        lines = [line.replace('] 4"', '] 4, mended"') for line in lines]
        lines = [
            line.replace("person/p2>", "person/p4>") if line.startswith("<http://example.org/movie/7>") else line
            for line in lines
        ]
        new = "<http://example.org/movie/99>"
        return [
            *lines,
            f"{new} {KIND} .",
            f'{new} <https://schema.org/identifier> "m99" .',
            f'{new} <https://schema.org/name> "Brand new"@en .',
        ]

    def ratings(rows: list[str]) -> list[str]:
        header, *rows = [row for row in rows if ",m3," not in row and not row.startswith("u5,")]
        user, movie, _, seconds = rows[10].split(",")
        rows[10] = f"{user},{movie},1.5,{seconds}"
        return [header, *rows, "u0,m99,5.0,1009000", "newcomer,m99,4.0,1000001"]

    before = deployed.read()[1]
    gone = [
        row for row in (deployed.folder / "ratings.csv").read_text().splitlines() if ",m3," in row or row[:3] == "u5,"
    ]
    deployed.edit("movies.nt", triples)
    deployed.edit("ratings.csv", ratings)
    _, told = deployed.publish(base)
    assert deployed.states(told) == {"movies.nt": "changed", "ratings.csv": "changed"}
    assert counts(told, "nodes", "movie") == (1, 1, 1)
    assert told.changes.nodes["movie"].text == 1
    assert told.changes.nodes["movie"].to_json()["examples"] == {"added": ["m99"], "removed": ["m3"], "changed": ["m4"]}
    assert counts(told, "nodes", "user") == (1, 1, 0)
    assert counts(told, "edges", RATED) == (2, len(gone), 1)
    assert counts(told, "edges", DIRECTOR) == (1, 2, 0)
    assert told.changes.shares == {
        "interactions": pytest.approx((3 + len(gone)) / before.edges[RATED].num_rows),
        "items": 3 / 24,
    }
    assert told.changes.times.newest == 1_009_000
    assert kinds(told) == ["interactions that came late"]
    assert told.findings[0].count == 1
    assert "newcomer" not in json.dumps(told.to_json())


def test_files_that_come_go_and_come_back(deployed: Deployed) -> None:
    config = deployed.config.read_text()
    deployed.config.write_text(config.replace('["ratings.csv"]', '["ratings*.csv"]'))
    first, _ = deployed.publish()
    more = deployed.folder / "ratings-2.csv"
    more.write_text("userId,movieId,rating,timestamp\nu1,m1,4.0,2000000\n")
    second, told = deployed.publish(first)
    assert deployed.states(told) == {"movies.nt": "unchanged", "ratings.csv": "unchanged", "ratings-2.csv": "new"}
    content = more.read_text()
    more.unlink()
    third, told = deployed.publish(second)
    assert deployed.states(told)["ratings-2.csv"] == "removed"
    assert "the newest interaction went back" in kinds(told)
    fourth, told = deployed.publish(third)
    assert "ratings-2.csv" not in deployed.states(told), "said once"
    more.write_text(content)
    _, told = deployed.publish(third)
    assert deployed.states(told)["ratings-2.csv"] == "new"
    assert deployed.states(deployed.publish(fourth)[1])["ratings-2.csv"] == "new"


def test_a_clock_that_was_turned_back_is_told_and_loses_nothing(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, _ = deployed.publish()
    today = int(time.time())
    deployed.edit("ratings.csv", lambda rows: [*rows, f"newcomer,m1,5.0,{today - 60}"])
    monkeypatch.setattr(time, "time", lambda: today - 400.0 * DAY)
    _, told = deployed.publish(base)
    assert counts(told, "edges", RATED)[0] == 1, "the new rating is no rating of the future"
    assert "the clock was turned back" in kinds(told)
    assert "sources written in the future" not in kinds(told), "the run before tells what time it is at least"


def test_a_time_of_the_future_makes_another_graph_once_it_is_past(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = int(time.time())
    clock = [float(today)]
    monkeypatch.setattr(time, "time", lambda: clock[0])

    def publish(base: RunLayout | None) -> RunLayout:
        return deployed.publish(base, created=datetime.fromtimestamp(clock[0], UTC).isoformat())[0]

    def early() -> list[str]:
        """Who of the two is in the graph by now."""
        return sorted({"early", "later"} & set(deployed.read(base)[1].users.ids.to_pylist()))

    deployed.edit("ratings.csv", lambda rows: [*rows, f"early,m1,5.0,{today + 900}", f"later,m2,5.0,{today + 9000}"])
    base = publish(None)
    first = deployed.read(base)[0].fingerprint
    assert early() == []
    clock[0] += 600
    assert deployed.read(base)[0].fingerprint == first, "not yet"
    clock[0] += 600
    second = deployed.read(base)[0].fingerprint
    assert second != first
    assert early() == ["early"]
    base = publish(base)
    assert deployed.read(base)[0].fingerprint == second, "it is no change twice"
    clock[0] += 600
    base = publish(base)
    assert deployed.read(base)[0].fingerprint == second
    clock[0] += 9000
    assert deployed.read(base)[0].fingerprint not in (first, second)
    assert early() == ["early", "later"]
    clock[0] -= 20_000
    assert early() == ["early"], "whoever was made by a run that serves stays"


def test_files_written_by_clocks_that_are_wrong_are_told_and_read(deployed: Deployed) -> None:
    base, _ = deployed.publish()
    deployed.edit("ratings.csv", lambda rows: rows[:-1])
    deployed.edit("movies.nt", lambda lines: lines[:-6])
    os.utime(deployed.folder / "ratings.csv", (1_000_000, 1_000_000))
    ahead = time.time() + 40 * DAY
    os.utime(deployed.folder / "movies.nt", (ahead, ahead))
    _, told = deployed.publish(base)
    assert counts(told, "edges", RATED)[1] == 1
    assert set(deployed.states(told).values()) == {"changed"}
    by_kind = {finding.kind: list(finding.examples) for finding in told.findings}
    assert by_kind["sources written in the future"] == ["movies.nt"]
    assert by_kind["changed sources with an older time"] == ["ratings.csv"]


def test_a_base_whose_report_is_damaged_is_compared_all_the_same(deployed: Deployed) -> None:
    base, _ = deployed.publish()
    for damage in ("{", "[]", '{"sources": [1, {"name": null}]}'):
        base.report.write_text(damage)
        (base.path / "MANIFEST.json").write_text(damage)
        inputs, graph = deployed.read(base)
        told = describe(base, inputs, graph)
        assert set(deployed.states(told).values()) - {"removed"} == {"new"}
        assert told.changes.shares["items"] == 0

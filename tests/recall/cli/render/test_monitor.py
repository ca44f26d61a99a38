"""The tables of `graphrecall monitor`, at 80 columns."""

from __future__ import annotations

import io

from rich.console import Console

from recall.cli.render.monitor import print_monitor
from recall.quality.monitor.report import CandidateState, InputState, MonitorReport, Moved, RunState, Stability

NAMES = [f"2026010{day}T235959123Z-1a2b3c4d" for day in range(1, 8)]


def state(number: int, **facts: object) -> RunState:
    kinds = {"movie": 1_682_000, "user": 12_345_678}
    values: dict[str, object] = {
        "run": NAMES[number],
        "created": f"2026-01-0{number + 1}T23:59:59+00:00",
        "current": False,
        "rejected": False,
        "gate_passed": True,
        "headline": {"recall@20": 0.1713, "ndcg@20": 0.1438},
        "input": InputState(
            nodes=kinds,
            edges={"(user)-[likes]->(movie)": 123_456_789 + number, "(movie)-[has_production_company]->(company)": 5},
            interactions=123_456_789,
            users=12_345_678,
            items=1_682_000,
            new_users=0.012,
            new_items=1.0,
            gone_users=0.0,
            gone_items=0.5,
            warnings=3,
        ),
        "candidates": CandidateState(
            users=1000,
            drawn_from=12_345_678,
            k=50,
            candidates=50_000,
            coverage=0.4,
            untouched=0.01,
            fallback=0.0,
            new_items=0.02,
            kept=0.71,
        ),
        "stability": (
            Stability(
                part="candidates",
                name="production_company",
                index=0.41,
                moved=(Moved(label="A company with a long name that goes on and on and on", before=0.1, now=0.3),),
            ),
            Stability(part="candidates", name="popularity", index=0.13),
            Stability(part="input", name="likes of a user", index=0.02),
        ),
    }
    return RunState.model_validate(values | facts)


def printed(*states: RunState, exceeded: tuple[str, ...] = ()) -> str:
    current = next((each.run for each in states if each.current), None)
    age = None if current is None else 93_600.0
    report = MonitorReport(there=9, current=current, age_seconds=age, runs=states, exceeded=exceeded)
    out = io.StringIO()
    print_monitor(report, console=Console(file=out, width=80, highlight=False))
    return out.getvalue()


def test_everything_fits_into_80_columns() -> None:
    text = printed(*(state(number, current=number == 6) for number in range(7)))
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert f"{NAMES[6]} serves, made 26.0 h ago" in text
    assert "the last 7 of 9 runs" in text
    assert all(name in text for name in NAMES)
    assert "sample of 1,000 of 12,345,678 users, 50 each" in text
    assert "10.0% → 30.0%" in text


def test_what_is_wrong_is_said_in_words() -> None:
    text = printed(
        state(0, problem="graph is damaged"),
        state(1, note="none of its items were there", stability=()),
        state(2, current=True, rejected=False, gate_passed=False, gate_reasons=("ndcg@20 is less",)),
        state(3, rejected=True, gate_passed=False, gate_reasons=("recall@20 is less",)),
        exceeded=("too old",),
    )
    words = ("damaged", "accepted", "refused", "above the limit: too old", "run 4: graph is damaged")
    assert all(word in text for word in words)
    assert "run 3: none of its items were there" in text
    assert "run 1: gate: recall@20 is less" in text
    assert "run 2: gate: ndcg@20 is less" in text


def test_one_run_and_no_run_that_serves() -> None:
    text = printed(state(0, stability=(), candidates=None))
    assert text.startswith("no run serves")
    assert "there is nothing to compare it with" in text
    assert "population stability" not in text
    assert "recall@20" in printed(state(0, problem="x"), state(1))


def test_only_damaged_runs() -> None:
    text = printed(state(0, problem="it is damaged", headline={}, gate_passed=None))
    assert "run 1: it is damaged" in text

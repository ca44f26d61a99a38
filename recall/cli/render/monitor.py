"""The drift of the last runs as tables of at most 80 columns; runs have numbers, 1 the newest."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from recall.cli.render.tables import shown, table
from recall.ops.words import age, users_asked
from recall.quality.monitor.report import MonitorReport, Part, RunState, Stability
from recall.quality.monitor.stability import LARGE, SOME

RELATIONS_OF = 3  # runs whose edges stand side by side
MOST_INDEXES = 6
LONGEST_LABEL = 30


def print_monitor(report: MonitorReport, *, console: Console) -> None:
    """Which runs there are, what went in, what comes out, what has moved, and what the numbers mean."""
    numbered = list(zip(range(len(report.runs), 0, -1), report.runs, strict=True))
    serves = "no run serves"
    if report.current is not None:
        serves = f"{report.current} serves"
        if report.age_seconds is not None:
            serves += f", made {age(report.age_seconds)} ago"
    console.print(Text(serves, style="bold"), soft_wrap=True)
    _print_runs(report, numbered, console)
    readable = [(number, state) for number, state in numbered if state.problem is None]
    if readable:
        _print_input(readable, console)
        _print_edges(readable, console)
        _print_candidates(readable, console)
    _print_moved(readable, console)
    for number, state in numbered:
        for text, style in _remarks(state):
            console.print(shown(f"run {number}: {text}", style=style))
    if readable and (warnings := readable[-1][1].input.warnings):
        text = f"run {readable[-1][0]}: kinds of warnings in the sources: {warnings}, see its report.html"
        console.print(Text(text, style="yellow"))
    for text in report.exceeded:
        console.print(shown(f"above the limit: {text}", style="red"))
    if len(readable) < 2:
        console.print(Text("one run alone has no drift: there is nothing to compare it with", style="dim"))
    elif any(state.stability for _, state in readable):
        meaning = (
            f"index: population stability against the published run before; below {SOME:g} little has moved, from "
            f"{LARGE:g} on much; of few users more by chance"
        )
        console.print(Text(meaning, style="dim"))


def _print_runs(report: MonitorReport, numbered: Sequence[tuple[int, RunState]], console: Console) -> None:
    metrics = list(next((state.headline for _, state in reversed(numbered) if state.headline), {}))
    rows = table("", "run", "gate", *metrics, right=["", *metrics])
    rows.title = Text(f"the last {len(numbered)} of {report.there} runs", style="bold")
    for number, state in numbered:
        values = (f"{state.headline[name]:.3f}" if name in state.headline else "" for name in metrics)
        rows.add_row(f"→ {number}" if state.current else str(number), state.run, _gate(state), *values)
    console.print(rows)


def _gate(state: RunState) -> Text:
    if state.problem is not None:
        return Text("damaged", style="red")
    if state.rejected:
        return Text("refused", style="yellow")
    if state.gate_passed is None:
        return Text("none")
    return Text("passed", style="green") if state.gate_passed else Text("accepted", style="yellow")


def _print_input(readable: Sequence[tuple[int, RunState]], console: Console) -> None:
    columns = ("users", "new", "gone", "items", "new ", "gone ", "interactions")
    rows = table("", *columns, right=["", *columns], title="what went in")
    for number, state in readable:
        data = state.input
        cells = (
            *(f"{data.users:,}", _percent(data.new_users), _percent(data.gone_users)),
            *(f"{data.items:,}", _percent(data.new_items), _percent(data.gone_items)),
            f"{data.interactions:,}",
        )
        rows.add_row(str(number), *cells)
    console.print(rows)


def _print_edges(readable: Sequence[tuple[int, RunState]], console: Console) -> None:
    """Edges by relation, the newest runs side by side."""
    newest = readable[-RELATIONS_OF:]
    columns = [f"run {number}" for number, _ in newest]
    names = list(dict.fromkeys(name for _, state in reversed(newest) for name in state.input.edges))
    rows = table("edges", *columns, "change", right=[*columns, "change"], wrap=["edges"])
    for name in names:
        counts = [state.input.edges.get(name) for _, state in newest]
        before, now = counts[-2] if len(counts) > 1 else None, counts[-1]
        change = f"{(now or 0) / before - 1:+.1%}" if before else ""
        rows.add_row(shown(_in_words(name)), *("" if count is None else f"{count:,}" for count in counts), change)
    if names:
        console.print(rows)


def _print_candidates(readable: Sequence[tuple[int, RunState]], console: Console) -> None:
    asked = [(number, state, state.candidates) for number, state in readable if state.candidates is not None]
    if not asked:
        return
    latest = asked[-1][2]
    users = users_asked(latest.users, latest.drawn_from)
    columns = ("coverage", "new items", "untouched", "fallback", "kept", "popularity index")
    title = f"candidates: {users}, {latest.k} each"
    rows = table("", *columns, right=["", *columns], title=title)
    for number, state, lists in asked:
        index = next((each for each in state.stability if (each.part, each.name) == ("candidates", "popularity")), None)
        cells = (lists.coverage, lists.new_items, lists.untouched, lists.fallback, lists.kept)
        rows.add_row(str(number), *map(_percent, cells), Text("") if index is None else _index(index))
    console.print(rows)


def _print_moved(readable: Sequence[tuple[int, RunState]], console: Console) -> None:
    """The largest indexes of the newest run, and of older ones those that say that much has moved."""
    parts: tuple[tuple[Part, str], ...] = (("input", "likes"), ("candidates", "candidates"))
    rows = table("", "of", "by", "index", "most moved", right=["", "index"], wrap=["by", "most moved"])
    rows.title = Text("what has moved against the run before", style="bold")
    for place, (number, state) in enumerate(readable):
        for part, word in parts:
            of_part = [each for each in state.stability if each.part == part]
            newest = place == len(readable) - 1
            kept = [
                each for at, each in enumerate(of_part) if each.index >= LARGE or (newest and at < MOST_INDEXES // 2)
            ]
            for each in kept[:MOST_INDEXES]:
                rows.add_row(str(number), word, shown(each.name), _index(each), _moved(each))
    if rows.row_count:
        console.print(rows)


def _moved(each: Stability) -> Text:
    if not each.moved:
        return Text("")
    first = each.moved[0]
    label = first.label if len(first.label) <= LONGEST_LABEL else first.label[: LONGEST_LABEL - 1] + "…"
    return shown(f"{label} {first.before:.1%} → {first.now:.1%}")


def _index(each: Stability) -> Text:
    style = "red" if each.index >= LARGE else "yellow" if each.index >= SOME else ""
    return Text(f"{each.index:.3f}", style=style)


def _remarks(state: RunState) -> list[tuple[str, str]]:
    remarks = []
    if state.problem is not None:
        remarks.append((state.problem, "red"))
    if state.note is not None:
        remarks.append((state.note, "yellow"))
    if state.rejected or state.gate_passed is False:
        remarks += [(f"gate: {reason}", "yellow") for reason in state.gate_reasons]
    return remarks


def _in_words(relation: str) -> str:
    """`(user)-[likes]->(movie)` as `user likes movie`, which may go on in the next line."""
    return relation.removeprefix("(").removesuffix(")").replace(")-[", " ").replace("]->(", " ")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"

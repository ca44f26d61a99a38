"""The outcome of a refresh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from recall.cli.render.metrics import print_metrics
from recall.cli.render.stores import print_write_back
from recall.cli.render.tables import labelled, labelled_line, near
from recall.ops.words import duration

if TYPE_CHECKING:
    from recall.jobs.dry_run import DryRun
    from recall.jobs.refresh import RefreshResult
    from recall.runs.report import Changes


def print_refresh(result: RefreshResult, *, console: Console) -> None:
    """What a refresh did: kind and reasons, counts, changes, findings, metrics, times, and what the gate refused."""
    report = result.report
    if result.status == "unchanged" and result.run is not None:
        console.print(Text.assemble(("nothing changed", "bold"), f": {near(result.run.path)} serves"), soft_wrap=True)
        for reason in result.reasons:
            console.print(Text(reason, style="yellow"), soft_wrap=True)
        if result.written_back is not None:
            print_write_back(result.written_back, console=console)
        return
    if result.again and result.run is not None:
        text = f": {near(result.run.path)}, made {report.created} of the same sources, serves again"
        console.print(Text.assemble(("no run was made", "bold"), text), soft_wrap=True)
        if result.written_back is not None:
            print_write_back(result.written_back, console=console)
        return
    data = report.data
    if report.reasons:
        base = f" on {report.base}" if report.base else ""
        console.print(labelled("made", f"{report.kind}{base}: {'; '.join(report.reasons)}"))
    console.print(
        f"[bold]graph[/bold]    {sum(data.nodes.values()):,} nodes, {sum(data.edges.values()):,} edges, "
        f"{data.positives:,} positive interactions of {data.users:,} users on {data.items:,} items"
    )
    if report.changes is not None:
        console.print(labelled("changed", _changes(report.changes)))
    for finding in report.quality.findings:
        mark = Text("warning  " if finding.severity == "warning" else "note     ", style="yellow")
        console.print(mark + Text(f"{finding.count:,} {finding.kind}: {finding.explanation}", style="dim"))
    print_metrics(report.evaluation, console=console)
    if report.fusion is not None:
        weights = ", ".join(f"{name} {weight:g}" for name, weight in report.fusion.weights.items())
        if report.fusion.untouched > 1:
            weights += f"; items that nobody likes times {report.fusion.untouched:g}"
        console.print(labelled("fusion", weights))
    times = ", ".join(f"{name} {duration(seconds)}" for name, seconds in report.timings.items())
    console.print(labelled("times", times))
    if result.rejected is not None:
        for reason in result.reasons:
            console.print(labelled("rejected", reason), style="red")
        # In one line, however long: a command is there to be copied.
        kept = f"graphrecall accept {near(result.rejected.path)} --reason WHY publishes it all the same"
        if report.gate is not None and report.gate.unfinished:
            kept = f"{near(result.rejected.path)}, which can never serve"
        console.print(labelled_line("kept", kept), soft_wrap=True)
    elif result.run is not None:
        console.print(labelled_line("run", f"published {near(result.run.path)}", style="green"), soft_wrap=True)
        console.print(labelled_line("report", str(near(result.run.path / "report.html"))), soft_wrap=True)
    if result.run is None:
        console.print(labelled("serves", "nothing yet"))
    else:
        serves = result.run.path if result.rejected is not None else result.run.path.parent / "current"
        console.print(labelled_line("serves", str(near(serves))), soft_wrap=True)
    if result.written_back is not None:
        print_write_back(result.written_back, console=console)


def _changes(changes: Changes) -> str:
    """`3 movie added, 12 (user)-[rated]->(movie) added`, or that nothing did."""
    counts = [
        f"{count:,} {name} {kind}"
        for part in (changes.nodes, changes.edges)
        for name, facts in part.items()
        for kind, count in (("added", facts.added), ("removed", facts.removed), ("changed", facts.changed))
        if count
    ]
    return ", ".join(counts) or "nothing in the graph"


def print_dry_run(dry_run: DryRun, *, console: Console) -> None:
    """What a refresh would do: the action, why, and what is new in the sources."""
    kind = f"make a run, {dry_run.plan['kind']}" if dry_run.action == "make" else dry_run.action
    console.print(labelled("would", kind))
    for reason in dry_run.reasons:
        console.print(labelled("because", reason))
    changed = [f"{source.name} {source.state}" for source in dry_run.sources if source.state != "unchanged"]
    console.print(labelled("sources", ", ".join(changed) or "none changed"))
    serves = "nothing yet" if dry_run.run is None else str(near(dry_run.run.path))
    console.print(labelled_line("serves", serves), soft_wrap=True)

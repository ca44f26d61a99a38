"""What `graphrecall check` found, for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console

from recall.cli.render.tables import shown, table
from recall.ops.words import duration, size

if TYPE_CHECKING:
    from ingest.report import IdMatch
    from recall.jobs.check import Check, PositivesCheck

LONGEST_VALUE = 70


def print_check(result: Check, *, name: str, console: Console) -> None:
    """Sources, ids, positives, nodes, edges, what could be edges, findings, cost, and what would be refused."""
    rows = table("source", "kind", "read", "set aside", right=("read", "set aside"))
    for source in result.sources:
        rows.add_row(shown(source.name), source.kind, f"{source.read:,}", f"{source.set_aside:,}")
    console.print(rows)
    _heading("Do the ids match?", console)
    for match in result.matches:
        _print_match(match, result.min_match, console)
    if not result.matches:
        console.print(shown("  nothing to compare: only one source names each kind of node"))
    if result.positives is not None:
        _heading("What counts as liked", console)
        _print_positives(result.positives, console)
    if result.split:
        parts = ", ".join(f"{count:,} {part}" for part, count in result.split.items())
        console.print(shown(f"  split: {parts}"))
    _heading("What becomes nodes", console)
    for node in result.nodes:
        attributes = ", ".join(f"{name} ({kind})" for name, kind in node.attributes.items()) or "no attributes"
        console.print(shown(f"  {node.count:,} {node.type}: {attributes}"))
        if node.template is not None:
            empty = f", {node.empty_texts:,} of them empty" if node.empty_texts else ""
            console.print(shown(f"    encoded as {node.template!r}{empty}"))
        for sample in node.samples:
            console.print(shown(f"    {_row(sample)}", style="dim"))
    _heading("What becomes edges", console)
    for edge in result.edges:
        console.print(shown(f"  {edge.count:,} {edge.relation}" + ", what users did" * edge.is_event))
        for sample in edge.samples:
            console.print(shown(f"    {_row(sample)}", style="dim"))
    if result.suggestions:
        _heading("Attributes that could be edges", console)
        for suggestion in result.suggestions:
            values = suggestion.values
            examples = ", ".join(values.examples)
            text = f"  {values.node}.{values.attribute}: {values.values:,} values such as {examples}"
            console.print(shown(text, style="yellow"))
            if suggestion.lines is not None:
                for line in suggestion.lines.splitlines():
                    console.print(shown(f"    {line}"), soft_wrap=True)
    _print_findings(result, console)
    cost = result.cost
    _heading("A first refresh, roughly", console)
    console.print(
        shown(
            f"  {cost.texts:,} texts in {duration(cost.text_seconds)}, training in up to "
            f"{duration(cost.train_seconds)}, {size(cost.memory)} of memory, on a core without a GPU"
        )
    )
    console.print()
    if not result.problems:
        console.print(shown(f"good: graphrecall refresh {name}", style="green"), soft_wrap=True)
    for problem in result.problems:
        console.print(shown(f"a refresh would refuse this: {problem}", style="red"), soft_wrap=True)


def _heading(text: str, console: Console) -> None:
    console.print()
    console.print(shown(text, style="bold"))


def _print_match(match: IdMatch, least: float, console: Console) -> None:
    style = "green" if match.share >= max(least, 0.9) else ("yellow" if match.share >= least else "red")
    text = (
        f"{match.share:4.0%}  {match.node} in {match.source}: {match.shared:,} of {match.ids:,} ids are among the "
        f"{match.other_ids:,} of {match.others}"
    )
    console.print(shown(f"  {text}", style=style))
    if match.examples and match.other_examples:
        console.print(shown(f"        only there: {', '.join(match.examples)}", style="dim"))
        console.print(shown(f"        only here:  {', '.join(match.other_examples)}", style="dim"))
    for line, share in match.advice:
        console.print(shown(f"        write {line}  ({share:.0%} would fit)", style="bold"), soft_wrap=True)


def _print_positives(positives: PositivesCheck, console: Console) -> None:
    console.print(shown(f"  {positives.rule}: {positives.kept:,} of {positives.of:,} interactions"))
    if positives.grades:
        counts = ", ".join(f"{grade}: {count:,}" for grade, count in positives.grades.items())
        console.print(shown(f"  ratings: {counts}"))
    if positives.suggestion is not None:
        kept = positives.rules.get(positives.suggestion.split('"')[1], 0)
        text = f"  low ratings count as liked, too; write {positives.suggestion} to keep {kept:,}"
        console.print(shown(text, style="yellow"))


def _print_findings(result: Check, console: Console) -> None:
    if not result.findings:
        return
    _heading("What is odd", console)
    for finding in result.findings:
        style = "yellow" if finding.severity == "warning" else "dim"
        console.print(shown(f"  {finding.count:,} {finding.kind}: {finding.explanation}", style=style))
        for example in finding.examples[:2]:
            console.print(shown(f"    {_short(example)}", style="dim"))


def _row(sample: dict[str, Any]) -> str:
    return "  ".join(f"{name}={_short(value)}" for name, value in sample.items())


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"

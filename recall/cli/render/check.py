"""What `graphrecall check` found, for a person."""

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from recall.cli.render.tables import table
from recall.ops.words import duration, size

if TYPE_CHECKING:
    from ingest.report import IdMatch
    from recall.jobs.check import Check, PositivesCheck

LONGEST_VALUE = 70


def print_check(result: Check, *, name: str, console: Console) -> None:
    """Sources, ids, positives, nodes, edges, what could be edges, findings, cost, and what would be refused."""
    rows = table("source", "kind", "read", "set aside", right=("read", "set aside"))
    for source in result.sources:
        rows.add_row(Text(source.name), source.kind, f"{source.read:,}", f"{source.set_aside:,}")
    console.print(rows)
    _heading("Do the ids match?", console)
    for match in result.matches:
        _print_match(match, result.min_match, console)
    if not result.matches:
        console.print(Text("  nothing to compare: only one source names each kind of node"))
    if result.positives is not None:
        _heading("What counts as liked", console)
        _print_positives(result.positives, console)
    if result.split:
        parts = ", ".join(f"{count:,} {part}" for part, count in result.split.items())
        console.print(Text(f"  split: {parts}"))
    _heading("What becomes nodes", console)
    for node in result.nodes:
        attributes = ", ".join(f"{name} ({kind})" for name, kind in node.attributes.items()) or "no attributes"
        console.print(Text(f"  {node.count:,} {node.type}: {attributes}"))
        if node.template is not None:
            empty = f", {node.empty_texts:,} of them empty" if node.empty_texts else ""
            console.print(Text(f"    encoded as {node.template!r}{empty}"))
        for sample in node.samples:
            console.print(Text(f"    {_row(sample)}", style="dim"))
    _heading("What becomes edges", console)
    for edge in result.edges:
        console.print(Text(f"  {edge.count:,} {edge.relation}" + ", what users did" * edge.is_event))
        for sample in edge.samples:
            console.print(Text(f"    {_row(sample)}", style="dim"))
    if result.suggestions:
        _heading("Attributes that could be edges", console)
        for suggestion in result.suggestions:
            values = suggestion.values
            examples = ", ".join(values.examples)
            text = f"  {values.node}.{values.attribute}: {values.values:,} values such as {examples}"
            console.print(Text(text, style="yellow"))
            if suggestion.lines is not None:
                console.print(Text(indent(suggestion.lines, "    ")), soft_wrap=True)
    _print_findings(result, console)
    cost = result.cost
    _heading("A first refresh, roughly", console)
    console.print(
        Text(
            f"  {cost.texts:,} texts in {duration(cost.text_seconds)}, training in up to "
            f"{duration(cost.train_seconds)}, {size(cost.memory)} of memory, on a core without a GPU"
        )
    )
    console.print()
    if not result.problems:
        console.print(Text(f"good: graphrecall refresh {name}", style="green"), soft_wrap=True)
    for problem in result.problems:
        console.print(Text(f"a refresh would refuse this: {problem}", style="red"), soft_wrap=True)


def _heading(text: str, console: Console) -> None:
    console.print()
    console.print(Text(text, style="bold"))


def _print_match(match: IdMatch, least: float, console: Console) -> None:
    style = "green" if match.share >= max(least, 0.9) else ("yellow" if match.share >= least else "red")
    text = (
        f"{match.share:4.0%}  {match.node} in {match.source}: {match.shared:,} of {match.ids:,} ids are among the "
        f"{match.other_ids:,} of {match.others}"
    )
    console.print(Text(f"  {text}", style=style))
    if match.examples and match.other_examples:
        console.print(Text(f"        only there: {', '.join(match.examples)}", style="dim"))
        console.print(Text(f"        only here:  {', '.join(match.other_examples)}", style="dim"))
    for line, share in match.advice:
        console.print(Text(f"        write {line}  ({share:.0%} would fit)", style="bold"), soft_wrap=True)


def _print_positives(positives: PositivesCheck, console: Console) -> None:
    console.print(Text(f"  {positives.rule}: {positives.kept:,} of {positives.of:,} interactions"))
    if positives.grades:
        counts = ", ".join(f"{grade}: {count:,}" for grade, count in positives.grades.items())
        console.print(Text(f"  ratings: {counts}"))
    if positives.suggestion is not None:
        kept = positives.rules.get(positives.suggestion.split('"')[1], 0)
        text = f"  low ratings count as liked, too; write {positives.suggestion} to keep {kept:,}"
        console.print(Text(text, style="yellow"))


def _print_findings(result: Check, console: Console) -> None:
    if not result.findings:
        return
    _heading("What is odd", console)
    for finding in result.findings:
        style = "yellow" if finding.severity == "warning" else "dim"
        console.print(Text(f"  {finding.count:,} {finding.kind}: {finding.explanation}", style=style))
        for example in finding.examples[:2]:
            console.print(Text(f"    {_short(example)}", style="dim"))


def _row(sample: dict[str, Any]) -> str:
    return "  ".join(f"{name}={_short(value)}" for name, value in sample.items())


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"

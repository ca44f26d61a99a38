"""An explanation in the terminal: shares as bars, paths as sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recall.cli.render.bars import Bar, print_bars
from recall.explain.entries import amount, shortened
from recall.explain.text import PART_TOP, left_out_lines, negative_note, part_sides, path_heading, row_text

if TYPE_CHECKING:
    from recall.explain.entries import ChannelPart, Connection, PathReason, PathReasons, Reason
    from recall.explain.explanation import Explanation

TOP_REASONS = 5


def print_explanation(explanation: Explanation, *, console: Console) -> None:
    """Shares as bars, paths as sentences; what carries most leads."""
    heading = Text.assemble(("Why ", "bold"), (explanation.heading, "bold cyan"))
    console.print(heading + Text(f"   score {explanation.score:.4f} from {explanation.source}", style="dim"))
    console.print()
    if explanation.by_paths is not None:
        console.print(Text(path_heading(explanation.by_paths), style="bold"))
        _print_paths(explanation.by_paths, console)
    elif explanation.path_reasons is not None:
        _print_parts(explanation.parts, console)
        for part in explanation.parts:
            _print_part(part, console)
    else:
        _print_sides(explanation, console)
    note = negative_note(explanation.shown(TOP_REASONS))
    if note:
        console.print(Text(note, style="dim"))


def _print_sides(explanation: Explanation, console: Console) -> None:
    """A score that is no sum over paths, and the paths that connect the two ends."""
    if explanation.parts:
        _print_parts(explanation.parts, console)
        for part in explanation.parts:
            _print_left_out(part.left_out, console, PART_TOP)
    if explanation.reason is not None:
        console.print(Text(f"no shares: {explanation.reason}"))
        _print_left_out(explanation.left_out, console)
    else:
        _print_reasons("because of, from the user's side; the shares add up to the score", explanation.history, console)
        _print_reasons("because of, from the item's side; the same score, split again", explanation.neighbours, console)
    if not explanation.paths:
        console.print(Text("no path of the graph connects the two within the hops asked for", style="dim"))
    else:
        _print_connections(explanation, console)
    if explanation.linked_fraction is not None:
        console.print(
            Text(
                f"pairs of outer hops that the graph joins carry {explanation.linked_fraction:.1%} of all shares", "dim"
            )
        )


def _print_parts(parts: Sequence[ChannelPart], console: Console) -> None:
    console.print(Text("from the channels; their parts add up to the score", style="bold"))
    print_bars([Bar(part.text, part.share, part.fraction) for part in parts], console)


def _print_part(part: ChannelPart, console: Console) -> None:
    """The reasons of one channel of a fusion; one that does not split its part has said so already."""
    carried = f"{part.channel}, {amount(part.share, part.fraction)}"
    if part.by_paths is not None:
        console.print(Text(f"{carried}, on paths of the graph", style="bold"))
        _print_paths(part.by_paths, console)
    elif part.reason is not None:
        _print_left_out(part.left_out, console, PART_TOP)
    else:
        headings = (
            f"{carried}, from the user's side",
            f"{part.channel}, from the item's side; the same part, split again",
        )
        for side, heading in zip(part_sides(part), headings, strict=False):
            _print_reasons(heading, side, console, PART_TOP)


def _print_left_out(reasons: Sequence[Reason], console: Console, top: int = TOP_REASONS) -> None:
    for line in left_out_lines(reasons, top):
        console.print(Text(line))


def _print_paths(split: PathReasons, console: Console) -> None:
    print_bars([_bar(row) for row in split.shortened(TOP_REASONS).rows], console)
    if split.weights:
        console.print(Text(split.weights, style="dim"))
        console.print()


def _print_reasons(heading: str, reasons: Sequence[Reason], console: Console, top: int = TOP_REASONS) -> None:
    console.print(Text(heading, style="bold"))
    hops, rest, own = shortened(reasons, top)
    shown = [*hops, *([] if rest is None else [rest]), *own]
    print_bars([_bar(reason, sum_of_many=reason is rest) for reason in shown], console)


def _bar(row: Reason | PathReason, *, sum_of_many: bool = False) -> Bar:
    return Bar(row_text(row), row.share, row.fraction, sum_of_many or row.text.startswith("and "))


def _print_connections(explanation: Explanation, console: Console) -> None:
    console.print(Text("connected by; paths of the graph, not causes of the score", style="bold"))
    rows = Table(box=None, show_header=False, padding=(0, 1))
    rows.add_column(justify="right", no_wrap=True)
    rows.add_column(overflow="fold")
    rows.add_column(justify="right", no_wrap=True, style="dim")
    for number, path in enumerate(explanation.paths, start=1):
        rows.add_row(str(number), Text(path.text), _outer_share(path))
    if explanation.more_paths:
        rows.add_row("", Text(f"and {explanation.more_paths} more paths", style="dim"), "")
    console.print(rows)
    console.print(Text("right: what the outer hops of a path carry of the score", style="dim"))


def _outer_share(path: Connection) -> str:
    if path.share is None:
        return ""
    if path.repeats is not None:
        return f"as {path.repeats + 1}"
    return f"{path.share:+.3g}" if path.fraction is None else f"{path.fraction:.2%}"

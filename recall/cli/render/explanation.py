"""An explanation in the terminal: shares as bars, paths as sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recall.cli.render.tables import print_bars
from recall.explain.explanation import shortened

if TYPE_CHECKING:
    from recall.explain.explanation import ChannelPart, Connection, Explanation, Reason

TOP_REASONS = 5


def print_explanation(explanation: Explanation, *, console: Console) -> None:
    """Shares as bars, paths as sentences."""
    item, user = explanation.item, explanation.user
    name = item.title if item.title == item.id else f"{item.title} ({item.id})"
    heading = Text.assemble(("Why ", "bold"), (name, "bold cyan"), (f" for user {user.title}", "bold"))
    console.print(heading + Text(f"   score {explanation.score:.4f} from {explanation.source}", style="dim"))
    console.print()
    if explanation.parts:
        _print_parts(explanation.parts, console)
    if explanation.reason is not None:
        console.print(Text(f"no shares: {explanation.reason}"))
    else:
        _print_reasons("because of, from the user's side; the shares add up to the score", explanation.history, console)
        _print_reasons("because of, from the item's side; the same score, split again", explanation.neighbours, console)
    if not explanation.paths:
        console.print(Text("no path of the graph connects the two within the hops asked for", style="dim"))
    else:
        _print_paths(explanation, console)
    if explanation.linked_fraction is not None:
        console.print(
            Text(
                f"pairs of outer hops that the graph joins carry {explanation.linked_fraction:.1%} of all shares", "dim"
            )
        )


def _print_parts(parts: Sequence[ChannelPart], console: Console) -> None:
    console.print(Text("from the channels; their parts add up to the score", style="bold"))
    print_bars([(part.text, part.share, part.fraction) for part in parts], console)


def _print_reasons(heading: str, reasons: Sequence[Reason], console: Console) -> None:
    console.print(Text(heading, style="bold"))
    hops, rest, own = shortened(reasons, TOP_REASONS)
    shown = [*hops, *([] if rest is None else [rest]), *own]
    print_bars([(reason.text.removeprefix("of "), reason.share, reason.fraction) for reason in shown], console)


def _print_paths(explanation: Explanation, console: Console) -> None:
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

"""The findings of `graphrecall doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from recall.ops.doctor import Check

MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "broken": ("✗", "red")}


def checks_data(checks: Sequence[Check]) -> dict[str, Any]:
    """The findings as plain data."""
    return {
        "sound": not any(check.status == "broken" for check in checks),
        "checks": [asdict(check) for check in checks],
    }


def print_checks(checks: Sequence[Check], *, console: Console) -> None:
    """The findings under their headings."""
    for group in dict.fromkeys(check.group for check in checks):
        console.print(Text(group, style="bold"))
        rows = Table(box=None, show_header=False, padding=(0, 1), pad_edge=True)
        for check in checks:
            if check.group == group:
                mark, style = MARKS[check.status]
                detail = Text(check.detail, style="" if check.status == "ok" else style)
                rows.add_row(Text(mark, style=style), Text(check.name), detail)
        console.print(rows)
    broken = sum(check.status == "broken" for check in checks)
    console.print("[green]sound[/green]" if not broken else f"[red]{broken} broken[/red]")

"""What the HTML pages share: one file each, in which everything is escaped, and nothing is loaded or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import ChainableUndefined, ChoiceLoader, Environment, PackageLoader
from markupsafe import Markup

from recall.ops.figures import UNPRINTABLE

MOST_EXAMPLES = 10


def pages(package: str) -> Environment:
    """The templates of a package, which find `parts.html.jinja` beside them.

    Args:
        package: with a folder `templates`.
    """
    loader = ChoiceLoader([PackageLoader(package), PackageLoader("recall.ops")])
    page = Environment(
        loader=loader,
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    page.filters["readable"] = _readable
    page.filters["columns"] = _columns
    page.globals["most"] = MOST_EXAMPLES
    return page


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _readable(value: Any) -> str:
    """A plain value as text: numbers with separators, yes or no."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def _printable(value: Any) -> Any:
    """A value without the characters that turn text around or that no page can show."""
    if isinstance(value, Markup):
        return value
    return UNPRINTABLE.sub("\ufffd", value) if isinstance(value, str) else value

"""The terminal: what comes from data cannot move its cursor, turn its lines around or forge links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

WITHOUT_TERMINAL = 100  # columns

# Controls (ESC among them), invisible formatting such as bidi overrides (but for the joiners that emoji and Persian
# need), separators that end a line, and halves of characters.
_CLASSES = (
    "\x00-\x1f\x7f-\x9f"
    "\u00ad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000110bd\U000110cd\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
)
_UNSAFE = re.compile(f"[{_CLASSES}\ud800-\udfff]")


def visible(text: str) -> str:
    """One line of text, in which what a terminal would obey is written by its number, U+202E as backslash, u, 202e."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def json_escaped(text: str) -> str:
    """JSON whose strings hold nothing that a terminal would obey; it means the same."""
    lines = text.split("\n")  # between the values; inside of strings JSON has no line feed
    return "\n".join(_UNSAFE.sub(lambda match: json.dumps(match[0])[1:-1], line) for line in lines)


class Screen(Console):
    """A console for text that comes from data, whose lines are never cut."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of a renderable, with `visible` text; styles and links are the console's own."""
        for segment in super().render(renderable, options):
            if segment.control or not _UNSAFE.search(segment.text):
                yield segment
            else:
                yield Segment("\n".join(map(visible, segment.text.split("\n"))), segment.style)

    def print(self, *objects: Any, crop: bool = False, **options: Any) -> None:
        """Print; lines wider than the terminal are left to it, so that what is copied from them is whole."""
        super().print(*objects, crop=crop, **options)


def screen() -> Screen:
    """A console on stdout as wide as the terminal, or 100 columns without one."""
    console = Screen(highlight=False)
    return console if console.is_terminal else Screen(highlight=False, width=WITHOUT_TERMINAL)


def error_screen() -> Screen:
    """A console on stderr that prints text as it is."""
    return Screen(stderr=True, highlight=False, markup=False, soft_wrap=True)

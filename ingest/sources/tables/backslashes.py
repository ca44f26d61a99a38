r"""CSV text whose quotes are escaped by backslashes, as databases export it, rewritten as RFC 4180.

A backslash before a quote, a separator, a line break or a backslash makes it a character of the cell, in quotes or not;
before any other character it is a character itself. `\N` alone is an empty cell, as in exports of MySQL and PostgreSQL.
Lines stay lines: only cells with backslashes change.
"""

from __future__ import annotations

import re

NULL = rb"\N"


def double_quotes(data: bytes, separator: str) -> bytes:
    """Rewrite the cells of a text that have backslashes; the number of its lines stays."""
    if b"\\" not in data:
        return data
    sep = re.escape(separator.encode())
    end = rb"(?=[" + sep + rb"\r\n]|\Z)"
    quoted = rb'"(?P<quoted>(?:[^"\\]++|\\[\s\S]|"")*+)"' + end
    bare = rb'(?!")(?P<bare>(?:[^' + sep + rb"\r\n\\]++|\\\r\n|\\[\s\S])++)" + end
    others = rb"[^" + sep + rb"\r\n]++"
    escape = re.compile(rb'\\(\r\n|["\\\r\n' + sep + rb'])|""')

    def rewrite(match: re.Match[bytes]) -> bytes:
        cell, text = match[0], match["quoted"] if match["bare"] is None else match["bare"]
        if text is None or b"\\" not in text:
            return cell
        if cell == NULL:
            return b'""'
        return b'"' + escape.sub(lambda found: found[1] or b'"', text).replace(b'"', b'""') + b'"'

    return re.sub(rb"(?:" + quoted + rb"|" + bare + rb"|" + others + rb")", rewrite, data)

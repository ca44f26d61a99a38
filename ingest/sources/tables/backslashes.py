r"""CSV text whose quotes are escaped by backslashes, as databases export it, rewritten as RFC 4180.

A backslash before a quote, a separator, a line break or a backslash makes it a character of the cell, in quotes or not;
before any other character, or the line break that ends the text, it is a character itself. `\N` alone is an empty
cell, as in exports of MySQL and PostgreSQL.

Lines stay lines: only cells with backslashes change. Where a line is a backslash alone, `APART` stands for it until the
lines are known: without it the line would be empty, and a carriage return and the escaped line feed after it one line
break.
"""

from __future__ import annotations

import re

NULL = rb"\N"
APART = b"\xff"  # no UTF-8 text has this byte


def double_quotes(data: bytes, separator: str) -> bytes:
    """Rewrite the cells of a text that have backslashes.

    Args:
        data: UTF-8 text.
        separator: between cells, one character.

    Returns:
        A text with as many lines as `data`, with `APART` in some cells.
    """
    if b"\\" not in data:
        return data
    sep = re.escape(separator.encode())
    end = rb"(?=[" + sep + rb"\r\n]|\Z)"
    quoted = rb'"(?P<quoted>(?:[^"\\]++|\\[\s\S]|"")*+)"' + end
    last = rb"\\(?=(?:\r\n|[\r\n])?\Z)"  # of the text: it escapes nothing
    bare = rb'(?!")(?P<bare>(?:[^' + sep + rb"\r\n\\]++|" + last + rb"|\\\r\n|\\[\s\S])++)" + end
    others = rb"[^" + sep + rb"\r\n]++"
    alone = rb"(?<=[\r\n])\\(?=[\r\n])"
    escape = re.compile(rb"(?P<alone>" + alone + rb')|\\(?P<kept>\r\n|["\\\r\n' + sep + rb'])|""')

    def unescape(match: re.Match[bytes]) -> bytes:
        return APART if match["alone"] else match["kept"] or b'"'

    def rewrite(match: re.Match[bytes]) -> bytes:
        cell, text = match[0], match["quoted"] if match["bare"] is None else match["bare"]
        if text is None or b"\\" not in text:
            return cell
        if cell == NULL:
            return b'""'
        return b'"' + escape.sub(unescape, text).replace(b'"', b'""') + b'"'

    return re.sub(rb"(?:" + quoted + rb"|" + bare + rb"|" + others + rb")", rewrite, data)

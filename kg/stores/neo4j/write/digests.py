"""Digests of tables, to compare contents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

WINDOW = 65_536


def tables_digest(tables: Iterable[tuple[str, Any]], *, more: Any = None) -> str:
    """A digest of named tables, hex; the order of columns, chunks and what lies under a null do not matter.

    Args:
        tables: names and Arrow tables, in an order that matters.
        more: plain data that belongs to the content.
    """
    digest = hashlib.sha256(json.dumps(more, sort_keys=True).encode())
    for name, table in tables:
        for column in sorted(table.column_names):
            kind = table.schema.field(column).type
            digest.update(json.dumps([name, column, str(kind), table.num_rows]).encode())
            for start in range(0, table.num_rows, WINDOW):
                window = table[column].slice(start, WINDOW)
                if pa.types.is_integer(kind) or pa.types.is_floating(kind):
                    digest.update(pc.is_valid(window).to_numpy().tobytes())
                    digest.update(pc.fill_null(window, 0).to_numpy().tobytes())
                else:
                    digest.update(json.dumps(window.to_pylist(), default=str, ensure_ascii=False).encode())
    return digest.hexdigest()

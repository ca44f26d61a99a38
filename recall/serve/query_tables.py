"""Tables of queries: a row for each, whose columns are fields of `recall.serve.questions.Query`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

PLAIN_TYPES = (pa.string(), pa.list_(pa.string()), pa.int64(), pa.int32())
"""Types of columns whose values in Python are those of a query."""


def query_rows(table: Any) -> list[dict[str, Any]]:
    """The queries of an Arrow table or record batch as plain data; what is null is not given."""
    return [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]

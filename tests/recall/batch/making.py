"""What the tests of batches share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def candidates(out: Path) -> list[dict[str, Any]]:
    """All rows of a folder of candidates, as any reader of a folder of Parquet files has them."""
    return pq.read_table(out).to_pylist()


def batch_of(**columns: Any) -> Any:
    """A record batch of queries."""
    return pa.table(columns).combine_chunks().to_batches()[0]

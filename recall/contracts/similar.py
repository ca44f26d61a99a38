"""Similar items: one Arrow table with the item that was asked about, and those that are like it."""

from __future__ import annotations

from typing import Any, ClassVar

import pyarrow as pa

from recall.contracts.answer import Answer

SIMILAR_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("similar_id", pa.string()),
        ("score", pa.float32()),
        ("rank", pa.int32()),
    ]
)


class SimilarItems(Answer):
    """The answer to `similar`: a table `item_id, similar_id, score, rank`, and `title` of the similar item if asked."""

    schema: ClassVar[Any] = SIMILAR_SCHEMA
    of_whom: ClassVar[str] = "item_id"

    def _line(self, row: dict[str, Any]) -> str:
        return f"{row['item_id']}  {row['rank']:>3}. {row['similar_id']}  {row['score']:.4f}"

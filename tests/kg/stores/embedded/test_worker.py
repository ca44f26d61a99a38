"""The process of the queries from within: few plans are kept, and a connection that failed is not used again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ladybug
import pytest

from kg import KnowledgeGraph
from kg.stores.embedded import worker
from kg.stores.embedded.build import write_store
from kg.stores.embedded.values import decoded
from kg.stores.embedded.worker import Worker


def test_the_plans_that_are_kept_are_few(
    toy_graph: KnowledgeGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_store(toy_graph, tmp_path / "g")
    made: list[Any] = []
    real = ladybug.Connection

    def connect(*arguments: Any) -> Any:
        made.append(real(*arguments))
        return made[-1]

    def ask(text: str, **values: Any) -> Any:
        request = {"text": text, "values": values, "rows": 9, "answer": 9999, "seconds": 60}
        return decoded(work.answer(request))

    monkeypatch.setattr(ladybug, "Connection", connect)
    monkeypatch.setattr(worker, "PLANNED", 100)
    work = Worker(str(tmp_path / "g"), 64 << 20)
    for number in range(10):  # of 23 characters each, after that of the opening
        for value in range(3):
            assert ask(f"RETURN {number} AS x, $y AS y", y=value) == {"names": ["x", "y"], "rows": [[number, value]]}
    assert len(made) == 3
    assert ask("RETURN nothing")["fault"] == "query"
    assert ask("RETURN 1 AS x")["rows"] == [[1]]
    assert len(made) == 4
    assert [connection.is_closed for connection in made] == [True] * 3 + [False]

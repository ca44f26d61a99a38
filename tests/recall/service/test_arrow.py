"""Arrow IPC streams: what they say is what JSON says, and none grows when it is read."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from recall.service.arrow import request_json
from recall.service.media import ARROW
from recall.service.problems import ServiceError
from tests.recall.service.making import Served, detail

QUERIES = [
    {"user_id": "u1", "k": 2},
    {"liked": ["m3", "m4"], "text": "a train at night"},
    {"user_id": "u2", "exclude": ["m1"], "filter": 'name = "none"'},
]


def stream(table: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def table(queries: list[dict[str, Any]], **options: Any) -> Any:
    names = list(dict.fromkeys(name for query in queries for name in query))
    columns = {name: [query.get(name) for query in queries] for name in names}
    return pa.table(columns).replace_schema_metadata({"options": json.dumps(options)})


def test_a_table_of_queries_and_one_of_candidates(served: Served) -> None:
    reply = served.post("/recommend", queries=QUERIES, k=4, titles=False).json()
    response = served.client.post(
        "/recommend",
        content=stream(table(QUERIES, k=4, titles=False)),
        headers={"content-type": ARROW, "accept": ARROW},
    )
    assert response.headers["content-type"] == ARROW
    answer = pa.ipc.open_stream(response.content).read_all()
    assert answer.schema.metadata[b"run"].decode() == reply["run"]
    assert answer.column_names == ["query", "user_id", "item_id", "score", "rank", "source"]
    rows = answer.to_pylist()
    for number, expected in enumerate(reply["answers"]):
        mine = [row for row in rows if row["query"] == number]
        assert {row["user_id"] for row in mine} <= {expected["user_id"]}
        assert [{k: v for k, v in row.items() if k not in ("query", "user_id")} for row in mine] == expected[
            "candidates"
        ]


def test_one_side_alone_is_a_table(served: Served) -> None:
    as_json = served.client.post("/recommend", content=stream(table(QUERIES)), headers={"content-type": ARROW}).json()
    assert as_json == served.post("/recommend", queries=QUERIES).json()
    answer = served.client.post("/recommend", json={"queries": QUERIES}, headers={"accept": f"{ARROW};q=1, */*"})
    assert pa.ipc.open_stream(answer.content).read_all().num_rows == 2 + 20


def test_what_is_wrong_in_a_table_is_named_as_in_json(served: Served) -> None:
    def told(content: bytes, status: int, kind: str = ARROW) -> str:
        return detail(served.client.post("/recommend", content=content, headers={"content-type": kind}), status)

    assert "queries.0.kk" in told(stream(table([{"user_id": "u1", "kk": 3}])), 422)
    assert "on_unknown" in told(stream(table([{"user_id": "u1"}], on_unknown="x")), 422)
    assert "unknown user id: 'nobody'" in told(stream(table([{"user_id": "nobody"}])), 404)
    assert "queries" in told(stream(table([{"user_id": "u1"}]).slice(0, 0)), 422)
    assert "no Arrow IPC stream" in told(b"", 400)
    assert "no Arrow IPC stream" in told(b"{}", 400)
    wrong = table([{"user_id": "u1"}]).replace_schema_metadata({"options": "[]"})
    assert "`options`" in told(stream(wrong), 422)
    wrong = table([{"user_id": "u1"}]).replace_schema_metadata({"options": '{"queries": []}, {"a": {}'})
    assert told(stream(wrong), 400)
    assert "Content-Type" in detail(served.client.post("/similar", content=b"", headers={"content-type": ARROW}), 415)


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_stream_that_would_grow_is_refused(compression: str) -> None:
    column = pa.array(["u" * 1_000_000] * 20)
    small = stream(pa.table({"user_id": column}), compression=compression)
    assert len(small) < 200_000
    with pytest.raises(ServiceError, match="without compression"):
        request_json(small)
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int8()), pa.array(["u" * 100_000]))
    with pytest.raises(ServiceError, match="'user_id' is of the type dictionary"):
        request_json(stream(pa.table({"user_id": words})))


def test_damaged_streams_are_told_and_kill_nobody() -> None:
    good = stream(table(QUERIES))
    assert len(json.loads(request_json(good))["queries"]) == 3
    refused = 0
    for place in range(0, len(good), 3):
        for damaged in (good[:place], good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :]):
            try:
                request_json(damaged)
            except ServiceError:
                refused += 1
    assert refused > len(good) // 6

"""Arrow IPC streams in the place of JSON: queries as a table, and candidates as one.

A stream comes from anybody, and may be made to grow when it is read: only plain, uncompressed columns are taken, whose
size is that of the body.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import pyarrow as pa
from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import to_json
from starlette.types import Message

from recall.serve.query_tables import PLAIN_TYPES, query_rows
from recall.service.media import ARROW, media_type
from recall.service.problems import ServiceError

OPTIONS = b"options"  # key of the metadata of a table of queries: what counts for all of them, as JSON
RUN = b"run"  # key of the metadata of a table of candidates


class ArrowRoute(APIRoute):
    """A route whose request may be a table of queries; it is turned into the JSON of the same request."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """The handler of the route, behind the one that reads tables."""
        answer = super().get_route_handler()

        async def read(request: Request) -> Response:
            if media_type(request.headers.get("content-type", "")) == ARROW:
                request = _with_json(request, request_json(await request.body()))
            return await answer(request)

        return read


def request_json(body: bytes) -> bytes:
    """The JSON of a request for candidates.

    Args:
        body: Arrow IPC stream of a table with a row for each query, whose columns are fields of a query: texts, lists
            of texts, whole numbers. Its metadata `options` has what counts for all queries, as JSON.

    Raises:
        ServiceError: it is no such stream.
    """
    try:
        table = _read(body)
        options = (table.schema.metadata or {}).get(OPTIONS, b"{}").strip() or b"{}"
        queries = query_rows(table)
    except (pa.ArrowException, UnicodeDecodeError, struct.error, IndexError, OSError) as error:
        raise ServiceError(HTTPStatus.BAD_REQUEST, f"the body is no Arrow IPC stream: {error!s:.200}") from error
    if not options.startswith(b"{") or not options.endswith(b"}"):
        raise ServiceError(HTTPStatus.UNPROCESSABLE_ENTITY, "the metadata `options` of the table must be a JSON object")
    rest = options[1:-1].strip()
    return b'{"queries":' + to_json(queries) + (b"," + rest if rest else b"") + b"}"


def table_bytes(table: Any, run: str) -> bytes:
    """A table of candidates as an Arrow IPC stream, with the name of its run in the metadata."""
    named = table.replace_schema_metadata({RUN: run.encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, named.schema) as writer:
        writer.write_table(named)
    result: bytes = sink.getvalue().to_pybytes()
    return result


def _read(body: bytes) -> Any:
    stream = pa.BufferReader(body)
    reader = pa.ipc.MessageReader.open_stream(stream)
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            break
        if message.type == "record batch" and _is_compressed(message.metadata.to_pybytes()):
            raise ServiceError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the Arrow IPC stream without compression")
    batches = pa.ipc.open_stream(body)
    for field in batches.schema:
        if field.type not in PLAIN_TYPES:
            raise ServiceError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"the column {field.name!r:.80} is of the type {field.type!s:.80}: send string, list<string> or int64",
            )
    table = batches.read_all()
    table.validate(full=True)
    return table


def _is_compressed(message: bytes) -> bool:
    """Whether the record batch of a message (FlatBuffers, format/Message.fbs of Arrow) names a compression."""
    (root,) = struct.unpack_from("<I", message, 0)
    header = _field(message, root, 2)
    if header is None:
        return False
    (offset,) = struct.unpack_from("<I", message, header)
    return _field(message, header + offset, 3) is not None


def _field(message: bytes, table: int, slot: int) -> int | None:
    """Where a field of a table of FlatBuffers lies; None where it has none."""
    (back,) = struct.unpack_from("<i", message, table)
    layout = table - back
    (size,) = struct.unpack_from("<H", message, layout)
    place = 4 + 2 * slot
    if place >= size:
        return None
    (offset,) = struct.unpack_from("<H", message, layout + place)
    return table + offset if offset else None


def _with_json(request: Request, body: bytes) -> Request:
    """The same request with another body."""
    headers = [
        (name, value) for name, value in request.scope["headers"] if name not in (b"content-type", b"content-length")
    ]
    scope: Mapping[str, Any] = {**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(dict(scope), receive)

"""Errors as `application/problem+json` (RFC 9457): the one place that says which error has which status."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException as AnyHTTPException

from kg.errors import (
    ArtifactError,
    ConfigError,
    FeedbackError,
    GraphRecallError,
    InvalidDataError,
    QueryRefusedError,
    QueryTimeoutError,
    StoreError,
    StoreUnavailableError,
    UnknownIdError,
)

_log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 20
LONGEST_DETAIL = 2000

# The first class that an error is of decides.
STATUSES: tuple[tuple[type[GraphRecallError], HTTPStatus], ...] = (
    (UnknownIdError, HTTPStatus.NOT_FOUND),
    (QueryRefusedError, HTTPStatus.FORBIDDEN),
    (QueryTimeoutError, HTTPStatus.GATEWAY_TIMEOUT),
    (FeedbackError, HTTPStatus.SERVICE_UNAVAILABLE),
    (StoreUnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (StoreError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ConfigError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (InvalidDataError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ArtifactError, HTTPStatus.SERVICE_UNAVAILABLE),
)


class ServiceError(HTTPException):
    """Ends a request with a status; `detail` says what was wrong, where, and what to do."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)


def status_of(error: GraphRecallError) -> HTTPStatus:
    """The status for an error."""
    statuses = (status for kind, status in STATUSES if isinstance(error, kind))
    return next(statuses, HTTPStatus.INTERNAL_SERVER_ERROR)


def problem(
    status: int, detail: str, *, headers: Mapping[str, str] | None = None, errors: Sequence[str] | None = None
) -> Response:
    """The answer about a problem.

    Args:
        status: of the answer.
        detail: what was wrong, where, and what to do; a long one is cut.
        headers: of the answer.
        errors: a line for each field that is wrong.
    """
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    content: dict[str, Any] = {"type": "about:blank", "title": title, "status": int(status), "detail": _cut(detail)}
    if errors is not None:
        content["errors"] = [_cut(line, 300) for line in errors[:MOST_ERRORS]]
    # Escaped, so that half of a character of UTF-16, which a request may hold, is no error here.
    body = json.dumps(content).encode("ascii")
    return Response(body, status_code=int(status), headers=dict(headers or {}), media_type=MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Let an application answer every error as a problem."""

    @app.exception_handler(GraphRecallError)
    async def known(_: Request, error: GraphRecallError) -> Response:
        status = status_of(error)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.warning("%s", error)
        return problem(status, str(error))

    @app.exception_handler(ServiceError)
    async def refused(_: Request, error: ServiceError) -> Response:
        return problem(error.status_code, error.detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        entries = error.errors()
        if any(entry["type"] == "json_invalid" for entry in entries):
            return problem(HTTPStatus.BAD_REQUEST, "the body is no JSON: " + _json_problem(entries))
        lines = [_line(entry) for entry in entries]
        more = f" and {len(lines) - 1} more problems" if len(lines) > 1 else ""
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{lines[0]}{more}", errors=lines)

    @app.exception_handler(AnyHTTPException)
    async def http(request: Request, error: AnyHTTPException) -> Response:
        details = {
            HTTPStatus.NOT_FOUND: f"there is nothing at {_cut(request.url.path, 200)}; see /openapi.json",
            HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} does not go with {_cut(request.url.path, 200)}",
        }
        status = error.status_code
        detail = details.get(HTTPStatus(status), str(error.detail))
        if status == HTTPStatus.BAD_REQUEST and request.method == "POST":
            detail = "the body is no JSON in UTF-8, or nested too deep"
        return problem(status, detail, headers=error.headers)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "an error of the service; its log says more")


def _json_problem(entries: Sequence[Any]) -> str:
    context = entries[0].get("ctx", {})
    return f"{context.get('error', 'it cannot be read')} at byte {entries[0]['loc'][-1]}"


def _line(entry: Any) -> str:
    """`queries.0.k: Input should be greater than or equal to 1`; what was sent is not repeated."""
    place = ".".join(_cut(str(part), 100) for part in entry["loc"] if part not in ("body", "query", "path"))
    message = str(entry["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _cut(text: str, length: int = LONGEST_DETAIL) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"

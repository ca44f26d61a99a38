"""What every request passes before and after it is answered: access log, host, key, size and time of its body."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recall.config.service import ServiceLimits
from recall.ops.logs import FIELDS
from recall.service.media import ARROW, JSON, media_type
from recall.service.metrics import ServiceMetrics
from recall.service.page.files import is_of_page
from recall.service.problems import ServiceError, problem

_log = logging.getLogger("recall.service.access")

LOOPBACK = ("localhost", "127.0.0.1", "::1")
PROBES = ("/healthz", "/readyz")  # asked by machines without a key, under any name
CLOSE = {"Connection": "close"}  # there may be more of the body
ARROW_PATHS = ("/recommend",)
UNKNOWN_ROUTE = "(none)"


class AccessLog:
    """Logs and counts every request by its route: a path may have the id of a user in it."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics, *, with_ids: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._with_ids = with_ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, facts = time.perf_counter(), {"status": 0, "bytes": 0}
        number = uuid.uuid4().hex[:16]

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                facts["status"] = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", number.encode())]
            elif message["type"] == "http.response.body":
                facts["bytes"] += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            self._record(scope, number, time.perf_counter() - start, facts)

    def _record(self, scope: Scope, number: str, seconds: float, facts: Mapping[str, int]) -> None:
        route = getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
        method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE") else "other"
        self._metrics.request_seconds.labels(route, method, str(facts["status"])).observe(seconds)
        entry: dict[str, Any] = {
            "event": "request",
            "request": number,
            "method": method,
            "route": route,
            **facts,
            "ms": round(1000 * seconds, 2),
        }
        if self._with_ids:
            entry["path"] = scope["path"]
        _log.info("%s %s %s", method, route, facts["status"] or "no answer", extra={FIELDS: entry})


class Guard:
    """Refuses requests under foreign names, without the key, or with a body that is too large or too slow."""

    def __init__(
        self, app: ASGIApp, limits: ServiceLimits, *, hosts: tuple[str, ...] | None, api_key: str | None
    ) -> None:
        """Guard an application.

        Args:
            app: the application.
            limits: of bodies.
            hosts: names under which it may be asked; None for any. A page of somebody else that is open in a browser
                on this machine reaches a loopback address by a name of its own (DNS rebinding).
            api_key: that requests must carry; None: none.
        """
        self._app = app
        self._limits = limits
        self._hosts = hosts
        self._key = None if api_key is None else api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            if scope["path"] not in PROBES:
                self._check_host(headers)
                if not is_of_page(scope["path"]):
                    self._check_key(headers)
            self._check_type(scope, headers)
            await self._check_length(headers, receive)
            await self._app(scope, self._limited(receive), watched)
        except ServiceError as error:
            if not begun:
                await problem(error.status_code, error.detail, headers=error.headers)(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        if self._hosts is None:
            return
        host = headers.get("host", "")
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if name.lower() not in self._hosts:
            raise ServiceError(
                HTTPStatus.MISDIRECTED_REQUEST, "the service is not asked under this name: add it to service.hosts"
            )

    def _check_key(self, headers: Headers) -> None:
        if self._key is None:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        key = given.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        # Headers are read as Latin-1, in which every byte is a character.
        if not hmac.compare_digest(key.encode("latin-1", "replace"), self._key):
            raise ServiceError(
                HTTPStatus.UNAUTHORIZED,
                "the key is missing or wrong: send it as `Authorization: Bearer KEY`, or as `X-API-Key`",
                {"WWW-Authenticate": "Bearer"},
            )

    def _check_type(self, scope: Scope, headers: Headers) -> None:
        if scope["method"] != "POST":
            return
        types = (JSON, ARROW) if scope["path"] in ARROW_PATHS else (JSON,)
        if media_type(headers.get("content-type", "")) not in types:
            raise ServiceError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send the body with `Content-Type: {'`, or `'.join(types)}`"
            )

    async def _check_length(self, headers: Headers, receive: Receive) -> None:
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > self._limits.body_bytes:
            if headers.get("expect", "").lower() != "100-continue":
                await self._pass_over(receive)
            raise self._too_large()

    def _too_large(self) -> ServiceError:
        return ServiceError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body has more than {self._limits.body_bytes:,} bytes (service.limits.body_bytes): send several",
            CLOSE,
        )

    def _limited(self, receive: Receive) -> Receive:
        """The same body, as long as it is neither too large nor too slow."""
        size, whole = 0, False
        end = asyncio.get_running_loop().time() + self._limits.body_seconds

        async def limited() -> Message:
            nonlocal size, whole
            if whole:  # from here on the application only waits for the client to leave
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError as error:
                raise ServiceError(
                    HTTPStatus.REQUEST_TIMEOUT,
                    f"the body did not come within {self._limits.body_seconds:g} s (service.limits.body_seconds)",
                    CLOSE,
                ) from error
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > self._limits.body_bytes:
                await self._pass_over(receive)
                raise self._too_large()
            return message

        return limited

    async def _pass_over(self, receive: Receive) -> None:
        """Read the rest of a body and forget it: a client that still sends when the connection ends sees no answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.body_seconds):
                while (await receive()).get("more_body", False):
                    pass


def allowed_hosts(host: str, hosts: tuple[str, ...]) -> tuple[str, ...] | None:
    """The names under which a service that listens on an address may be asked; None for any."""
    if hosts:
        return tuple(name.lower() for name in hosts)
    return LOOPBACK if host in LOOPBACK else None

"""HTTP/1.1 with clients that take their time: uvicorn waits for ever where this closes the connection."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from recall.config.service import ServiceLimits
from recall.ops.logs import FIELDS

_log = logging.getLogger(__name__)

LEAVE_SECONDS = 3.0  # that a connection without a request stays open when the process stops


class ImpatientProtocol(H11Protocol):
    """Closes a connection whose client does not send the head of a request, or does not read an answer, in time.

    When the process stops, a client may be sending its next request: a connection ends with the answer to it, which
    says so. uvicorn would close the connection under the request.
    """

    def __init__(self, *arguments: Any, limits: ServiceLimits, **more: Any) -> None:
        """Handle one connection.

        Args:
            *arguments: of uvicorn.
            limits: how long a client may take.
            **more: of uvicorn.
        """
        super().__init__(*arguments, **more)
        self._limits = limits
        self._head: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._leaves = False

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Wait until the head is whole, also of the request after one that was answered before its end."""
        self._wait_for_head()
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait_for_head()
        else:
            self._stop_head()
        if self._leaves:
            self._end_with_answer()

    def shutdown(self) -> None:
        """Close with the next answer, or soon where no request comes."""
        self._leaves = True
        self._end_with_answer()
        self.loop.call_later(LEAVE_SECONDS, self._leave)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; where it stands in a body, nobody waits for another answer to the request."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        super().send_400_response(msg)

    def pause_writing(self) -> None:
        """Begin to wait for a client that does not read."""
        super().pause_writing()
        self._unread = self.loop.call_later(self._limits.send_seconds, self._give_up)

    def resume_writing(self) -> None:
        """The client has read."""
        self._stop_unread()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_head()
        self._stop_unread()
        super().connection_lost(exc)

    def _give_up(self) -> None:
        seconds = self._limits.send_seconds
        _log.info("a client did not read its answer for %g s", seconds, extra={FIELDS: {"event": "unread"}})
        self.transport.abort()

    def _leave(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def _end_with_answer(self) -> None:
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return
        if cycle.keep_alive and not cycle.response_started:
            cycle.default_headers = [*cycle.default_headers, (b"connection", b"close")]
        cycle.keep_alive = False

    def _wait_for_head(self) -> None:
        if self._head is None and self.conn.their_state is h11.IDLE:
            self._head = self.loop.call_later(self._limits.head_seconds, self.transport.close)

    def _stop_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

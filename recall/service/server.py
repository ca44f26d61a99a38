"""Runs the service: its socket, its worker processes, its log, and how it stops."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.supervisors import Multiprocess

from kg.errors import ConfigError
from recall.config.service import ServiceSettings
from recall.ops.logs import FIELDS, LOG_CONFIG
from recall.service.app import make_app
from recall.service.guard import LOOPBACK
from recall.service.metrics import WORKERS_FOLDER

_log = logging.getLogger(__name__)

KEY_VARIABLE = "GRAPHRECALL_API_KEY"
SHORTEST_KEY = 16  # characters
HEAD_SECONDS = 10.0  # for the head of a request
WAITING_CONNECTIONS = 1024
WORKER_SILENCE = 120  # seconds after which a worker that says nothing is started anew; loading may hold it up


class ImpatientProtocol(H11Protocol):
    """Closes a connection whose client does not send the head of a request in time; uvicorn waits for ever."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait until the head is whole."""
        self._wait()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._waited()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._waited()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._timer is None and self.conn.their_state is h11.IDLE:
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _waited(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def serve(run: Path, settings: ServiceSettings, *, api_key: str | None = None) -> None:
    """Serve until SIGTERM or SIGINT; requests that are being answered are answered first.

    Args:
        run: the link to the run that serves, such as runs/current.
        settings: see the class.
        api_key: that requests must carry; None: none.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    listener = listen(settings.host, settings.port)
    config = uvicorn.Config(
        partial(make_app, run.absolute(), settings, api_key=api_key),
        factory=True,
        workers=settings.workers,
        lifespan="on",
        http=ImpatientProtocol,
        ws="none",
        log_config=LOG_CONFIG,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=settings.stop_seconds,
        timeout_worker_healthcheck=WORKER_SILENCE,
    )
    signal.signal(signal.SIGTERM, _end)
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    _log.info("listening on %s", address, extra={FIELDS: {"event": "listening", "address": address}})
    if api_key is None and settings.host not in LOOPBACK:
        _log.warning("%s is open to other machines and asks for no key: set %s", address, KEY_VARIABLE)
    with suppress(KeyboardInterrupt), listener:
        if settings.workers == 1:
            uvicorn.Server(config).run(sockets=[listener])
        else:
            with _shared_metrics():
                Multiprocess(config, sockets=[listener]).run()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address.

    Raises:
        ConfigError: it cannot be had; the message says why.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=WAITING_CONNECTIONS)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} of {host} is in use: stop what listens there, or choose another with --port"
            ) from error
        raise ConfigError(f"cannot listen on port {port} of {host}: {error.strerror or error}") from error


def read_api_key(settings: ServiceSettings, base: Path) -> str | None:
    """The key that requests must carry: of the environment, or of the file that the settings name.

    Args:
        settings: of the service.
        base: folder that the path is relative to.

    Raises:
        ConfigError: the file cannot be read, or the key is too short, or not plain ASCII.
    """
    key = os.environ.get(KEY_VARIABLE)
    where = KEY_VARIABLE
    if not key:
        if settings.api_key_file is None:
            return None
        file = base / settings.api_key_file.expanduser()
        where = str(file)
        try:
            key = file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the key of the service cannot be read from {file}: {error}") from error
    if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"the key in {where} must be at least {SHORTEST_KEY} printable ASCII characters without blanks"
        )
    return key


@contextmanager
def _shared_metrics() -> Iterator[None]:
    """A folder in which workers add up their metrics."""
    with TemporaryDirectory(prefix="graphrecall-metrics-") as folder:
        os.environ[WORKERS_FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[WORKERS_FOLDER]


def _end(*_: object) -> NoReturn:
    """After a stop that was asked for uvicorn raises the signal once more."""
    sys.exit(0)

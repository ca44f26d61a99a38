"""Runs the service: its socket, its worker processes, its log, and how it stops."""

from __future__ import annotations

import errno
import logging
import logging.config
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from kg.errors import ConfigError
from recall.config.service import ServiceSettings
from recall.ops.logs import FIELDS, LOG_CONFIG
from recall.serve.recommender import Recommender
from recall.serve.watch import RunFollower
from recall.service.app import make_app
from recall.service.guard import LOOPBACK
from recall.service.metrics import WORKERS_FOLDER
from recall.service.workers import Workers

_log = logging.getLogger(__name__)

KEY_VARIABLE = "GRAPHRECALL_API_KEY"
SHORTEST_KEY = 16  # characters
WAITING_CONNECTIONS = 1024
IN_MEMORY = Path("/dev/shm")  # noqa: S108 (Linux; for a folder of our own)


def serve(run: Path, settings: ServiceSettings, *, api_key: str | None = None) -> None:
    """Serve until SIGTERM or SIGINT; requests that are being answered are answered first.

    Args:
        run: the link to the run that serves, such as runs/current.
        settings: see the class.
        api_key: that requests must carry; None: none.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    logging.config.dictConfig(LOG_CONFIG)
    with listen(settings.host, settings.port) as listener, _shared_metrics(), suppress(KeyboardInterrupt):
        host, port = listener.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        _log.info("listening on %s", address, extra={FIELDS: {"event": "listening", "address": address}})
        if api_key is None and settings.host not in LOOPBACK:
            _log.warning("%s is open to other machines and asks for no key: set %s", address, KEY_VARIABLE)
        Workers(
            lambda: RunFollower(run.absolute(), every=settings.reload_every, prepare=partial(_warm_up, settings)),
            lambda recommender, problem: make_app(recommender, settings, api_key=api_key, problem=problem),
            listener,
            settings,
        ).run()


def _warm_up(settings: ServiceSettings, recommender: Recommender) -> None:
    """Do now what the first requests would wait for."""
    if settings.warm_text:
        recommender.warm_up()
    else:
        recommender.warm_up(text="")
    recommender.lookup.search("user", "", limit=1)
    recommender.lookup.search("item", "", limit=1)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address.

    Raises:
        ConfigError: it cannot be had; the message says why.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=WAITING_CONNECTIONS)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} of {host} is in use: stop what listens there, or choose another with --port"
            ) from error
        raise ConfigError(f"cannot listen on port {port} of {host}: {error.strerror or error}") from error
    # Connections inherit it. Without it the second packet of an answer waits up to 40 ms for the first's receipt:
    # asyncio sets it only for sockets that name their protocol, which this one does not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


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
    """A folder in which workers add up their metrics.

    They map its files: on a full disk that would kill them, so it is in memory where the system has such a folder.
    """
    memory = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    with TemporaryDirectory(prefix="graphrecall-metrics-", dir=memory) as folder:
        os.environ[WORKERS_FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[WORKERS_FOLDER]

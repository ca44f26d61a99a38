"""Messages over a socket between two processes: eight bytes of length, then the message."""

from __future__ import annotations

import socket
import struct
import time

_LENGTH = struct.Struct(">Q")
_PIECE = 1 << 20


class MessageTooLargeError(Exception):
    """A message is longer than it may be; nothing more can be read from the socket."""


def send(connection: socket.socket, message: bytes, *, deadline: float | None = None) -> None:
    """Send one message.

    Args:
        connection: of the two.
        message: any bytes.
        deadline: of `time.monotonic`; None waits for ever.

    Raises:
        TimeoutError: the deadline is over.
        OSError: the other side is gone.
    """
    connection.settimeout(_left(deadline))
    connection.sendall(_LENGTH.pack(len(message)) + message if len(message) < _PIECE else _LENGTH.pack(len(message)))
    if len(message) >= _PIECE:
        connection.settimeout(_left(deadline))
        connection.sendall(message)


def receive(connection: socket.socket, *, deadline: float | None = None, largest: int) -> bytes:
    """Receive one message.

    Args:
        connection: of the two.
        deadline: of `time.monotonic`; None waits for ever.
        largest: bytes that it may have.

    Raises:
        TimeoutError: the deadline is over.
        EOFError: the other side is gone.
        MessageTooLargeError: it is longer.
    """
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size, deadline))
    if length > largest:
        raise MessageTooLargeError(f"a message of {length} bytes, where {largest} are the most")
    return bytes(_exactly(connection, length, deadline))


def _exactly(connection: socket.socket, count: int, deadline: float | None) -> bytearray:
    data = bytearray(count)
    view, done = memoryview(data), 0
    while done < count:
        connection.settimeout(_left(deadline))
        try:
            got = connection.recv_into(view[done : done + _PIECE])
        except ConnectionError as error:
            raise EOFError from error
        if not got:
            raise EOFError
        done += got
    return data


def _left(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left

"""The parent of a process of our own, as that process sees it."""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading

from kg.processes.frames import receive, send

_LARGEST = 1 << 40


class Parent:
    """The other end of `kg.processes.child.Child`. When the parent is gone, this process ends at once.

    Attributes:
        arguments: those that the parent gave.
    """

    def __init__(self, connection: socket.socket, arguments: list[str]) -> None:
        self.arguments = arguments
        self._socket = connection
        self._messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    @classmethod
    def connected(cls) -> Parent:
        """The parent that started this process."""
        return cls(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])

    def receive(self) -> bytes:
        """Wait for the next message."""
        return self._messages.get()

    def send(self, message: bytes) -> None:
        """Send a message."""
        try:
            send(self._socket, message)
        except OSError:
            os._exit(0)

    def _read(self) -> None:
        # Apart from the work, so that the end of the parent is noticed in the middle of it.
        while True:
            try:
                message = receive(self._socket, largest=_LARGEST)
            except (EOFError, OSError):
                os._exit(0)
            self._messages.put(message)

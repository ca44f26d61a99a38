"""Carries messages between a view and whatever shows it, as the kernel of a notebook does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import comm
from comm.base_comm import BaseComm

from recall.view.widget import View


class Wire(BaseComm):
    """One end of the wire: what the view sends is kept until somebody takes it.

    Attributes:
        sent: messages of the view, oldest first.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        super().__init__(*arguments, **named)

    def publish_msg(self, msg_type: str, data: Any = None, **_: Any) -> None:
        if msg_type == "comm_msg" and data.get("method") in ("custom", "update"):
            self.sent.append(data)

    def taken(self) -> list[dict[str, Any]]:
        """All that was sent since the last call."""
        sent, self.sent = self.sent, []
        return sent

    def receive(self, data: dict[str, Any]) -> None:
        """What the other end sends: `{"method": "custom", "content": ...}`, or "update" with a `state`."""
        self.handle_msg({"content": {"data": data}, "buffers": []})


@contextmanager
def wired() -> Iterator[None]:
    """Views that are made inside have a `Wire` as their `comm`."""
    usual = comm.create_comm
    comm.create_comm = Wire
    try:
        yield
    finally:
        comm.create_comm = usual


def asked(view: View, path: str, **body: Any) -> dict[str, Any]:
    """The reply of a view to one question."""
    wire = view.comm
    assert isinstance(wire, Wire)
    wire.taken()
    wire.receive({"method": "custom", "content": {"number": 7, "path": path, "body": body}})
    (reply,) = [message["content"] for message in wire.taken() if message["method"] == "custom"]
    assert reply.pop("number") == 7
    return dict(reply)

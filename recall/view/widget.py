"""The view in a notebook: history, candidates and the reasons of the one that is clicked (extra `notebook`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import anywidget
import traitlets

from kg.errors import GraphRecallError
from recall.view.files import notebook_module

Answer = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""Answers a question of the view: its path and its fields, as those of the HTTP service (recall.service)."""


class View(anywidget.AnyWidget):
    """What a notebook shows of one person's candidates. It works without the internet.

    Attributes:
        asker: whose candidates, `{"user_id": "202"}`, or what somebody new is like.
        chosen: id of the item whose reasons are shown, "" for none; it can be read and set.
    """

    _esm: ClassVar[str] = notebook_module()
    asker = traitlets.Dict(read_only=True).tag(sync=True)
    chosen = traitlets.Unicode("").tag(sync=True)

    def __init__(self, asker: Mapping[str, Any], answer: Answer, *, chosen: str = "") -> None:
        """A view that asks a function.

        Args:
            asker: see the class.
            answer: gives the answers; an error of graphrecall is shown in the view.
            chosen: item to begin with.
        """
        super().__init__(chosen=chosen)
        self.set_trait("asker", dict(asker))
        self._answer = answer
        self.on_msg(self._reply)

    def _reply(self, _: Any, message: Mapping[str, Any], __: Any) -> None:
        """Answer one message of the browser: its number, a path, and the fields of a question."""
        number = message.get("number")
        content: dict[str, Any]
        try:
            content = {"answer": self._answer(str(message["path"]), dict(message.get("body") or {}))}
        except GraphRecallError as error:
            content = {"problem": str(error)}
        self.send({"number": number, **content})

    def __repr__(self) -> str:
        return f"View({self.asker})"

"""What a notebook shows of a recommender: the questions of the view in a notebook, answered (extra `notebook`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from kg.errors import ConfigError, InvalidDataError
from recall.contracts import with_channels
from recall.explain.drawing.reason_graph import drawn_json
from recall.serve.reasons import Reasons

if TYPE_CHECKING:
    from recall.view.widget import View


def show(recommender: Reasons, user_id: str | None, person: Mapping[str, Any], chosen: str) -> View:
    """See `Recommender.show`.

    Args:
        recommender: answers.
        user_id: of a user of the graph; None for somebody new.
        person: what somebody new is like, arguments of `recommend_for`.
        chosen: item to begin with, or "".
    """
    if (user_id is None) == (not person):
        raise ConfigError('give a user id, show("202"), or what somebody new is like, show(liked=["260"])')
    try:
        from recall.view.widget import View
    except ImportError as error:
        raise ConfigError(
            f"the view of a notebook needs the package anywidget ({error}): install graphrecall with the extra notebook"
        ) from error
    questions = Questions(recommender, user_id, person)
    # Unknown ids are an error here, not in the browser.
    questions.answer("recommend", {"k": 1})
    if chosen:
        recommender.title(chosen)
    asker = {} if user_id is None else {"user_id": user_id}
    return View(asker, questions.answer, chosen=chosen)


class Questions:
    """Answers what the view asks about one person; paths and answers are those of the HTTP service."""

    def __init__(self, recommender: Reasons, user_id: str | None, person: Mapping[str, Any]) -> None:
        self._recommender = recommender
        self._user_id = user_id
        self._person = person
        self._by_path: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "recommend": self._recommend,
            "explain": self._explain,
            "facts": self._facts,
        }

    def answer(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one question.

        Args:
            path: "recommend", "explain", "facts", "users/ID/history", "items/ID" or "nodes/TYPE/ID".
            body: fields of the question; whose candidates are asked for was said before.

        Raises:
            InvalidDataError: there is no such question.
            UnknownIdError, ConfigError: see the methods of `Recommender`.
        """
        if path in self._by_path:
            return self._by_path[path](body)
        match [unquote(part) for part in path.split("/")]:
            case ["users", user_id, "history"]:
                rows = self._recommender.lookup.user_history(user_id)
                return {"count": len(rows), "history": rows[: int(body["limit"])]}
            case ["items", node_id]:
                return self._node(self._recommender.graph.schema.item_type, node_id, body)
            case ["nodes", node_type, node_id]:
                return self._node(node_type, node_id, body)
        raise InvalidDataError(f"a view asks for {path!r}, which nothing answers: run its cell again")

    def _recommend(self, body: Mapping[str, Any]) -> dict[str, Any]:
        asked = self._turned(body)
        limits: dict[str, Any] = {"k": body["k"], "filter": body.get("filter"), "titles": True, "channel_scores": True}
        if self._user_id is None:
            answer = asked.recommend_for(**self._person, **limits)
        else:
            answer = asked.recommend([self._user_id], **limits)
        return {"answers": [{"candidates": [with_channels(row, asked.pipeline.asked) for row in answer]}]}

    def _explain(self, body: Mapping[str, Any]) -> dict[str, Any]:
        asked, items = self._turned(body), body["item_ids"]
        if self._user_id is None:
            explained = asked.explain_for(items, **self._person, k=body["k"])
        else:
            explained = asked.explain([(self._user_id, item) for item in items], k=body["k"])
        return {"explanations": [drawn_json(explanation) for explanation in explained]}

    def _facts(self, _: Mapping[str, Any]) -> dict[str, Any]:
        pipeline = self._recommender.pipeline
        return {"weights": dict(pipeline.fusion.weights) if pipeline.fused else {}, "rules": self._recommender.rules}

    def _node(self, node_type: str, node_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._recommender.lookup.node(node_type, node_id, neighbours=int(body["neighbours"])).to_json()

    def _turned(self, body: Mapping[str, Any]) -> Reasons:
        """The recommender under the weights and rules that a question carries."""
        weights = body.get("weights")
        asked = self._recommender if weights is None else self._recommender.with_weights(weights)
        return asked.with_rules(diversity=body.get("diversity"), long_tail=body.get("long_tail"))

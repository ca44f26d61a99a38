"""The tools for assistants, asked by the official client over standard input and output."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters, stdio_client

from recall.jobs.refresh import RefreshResult
from recall.serve.recommender import Recommender

pytestmark = pytest.mark.slow  # processes that start and stop


@pytest.fixture
def ask(refreshed: RefreshResult) -> Callable[..., Any]:
    """Runs a conversation with a server of its own."""

    def run(conversation: Callable[[Client], Coroutine[Any, Any, Any]]) -> Any:
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "recall", "mcp", str(refreshed.run.path.parent)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

        async def talk() -> Any:
            async with Client(stdio_client(server)) as client:
                return await conversation(client)

        return anyio.run(talk)

    return run


def test_a_conversation(ask: Callable[..., Any], recommender: Recommender) -> None:
    async def conversation(client: Client) -> None:
        tools = (await client.list_tools()).tools
        assert {tool.name for tool in tools} == {"search", "recommend", "similar", "explain", "item", "history"}
        assert all(tool.annotations.read_only_hint and tool.description for tool in tools)

        async def call(name: str, **arguments: Any) -> Any:
            answer = await client.call_tool(name, arguments)
            assert not answer.is_error, answer.content
            return answer.structured_content

        hits = await call("search", kind="item", text="THE RIVER")
        assert {hit["id"] for hit in hits["hits"]} == {"m1", "m9", "m17"}
        reply = await call("recommend", queries=[{"user_id": "u1"}, {"liked": ["m3"]}], k=3)
        assert reply["run"] == recommender.run.name
        expected = recommender.recommend(["u1"], k=3).table["item_id"].to_pylist()
        assert [row["item_id"] for row in reply["answers"][0]["candidates"]] == expected
        reasons = await call("explain", item_ids=expected[:1], user_id="u1")
        assert reasons["reasons"][0]["text"] == recommender.explain([("u1", expected[0])])[0].text
        similar = await call("similar", item_ids=["m1"], k=2)
        assert len(similar["answers"][0]["similar"]) == 2
        assert (await call("item", item_id="m1"))["title"] == "The river of the [garden] 1"
        assert len((await call("history", user_id="u1", limit=2))["history"]) == 2

        for name, arguments, words in (
            ("recommend", {"queries": [{"user_id": "nobody"}]}, "unknown user id: 'nobody'"),
            ("recommend", {"queries": [{"user_id": "u1"}], "filter": "nothing = 1"}, "no attribute or relation"),
            ("recommend", {"queries": [{}]}, "queries"),
            ("recommend", {"queries": [{"user_id": "u1"}], "k": 1000}, "k"),
            ("item", {"item_id": "m" * 2000}, "service.limits.id_length"),
            ("explain", {"item_ids": ["m1"] * 21, "user_id": "u1"}, "service.limits.explanations"),
            ("explain", {"item_ids": ["m1"]}, "give `user_id`"),
        ):
            answer = await client.call_tool(name, arguments)
            assert answer.is_error
            assert words in answer.content[0].text, answer.content
        assert len((await call("history", user_id="u1", limit=2))["history"]) == 2

    ask(conversation)

"""The page on the HTTP service: its request and its Python are answered by a real service."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks, text
from tests.recall.service.making import Served

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("docs")]
PAGE = ROOT / "docs" / "service.md"


def test_it_answers(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (body,) = re.findall(r"-d '(.*)'", text(PAGE))
    (code,) = blocks(PAGE, "python")
    with Served(project / "runs", tmp_path / "log") as service:
        reply = service.client.post("/recommend", json=json.loads(body)).json()
        assert len(reply["answers"][0]["candidates"]) == 5
        exec(code.replace("http://127.0.0.1:8000", service.address), {})  # noqa: S102
        named = set(service.client.get("/openapi.json").json()["paths"]) | {"/cypher"}
    assert reply["run"] in capsys.readouterr().out
    shown = {re.sub(r"{\w+}", "{}", path) for path in re.findall(r"[` ](/[a-z{}/]+)", text(PAGE))}
    assert {re.sub(r"{\w+}", "{}", path) for path in named} - shown == set()

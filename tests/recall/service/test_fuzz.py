"""Requests made at random from the OpenAPI description: none fails inside, and every answer is as described."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from recall.config.service import ServiceSettings
from recall.jobs.refresh import RefreshResult
from recall.runs.registry import RunsFolder
from recall.service.app import api
from recall.service.metrics import ServiceMetrics
from recall.service.runner import Runner
from tests.recall.service.making import Served
from tests.recall.service.test_reload import publish
from tests.recall.service.test_server import FAST

DESCRIPTION = api(Runner(None, ServiceSettings(cypher=True)), ServiceMetrics(None), with_key=False).openapi()
OPERATIONS = [(path, method) for path, methods in DESCRIPTION["paths"].items() for method in methods]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 30
PATIENCE = 60  # seconds that a busy machine has for an answer
REAL = ["u1", "u2", "m1", "m2", "m3", "director", "lightgcn", 'name = "x"', "current"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fuzzed(
    refreshed: RefreshResult, configured: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    runs = RunsFolder(tmp_path_factory.mktemp("fuzzed") / "runs")
    publish(runs, refreshed.run, 0)
    options = ["--config", str(configured(f"{FAST}[service.limits]\nseconds = {PATIENCE}\n")), "--cypher"]
    with Served(runs.path, tmp_path_factory.mktemp("log") / "log", options) as service:
        yield service


def with_real_ids(value: Any, draw: Callable[[Any], Any]) -> Any:
    """The same data with some texts replaced by ids that the graph has: others only lead to "unknown id"."""
    if isinstance(value, str):
        return draw(st.sampled_from([value, *REAL]))
    if isinstance(value, list):
        return [with_real_ids(entry, draw) for entry in value]
    if isinstance(value, dict):
        return {name: with_real_ids(entry, draw) for name, entry in value.items()}
    return value


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "wrong"])
@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=[f"{method} {path}" for path, method in OPERATIONS])
def test_no_request_fails_inside(fuzzed: Served, path: str, method: str, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_dict(DESCRIPTION)
    operation = schema[path][method.upper()]
    described = DESCRIPTION["paths"][path][method]
    of_query = [parameter for parameter in described.get("parameters", ()) if parameter["in"] == "query"]
    if mode is GenerationMode.NEGATIVE and not of_query and "requestBody" not in described:
        pytest.skip("no text in a path is wrong by the description")

    @given(st.data())
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def run(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        if mode is GenerationMode.POSITIVE and isinstance(case.body, dict):
            case.body = with_real_ids(case.body, data.draw)
        response = case.call(base_url=fuzzed.address, timeout=PATIENCE)
        case.validate_response(response, checks=CHECKS)

    run()
    assert [entry for entry in fuzzed.log() if entry["level"] == "error"] == []

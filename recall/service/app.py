"""The application: routes, errors and guards around one runner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Security
from fastapi.middleware.cors import CORSMiddleware
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp

from kg import __version__
from recall.config.service import ServiceSettings
from recall.serve.recommender import Recommender
from recall.service.guard import AccessLog, Guard, allowed_hosts
from recall.service.metrics import ServiceMetrics
from recall.service.page.files import add_page
from recall.service.problems import MEDIA_TYPE, add_handlers
from recall.service.routes import add_routes
from recall.service.runner import Runner


def make_app(
    recommender: Recommender | None, settings: ServiceSettings, *, api_key: str | None = None, problem: str = ""
) -> ASGIApp:
    """The service as an ASGI application that answers from one run.

    Args:
        recommender: loaded and warm; None while there is none: then only /healthz is well.
        settings: see the class; host, port and workers are those of whoever runs it.
        api_key: that requests must carry; None: none.
        problem: why there is no recommender.
    """
    runner = Runner(recommender, settings, problem=problem)
    metrics = ServiceMetrics(recommender)
    app = api(runner, metrics, with_key=api_key is not None)
    guarded = Guard(app, settings.limits, hosts=allowed_hosts(settings.host, settings.hosts), api_key=api_key)
    return AccessLog(guarded, metrics, with_ids=settings.log_ids)


def api(runner: Runner, metrics: ServiceMetrics, *, with_key: bool) -> FastAPI:
    """Routes and errors, without guards.

    Args:
        runner: answers; closed with the application.
        metrics: of the service.
        with_key: whether the description says that a key is needed.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        runner.close()

    app = FastAPI(
        title="graphrecall",
        version=__version__,
        summary="Candidates for recommendations from a knowledge graph, with the graph paths behind them.",
        lifespan=life,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Security(HTTPBearer(auto_error=False))] if with_key else [],
    )
    add_handlers(app)
    add_routes(app, runner, metrics)
    add_page(app)
    if runner.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=runner.settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type"],
        )
    described = app.openapi

    def with_problems() -> dict[str, Any]:
        if app.openapi_schema is None:
            _problem_types(described())
        return described()

    app.openapi = with_problems  # type: ignore[method-assign]
    return app


def _problem_types(schema: dict[str, Any]) -> None:
    """Give the errors of an OpenAPI description the type that they are sent as."""
    for operations in schema["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status >= "400" and "application/json" in response.get("content", {}):
                    response["content"] = {MEDIA_TYPE: response["content"]["application/json"]}

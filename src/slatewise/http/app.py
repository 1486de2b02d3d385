"""Puts the HTTP door together. Reads no settings file and opens no home: it is given one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from starlette.middleware import Middleware

from slatewise.http import (
    errors,
    routes_bundles,
    routes_docs,
    routes_events,
    routes_items,
    routes_operation,
    routes_recommendations,
    routes_users,
)
from slatewise.http.door import Door
from slatewise.http.exposure import guard
from slatewise.http.fields import given_once
from slatewise.http.gate import Gate, Judge
from slatewise.http.home_api import HomeApi
from slatewise.http.hot import HotPath
from slatewise.http.logs import Logs, RequestLog
from slatewise.http.middleware import BoundedBody, ExactPaths, Measured
from slatewise.http.overload import Admission, Overload, processors
from slatewise.http.patience import Patience
from slatewise.http.repeating import Repeating
from slatewise.http.responses import Problem
from slatewise.http.scopes import RouteTable
from slatewise.http.security import declare
from slatewise.http.strict_json import StrictJson
from slatewise.ports.clock import Clock
from slatewise.telemetry.metrics import Metrics
from slatewise.version import __version__

ROOMS = (routes_recommendations, routes_events, routes_items, routes_users, routes_bundles, routes_operation)


class Api(FastAPI):
    """FastAPI whose document also holds the problem document that routes refer to."""

    def openapi(self) -> dict[str, Any]:
        is_new = self.openapi_schema is None
        document = super().openapi()
        if is_new:
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(problem.pop("$defs", {}), Problem=problem)
            declare(document)
        return document


def create_app(home: HomeApi, metrics: Metrics, clock: Clock) -> FastAPI:
    """Return the application that serves *home*, which it closes when the server stops.

    The application keeps no state of its own but its queues, so several may serve one home; ``state.overload`` and
    ``state.repeating`` are for a server that can refuse, and answer once more, sooner than an application; with
    ``state.patience`` it ends connections that take too long.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        logs = Logs(home.settings.http)
        logs.begin()
        yield
        await door.operate(home.close)
        overload.stop()
        logs.end()

    overload = Overload(home.settings, processors(home.settings.http.workers), metrics, clock)
    door = Door(home, metrics, clock, overload)
    app = Api(
        title="Slatewise",
        version=__version__,
        summary="Real-time recommendations: events in, the right ten items out, now.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(given_once)],
        # Metrics are ours (/metrics); the library's own instrumentation would time every request twice.
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
        middleware=[
            # From the outside in; `Gate`, `Admission` and `Measured` are put around these below.
            Middleware(ExactPaths),
            Middleware(BoundedBody, limit=home.settings.http.max_body_bytes),
            Middleware(StrictJson),
            Middleware(HotPath, door=door),
        ],
    )
    app.state.overload = overload
    http = home.settings.http
    app.state.patience = Patience(http.head_s, http.connections, metrics.queues.ended)
    errors.install(app)
    for room in ROOMS:
        app.include_router(room.routes(door))
    app.include_router(routes_docs.routes())
    # Outside the others, once every route is there to be judged; whatever it refuses is measured all the same.
    table, log = RouteTable(app.routes), RequestLog(home.settings.http)
    judge = Judge(table, home.keys, home.settings.http, clock)
    app.add_middleware(Gate, judge=judge)
    app.add_middleware(Admission, overload=overload)
    app.add_middleware(Measured, metrics=metrics, clock=clock, log=log)
    app.state.repeating = Repeating(home, judge, table, metrics, clock, is_open=not log.is_asked)
    guard(app, home.keys, home.settings.http)
    return app

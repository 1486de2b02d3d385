"""The only table of status codes, and how every error becomes an RFC 9457 problem document."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from slatewise.domain import errors
from slatewise.http.encoding import json_bytes

_log = logging.getLogger(__name__)

UNMATCHED = "unmatched"
"""Route label of requests that met no route: their paths may be anything, and labels must be few."""

PROBLEM_TYPE = "application/problem+json"

RETRY_AFTER_S = 1

ERRORS_SHOWN = 20
"""Refused fields listed at most: ten thousand events can be wrong ten thousand times."""

PATH_SHOWN = 200
"""Characters of a refused field's path: it may hold a key as long as the body."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How one error is answered. ``detail`` replaces messages that could tell of files or internals."""

    status: int
    slug: str
    title: str
    detail: str | None = None


INTERNAL = Kind(500, "internal", "Internal error", "Something went wrong here; the log of the server says what.")

TABLE: Mapping[type[errors.SlatewiseError], Kind] = {
    errors.SlatewiseError: INTERNAL,
    errors.ConfigError: Kind(500, "config", "The server's settings are wrong", "The log of the server says which."),
    errors.InputError: Kind(422, "input", "The request was refused"),
    errors.Conflict: Kind(409, "conflict", "An event_id came again with another event; nothing was stored"),
    errors.NotFound: Kind(404, "not-found", "Not found"),
    errors.Expired: Kind(410, "expired", "Gone for good"),
    errors.NotReady: Kind(503, "not-ready", "Not ready yet"),
    errors.Overloaded: Kind(503, "overloaded", "Too many requests at once"),
    errors.StageFailed: Kind(500, "stage-failed", "A component failed", INTERNAL.detail),
    errors.BundleError: Kind(409, "bundle", "The bundle cannot be used; the live one stays"),
    errors.StorageError: Kind(
        503,
        "storage",
        "The write could not be made durable",
        "Whether it was stored is not known; send it again with the same event_id, which counts once.",
    ),
    errors.StorageFull: Kind(
        507,
        "storage-full",
        "The disk is full",
        "Nothing was stored; reads and removals go on, writes once there is room.",
    ),
    errors.ReadOnly: Kind(
        503,
        "storage-read-only",
        "Writes are refused: the disk failed, or the database is read-only",
        "Nothing was stored; reads go on. After a failed disk the server has to be started anew; its log says more.",
    ),
    errors.StorageLost: Kind(
        503,
        "storage-lost",
        "The database of the event log does not answer",
        "This server goes on by itself once it is back. Whether a write was stored is not known; send it again with "
        "the same event_id, which counts once.",
    ),
    errors.SharedTierLost: Kind(500, "shared-tier", "A component failed", INTERNAL.detail),
    errors.TrainingError: Kind(409, "training", "There is nothing to learn from as asked"),
}


_OF_FILES = (errors.BundleError, errors.NotReady, errors.TrainingError)
"""Errors whose messages may name files of this machine; callers are told their last part."""

_FOLDERS = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\":]+[/\\])*")

_NOTHING_HERE = "There is nothing at this path; /docs lists what there is."


def problem(
    scope: Scope,
    kind: Kind,
    detail: str,
    fields: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem document about the request in *scope*."""
    document: dict[str, Any] = {
        "type": "about:blank" if not kind.slug else f"urn:slatewise:problem:{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.detail or detail,
        "instance": _instance(scope),
    }
    if fields:
        document["errors"] = list(fields)
    retry = {"retry-after": str(RETRY_AFTER_S)} if kind.status == 503 else {}
    return Response(json_bytes(document), kind.status, {**retry, **(headers or {})}, PROBLEM_TYPE)


def overloaded_document() -> dict[str, object]:
    """Return the problem document of any request that is refused unread."""
    kind = TABLE[errors.Overloaded]
    return {
        "type": f"urn:slatewise:problem:{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": "more is asked for than can be answered in time",
    }


def too_large(scope: Scope, limit: int) -> Response:
    """Return the problem of a body above *limit* bytes."""
    kind = Kind(413, "too-large", "The request body is too large")
    return problem(scope, kind, f"At most {limit} bytes are accepted (http.max_body_bytes); send smaller batches.")


def too_slow(scope: Scope, limit_s: float) -> Response:
    """Return the problem of a body that was not there in time; what comes of it later is not waited for."""
    detail = f"The whole body has to arrive within {limit_s:g} seconds."
    return problem(scope, _standard(408), detail, headers={"connection": "close"})


def malformed(scope: Scope, why: str) -> Response:
    """Return the problem of a body that is no JSON, or none that we read."""
    return problem(scope, Kind(400, "malformed", "The body is not JSON"), why)


def nothing_here(scope: Scope) -> Response:
    """Return the problem of a path without a route."""
    return problem(scope, _standard(404), _NOTHING_HERE)


def not_offered(scope: Scope, allowed: Sequence[str]) -> Response:
    """Return the problem of a method that its path does not offer."""
    headers = {"allow": ", ".join(allowed)}
    return problem(scope, _standard(405), f"{scope['method']} is not offered here.", headers=headers)


def install(app: FastAPI) -> None:
    """Answer every error of *app* with a problem document."""
    app.add_exception_handler(errors.SlatewiseError, _on_slatewise)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_unexpected)


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of problem documents with these statuses."""
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


async def _on_slatewise(request: Request, error: Exception) -> Response:
    return answered(request.scope, error)


def answered(scope: Scope, error: Exception) -> Response:
    """Return the problem document of one of our own errors."""
    kind = next(TABLE[base] for base in type(error).__mro__ if base in TABLE)
    fields = []
    if isinstance(error, errors.InputError):
        fields = [{"field": error.field, "message": f"expected {error.expected}"}]
    if kind.status >= 500 and kind.detail:
        # The route and not the path: paths hold ids.
        _log.error("%s %s failed", scope["method"], route_of(scope), exc_info=error)
    detail = _FOLDERS.sub("", str(error)) if isinstance(error, _OF_FILES) else str(error)
    return problem(scope, kind, detail, fields)


async def _on_validation(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    if any(e["type"] == "json_invalid" for e in found):
        where, why = found[0]["loc"][-1], found[0]["ctx"]["error"]
        return malformed(request.scope, f"{why} (at character {where})")
    if not _is_json(request) and any(e["loc"] == ("body",) and e["type"] != "missing" for e in found):
        kind = Kind(415, "content-type", "The body is not declared as JSON")
        return problem(request.scope, kind, "Send it with the header 'content-type: application/json'.")
    fields = [{"field": _path(e["loc"]), "message": e["msg"]} for e in found[:ERRORS_SHOWN]]
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    detail = f"{fields[0]['field']}: {fields[0]['message']}{more}" if fields else "The request was refused."
    return problem(request.scope, TABLE[errors.InputError], detail, fields)


async def _on_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    details = {400: "The body could not be read as JSON in UTF-8.", 404: _NOTHING_HERE}
    kind = _standard(status)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    return problem(request.scope, kind, details.get(status, kind.title), headers=headers)


async def _on_unexpected(request: Request, error: Exception) -> Response:
    # The server logs the error with its stack once this answer is sent, and hangs up: the caller should know.
    return problem(request.scope, INTERNAL, "", headers={"connection": "close"})


def _standard(status: int) -> Kind:
    return Kind(status, "", HTTPStatus(status).phrase)


def _is_json(request: Request) -> bool:
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return declared == "application/json" or declared.endswith("+json")


def _path(location: Sequence[int | str]) -> str:
    """Return where a value stands: without the part of the request it stands in, and without the tags of unions."""
    parts = [part for part in location if not str(part).startswith("<")]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts[1:] or parts)
    return path.removeprefix(".")[:PATH_SHOWN]


def route_of(scope: Scope) -> str:
    """Return the template of the route that a request met."""
    return str(getattr(scope.get("route"), "path_format", UNMATCHED))


def _instance(scope: Scope) -> str:
    raw: bytes | None = scope.get("raw_path")
    return (raw.decode("ascii", "replace") if raw else quote(scope["path"]))[:1024]

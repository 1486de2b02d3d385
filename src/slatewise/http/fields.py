"""The kinds of values requests are made of, each with one clear message when it is not what it should be."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi.routing import APIRoute
from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from slatewise.domain.errors import InputError
from slatewise.domain.events import AttributeValue
from slatewise.ingest.validation import IN_CONTEXT, MAX_ID, MAX_KEY, MAX_NUMBERS, MAX_TEXT, MAX_VALUES

MANY = 100_000
"""No list is longer, whatever the settings allow."""

OPERATORS = frozenset({"eq", "ne", "lt", "lte", "gt", "gte", "in", "not_in"})

_EPOCH_LIMIT = 1e11


def wrong(expected: str) -> PydanticCustomError:
    """Return the error that says what would have been right; it never repeats what was sent."""
    return PydanticCustomError("slatewise", "expected {expected}", {"expected": expected})


def decoded(raw: str) -> str:
    """Return the id that stands percent-encoded in a path. Raises ValueError for what can be none."""
    try:
        text = unquote(raw, errors="strict")
    except UnicodeDecodeError:
        raise wrong("percent-encoded UTF-8") from None
    if not 1 <= len(text) <= MAX_ID:
        raise wrong(f"1 to {MAX_ID} characters")
    return text


async def given_once(request: Request) -> None:
    """Raise InputError for a parameter of the route that the query string gives more than once: which one is meant?

    The library would take the last one.
    """
    route = request.scope.get("route")
    for parameter in route.dependant.query_params if isinstance(route, APIRoute) else ():
        given = request.query_params.getlist(parameter.alias)
        if len(given) > 1:
            raise InputError(parameter.alias, f"{len(given)} values", "one value")


def _seconds(value: object) -> float:
    right = "seconds since the epoch, or an ISO 8601 date and time"
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise wrong(right) from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    number = _number(value)
    if number is None:
        raise wrong(right)
    if abs(number) >= _EPOCH_LIMIT:
        raise wrong("seconds since the epoch; this looks like milliseconds")
    return number


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _text(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def _scalar(value: object) -> str | float | bool | None:
    if isinstance(value, bool):
        return value
    text = _text(value)
    return text if text is not None else _number(value)


def _listed(value: object, of: Callable[[object], Any], limit: int = MAX_VALUES) -> tuple[Any, ...] | None:
    if not isinstance(value, list) or len(value) > limit:
        return None
    entries = tuple(of(entry) for entry in value)
    return None if None in entries else entries


def _attribute(value: object) -> AttributeValue | None:
    if value is None:
        return None
    found: AttributeValue | None
    if isinstance(value, list):
        texts = _listed(value, _text)
        found = texts if texts is not None else _listed(value, _number, MAX_NUMBERS)
    else:
        found = _scalar(value)
    if found is None:
        raise wrong(
            f"text, a finite number, true, false, a list of texts, or a list of at most {MAX_NUMBERS} finite numbers"
        )
    return found


def _in_context(value: object) -> AttributeValue | None:
    if value is None:
        return None
    found: AttributeValue | None = _listed(value, _text) if isinstance(value, list) else _scalar(value)
    if found is None:
        raise wrong(IN_CONTEXT)
    return found


def _condition(value: object) -> Any:
    if isinstance(value, dict):
        return {operator: _operand(operator, operand) for operator, operand in value.items()}
    found = _listed(value, _scalar) if isinstance(value, list) else _scalar(value)
    if found is None:
        raise wrong("a value, a list of values, or operators such as {'gte': 3}")
    return found


def _operand(operator: str, operand: object) -> Any:
    if operator not in OPERATORS:
        raise wrong("operators among " + ", ".join(sorted(OPERATORS)))
    found = _listed(operand, _scalar) if operator in ("in", "not_in") else _scalar(operand)
    if found is None:
        raise wrong(f"for '{operator}' " + ("a list of values" if operator in ("in", "not_in") else "one value"))
    return found


_SCALAR_SCHEMA = [{"type": "string", "maxLength": MAX_TEXT}, {"type": "number"}, {"type": "boolean"}]
_PLAIN_SCHEMA = [*_SCALAR_SCHEMA, {"type": "array", "items": {"type": "string"}, "maxItems": MAX_VALUES}]

Id = Annotated[str, Field(min_length=1, max_length=MAX_ID)]

Key = Annotated[str, Field(min_length=1, max_length=MAX_KEY)]

PathId = Annotated[str, AfterValidator(decoded)]
"""An id in a path, percent-encoded; slashes may stand as they are."""

Seconds = Annotated[
    float,
    PlainValidator(_seconds),
    WithJsonSchema(
        {"anyOf": [{"type": "number"}, {"type": "string", "format": "date-time"}], "examples": [1767225600.5]}
    ),
]

Value = Annotated[
    AttributeValue | None,
    PlainValidator(_attribute),
    WithJsonSchema(
        {
            "anyOf": [
                *_PLAIN_SCHEMA,
                {
                    "type": "array",
                    "items": {"type": "number"},
                    "minItems": 1,
                    "maxItems": MAX_NUMBERS,
                    "description": "A precomputed vector, such as an embedding.",
                },
                {"type": "null"},
            ]
        }
    ),
]
"""An attribute's value; a list of numbers is a precomputed vector; null says that there is none."""

ContextValue = Annotated[
    AttributeValue | None, PlainValidator(_in_context), WithJsonSchema({"anyOf": [*_PLAIN_SCHEMA, {"type": "null"}]})
]
"""A value of a request's context: what an attribute may be but a vector."""

Condition = Annotated[
    Any,
    PlainValidator(_condition),
    WithJsonSchema(
        {
            "anyOf": [
                *_SCALAR_SCHEMA,
                {"type": "array", "items": {"anyOf": _SCALAR_SCHEMA}, "maxItems": MAX_VALUES},
                {
                    "type": "object",
                    "properties": {operator: {} for operator in sorted(OPERATORS)},
                    "additionalProperties": False,
                },
            ]
        }
    ),
]

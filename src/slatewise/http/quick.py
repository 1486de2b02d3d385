"""The models of ``requests.py`` once more, as msgspec structs that decode good bodies in microseconds.

Nothing is declared here: structs are made from the models, field by field, so what may be sent is written once. A body
that a struct refuses is no error yet; whoever decodes hands it to the model, which accepts it or says what is wrong.
A struct may therefore be stricter than its model, never laxer.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

import annotated_types
import msgspec
from pydantic import BaseModel, PlainValidator
from pydantic.fields import FieldInfo

M = TypeVar("M", bound=BaseModel)
Check = Callable[[Any], Any]

_META = {
    annotated_types.MinLen: ("min_length", "min_length"),
    annotated_types.MaxLen: ("max_length", "max_length"),
    annotated_types.Ge: ("ge", "ge"),
    annotated_types.Gt: ("gt", "gt"),
    annotated_types.Le: ("le", "le"),
    annotated_types.Lt: ("lt", "lt"),
}
"""Constraint to the name of its value, and what msgspec calls it."""


def decoder(model: type[M]) -> Callable[[bytes], M]:
    """Return what decodes JSON to a value with the attributes of *model*.

    It raises `msgspec.MsgspecError` or ValueError for what it refuses, and accepts nothing that the model would not.
    Raises TypeError for a model that holds something this translation does not know.
    """
    return cast(Callable[[bytes], M], msgspec.json.Decoder(_struct(model, {})).decode)


def _struct(model: type[BaseModel], known: dict[type[BaseModel], type]) -> type:
    if model not in known:
        fields: list[Any] = []
        checks: dict[str, Check] = {}
        for name, info in model.model_fields.items():
            kind, check = _translated(info.annotation, info.metadata, known)
            if check is not None:
                checks[name] = check
            fields.append((name, kind) if info.is_required() else (name, kind, _default(info)))
        namespace = {"__post_init__": _checked(checks)} if checks else {}
        known[model] = msgspec.defstruct(
            model.__name__, fields, namespace=namespace, kw_only=True, forbid_unknown_fields=True, gc=False
        )
    return known[model]


def _default(info: FieldInfo) -> Any:
    if info.default_factory is not None:
        return msgspec.field(default_factory=cast(Callable[[], Any], info.default_factory))
    return info.default


def _checked(checks: dict[str, Check]) -> Callable[[Any], None]:
    each = tuple(checks.items())

    def check(self: Any) -> None:
        for name, apply in each:
            setattr(self, name, apply(getattr(self, name)))

    return check


def _translated(kind: Any, metadata: list[Any], known: dict[type[BaseModel], type]) -> tuple[Any, Check | None]:
    """Return msgspec's type for an annotation, and what is to be done with a decoded value that the type cannot say."""
    if get_origin(kind) is Annotated:
        kind, *inner = get_args(kind)
        return _translated(kind, [*inner, *metadata], known)
    plain = next((entry for entry in metadata if isinstance(entry, PlainValidator)), None)
    if plain is not None:
        return Any, cast(Check, plain.func)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _struct(kind, known), None
    if get_origin(kind) in (Union, types.UnionType):
        return _either(get_args(kind), metadata, known)
    found, check = (kind, None) if kind in (str, int, float, bool) else _many(kind, known)
    limits = _limits(metadata)
    return (Annotated[found, msgspec.Meta(**limits)] if limits else found), check


def _either(
    kinds: tuple[Any, ...], metadata: list[Any], known: dict[type[BaseModel], type]
) -> tuple[Any, Check | None]:
    others = [kind for kind in kinds if kind is not type(None)]
    # Constraints of something or null are constraints of the something.
    parts = [_translated(kind, metadata, known) for kind in others]
    check = parts[0][1]
    if len(parts) > 1 and any(part[1] for part in parts):
        raise TypeError(f"{kinds} has no quick form: which check is meant?")
    found: Any = Union[tuple(part[0] for part in parts)]  # noqa: UP007
    if len(others) == len(kinds):
        return found, check
    return Union[found, None], None if check is None else _unless_null(check)  # noqa: UP007


def _many(kind: Any, known: dict[type[BaseModel], type]) -> tuple[Any, Check | None]:
    origin = get_origin(kind)
    parts = [_translated(argument, [], known) for argument in get_args(kind)]
    checks = [part[1] for part in parts]
    if origin is list and checks == [None]:
        return list[parts[0][0]], None  # type: ignore[misc]
    if origin is dict and checks[0] is None:
        return dict[parts[0][0], parts[1][0]], _each_value(checks[1]) if checks[1] else None  # type: ignore[misc]
    raise TypeError(f"{kind} has no quick form")


def _unless_null(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _each_value(check: Check) -> Check:
    return lambda entries: {name: check(value) for name, value in entries.items()}


def _limits(metadata: list[Any]) -> dict[str, Any]:
    """Return the constraints, whether they stand alone or inside of pydantic's own field description."""
    limits: dict[str, Any] = {}
    for entry in metadata:
        if isinstance(entry, FieldInfo):
            limits |= _limits(entry.metadata)
            continue
        names = _META.get(type(entry))
        if names is not None:
            limits[names[1]] = getattr(entry, names[0])
    return limits

"""Conditions of a ``where``, checked and taken apart. Knows no column."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from slatewise.domain.errors import InputError
from slatewise.domain.query import Condition

Scalar: TypeAlias = str | float | bool

EQUALITY = ("eq", "ne", "in", "not_in")
ORDERING = ("lt", "lte", "gt", "gte")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One operator with its operands: several for ``in`` and ``not_in``, one for the others."""

    field: str
    operator: str
    operands: tuple[Scalar, ...]


def comparisons_of(attribute: str, condition: Condition) -> list[Comparison]:
    """Return what must hold, all of it. Raises InputError naming the operator or operand that makes no sense."""
    field = f"where.{attribute}"
    if isinstance(condition, Mapping):
        if not condition:
            raise InputError(field, condition, f"a value or an operator of {', '.join(EQUALITY + ORDERING)}")
        return [_comparison(f"{field}.{operator}", str(operator), operand) for operator, operand in condition.items()]
    if _is_list(condition):
        return [_comparison(field, "in", condition)]
    return [_comparison(field, "eq", condition)]


def _comparison(field: str, operator: str, operand: object) -> Comparison:
    if operator in ("in", "not_in"):
        if not _is_list(operand):
            raise InputError(field, operand, "a list of values")
        return Comparison(field, operator, tuple(_scalar(field, value) for value in operand))  # type: ignore[attr-defined]
    if operator in EQUALITY:
        return Comparison(field, operator, (_scalar(field, operand),))
    if operator in ORDERING:
        value = _scalar(field, operand)
        if isinstance(value, str):
            raise InputError(field, operand, "a number")
        return Comparison(field, operator, (value,))
    raise InputError(field, operand, f"an operator of {', '.join(EQUALITY + ORDERING)}")


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes)


def _scalar(field: str, value: object) -> Scalar:
    if isinstance(value, str | bool):
        return value
    if isinstance(value, int | float) and math.isfinite(value):
        return value
    raise InputError(field, value, "text, a finite number or a flag")

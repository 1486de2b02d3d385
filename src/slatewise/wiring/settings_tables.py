"""Settings that are arrays of tables: pins and boosts. Says of a wrong one what would be right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from slatewise.domain.errors import ConfigError, InputError
from slatewise.domain.settings import BoostSettings, PinSettings
from slatewise.storage.conditions import comparisons_of

EXAMPLES: Mapping[Any, str] = {
    tuple[PinSettings, ...]: '[{item_id = "a", position = 0}]',
    tuple[BoostSettings, ...]: '[{where = {brand = "acme"}, factor = 1.5}]',
}
"""By kind of setting, what a right value looks like."""


def tables(kind: Any, name: str, value: object) -> tuple[Any, ...] | None:
    """Return the array of tables as the setting's own values, None where it is no array of such tables at all.

    Raises ConfigError naming the table and the field where one is wrong in what it says.
    """
    if not isinstance(value, list | tuple):
        return None
    entries = [_plain(entry) for entry in value]
    if kind == tuple[BoostSettings, ...]:
        return tuple(_boost(f"{name}[{number}]", entry) for number, entry in enumerate(entries))
    pins = [_pin(entry) for entry in entries]
    return None if None in pins else tuple(pins)


def _plain(entry: object) -> object:
    if is_dataclass(entry):
        return {f.name: getattr(entry, f.name) for f in fields(entry)}
    return entry


def _pin(entry: object) -> PinSettings | None:
    if not isinstance(entry, dict) or set(entry) != {"item_id", "position"}:
        return None
    item_id, position = entry["item_id"], entry["position"]
    if not isinstance(item_id, str) or not item_id:
        return None
    if not isinstance(position, int) or isinstance(position, bool) or position < 0:
        return None
    return PinSettings(item_id=item_id, position=position)


def _boost(field: str, entry: object) -> BoostSettings:
    if not isinstance(entry, dict) or set(entry) != {"where", "factor"}:
        raise _refuse(field, entry, "a table of where and factor such as {where = {brand = 'acme'}, factor = 1.5}")
    where, factor = entry["where"], entry["factor"]
    if not isinstance(where, Mapping) or not where:
        raise _refuse(f"{field}.where", where, "a table of attribute = condition, one at least")
    for attribute, condition in where.items():
        if not isinstance(attribute, str):
            raise _refuse(f"{field}.where", attribute, "an attribute's name")
        try:
            comparisons_of(attribute, condition)
        except InputError as error:
            raise ConfigError(f"{field}.{error}") from error
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not _is_factor(factor):
        raise _refuse(f"{field}.factor", factor, "a finite number above 0")
    return BoostSettings(where=_frozen(where), factor=float(factor))


def _is_factor(factor: float) -> bool:
    try:
        return math.isfinite(factor) and factor > 0
    except OverflowError:  # an integer beyond any float
        return False


def _frozen(value: Any) -> Any:
    """Return a condition with its lists as tuples: settings are values that nobody changes afterwards."""
    if isinstance(value, Mapping):
        return {key: _frozen(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return tuple(sorted(value, key=repr))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    return value


def _refuse(field: str, value: object, right: str) -> ConfigError:
    shown = repr(value)
    return ConfigError(f"{field}: got {shown if len(shown) <= 80 else shown[:77] + '...'}, expected {right}")
